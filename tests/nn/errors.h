// What an operation refuses, and how it says so.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "tensor/error.h"

namespace cairn {

/// The text of the Error that f throws; its id must be `id`.
template <class F>
std::string error_of(ErrorId id, F&& f) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(name(e.id()) == name(id));
    return e.what();
  }
  FAIL_CHECK("no error was thrown");
  return "";
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace cairn
