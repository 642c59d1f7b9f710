"""numpy, OpenCV and h5py read what match exports: readers.py MATCH A B PHOTOS.

MATCH is bin/match, A and B two photos, PHOTOS a folder of a few. Needs Python's numpy, opencv-python and h5py.
"""
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import cv2
import h5py
import numpy as np


def main():
    program, a, b, photos = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        out = pathlib.Path(work)
        run = lambda *words: subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL)
        run(a, b, "--out", work, "--export", "csv,json,npz,yml", "--verify", "homography")
        rows = list(csv.DictReader((out / "matches.csv").open()))
        ends = np.array([[float(r[k]) for k in ("x0", "y0", "x1", "y1")] for r in rows])
        columns = json.loads((out / "matches.json").read_text())
        assert np.abs(np.array([r[:4] for r in columns["matches"]]) - ends).max() < 1e-3
        npz = np.load(out / "matches.npz")
        kept = npz["matches"] >= 0
        assert np.abs(npz["keypoints0"][kept] - ends[:, :2]).max() < 1e-3
        assert np.abs(npz["keypoints1"][npz["matches"][kept]] - ends[:, 2:]).max() < 1e-3
        storage = cv2.FileStorage(str(out / "matches.yml"), cv2.FILE_STORAGE_READ)
        assert np.abs(storage.getNode("points1").mat() - ends[:, 2:]).max() < 1e-3
        assert storage.getNode("inliers").mat().sum() == sum(int(r["inlier"]) for r in rows)
        h = storage.getNode("matrix").mat()
        inliers = ends[[r["inlier"] == "1" for r in rows]]
        mapped = cv2.perspectiveTransform(inliers[None, :, :2], h)[0]
        assert np.linalg.norm(mapped - inliers[:, 2:], axis=1).max() < 10, "the homography maps the inliers"
        print(f"two photos: {len(rows)} matches, {len(inliers)} inliers, the same in csv, json, npz and yml")
        run("--folder", photos, "--out", work, "--export", "hloc")
        features, matches = h5py.File(out / "features.h5"), h5py.File(out / "matches.h5")
        pairs = [line.split() for line in (out / "pairs.txt").read_text().splitlines()]
        for name0, name1 in pairs:
            found = matches[name0.replace("/", "-")][name1.replace("/", "-")]["matches0"][:]
            assert found.dtype == np.int32 and len(found) == len(features[name0]["keypoints"])
            assert found.max(initial=-1) < len(features[name1]["keypoints"])
        assert features[pairs[0][0]]["keypoints"].dtype == np.float32
        print(f"a folder: {len(pairs)} pairs in hloc's form")


main()
