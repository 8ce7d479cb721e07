// Appends big-endian integers and byte runs to one message.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "common/bytes/bytes.h"

namespace trustline {

class ByteWriter {
 public:
  explicit ByteWriter(size_t expected_size = 0) { bytes_.reserve(expected_size); }

  ByteWriter& U8(uint8_t value) {
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  ByteWriter& U16(uint16_t value) { return U8(static_cast<uint8_t>(value >> 8)).U8(static_cast<uint8_t>(value)); }
  ByteWriter& U32(uint32_t value) { return U16(static_cast<uint16_t>(value >> 16)).U16(static_cast<uint16_t>(value)); }
  ByteWriter& Bytes(ByteView bytes) {
    bytes_.append(AsText(bytes));
    return *this;
  }

  size_t size() const { return bytes_.size(); }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

}  // namespace trustline
