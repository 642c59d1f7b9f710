// Headless Chromium, driven through a pipe by its DevTools protocol.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/folder.h"

namespace cairn::test {

class Browser {
 public:
  using Json = nlohmann::json;

  /// Opens a page in a window of that size.
  Browser(const std::string& url, int width, int height, bool dark = false) {
    int down[2], up[2];
    REQUIRE(::pipe(down) == 0);
    REQUIRE(::pipe(up) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      // The browser reads from 3 and writes to 4; first out of the way of each other.
      const int in = ::fcntl(down[0], F_DUPFD, 10), out = ::fcntl(up[1], F_DUPFD, 10);
      ::dup2(in, 3);
      ::dup2(out, 4);
      for (int fd = 5; fd < 64; ++fd) ::close(fd);
      const int null = ::open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
      const std::string profile = "--user-data-dir=" + folder_.path.string();
      ::execl(CAIRN_CHROMIUM, "chromium", "--headless", "--no-sandbox", "--disable-gpu",
              "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
              "--remote-debugging-pipe", profile.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(down[0]);
    ::close(up[1]);
    write_ = down[1];
    read_ = up[0];
    const std::string target = call("Target.createTarget", {{"url", "about:blank"}})["targetId"];
    session_ =
        call("Target.attachToTarget", {{"targetId", target}, {"flatten", true}})["sessionId"];
    for (const char* domain : {"Page", "Runtime", "Log", "Network"})
      call(std::string(domain) + ".enable");
    call("Emulation.setDeviceMetricsOverride",
         {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
    call("Emulation.setEmulatedMedia",
         {{"features", {{{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}}}}});
    own_ = url.starts_with("file:") ? "file:" : url;
    call("Page.navigate", {{"url", url}});
    until("document.readyState === 'complete'");
  }
  ~Browser() {
    // Its helpers write to the profile's folder until they are gone too.
    const std::string bye = R"({"id":0,"method":"Browser.close"})";
    bool gone = ::write(write_, bye.c_str(), bye.size() + 1) < 0;
    for (int k = 0; k < 200 && !gone; ++k) {
      gone = ::waitpid(pid_, nullptr, WNOHANG) == pid_;
      if (!gone) ::usleep(25000);
    }
    ::kill(-pid_, SIGKILL);
    if (!gone) ::waitpid(pid_, nullptr, 0);
    ::close(write_);
    ::close(read_);
    std::error_code ignored;
    std::filesystem::remove_all(folder_.path, ignored);
  }
  Browser(const Browser&) = delete;

  /// The value of a JavaScript expression.
  Json value(const std::string& expression) {
    const Json r =
        call("Runtime.evaluate",
             {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
    if (r.contains("exceptionDetails")) complaints.push_back(r["exceptionDetails"].dump());
    return r["result"].value("value", Json());
  }
  /// Waits, at most some seconds, for a condition.
  void until(const std::string& condition) {
    for (int k = 0; k < 400; ++k) {
      if (value(condition) == true) return;
      ::usleep(25000);
    }
    FAIL("never true in the page: ", condition);
  }
  void mouse(const std::string& type, double x, double y, int buttons = 0) {
    call("Input.dispatchMouseEvent", {{"type", type},
                                      {"x", x},
                                      {"y", y},
                                      {"button", buttons ? "left" : "none"},
                                      {"clickCount", buttons ? 1 : 0},
                                      {"deltaX", 0},
                                      {"deltaY", type == "mouseWheel" ? -240 : 0}});
  }
  void click(double x, double y) {
    mouse("mousePressed", x, y, 1);
    mouse("mouseReleased", x, y, 1);
  }
  void key(const std::string& name) {
    Json event = {{"type", "keyDown"}, {"key", name}};
    if (name.size() == 1) event["text"] = name;
    call("Input.dispatchKeyEvent", event);
    event["type"] = "keyUp";
    event.erase("text");
    call("Input.dispatchKeyEvent", event);
  }
  /// Chooses a file for an input.
  void choose(const std::string& selector, const std::string& file) {
    const auto root = call("DOM.getDocument")["root"]["nodeId"];
    const auto node = call("DOM.querySelector", {{"nodeId", root}, {"selector", selector}});
    call("DOM.setFileInputFiles", {{"nodeId", node["nodeId"]}, {"files", {file}}});
  }
  /// A PNG in base64.
  std::string screenshot() { return call("Page.captureScreenshot")["data"]; }

  /// Errors of the page and its console, and requests for anything but itself.
  std::vector<std::string> complaints;

 private:
  Json call(const std::string& method, Json parameters = Json::object()) {
    Json message = {{"id", ++last_}, {"method", method}, {"params", std::move(parameters)}};
    if (!session_.empty()) message["sessionId"] = session_;
    const std::string text = message.dump();
    for (size_t at = 0; at <= text.size();) {  // with the 0 that ends it
      const ssize_t n = ::write(write_, text.c_str() + at, text.size() + 1 - at);
      REQUIRE(n > 0);
      at += size_t(n);
    }
    for (;;) {
      const Json said = next();
      if (said.value("id", -1) == last_) {
        REQUIRE_MESSAGE(!said.contains("error"), method, ": ", said.dump());
        return said["result"];
      }
      const std::string event = said.value("method", "");
      if (event == "Runtime.exceptionThrown" || event == "Log.entryAdded" ||
          (event == "Runtime.consoleAPICalled" && said["params"]["type"] == "error"))
        complaints.push_back(said["params"].dump());
      if (event == "Network.requestWillBeSent") {
        const std::string url = said["params"]["request"]["url"];
        if (!url.starts_with(own_) && !url.starts_with("data:") && !url.starts_with("blob:"))
          complaints.push_back(url);
      }
    }
  }
  Json next() {
    size_t end;
    while ((end = pending_.find('\0')) == std::string::npos) {
      pollfd ready{read_, POLLIN, 0};
      REQUIRE_MESSAGE(::poll(&ready, 1, 60000) == 1, "the browser does not answer");
      char some[65536];
      const ssize_t n = ::read(read_, some, sizeof some);
      REQUIRE_MESSAGE(n > 0, "the browser has ended");
      pending_.append(some, size_t(n));
    }
    const Json said = Json::parse(pending_.substr(0, end));
    pending_.erase(0, end + 1);
    return said;
  }

  Folder folder_;
  pid_t pid_ = 0;
  int write_ = -1, read_ = -1, last_ = 0;
  std::string session_, pending_, own_;
};

}  // namespace cairn::test
