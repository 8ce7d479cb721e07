// What the tests of issuance share: an issuer and a sweeper on a real database, and a clean audit at each test's end.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ca/ca_testing.h"
#include "ca/issuance/certificate_audit.h"
#include "ca/issuance/issuer.h"
#include "ca/issuance/sweeper.h"
#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

inline constexpr char kPhone[] = "SEP001122334455";
inline constexpr char kOtherPhone[] = "SEP001122334466";

class IssuerTest : public CaDatabaseTest {
 protected:
  void SetUp() override {
    CaDatabaseTest::SetUp();
    issuer_ = std::make_unique<Issuer>(IssuerOptions{.public_url = "http://ca.example:9480/"}, *pool_, *keys_, clock_);
    sweeper_ = std::make_unique<Sweeper>(SweeperOptions{.actor = "trustline:default/cad/node1"}, *issuer_, *pool_, log_,
                                         metrics_);
  }

  // Everything on record is whole, whatever a test did.
  void TearDown() override {
    if (!audit_at_end_) return;
    const auto lease = pool_->Acquire();
    ASSERT_OK(lease);
    ASSERT_OK_AND_ASSIGN(const CertificateAuditResult audit,
                         AuditCertificates(**lease, 1, absl::UnixEpoch(), [](int64_t) { return absl::OkStatus(); }));
    EXPECT_THAT(audit.findings, ::testing::IsEmpty());
  }

  int64_t RowsInState(std::string_view state) {
    return Count(fmt::format("SELECT count(*) FROM issuance WHERE state = '{}'", state));
  }
  // What a crash between the commit of the intent and the signature leaves: the store step fails by a trigger.
  void FailStoreStep() {
    RunByHand(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END "
        "$$; "
        "CREATE TRIGGER refuse BEFORE UPDATE ON issuance FOR EACH ROW WHEN (NEW.state = 'signed') "
        "EXECUTE FUNCTION refuse()");
  }
  void LetStoreStep() { RunByHand("DROP TRIGGER refuse ON issuance"); }

  bool audit_at_end_ = true;
  Log log_{LogOptions{.sink = [](std::string_view) {}}};
  Metrics metrics_{"cad"};
  std::unique_ptr<Issuer> issuer_;
  std::unique_ptr<Sweeper> sweeper_;
};

}  // namespace trustline
