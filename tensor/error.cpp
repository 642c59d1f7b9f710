#include "tensor/error.h"

#include <array>

namespace cairn {

std::string_view name(ErrorId id) {
  static constexpr std::array<std::string_view, 12> names = {
      "argument", "shape", "dtype", "device", "index",   "memory",
      "graph",    "nan",   "io",    "format", "weights", "usage"};
  return names.at(static_cast<size_t>(id));
}

Error::Error(ErrorId id, std::string_view op, const std::string& text, const std::string& hint)
    : std::runtime_error(cat(op, ": ", text,
                             hint.empty()          ? ""
                             : text.ends_with('.') ? " Hint: "
                                                   : ". Hint: ",
                             hint)),
      id_(id) {}

}  // namespace cairn
