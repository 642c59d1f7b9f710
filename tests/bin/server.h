// match --serve, running.
#pragma once

#include <doctest/doctest.h>

#include <memory>

#include "tests/bin/command.h"
#include "ucn/weights.h"

namespace cairn::test {

/// The server, with an untrained network, until the end of a test.
struct ServerCommand {
  Folder folder;
  std::unique_ptr<Command> command;
  int port = 0;
  ServerCommand() {
    Random random(3);
    ucn::save_weights(folder / "w.safetensors", ucn::ResUNet({.outputs = 16}, random));
    command = std::make_unique<Command>("cd '" + folder.path.string() +
                                        "'; exec match --serve --port 0 --model w.safetensors "
                                        "--keypoints corners --whole-pixels --coarse 0 >said");
    const std::string before = "http://127.0.0.1:";
    REQUIRE(command->until([&] {
      const std::string said =
          std::filesystem::exists(folder / "said") ? contents(folder / "said") : "";
      const auto at = said.find(before);
      if (at == std::string::npos || said.find("Ctrl-C") == std::string::npos) return false;
      port = std::atoi(said.c_str() + at + before.size());
      return true;
    }));
  }
};

}  // namespace cairn::test
