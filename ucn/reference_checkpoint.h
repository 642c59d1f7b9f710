// Open-UCN's checkpoints (.pth): what they hold, as this project has it.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "nn/safetensors.h"
#include "ucn/resunet.h"
#include "ucn/train_options.h"

namespace cairn::ucn {

/// Which network a state dict is for, from the names and shapes of its tensors; `prefix` stands
/// before each name. Throws ErrorId::weights when it is of none.
ResUNetConfig recognise(const nn::TensorFile& file, const std::string& prefix,
                        const std::string& origin);

/// The weights in what load_pth() gave, wherever in it they are, with the metadata of a weight file
/// (ucn/weights.h). Throws ErrorId::weights when there are none of a known network.
nn::TensorFile weights_of(const nn::TensorFile& pth, const std::string& origin);
/// The way back: with the settings under the reference's names (config.model, config.model_n_out,
/// config.normalize_feature) and the metadata under cairn.
nn::TensorFile to_reference(const nn::TensorFile& weights, const std::string& origin);

/// The rest of a training checkpoint.
struct ReferenceTraining {
  int64_t epoch = 0;
  /// The momentum buffer of each parameter that has one, by the parameter's name.
  std::map<std::string, Tensor> momentum;
  std::optional<int64_t> last_epoch;  ///< of the scheduler
};
/// parameters: the names of the network's, in order. Throws ErrorId::weights.
ReferenceTraining training_of(const nn::TensorFile& pth, const std::vector<std::string>& parameters,
                              const std::string& origin);

/// `options` with the settings that the checkpoint's config, optimiser and scheduler hold, and the
/// network that its weights are for.
TrainOptions settings_of(const nn::TensorFile& pth, const std::string& origin,
                         TrainOptions options);

}  // namespace cairn::ucn
