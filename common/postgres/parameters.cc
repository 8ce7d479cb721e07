#include "common/postgres/parameters.h"

#include <functional>
#include <limits>

#include "common/bytes/writer.h"
#include "common/postgres/type_oid.h"
#include "common/status/status.h"

namespace trustline {
namespace {

std::string BigEndian64(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  return ByteWriter(8).U32(static_cast<uint32_t>(bits >> 32)).U32(static_cast<uint32_t>(bits)).Take();
}

// The form that array_recv() reads; see result.cc.
std::string EncodeArray(uint32_t element_oid, size_t count, const std::function<std::string_view(size_t)>& element) {
  ByteWriter writer;
  writer.U32(count == 0 ? 0 : 1).U32(0).U32(element_oid);
  if (count > 0) writer.U32(static_cast<uint32_t>(count)).U32(1);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view value = element(i);
    writer.U32(static_cast<uint32_t>(value.size())).Bytes(AsBytes(value));
  }
  return writer.Take();
}

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

absl::Status NulError() { return InvalidArgument("a text holds a NUL character, which PostgreSQL cannot store"); }

}  // namespace

Parameters& Parameters::Add(uint32_t type_oid, bool binary, std::optional<std::string_view> bytes) {
  entries_.push_back({type_oid, binary, !bytes.has_value(), storage_.size(), bytes.has_value() ? bytes->size() : 0});
  if (bytes.has_value()) {
    // libpq's lengths are int, and PostgreSQL's values end at 1 GB.
    if (bytes->size() > (1U << 30)) {
      status_ = InvalidArgument("a value of {} bytes is over PostgreSQL's limit of 1 GB", bytes->size());
      entries_.back().length = 0;
      bytes = std::string_view();
    }
    storage_.append(*bytes);
    storage_.push_back('\0');  // values in text format end with NUL
  }
  return *this;
}

Parameters& Parameters::Text(std::optional<std::string_view> value) {
  if (value.has_value() && HasNul(*value)) status_ = NulError();
  return Add(type_oid::kInferred, false, value);
}

Parameters& Parameters::Int64(std::optional<int64_t> value) {
  if (!value.has_value()) return Add(type_oid::kInt8, true, std::nullopt);
  return Add(type_oid::kInt8, true, BigEndian64(*value));
}

Parameters& Parameters::Bool(std::optional<bool> value) {
  if (!value.has_value()) return Add(type_oid::kBool, true, std::nullopt);
  return Add(type_oid::kBool, true, std::string_view(*value ? "\1" : "\0", 1));
}

Parameters& Parameters::Bytes(std::optional<ByteView> value) {
  if (!value.has_value()) return Add(type_oid::kBytea, true, std::nullopt);
  return Add(type_oid::kBytea, true, AsText(*value));
}

Parameters& Parameters::Time(std::optional<absl::Time> value) {
  if (!value.has_value()) return Add(type_oid::kTimestamptz, true, std::nullopt);
  int64_t microseconds = 0;
  if (*value == absl::InfiniteFuture()) {
    microseconds = std::numeric_limits<int64_t>::max();
  } else if (*value == absl::InfinitePast()) {
    microseconds = std::numeric_limits<int64_t>::min();
  } else {
    microseconds = absl::ToUnixMicros(*value) - type_oid::kPostgresEpochUnixSeconds * 1'000'000;
  }
  return Add(type_oid::kTimestamptz, true, BigEndian64(microseconds));
}

Parameters& Parameters::Null() { return Add(type_oid::kInferred, false, std::nullopt); }

Parameters& Parameters::TextArray(std::span<const std::string> values) {
  for (const std::string& value : values) {
    if (HasNul(value)) status_ = NulError();
  }
  return Add(type_oid::kTextArray, true,
             EncodeArray(type_oid::kText, values.size(), [&](size_t i) { return std::string_view(values[i]); }));
}

Parameters& Parameters::Int64Array(std::span<const int64_t> values) {
  std::string element;
  return Add(type_oid::kInt8Array, true, EncodeArray(type_oid::kInt8, values.size(), [&](size_t i) {
               element = BigEndian64(values[i]);
               return std::string_view(element);
             }));
}

Parameters& Parameters::BytesArray(std::span<const std::string> values) {
  return Add(type_oid::kByteaArray, true,
             EncodeArray(type_oid::kBytea, values.size(), [&](size_t i) { return std::string_view(values[i]); }));
}

void Parameters::Clear() {
  storage_.clear();
  entries_.clear();
  status_ = absl::OkStatus();
}

}  // namespace trustline
