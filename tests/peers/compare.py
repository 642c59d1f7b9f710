#!/usr/bin/env python3
"""Our rows beside the peer's: compare.py OURS.json PEER.json, written by bench and torch_peer.py.

For each row of ours, the peer's fastest mode of the same name and precision, and peer / ours: above 1
ours is faster.
"""
import json
import sys


def rows(path):
    with open(path) as f:
        return [r for r in json.load(f)["rows"] if r["seconds"]]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    ours, peers = rows(sys.argv[1]), {}
    for r in rows(sys.argv[2]):
        key = r["name"], r["precision"]
        if key not in peers or r["seconds"] < peers[key]["seconds"]:
            peers[key] = r
    print(f"{'':<52} {'':<5} {'ours':>11} {'PyTorch':>11} {'ratio':>6}")
    best = {}
    for r in ours:
        key = r["name"], r["precision"]
        if key in peers and (key not in best or r["seconds"] < best[key]["seconds"]):
            best[key] = r
    for (name, precision), r in best.items():
        peer = peers[name, precision]
        print(f"{name:<52} {precision:<5} {1e3 * r['seconds']:8.3f} ms {1e3 * peer['seconds']:8.3f} ms "
              f"{peer['seconds'] / r['seconds']:6.2f}  ({r['mode']}; {peer['mode']})")
    if not best:
        sys.exit("compare: no row is in both files")


main()
