// What the tests of itl share: a database with itld's and the superuser's connection, imports, CRLs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/postgres/connection.h"
#include "common/x509/x509_testing.h"
#include "gtest/gtest.h"
#include "itl/trust_store/fingerprint_prefix.h"
#include "itl/trust_store/trust_import.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {

inline const char kTestActor[] = "trustline:default/person/admin";

// A certificate that is good at kTestNow, whose key is shared, so that thousands are made quickly.
Certificate MakeCertificate(std::string_view common_name);
Certificate MakeCertificate(const CertificateTemplate& form);

// RSA 2048, self-signed, as phones accept it.
const Party& PhoneFacingParty();

struct TestCrl {
  absl::Time this_update = kTestNow - absl::Hours(1);
  std::optional<absl::Time> next_update = kTestNow + absl::Hours(24 * 7);
  std::string number;  // hexadecimal; empty: none
  std::vector<long> revoked;
};
std::string MakeCrl(const Party& issuer, const TestCrl& form);

FingerprintPrefix PrefixOf(const Sha256Digest& digest);

class ItlDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override;

  TrustStoreCaller caller() const { return {1, "default", kTestActor}; }
  // One import in a transaction of its own, committed when it succeeds.
  absl::StatusOr<ImportResult> Import(const std::vector<Certificate>& certificates, ImportOptions options);
  absl::StatusOr<ImportResult> ImportBytes(std::vector<ImportCandidate> candidates, ImportOptions options);
  // As superuser; the first column of the first row.
  int64_t Count(const char* sql);
  std::string Text(const char* sql);
  void RunByHand(const std::string& sql);
  int64_t TrustCommit() { return Count("SELECT trust_commit FROM cluster WHERE cluster_id = 1"); }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> itld_;  // role trustline_itld
  std::optional<Connection> superuser_;
};

}  // namespace trustline
