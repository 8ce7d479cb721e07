// Adds certificates to the trust store of a cluster, all or none.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/postgres/connection.h"
#include "common/postgres/transaction.h"
#include "itl/trust_store/trust_entry.h"

namespace trustline {

struct ImportOptions {
  std::vector<CertificateRole> roles;  // at least one unless `anchor`
  absl::Duration ttl = kDefaultTtl;
  bool anchor = false;
  bool listed = false;            // needs a role
  std::string origin = "import";  // or "node", "system"
  // An entry that is there keeps its TTL and its flags, instead of being an error.
  bool keeps_present = false;
};

struct ImportCandidate {
  std::string der;
  std::string source;  // file name and position, for errors
};

struct ImportResult {
  int64_t commit = 0;  // 0 when nothing changed
  int64_t added = 0;   // certificates with at least one new entry
  int64_t unchanged = 0;
  std::vector<Sha256Digest> first;  // up to kNamed of the certificates named in the import
  std::vector<std::string> warnings;
};

// One import, inside a transaction that the caller owns, commits or leaves. Batches go to a temporary table as they
// come, so that memory holds one batch; the trust store is locked by Finish() only, whose statements take seconds when
// there are 100,000 certificates.
class TrustImport {
 public:
  static constexpr size_t kNamed = 20;

  // InvalidArgument for options that contradict themselves; the transaction of `connection` must be open.
  static absl::StatusOr<TrustImport> Begin(Connection& transaction, TrustStoreCaller caller, ImportOptions options,
                                           absl::Time now);

  // InvalidArgument, naming up to ten certificates of the batch that cannot be taken in; the import has then failed.
  absl::Status AddBatch(std::span<const ImportCandidate> batch);

  // Writes the entries and the audit event. FailedPrecondition when a certificate is trusted already with another TTL
  // or anchor flag, or is not listed but shall be, unless `keeps_present`. What is there already is left alone; a
  // removed entry becomes live again.
  absl::StatusOr<ImportResult> Finish();

  int64_t received() const { return received_; }

 private:
  TrustImport(Connection& transaction, TrustStoreCaller caller, ImportOptions options, absl::Time now);
  absl::Status CheckConflicts();
  absl::Status WriteEntries(int64_t commit);
  absl::Status AppendImportAudit(const ImportResult& result);
  absl::StatusOr<std::string> SetDigest(int64_t commit, Sha256Digest& only);

  Connection* connection_;
  TrustStoreCaller caller_;
  ImportOptions options_;
  std::vector<int64_t> role_codes_;
  absl::Time now_;
  int64_t received_ = 0;
  ImportResult result_;
  int64_t warnings_left_out_ = 0;
};

}  // namespace trustline
