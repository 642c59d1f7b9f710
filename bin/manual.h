// Made of a program's own table of options: its help, its man page, completion for bash and zsh.
#pragma once

#include <CLI/CLI.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tensor/error.h"

namespace cairn {

/// Examples, one a line: a command, a tab, what it does. They are kept as the app's footer.
inline std::vector<std::pair<std::string, std::string>> examples_of(const CLI::App& app) {
  std::vector<std::pair<std::string, std::string>> examples;
  std::istringstream lines(app.get_footer());
  for (std::string line; std::getline(lines, line);) {
    const size_t tab = line.find('\t');
    examples.emplace_back(line.substr(0, tab),
                          tab == std::string::npos ? "" : line.substr(tab + 1));
  }
  return examples;
}

/// What an option may be, where that is a list: "NAME:{a,b}" of CLI11's and our checks.
inline std::vector<std::string> choices_of(const CLI::Option& o) {
  const std::string type = o.get_type_name();
  const size_t begin = type.find(":{"), end = type.find('}', begin);
  std::vector<std::string> choices;
  if (begin == std::string::npos || end == std::string::npos) return choices;
  std::istringstream list(type.substr(begin + 2, end - begin - 2));
  for (std::string c; std::getline(list, c, ',');) choices.push_back(c);
  return choices;
}

inline bool is_switch(const CLI::Option& o) { return o.get_expected_max() == 0; }

/// Options that the help shows, but for the arguments without a name.
inline std::vector<const CLI::Option*> named_options(const CLI::App& app) {
  return app.get_options(
      [](const CLI::Option* o) { return !o->get_group().empty() && !o->get_lnames().empty(); });
}

/// A usage line, examples, then the groups of options: name, what it takes, what it does, [its
/// default].
class HelpFormatter : public CLI::Formatter {
 public:
  /// `heading`: puts a text into a terminal's letters for headings.
  explicit HelpFormatter(std::function<std::string(const std::string&)> heading = {})
      : heading_(std::move(heading)) {
    column_width(30);
    label("TEXT", "NAME");
    label("INT", "N");
    label("UINT", "N");
    label("FLOAT", "X");
  }
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const override {
    const auto heading = [&](const std::string& text) { return heading_ ? heading_(text) : text; };
    std::string text = app->get_description() + "\n" + heading("Usage:") + " " + usage(*app) + "\n";
    const auto examples = examples_of(*app);
    if (!examples.empty()) text += "\n" + heading("Examples") + "\n";
    const std::string prefix = app->get_name().starts_with("cairn-") ? "cairn-" : "";
    for (const auto& [command, what] : examples)
      text += "  " + prefix + command + (what.empty() ? "" : "\n      " + what) + "\n";
    for (const std::string& group : app->get_groups()) {
      if (group.empty()) continue;  // not for the help
      text += "\n" + heading(group) + "\n";
      for (const CLI::Option* o :
           app->get_options([&](const CLI::Option* o) { return o->get_group() == group; }))
        text += make_option(o, o->get_positional());
    }
    return text;
  }
  std::string usage(const CLI::App& app) const {
    std::string text = app.get_name();
    for (const CLI::Option* o : app.get_options()) {
      const std::string one = make_option_name(o, o->get_positional()) + make_option_opts(o);
      if (o->get_required()) text += " " + one;
      if (o->get_positional() && !o->get_required()) text += " [" + one + "]";
    }
    return text + " [options]";
  }
  /// Names that only stand for another are left out, and what CLI11 adds to those that say no.
  std::string make_option_name(const CLI::Option* o, bool is_positional) const override {
    const auto& names = o->get_lnames();
    const std::string name =
        is_positional || names.empty() || (names.size() == 1 && !o->get_snames().empty())
            ? CLI::Formatter::make_option_name(o, is_positional)
            : "--" + names[0];
    return name.substr(0, name.find('{'));
  }
  std::string make_option_opts(const CLI::Option* o) const override {
    if (is_switch(*o) || o->get_positional()) return "";
    const std::string type = o->get_type_name();  // followed by :what the checks say
    return " " + get_label(type.substr(0, type.find(':')));
  }
  std::string make_option_desc(const CLI::Option* o) const override {
    const std::string text = o->get_default_str();
    return o->get_description() + (text.empty() || text == "[]" ? "" : " [" + text + "]");
  }

 private:
  std::function<std::string(const std::string&)> heading_;
};

/// "prepare show" is installed as cairn-prepare-show.
inline std::string installed_name(const CLI::App& app) {
  std::string name = app.get_name();
  std::ranges::replace(name, ' ', '-');
  return name.starts_with("cairn-") ? name : "cairn-" + name;
}

/// A page for man(1), in roff.
inline std::string man_page(const CLI::App& app, const std::string& version) {
  const HelpFormatter form;
  const auto plain = [](const std::string& text) {
    std::string t;
    for (const char c : text) t += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
    return t.starts_with('.') || t.starts_with('\'') ? "\\&" + t : t;
  };
  const std::string name = installed_name(app), description = app.get_description();
  const std::string called =
      (app.get_name().starts_with("cairn-") ? "" : "cairn-") + app.get_name();
  std::string upper = name, page;
  for (char& c : upper) c = char(std::toupper(static_cast<unsigned char>(c)));
  page = cat(".TH ", upper, " 1 \"\" \"cairn ", version, "\"\n.SH NAME\n", plain(name), " \\- ",
             plain(description.substr(0, description.find('\n'))), "\n.SH SYNOPSIS\n",
             plain(called + form.usage(app).substr(app.get_name().size())), "\n");
  if (!examples_of(app).empty()) page += ".SH EXAMPLES\n";
  for (const auto& [command, what] : examples_of(app))
    page += cat(".TP\n\\fB", plain("cairn-" + command), "\\fR\n", plain(what), "\n");
  page += ".SH OPTIONS\n";
  for (const std::string& group : app.get_groups()) {
    if (group.empty()) continue;
    page += cat(".SS ", plain(group), "\n");
    for (const CLI::Option* o :
         app.get_options([&](const CLI::Option* o) { return o->get_group() == group; }))
      page += cat(".TP\n\\fB", plain(form.make_option_name(o, o->get_positional())), "\\fR\\fI",
                  plain(form.make_option_opts(o)), "\\fR\n", plain(form.make_option_desc(o)), "\n");
  }
  return page +
         ".SH EXIT STATUS\n0: done; 1: failed; 2: the command line makes no sense.\n"
         ".SH ENVIRONMENT\nCAIRN_THREADS: the number of threads. CAIRN_SIMD: the "
         "instruction set. NO_COLOR: no colours on a terminal.\n";
}

/// Completes options, the values of those that have a list, and files; for bash.
inline std::string bash_completion(const CLI::App& app) {
  const std::string name = app.get_name(), installed = installed_name(app);
  std::string function = "_" + installed, all, cases;
  std::ranges::replace(function, '-', '_');
  for (const CLI::Option* o : named_options(app)) {
    std::string words, patterns;
    for (const std::string& n : o->get_lnames()) {
      all += (all.empty() ? "" : " ") + ("--" + n);
      patterns += (patterns.empty() ? "" : "|") + ("--" + n);
    }
    for (const std::string& c : choices_of(*o)) words += (words.empty() ? "" : " ") + c;
    if (!words.empty())
      cases += cat("    ", patterns, ") COMPREPLY=($(compgen -W \"", words,
                   "\" -- \"$word\")); return ;;\n");
  }
  return cat(function, "() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\"\n",
             "  case \"${COMP_WORDS[COMP_CWORD-1]}\" in\n", cases, "  esac\n",
             "  [[ $word != -* ]] || COMPREPLY=($(compgen -W \"", all, "\" -- \"$word\"))\n}\n",
             "complete -o bashdefault -o default -F ", function, " ", installed, " bin/", name,
             " ./",
             name);  // by default bash completes files
}

/// The same for zsh, with what each option does: to be sourced, or put on its fpath.
inline std::string zsh_completion(const CLI::App& app) {
  const std::string name = app.get_name(), installed = installed_name(app);
  const auto quoted = [](const std::string& text) {
    std::string t;
    for (const char c : text)
      t += c == '\''                          ? "'\\''"
           : std::string("[]:\\").find(c) < 4 ? std::string("\\") + c
                                              : std::string(1, c);
    return t;
  };
  const HelpFormatter form;
  const std::string names = cat(installed, " bin/", name, " ./", name);
  std::string text = cat("#compdef ", names, "\n_complete_", installed, "() {\n  _arguments");
  for (const CLI::Option* o : named_options(app))
    for (const std::string& n : o->get_lnames()) {
      text += cat(" \\\n    '--", n, "[", quoted(form.make_option_desc(o)), "]");
      std::string words;
      for (const std::string& c : choices_of(*o)) words += (words.empty() ? "" : " ") + c;
      if (!is_switch(*o)) text += cat(":value:", words.empty() ? "_files" : "(" + words + ")");
      text += "'";
    }
  return cat(text, " \\\n    '*:file:_files'\n}\n", "if [ \"$funcstack[1]\" = _", installed,
             " ]; then _complete_", installed, " \"$@\"; else compdef _complete_", installed, " ",
             names, "; fi");
}

}  // namespace cairn
