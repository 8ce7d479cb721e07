// What a machine is given to join the system: it pins the identity authority and proves the invitation.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/bytes/secret_bytes.h"
#include "common/bytes/sha256.h"

namespace trustline {

inline constexpr size_t kJoinSecretSize = 32;

// As text: "tl1-" and base64url (RFC 4648, section 5, without padding) of the authority certificate's SHA-256 and the
// secret.
struct JoinToken {
  Sha256Digest authority_sha256;
  SecretBytes secret;

  // DataLoss when a service answered with fields of another size.
  static absl::StatusOr<JoinToken> FromFields(std::string_view authority_sha256, std::string_view secret);
  // InvalidArgument, with where to get one, for anything else.
  static absl::StatusOr<JoinToken> Parse(std::string_view text);
  // Reveals the secret.
  std::string ToText() const;
};

}  // namespace trustline
