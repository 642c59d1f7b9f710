/* Cairn's C library: correspondences between two photos, dense features, training.
 *
 *   cairn_matcher* matcher;
 *   cairn_matches* matches;
 *   if (cairn_matcher_create(NULL, 0, &matcher) ||
 *       cairn_match_files(matcher, "a.jpg", "b.jpg", &matches))
 *     report(cairn_error_message());
 *
 * Link with -lcairn (pkg-config cairn). Functions that can fail return a status; what they were to
 * make is then NULL. All functions may be called from several threads at once; calls that use one
 * matcher wait for each other, and so do all that use the GPU, of which a process uses one. A NULL
 * where an object is wanted is CAIRN_ERROR_ARGUMENT. */
#ifndef CAIRN_H
#define CAIRN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cairn_status {
  CAIRN_OK = 0,
  CAIRN_ERROR_ARGUMENT = 1, /* a value outside what the function accepts, an unknown setting */
  CAIRN_ERROR_IO = 2,       /* a file is missing, unreadable, the disk is full, ... */
  CAIRN_ERROR_FORMAT = 3,   /* a file's bytes, or JSON, are not what they should be */
  CAIRN_ERROR_WEIGHTS = 4,  /* weights that do not fit, or whose features are not finite */
  CAIRN_ERROR_DEVICE = 5,   /* the GPU that was asked for cannot be used */
  CAIRN_ERROR_MEMORY = 6,   /* there is none left */
  CAIRN_ERROR_OTHER = 7
} cairn_status;

/* "0.1.0" */
const char* cairn_version(void);
/* One line about the last call that failed in this thread; "" before the first. Valid until the
 * thread's next call that fails. */
const char* cairn_error_message(void);
/* Of all computations of the process, 1..1024; all cores unless set. */
cairn_status cairn_set_threads(int threads);

/* ---- Matching ------------------------------------------------------------------------------ */

typedef struct cairn_matcher cairn_matcher;
typedef struct cairn_matches cairn_matches;

/* Loads the network. `settings`: `count` strings "name=value", by the names of bin/match's flags
 * without dashes: "model=ucn-f", "mode=keypoints", "max-keypoints=4000", "verify=homography",
 * "whole-pixels=true"; and "device=auto" (a GPU if one works), "cpu", "cuda", "cuda:1". */
cairn_status cairn_matcher_create(const char* const* settings, size_t count,
                                  cairn_matcher** matcher);
void cairn_matcher_destroy(cairn_matcher* matcher); /* may be NULL */

/* An image in memory: rows of `width` pixels of 1 (gray), 3 (RGB) or 4 (RGB and alpha, which is
 * ignored) bytes, row y at pixels + y * stride. */
typedef struct cairn_image {
  const uint8_t* pixels;
  int32_t width, height, channels;
  ptrdiff_t stride; /* bytes from a row to the next, negative if it lies before; 0: no gap */
} cairn_image;

/* The matches of two photos: PNG, JPEG, PGM or PPM files, or images. */
cairn_status cairn_match_files(cairn_matcher* matcher, const char* photo0, const char* photo1,
                               cairn_matches** matches);
cairn_status cairn_match_images(cairn_matcher* matcher, const cairn_image* image0,
                                const cairn_image* image1, cairn_matches** matches);
void cairn_matches_destroy(cairn_matches* matches); /* may be NULL */

/* How many there are, the most distinct first. What follows is one entry per match, and belongs to
 * `matches`. */
size_t cairn_matches_count(const cairn_matches* matches);
/* x0, y0, x1, y1 of each, in px of the files as they are stored or of the images; (0, 0) is the
 * centre of the top-left pixel. NULL when there are none. */
const double* cairn_matches_points(const cairn_matches* matches);
/* Cosines of the two features, in -1..1. */
const double* cairn_matches_scores(const cairn_matches* matches);
/* The chance that each is right, in 0..1, calibrated for the weights ucn-f; NULL where they are
 * not judged (mode all_all without a ratio), or there are none. */
const double* cairn_matches_confidences(const cairn_matches* matches);
/* 1 for each that obeys the geometry of most, else 0; NULL with verify=none. */
const uint8_t* cairn_matches_inliers(const cairn_matches* matches);
/* That geometry, row-major: a homography x1 ~ H x0, or a fundamental or essential matrix with
 * x1' F x0 = 0 (the setting "verify"). Returns how many matches obey it; 0: none was found, and
 * the matrix, which may be NULL, is zero. */
size_t cairn_matches_geometry(const cairn_matches* matches, double matrix[9]);
/* The probability that both photos show the same scene; -1 with verify=none. */
double cairn_matches_same_scene(const cairn_matches* matches);
/* Writes them as the name's ending says: .csv, .json, .npz (SuperGlue's), .yml (OpenCV's); whole or
 * not at all. */
cairn_status cairn_matches_write(const cairn_matches* matches, const char* path);

/* ---- Features ------------------------------------------------------------------------------ */

/* How many channels the matcher's features have; 0 for NULL. They may be fewer than the network's
 * outputs: as many as carry the same inner products. */
int32_t cairn_feature_channels(const cairn_matcher* matcher);
/* A unit vector for every pixel of the image, which is not resized: `features` has room for
 * height * width * channels values, channels innermost. Needs some 1 KB of memory a pixel. */
cairn_status cairn_dense_features(cairn_matcher* matcher, const cairn_image* image,
                                  float* features);

/* ---- Training ------------------------------------------------------------------------------ */

typedef struct cairn_training_step {
  int64_t iteration, iterations; /* steps done, and of the whole run */
  double loss;
} cairn_training_step;
/* Called after each step; anything but 0 saves and ends the run. */
typedef int (*cairn_training_progress)(const cairn_training_step* step, void* user);

/* Trains a network on warped pairs of the photos in a folder; bin/train does the same and more.
 * `run`: a folder, made if need be, for weights.safetensors ("model=run/weights.safetensors"),
 * checkpoints and a log; a run that is there is continued, with its settings. `settings`: JSON with
 * the keys of a run's config.json ({"iterations": 2000, "crop": 192}), or NULL. `progress` may be
 * NULL. */
cairn_status cairn_train(const char* images, const char* run, const char* settings,
                         cairn_training_progress progress, void* user);

#ifdef __cplusplus
}
#endif
#endif
