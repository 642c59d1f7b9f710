// Python's pickles, read as data: nothing in them is ever run.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cairn::nn {

/// What a pickle describes. Where it would make an object by calling something, the call itself is
/// kept, whatever it names.
struct PickleValue {
  enum Kind {
    none,
    boolean,
    integer,
    real,
    text,        ///< a string, or bytes
    sequence,    ///< a tuple, list or set: its items
    dictionary,  ///< its entries
    name,        ///< of a class or function: module.name in `string`
    call,        ///< of the name in `string`; items: first, a sequence of its arguments
    persistent,  ///< what the pickle only refers to; items: one, the reference
  };
  Kind kind = none;
  int64_t number = 0;  ///< of a boolean or integer
  double real_number = 0;
  std::string string = {};
  std::vector<const PickleValue*> items = {};
  std::vector<std::pair<const PickleValue*, const PickleValue*>> entries = {};
  const PickleValue* state = nullptr;  ///< of an object made by a call

  bool is_text(std::string_view what) const { return kind == text && string == what; }
};

class Pickle {
 public:
  /// Reads the pickle at the front of `bytes`, protocols 2 to 5 (and of 0 and 1 what needs no
  /// unescaping). Throws ErrorId::format, naming `origin` and the byte, for what is damaged or of
  /// no use in a file of weights.
  Pickle(std::span<const uint8_t> bytes, const std::string& origin);
  const PickleValue& root() const { return *root_; }
  const std::deque<PickleValue>& values() const { return values_; }
  /// How many bytes it took.
  size_t size() const { return size_; }

 private:
  std::deque<PickleValue> values_;  // which refer to each other, perhaps in circles
  const PickleValue* root_ = nullptr;
  size_t size_ = 0;
};

}  // namespace cairn::nn
