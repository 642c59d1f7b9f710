// What all programs share: exit codes, one line for an error, help that shows defaults.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>

#include "tensor/error.h"

namespace cairn {

/// Exit codes: 0 done, 1 failed, 2 bad usage.
enum ExitCode { done = 0, failed = 1, bad_usage = 2 };

/// Adds the options, parses the command line, then runs `body`. Every error becomes one line on
/// stderr.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& options,
                       const std::function<int()>& body) {
  const std::string name = app.get_name();
  const auto say = [&](const std::string& text) {
    std::string line = text.substr(0, text.find_last_not_of("\n ") + 1);
    for (char& c : line)
      if (c == '\n' || c == '\r') c = ' ';
    // An error of the program's own already begins with its name.
    std::fprintf(stderr, "%s%s\n", line.starts_with(name + ":") ? "" : (name + ": ").c_str(),
                 line.c_str());
  };
  app.get_formatter()->column_width(34);
  try {
    options();
    app.parse(argc, argv);
    return body();
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return done;
  } catch (const CLI::Error& e) {
    say(std::string(e.what()) + " (" + name + " --help shows the options)");
    return bad_usage;
  } catch (const Error& e) {
    say(e.what());
    return e.id() == ErrorId::usage ? bad_usage : failed;
  } catch (const std::exception& e) {
    say(e.what());
    return failed;
  }
}

}  // namespace cairn
