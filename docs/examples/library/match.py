"""Cairn from Python with ctypes alone: numpy images in, numpy matches out."""
import ctypes as c

import numpy as np

lib = c.CDLL("libcairn.so.0.1")
lib.cairn_error_message.restype = c.c_char_p
lib.cairn_matches_count.restype = c.c_size_t
lib.cairn_matches_points.restype = lib.cairn_matches_scores.restype = c.POINTER(c.c_double)


class Image(c.Structure):
    _fields_ = [("pixels", c.c_void_p), ("width", c.c_int32), ("height", c.c_int32),
                ("channels", c.c_int32), ("stride", c.c_ssize_t)]

    def __init__(self, a):  # height x width or height x width x 3, uint8; rows may lie apart
        assert a.dtype == np.uint8 and a[0].flags.c_contiguous
        super().__init__(a.ctypes.data, a.shape[1], a.shape[0], a[0, 0].size, a.strides[0])


def check(status):
    if status:
        raise RuntimeError(lib.cairn_error_message().decode())


def match(image0, image1, **settings):
    """N x 4 ends (x0, y0, x1, y1) and N scores; settings as bin/match's flags: mode="keypoints"."""
    texts = [f"{name.replace('_', '-')}={value}".encode() for name, value in settings.items()]
    matcher, found = c.c_void_p(), c.c_void_p()
    try:
        check(lib.cairn_matcher_create((c.c_char_p * len(texts))(*texts), c.c_size_t(len(texts)), c.byref(matcher)))
        check(lib.cairn_match_images(matcher, c.byref(Image(image0)), c.byref(Image(image1)), c.byref(found)))
        ends, scores = lib.cairn_matches_points(found), lib.cairn_matches_scores(found)
        n = lib.cairn_matches_count(found)
        return np.array([ends[k] for k in range(4 * n)]).reshape(n, 4), np.array([scores[k] for k in range(n)])
    finally:
        lib.cairn_matches_destroy(found)
        lib.cairn_matcher_destroy(matcher)


if __name__ == "__main__":  # a picture, and the same moved by (8, 16)
    picture = np.kron(np.random.default_rng(0).integers(0, 256, (40, 40)), np.ones((8, 8))).astype(np.uint8)
    ends, scores = match(picture[:256, :256], picture[16:272, 8:264], max_keypoints=500)
    print(len(ends), "matches, moved by", np.round(np.median(ends[:, :2] - ends[:, 2:], axis=0), 1))
