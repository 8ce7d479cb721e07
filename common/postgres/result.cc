#include "common/postgres/result.h"

#include <libpq-fe.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "common/bytes/reader.h"
#include "common/postgres/type_oid.h"

namespace trustline {
namespace column {
namespace {

absl::Status Unexpected(const Cell& cell, std::string_view wanted) {
  if (cell.null) return Internal("is NULL, but the program reads a {}", wanted);
  return Internal("has type id {} and {} bytes, but the program reads a {}; cast it in the query", cell.type_oid,
                  cell.value.size(), wanted);
}

uint64_t BigEndian(const Cell& cell) {
  uint64_t value = 0;
  for (const uint8_t byte : cell.value) value = value << 8 | byte;
  return value;
}

template <typename T>
absl::Status DecodeNarrow(const Cell& cell, T& out) {
  int64_t wide = 0;
  RETURN_IF_ERROR(Decode(cell, wide));
  if (wide < std::numeric_limits<T>::min() || wide > std::numeric_limits<T>::max()) {
    return Internal("holds {}, which does not fit {} bits", wide, 8 * sizeof(T));
  }
  out = static_cast<T>(wide);
  return absl::OkStatus();
}

}  // namespace

absl::Status Decode(const Cell& cell, std::string& out) {
  if (cell.null) return Unexpected(cell, "text");
  switch (cell.type_oid) {
    case type_oid::kText:
    case type_oid::kVarchar:
    case type_oid::kBpchar:
    case type_oid::kName:
    case type_oid::kChar:
    case type_oid::kJson:
    case type_oid::kUnknown:
    case type_oid::kBytea:
      out = AsText(cell.value);
      return absl::OkStatus();
    case type_oid::kJsonb:
      // A version byte, always 1, then the text.
      if (cell.value.empty() || cell.value[0] != 1) return Unexpected(cell, "text");
      out = AsText(cell.value.subspan(1));
      return absl::OkStatus();
    default:
      return Unexpected(cell, "text");
  }
}

absl::Status Decode(const Cell& cell, int64_t& out) {
  const size_t size = cell.value.size();
  const uint64_t bits = BigEndian(cell);
  if (!cell.null &&
      ((cell.type_oid == type_oid::kInt8 && size == 8) || (cell.type_oid == type_oid::kOid && size == 4))) {
    out = static_cast<int64_t>(bits);
  } else if (!cell.null && cell.type_oid == type_oid::kInt4 && size == 4) {
    out = static_cast<int32_t>(bits);
  } else if (!cell.null && cell.type_oid == type_oid::kInt2 && size == 2) {
    out = static_cast<int16_t>(bits);
  } else {
    return Unexpected(cell, "whole number");
  }
  return absl::OkStatus();
}

absl::Status Decode(const Cell& cell, int32_t& out) { return DecodeNarrow(cell, out); }
absl::Status Decode(const Cell& cell, int16_t& out) { return DecodeNarrow(cell, out); }

absl::Status Decode(const Cell& cell, bool& out) {
  if (cell.null || cell.type_oid != type_oid::kBool || cell.value.size() != 1) return Unexpected(cell, "boolean");
  out = cell.value[0] != 0;
  return absl::OkStatus();
}

absl::Status Decode(const Cell& cell, double& out) {
  const uint64_t bits = BigEndian(cell);
  if (!cell.null && cell.type_oid == type_oid::kFloat8 && cell.value.size() == 8) {
    out = std::bit_cast<double>(bits);
  } else if (!cell.null && cell.type_oid == type_oid::kFloat4 && cell.value.size() == 4) {
    out = std::bit_cast<float>(static_cast<uint32_t>(bits));
  } else {
    return Unexpected(cell, "floating-point number");
  }
  return absl::OkStatus();
}

absl::Status Decode(const Cell& cell, absl::Time& out) {
  if (cell.null || cell.type_oid != type_oid::kTimestamptz || cell.value.size() != 8) {
    return Unexpected(cell, "timestamptz");
  }
  const uint64_t bits = BigEndian(cell);
  const int64_t microseconds = static_cast<int64_t>(bits);
  if (microseconds == std::numeric_limits<int64_t>::max()) {
    out = absl::InfiniteFuture();
  } else if (microseconds == std::numeric_limits<int64_t>::min()) {
    out = absl::InfinitePast();
  } else {
    out = absl::FromUnixSeconds(type_oid::kPostgresEpochUnixSeconds) + absl::Microseconds(microseconds);
  }
  return absl::OkStatus();
}

absl::Status DecodeFixedBytes(const Cell& cell, uint8_t* out, size_t size) {
  if (cell.null || cell.type_oid != type_oid::kBytea || cell.value.size() != size) {
    return Unexpected(cell, fmt::format("bytea of {} bytes", size));
  }
  if (size > 0) std::memcpy(out, cell.value.data(), size);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Cell>> ArrayElements(const Cell& cell) {
  if (cell.null) return Unexpected(cell, "array");
  // array_send(): dimensions, a flag for nulls, element type; size and lower bound of each dimension; then the
  // elements.
  ByteReader reader("array", cell.value);
  const auto parse = [&]() -> absl::StatusOr<std::vector<Cell>> {
    ASSIGN_OR_RETURN(const uint32_t dimensions, reader.ReadU32("dimensions"));
    ASSIGN_OR_RETURN([[maybe_unused]] const uint32_t has_nulls, reader.ReadU32("flags"));
    ASSIGN_OR_RETURN(const uint32_t element_oid, reader.ReadU32("element type"));
    if (dimensions > 1) return InvalidArgument("has {} dimensions", dimensions);
    std::vector<Cell> elements;
    if (dimensions == 1) {
      ASSIGN_OR_RETURN(const uint32_t count, reader.ReadU32("count"));
      ASSIGN_OR_RETURN([[maybe_unused]] const uint32_t lower_bound, reader.ReadU32("lower bound"));
      if (count > reader.remaining() / 4) return InvalidArgument("claims {} elements", count);
      elements.reserve(count);
      for (uint32_t i = 0; i < count; ++i) {
        ASSIGN_OR_RETURN(const uint32_t length, reader.ReadU32("element length"));
        const bool null = length == 0xffffffff;
        ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytes("element", null ? 0 : length));
        elements.push_back({value, element_oid, null});
      }
    }
    RETURN_IF_ERROR(reader.AssertDone());
    return elements;
  };
  absl::StatusOr<std::vector<Cell>> elements = parse();
  if (!elements.ok()) return Unexpected(cell, "one-dimensional array");
  return elements;
}

}  // namespace column

int Row::columns() const { return PQnfields(result_); }

absl::StatusOr<column::Cell> Row::CellAt(int column) const {
  if (row_ < 0 || row_ >= PQntuples(result_)) return Internal("row {} of a result of {}", row_, PQntuples(result_));
  if (column < 0 || column >= columns()) return Internal("column {} of a result of {} columns", column, columns());
  if (PQfformat(result_, column) != 1) {
    return InColumn(Internal("is in text format, which a result of Execute() never is"), column);
  }
  return column::Cell{ByteView(reinterpret_cast<const uint8_t*>(PQgetvalue(result_, row_, column)),
                               static_cast<size_t>(PQgetlength(result_, row_, column))),
                      PQftype(result_, column), PQgetisnull(result_, row_, column) != 0};
}

absl::Status Row::InColumn(const absl::Status& status, int column) const {
  if (status.ok()) return status;
  return Internal("column \"{}\" {}", PQfname(result_, column), status.message());
}

absl::Status Row::HasColumns(size_t wanted) const {
  if (static_cast<size_t>(columns()) == wanted) return absl::OkStatus();
  return Internal("the query returned {} columns, but the program reads {}", columns(), wanted);
}

Result::Result(PGresult* result) : result_(result) {}
void Result::Clear::operator()(PGresult* result) const { PQclear(result); }

int Result::rows() const { return PQntuples(result_.get()); }
int Result::columns() const { return PQnfields(result_.get()); }

int64_t Result::affected() const { return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10); }

std::string_view Result::command() const { return PQcmdStatus(result_.get()); }

}  // namespace trustline
