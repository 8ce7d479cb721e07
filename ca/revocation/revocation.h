// Takes certificates of devices back. What this writes is in force at once; the CRL and the TVS follow
// (ca/revocation/crl_publisher.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/postgres/connection.h"
#include "common/x509/crl.h"

namespace trustline {

// On whose behalf a transaction of the certificate authority works.
struct AuthorityCaller {
  int32_t cluster_id = 0;
  std::string cluster;  // name
  std::string actor;    // identity URI
};

struct Revocation {
  bool changed = false;  // false: it was revoked before, and stays as it was
  int64_t issuance_id = 0;
  bool key_blocked = false;
  int64_t others = 0;  // certificates for the same key that were revoked with it
};

struct DeviceIssuance {
  std::string device;
  int64_t issuance_id = 0;
};

// Works inside a transaction that the caller owns and commits; audits each certificate as lsc.revoke. Locks no more
// than the rows that it changes.
class Revoker {
 public:
  Revoker(Connection& transaction, AuthorityCaller caller) : connection_(transaction), caller_(std::move(caller)) {}

  // NotFound when no certificate of the cluster has this serial number (big-endian). When the reason is that its key is
  // compromised, also of one that was revoked before, the key is blocked: no cluster certifies it again, and the
  // cluster's other certificates and requests for it end too.
  absl::StatusOr<Revocation> Revoke(ByteView serial, RevocationReason reason);

  // Every certificate of the device that is neither revoked nor past its end, and abandons its open intent. Returns
  // how many were revoked.
  absl::StatusOr<int64_t> RevokeAllOf(std::string_view device, RevocationReason reason, std::string_view because);

  // Those of each device that are older than the issuance that it has acknowledged: what it never acknowledged, and
  // what an authority issued that is tainted.
  absl::StatusOr<int64_t> RevokeReplaced(std::span<const DeviceIssuance> acknowledged);

  // Those among `issuances`, all of the authority, whose device has acknowledged a newer one of another authority that
  // is good.
  absl::StatusOr<int64_t> RevokeSuperseded(int32_t authority_id, std::span<const int64_t> issuances);

 private:
  absl::Status Audit(std::string_view device, std::string_view serial, RevocationReason reason,
                     std::string_view because);
  // Returns how many certificates were revoked with it.
  absl::StatusOr<int64_t> BlockKey(std::string_view public_key_sha256);

  Connection& connection_;
  const AuthorityCaller caller_;
};

}  // namespace trustline
