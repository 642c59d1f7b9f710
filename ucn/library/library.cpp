// The C library: handles around the C++ of the floors below, exceptions as status codes.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <new>

#include "tensor/file.h"
#include "tensor/parallel.h"
#include "ucn/library/cairn.h"
#include "ucn/match_photos.h"
#include "ucn/precision.h"
#include "ucn/run_folder.h"
#include "ucn/training_run.h"

using namespace cairn;
using namespace cairn::ucn;

struct cairn_matcher {
  std::mutex mutex;  // the network's memory serves one call at a time
  Device device;
  MatcherSettings settings;
  Weights weights;
  std::unique_ptr<PhotoMatcher> matcher;
};

struct cairn_matches {
  MatchFile file;
};

namespace {

thread_local std::string message;

/// Never throws: who called is not prepared for exceptions.
cairn_status fail(cairn_status status, const char* what) noexcept {
  try {
    message = what;
  } catch (...) {  // no memory for the text: the last one stays
  }
  return status;
}

cairn_status status_of(ErrorId id) {
  switch (id) {
    case ErrorId::io:
      return CAIRN_ERROR_IO;
    case ErrorId::format:
      return CAIRN_ERROR_FORMAT;
    case ErrorId::weights:
    case ErrorId::nan:
      return CAIRN_ERROR_WEIGHTS;
    case ErrorId::device:
      return CAIRN_ERROR_DEVICE;
    case ErrorId::memory:
      return CAIRN_ERROR_MEMORY;
    case ErrorId::argument:
    case ErrorId::usage:
    case ErrorId::shape:
    case ErrorId::dtype:
    case ErrorId::index:
    case ErrorId::graph:
      return CAIRN_ERROR_ARGUMENT;
  }
  return CAIRN_ERROR_OTHER;
}

template <class F>
cairn_status guarded(F&& body) noexcept {
  try {
    body();
    return CAIRN_OK;
  } catch (const Error& e) {
    return fail(status_of(e.id()), e.what());
  } catch (const std::bad_alloc&) {
    return fail(CAIRN_ERROR_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return fail(CAIRN_ERROR_OTHER, e.what());
  } catch (...) {
    return fail(CAIRN_ERROR_OTHER, "an unknown exception");
  }
}

void require_given(const void* pointer, const char* what) {
  require(pointer != nullptr, ErrorId::argument, "cairn", what, " is NULL");
}

/// A copy without gaps, H x W x 1|3 u8.
Tensor pixels_of(const cairn_image* image) {
  require_given(image, "an image");
  const auto& i = *image;
  require_given(i.pixels, "the pointer to pixels");
  require(i.width >= 1 && i.height >= 1 && int64_t{i.width} * i.height <= int64_t{1} << 28,
          ErrorId::argument, "cairn", "an image of ", i.width, " x ", i.height, " px");
  require(i.channels == 1 || i.channels == 3 || i.channels == 4, ErrorId::argument, "cairn",
          "an image has 1, 3 or 4 channels, not ", i.channels);
  const ptrdiff_t row = ptrdiff_t{i.width} * i.channels, stride = i.stride == 0 ? row : i.stride;
  require(std::abs(stride) >= row && std::abs(stride) < ptrdiff_t{1} << 40, ErrorId::argument,
          "cairn", "a stride of ", stride, " bytes, with ", row, " in a row");
  const int64_t channels = i.channels == 1 ? 1 : 3;
  Tensor pixels = Tensor::empty({i.height, i.width, channels}, DType::u8);
  uint8_t* to = pixels.data<uint8_t>();
  for (int64_t y = 0; y < i.height; ++y)
    for (int64_t x = 0; x < i.width; ++x, to += channels)
      std::memcpy(to, i.pixels + y * stride + x * i.channels, size_t(channels));
  return pixels;
}

/// The GPU has one stream of work and one kind of arithmetic for the whole process: whoever uses it
/// has it alone.
std::mutex gpu;
std::unique_lock<std::mutex> alone_on(Device device) {
  return device == Device::cuda ? std::unique_lock(gpu) : std::unique_lock<std::mutex>();
}

/// A matcher's turn.
class Turn {
 public:
  explicit Turn(cairn_matcher& m) : one_(m.mutex), gpu_(alone_on(m.device)) {
    if (m.device == Device::cuda)
      set_precision(*m.weights.network, precision(m.settings.precision));
  }

 private:
  std::lock_guard<std::mutex> one_;
  std::unique_lock<std::mutex> gpu_;
};

template <class Read>
cairn_status match(cairn_matcher* m, cairn_matches** matches, Read&& read) {
  if (matches) *matches = nullptr;
  return guarded([&] {
    require_given(m, "the matcher");
    require_given(matches, "the place for the matches");
    const Turn turn(*m);
    auto result = std::make_unique<cairn_matches>();
    auto [photo0, photo1] = read(result->file);
    MatchFile file =
        match_photos(*m->matcher, m->settings, std::move(photo0), std::move(photo1)).file;
    file.photo0.path = result->file.photo0.path;
    file.photo1.path = result->file.photo1.path;
    result->file = std::move(file);
    *matches = result.release();
  });
}

}  // namespace

const char* cairn_version(void) { return CAIRN_VERSION; }
const char* cairn_error_message(void) { return message.c_str(); }

cairn_status cairn_set_threads(int threads) {
  return guarded([&] {
    require(threads >= 1 && threads <= 1024, ErrorId::argument, "cairn", "cannot use ", threads,
            " threads");
    set_num_threads(threads);
  });
}

cairn_status cairn_matcher_create(const char* const* settings, size_t count,
                                  cairn_matcher** matcher) {
  if (matcher) *matcher = nullptr;
  return guarded([&] {
    require_given(matcher, "the place for the matcher");
    require(settings || count == 0, ErrorId::argument, "cairn", "the settings are NULL");
    auto m = std::make_unique<cairn_matcher>();
    std::string device = "auto";
    for (size_t k = 0; k < count; ++k) {
      require_given(settings[k], "a setting");
      const std::string setting = settings[k];
      const size_t equals = setting.find('=');
      require(equals != std::string::npos, ErrorId::argument, "cairn", "the setting '", setting,
              "' is not name=value");
      const std::string name = setting.substr(0, equals), value = setting.substr(equals + 1);
      if (name == "device")
        device = value;
      else
        set(m->settings, name, value);
    }
    const Device where = m->device = use_device(device);
    const auto lock = alone_on(where);
    m->settings.resolve(where);
    m->settings.options.correspond.measure_exact = false;  // which only people read
    m->weights = m->settings.load(where);
    m->matcher = std::make_unique<PhotoMatcher>(*m->weights.network, m->settings.options);
    *matcher = m.release();
  });
}
void cairn_matcher_destroy(cairn_matcher* matcher) { delete matcher; }

cairn_status cairn_match_files(cairn_matcher* matcher, const char* photo0, const char* photo1,
                               cairn_matches** matches) {
  return match(matcher, matches, [&](MatchFile& file) {
    require_given(photo0, "the first photo");
    require_given(photo1, "the second photo");
    file.photo0.path = photo0;
    file.photo1.path = photo1;
    return std::pair(matcher->matcher->read(photo0), matcher->matcher->read(photo1));
  });
}
cairn_status cairn_match_images(cairn_matcher* matcher, const cairn_image* image0,
                                const cairn_image* image1, cairn_matches** matches) {
  return match(matcher, matches, [&](MatchFile&) {
    const auto photo = [&](const cairn_image* image) {
      return as_photo(oriented(pixels_of(image), 1), matcher->weights.network->config().inputs,
                      matcher->settings.options.photo);
    };
    return std::pair(photo(image0), photo(image1));
  });
}
void cairn_matches_destroy(cairn_matches* matches) { delete matches; }

size_t cairn_matches_count(const cairn_matches* m) { return m ? m->file.matches.size() : 0; }
const double* cairn_matches_points(const cairn_matches* m) {
  static_assert(sizeof(PointPair) == 4 * sizeof(double));
  return m && !m->file.matches.empty() ? &m->file.matches[0].x0 : nullptr;
}
const double* cairn_matches_scores(const cairn_matches* m) {
  return m ? m->file.scores.data() : nullptr;
}
const double* cairn_matches_confidences(const cairn_matches* m) {
  return m && !m->file.confidence.empty() ? m->file.confidence.data() : nullptr;
}
const uint8_t* cairn_matches_inliers(const cairn_matches* m) {
  return m && m->file.geometry.kind != Geometry::none ? m->file.geometry.inlier.data() : nullptr;
}
size_t cairn_matches_geometry(const cairn_matches* m, double matrix[9]) {
  const TwoView none, &g = m ? m->file.geometry : none;
  if (matrix) std::ranges::copy(g.matrix, matrix);
  return size_t(g.inliers);
}
double cairn_matches_same_scene(const cairn_matches* m) { return m ? m->file.same_scene : -1; }

cairn_status cairn_matches_write(const cairn_matches* matches, const char* path) {
  return guarded([&] {
    require_given(matches, "the matches");
    require_given(path, "the path");
    write_matches(path, matches->file);
  });
}

int32_t cairn_feature_channels(const cairn_matcher* matcher) {
  return matcher ? int32_t(matcher->weights.network->config().outputs) : 0;
}

cairn_status cairn_dense_features(cairn_matcher* matcher, const cairn_image* image,
                                  float* features) {
  return guarded([&] {
    require_given(matcher, "the matcher");
    require_given(features, "the place for the features");
    const Turn turn(*matcher);
    const Photo photo =
        as_photo(oriented(pixels_of(image), 1), matcher->weights.network->config().inputs, {});
    const Tensor f = matcher->matcher->extractor()(photo.pixels).to(Device::cpu).to(DType::f32);
    std::ranges::copy(f.span<float>(), features);
  });
}

cairn_status cairn_train(const char* images, const char* run, const char* settings,
                         cairn_training_progress progress, void* user) {
  return guarded([&] {
    require_given(images, "the folder of photos");
    require_given(run, "the folder of the run");
    const Device device = use_device("auto");
    TrainOptions o;
    o.precision = device == Device::cuda ? "tf32" : "fp32";
    const std::string folder = run, config = folder + "/config.json";
    const bool resumed = has_checkpoint(folder);
    if (resumed) {
      const auto bytes = read_file(config, 1 << 20, "train");
      o = train_options_from_json({bytes.begin(), bytes.end()}, config);
    } else if (settings) {
      o = train_options_from_json(settings, "the settings", o);
    }
    o.images = images;
    nn::TensorFile initial;
    if (!resumed && !o.init.empty()) {
      initial = read_weights(o.init);
      take_network(o, initial.metadata, o.init);
    }
    check(o);
    require(o.loss_name != "score" || !o.init.empty(), ErrorId::usage, "train",
            "the loss 'score' needs weights to judge ('init')");
    std::error_code error;
    require(resumed || !std::filesystem::exists(folder + "/weights.safetensors", error),
            ErrorId::argument, "train", "'", folder,
            "' holds weights, but no checkpoint to continue from");
    const auto lock = alone_on(device);
    const TrainingData data = open_training_data(o);
    const RunFolder held(folder);
    Trainer trainer(o, *data.train, device);
    if (resumed)
      trainer.resume(folder);
    else if (!o.init.empty())
      trainer.begin_with(initial, o.init);
    write_file_atomically(config, to_json(o), "train");
    bool stop = false;
    TrainingEvents events;
    events.step = [&](const StepReport& r) {
      const cairn_training_step step{r.iteration, o.iterations, r.loss};
      if (progress && progress(&step, user) != 0) stop = true;
    };
    events.stop = [&] { return stop; };
    run_training(o, trainer, data, folder, events);
  });
}
