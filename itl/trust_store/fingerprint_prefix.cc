#include "itl/trust_store/fingerprint_prefix.h"

#include "common/status/status.h"

namespace trustline {

absl::StatusOr<FingerprintPrefix> FingerprintPrefix::Parse(std::string_view text) {
  FingerprintPrefix prefix;
  prefix.highest_.fill(0xff);
  for (const char c : text) {
    if (c == ':') continue;
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return InvalidArgument("a fingerprint is hexadecimal digits of the SHA-256: copy one from a list");
    }
    const size_t position = prefix.text_.size();
    if (position == 2 * prefix.lowest_.size()) {
      return InvalidArgument("a fingerprint has at most 64 hexadecimal digits (SHA-256)");
    }
    const int shift = position % 2 == 0 ? 4 : 0;
    uint8_t& low = prefix.lowest_[position / 2];
    uint8_t& high = prefix.highest_[position / 2];
    low = static_cast<uint8_t>(low | digit << shift);
    high = static_cast<uint8_t>((high & ~(0xf << shift)) | digit << shift);
    prefix.text_ += "0123456789abcdef"[digit];
  }
  if (prefix.text_.size() < kFewestDigits) {
    return InvalidArgument("give at least {} hexadecimal digits of the fingerprint", kFewestDigits);
  }
  return prefix;
}

}  // namespace trustline
