// SQLite databases, with this project's errors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace cairn {

class Database {
 public:
  enum class Mode { read, write };  ///< write: made where there is none
  /// Every failure throws, naming the file: ErrorId::io when it cannot be opened, is locked by
  /// another program, or the disk is full; ErrorId::format when it is no database or damaged.
  Database(const std::string& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& statements);
  /// One row of a query, and whether there is one.
  bool exists(const std::string& query);
  int64_t integer(const std::string& query);  ///< the first column of the first row; 0 if none
  int64_t last_row() const;

 private:
  friend class Statement;
  [[noreturn]] void fail(int code) const;
  void check(int code) const;
  sqlite3* db_ = nullptr;
  std::string path_;
};

/// A prepared statement: bind all parameters in order, then step().
class Statement {
 public:
  Statement(Database& database, const std::string& sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int64_t value);
  Statement& bind(double value);
  Statement& bind(const std::string& text);
  Statement& bind_blob(const void* bytes, size_t size);
  Statement& bind_null();
  template <class T>
  Statement& bind_blob(const std::vector<T>& values) {
    return bind_blob(values.data(), values.size() * sizeof(T));
  }
  /// True when there is a row; afterwards, or when done, ready to be bound again after reset().
  bool step();
  void reset();
  /// Runs it to its end and resets it.
  void run();

  int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  /// A blob as values of T; throws ErrorId::format when its size is no multiple of T's.
  template <class T>
  std::vector<T> blob(int column) const {
    const std::span<const uint8_t> bytes = raw(column);
    require_multiple(bytes.size(), sizeof(T));
    std::vector<T> values(bytes.size() / sizeof(T));
    if (!bytes.empty())
      std::copy_n(bytes.data(), bytes.size(), reinterpret_cast<uint8_t*>(values.data()));
    return values;
  }

 private:
  std::span<const uint8_t> raw(int column) const;
  void require_multiple(size_t bytes, size_t unit) const;
  Database& database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

/// Everything between its making and commit() happens, or nothing does.
class Transaction {
 public:
  /// `exclusive`: fails now, not later, when another program uses the file.
  explicit Transaction(Database& database, bool exclusive = false);
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace cairn
