"""bin/eval's numbers computed again with numpy from the matches that it wrote: eval_numpy.py EVAL SET.

EVAL is bin/eval, SET a folder with pairs_homography.txt. Checks each pair's accuracies and the means, and the areas
under the curve of the corner errors in the report.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    truths = {}
    for line in (folder / "pairs_homography.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        words = line.split()
        name = "_".join(str(pathlib.Path(p).with_suffix("")).replace("/", "-") for p in words[:2])
        truths[name] = np.array(words[2:], float).reshape(3, 3)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run([program, str(folder), "--baseline", "sift", "--bootstrap", "0", "--write-matches", work,
                        "--json", work + "/report.json"], check=True, stdout=subprocess.DEVNULL)
        methods = json.loads((pathlib.Path(work) / "report.json").read_text())["sets"][0]["methods"]
        for method, numbers in methods.items():
            means = np.zeros(10)
            for pair in numbers["pairs"]:
                file = np.load(f"{work}/{method}/{pair['pair']}_matches.npz")
                kept = file["matches"] >= 0
                a, b = file["keypoints0"][kept], file["keypoints1"][file["matches"][kept]]
                q = np.c_[a, np.ones(len(a))] @ truths[pair["pair"]].T
                error = np.linalg.norm(q[:, :2] / q[:, 2:] - b, axis=1)
                accuracy = np.array([(error <= t).mean() if len(error) else 0 for t in range(1, 11)])
                # Files hold float32: a match may lie on the other side of a threshold.
                assert np.abs(accuracy - pair["accuracy"]).max() <= 1.5 / max(1, len(error)), pair["pair"]
                means += accuracy / len(numbers["pairs"])
            for t in (1, 2, 3, 5, 10):
                assert abs(means[t - 1] - numbers["all"][f"MMA@{t}"]) < 1e-3
            errors = np.sort([np.inf if p["corner_error"] is None else p["corner_error"] for p in numbers["pairs"]])
            for t in (1, 3, 5):
                x = np.r_[0, errors[errors < t], t]
                y = np.arange(len(x) - 1) / len(errors)
                y = np.r_[y, y[-1]]
                area = ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() / t
                assert abs(area - numbers["all"][f"AUC@{t}"]) < 1e-9, (area, t)
            print(f"{method}: {len(numbers['pairs'])} pairs, the same")


main()
