// The authorities of a cluster as the database has them (table ca_authority, written by cad alone).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"
#include "common/x509/certificate.h"

namespace trustline {

enum class AuthorityState : uint8_t { kRequested, kPrepared, kActive, kTainted, kRetired };
std::string_view AuthorityStateName(AuthorityState state);

struct Authority {
  int32_t id = 0;
  AuthorityState state = AuthorityState::kRequested;
  std::string key_name;
  std::string public_key;
  std::string subject;
  std::optional<Certificate> certificate;  // none while requested
  std::vector<Certificate> chain;          // its issuers, the root last
  std::string created_by;
  absl::Time created_at;
  std::optional<absl::Time> prepared_at, activated_at, tainted_at, retired_at;
};

// What depends on an authority.
struct AuthorityUse {
  int64_t issued = 0;
  int64_t dependents = 0;  // good certificates of devices that are in service
};

// Its newest CRL.
struct AuthorityCrl {
  int64_t number = 0;
  absl::Time next_update;
  int64_t revoked = 0;
};

// Works on whatever transaction `connection` is in.
class AuthorityStore {
 public:
  AuthorityStore(Connection& connection, int32_t cluster_id) : connection_(connection), cluster_id_(cluster_id) {}

  // Those of the whole cluster, oldest first.
  absl::StatusOr<std::vector<Authority>> List();
  // NotFound naming `trustctl ca list`.
  absl::StatusOr<Authority> Load(int32_t id);
  // Empty when no authority has the key.
  absl::StatusOr<std::optional<Authority>> FindByKey(std::string_view key_name);
  // The one that issues. FailedPrecondition when there is none.
  absl::StatusOr<Authority> Active();
  // As Load; nobody else changes it, or issues under it, until the transaction ends.
  absl::StatusOr<Authority> Lock(int32_t id);
  // Makes this transaction the only one that changes the cluster's authorities.
  absl::Status LockAll();

  // Of a key that was just made.
  absl::StatusOr<Authority> InsertRequested(const std::string& key_name, const Sha256Digest& public_key_sha256,
                                            const std::string& public_key, const std::string& subject,
                                            std::string_view created_by);
  // Its certificate; it is prepared from then on. FailedPrecondition unless it was requested.
  absl::Status SetCertificate(int32_t id, const Certificate& certificate, const std::vector<Certificate>& chain);
  absl::Status SetState(int32_t id, AuthorityState state);
  // Its row is gone. FailedPrecondition unless it was requested.
  absl::Status Discard(int32_t id);

  // By authority; those without one are left out.
  absl::StatusOr<std::map<int32_t, AuthorityCrl>> Crls();
  // Takes a second for a million certificates.
  absl::StatusOr<AuthorityUse> CountUse(int32_t id);
  // Good certificates of devices in service, counted up to `most`.
  absl::StatusOr<int64_t> CountDependents(int32_t id, int64_t most);
  // The devices of the first `limit` of them to end.
  absl::StatusOr<std::vector<std::string>> Dependents(int32_t id, int64_t limit);
  // Requests that are not signed yet.
  absl::StatusOr<int64_t> OpenIntents(int32_t id);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
