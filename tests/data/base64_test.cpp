#include "data/base64.h"

#include <doctest/doctest.h>

#include <vector>

using namespace cairn;

TEST_CASE("base64 is RFC 4648's, with its own examples") {
  const auto of = [](std::string_view text) {
    return base64({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  CHECK(of("") == "");
  CHECK(of("f") == "Zg==");
  CHECK(of("fo") == "Zm8=");
  CHECK(of("foo") == "Zm9v");
  CHECK(of("foob") == "Zm9vYg==");
  CHECK(of("fooba") == "Zm9vYmE=");
  CHECK(of("foobar") == "Zm9vYmFy");
  CHECK(base64(std::vector<uint8_t>{0xfb, 0xff, 0xbf}) == "+/+/");
}
