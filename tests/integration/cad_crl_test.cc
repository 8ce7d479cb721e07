// Several cad that make the CRLs of one authority at the same time.
#include <algorithm>
#include <chrono>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "common/net/http_client.h"
#include "common/x509/crl.h"
#include "tests/integration/cad_testing.h"

namespace trustline {
namespace {

constexpr size_t kThreadsOfEachCad = 4;
constexpr size_t kRevocationsOfEachThread = 3;
// As many as it takes until each cad has made a CRL.
constexpr int kLeastRounds = 3;
constexpr int kMostRounds = 30;

// Keeps every CRL that ever stood in the table, in the order in which they did: whoever stores one holds the
// authority's row.
constexpr char kRecordCrls[] =
    "CREATE TABLE recorded_crl (ordinal bigint GENERATED ALWAYS AS IDENTITY, crl_number bigint, der bytea, "
    "revoked_count bigint);"
    "CREATE FUNCTION record_crl() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$ "
    "BEGIN "
    "INSERT INTO recorded_crl (crl_number, der, revoked_count) VALUES (NEW.crl_number, NEW.der, NEW.revoked_count); "
    "RETURN NULL; END $$;"
    "CREATE TRIGGER record_crl AFTER INSERT OR UPDATE OF der ON ca_crl FOR EACH ROW EXECUTE FUNCTION record_crl()";

struct RecordedCrl {
  int64_t number = 0;
  int64_t revoked_count = 0;
  int64_t number_inside = 0;
  std::set<std::string> serials;
};

class CadCrlTest : public CadTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    CadTest::SetUp();
    StartCad();
    ASSERT_OK(site_->MakeAuthority(*cad_, GetParam()));
    WaitForCount("SELECT count(*) FROM trust_crl", 1, absl::Seconds(60));
    ASSERT_OK(superuser_->ExecuteScript(kRecordCrls));
    ASSERT_OK_AND_ASSIGN(second_, site_->StartCad({.node = "node2"}));
    ASSERT_OK(second_->WaitUntilReady());
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<grpc::Channel> channel, site_->Channel(*second_));
    second_issuance_ = v1::Issuance::NewStub(channel);
  }

  // The serial numbers of new certificates, each of a device of its own.
  std::vector<std::string> EnrollNewDevices(size_t count) {
    std::vector<std::string> serials;
    for (size_t i = 0; i < count; ++i) {
      const std::string device = fmt::format("SEP{:012X}", ++devices_made_);
      AddDevice(device);
      const absl::StatusOr<v1::IssueResponse> issued = Enroll(device, NewRequest(device));
      EXPECT_OK(issued);
      if (issued.ok()) serials.push_back(issued->certificate().serial());
    }
    return serials;
  }

  static absl::Status Revoke(const std::unique_ptr<v1::Issuance::Stub>& cad, const std::string& serial) {
    v1::RevokeCertificateRequest request;
    request.set_serial(serial);
    request.set_reason(v1::CERTIFICATE_REVOCATION_REASON_KEY_COMPROMISE);
    v1::RevokeCertificateResponse response;
    return Call(cad, &v1::Issuance::Stub::RevokeCertificate, request, response);
  }
  // From several threads through both cad at once.
  void RevokeAll(const std::vector<std::string>& serials) {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 2 * kThreadsOfEachCad; ++t) {
      threads.emplace_back([this, t, &serials] {
        for (size_t i = t; i < serials.size(); i += 2 * kThreadsOfEachCad) {
          EXPECT_OK(Revoke(t % 2 == 0 ? issuance_ : second_issuance_, serials[i]));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // How many CRLs this cad has made since its start.
  static int64_t CrlsMadeBy(const DaemonProcess& cad) {
    const auto metrics = HttpGet("127.0.0.1", cad.metrics_port(), "/metrics", std::chrono::seconds(5));
    EXPECT_OK(metrics);
    std::istringstream lines(metrics.ok() ? metrics->body : "");
    const std::string name = "trustline_ca_crls_total{outcome=\"made\"} ";
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(name)) return std::stoll(line.substr(name.size()));
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
  }

  std::vector<RecordedCrl> RecordedCrls() {
    std::vector<RecordedCrl> all;
    const auto result = superuser_->Execute("SELECT crl_number, revoked_count, der FROM recorded_crl ORDER BY ordinal");
    EXPECT_OK(result);
    if (!result.ok()) return all;
    for (const Row row : *result) {
      RecordedCrl& crl = all.emplace_back();
      std::string der;
      EXPECT_OK(row.Scan(crl.number, crl.revoked_count, der));
      const auto parsed = CertificateRevocationList::FromBytes(AsBytes(der));
      EXPECT_OK(parsed);
      if (!parsed.ok()) continue;
      for (const char c : parsed->number().value_or("")) {
        crl.number_inside = crl.number_inside * 256 + static_cast<unsigned char>(c);
      }
      parsed->ForEachRevoked(
          [&crl](const RevokedCertificate& revoked) { crl.serials.emplace(AsText(revoked.serial)); });
    }
    return all;
  }

  std::unique_ptr<DaemonProcess> second_;
  std::unique_ptr<v1::Issuance::Stub> second_issuance_;
  uint64_t devices_made_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Authorities, CadCrlTest, ::testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Ec" : "Rsa"; });

TEST_P(CadCrlTest, NumbersRiseAndNothingIsForgottenWithSeveralCad) {
  constexpr size_t kOfARound = 2 * kThreadsOfEachCad * kRevocationsOfEachThread;
  const int64_t first_before = CrlsMadeBy(*cad_);
  const int64_t second_before = CrlsMadeBy(*second_);
  int64_t made_by_first = 0;
  int64_t made_by_second = 0;
  int64_t revoked = 0;
  for (int round = 0; round < kMostRounds; ++round) {
    const std::vector<std::string> serials = EnrollNewDevices(kOfARound);
    RevokeAll(serials);
    revoked += static_cast<int64_t>(serials.size());
    WaitForCount("SELECT count(*) FROM issuance WHERE state = 'revoked' AND first_crl_number IS NULL", 0,
                 absl::Seconds(60));
    made_by_first = CrlsMadeBy(*cad_) - first_before;
    made_by_second = CrlsMadeBy(*second_) - second_before;
    if (round + 1 >= kLeastRounds && made_by_first > 0 && made_by_second > 0) break;
  }
  EXPECT_GT(made_by_first, 0);
  EXPECT_GT(made_by_second, 0);
  ASSERT_EQ(Count("SELECT count(*) FROM issuance WHERE state = 'revoked'"), revoked);

  const std::vector<RecordedCrl> crls = RecordedCrls();
  ASSERT_GE(crls.size(), static_cast<size_t>(kLeastRounds));
  for (size_t i = 0; i < crls.size(); ++i) {
    SCOPED_TRACE(fmt::format("CRL {} of {}", i + 1, crls.size()));
    EXPECT_EQ(crls[i].number_inside, crls[i].number);
    EXPECT_EQ(crls[i].serials.size(), static_cast<size_t>(crls[i].revoked_count));
    if (i == 0) continue;
    EXPECT_GT(crls[i].number, crls[i - 1].number);
    EXPECT_TRUE(std::ranges::includes(crls[i].serials, crls[i - 1].serials))
        << "a revoked certificate is in it no more";
  }
  EXPECT_EQ(crls.back().revoked_count, revoked);
  EXPECT_EQ(Count("SELECT crl_number FROM ca_authority"), crls.back().number);
  // Each certificate's row says which CRL was the first to name it.
  const auto rows = superuser_->Execute("SELECT serial, first_crl_number FROM issuance WHERE state = 'revoked'");
  ASSERT_OK(rows);
  for (const Row row : *rows) {
    std::string serial;
    int64_t first_number = 0;
    ASSERT_OK(row.Scan(serial, first_number));
    const auto first = std::ranges::find_if(crls, [&](const RecordedCrl& crl) { return crl.serials.contains(serial); });
    ASSERT_NE(first, crls.end());
    EXPECT_EQ(first_number, first->number);
  }
  // The newest one reaches the trust store, whoever brings it.
  WaitForCount("SELECT count(*) FROM trust_crl JOIN ca_crl USING (sha256) WHERE trust_store_at IS NOT NULL", 1,
               absl::Seconds(60));
}

}  // namespace
}  // namespace trustline
