#include "common/rpc/join_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kPrefix = "tl1-";

}  // namespace

absl::StatusOr<JoinToken> JoinToken::FromFields(std::string_view authority_sha256, std::string_view secret) {
  JoinToken token;
  if (authority_sha256.size() != token.authority_sha256.size() || secret.size() != kJoinSecretSize) {
    return DataLoss("a join token of {} and {} bytes instead of {} and {}", authority_sha256.size(), secret.size(),
                    token.authority_sha256.size(), kJoinSecretSize);
  }
  std::ranges::copy(authority_sha256, token.authority_sha256.begin());
  token.secret = SecretBytes(secret);
  return token;
}

absl::StatusOr<JoinToken> JoinToken::Parse(std::string_view text) {
  std::string bytes;
  if (!text.starts_with(kPrefix) || !absl::WebSafeBase64Unescape(std::string(text.substr(kPrefix.size())), &bytes) ||
      bytes.size() != sizeof(Sha256Digest) + kJoinSecretSize) {
    return InvalidArgument(
        "this is not a join token: an administrator makes one with `trustctl node token NAME`; copy its last line "
        "whole");
  }
  const SecretBytes owner = SecretBytes::TakeFrom(bytes);
  const std::string_view fields = owner.ExposeSecret();
  return FromFields(fields.substr(0, sizeof(Sha256Digest)), fields.substr(sizeof(Sha256Digest)));
}

std::string JoinToken::ToText() const {
  std::string fields(AsText(authority_sha256));
  fields += secret.ExposeSecret();
  const SecretBytes owner = SecretBytes::TakeFrom(fields);
  const std::string_view exposed = owner.ExposeSecret();
  return std::string(kPrefix) + absl::WebSafeBase64Escape(absl::string_view(exposed.data(), exposed.size()));
}

}  // namespace trustline
