// The flags about weights, keypoints and matching that match and eval share.
#pragma once

#include "bin/program.h"
#include "ucn/matcher_settings.h"

namespace cairn {

struct MatcherFlags : ucn::MatcherSettings {
  Machine machine;

  /// Those of ucn/matcher_settings.h, but for one group.
  void add_options(CLI::App& app, const std::string& left_out = "") {
    for (const ucn::Setting& s : ucn::matcher_settings()) {
      if (s.group == left_out) continue;
      if (*s.takes == 0) {
        app.add_flag_callback(
               s.name, [&] { s.set(*this, "true"); }, s.help)
            ->group(s.group);
        continue;
      }
      app.add_option_function<std::string>(
             s.name, [&](const std::string& text) { s.set(*this, text); }, s.help)
          ->check(CLI::Validator(
              [&](std::string& text) {
                ucn::MatcherSettings scratch;
                return s.set(scratch, text);
              },
              s.choices.empty() ? "" : CLI::detail::generate_set(s.choices)))
          ->type_name(s.takes)
          ->default_str(s.get(*this))
          ->group(s.group);
    }
    machine.add_options(app, "Machine");
  }
};

}  // namespace cairn
