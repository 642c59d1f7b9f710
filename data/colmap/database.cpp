#include "data/colmap/database.h"

#include <algorithm>
#include <filesystem>

#include "tensor/error.h"

namespace cairn::colmap {
namespace {

constexpr int64_t application = 0x4361726e;  // "Carn", in the header of the file

// The tables of COLMAP 3.8 (src/base/database.cc).
constexpr const char* schema = R"(
CREATE TABLE cameras (camera_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  model INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, params BLOB,
  prior_focal_length INTEGER NOT NULL);
CREATE TABLE images (image_id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  name TEXT NOT NULL UNIQUE, camera_id INTEGER NOT NULL,
  prior_qw REAL, prior_qx REAL, prior_qy REAL, prior_qz REAL,
  prior_tx REAL, prior_ty REAL, prior_tz REAL,
  CONSTRAINT image_id_check CHECK(image_id >= 0 and image_id < 2147483647),
  FOREIGN KEY(camera_id) REFERENCES cameras(camera_id));
CREATE UNIQUE INDEX index_name ON images(name);
CREATE TABLE keypoints (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
  cols INTEGER NOT NULL, data BLOB,
  FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE descriptors (image_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
  cols INTEGER NOT NULL, data BLOB,
  FOREIGN KEY(image_id) REFERENCES images(image_id) ON DELETE CASCADE);
CREATE TABLE matches (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
  cols INTEGER NOT NULL, data BLOB);
CREATE TABLE two_view_geometries (pair_id INTEGER PRIMARY KEY NOT NULL, rows INTEGER NOT NULL,
  cols INTEGER NOT NULL, data BLOB, config INTEGER NOT NULL, F BLOB, E BLOB, H BLOB,
  qvec BLOB, tvec BLOB);
)";
constexpr const char* tables[] = {"two_view_geometries", "matches", "descriptors",
                                  "keypoints",           "images",  "cameras"};

using Matrix = Homography;

Matrix transposed(const Matrix& a) {
  return {a[0], a[3], a[6], a[1], a[4], a[7], a[2], a[5], a[8]};
}

bool known(const Matrix& m) {
  return std::ranges::any_of(m, [](double v) { return v != 0; });
}

}  // namespace

DatabaseWriter::DatabaseWriter(const std::string& path)
    : database_(path, Database::Mode::write), transaction_(database_, true) {
  const bool empty = !database_.exists("SELECT 1 FROM sqlite_master");
  require(empty || database_.integer("PRAGMA application_id") == application, ErrorId::io, "colmap",
          "'", path, "' is a database that Cairn did not write; it is left alone");
  if (empty) {
    database_.run(cat("PRAGMA application_id = ", application));
    database_.run(schema);
  } else {
    for (const char* table : tables) database_.run(cat("DELETE FROM ", table));
  }
}

int64_t DatabaseWriter::add_camera(int64_t width, int64_t height, double focal, bool known) {
  constexpr int64_t simple_radial = 2;
  const std::vector<double> parameters = {focal, double(width) / 2, double(height) / 2, 0};
  Statement(database_,
            "INSERT INTO cameras (model, width, height, params, prior_focal_length) "
            "VALUES (?, ?, ?, ?, ?)")
      .bind(simple_radial)
      .bind(width)
      .bind(height)
      .bind_blob(parameters)
      .bind(int64_t(known))
      .run();
  return database_.last_row();
}

int64_t DatabaseWriter::add_image(const std::string& name, int64_t camera,
                                  const std::vector<Point>& keypoints) {
  Statement(database_, "INSERT INTO images (name, camera_id) VALUES (?, ?)")
      .bind(name)
      .bind(camera)
      .run();
  const int64_t image = database_.last_row();
  std::vector<float> rows;
  for (const Point& p : keypoints) rows.insert(rows.end(), {float(p[0] + 0.5), float(p[1] + 0.5)});
  const auto insert = [&](const char* table, int64_t count, int64_t columns, const auto& values) {
    Statement(database_, cat("INSERT INTO ", table, " VALUES (?, ?, ?, ?)"))
        .bind(image)
        .bind(count)
        .bind(columns)
        .bind_blob(values)
        .run();
  };
  insert("keypoints", int64_t(keypoints.size()), 2, rows);
  insert("descriptors", 0, 128, std::vector<uint8_t>{});
  return image;
}

void DatabaseWriter::add_pair(const Pair& p) {
  // COLMAP numbers a pair by its images, the smaller first.
  const bool swapped = p.image0 > p.image1;
  const int64_t low = std::min(p.image0, p.image1), high = std::max(p.image0, p.image1);
  const int64_t id = low * 2147483647 + high;
  const auto rows = [&](const std::vector<std::array<int32_t, 2>>& matches) {
    std::vector<uint32_t> values;
    for (const auto& m : matches)
      for (size_t k = 0; k < 2; ++k) values.push_back(uint32_t(m[swapped ? 1 - k : k]));
    return values;
  };
  // x (here) = t x (COLMAP's), half a pixel less.
  const Homography t = translation(-0.5, -0.5), back = translation(0.5, 0.5);
  const auto epipolar = [&](const Matrix& m, bool px) {
    const Matrix moved = px ? compose(transposed(t), compose(m, t)) : m;
    return swapped ? transposed(moved) : moved;
  };
  Statement(database_, "INSERT INTO matches VALUES (?, ?, 2, ?)")
      .bind(id)
      .bind(int64_t(p.matches.size()))
      .bind_blob(rows(p.matches))
      .run();
  Statement geometry(database_,
                     "INSERT INTO two_view_geometries (pair_id, rows, cols, data, config, F, E, H) "
                     "VALUES (?, ?, 2, ?, ?, ?, ?, ?)");
  geometry.bind(id)
      .bind(int64_t(p.inliers.size()))
      .bind_blob(rows(p.inliers))
      .bind(int64_t(p.inliers.empty() ? Config::degenerate : p.config));
  const auto bind = [&](const Matrix& given, const Matrix& m) {
    if (known(given))
      geometry.bind_blob(m.data(), sizeof m);
    else
      geometry.bind_null();
  };
  bind(p.f, epipolar(p.f, true));
  bind(p.e, epipolar(p.e, false));
  bind(p.h, known(p.h) ? [&] {
    const Matrix moved = compose(back, compose(p.h, t));
    return swapped ? inverse(moved) : moved;
  }() : p.h);
  geometry.run();
}

}  // namespace cairn::colmap
