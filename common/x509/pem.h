// The PEM text encoding (RFC 7468), read block by block.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

// One block, still encoded. Borrows from the text it was read from.
struct PemBlock {
  std::string_view label;  // "CERTIFICATE"
  std::string_view body;   // between the two boundary lines
  std::string_view whole;  // with the boundary lines
  size_t number = 0;       // 1 for the first block of the text, whatever its label
};

// Walks over a text's blocks; text between them is passed over. Does not own the text.
class PemReader {
 public:
  explicit PemReader(std::string_view text) : rest_(text) {}

  // Empty after the last block. InvalidArgument for a block that has no end, or the wrong one.
  absl::StatusOr<std::optional<PemBlock>> Next();

 private:
  std::string_view rest_;
  size_t count_ = 0;
};

// True when the text has a line that begins a block.
bool LooksLikePem(std::string_view text);

bool IsCertificateLabel(std::string_view label);

// The bytes of a block. InvalidArgument for anything but base64, also for header lines (RFC 1421), which encrypted
// private keys of old have.
absl::StatusOr<std::string> DecodePemBody(std::string_view body);

std::string EncodePem(std::string_view label, std::string_view bytes);

}  // namespace trustline
