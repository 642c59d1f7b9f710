// What all programs share: exit codes, one line for an error, help, the machine's flags.
#pragma once

#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "bin/manual.h"
#include "tensor/cuda/runtime.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace cairn {

inline constexpr const char* version = "0.1.0";  // as in CMakeLists.txt

/// Exit codes: 0 done, 1 failed, 2 bad usage.
enum ExitCode { done = 0, failed = 1, bad_usage = 2 };

/// Whether what goes to a file descriptor may be coloured: it is a terminal, and nobody minds
/// (https://no-color.org).
inline bool colored(int descriptor) {
  const char *no = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return ::isatty(descriptor) == 1 && !(no && *no) && term && std::strcmp(term, "dumb") != 0;
}

/// --quiet: nothing but errors and warnings is said.
inline bool quiet = false;

/// Checks of an option's value.
inline CLI::Validator number(const char* what, bool (*ok)(double)) {
  return CLI::Validator(
      [=](std::string& text) {
        char* end = nullptr;
        const double v = std::strtod(text.c_str(), &end);
        return !text.empty() && *end == 0 && ok(v)
                   ? ""
                   : std::string("must be ") + what + ", not " + text;
      },
      "");
}
inline CLI::Validator positive() {
  return number("positive", [](double v) { return v > 0 && std::isfinite(v); });
}
inline CLI::Validator not_negative() {
  return number("0 or more", [](double v) { return v >= 0 && std::isfinite(v); });
}

/// The flags about the machine.
struct Machine {
  std::string device = "auto";
  int threads = 0;

  void add_options(CLI::App& app, const std::string& group) {
    app.add_option("--device", device, "auto (a GPU if one works), cpu, cuda or cuda:N")
        ->check(CLI::Validator(
            [](std::string& text) {
              return is_device_name(text) ? "" : "must be auto, cpu, cuda or cuda:N, not " + text;
            },
            "{auto,cpu,cuda}"))
        ->group(group);
    app.add_option("--threads", threads, "0: all cores")
        ->check(number("a number from 0 to 1024", [](double v) { return v >= 0 && v <= 1024; }))
        ->group(group);
  }
  Device use() const {
    if (threads > 0) set_num_threads(threads);
    return use_device(device);
  }
};

/// For the header of a run: "2 threads, fp32" or "NVIDIA H100 80GB HBM3 (sm_90, 79.2 GiB), tf32".
inline std::string describe(Device device, const std::string& precision) {
  return cat(device == Device::cuda ? cuda::device_name() : cat(num_threads(), " threads"), ", ",
             precision);
}

/// The most memory the process has held, in bytes, as the system counts it; 0 if it does not say.
inline double peak_resident_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return 1024 * std::atof(line.c_str() + 6);
  return 0;
}

/// File names may hold line breaks and what steers a terminal, messages may end in one.
inline std::string one_line(const std::string& text) {
  std::string line = text.substr(0, text.find_last_not_of("\n ") + 1);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
  return line;
}

/// What the program is called, here and in what it says.
inline std::string program;

/// One line on stderr that begins with the program's name.
inline void warn(const std::string& text) {
  const bool color = colored(STDERR_FILENO);
  std::fprintf(stderr, "%s%s:%s %s\n", color ? "\033[1;31m" : "", program.c_str(),
               color ? "\033[0m" : "", one_line(text).c_str());
}

/// Adds the options, parses the command line, then runs `body`. Every error becomes one line on
/// stderr. Installed as cairn-NAME, the program calls itself that.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<void()>& options,
                       const std::function<int()>& body) {
  const std::string own = app.get_name(), called = argv[0];
  if (called.substr(called.rfind('/') + 1) == "cairn-" + own.substr(0, own.find(' ')))
    app.name("cairn-" + own);
  program = app.get_name();
  const auto say = [&](std::string text) {
    // An error of the program's own already begins with its name.
    if (text.starts_with(own + ": ")) text.erase(0, own.size() + 2);
    warn(text);
  };
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too large is an error like a full disk
  app.formatter(std::make_shared<HelpFormatter>(
      [](const std::string& t) { return colored(STDOUT_FILENO) ? "\033[1m" + t + "\033[0m" : t; }));
  const auto made = [&](const std::string& shell) {
    require(app.get_name().find(' ') == std::string::npos, ErrorId::usage, own,
            "--completion is not for '", app.get_name(), "'");
    return shell == "bash" ? bash_completion(app) : zsh_completion(app);
  };
  try {
    int code = done;
    try {
      options();
      app.add_flag("--quiet", quiet, "say nothing but what is wrong")->group("Help");
      app.add_option_function<std::string>(
             "--completion",
             [&](const std::string& shell) { throw CLI::CallForVersion(made(shell), 0); },
             "bash or zsh: print a script that completes these options")
          ->check(CLI::IsMember({"bash", "zsh"}))
          ->type_name("SHELL")
          ->group("Help");
      app.add_flag_callback(
             "--man", [&] { throw CLI::CallForVersion(man_page(app, version), 0); },
             "print the manual's page (--man | man -l -)")
          ->group("Help");
      app.set_help_flag("-h,--help", "this text")->group("Help");
      app.set_version_flag("--version", program + " (cairn) " + version, "the version")
          ->group("Help");
      app.parse(argc, argv);
      if (quiet) require(std::freopen("/dev/null", "w", stdout), ErrorId::io, own, "no /dev/null");
      code = body();
    } catch (const CLI::CallForHelp&) {
      std::fputs(app.help().c_str(), stdout);
    } catch (const CLI::CallForVersion& e) {
      std::puts(e.what());
    }
    require(std::fflush(stdout) == 0 && !std::ferror(stdout), ErrorId::io, own,
            "cannot write to the standard output");
    return code;
  } catch (const CLI::Error& e) {
    say(std::string(e.what()) + " (" + program + " --help shows the options)");
    return bad_usage;
  } catch (const Error& e) {
    say(e.what());
    return e.id() == ErrorId::usage ? bad_usage : failed;
  } catch (const std::bad_alloc&) {
    say("out of memory");
  } catch (const std::exception& e) {
    say(e.what());
  }
  return failed;
}

}  // namespace cairn
