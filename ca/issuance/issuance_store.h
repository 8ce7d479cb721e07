// The issuances of a cluster as the database has them (table issuance, written by cad alone).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/profile/lsc.h"
#include "common/postgres/connection.h"
#include "common/x509/crl.h"

namespace trustline {

enum class IssuanceState : uint8_t { kIntent, kSigned, kDelivered, kConfirmed, kAbandoned, kRevoked };
std::string_view IssuanceStateName(IssuanceState state);
absl::StatusOr<IssuanceState> ParseIssuanceState(std::string_view name);

// Who is to be told what of an issuance: everything but the large bytes.
struct IssuanceRecord {
  int64_t id = 0;
  int32_t authority_id = 0;
  std::string device;
  IssuanceState state = IssuanceState::kIntent;
  std::string serial;
  std::string subject;
  std::string issuer;
  std::string public_key;
  Sha256Digest public_key_sha256 = {};
  absl::Time not_before, not_after;
  std::optional<Sha256Digest> sha256;  // of the certificate, once there is one
  std::string requested_by;
  absl::Time requested_at;
  std::optional<absl::Time> signed_at, delivered_at, confirmed_at, revoked_at;
  std::string abandoned_because;
  std::optional<int16_t> revocation_reason;
  std::optional<std::string> revoked_by;
  std::optional<int64_t> first_crl_number;
};

// The columns of IssuanceRecord, for SELECT ... FROM issuance i JOIN ca_authority a USING (cluster_id, authority_id).
#define ISSUANCE_RECORD_COLUMNS                                                                             \
  "i.issuance_id, i.authority_id, i.device, i.state, i.serial, i.subject, a.subject, i.public_key, "        \
  "i.public_key_sha256, i.not_before, i.not_after, i.sha256, i.requested_by, i.requested_at, i.signed_at, " \
  "i.delivered_at, i.confirmed_at, i.revoked_at, i.abandoned_because, i.revocation_reason, i.revoked_by, "  \
  "i.first_crl_number"
absl::StatusOr<IssuanceRecord> ReadIssuanceRecord(const Row& row);

// What is needed to finish an issuance that was begun.
struct Intent {
  int64_t id = 0;
  int32_t cluster_id = 0;
  int32_t authority_id = 0;
  LscContent content;
  std::string to_be_signed;
};

// A new row in state intent.
struct NewIntent {
  std::string request_id;
  LscContent content;
  std::string subject;
  std::string public_key;  // kind
  Sha256Digest public_key_sha256 = {};
  std::string to_be_signed;
  std::string requested_by;
};

// What stands in the way of certifying a key for a device, or has it certified already.
struct KeyUse {
  bool blocked = false;
  std::string blocked_source;
  std::optional<std::string> other_device;  // that has a certificate for this key, or is about to
  bool is_authority_key = false;
  bool authority_issues = false;  // that is to certify it
};

// An issuance that a new request of the same device meets.
struct EarlierIssuance {
  int64_t id = 0;
  int32_t authority_id = 0;
  IssuanceState state = IssuanceState::kIntent;
  Sha256Digest public_key_sha256 = {};
  std::string request_id;
  absl::Time not_before;
  absl::Time not_after;
};

// Works on whatever transaction `connection` is in.
class IssuanceStore {
 public:
  IssuanceStore(Connection& connection, int32_t cluster_id) : connection_(connection), cluster_id_(cluster_id) {}

  // OK when the device is in service; then nobody else issues for it, or for this key, until the transaction ends.
  // NotFound for an unknown device, FailedPrecondition for one that is retired or replaced.
  absl::Status LockDeviceAndKey(const DeviceName& device, const Sha256Digest& public_key_sha256);
  absl::StatusOr<KeyUse> FindKeyUse(const DeviceName& device, const Sha256Digest& public_key_sha256,
                                    int32_t authority_id);
  // Whatever has the request id, then open and good ones, newest first; at most 100.
  absl::StatusOr<std::vector<EarlierIssuance>> FindEarlier(const DeviceName& device, std::string_view request_id);

  absl::Status Abandon(int64_t id, std::string_view because);
  // Empty when the authority is not the active one any more.
  absl::StatusOr<std::optional<int64_t>> Insert(int32_t authority_id, const NewIntent& intent);
  // NotFound when it is not open any more.
  absl::StatusOr<Intent> LoadIntent(int64_t id);
  // Empty when the row is not an open intent any more.
  absl::StatusOr<std::optional<IssuanceRecord>> StoreCertificate(int64_t id, const Certificate& certificate);
  // Those that come from their states into this one (kDelivered, kConfirmed).
  absl::StatusOr<std::vector<IssuanceRecord>> Advance(std::span<const int64_t> ids, IssuanceState state);

  absl::StatusOr<IssuanceRecord> Load(int64_t id);
  // NotFound unless there is a certificate.
  absl::StatusOr<std::string> LoadCertificate(int64_t id);

 private:
  Connection& connection_;
  const int32_t cluster_id_;
};

}  // namespace trustline
