// The typed parameters $1, $2, ... of a statement, or one row of a binary COPY.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"

namespace trustline {

// Built in the order of the placeholders: Parameters().Bytes(sha256).Int64(ttl).Text(name). Copies its values. An
// empty optional is NULL of that type. A value that cannot be sent (text with a NUL byte) makes the statement fail with
// InvalidArgument instead of being cut.
class Parameters {
 public:
  // Takes the type that the statement gives the placeholder (text, varchar, inet, jsonb, an enum, ...). UTF-8.
  Parameters& Text(std::optional<std::string_view> value);
  Parameters& Int64(std::optional<int64_t> value);
  Parameters& Bool(std::optional<bool> value);
  Parameters& Bytes(std::optional<ByteView> value);
  // timestamptz, cut to microseconds.
  Parameters& Time(std::optional<absl::Time> value);
  Parameters& Null();

  // text[], bigint[], bytea[]; for `= ANY($1)` and `unnest($1)`.
  Parameters& TextArray(std::span<const std::string> values);
  Parameters& Int64Array(std::span<const int64_t> values);
  Parameters& BytesArray(std::span<const std::string> values);

  // Forgets the values, keeps the memory.
  void Clear();

  size_t size() const { return entries_.size(); }

  // What libpq takes.
  const absl::Status& status() const { return status_; }
  uint32_t type_oid(size_t i) const { return entries_[i].type_oid; }
  bool is_null(size_t i) const { return entries_[i].null; }
  bool is_binary(size_t i) const { return entries_[i].binary; }
  const char* data(size_t i) const { return entries_[i].null ? nullptr : storage_.data() + entries_[i].offset; }
  size_t length(size_t i) const { return entries_[i].length; }

 private:
  struct Entry {
    uint32_t type_oid;
    bool binary;
    bool null;
    size_t offset;
    size_t length;
  };
  Parameters& Add(uint32_t type_oid, bool binary, std::optional<std::string_view> bytes);

  std::string storage_;
  std::vector<Entry> entries_;
  absl::Status status_;
};

}  // namespace trustline
