// The rows that a statement returned, decoded from PostgreSQL's binary format with the column's type checked.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

struct pg_result;

namespace trustline {

// The C++ types that a column can be read as; everything else is cast in the query (`host(address)`, `kind::text`):
//   std::string                text, varchar, char, name, json, jsonb; bytea (raw bytes)
//   std::array<uint8_t, N>     bytea of exactly N bytes
//   int64_t, int32_t, int16_t  smallint, integer, bigint, oid; a value that does not fit is an error
//   bool                       boolean
//   double                     real, double precision
//   absl::Time                 timestamptz; "infinity" is absl::InfiniteFuture()
//   std::vector<T>             a one-dimensional array of the above without nulls
//   std::optional<T>           any of the above or NULL; without it NULL is an error
namespace column {
struct Cell {
  ByteView value;
  uint32_t type_oid;
  bool null;
};
absl::Status Decode(const Cell& cell, std::string& out);
absl::Status Decode(const Cell& cell, int64_t& out);
absl::Status Decode(const Cell& cell, int32_t& out);
absl::Status Decode(const Cell& cell, int16_t& out);
absl::Status Decode(const Cell& cell, bool& out);
absl::Status Decode(const Cell& cell, double& out);
absl::Status Decode(const Cell& cell, absl::Time& out);
absl::Status DecodeFixedBytes(const Cell& cell, uint8_t* out, size_t size);
absl::StatusOr<std::vector<Cell>> ArrayElements(const Cell& cell);

template <size_t N>
absl::Status Decode(const Cell& cell, std::array<uint8_t, N>& out) {
  return DecodeFixedBytes(cell, out.data(), N);
}
template <typename T>
absl::Status Decode(const Cell& cell, std::vector<T>& out) {
  ASSIGN_OR_RETURN(const std::vector<Cell> elements, ArrayElements(cell));
  out.clear();
  out.reserve(elements.size());
  for (const Cell& element : elements) {
    T value{};
    RETURN_IF_ERROR(Decode(element, value));
    out.push_back(std::move(value));
  }
  return absl::OkStatus();
}
template <typename T>
absl::Status Decode(const Cell& cell, std::optional<T>& out) {
  out.reset();
  if (cell.null) return absl::OkStatus();
  return Decode(cell, out.emplace());
}
}  // namespace column

// One row, borrowed from its Result. A column that does not exist, has another type or is an unexpected NULL is an
// Internal error that names the column.
class Row {
 public:
  int columns() const;

  template <typename T>
  absl::StatusOr<T> Get(int column) const {
    ASSIGN_OR_RETURN(const column::Cell cell, CellAt(column));
    T value{};
    if (absl::Status status = column::Decode(cell, value); !status.ok()) return InColumn(status, column);
    return value;
  }

  // Reads all columns in order: RETURN_IF_ERROR(row.Scan(sha256, ttl, origin)). The row must have exactly that many.
  template <typename... Ts>
  absl::Status Scan(Ts&... values) const {
    RETURN_IF_ERROR(HasColumns(sizeof...(Ts)));
    int next = 0;
    absl::Status status;
    (void)((status = ScanOne(next++, values), status.ok()) && ...);
    return status;
  }

 private:
  friend class Result;
  Row(const pg_result* result, int row) : result_(result), row_(row) {}

  template <typename T>
  absl::Status ScanOne(int column, T& value) const {
    ASSIGN_OR_RETURN(const column::Cell cell, CellAt(column));
    return InColumn(column::Decode(cell, value), column);
  }
  absl::StatusOr<column::Cell> CellAt(int column) const;
  absl::Status InColumn(const absl::Status& status, int column) const;
  absl::Status HasColumns(size_t wanted) const;

  const pg_result* result_;
  int row_;
};

// Owns the result of one statement. Rows borrow from it.
class Result {
 public:
  // Takes over `result`.
  explicit Result(pg_result* result);

  int rows() const;
  bool empty() const { return rows() == 0; }
  int columns() const;

  // Rows inserted, updated, deleted or selected; 0 for other statements.
  int64_t affected() const;

  // The command tag, such as "COMMIT" or "INSERT 0 1".
  std::string_view command() const;

  // A row out of range answers every access with an error.
  Row operator[](int row) const { return Row(result_.get(), row); }

  // The single value of the first column of the first row; NotFound when there is no row.
  template <typename T>
  absl::StatusOr<T> Value() const {
    if (empty()) return NotFound("the query returned no row");
    return (*this)[0].template Get<T>(0);
  }

  // For `for (Row row : result)`.
  class Iterator {
   public:
    Iterator(const Result* result, int row) : result_(result), row_(row) {}
    Row operator*() const { return (*result_)[row_]; }
    Iterator& operator++() {
      ++row_;
      return *this;
    }
    bool operator==(const Iterator& other) const = default;

   private:
    const Result* result_;
    int row_;
  };
  Iterator begin() const { return Iterator(this, 0); }
  Iterator end() const { return Iterator(this, rows()); }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

}  // namespace trustline
