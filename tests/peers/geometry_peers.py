"""Our LO-RANSAC beside OpenCV's RANSAC and USAC_MAGSAC, on the same matches, same thresholds.

geometry_peers.py EVAL DATASET... : EVAL is bin/eval, each DATASET a folder with pairs_homography.txt or
pairs_pose.txt. Both our matches and RootSIFT's are tried, five seeds each (OpenCV: five orders of the
matches). Prints the areas under the curves of the errors and the mean time of one estimate.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

SEEDS = range(5)


def area(errors, threshold):
    """SuperGlue's: the trapezoids under the recall curve."""
    errors = np.sort(np.asarray(errors, float))
    recall = (np.arange(len(errors)) + 1) / len(errors)
    errors, recall = np.r_[0, errors], np.r_[0, recall]
    last = np.searchsorted(errors, threshold)
    x, y = np.r_[errors[:last], threshold], np.r_[recall[:last], recall[last - 1]]
    return ((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum() / threshold


def to(h, points):
    q = np.c_[points, np.ones(len(points))] @ h.T
    return q[:, :2] / q[:, 2:]


def corner_error(a, b, truth, size0, size1, method):
    """Mean error of the corners at a short side of 480."""
    s0, s1 = 480 / min(size0), 480 / min(size1)
    a, b = (a + 0.5) * s0 - 0.5, (b + 0.5) * s1 - 0.5
    start = time.perf_counter()
    h = cv2.findHomography(a, b, method, 3, maxIters=10000, confidence=0.9999)[0] if len(a) >= 4 else None
    seconds = time.perf_counter() - start
    if h is None:
        return np.inf, seconds
    shrink = lambda s: np.array([[s, 0, s / 2 - 0.5], [0, s, s / 2 - 0.5], [0, 0, 1]])
    truth = shrink(s1) @ truth @ np.linalg.inv(shrink(s0))
    w, t = np.array(size0) * s0
    corners = np.array([[0, 0], [w, 0], [0, t], [w, t]])
    return np.linalg.norm(to(h, corners) - to(truth, corners), axis=1).mean(), seconds


def pose_error(a, b, k0, k1, truth, method):
    normalise = lambda p, k: (p - k[[0, 1], [2, 2]]) / k[[0, 1], [0, 1]]
    a, b = normalise(a, k0), normalise(b, k1)
    focal = (k0[0, 0] + k0[1, 1] + k1[0, 0] + k1[1, 1]) / 4
    start = time.perf_counter()
    e, inliers = None, None
    if len(a) >= 5:
        e, inliers = cv2.findEssentialMat(a, b, np.eye(3), method=method, threshold=1 / focal, prob=0.9999, maxIters=2000)
    seconds = time.perf_counter() - start
    if e is None or e.shape != (3, 3):
        return np.inf, seconds
    _, r, t, _ = cv2.recoverPose(e, a, b, np.eye(3), 1e9, mask=inliers.copy())[:4]
    angle = lambda c: np.degrees(np.arccos(np.clip(c, -1, 1)))
    rotation = angle((np.trace(r @ truth[:3, :3].T) - 1) / 2)
    direction = truth[:3, 3]
    translation = angle(abs(t[:, 0] @ direction) / np.linalg.norm(direction))
    return max(rotation, translation), seconds


def main():
    program, datasets = sys.argv[1], [pathlib.Path(d) for d in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as work:
        for dataset in datasets:
            run = lambda *more: subprocess.run([program, str(dataset), "--bootstrap", "0", *more],
                                               check=True, stdout=subprocess.DEVNULL)
            matches = pathlib.Path(work) / dataset.name
            run("--baseline", "sift", "--write-matches", str(matches))
            homography = dataset / "pairs_homography.txt"
            lines = [line.split() for line in (homography if homography.exists() else
                     dataset / "pairs_pose.txt").read_text().splitlines() if line[0] != "#"]
            for method in ("cairn", "sift"):
                results = {}
                for seed in SEEDS:
                    report = pathlib.Path(work) / "ours.json"
                    run("--matches", str(matches / method), "--seed", str(seed), "--json", str(report))
                    for pair in json.loads(report.read_text())["sets"][0]["methods"]["files"]["pairs"]:
                        for name, kind in (("LO-RANSAC, ours", ""), ("plain RANSAC, ours", "_plain")):
                            error = pair.get("corner_error" + kind, pair.get("pose_error" + kind))
                            results.setdefault(name, []).append(
                                (np.inf if error is None else error,
                                 pair["ransac_seconds"] if kind == "" else np.nan))
                    rng = np.random.default_rng(seed)
                    for words in lines:
                        names = [str(pathlib.Path(p).with_suffix("")).replace("/", "-") for p in words[:2]]
                        file = np.load(matches / method / f"{names[0]}_{names[1]}_matches.npz")
                        kept = file["matches"] >= 0
                        a = file["keypoints0"][kept].astype(float)
                        b = file["keypoints1"][file["matches"][kept]].astype(float)
                        order = rng.permutation(len(a))
                        a, b = a[order], b[order]
                        values = np.array(words[2:], float)
                        for name, flag in (("OpenCV RANSAC", cv2.RANSAC), ("OpenCV USAC_MAGSAC", cv2.USAC_MAGSAC)):
                            if len(values) == 9:
                                sizes = [cv2.imread(str(dataset / p)).shape[1::-1] for p in words[:2]]
                                result = corner_error(a, b, values.reshape(3, 3), *sizes, flag)
                            else:
                                k0, k1 = values[:9].reshape(3, 3), values[9:18].reshape(3, 3)
                                result = pose_error(a, b, k0, k1, values[18:].reshape(4, 4), flag)
                            results.setdefault(name, []).append(result)
                thresholds = (1, 3, 5) if homography.exists() else (5, 10, 20)
                print(f"\n{dataset.name}, matches of {method}, {len(lines)} pairs x {len(SEEDS)} seeds")
                print(" " * 22 + "".join(f"{'AUC@' + str(t):>9}" for t in thresholds) + "  mean ms")
                for name, rows in results.items():
                    errors, seconds = np.array(rows).T
                    print(f"{name:22}" + "".join(f"{area(errors, t):9.3f}" for t in thresholds) +
                          f"{1000 * seconds.mean():9.2f}", flush=True)


main()
