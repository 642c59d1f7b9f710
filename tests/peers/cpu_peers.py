#!/usr/bin/env python3
"""Cairn beside its peers on the CPU, in one run: `make bench-peers`.

Every contender is a process that runs the same thing when it is told to, with the same weights and
inputs; each peer takes turns with ours, so that a machine whose speed drifts drifts for both. A turn is two
runs and two seconds at least, of which the later half counts: what the other pushed out is back then. A row is a contender: median time, the ratio to ours (above 1: ours is
faster; median of the ratios within each turn), the most memory that its process held, its time from start
to first result, its share of the machine's limit. Where a peer cannot be had, or gives another result, the
row says so.

    cpu_peers.py PEER_PYTHON CAIRN_PEER [--only TEXT] [--repeat N] [--json FILE]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MODELS, SIZES = ("ResUNetBN2F", "ResUNetBN2D2"), ((240, 320), (480, 640), (1200, 1600))
NETWORKS = ("torch eager", "torch channels last", "torch jit", "torch compile",
            "torch compile, channels last", "onnxruntime", "openvino")
LARGE = ("torch channels last", "onnxruntime", "openvino")  # where others would take minutes
GFLOP = {"ResUNetBN2F": 58.8, "ResUNetBN2D2": 358.7}  # at 480x640; others by their pixels


class Contender:
    def __init__(self, name, command, threads):
        self.name, self.times, self.error = name, [], None
        environment = {**os.environ, "CAIRN_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        self.start = time.perf_counter()
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env=environment)
        self.first = None
        self.turn()
        self.times.clear()
        self.peak = 0

    def turn(self):
        if self.error:
            return
        try:
            times, begin = [], time.perf_counter()
            while len(times) < 2 or time.perf_counter() - begin < 2:
                self.process.stdin.write("go\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
                while line and not line.startswith("seconds "):  # what a library prints
                    line = self.process.stdout.readline()
                times.append(float(line.split()[1]))
                self.first = self.first or time.perf_counter() - self.start
            self.times.append(statistics.median(times[len(times) // 2:]))
        except (OSError, ValueError, IndexError):
            self.process.kill()
            self.process.wait()
            self.log.seek(0)
            said = self.log.read().strip().splitlines()
            said = [line for line in said if "rror" in line] or said
            self.error = said[-1].strip()[:160] if said else f"exit code {self.process.returncode}"

    def finish(self):
        if not self.error:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            self.peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
        self.process.stdin.close()
        self.process.wait()


def compete(title, ours, peers, threads, repeat, gflop, limit, agree, report):
    """ours: a command; peers: names and commands, each of which takes turns with ours, so that at most
    two processes hold memory. agree(name): None, or how its result differs from ours."""
    print(f"\n{title}, {threads} thread{'s' if threads > 1 else ''}")

    def row(c, note, ratio):
        r = {"title": title, "threads": threads, "name": c.name, "note": note}
        if c.error:
            print(f"  {c.name:<30} {'-':>12}  {c.error}", flush=True)
        else:
            r.update(seconds=statistics.median(c.times), ratio=ratio, peak_bytes=c.peak,
                     first_seconds=c.first)
            share = gflop / r["seconds"] / limit[threads]
            print(f"  {c.name:<30} {1e3 * r['seconds']:9.1f} ms {ratio:6.2f} {c.peak / 2**20:7.0f} MiB"
                  f"  first after {c.first:6.2f} s {100 * share:5.0f} %  {note or ''}", flush=True)
        report.append(r)

    for name, command in peers:
        pair = [Contender("cairn", ours, threads), Contender(name, command, threads)]
        for _ in range(repeat):
            for c in pair:
                c.turn()
        for c in pair:
            c.finish()
        if name == peers[0][0]:
            row(pair[0], pair[0].error, 1)
        if pair[0].error or pair[1].error:
            row(pair[1], pair[1].error, 0)
            continue
        try:
            note = agree(name)
        except (OSError, ValueError) as e:
            note = f"its result cannot be read: {e}"
        row(pair[1], note, statistics.median(p / o for o, p in zip(pair[0].times, pair[1].times)))


def folder_size(path):
    return sum(f.stat().st_size for f in Path(path).rglob("*") if f.is_file())


def sizes(python, ours):
    """On disk: our programs are whole; a peer is the folders of its packages."""
    programs = Path(ours).resolve().parents[2] / "bin"
    mine = {n: (programs / n).stat().st_size for n in ("match", "train") if (programs / n).exists()}
    print("\nsize on disk: " + ", ".join(f"bin/{n} {b / 1e6:.1f} MB" for n, b in mine.items()))
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
                          capture_output=True, text=True, check=True).stdout.strip()
    for name, parts in (("torch", ("torch", "nvidia", "triton")), ("onnxruntime", ("onnxruntime",)),
                        ("openvino", ("openvino",)), ("faiss", ("faiss", "faiss_cpu.libs"))):
        size = sum(folder_size(Path(site) / p) for p in parts)
        print(f"  {name:<12} {size / 1e6:8.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="the peers' interpreter")
    parser.add_argument("ours", help="our program (build/tests/cairn_peer)")
    parser.add_argument("--only", default="", help="only comparisons whose title holds this text")
    parser.add_argument("--threads", default="2,1", help="numbers of threads, the machine's first")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    a = parser.parse_args()
    threads = [int(t) for t in a.threads.split(",")]
    worker = [a.python, str(HERE / "cpu_worker.py")]
    report, limit = [], {}
    for t in threads:  # the best of several: a limit is what was once reached
        out = [subprocess.run([a.ours, "limits"], capture_output=True, text=True, check=True,
                              env={**os.environ, "CAIRN_THREADS": str(t)}).stdout.split()
               for _ in range(5)]
        limit[t] = max(float(gflops) for gflops, _ in out)
        copy = max(float(gbytes) for _, gbytes in out)
        print(f"{t} threads: multiply-adds at most {limit[t]:.0f} GFLOP/s, copies {copy:.1f} GB/s")

    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)

        def file(name):
            return str(Path(folder) / name)

        def run(title, ours, peers, t, gflop, result, agree):
            if a.only not in title:
                return
            tail = [file(result("cairn"))] if result else []
            commands = []
            for name in peers:
                end = [file(result(name))] if result else []
                commands.append((name, [*worker, ours[0], name, *ours[1:], *end, str(t)]))
            compete(title, [a.ours, *ours, *tail], commands, t, a.repeat, gflop, limit, agree, report)

        for model in MODELS:
            for h, w in SIZES:
                title = f"{model} forward {h}x{w}"
                if a.only not in title:
                    continue
                weights, image = file(f"{model}.safetensors"), file(f"{h}x{w}.raw")
                rng.integers(0, 256, (h, w), dtype=np.uint8).tofile(image)
                made = subprocess.run([*worker, "make", model, weights, folder, str(h), str(w)],
                                      capture_output=True, text=True)
                if made.returncode:
                    sys.exit(f"bench-peers: PyTorch is needed to make the weights: {made.stderr[-300:]}")

                def result(name, model=model, h=h):
                    return f"{model}_{h}_{name.replace(' ', '_')}.bin"

                def agree(name):
                    x, y = (np.fromfile(file(result(n)), dtype=np.float32) for n in ("cairn", name))
                    worst = float(np.abs(x - y).max())
                    return f"differs by {worst:.1e}" if not worst <= 1e-4 else None
                for t in threads:
                    run(title, ["forward", weights, image, str(h), str(w)],
                        NETWORKS if h * w <= 480 * 640 else LARGE, t,
                        GFLOP[model] * h * w / (480 * 640), result, agree)
        for model, h, w in ((m, *s) for m in MODELS for s in ((128, 128), (240, 320))):
            for t in threads[:1]:
                run(f"{model} training step, a pair of {h}x{w}", ["step", model, str(h), str(w)],
                    ("torch channels last", "torch compile"), t,
                    6 * GFLOP[model] * h * w / (480 * 640), None, lambda name: None)
        for q, d in ((2000, 307200), (5000, 307200), (5000, 5000)):
            title = f"nearest neighbour {q} x {d} x 64"
            if a.only not in title:
                continue
            for name, rows in (("q", q), ("d", d)):
                x = rng.standard_normal((rows, 64), dtype=np.float32)
                (x / np.linalg.norm(x, axis=1, keepdims=True)).tofile(file(name))

            def found(name):
                return f"index_{name}.bin"

            def same(name):
                x, y = (np.fromfile(file(found(n)), dtype=np.int64) for n in ("cairn", name))
                return None if (x != y).mean() <= 1e-3 else f"{(x != y).sum()} of {len(x)} differ"
            for t in threads:
                run(title, ["nearest", str(q), str(d), "64", file("q"), file("d")],
                    ("torch product", "faiss"), t, 2e-9 * q * d * 64, found, same)
        photo = str(Path(__file__).parents[2] / "data/demo/pair/a.jpg")
        for layers, contrast, edge, most in ((3, 0.04, 10, 0), (9, 0.01, 100, 0), (3, 1e-5, 10, 2000)):
            for t in threads:
                run(f"SIFT, {layers} layers, contrast {contrast}", ["sift", photo, str(layers),
                    str(contrast), str(edge), str(most)], ("opencv",), t, 0, None, lambda name: None)
    sizes(a.python, a.ours)
    if a.json:
        Path(a.json).write_text(json.dumps({"limit": limit, "rows": report}, indent=1) + "\n")


main()
