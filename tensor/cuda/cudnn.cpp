#include "tensor/cuda/cudnn.h"

#include <cudnn_graph.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "tensor/cuda/library.h"
#include "tensor/cuda/plan_cache.h"
#include "tensor/cuda/stream.h"
#include "tensor/tensor.h"

namespace cairn::cuda {
namespace {

/// The functions used, found in the library when it is first needed.
struct Api {
  Library library{{"libcudnn_graph.so.9", "libcudnn.so.9"}};
#define CAIRN_FIND(f) decltype(&::f) f = library.function<decltype(::f)>(#f)
  CAIRN_FIND(cudnnGetVersion);
  CAIRN_FIND(cudnnGetErrorString);
  CAIRN_FIND(cudnnGetLastErrorString);
  CAIRN_FIND(cudnnCreate);
  CAIRN_FIND(cudnnSetStream);
  CAIRN_FIND(cudnnBackendCreateDescriptor);
  CAIRN_FIND(cudnnBackendDestroyDescriptor);
  CAIRN_FIND(cudnnBackendSetAttribute);
  CAIRN_FIND(cudnnBackendGetAttribute);
  CAIRN_FIND(cudnnBackendFinalize);
  CAIRN_FIND(cudnnBackendExecute);
#undef CAIRN_FIND
  std::string status = library.problem();

  Api() {
    if (!library.usable()) return;
    const size_t v = cudnnGetVersion();
    status = cat("cuDNN ", v / 10000, ".", v / 100 % 100, ".", v % 100);
  }
};

const Api& api() {
  static const auto* const functions = new Api;  // never destroyed: plans may be, later
  return *functions;
}

/// `number`: of the descriptor or attribute that `what` is about; -1: of none.
void check(cudnnStatus_t code, std::string_view what, int number = -1) {
  if (code == CUDNN_STATUS_SUCCESS) return;
  char text[1024] = "";
  api().cudnnGetLastErrorString(text, sizeof text);
  const std::string detail = text;
  throw Error(ErrorId::device, "cudnn",
              cat(what, number < 0 ? "" : cat(" ", number), ": ", api().cudnnGetErrorString(code),
                  detail.empty() ? "" : ", ", detail));
}

template <class T>
constexpr cudnnBackendAttributeType_t attribute_type() {
  if constexpr (std::is_same_v<T, cudnnHandle_t>)
    return CUDNN_TYPE_HANDLE;
  else if constexpr (std::is_same_v<T, cudnnDataType_t>)
    return CUDNN_TYPE_DATA_TYPE;
  else if constexpr (std::is_same_v<T, bool>)
    return CUDNN_TYPE_BOOLEAN;
  else if constexpr (std::is_same_v<T, int64_t>)
    return CUDNN_TYPE_INT64;
  else if constexpr (std::is_same_v<T, float>)
    return CUDNN_TYPE_FLOAT;
  else if constexpr (std::is_same_v<T, char>)
    return CUDNN_TYPE_CHAR;
  else if constexpr (std::is_same_v<T, cudnnConvolutionMode_t>)
    return CUDNN_TYPE_CONVOLUTION_MODE;
  else if constexpr (std::is_same_v<T, cudnnPointwiseMode_t>)
    return CUDNN_TYPE_POINTWISE_MODE;
  else if constexpr (std::is_same_v<T, cudnnNanPropagation_t>)
    return CUDNN_TYPE_NAN_PROPOGATION;
  else if constexpr (std::is_same_v<T, cudnnBackendHeurMode_t>)
    return CUDNN_TYPE_HEUR_MODE;
  else if constexpr (std::is_same_v<T, cudnnBackendNumericalNote_t>)
    return CUDNN_TYPE_NUMERICAL_NOTE;
  else if constexpr (std::is_same_v<T, cudnnBackendBehaviorNote_t>)
    return CUDNN_TYPE_BEHAVIOR_NOTE;
  else {
    // A pointer to data; descriptors, which are void* too, are set by name.
    static_assert(std::is_same_v<T, void*>);
    return CUDNN_TYPE_VOID_PTR;
  }
}

/// One of cuDNN's backend descriptors: attributes are set, it is finalized, then used.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check(api().cudnnBackendCreateDescriptor(type, &raw_), "creating descriptor", type);
  }
  ~Descriptor() {
    if (raw_) api().cudnnBackendDestroyDescriptor(raw_);
  }
  Descriptor(Descriptor&& from) noexcept : raw_(std::exchange(from.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& from) noexcept {
    std::swap(raw_, from.raw_);
    return *this;
  }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, const T* values, size_t count) {
    return set(name, attribute_type<T>(), values, count);
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, T value) {
    return set(name, &value, 1);
  }
  template <size_t n>
  Descriptor& set(cudnnBackendAttributeName_t name, const std::array<int64_t, n>& values) {
    return set(name, values.data(), n);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, &value.raw_, 1);
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<const Descriptor*>& values) {
    std::vector<cudnnBackendDescriptor_t> raw;
    for (const auto* v : values) raw.push_back(v->raw_);
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.data(), raw.size());
  }
  Descriptor&& finalize(std::string_view what) {
    check(api().cudnnBackendFinalize(raw_), what);
    return std::move(*this);
  }

  template <class T>
  T get(cudnnBackendAttributeName_t name) const {
    T value{};
    get(name, attribute_type<T>(), &value, 1);
    return value;
  }
  /// As many values as there are, at most `most`.
  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, int64_t most) const {
    std::vector<T> values(size_t(most), T{});
    values.resize(size_t(std::min(most, get(name, attribute_type<T>(), values.data(), most))));
    return values;
  }
  /// Descriptors: `into` are created ones, of which as many as there are get their value.
  int64_t get(cudnnBackendAttributeName_t name, std::vector<Descriptor>& into) const {
    std::vector<cudnnBackendDescriptor_t> raw;
    for (const auto& d : into) raw.push_back(d.raw_);
    return get(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, raw.empty() ? nullptr : raw.data(),
               int64_t(raw.size()));
  }
  cudnnBackendDescriptor_t raw() const { return raw_; }

 private:
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                  const void* values, size_t count) {
    check(api().cudnnBackendSetAttribute(raw_, name, type, int64_t(count), values),
          "setting attribute", name);
    return *this;
  }
  int64_t get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, void* values,
              int64_t most) const {
    int64_t count = 0;
    check(api().cudnnBackendGetAttribute(raw_, name, type, most, &count, values),
          "reading attribute", name);
    return count;
  }

  cudnnBackendDescriptor_t raw_ = nullptr;
};

cudnnDataType_t data_type(DType type) {
  return type == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

Descriptor tensor_descriptor(const ConvTensor& t) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, t.uid)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type(t.type))
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, t.dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, t.strides)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t(16))
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, t.is_virtual);
  return d.finalize("a tensor");
}

Descriptor convolution_descriptor(const kernels::Conv2dGeometry& g) {
  Descriptor d(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int64_t(2))
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, g.dilation)
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, g.stride)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, g.padding)
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, g.padding);
  return d.finalize("the convolution's geometry");
}

/// A ConvGraph in cuDNN's terms, with all that it refers to.
class Graph {
 public:
  Graph(const ConvProblem& problem, cudnnHandle_t handle) : whole_(build(problem, handle)) {}
  const Descriptor& whole() const { return whole_; }
  const ConvGraph& description() const { return graph_; }

 private:
  const Descriptor& tensor(int64_t uid) const {
    for (size_t i = 0; i < graph_.tensors.size(); ++i)
      if (graph_.tensors[i].uid == uid) return tensors_[i];
    throw Error(ErrorId::argument, "cudnn", cat("no tensor ", uid));
  }
  Descriptor convolution(const ConvProblem& p) {
    parts_.push_back(convolution_descriptor(p.geometry));
    // The attributes of a kind, in the order geometry, x, w, y, alpha, beta.
    struct Names {
      cudnnBackendDescriptorType_t type;
      cudnnBackendAttributeName_t geometry, x, w, y, alpha, beta;
    };
    static constexpr Names all[] = {
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
        {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
    };
    const Names& n = all[size_t(p.kind)];
    // With an epilogue the convolution's own result is another tensor than the problem's.
    const int64_t to = graph_.operations[0].result;
    const auto own = [&](ConvUid uid, ConvKind kind) { return p.kind == kind ? to : int64_t(uid); };
    Descriptor d(n.type);
    d.set(n.geometry, parts_.back())
        .set(n.x, tensor(own(uid_x, ConvKind::data_grad)))
        .set(n.w, tensor(own(uid_w, ConvKind::weight_grad)))
        .set(n.y, tensor(own(uid_y, ConvKind::forward)))
        .set(n.alpha, 1.0f)
        .set(n.beta, 0.0f);
    return d.finalize("the convolution");
  }
  Descriptor pointwise(const ConvOperation& op) {
    const bool add = op.kind == ConvOperation::add;
    Descriptor mode(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    mode.set(CUDNN_ATTR_POINTWISE_MODE, add ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD)
        .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    if (!add) mode.set(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN);
    parts_.push_back(mode.finalize("a pointwise mode"));
    Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, parts_.back())
        .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tensor(op.a));
    if (add) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tensor(op.b));
    d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, tensor(op.result));
    return d.finalize(add ? "an addition" : "a ReLU");
  }
  Descriptor build(const ConvProblem& problem, cudnnHandle_t handle) {
    graph_ = describe(problem);
    for (const auto& t : graph_.tensors) tensors_.push_back(tensor_descriptor(t));
    for (const auto& op : graph_.operations)
      operations_.push_back(op.kind == ConvOperation::convolution ? convolution(problem)
                                                                  : pointwise(op));
    std::vector<const Descriptor*> operations;
    for (const auto& op : operations_) operations.push_back(&op);
    Descriptor d(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    d.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
    if (handle) d.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle);
    return d.finalize("the graph of operations");
  }

  ConvGraph graph_;
  std::vector<Descriptor> tensors_, parts_, operations_;
  Descriptor whole_;
};

/// What plans are made for: a GPU in use, by its handle, or the properties of one.
struct Target {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;
};

std::vector<Descriptor> heuristics(const Graph& graph, const Target& target,
                                   cudnnBackendHeurMode_t mode) {
  Descriptor d(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  d.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.whole()).set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  if (target.properties) d.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *target.properties);
  d.finalize("the choice of engines");
  std::vector<Descriptor> engines;
  const int64_t count = d.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, engines);
  for (int64_t i = 0; i < count; ++i) engines.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  const int64_t got = count ? d.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, engines) : 0;
  while (int64_t(engines.size()) > got) engines.pop_back();
  return engines;
}

Descriptor engine_of(const Descriptor& config) {
  std::vector<Descriptor> engine;
  engine.emplace_back(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  config.get(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  return std::move(engine[0]);
}

EngineNotes notes_of(const Descriptor& engine) {
  EngineNotes notes;
  for (auto note : engine.get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                           CUDNN_NUMERICAL_NOTE_TYPE_COUNT))
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        notes.tensor_core = true;
        break;
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        notes.down_convert = true;
        break;
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        notes.reduced_sum = true;
        break;
      case CUDNN_NUMERICAL_NOTE_FFT:
        notes.fft = true;
        break;
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        notes.nondeterministic = true;
        break;
      case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        notes.winograd = true;
        break;
      default:
        break;
    }
  return notes;
}

struct Plan {
  std::unique_ptr<Graph> graph;  // alive as long as the plan that was made of it
  std::optional<Descriptor> config, plan;
  int64_t workspace = 0;
  std::string text;  // of the engine, or why there is none
};

std::string text_of(const Descriptor& engine, const EngineNotes& n, int64_t workspace) {
  std::string text = cat("engine ", engine.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX));
  if (n.tensor_core) text += ", tensor cores";
  if (n.down_convert) text += ", rounds operands";
  if (n.winograd) text += ", Winograd";
  if (n.fft) text += ", Fourier";
  if (n.nondeterministic) text += ", not deterministic";
  for (auto note : engine.get<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                          CUDNN_BEHAVIOR_NOTE_TYPE_COUNT))
    if (note == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) text += ", compiled when needed";
  return text + cat(", workspace of ", workspace, " bytes");
}

/// Fills in what the first engine of `mode` that may and can run the problem needs; if there is
/// none, `why` gets the reasons.
bool find_plan(Plan& made, const ConvProblem& problem, const Target& target,
               cudnnBackendHeurMode_t mode, std::string& why) {
  std::vector<Descriptor> configs = heuristics(*made.graph, target, mode), engines;
  std::vector<Candidate> candidates;
  for (auto& config : configs) {
    engines.push_back(engine_of(config));
    candidates.push_back(
        {notes_of(engines.back()), [&made, &target, &config] {
           Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
           if (target.handle) plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, target.handle);
           if (target.properties)
             plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *target.properties);
           plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config).finalize("the plan");
           made.workspace = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
           made.plan = std::move(plan);
           return made.workspace;
         }});
  }
  const auto best = choose(candidates, problem, why);
  if (!best) {
    made.plan.reset();
    return false;
  }
  made.text = text_of(engines[*best], candidates[*best].notes, made.workspace);
  made.config = std::move(configs[*best]);
  return true;
}

std::shared_ptr<Plan> make_plan(const ConvProblem& problem, const Target& target) {
  auto made = std::make_shared<Plan>();
  try {
    made->graph = std::make_unique<Graph>(problem, target.handle);
  } catch (const Error& e) {
    made->text = e.what();
    return made;
  }
  std::string why;
  for (auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) try {
      if (find_plan(*made, problem, target, mode, why)) return made;
    } catch (const Error& e) {
      why += cat(why.empty() ? "" : "; ", e.what());
    }
  made->text = why.empty() ? "cuDNN knows no engine for it" : why;
  return made;
}

/// cuDNN on the device in use.
struct Cudnn {
  cudnnHandle_t handle = nullptr;
  PlanCache<ConvProblem::Key, Plan> plans{512};
  std::mutex mutex;  // a handle serves one thread at a time

  Cudnn() {
    const cudaStream_t work = stream();  // chooses the device, so it comes first
    check(api().cudnnCreate(&handle), "starting cuDNN");
    check(api().cudnnSetStream(handle, work), "giving cuDNN its stream");
  }
  std::shared_ptr<Plan> plan(const ConvProblem& problem) {
    return plans.get(problem.key(), [&] { return make_plan(problem, {handle, nullptr}); });
  }
};

/// Throws ErrorId::device when it does not start. Only if the library is usable.
Cudnn& cudnn() {
  static auto* const started = new Cudnn;  // never destroyed: the driver may be gone by then
  return *started;
}

}  // namespace

const std::string& cudnn_status() { return api().status; }

bool convolve(const ConvProblem& problem, void* result, const void* a, const void* b,
              const void* bias, const void* residual) {
  if (!use_libraries() || problem.type == DType::f64 || !api().library.usable()) return false;
  stream();  // chooses this thread's device
  Cudnn& c = cudnn();
  std::lock_guard lock(c.mutex);
  const auto plan = c.plan(problem);
  if (!plan->plan) return false;

  const ConvGraph& graph = plan->graph->description();
  const auto& convolution = graph.operations[0];
  std::vector<int64_t> uids{graph.result, convolution.a, convolution.b};
  std::vector<void*> pointers{result, const_cast<void*>(a), const_cast<void*>(b)};
  if (problem.bias) {
    uids.push_back(uid_bias);
    pointers.push_back(const_cast<void*>(bias));
  }
  if (problem.residual) {
    uids.push_back(uid_residual);
    pointers.push_back(const_cast<void*>(residual));
  }
  // Given back when this returns: whatever gets it next runs later on the same stream.
  Tensor workspace;
  if (plan->workspace > 0) workspace = Tensor::empty({plan->workspace}, DType::u8, Device::cuda);
  try {
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids.data(), uids.size())
        .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, pointers.data(), pointers.size())
        .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, workspace.device_raw())
        .finalize("the pointers");
    check(api().cudnnBackendExecute(c.handle, plan->plan->raw(), pack.raw()), "starting the work");
  } catch (const Error& e) {
    throw Error(ErrorId::device, "cudnn", cat(problem.text(), ", ", plan->text, ": ", e.what()));
  }
  detail::started("cuDNN's convolution");
  return true;
}

ConvReport conv_report(const ConvProblem& problem, const std::string& device) {
  if (!api().library.usable()) return {false, 0, api().status};
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, device.c_str(), device.size() + 1)
      .finalize("the device's properties");
  const auto plan = make_plan(problem, {nullptr, &properties});
  return {plan->plan.has_value(), plan->workspace, plan->text};
}

}  // namespace cairn::cuda
