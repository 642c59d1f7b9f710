// match --serve: a page, for this machine alone, on which two photos can be dropped.
#pragma once

#include <algorithm>
#include <csignal>
#include <mutex>

#include "bin/match_report.h"
#include "bin/matcher_options.h"
#ifdef CAIRN_HTTPLIB
#include <httplib.h>
#endif

namespace cairn {

#ifdef CAIRN_HTTPLIB

// It asks for two photos, sends them, and shows the report that comes back in a frame, whose script
// can touch nothing of this page.
inline constexpr const char* drop_page = R"~~(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Match two photos</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --ground: #fff; --line: #b9bec5; --stage: #eceef0; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ground: #16181b; --line: #50565e; --stage: #24272b; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 0.8rem 1rem; max-width: 110rem; background: var(--ground); font: 16px/1.45 system-ui, sans-serif; }
h1 { margin: 0 0 0.6rem; font-size: 1.25rem; }
#photos { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.6rem; }
#photos label {
  position: relative; text-align: center; overflow-wrap: anywhere;
  display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 0.3rem; height: 30vh;
  min-height: 9rem; border: 2px dashed var(--line); border-radius: 0.6rem; cursor: pointer; overflow: hidden; padding: 0.4rem;
}
#photos label:hover, #photos label:focus-within, .over { border-color: var(--accent); background: var(--stage); }
#photos input { position: absolute; opacity: 0; }
#photos img { max-width: 100%; max-height: calc(100% - 1.6rem); min-height: 0; }
#photos img:not([src]) { display: none; }
p { min-height: 1.5em; margin: 0.5rem 0; }
button, a.button {
  font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: 0.4rem;
  padding: 0.3rem 1rem; cursor: pointer; text-decoration: none;
}
button:disabled { opacity: 0.5; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
iframe { width: 100%; height: 96vh; border: 0; }
[hidden] { display: none !important; }
</style>
</head>
<body>
<h1>Match two photos</h1>
<div id="photos">
  <label><input type="file" id="a" accept="image/png,image/jpeg,.ppm,.pgm"><img alt=""><span>Drop photo A, or choose it</span></label>
  <label><input type="file" id="b" accept="image/png,image/jpeg,.ppm,.pgm"><img alt=""><span>Drop photo B, or choose it</span></label>
</div>
<p><button id="match" disabled>Match</button>
  <a id="save" class="button" download="matches.html" hidden>Save the report</a>
  <span id="status" role="status" aria-live="polite">The photos stay on this machine.</span></p>
<iframe id="report" title="The report" sandbox="allow-scripts" hidden></iframe>
<script>
'use strict';
const $ = id => document.getElementById(id);
const files = {a: null, b: null};
let busy = false;
const ready = () => { $('match').disabled = busy || !files.a || !files.b; };
function take(name, file) {
  files[name] = file;
  const label = $(name).closest('label'), image = label.querySelector('img');
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  label.querySelector('span').textContent = `Photo ${name.toUpperCase()}: ${file.name}`;
  $('report').hidden = $('save').hidden = true;  // it is of other photos
  ready();
}
for (const name of ['a', 'b']) {
  const label = $(name).closest('label');
  $(name).onchange = () => { if ($(name).files[0]) take(name, $(name).files[0]); };
  label.ondragover = e => { e.preventDefault(); label.classList.add('over'); };
  label.ondragleave = () => label.classList.remove('over');
  label.ondrop = e => {
    e.preventDefault();
    label.classList.remove('over');
    const dropped = e.dataTransfer.files, other = name === 'a' ? 'b' : 'a';
    if (dropped[0]) take(name, dropped[0]);
    if (dropped[1]) take(other, dropped[1]);  // two at once
  };
}
// A photo that misses its place must not replace the page.
for (const event of ['dragover', 'drop']) addEventListener(event, e => e.preventDefault());
$('match').onclick = async () => {
  const form = new FormData();
  form.append('a', files.a);
  form.append('b', files.b);
  const asked = {...files};
  busy = true;
  ready();
  $('status').textContent = 'Matching …';
  try {
    const answer = await fetch('match', {method: 'POST', body: form}), text = await answer.text();
    if (answer.ok && asked.a === files.a && asked.b === files.b) {
      $('report').srcdoc = text;
      $('report').hidden = $('save').hidden = false;
      if ($('save').href) URL.revokeObjectURL($('save').href);
      $('save').href = URL.createObjectURL(new Blob([text], {type: 'text/html'}));
    }
    $('status').textContent = answer.ok ? 'Done.' : text;
  } catch (e) {
    $('status').textContent = 'The program that matches is gone, or cut the connection.';
  }
  busy = false;
  ready();
  if (document.activeElement === document.body) $('match').focus();
};
</script>
</body>
</html>
)~~";

namespace serving {
inline httplib::Server* server = nullptr;  // for the signal's handler
inline void stop(int signal) {
  std::signal(signal, SIG_DFL);  // a second one does not wait for the pair that is being matched
  // Before it listens there is nothing that could be stopped.
  server && server->is_running() ? server->stop() : std::_Exit(done);
}
}  // namespace serving

/// Serves the page on the loopback interface until Ctrl-C. `port` 0: any that is free. One pair of
/// photos at a time is matched; nothing is written to disk. Throws ErrorId::io when the port is
/// taken.
inline int serve(MatcherFlags& m, int port) {
  using namespace ucn;
  const Device device = m.machine.use();
  m.resolve(device);
  m.options.correspond.keep_removed = true;
  const Weights weights = m.load(device);
  PhotoMatcher matcher(*weights.network, m.options);
  std::mutex one_at_a_time;

  httplib::Server server;
  constexpr size_t largest_upload = size_t{64} << 20;
  constexpr int64_t most_pixels = int64_t{1} << 26;
  server.set_payload_max_length(largest_upload);
  // What is left unread of a refused request must not be taken for the next one.
  server.set_keep_alive_max_count(1);
  // The library's own would let two servers share a port.
  server.set_socket_options([](socket_t s) {
    const int yes = 1;
    ::setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  const auto answer = [](httplib::Response& response, int status, const std::string& text) {
    response.status = status;
    response.set_content(one_line(text) + "\n", "text/plain; charset=utf-8");
  };
  // Other pages that the browser has open must not use this one: neither by a name of theirs that
  // leads here, nor by sending photos from there.
  std::vector<std::string> hosts;
  server.set_pre_routing_handler([&](const httplib::Request& request, httplib::Response& response) {
    const auto ours = [&](const std::string& host) { return std::ranges::count(hosts, host) > 0; };
    const std::string origin = request.get_header_value("Origin");
    if (!ours(request.get_header_value("Host")) ||
        !(origin.empty() || (origin.starts_with("http://") && ours(origin.substr(7)))))
      answer(response, 403, "only for pages of this server");
    // The limit on uploads is one on what they say of their length, as they are sent.
    else if (request.has_header("Transfer-Encoding") || request.has_header("Content-Encoding") ||
             (request.method != "GET" && !request.has_header("Content-Length")))
      answer(response, 411, "the length must be said, and nothing be packed");
    else
      return httplib::Server::HandlerResponse::Unhandled;
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_error_handler([&](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    answer(response, response.status,
           response.status == 413   ? cat("two photos of at most ", largest_upload >> 20, " MB")
           : response.status == 404 ? "there is nothing here"
                                    : "this cannot be answered");
  });
  server.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(drop_page, "text/html; charset=utf-8");
  });
  server.Post("/match", [&](const httplib::Request& request, httplib::Response& response) {
    try {
      std::array<Photo, 2> photos;
      std::array<std::string, 2> names;
      Stages stage;
      std::lock_guard lock(one_at_a_time);
      for (size_t k = 0; k < 2; ++k) {
        const char* field = k == 0 ? "a" : "b";
        require(request.has_file(field), ErrorId::usage, "match", "there is no photo '", field,
                "'");
        const auto& file = request.get_file_value(field);
        names[k] = file.filename.empty() ? field : file.filename;
        stage(k == 0 ? "reading A" : "reading B", [&] {
          photos[k] = as_photo(
              read_image_from_memory(
                  {reinterpret_cast<const uint8_t*>(file.content.data()), file.content.size()},
                  {.respect_exif = m.options.photo.respect_exif, .max_pixels = most_pixels},
                  names[k]),
              weights.network->config().inputs, m.options.photo);
        });
      }
      MatchedPhotos matched =
          match_photos(matcher, m, std::move(photos[0]), std::move(photos[1]), std::ref(stage));
      matched.file.photo0.path = names[0];
      matched.file.photo1.path = names[1];
      response.set_content(report_of(matched, m, "match --serve", stage),
                           "text/html; charset=utf-8");
    } catch (const Error& e) {
      const bool theirs =
          e.id() == ErrorId::usage || e.id() == ErrorId::io || e.id() == ErrorId::format;
      answer(response, theirs ? 400 : 500, e.what());
    } catch (const std::exception& e) {
      answer(response, 500, e.what());
    }
  });

  const char* loopback = "127.0.0.1";
  const int asked = port;
  const bool bound = port == 0 ? (port = server.bind_to_any_port(loopback)) > 0
                               : server.bind_to_port(loopback, port);
  require(bound, ErrorId::io, "match", "port ", asked,
          " cannot be used. Hint: another --port; 0 takes one that is free");
  for (const char* host : {loopback, "localhost"}) {
    hosts.push_back(cat(host, ":", port));
    if (port == 80) hosts.push_back(host);  // which browsers leave out
  }
  serving::server = &server;
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, serving::stop);
  std::printf("on %s\nopen http://%s:%d/ in a browser; Ctrl-C ends this\n",
              describe(device, m.precision).c_str(), loopback, port);
  std::fflush(stdout);
  const bool served = server.listen_after_bind();
  serving::server = nullptr;
  require(served, ErrorId::io, "match", "cannot listen on port ", port);
  return done;
}

#else

inline int serve(MatcherFlags&, int) {
  throw Error(ErrorId::usage, "match",
              "--serve: built without cpp-httplib. Hint: apt-get install libcpp-httplib-dev "
              "pkg-config, then make");
}

#endif

}  // namespace cairn
