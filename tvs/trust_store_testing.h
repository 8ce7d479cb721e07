// What the tests of this folder share: certificates as facts, CRLs, and a trust store that is changed as itld would.
#pragma once

#include <string>
#include <vector>

#include "common/x509/certificate.h"
#include "common/x509/x509_testing.h"
#include "tests/support/scratch_database.h"
#include "tvs/trust_snapshot.h"

namespace trustline {

CertificateFacts FactsOf(const Certificate& certificate);

// A CRL of `issuer` in DER, current from the hour before `now` until `next_update`.
std::string MakeTestCrl(const Party& issuer, const std::vector<Certificate>& revoked, absl::Time now,
                        absl::Time next_update);
std::shared_ptr<const SnapshotCrl> SnapshotCrlOf(const std::string& der);

// A snapshot built by hand.
struct TestEntry {
  Certificate certificate;
  int role = 7;
  uint32_t ttl_seconds = 86'400;
  bool anchor = false;
  bool removed = false;
};
std::unique_ptr<const TrustSnapshot> MakeSnapshot(const std::vector<TestEntry>& entries,
                                                  const std::vector<std::string>& crls = {});

// Writes to the trust store of a cluster through the role of itld, one transaction a call.
class TestTrustStore {
 public:
  explicit TestTrustStore(const ScratchDatabase& database, std::string cluster = "default");

  absl::Status Put(const TestEntry& entry);
  absl::Status PutCrl(const std::string& der);
  absl::Status RemoveCrl(const std::string& der);
  // What cad leaves for tvsd to serve: the newest CRL of an authority, which is made when it is not there.
  absl::Status PutAuthorityCrl(std::string_view key_name, const std::string& der, absl::Time next_update);
  // Runs SQL as the superuser, as somebody does who changes the database by hand.
  absl::Status RunByHand(const std::string& sql);

 private:
  absl::Status InCommit(const std::function<absl::Status(Connection&, int32_t cluster_id, int64_t commit)>& change);

  const ScratchDatabase& database_;
  const std::string cluster_;
};

}  // namespace trustline
