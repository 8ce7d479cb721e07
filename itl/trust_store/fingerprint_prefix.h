// The first digits of a SHA-256, by which administrators name certificates and CRLs.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"

namespace trustline {

// Immutable.
class FingerprintPrefix {
 public:
  // Fewer digits would name many certificates of a large store.
  static constexpr size_t kFewestDigits = 4;

  // InvalidArgument unless `text` is 4 to 64 hexadecimal digits in either case; ':' between digits is passed over.
  static absl::StatusOr<FingerprintPrefix> Parse(std::string_view text);

  // The lowest and the highest digest that begin so.
  const Sha256Digest& lowest() const { return lowest_; }
  const Sha256Digest& highest() const { return highest_; }
  // In lower case.
  const std::string& text() const { return text_; }

 private:
  FingerprintPrefix() = default;
  std::string text_;
  Sha256Digest lowest_{};
  Sha256Digest highest_{};
};

}  // namespace trustline
