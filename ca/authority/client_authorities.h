// Outside authorities whose certificates prove a phone, per purpose, and keys that nobody may have certified.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/revocation/revocation.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"

namespace trustline {

enum class ClientAuthorityPurpose : uint8_t { kManufacturing, kSmallBusiness };

struct ClientAuthority {
  ClientAuthorityPurpose purpose = ClientAuthorityPurpose::kManufacturing;
  Certificate certificate;
  std::string added_by;
  absl::Time added_at;
};

// Work inside a transaction that the caller owns and commits; audit what they change.
class ClientAuthorities {
 public:
  ClientAuthorities(Connection& transaction, AuthorityCaller caller)
      : connection_(transaction), caller_(std::move(caller)) {}

  // False when it was there. FailedPrecondition for a certificate that is no authority or is past its end.
  absl::StatusOr<bool> Add(ClientAuthorityPurpose purpose, const Certificate& certificate, absl::Time now);
  // The one whose SHA-256 begins so (hexadecimal, at least 4 digits). NotFound; FailedPrecondition when there are
  // several.
  absl::StatusOr<ClientAuthority> Remove(ClientAuthorityPurpose purpose, std::string_view fingerprint_prefix);
  absl::StatusOr<std::vector<ClientAuthority>> List();

  struct Blocked {
    int64_t added = 0;
    int64_t total = 0;
  };
  // SHA-256 of SubjectPublicKeyInfos, 32 bytes each.
  absl::StatusOr<Blocked> BlockKeys(const std::vector<std::string>& keys, std::string_view source);

 private:
  Connection& connection_;
  const AuthorityCaller caller_;
};

}  // namespace trustline
