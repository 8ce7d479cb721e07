#include "common/bytes/reader.h"

#include "common/status/status.h"

namespace trustline {

absl::Status ByteReader::Truncated(std::string_view field, size_t wanted) const {
  return InvalidArgument("{}: {} wants {} bytes at offset {}, only {} remain", message_, field, wanted,
                         size_ - rest_.size(), rest_.size());
}

absl::StatusOr<ByteView> ByteReader::ReadBytes(std::string_view field, size_t count) {
  if (count > rest_.size()) return Truncated(field, count);
  const ByteView bytes = rest_.first(count);
  rest_ = rest_.subspan(count);
  return bytes;
}

absl::StatusOr<uint8_t> ByteReader::ReadU8(std::string_view field) {
  ASSIGN_OR_RETURN(const ByteView b, ReadBytes(field, 1));
  return b[0];
}

absl::StatusOr<uint16_t> ByteReader::ReadU16(std::string_view field) {
  ASSIGN_OR_RETURN(const ByteView b, ReadBytes(field, 2));
  return static_cast<uint16_t>(b[0] << 8 | b[1]);
}

absl::StatusOr<uint32_t> ByteReader::ReadU32(std::string_view field) {
  ASSIGN_OR_RETURN(const ByteView b, ReadBytes(field, 4));
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

absl::StatusOr<ByteView> ByteReader::ReadBytesWithU16Length(std::string_view field, size_t maximum) {
  ASSIGN_OR_RETURN(const uint16_t length, ReadU16(field));
  if (length > maximum) {
    return InvalidArgument("{}: {} of {} bytes is longer than the maximum of {}", message_, field, length, maximum);
  }
  return ReadBytes(field, length);
}

absl::Status ByteReader::AssertDone() const {
  if (rest_.empty()) return absl::OkStatus();
  return InvalidArgument("{}: {} bytes left over after offset {}", message_, rest_.size(), size_ - rest_.size());
}

}  // namespace trustline
