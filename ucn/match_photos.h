// Two photos to verified matches: what bin/match and the libraries do.
#pragma once

#include <functional>

#include "ucn/match_files.h"
#include "ucn/matcher_settings.h"

namespace cairn::ucn {

struct MatchedPhotos {
  std::optional<Alignment> look;  ///< the first look, where there was one
  PreparedPhoto photo0, photo1;
  PhotoMatches found;
  MatchFile file;                       ///< with the geometry; without the paths of the photos
  std::array<Intrinsics, 2> cameras{};  ///< that the geometry was estimated with, in stored px
};

/// Runs one stage of the work, which has a name.
using Stage = std::function<void(const char* name, const std::function<void()>& work)>;

/// `settings`: resolved, and those that `matcher` was made with. Throws as PhotoMatcher.
MatchedPhotos match_photos(
    PhotoMatcher& matcher, const MatcherSettings& settings, Photo photo0, Photo photo1,
    const Stage& stage = [](const char*, const std::function<void()>& work) { work(); });

}  // namespace cairn::ucn
