#include "data/sqlite.h"

#include <sqlite3.h>

#include <algorithm>

#include "tensor/error.h"

namespace cairn {

Database::Database(const std::string& path, Mode mode) : path_(path) {
  const int flags =
      mode == Mode::read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags, nullptr);
  try {
    check(code);
    sqlite3_busy_timeout(db_, 200);
    // Opening reads nothing: this finds out what the file is.
    run("PRAGMA schema_version");
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}
Database::~Database() { sqlite3_close(db_); }

void Database::fail(int code) const {
  const int kind = code & 0xff;
  const std::string why = kind == SQLITE_BUSY || kind == SQLITE_LOCKED ? "another program uses it"
                          : kind == SQLITE_FULL                        ? "the disk is full"
                          : kind == SQLITE_CANTOPEN
                              ? "it cannot be opened"
                              : std::string(db_ ? sqlite3_errmsg(db_) : sqlite3_errstr(code));
  const bool damaged = kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT;
  throw Error(damaged ? ErrorId::format : ErrorId::io, "database",
              cat("'", path_, "': ", kind == SQLITE_NOTADB ? "it is not an SQLite database" : why));
}
void Database::check(int code) const {
  if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW) fail(code);
}
void Database::run(const std::string& statements) {
  check(sqlite3_exec(db_, statements.c_str(), nullptr, nullptr, nullptr));
}
bool Database::exists(const std::string& query) { return Statement(*this, query).step(); }
int64_t Database::integer(const std::string& query) {
  Statement s(*this, query);
  return s.step() ? s.integer(0) : 0;
}
int64_t Database::last_row() const { return sqlite3_last_insert_rowid(db_); }

Statement::Statement(Database& database, const std::string& sql) : database_(database) {
  database.check(sqlite3_prepare_v2(database.db_, sql.c_str(), -1, &statement_, nullptr));
}
Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int64_t value) {
  database_.check(sqlite3_bind_int64(statement_, ++bound_, value));
  return *this;
}
Statement& Statement::bind(double value) {
  database_.check(sqlite3_bind_double(statement_, ++bound_, value));
  return *this;
}
Statement& Statement::bind(const std::string& text) {
  database_.check(sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(),
                                      SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}
Statement& Statement::bind_blob(const void* bytes, size_t size) {
  // A null pointer would be NULL, not an empty blob.
  database_.check(
      sqlite3_bind_blob64(statement_, ++bound_, size > 0 ? bytes : "", size, SQLITE_TRANSIENT));
  return *this;
}
Statement& Statement::bind_null() {
  database_.check(sqlite3_bind_null(statement_, ++bound_));
  return *this;
}
bool Statement::step() {
  const int code = sqlite3_step(statement_);
  database_.check(code);
  return code == SQLITE_ROW;
}
void Statement::reset() {
  sqlite3_reset(statement_);
  bound_ = 0;
}
void Statement::run() {
  while (step()) {
  }
  reset();
}
int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }
std::string Statement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return text ? std::string(text, size_t(sqlite3_column_bytes(statement_, column))) : "";
}
std::span<const uint8_t> Statement::raw(int column) const {
  const auto* bytes = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
  return {bytes, bytes ? size_t(sqlite3_column_bytes(statement_, column)) : 0};
}
void Statement::require_multiple(size_t bytes, size_t unit) const {
  require(bytes % unit == 0, ErrorId::format, "database", "'", database_.path_, "': a blob of ",
          bytes, " bytes is damaged");
}

Transaction::Transaction(Database& database, bool exclusive) : database_(database) {
  database_.run(exclusive ? "BEGIN EXCLUSIVE" : "BEGIN IMMEDIATE");
}
Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.run("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back by itself
  }
}
void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace cairn
