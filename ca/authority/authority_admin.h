// The life of a cluster's authorities: requested or prepared, active, tainted, retired.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/authority/authority_key.h"
#include "ca/authority/authority_store.h"
#include "ca/revocation/revocation.h"
#include "ca/trust_store_client.h"
#include "common/postgres/pool.h"
#include "common/service/clock.h"

namespace trustline {

inline constexpr absl::Duration kLeastAuthorityLifetime = absl::Hours(24 * 365);
inline constexpr absl::Duration kDefaultAuthorityLifetime = absl::Hours(24 * 3650);
inline constexpr absl::Duration kLongestAuthorityLifetime = absl::Hours(24 * 10950);

struct AuthorityAdminOptions {
  std::string organization;
  std::string organizational_unit;
};

// Thread-safe. The references must outlive it. The key file is there before its row, the trust store vouches before an
// authority is prepared and again before it is active, and stops only after it is retired; an import or a retirement
// that stops half-way is completed by the same call. What fails leaves neither key nor anchor, unless a row may be
// there or itld does not answer; a crash leaves a key file and an anchor under which nothing is ever issued.
class AuthorityAdmin {
 public:
  AuthorityAdmin(AuthorityAdminOptions options, Pool& pool, AuthorityKeys& keys, TrustStoreClient& trust_store,
                 const Clock& clock)
      : options_(std::move(options)), pool_(pool), keys_(keys), trust_store_(trust_store), clock_(clock) {}

  // A new self-signed authority: CA:TRUE pathlen:0, keyUsage digitalSignature, keyCertSign, cRLSign. An empty `subject`
  // is made from the settings. InvalidArgument for a subject that cannot stand in a certificate or has no CN.
  absl::StatusOr<Authority> Prepare(const AuthorityCaller& caller, KeyKind kind, std::string_view subject,
                                    absl::Duration lifetime);

  struct Requested {
    Authority authority;
    CertificateRequest request;
  };
  absl::StatusOr<Requested> Request(const AuthorityCaller& caller, KeyKind kind, std::string_view subject);

  // The certificate for a requested authority and its issuers up to a self-signed one, in any order.
  // FailedPrecondition naming what does not fit: no request with this key, a certificate that may not issue, a chain
  // that does not lead to a root or has a certificate too many.
  absl::StatusOr<Authority> ImportChain(const AuthorityCaller& caller, const std::vector<Certificate>& certificates);

  struct Activated {
    Authority authority;
    int32_t tainted_id = 0;
  };
  // A prepared one, or a tainted one again.
  absl::StatusOr<Activated> Activate(const AuthorityCaller& caller, int32_t id);
  // FailedPrecondition for the active one unless `force`: nothing issues then.
  absl::StatusOr<Authority> Taint(const AuthorityCaller& caller, int32_t id, bool force);

  struct Retired {
    Authority authority;       // as it was, when discarded
    bool discarded = false;    // it was requested only: it and its key are gone
    absl::Status key_removed;  // of a discarded one: why its key file is still there
    v1::PreFlight preflight;   // what it means for phones
  };
  // FailedPrecondition, with how many and the first of them, while a device in service has a good certificate of it,
  // and when the trust store refuses because of phones. With `caution.plan` nothing is changed.
  absl::StatusOr<Retired> Retire(const AuthorityCaller& caller, int32_t id, const v1::Caution& caution = {});

 private:
  absl::StatusOr<DistinguishedName> SubjectOf(std::string_view text, const std::string& key_name) const;
  absl::StatusOr<Certificate> MakeSelfSigned(const AuthorityKey& key, std::string_view subject,
                                             absl::Duration lifetime) const;
  // The outcome of the transaction that was to store an authority with this new key: whether it took effect is asked
  // again when it failed. Takes key and anchor (may be null) back when there is no such authority.
  absl::StatusOr<Authority> SettleNew(const AuthorityCaller& caller, const std::string& key_name,
                                      absl::StatusOr<Authority> stored, const Certificate* anchor);
  // Makes the requested authority a prepared one and an anchor; takes the anchor back when that does not take effect.
  absl::StatusOr<Authority> Import(const AuthorityCaller& caller, int32_t id, const Certificate& certificate,
                                   const std::vector<Certificate>& chain);
  absl::Status CheckMayActivate(const Authority& authority);
  absl::Status CheckMayRetire(AuthorityStore& store, const Authority& authority);
  absl::StatusOr<Authority> SetPrepared(Connection& connection, const AuthorityCaller& caller, int32_t id,
                                        const Certificate& certificate, const std::vector<Certificate>& chain,
                                        std::string_view action);
  absl::Status Audit(Connection& connection, const AuthorityCaller& caller, std::string_view action,
                     const Authority& authority);

  const AuthorityAdminOptions options_;
  Pool& pool_;
  AuthorityKeys& keys_;
  TrustStoreClient& trust_store_;
  const Clock& clock_;
};

}  // namespace trustline
