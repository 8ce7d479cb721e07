// A cursor over untrusted bytes. Every read is compared with what remains before anything moves.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"

namespace trustline {

// Reads big-endian integers and byte runs from a message whose name appears in every error. Does not own the bytes;
// `message` must outlive the reader. All errors are InvalidArgument.
class ByteReader {
 public:
  ByteReader(std::string_view message, ByteView bytes) : message_(message), rest_(bytes), size_(bytes.size()) {}

  absl::StatusOr<uint8_t> ReadU8(std::string_view field);
  absl::StatusOr<uint16_t> ReadU16(std::string_view field);
  absl::StatusOr<uint32_t> ReadU32(std::string_view field);
  absl::StatusOr<ByteView> ReadBytes(std::string_view field, size_t count);

  // A 2-byte length of at most `maximum`, then that many bytes.
  absl::StatusOr<ByteView> ReadBytesWithU16Length(std::string_view field, size_t maximum);

  size_t remaining() const { return rest_.size(); }
  bool empty() const { return rest_.empty(); }

  // Error unless everything was read.
  absl::Status AssertDone() const;

 private:
  absl::Status Truncated(std::string_view field, size_t wanted) const;

  std::string_view message_;
  ByteView rest_;
  size_t size_;
};

}  // namespace trustline
