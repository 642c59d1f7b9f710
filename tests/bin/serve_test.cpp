// match --serve, asked as a browser and as others would ask.
#include <nlohmann/json.hpp>

#include "tests/bin/server.h"
#include "tests/ucn/some_photos.h"

using namespace cairn;
using namespace cairn::test;

#ifdef CAIRN_HTTPLIB
#include <arpa/inet.h>
#include <httplib.h>
#include <sys/socket.h>

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

/// The data of a report.
std::string data_of(const std::string& page) {
  const auto from = page.find("type=\"application/json\">") + 24;
  return page.substr(from, page.find("</script>", from) - from);
}

/// All that comes back on a connection for these bytes.
std::string said_to(int port, const std::string& request) {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(uint16_t(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  REQUIRE(::send(s, request.data(), request.size(), MSG_NOSIGNAL) == ssize_t(request.size()));
  std::string answer;
  char some[4096];
  for (ssize_t n; (n = ::recv(s, some, sizeof some, 0)) > 0;) answer.append(some, size_t(n));
  ::close(s);
  return answer;
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
  const auto alone = client.Post("/match", photos(photo(1), photo(2)));
  REQUIRE(alone);
  const auto matches = [](const std::string& body) {
    return nlohmann::json::parse(data_of(body))["pairs"];
  };
  for (const std::string& body : bodies) CHECK(matches(body) == matches(alone->body));
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
  refused(client.Post("/match", photos(std::string(size_t{65} << 20, 'x'), "")), 413, "64 MB");
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
  const std::string own_host = cat("Host: 127.0.0.1:", s.port, "\r\n");
  for (const char* origin : {"http://evil.example", "null", "file://"}) {
    // Also what such a page hides in the body of its request is not answered.
    const std::string hidden = cat("GET / HTTP/1.1\r\n", own_host, "\r\n");
    const std::string said =
        said_to(s.port, cat("POST /match HTTP/1.1\r\n", own_host, "Origin: ", origin,
                            "\r\nContent-Length: ", hidden.size(), "\r\n\r\n", hidden));
    CHECK(said.starts_with("HTTP/1.1 403"));
    CHECK(said.find("HTTP/1.1", 1) == std::string::npos);
    CHECK(said.find("<title>") == std::string::npos);
  }
  // Lengths that are not said, or are those of something packed, cannot be limited.
  for (const char* header :
       {"Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Encoding: gzip\r\n", ""})
    CHECK(said_to(s.port, cat("POST /match HTTP/1.1\r\n", own_host, header, "\r\n"))
              .starts_with("HTTP/1.1 411"));
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
  for (const char* flag :
       {"a.png", "--json", "--report x.html", "--folder .", "--out x", "--merge"})
    CHECK(run(cat("match --serve ", flag)).failed_in_one_line(2));
  CHECK(run("match --serve --port 70000").failed_in_one_line(2));
}
