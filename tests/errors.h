// What an operation refuses, and how it says so.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "tensor/error.h"

namespace cairn {

/// The text of the Error that f throws; empty if it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// The same, and its id must be `id`.
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

/// "id: text" of the Error that f throws; "no error" if it throws none.
template <class F>
std::string full_error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return cat(name(e.id()), ": ", e.what());
  }
  return "no error";
}

inline bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace cairn
