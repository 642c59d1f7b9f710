// match --serve, asked as a browser and as others would ask.
#include <nlohmann/json.hpp>

#include "tests/bin/server.h"
#include "tests/ucn/some_photos.h"

using namespace cairn;
using namespace cairn::test;

#ifdef CAIRN_HTTPLIB
#include <httplib.h>

namespace {

struct Server : ServerCommand {
  httplib::Client client(const char* host = "127.0.0.1") const {
    httplib::Client c(host, port);
    c.set_read_timeout(600);
    return c;
  }
};

httplib::MultipartFormDataItems photos(const std::string& a, const std::string& b) {
  return {{"a", a, "rock.png", "image/png"}, {"b", b, "rock <2>.png", "image/png"}};
}
std::string photo(uint64_t seed) {
  const auto bytes = encode_png(some_photo(60, 84, seed));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("two photos that are sent come back as a report, and nothing is written") {
  Server s;
  auto client = s.client();
  const auto page = client.Get("/");
  REQUIRE(page);
  CHECK(page->status == 200);
  CHECK(page->body.find("<title>Match two photos</title>") != std::string::npos);
  CHECK(page->body.find("https:") == std::string::npos);
  const auto before = files_ending(s.folder.path, "");
  const auto report = client.Post("/match", photos(photo(1), photo(1)));
  REQUIRE(report);
  CHECK(report->status == 200);
  CHECK(report->get_header_value("Content-Type") == "text/html; charset=utf-8");
  const auto from = report->body.find("type=\"application/json\">") + 24;
  const auto data =
      nlohmann::json::parse(report->body.substr(from, report->body.find("</script>", from) - from));
  CHECK(data["photos"][0]["name"] == "rock.png");
  CHECK(data["photos"][1]["name"] == "rock <2>.png");
  CHECK(data["pairs"][0]["matches"].size() > 10);
  CHECK(data["pairs"][0]["grids"].size() == 2);
  // Two at a time are served one after the other.
  std::string bodies[2];
  {
    std::jthread other([&] {
      if (auto r = s.client().Post("/match", photos(photo(1), photo(2)))) bodies[0] = r->body;
    });
    if (auto r = client.Post("/match", photos(photo(1), photo(2)))) bodies[1] = r->body;
  }
  for (const std::string& body : bodies) CHECK(body.starts_with("<!doctype html>"));
  CHECK(files_ending(s.folder.path, "").size() == before.size());
  s.command->send(SIGINT);
  CHECK(s.command->wait().code == 0);
}

TEST_CASE("what is not two photos is refused with one line") {
  Server s;
  auto client = s.client();
  const auto refused = [&](const httplib::Result& r, int status, const std::string& why) {
    REQUIRE(r);
    CHECK(r->status == status);
    CHECK(r->body.find(why) != std::string::npos);
    CHECK(r->body.find('\n') == r->body.size() - 1);
  };
  refused(client.Post("/match", photos("no photo", photo(1))), 400, "rock.png");
  refused(client.Post("/match", photos(photo(1), photo(2).substr(0, 100))), 400, "rock <2>.png");
  refused(client.Post("/match", httplib::MultipartFormDataItems{{"a", photo(1), "a.png", ""}}), 400,
          "there is no photo 'b'");
  refused(client.Post("/match", "text", "text/plain"), 400, "there is no photo 'a'");
  refused(client.Get("/etc/passwd"), 404, "nothing here");
  refused(client.Get("/match"), 404, "nothing here");
  // A header that claims 90000 x 90000 pixels.
  std::string bomb = photo(1);
  bomb.replace(16, 8, std::string("\0\1\x5f\x90\0\1\x5f\x90", 8));
  refused(client.Post("/match", photos(bomb, photo(1))), 400, "rock.png");
  // Too large: an answer, or the connection is cut before all was sent; the next photos work.
  if (const auto r = client.Post("/match", photos(std::string(size_t{65} << 20, 'x'), "")))
    refused(r, 413, "64 MB");
  const auto next = s.client().Post("/match", photos(photo(1), photo(1)));
  REQUIRE(next);
  CHECK(next->status == 200);
}

TEST_CASE("only this machine and only pages of the server itself are served") {
  Server s;
  auto client = s.client();
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const auto r = client.Get("/", {{"Host", cat(host, ":", s.port)}});
    REQUIRE(r);
    CHECK(r->status == 200);
  }
  for (const std::string& host : {std::string("evil.example"), cat("evil.example:", s.port)}) {
    const auto r = client.Get("/", {{"Host", host}});
    REQUIRE(r);
    CHECK(r->status == 403);
  }
  for (const char* origin : {"http://evil.example", "null", "file://"}) {
    const auto r = client.Post("/match", {{"Origin", origin}}, photos(photo(1), photo(1)));
    REQUIRE(r);
    CHECK(r->status == 403);
  }
  const auto own = client.Post("/match", {{"Origin", cat("http://127.0.0.1:", s.port)}},
                               photos(photo(1), photo(1)));
  REQUIRE(own);
  CHECK(own->status == 200);
  // Another address of this machine is not listened to.
  CHECK(!s.client("127.0.0.2").Get("/"));
  // The port is taken.
  CHECK(run(cat("match --serve --port ", s.port, " --model '", s.folder / "w.safetensors", "'"))
            .failed_in_one_line(1));
}
#else
TEST_CASE("without cpp-httplib --serve says what is missing") {
  const Finished f = run("match --serve");
  CHECK(f.failed_in_one_line(2));
  CHECK(f.err.find("libcpp-httplib-dev") != std::string::npos);
}
#endif

TEST_CASE("--serve does not go with what writes") {
  for (const char* flag : {"a.png", "--json", "--report x.html", "--folder ."})
    CHECK(run(cat("match --serve ", flag)).failed_in_one_line(2));
  CHECK(run("match --serve --port 70000").failed_in_one_line(2));
}
