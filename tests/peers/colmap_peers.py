"""COLMAP's mapper on our database beside COLMAP's own SIFT pipeline, on the same photos.

colmap_peers.py MATCH PHOTOS[=MODEL]...: MATCH is bin/match, each PHOTOS a folder, MODEL a reconstruction of it to
compare with. Needs Python's pycolmap. Prints, for the largest model of each, the registered photos, points, mean
reprojection error, mean track length and seconds; and, over all pairs of photos that it shares with MODEL, the errors
of the relative rotations. More photos that stand in the wrong place are no gain.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import pycolmap


def reconstruct(database, photos, out):
    out.mkdir()
    models = pycolmap.incremental_mapping(str(database), str(photos), str(out))
    return max(models.values(), key=lambda m: m.num_reg_images(), default=None)


def row(name, model, total, seconds):
    if model is None:
        print(f"  {name:12} no model   {seconds:6.1f} s", flush=True)
        return
    print(f"  {name:12} {model.num_reg_images():4} of {total} photos, {model.num_points3D():6} points, "
          f"{model.compute_mean_reprojection_error():.3f} px, track {model.compute_mean_track_length():.2f}, "
          f"{seconds:6.1f} s", flush=True)


def compare(model, reference):
    pose = lambda image: image.cam_from_world() if callable(image.cam_from_world) else image.cam_from_world
    posed = lambda m: {i.name: pose(i).rotation.matrix() for i in m.images.values() if i.has_pose}
    ours, theirs = posed(model), posed(reference)
    names = sorted(set(ours) & set(theirs))
    errors = []
    for k, a in enumerate(names):
        for b in names[k + 1:]:
            change = theirs[a] @ theirs[b].T @ (ours[a] @ ours[b].T).T
            errors.append(np.degrees(np.arccos(np.clip((np.trace(change) - 1) / 2, -1, 1))))
    print(f"  rotations of {len(names)} photos against the model: median {np.median(errors):.2f}, "
          f"90 % below {np.percentile(errors, 90):.2f}, largest {max(errors):.1f} degrees", flush=True)


def main():
    pycolmap.logging.minloglevel = 2
    program = pathlib.Path(sys.argv[1]).resolve()
    for argument in sys.argv[2:]:
        photos, _, reference = argument.partition("=")
        photos = pathlib.Path(photos)
        work = pathlib.Path(tempfile.mkdtemp())
        total = len([p for p in photos.iterdir() if p.suffix.lower() in (".jpg", ".png", ".jpeg")])
        print(photos.name, flush=True)
        start = time.time()
        subprocess.run([program, "--folder", photos, "--out", work / "ours", "--single-camera", "--max-keypoints",
                        "4000", "--export", "colmap"], check=True, stdout=subprocess.DEVNULL)
        matched = time.time() - start
        model = reconstruct(work / "ours" / "database.db", photos, work / "model")
        row("ours", model, total, time.time() - start)
        if reference and model:
            compare(model, pycolmap.Reconstruction(reference))
        start = time.time()
        database = work / "sift.db"
        options = pycolmap.FeatureExtractionOptions()
        options.use_gpu = False
        pycolmap.extract_features(str(database), str(photos), camera_mode=pycolmap.CameraMode.SINGLE,
                                  extraction_options=options)
        matching = pycolmap.FeatureMatchingOptions()
        matching.use_gpu = False
        pycolmap.match_exhaustive(str(database), matching_options=matching)
        model = reconstruct(database, photos, work / "model_sift")
        row("COLMAP SIFT", model, total, time.time() - start)
        shutil.rmtree(work)


main()
