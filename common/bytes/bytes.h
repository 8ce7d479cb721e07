// Byte sequences and their texts. An owned sequence is a std::string (as libraries on both sides of us use it); a
// borrowed one is a ByteView, valid as long as what it was made from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

using ByteView = std::span<const uint8_t>;

inline ByteView AsBytes(std::string_view text) {
  return ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}
inline std::string_view AsText(ByteView bytes) {
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Lower-case hexadecimal without separators.
std::string ToHex(ByteView bytes);

// Accepts both cases, and ':' between pairs of digits. InvalidArgument for anything else or an odd number of digits.
absl::StatusOr<std::string> FromHex(std::string_view text);

// True when both have the same length and content; the time taken depends on the lengths only.
bool EqualInConstantTime(ByteView a, ByteView b);

}  // namespace trustline
