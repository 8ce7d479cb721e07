// The life of authorities in the real cad: rollover to its end and back, and what stands in the way of it.
#include <csignal>
#include <filesystem>

#include "common/status/status.h"
#include "tests/integration/cad_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr char kPhone[] = "SEP001122334455";
constexpr char kOtherPhone[] = "SEP001122334466";

class CadAuthorityTest : public CadTest {
 protected:
  void SetUp() override {
    CadTest::SetUp();
    StartCad();
    ASSERT_OK_AND_ASSIGN(authority_id_, site_->MakeAuthority(*cad_, true));
  }

  // A confirmed certificate of the device; returns what the confirmation revoked.
  int64_t EnrollAndConfirm(const char* device) {
    const absl::StatusOr<v1::IssueResponse> issued = Enroll(device, NewRequest(device), "", true);
    EXPECT_OK(issued);
    if (!issued.ok()) return -1;
    const absl::StatusOr<v1::RecordDeliveryResponse> confirmed = Confirm(issued->certificate().issuance_id());
    EXPECT_OK(confirmed);
    return confirmed.ok() ? confirmed->superseded() : -1;
  }
  absl::StatusOr<v1::PrepareAuthorityResponse> Prepare() {
    v1::PrepareAuthorityRequest request;
    request.set_key(v1::CERTIFICATE_KEY_EC_P256);
    v1::PrepareAuthorityResponse response;
    RETURN_IF_ERROR(Call(authorities_, &v1::Authorities::Stub::PrepareAuthority, request, response));
    return response;
  }
  absl::StatusOr<v1::ActivateAuthorityResponse> Activate(int32_t id) {
    v1::ActivateAuthorityRequest request;
    request.set_authority_id(id);
    v1::ActivateAuthorityResponse response;
    RETURN_IF_ERROR(Call(authorities_, &v1::Authorities::Stub::ActivateAuthority, request, response));
    return response;
  }
  absl::Status Taint(int32_t id, bool force) {
    v1::TaintAuthorityRequest request;
    request.set_authority_id(id);
    request.set_force(force);
    v1::TaintAuthorityResponse response;
    return Call(authorities_, &v1::Authorities::Stub::TaintAuthority, request, response);
  }
  absl::StatusOr<v1::RetireAuthorityResponse> Retire(int32_t id) {
    v1::RetireAuthorityRequest request;
    request.set_authority_id(id);
    v1::RetireAuthorityResponse response;
    RETURN_IF_ERROR(Call(authorities_, &v1::Authorities::Stub::RetireAuthority, request, response));
    return response;
  }
  absl::StatusOr<v1::RevokeSupersededResponse> RevokeSuperseded(int32_t id) {
    v1::RevokeSupersededRequest request;
    request.set_authority_id(id);
    grpc::ClientContext context;
    const auto stream = issuance_->RevokeSuperseded(&context, request);
    v1::RevokeSupersededResponse last;
    for (v1::RevokeSupersededResponse response; stream->Read(&response);) last = response;
    RETURN_IF_ERROR(ToAbsl(stream->Finish()));
    if (!last.finished()) return Internal("there was no result");
    return last;
  }
  // Devices of the good certificates of the authority.
  std::vector<std::string> Good(int32_t id) {
    v1::ListCertificatesRequest request;
    request.set_authority_id(id);
    request.set_good(true);
    v1::ListCertificatesResponse response;
    EXPECT_OK(Call(issuance_, &v1::Issuance::Stub::ListCertificates, request, response));
    std::vector<std::string> devices;
    for (const v1::IssuedCertificate& certificate : response.certificates()) devices.push_back(certificate.device());
    return devices;
  }
  int64_t Anchors() {
    return Count("SELECT count(*) FROM trust_entry WHERE role = -1 AND anchor AND removed_at IS NULL");
  }

  int32_t authority_id_ = 0;
};

TEST_F(CadAuthorityTest, ARolloverIsFinishedByRenewals) {
  AddDevice(kPhone);
  AddDevice(kOtherPhone);
  EXPECT_EQ(EnrollAndConfirm(kPhone), 0);
  EXPECT_EQ(EnrollAndConfirm(kOtherPhone), 0);
  ASSERT_OK_AND_ASSIGN(const int32_t next, site_->MakeAuthority(*cad_, true));
  EXPECT_EQ(EnrollAndConfirm(kPhone), 1);
  EXPECT_THAT(Good(authority_id_), ElementsAre(kOtherPhone));
  EXPECT_THAT(
      Retire(authority_id_).status(),
      StatusIs(kRefused, AllOf(HasSubstr(fmt::format("chain to it: 1 ({})", kOtherPhone)), HasSubstr("--good"))));
  EXPECT_EQ(EnrollAndConfirm(kOtherPhone), 1);
  EXPECT_THAT(Good(authority_id_), IsEmpty());
  EXPECT_THAT(Good(next), ElementsAre(kPhone, kOtherPhone));
  ASSERT_OK_AND_ASSIGN(const v1::RetireAuthorityResponse retired, Retire(authority_id_));
  EXPECT_EQ(retired.authority().state(), v1::AUTHORITY_STATE_RETIRED);
  EXPECT_FALSE(retired.discarded());
  EXPECT_EQ(Anchors(), 1);
  EXPECT_THAT(AuditFindings(), IsEmpty());
}

// What was renewed before a confirmation revoked anything.
TEST_F(CadAuthorityTest, ARolloverIsFinishedInBulk) {
  AddDevice(kPhone);
  AddDevice(kOtherPhone);
  EXPECT_EQ(EnrollAndConfirm(kPhone), 0);
  EXPECT_EQ(EnrollAndConfirm(kOtherPhone), 0);
  ASSERT_OK_AND_ASSIGN(const int32_t next, site_->MakeAuthority(*cad_, true));
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse renewed, Enroll(kPhone, NewRequest(kPhone), "", true));
  ASSERT_OK(superuser_->ExecuteScript(
      fmt::format("UPDATE issuance SET state = 'confirmed', delivered_at = now(), confirmed_at = now() "
                  "WHERE issuance_id = {}",
                  renewed.certificate().issuance_id())));
  EXPECT_THAT(RevokeSuperseded(next).status(), StatusIs(kRefused, HasSubstr("is active")));
  ASSERT_OK_AND_ASSIGN(const v1::RevokeSupersededResponse done, RevokeSuperseded(authority_id_));
  EXPECT_EQ(done.certificates_checked(), 2);
  EXPECT_EQ(done.revoked(), 1);
  EXPECT_THAT(Good(authority_id_), ElementsAre(kOtherPhone));
  EXPECT_THAT(Good(next), ElementsAre(kPhone));
  WaitForCount("SELECT count(*) FROM trust_crl WHERE revoked_count = 1", 1, absl::Seconds(5));
  EXPECT_THAT(AuditFindings(), IsEmpty());
}

TEST_F(CadAuthorityTest, ARolloverHasAWayBack) {
  EXPECT_THAT(Taint(authority_id_, false), StatusIs(kRefused, HasSubstr("--force")));
  ASSERT_OK_AND_ASSIGN(const int32_t next, site_->MakeAuthority(*cad_, false));
  ASSERT_OK_AND_ASSIGN(const v1::ActivateAuthorityResponse back, Activate(authority_id_));
  EXPECT_EQ(back.tainted_authority_id(), next);
  AddDevice(kPhone);
  ASSERT_OK_AND_ASSIGN(const v1::IssueResponse issued, Enroll(kPhone, NewRequest(kPhone)));
  EXPECT_EQ(issued.certificate().authority_id(), authority_id_);
  ASSERT_OK(Taint(authority_id_, true));
  EXPECT_THAT(Enroll(kPhone, NewRequest(kPhone), "", true), StatusIs(kRefused, HasSubstr("rollover")));
}

TEST_F(CadAuthorityTest, ARequestIsDiscardedWithItsKey) {
  v1::RequestAuthorityRequest request;
  v1::RequestAuthorityResponse requested;
  ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::RequestAuthority, request, requested));
  ASSERT_OK_AND_ASSIGN(const v1::RetireAuthorityResponse discarded, Retire(requested.authority().authority_id()));
  EXPECT_TRUE(discarded.discarded());
  EXPECT_EQ(Count("SELECT count(*) FROM ca_authority"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'ca.discard' AND outcome = 'done'"), 1);
  int keys = 0;
  for (const auto& entry : std::filesystem::directory_iterator(site_->keys_folder())) {
    if (entry.path().extension() == ".key") ++keys;
  }
  EXPECT_EQ(keys, 1);
}

// What is asked for a description after the commit cannot fail the change; counts are asked for by one call alone.
TEST_F(CadAuthorityTest, AChangeNeedsNoMoreThanItself) {
  ASSERT_OK(superuser_->ExecuteScript("REVOKE SELECT ON ca_crl FROM trustline_cad"));
  ASSERT_OK_AND_ASSIGN(const v1::PrepareAuthorityResponse prepared, Prepare());
  ASSERT_OK(Activate(prepared.authority().authority_id()));
  ASSERT_OK(superuser_->ExecuteScript("GRANT SELECT ON ca_crl TO trustline_cad"));
  AddDevice(kPhone);
  EXPECT_EQ(EnrollAndConfirm(kPhone), 0);
  WaitForCount("SELECT count(*) FROM ca_crl", 2, absl::Seconds(5));

  v1::ListAuthoritiesResponse list;
  ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::ListAuthorities, v1::ListAuthoritiesRequest(), list));
  ASSERT_EQ(list.authorities_size(), 2);
  EXPECT_FALSE(list.authorities(1).has_issued());
  EXPECT_FALSE(list.authorities(1).has_dependents());
  EXPECT_GT(list.authorities(0).crl_number(), 0);
  v1::ShowAuthorityResponse shown;
  ASSERT_OK(Call(authorities_, &v1::Authorities::Stub::ShowAuthority, v1::ShowAuthorityRequest(), shown));
  EXPECT_EQ(shown.authority().issued(), 1);
  EXPECT_EQ(shown.authority().dependents(), 1);
}

TEST_F(CadAuthorityTest, AnItldThatHangsIsToldApartFromCad) {
  ASSERT_OK_AND_ASSIGN(const v1::PrepareAuthorityResponse prepared, Prepare());
  kill(site_->itld().pid(), SIGSTOP);
  const absl::Time begin = absl::Now();
  EXPECT_THAT(Activate(prepared.authority().authority_id()).status(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr(fmt::format("itld at 127.0.0.1:{} did not answer cad", site_->itld().grpc_port()))));
  // Below the 30 s that trustctl gives a call.
  EXPECT_LT(absl::Now() - begin, absl::Seconds(15));
  kill(site_->itld().pid(), SIGCONT);
  EXPECT_OK(Activate(prepared.authority().authority_id()));
}

TEST_F(CadAuthorityTest, AKeyThatMakesCrlsIsMissed) {
  ASSERT_OK_AND_ASSIGN(const v1::PrepareAuthorityResponse prepared, Prepare());
  ASSERT_OK(cad_->Stop());
  const auto result = superuser_->Execute("SELECT key_name FROM ca_authority WHERE state = 'prepared'");
  ASSERT_OK(result);
  ASSERT_OK_AND_ASSIGN(const std::string key_name, result->Value<std::string>());
  const std::filesystem::path key = site_->keys_folder() / (key_name + ".key");
  const std::filesystem::path away = site_->keys_folder() / (key_name + ".away");
  std::filesystem::rename(key, away);
  // Its CRL is due.
  ASSERT_OK(superuser_->ExecuteScript("UPDATE ca_crl SET this_update = this_update - interval '2 days'"));
  ASSERT_OK_AND_ASSIGN(cad_, site_->StartCad());
  EXPECT_OK(cad_->WaitUntilReady());
  EXPECT_OK(cad_->WaitForLog("CA_CRL_FAILED", std::chrono::seconds(15)));
  std::filesystem::rename(away, key);
  EXPECT_OK(cad_->WaitForLog("CA_CRL_RECOVERED"));
  Connect();
}

TEST_F(CadAuthorityTest, AnAddressThatNoPhoneFindsStopsTheStart) {
  for (const char* url : {"http://my host", "http://a,http://b", "https://ca.example"}) {
    EXPECT_THAT(site_->StartCad({.node = "node2", .public_url = url}).status().message(),
                AllOf(HasSubstr("public_url"), HasSubstr(url)));
  }
}

}  // namespace
}  // namespace trustline
