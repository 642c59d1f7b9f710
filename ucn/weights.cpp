#include "ucn/weights.h"

#include <Eigen/QR>
#include <algorithm>
#include <charconv>

#include "nn/pth.h"
#include "tensor/file.h"
#include "ucn/reference_checkpoint.h"
#include "ucn/score_head.h"

namespace cairn::ucn {

Metadata describe(const ResUNetConfig& c) {
  return {{"format", "cairn-weights-1"},
          {"model", c.model},
          {"inputs", std::to_string(c.inputs)},
          {"outputs", std::to_string(c.outputs)},
          {"normalize", c.normalize ? "true" : "false"},
          {"statistics", c.image_statistics ? "image" : "running"},
          {"score_head", c.score_head ? "true" : "false"},
          {"input_range", "x / 255 - 0.5"}};
}

ResUNetConfig config_from(const Metadata& metadata, const std::string& origin) {
  const auto text = [&](const std::string& key) {
    const auto it = metadata.find(key);
    require(it != metadata.end(), ErrorId::weights, "weights", origin, ": the metadata lacks '",
            key, "', so it is not known which network these weights are for");
    return it->second;
  };
  const auto number = [&](const std::string& key) {
    const std::string t = text(key);
    int64_t n = 0;
    const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), n);
    require(error == std::errc() && end == t.data() + t.size() && n >= 1 && n <= 4096,
            ErrorId::weights, "weights", origin, ": the metadata says ", key, " = '", t, "'");
    return n;
  };
  ResUNetConfig c;
  c.model = text("model");
  require(std::ranges::any_of(resunet_variants(), [&](const auto& v) { return c.model == v.name; }),
          ErrorId::weights, "weights", origin, ": they are for the unknown model '", c.model, "'");
  c.inputs = number("inputs");
  c.outputs = number("outputs");
  const auto flag = [&](const std::string& key) {
    const std::string t = text(key);
    require(t == "true" || t == "false", ErrorId::weights, "weights", origin,
            ": the metadata says ", key, " = '", t, "'");
    return t == "true";
  };
  c.normalize = flag("normalize");
  c.score_head = metadata.contains("score_head") && flag("score_head");  // newer than the format
  const std::string statistics = text("statistics");
  require(statistics == "image" || statistics == "running", ErrorId::weights, "weights", origin,
          ": the metadata says statistics = '", statistics, "'");
  c.image_statistics = statistics == "image";
  return c;
}

void save_weights(const std::string& path, const ResUNet& network, const Metadata& metadata) {
  nn::TensorFile file{nn::export_state(network), metadata};
  for (const auto& [key, value] : describe(network.config())) file.metadata[key] = value;
  file.metadata["commit"] = CAIRN_COMMIT;
  nn::save_safetensors(path, file);
}

nn::TensorFile read_weights(const std::string& path) {
  nn::TensorFile file = nn::load_tensors(path);
  return file.metadata.contains("format") ? file : weights_of(file, path);
}

nn::TensorFile with_fewest_outputs(nn::TensorFile file, const std::string& origin) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto tensor = [&](const std::string& name) -> Tensor* {
    const auto it = std::ranges::find(file.tensors, name, &nn::NamedTensor::name);
    return it == file.tensors.end() ? nullptr : &it->tensor;
  };
  const auto matrix = [](const Tensor& t, int64_t rows) -> Eigen::MatrixXd {
    const Tensor values = t.to(DType::f32);
    return Eigen::Map<const Matrix>(values.data<float>(), rows, values.numel() / rows)
        .cast<double>();
  };
  const ResUNetConfig config = config_from(file.metadata, origin);
  const int64_t outputs = config.outputs, inputs = resunet_variant(config.model).up[0];
  const int64_t rank = inputs + 1, fewest = (rank + 7) / 8 * 8;
  Tensor *weight = tensor("final.weight"), *bias = tensor("final.bias");
  Tensor* reduce = tensor(std::string(ScoreHead::prefix) + "reduce.weight");
  // What does not fit is for load_weights() to refuse, as it is.
  const auto fits = [](const Tensor* t, const Shape& shape) {
    return t && t->shape() == shape && t->dtype() <= DType::bf16;  // floats
  };
  if (fewest >= outputs || !fits(weight, {outputs, inputs, 1, 1}) || !fits(bias, {outputs}) ||
      (reduce && (reduce->rank() != 4 || reduce->dim(0) == 0 ||
                  !fits(reduce, {reduce->dim(0), outputs, 1, 1}))))
    return file;

  Eigen::MatrixXd m(outputs, rank);
  m << matrix(*weight, outputs), matrix(*bias, outputs);
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(m);
  Eigen::MatrixXd r = Eigen::MatrixXd::Zero(fewest, rank);
  r.topRows(rank) = qr.matrixQR().topRows(rank).triangularView<Eigen::Upper>();
  const Eigen::MatrixXd q =
      qr.householderQ() * Eigen::MatrixXd::Identity(outputs, fewest);  // the last meet zeros
  const auto set = [](Tensor& t, Shape shape, const Eigen::MatrixXd& values) {
    t = Tensor::empty(shape);
    Eigen::Map<Matrix>(t.data<float>(), values.rows(), values.cols()) = values.cast<float>();
  };
  set(*weight, {fewest, inputs, 1, 1}, r.leftCols(inputs));
  set(*bias, {fewest}, r.rightCols(1));
  if (reduce) {
    const int64_t n = reduce->dim(0);
    set(*reduce, {n, fewest, 1, 1}, matrix(*reduce, n) * q);
  }
  file.metadata["outputs"] = std::to_string(fewest);
  return file;
}

Weights load_weights(const nn::TensorFile& file, const std::string& origin) {
  const nn::SkipInit skip;
  Random unused(0);
  Weights w{std::make_unique<ResUNet>(config_from(file.metadata, origin), unused), file.metadata};
  nn::import_state(*w.network, file.tensors, origin);
  w.network->eval();
  return w;
}

Weights load_weights(const std::string& path) { return load_weights(read_weights(path), path); }

}  // namespace cairn::ucn
