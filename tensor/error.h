// One exception for the whole project. The library throws; only bin/ prints and exits.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cairn {

/// Joins anything printable into one string: cat("has ", 3, " channels").
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

/// What kind of mistake an Error reports. The names are stable: programs may branch on them.
enum class ErrorId {
  argument,  ///< a value outside what the operation accepts
  shape,     ///< shapes that do not fit together
  dtype,     ///< a data type the operation does not take
  device,    ///< a device that is absent or does not match
  index,     ///< an index outside its range
  memory,    ///< out of memory
  graph,     ///< autograd misuse: freed graph, no gradient, ...
  nan,       ///< anomaly mode met a value that is not finite
  io,        ///< the operating system refused: missing, unreadable, full, ...
  format,    ///< a file whose bytes are not what they claim to be
  weights,   ///< weights that do not fit the model
  usage,     ///< a command line that contradicts itself
};

std::string_view name(ErrorId id);

/// An error names the operation, what came, what was expected and what to do next, on one line:
/// "conv2d: the input has 3 channels, but the weight expects 1. Hint: ...".
class Error : public std::runtime_error {
 public:
  Error(ErrorId id, std::string_view op, const std::string& text, const std::string& hint = "");
  ErrorId id() const noexcept { return id_; }

 private:
  ErrorId id_;
};

/// Throws an Error made of `parts` unless `ok`. The text is only built when it is needed.
template <class... Parts>
void require(bool ok, ErrorId id, std::string_view op, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw Error(id, op, cat(parts...));
}

}  // namespace cairn
