#include "capf/string_key.h"

#include "capf/operation_record.h"
#include "common/bytes/bytes.h"
#include "common/postgres/sql_error.h"
#include "common/postgres/transaction.h"
#include "common/rpc/identity.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kFingerprintBytes = 8;

std::string FingerprintOf(std::string_view check_value) {
  return ToHex(AsBytes(check_value.substr(0, kFingerprintBytes)));
}

// The database's key.
struct KnownKey {
  std::string check_value;
  std::string set_by;
  absl::Time set_at;
};

absl::StatusOr<KnownKey> ReadKey(Connection& connection, const Statement& statement) {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(statement));
  KnownKey key;
  if (!rows.empty()) RETURN_IF_ERROR(rows[0].Scan(key.check_value, key.set_by, key.set_at));
  return key;
}

bool IsSame(const KnownKey& key, const AuthenticationStrings& strings) {
  return EqualInConstantTime(AsBytes(key.check_value), AsBytes(strings.CheckValue()));
}

}  // namespace

std::string StringKeyFingerprint(const AuthenticationStrings& strings) { return FingerprintOf(strings.CheckValue()); }

bool IsOtherStringKey(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) && SqlStateOf(status).empty();
}

absl::Status CheckStringKey(Connection& transaction, const AuthenticationStrings& strings, std::string_view actor,
                            StringKeyUse use) {
  static constexpr Statement kRead = {"read_string_key", "SELECT check_value, set_by, set_at FROM capf_string_key"};
  static constexpr Statement kReadShared = {"read_string_key_shared",
                                            "SELECT check_value, set_by, set_at FROM capf_string_key FOR SHARE"};
  static constexpr Statement kBring = {
      "bring_string_key",
      "INSERT INTO capf_string_key (check_value, set_by) VALUES ($1, $2) ON CONFLICT (only_row) DO NOTHING"};
  const Statement& read = use == StringKeyUse::kKeep ? kReadShared : kRead;
  ASSIGN_OR_RETURN(KnownKey key, ReadKey(transaction, read));
  if (key.check_value.empty()) {
    RETURN_IF_ERROR(
        transaction.Execute(kBring, Parameters().Bytes(AsBytes(strings.CheckValue())).Text(actor)).status());
    ASSIGN_OR_RETURN(key, ReadKey(transaction, read));
  }
  if (IsSame(key, strings)) return absl::OkStatus();
  return FailedPrecondition(
      "the key of authentication strings in {0} (fingerprint {1}) is not that of the database (fingerprint {2}, of {3} "
      "since {4}): copy that capfd's file, or a backup of it, over {0} and start again; if its key is lost for good, "
      "start with `[capf] replace_string_key = \"{2}\"`, after which every device that waits for a string has to be "
      "scheduled again",
      strings.key_file(), StringKeyFingerprint(strings), FingerprintOf(key.check_value), key.set_by,
      TimeTextSeconds(key.set_at));
}

absl::StatusOr<int64_t> TakeStringKey(Pool& pool, const AuthenticationStrings& strings, std::string_view actor,
                                      std::string_view lost, absl::Time now) {
  static constexpr Statement kLock = {"lock_string_key",
                                      "SELECT check_value, set_by, set_at FROM capf_string_key FOR UPDATE"};
  static constexpr Statement kReplace = {"replace_string_key",
                                         "UPDATE capf_string_key SET check_value = $1, set_by = $2, set_at = $3"};
  static constexpr Statement kFail = {
      "fail_operations_of_lost_key",
      "UPDATE capf_operation SET state = 'failed', reason = 'the key of its authentication string was lost: schedule "
      "it again', ended_at = $1, session_claim = NULL, session_until = NULL, " DISCARD_UNACKNOWLEDGED
      " WHERE state IN ('pending', 'in progress') AND authentication = 'string'"};
  static constexpr Statement kSystem = {"find_system_cluster", "SELECT cluster_id FROM cluster WHERE name = $1"};
  return RunInTransaction(pool, {}, [&](Connection& connection) -> absl::StatusOr<int64_t> {
    const absl::Status checked = CheckStringKey(connection, strings, actor, StringKeyUse::kCompare);
    if (checked.ok()) return 0;
    if (!IsOtherStringKey(checked) || lost.empty()) return checked;

    // Another process may be doing the same.
    ASSIGN_OR_RETURN(const KnownKey key, ReadKey(connection, kLock));
    if (IsSame(key, strings)) return 0;
    if (FingerprintOf(key.check_value) != lost) return checked;
    RETURN_IF_ERROR(
        connection.Execute(kReplace, Parameters().Bytes(AsBytes(strings.CheckValue())).Text(actor).Time(now)).status());
    ASSIGN_OR_RETURN(const Result failed, connection.Execute(kFail, Parameters().Time(now)));
    ASSIGN_OR_RETURN(const Result system, connection.Execute(kSystem, Parameters().Text(kSystemCluster)));
    ASSIGN_OR_RETURN(const int32_t system_id, system.Value<int32_t>());
    RETURN_IF_ERROR(AppendAudit(connection, {.cluster_id = system_id,
                                             .actor = std::string(actor),
                                             .action = "capf.replace_string_key",
                                             .subject = StringKeyFingerprint(strings),
                                             .detail = {{"replaced", std::string(lost)},
                                                        {"brought_by", key.set_by},
                                                        {"failed_operations", fmt::format("{}", failed.affected())}}}));
    return failed.affected();
  });
}

}  // namespace trustline
