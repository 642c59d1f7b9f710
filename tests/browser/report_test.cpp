// The interactive report, as a person at a browser would use it.
#include <fstream>

#include "data/draw.h"
#include "tests/bin/server.h"
#include "tests/browser/browser.h"
#include "tests/ucn/some_photos.h"
#include "ucn/report.h"

using namespace cairn;
using namespace cairn::test;

namespace {

/// Reports of the demo's pair and of a small folder, made once.
struct Pages {
  Folder folder;
  std::string pair = "file://" + (folder / "pair.html"), many = "file://" + (folder / "many.html");
  Pages() {
    const std::string photos = CAIRN_SOURCE_DIR "/data/demo/pair";
    const Finished one =
        run("exec match " + photos + "/a.jpg " + photos + "/b.jpg --max-size 320 --out '" +
            folder.path.string() + "' --report '" + (folder / "pair.html") + "'");
    INFO(one.err);
    REQUIRE(one.code == 0);
    std::filesystem::create_directories(folder / "photos");
    for (int k = 0; k < 3; ++k)  // two of one thing, one of another, with a name to be careful with
      write_png(folder / (k == 2 ? "photos/<b>&\"x.png" : cat("photos/", k, ".png")),
                some_photo(60, 84, k == 2));
    Random random(3);
    ucn::save_weights(folder / "w.safetensors", ucn::ResUNet({.outputs = 16}, random));
    const Finished all = run("cd '" + folder.path.string() +
                             "'; exec match --folder photos --out out --model w.safetensors "
                             "--keypoints corners --report many.html");
    INFO(all.err);
    REQUIRE(all.code == 0);
  }
};
const Pages& pages() {
  static const Pages p;
  return p;
}

std::string status(Browser& b) { return b.value("document.getElementById('status').textContent"); }
double number(Browser& b, const std::string& expression) { return b.value(expression); }

/// Where match k's end in photo `side` is in the window.
std::array<double, 2> place(Browser& b, int k, int side) {
  b.value("var box = canvas.getBoundingClientRect(), m = pair.matches[" + std::to_string(k) +
          "], q = toCanvas(" + std::to_string(side) + ", m[" + std::to_string(2 * side) + "], m[" +
          std::to_string(2 * side + 1) + "])");
  return {number(b, "box.left + q[0]"), number(b, "box.top + q[1]")};
}

/// Pixels of the canvas that are neither its ground nor empty.
double painted(Browser& b) {
  return number(b, R"((() => {
    const d = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let n = 0;
    for (let k = 3; k < d.length; k += 4) n += d[k] > 0;
    return n;
  })())");
}

void look(Browser& b, const std::string& name) {
  if (const char* folder = std::getenv("SCREENSHOTS")) {
    const std::string data = b.screenshot();
    std::ofstream(std::string(folder) + "/" + name + ".png.base64") << data;
  }
}

}  // namespace

TEST_CASE("the page of two photos loads without an error, wide and narrow, light and dark") {
  for (const auto& window : {std::pair{1400, 900}, {390, 844}})
    for (const bool dark : {false, true}) {
      const int width = window.first, height = window.second;
      CAPTURE(width);
      Browser b(pages().pair, width, height, dark);
      b.until("pair.photos.every(p => p.image.complete && p.image.naturalWidth > 0)");
      CHECK(b.value("document.title") == "a.jpg – b.jpg");
      CHECK(painted(b) > 0.4 * number(b, "canvas.width * canvas.height"));
      // Nothing sticks out to the side; photos are beside each other, or one above the other.
      CHECK(number(b, "document.documentElement.scrollWidth") <= width);
      CHECK(b.value("windows[0].top === windows[1].top") == (width > 640));
      look(b, cat("pair-", width, dark ? "-dark" : ""));
      for (const std::string& c : b.complaints) FAIL_CHECK(c);
    }
}

TEST_CASE("hovering a match shows and tells both ends; clicking asks where a pixel goes") {
  Browser b(pages().pair, 1400, 900);
  b.until("pair.photos.every(p => p.image.complete)");
  const int k = b.value("shown()[0]");
  // A match has the colour that it has in matches.png.
  const auto ends = b.value(cat("[...pair.matches[", k,
                                "].slice(0, 2), pair.photos[0].width, "
                                "pair.photos[0].height]"));
  const Color c = position_color(ends[0], ends[1], ends[2], ends[3]);
  CHECK(b.value(cat("colourOf(", k, ")")) ==
        cat("rgb(", int(c[0]), ",", int(c[1]), ",", int(c[2]), ")"));
  auto [x, y] = place(b, k, 0);
  b.mouse("mouseMoved", x, y);
  const int met = b.value("hovered");
  REQUIRE(met >= 0);
  CHECK(status(b).find(cat("Match ", met + 1, ": (")) == 0);
  CHECK(status(b).find("; an inlier.") != std::string::npos);
  b.mouse("mouseMoved", 5, 5);
  CHECK(b.value("hovered") == -1);

  // The features say what the matches do, to about a cell of their grid.
  int right = 0, tried = 0;
  for (int n = 0; n < 20; ++n, ++tried) {
    const int j = b.value("shown()[" + std::to_string(n) + "]");
    for (const int side : {0, 1}) {
      auto [px, py] = place(b, j, side);
      b.click(px, py);
      const std::string other = std::to_string(2 * (1 - side));
      right += number(b, "Math.hypot(asked.best[0] - pair.matches[" + std::to_string(j) + "][" +
                             other + "], asked.best[1] - pair.matches[" + std::to_string(j) + "][" +
                             other + " + 1]) / pair.photos[0].width") < 0.04;
    }
  }
  CHECK(right > tried);  // of two each
  CHECK(status(b).find(" looks most like (") != std::string::npos);
  CHECK(b.value("asked.heat.width") == 64);
  look(b, "asked");
  b.value("canvas.focus()");
  b.key("Escape");
  CHECK(b.value("asked").is_null());
  for (const std::string& c : b.complaints) FAIL_CHECK(c);
}

TEST_CASE("slider and boxes change what is shown, and the counts follow") {
  Browser b(pages().pair, 1400, 900);
  const double all = number(b, "shown().length"), inliers = number(b, "pair.inliers");
  CHECK(all == inliers);  // outliers are off at first
  b.value("document.getElementById('outliers').click()");
  CHECK(number(b, "shown().length") == number(b, "pair.found"));
  b.value("document.getElementById('inliers').click()");
  CHECK(number(b, "shown().length") == number(b, "pair.found") - inliers);
  CHECK(status(b).find("; 0 of these are inliers.") != std::string::npos);
  b.value("document.getElementById('inliers').click()");
  // By keyboard, as the browser moves a slider.
  b.value("document.getElementById('least').focus()");
  const double most = number(b, "Math.max(...pair.matches.map(sure))");
  for (int k = 0; k < 120; ++k) b.key("ArrowRight");
  CHECK(number(b, "+document.getElementById('least').value") > 0.99);
  CHECK(b.value("document.getElementById('least-text').textContent") == "1.00");
  CHECK(number(b, "shown().length") ==
        number(b, "pair.matches.filter(m => !m[7] && sure(m) >= 1).length"));
  CHECK(most > 0.5);
  b.key("ArrowLeft");
  CHECK(number(b, "+document.getElementById('least').value") < 1);
  for (const std::string& c : b.complaints) FAIL_CHECK(c);
}

TEST_CASE("both photos zoom and pan together, by wheel, drag and keyboard") {
  Browser b(pages().pair, 1400, 900);
  const double left = number(b, "canvas.getBoundingClientRect().left"),
               top = number(b, "canvas.getBoundingClientRect().top");
  b.mouse("mouseMoved", left + 200, top + 200);
  const auto before = b.value("toPhoto(0, 200, 200)");
  b.mouse("mouseWheel", left + 200, top + 200);
  const auto after = b.value("toPhoto(0, 200, 200)");
  CHECK(number(b, "view.zoom") > 1.5);
  CHECK(number(b, "windows[0].scale / windows[1].scale") == doctest::Approx(1));
  for (int i = 0; i < 2; ++i)
    CHECK(double(after[size_t(i)]) == doctest::Approx(double(before[size_t(i)])).epsilon(0.01));
  const double x = number(b, "view.x");
  b.mouse("mousePressed", left + 200, top + 200, 1);
  b.mouse("mouseMoved", left + 140, top + 200, 1);
  b.mouse("mouseReleased", left + 140, top + 200, 1);
  CHECK(number(b, "view.x") > x);
  CHECK(b.value("asked").is_null());  // a drag asks nothing
  b.value("canvas.focus()");
  const double now = number(b, "view.x");
  b.key("ArrowLeft");
  CHECK(number(b, "view.x") < now);
  b.key("+");
  b.key("n");
  CHECK(number(b, "hovered") >= 0);
  b.key("Enter");
  CHECK(!b.value("asked").is_null());
  b.key("0");
  CHECK(number(b, "view.zoom") == 1);
  for (const std::string& c : b.complaints) FAIL_CHECK(c);
}

TEST_CASE("what filters removed can be shown as well, and is counted apart") {
  Browser b(pages().pair, 1400, 900);
  b.until("pair.photos.every(p => p.image.complete)");
  CHECK(b.value("pair.filters.map(f => f[0])") ==
        Browser::Json({"search back", "ratio", "support"}));
  const int all = b.value("pair.found"), before = b.value("shown().length");
  CHECK(before == b.value("pair.inliers"));
  CHECK(b.value("shown().every(k => !removedBy(k))") == true);
  b.value("document.querySelectorAll('#filters input')[1].click()");
  CHECK(b.value("shown().length") > before);
  CHECK(b.value("new Set(shown().map(removedBy)).size") ==
        2);  // the matches, and those of one filter
  CHECK(status(b).starts_with(cat(before, " of ", all, " matches shown; ", before)));
  CHECK(status(b).find("that filters removed") != std::string::npos);
  // What the ratio removed is right now and then: it would be an inlier.
  const int k = b.value("shown().find(removedBy)");
  CHECK(b.value(cat("pair.matches[", k, "][6]")) == 1);
  b.value(cat("describe(", k, ")"));
  CHECK(status(b).find("; removed by: ratio; an inlier.") != std::string::npos);
  look(b, "filters");
  b.value("document.querySelectorAll('#filters input')[1].click()");
  CHECK(b.value("shown().length") == before);
  for (const std::string& c : b.complaints) FAIL_CHECK(c);
}

TEST_CASE("a folder's page has a table of pairs that sorts and opens") {
  Browser b(pages().many, 1400, 900);
  CHECK(b.value("document.querySelectorAll('#pairs tbody tr').length") == 3);
  const auto column = [&](int n) {
    return b.value("[...document.querySelectorAll('#pairs tbody tr')].map(r => r.cells[" +
                   std::to_string(n) + "].textContent)");
  };
  CHECK(column(1)[0] == "0.png");  // the same scene comes first
  CHECK(column(2)[0] == "1.png");
  b.value("document.querySelector('[data-key=matches]').click()");
  const auto matches = column(3);
  CHECK(std::stod(std::string(matches[0])) >= std::stod(std::string(matches[2])));
  b.value("document.querySelector('[data-key=matches]').click()");
  CHECK(column(3)[0] == matches[2]);
  // Names are text, whatever they hold.
  b.value(
      "[...document.querySelectorAll('#pairs tbody tr')].find(r => "
      "r.cells[2].textContent.includes('<b>') || "
      "r.cells[1].textContent.includes('<b>')).focus()");
  b.key("Enter");
  CHECK(std::string(b.value("document.title")).find("<b>&\"x.png") != std::string::npos);
  CHECK(b.value("document.querySelectorAll('b').length") == 0);
  const std::string about = b.value("document.getElementById('about').textContent");
  for (const char* what :
       {"match --folder photos --out out", "mode keypoints", " s, this run", " MB at most"})
    CHECK(about.find(what) != std::string::npos);
  b.until("data.photos.every(p => p.image.complete)");
  // Every photo came with its coarse features: what a click asks of a photo's copy is at its place.
  b.value(
      "open(data.pairs.findIndex(p => data.photos[p.a].name === '0.png' && "
      "data.photos[p.b].name === '1.png'))");
  b.click(number(b, "canvas.getBoundingClientRect().left + windows[0].width / 2"),
          number(b, "canvas.getBoundingClientRect().top + windows[0].height / 2"));
  CHECK(status(b).find(" looks most like (") != std::string::npos);
  CHECK(b.value("asked.heat.width") == 48);
  CHECK(number(b, "Math.hypot(asked.best[0] - asked.x, asked.best[1] - asked.y)") < 3);
  look(b, "folder");
  for (const std::string& c : b.complaints) FAIL_CHECK(c);
}

TEST_CASE("a page of many pairs makes rows of its table as they come near") {
  constexpr size_t photos = 16, pairs = photos * (photos - 1) / 2;
  ucn::Report report;
  for (size_t i = 0; i < photos; ++i) {
    report.photos.push_back(ucn::report_photo(cat("photo", i), oriented(some_photo(40, 60, i), 1)));
    for (size_t j = 0; j < i; ++j) {
      auto& pair = report.pairs.emplace_back();
      pair.photo0 = j;
      pair.photo1 = i;
      pair.matches.resize(report.pairs.size(), {5, 6, 7, 8, 0.5, 1, -1, -1});
    }
  }
  Folder folder;
  std::ofstream(folder / "page.html") << ucn::to_html(report);
  Browser b("file://" + (folder / "page.html"), 1400, 900);
  const auto rows = [&] {
    return size_t(number(b, "document.querySelectorAll('#pairs tbody tr').length"));
  };
  CHECK(rows() < pairs / 2);
  CHECK(number(b, "+document.querySelector('#pairs table').ariaRowCount") == pairs + 1);
  CHECK(number(b, "+document.querySelector('#pairs tbody tr').cells[3].textContent") == pairs);
  // The last row that is there is not the last.
  const size_t first = rows();
  b.value("document.querySelector('#pairs tbody tr:last-child').focus()");
  b.key("ArrowDown");
  CHECK(rows() > first);
  CHECK(number(b, "+document.activeElement.cells[3].textContent") == double(pairs - first));
  for (int k = 0; k < 8 && rows() < pairs; ++k) {
    b.value("document.getElementById('pairs').scrollTo(0, 1e6)");
    b.until("document.querySelectorAll('#pairs tbody tr').length > " + std::to_string(rows() - 1));
    b.value("new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))");
  }
  CHECK(rows() == pairs);
  // Sorted the other way, it begins at the top again, with the pair that is shown marked.
  b.value("open(0)");
  b.value("document.querySelector('[data-key=matches]').click()");
  CHECK(rows() == first);
  CHECK(number(b, "+document.querySelector('#pairs tbody tr').cells[3].textContent") == 1);
  CHECK(b.value("document.querySelector('#pairs tbody tr').getAttribute('aria-current')") ==
        "true");
  // Sorted so that this pair comes late, the table keeps a stop of the tab key.
  b.value("document.querySelector('[data-key=matches]').click()");
  CHECK(b.value("document.querySelectorAll('#pairs [aria-current]').length") == 0);
  CHECK(b.value("document.querySelectorAll('#pairs tbody [tabindex=\"0\"]').length") == 1);
  CHECK(b.value("document.querySelectorAll('#pairs tbody tr')[2].getAttribute('aria-rowindex')") ==
        "4");
  // Without features a click says so and hides nothing.
  b.click(number(b, "canvas.getBoundingClientRect().left + 200"),
          number(b, "canvas.getBoundingClientRect().top + 200"));
  CHECK(status(b).find("no features") != std::string::npos);
  CHECK(b.value("asked").is_null());
  for (const std::string& c : b.complaints) FAIL_CHECK(c);
}

#ifdef CAIRN_HTTPLIB
TEST_CASE("two photos that are chosen on the page of match --serve become a report in it") {
  ServerCommand server;
  for (const int width : {1400, 390}) {
    CAPTURE(width);
    Browser b(cat("http://127.0.0.1:", server.port, "/"), width, 900);
    CHECK(b.value("$('match').disabled") == true);
    b.choose("#a", CAIRN_SOURCE_DIR "/data/demo/pair/a.jpg");
    b.choose("#b", CAIRN_SOURCE_DIR "/README.md");
    b.until("!$('match').disabled");
    b.value("$('match').click()");
    b.until("$('status').textContent.includes('README.md')");  // why it is no photo
    CHECK(b.value("$('report').hidden") == true);
    b.complaints.clear();  // the console tells of the refused request
    write_png(server.folder / "small.png", some_photo(60, 84, 1));
    b.choose("#a", server.folder / "small.png");
    b.choose("#b", server.folder / "small.png");
    b.value("$('match').click()");
    b.until("$('status').textContent === 'Done.'");
    CHECK(b.value("$('report').hidden") == false);
    CHECK(b.value("$('report').srcdoc.includes('small.png')") == true);
    CHECK(b.value("$('save').href.startsWith('blob:')") == true);
    CHECK(number(b, "document.documentElement.scrollWidth") <= width);
    b.value("new Promise(done => setTimeout(done, 300))");
    look(b, cat("serve-", width));
    for (const std::string& c : b.complaints) FAIL_CHECK(c);
  }
}
#endif
