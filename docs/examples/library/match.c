/* Matches two photos with Cairn's C library: match A B [NAME=VALUE ...]
 *
 *   cc match.c $(pkg-config --cflags --libs cairn) -o match */
#include <stdio.h>

#include <cairn.h>

int main(int argc, char** argv) {
  cairn_matcher* matcher = NULL;
  cairn_matches* matches = NULL;
  double matrix[9];
  size_t k, some;

  if (argc < 3) return fprintf(stderr, "usage: match A B [NAME=VALUE ...]\n"), 2;
  if (cairn_matcher_create((const char* const*)argv + 3, (size_t)argc - 3, &matcher) != CAIRN_OK ||
      cairn_match_files(matcher, argv[1], argv[2], &matches) != CAIRN_OK) {
    fprintf(stderr, "%s\n", cairn_error_message());
    cairn_matcher_destroy(matcher);
    return 1;
  }

  const double* points = cairn_matches_points(matches);
  const double* scores = cairn_matches_scores(matches);
  some = cairn_matches_count(matches);
  printf("cairn %s: %lu matches, %lu of them agree, same scene %.2f\n", cairn_version(),
         (unsigned long)some, (unsigned long)cairn_matches_geometry(matches, matrix),
         cairn_matches_same_scene(matches));
  for (k = 0; k < some && k < 5; ++k)
    printf("(%.1f, %.1f) - (%.1f, %.1f)  %.3f\n", points[4 * k], points[4 * k + 1],
           points[4 * k + 2], points[4 * k + 3], scores[k]);

  cairn_matches_destroy(matches);
  cairn_matcher_destroy(matcher);
  return 0;
}
