// The service Enrolment over real mutual TLS, as its clients see it; schedule_test.cc has what schedules.
#include "capf/enrolment_service.h"

#include "capf/enrolment_service_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class ServiceTest : public EnrolmentServiceTest {
 protected:
  std::string Audited(std::string_view action, std::string_view outcome = "done") {
    return Text(
        fmt::format("SELECT coalesce(string_agg(actor || ' ' || subject || ' ' || detail, '; ' ORDER BY "
                    "event_id), '') FROM audit_event WHERE action = '{}' AND outcome = '{}'",
                    action, outcome));
  }
  // Waits until what was refused is in the table.
  void StopAudit() { audit_->Stop(); }
};

TEST_F(ServiceTest, AViewerSeesEverything) {
  AddCertificate(kEnrolmentPhone, "delivered");
  RunByHand("UPDATE issuance SET signed_at = now() - interval '1 hour'");
  ASSERT_OK(Schedule(*As(operator_.files()), {Options(), Batch({kEnrolmentPhone})}).status);
  for (const TestIdentity* who : {&viewer_, &auditor_, &operator_, &admin_}) {
    const auto stub = As(who->files());
    v1::ListOperationsResponse operations;
    ASSERT_OK(Call(*stub, &Stub::ListOperations, v1::ListOperationsRequest(), operations));
    EXPECT_THAT(operations.operations(), SizeIs(1));
    v1::ShowEnrolmentRequest show;
    show.set_device("sep001122334455");
    v1::ShowEnrolmentResponse shown;
    ASSERT_OK(Call(*stub, &Stub::ShowEnrolment, show, shown));
    EXPECT_EQ(shown.device(), kEnrolmentPhone);
    EXPECT_THAT(shown.operations(), SizeIs(1));
    show.set_device("phone 1");
    EXPECT_THAT(Call(*stub, &Stub::ShowEnrolment, show, shown), StatusIs(kInvalid));
    show.set_device("SEP0011223344FF");
    EXPECT_THAT(Call(*stub, &Stub::ShowEnrolment, show, shown), StatusIs(absl::StatusCode::kNotFound));
    v1::ReportEnrolmentResponse report;
    ASSERT_OK(Call(*stub, &Stub::ReportEnrolment, v1::ReportEnrolmentRequest(), report));
    EXPECT_THAT(report.rows(), SizeIs(2));
    v1::ListStaleCertificatesResponse stale;
    ASSERT_OK(Call(*stub, &Stub::ListStaleCertificates, v1::ListStaleCertificatesRequest(), stale));
    EXPECT_THAT(stale.certificates(), SizeIs(1));
    v1::GetEnrolmentPolicyResponse policy;
    ASSERT_OK(Call(*stub, &Stub::GetEnrolmentPolicy, v1::GetEnrolmentPolicyRequest(), policy));
    v1::ListCampaignsResponse campaigns;
    ASSERT_OK(Call(*stub, &Stub::ListCampaigns, v1::ListCampaignsRequest(), campaigns));
  }
}

TEST_F(ServiceTest, UnlockingForgetsTheWrongStringsOfADevice) {
  const std::string now = absl::FormatTime(absl::RFC3339_full, clock_.Now(), absl::UTCTimeZone());
  RunByHand(fmt::format(
      "INSERT INTO capf_lockout VALUES (1, 'SEP001122334455', '192.0.2.1', 5, '{0}', '{0}'::timestamptz + interval '1 "
      "minute'), (1, 'SEP001122334455', '192.0.2.2', 5, '{0}', '{0}'), (1, 'SEP001122334455', '192.0.2.3', 2, '{0}', "
      "NULL), (1, 'SEP001122334466', '192.0.2.1', 5, '{0}', '{0}'::timestamptz + interval '1 minute')",
      now));
  const auto stub = As(operator_.files());
  v1::UnlockDeviceRequest request;
  request.set_device("sep001122334455");
  v1::UnlockDeviceResponse response;
  ASSERT_OK(Call(*stub, &Stub::UnlockDevice, request, response));
  EXPECT_EQ(response.locks(), 1);
  EXPECT_EQ(Text("SELECT string_agg(device, ',') FROM capf_lockout"), kOtherEnrolmentPhone);
  EXPECT_EQ(Audited("capf.unlock"),
            fmt::format("{} SEP001122334455 {}", kEnrolmentOperator, R"({"addresses":"3","locks":"1"})"));

  // Nothing more to do, and nothing to record.
  ASSERT_OK(Call(*stub, &Stub::UnlockDevice, request, response));
  EXPECT_EQ(response.locks(), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event"), 1);
  request.set_device("SEP0011223344FF");
  EXPECT_THAT(Call(*stub, &Stub::UnlockDevice, request, response),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there is no device SEP0011223344FF")));
  request.set_device("phone 1");
  EXPECT_THAT(Call(*stub, &Stub::UnlockDevice, request, response), StatusIs(kInvalid));
  StopAudit();
  EXPECT_THAT(Audited("capf.unlock", "denied"), AllOf(HasSubstr("SEP0011223344FF"), HasSubstr("phone 1")));
}

TEST_F(ServiceTest, ThePolicyIsOffUntilAnAdministratorChangesIt) {
  const auto stub = As(admin_.files());
  v1::GetEnrolmentPolicyResponse got;
  ASSERT_OK(Call(*stub, &Stub::GetEnrolmentPolicy, v1::GetEnrolmentPolicyRequest(), got));
  EXPECT_FALSE(got.policy().re_enrol_by_mic());
  EXPECT_FALSE(got.policy().allow_expired_mic());
  EXPECT_FALSE(got.policy().require_sudi());
  EXPECT_EQ(got.policy().key().order(), v1::KeySpecification::ORDER_RSA);
  EXPECT_EQ(got.policy().key().rsa_bits(), 2048);
  EXPECT_EQ(got.policy().changed_by(), "");
  EXPECT_FALSE(got.policy().has_changed_at());

  v1::SetEnrolmentPolicyRequest set;
  v1::SetEnrolmentPolicyResponse changed;
  EXPECT_THAT(Call(*stub, &Stub::SetEnrolmentPolicy, set, changed),
              StatusIs(kInvalid, HasSubstr("names at least one setting")));
  set.set_re_enrol_by_mic(false);  // as it is
  ASSERT_OK(Call(*stub, &Stub::SetEnrolmentPolicy, set, changed));
  EXPECT_EQ(changed.policy().changed_by(), "");
  EXPECT_EQ(Audited("capf.policy"), "");

  set.set_re_enrol_by_mic(true);
  set.set_require_sudi(true);
  set.mutable_key()->set_order(v1::KeySpecification::ORDER_EC);
  set.mutable_key()->set_curve(v1::KeySpecification::CURVE_SECP384R1);
  ASSERT_OK(Call(*stub, &Stub::SetEnrolmentPolicy, set, changed));
  EXPECT_TRUE(changed.policy().re_enrol_by_mic());
  EXPECT_TRUE(changed.policy().has_changed_at());
  EXPECT_EQ(Audited("capf.policy"),
            "trustline:default/person/admin default "
            R"({"re_enrol_by_mic":"true","re_enrol_by_mic_before":"false","require_sudi":"true",)"
            R"("require_sudi_before":"false","key":"ec:secp384r1","key_before":"rsa:2048"})");

  set.Clear();
  set.set_allow_expired_mic(true);
  set.set_require_sudi(false);
  ASSERT_OK(Call(*stub, &Stub::SetEnrolmentPolicy, set, changed));
  ASSERT_OK(Call(*stub, &Stub::GetEnrolmentPolicy, v1::GetEnrolmentPolicyRequest(), got));
  EXPECT_EQ(got.policy().SerializeAsString(), changed.policy().SerializeAsString());
  EXPECT_TRUE(got.policy().re_enrol_by_mic());
  EXPECT_TRUE(got.policy().allow_expired_mic());
  EXPECT_FALSE(got.policy().require_sudi());
  EXPECT_EQ(got.policy().key().curve(), v1::KeySpecification::CURVE_SECP384R1);
  EXPECT_EQ(got.policy().changed_by(), "trustline:default/person/admin");
  EXPECT_THAT(Audited("capf.policy"), HasSubstr(R"("require_sudi":"false","require_sudi_before":"true")"));

  // A key without anything is the usual one.
  set.Clear();
  set.mutable_key();
  ASSERT_OK(Call(*stub, &Stub::SetEnrolmentPolicy, set, changed));
  EXPECT_EQ(changed.policy().key().rsa_bits(), 2048);
  set.mutable_key()->set_rsa_bits(1024);
  EXPECT_THAT(Call(*stub, &Stub::SetEnrolmentPolicy, set, changed), StatusIs(kInvalid, HasSubstr("2048")));
  StopAudit();
  EXPECT_THAT(Audited("capf.policy", "denied"), HasSubstr("not 1024"));
}

TEST_F(ServiceTest, ACampaignIsCreatedStartedAndPaused) {
  AddCertificate(kEnrolmentPhone, "confirmed", "2100-01-01");
  const auto stub = As(operator_.files());
  v1::CreateCampaignRequest create;
  v1::CreateCampaignResponse created;
  EXPECT_THAT(Call(*stub, &Stub::CreateCampaign, create, created), StatusIs(kInvalid, HasSubstr("condition")));
  create.set_authority_id(1);
  create.set_hours("25:00-26:00");
  EXPECT_THAT(Call(*stub, &Stub::CreateCampaign, create, created), StatusIs(kInvalid));
  create.set_hours("22:00-05:00");
  ASSERT_OK(Call(*stub, &Stub::CreateCampaign, create, created));
  const int32_t id = created.campaign().campaign_id();
  EXPECT_EQ(created.campaign().state(), v1::CAMPAIGN_STATE_CREATED);
  EXPECT_EQ(created.campaign().hours(), "22:00-05:00");

  v1::PauseCampaignRequest pause;
  pause.set_campaign_id(id);
  v1::PauseCampaignResponse paused;
  EXPECT_THAT(Call(*stub, &Stub::PauseCampaign, pause, paused), StatusIs(absl::StatusCode::kFailedPrecondition));
  v1::StartCampaignRequest start;
  start.set_campaign_id(id);
  v1::StartCampaignResponse started;
  ASSERT_OK(Call(*stub, &Stub::StartCampaign, start, started));
  EXPECT_EQ(started.campaign().state(), v1::CAMPAIGN_STATE_RUNNING);
  ASSERT_OK(Call(*stub, &Stub::PauseCampaign, pause, paused));
  EXPECT_EQ(paused.campaign().state(), v1::CAMPAIGN_STATE_PAUSED);

  v1::ListCampaignsResponse list;
  ASSERT_OK(Call(*As(viewer_.files()), &Stub::ListCampaigns, v1::ListCampaignsRequest(), list));
  ASSERT_THAT(list.campaigns(), SizeIs(1));
  EXPECT_EQ(list.campaigns(0).SerializeAsString(), paused.campaign().SerializeAsString());
  v1::ShowCampaignRequest show;
  show.set_campaign_id(id);
  v1::ShowCampaignResponse shown;
  ASSERT_OK(Call(*As(viewer_.files()), &Stub::ShowCampaign, show, shown));
  EXPECT_EQ(shown.campaign().remaining(), 1);
  show.set_campaign_id(id + 1);
  EXPECT_THAT(Call(*stub, &Stub::ShowCampaign, show, shown), StatusIs(absl::StatusCode::kNotFound));
  start.set_campaign_id(id + 1);
  EXPECT_THAT(Call(*stub, &Stub::StartCampaign, start, started), StatusIs(absl::StatusCode::kNotFound));

  StopAudit();
  EXPECT_THAT(Audited("capf.campaign.create"), HasSubstr(kEnrolmentOperator));
  EXPECT_THAT(Audited("capf.campaign.start"), HasSubstr(kEnrolmentOperator));
  EXPECT_THAT(Audited("capf.campaign.pause"), HasSubstr(kEnrolmentOperator));
  EXPECT_THAT(Audited("capf.campaign.pause", "denied"), HasSubstr(fmt::format("campaign {}", id)));
  EXPECT_THAT(Audited("capf.campaign.start", "denied"), HasSubstr(fmt::format("campaign {}", id + 1)));
  EXPECT_THAT(Audited("capf.campaign.create", "denied"), HasSubstr("condition"));
}

TEST_F(ServiceTest, WhoMayNotIsDeniedAndOnRecord) {
  RunByHand("INSERT INTO capf_lockout VALUES (1, 'SEP001122334455', '192.0.2.1', 5, now(), NULL)");
  int denied = 0;
  const auto expect_denied = [&](const absl::Status& status) {
    EXPECT_THAT(status, StatusIs(kDenied));
    ++denied;
  };
  const auto ask = [&](Stub& stub, auto method, auto request, auto response) {
    return Call(stub, method, request, response);
  };
  for (const TestIdentity* who : {&viewer_, &auditor_, &tvsd_identity_, &capfd_identity_}) {
    const auto stub = As(who->files());
    expect_denied(Schedule(*stub, {Options(), Batch({kEnrolmentPhone})}).status);
    v1::UnlockDeviceRequest unlock;
    unlock.set_device(kEnrolmentPhone);
    expect_denied(ask(*stub, &Stub::UnlockDevice, unlock, v1::UnlockDeviceResponse()));
    v1::CreateCampaignRequest create;
    create.mutable_expires_within()->set_seconds(1000);
    expect_denied(ask(*stub, &Stub::CreateCampaign, create, v1::CreateCampaignResponse()));
    expect_denied(ask(*stub, &Stub::StartCampaign, v1::StartCampaignRequest(), v1::StartCampaignResponse()));
    expect_denied(ask(*stub, &Stub::PauseCampaign, v1::PauseCampaignRequest(), v1::PauseCampaignResponse()));
  }
  for (const TestIdentity* who : {&viewer_, &auditor_, &operator_, &tvsd_identity_}) {
    v1::SetEnrolmentPolicyRequest set;
    set.set_allow_expired_mic(true);
    expect_denied(ask(*As(who->files()), &Stub::SetEnrolmentPolicy, set, v1::SetEnrolmentPolicyResponse()));
  }
  const auto tvsd = As(tvsd_identity_.files());
  expect_denied(ask(*tvsd, &Stub::ListOperations, v1::ListOperationsRequest(), v1::ListOperationsResponse()));
  expect_denied(ask(*tvsd, &Stub::ShowEnrolment, v1::ShowEnrolmentRequest(), v1::ShowEnrolmentResponse()));
  expect_denied(ask(*tvsd, &Stub::ReportEnrolment, v1::ReportEnrolmentRequest(), v1::ReportEnrolmentResponse()));
  expect_denied(ask(*tvsd, &Stub::ListStaleCertificates, v1::ListStaleCertificatesRequest(),
                    v1::ListStaleCertificatesResponse()));
  expect_denied(
      ask(*tvsd, &Stub::GetEnrolmentPolicy, v1::GetEnrolmentPolicyRequest(), v1::GetEnrolmentPolicyResponse()));
  expect_denied(ask(*tvsd, &Stub::ListCampaigns, v1::ListCampaignsRequest(), v1::ListCampaignsResponse()));
  expect_denied(ask(*tvsd, &Stub::ShowCampaign, v1::ShowCampaignRequest(), v1::ShowCampaignResponse()));
  // Of another cluster, which does not exist.
  v1::ScheduleOperationsRequest elsewhere = Options();
  elsewhere.mutable_options()->set_cluster("branch");
  EXPECT_THAT(Schedule(*As(operator_.files()), {elsewhere}).status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Schedule(*As(Nobody()), {Options()}).status, StatusIs(absl::StatusCode::kUnauthenticated));

  StopAudit();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE outcome = 'denied' AND actor <> 'anonymous'"), denied);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE outcome <> 'denied'"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_lockout"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_policy"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_campaign"), 0);
}

TEST_F(ServiceTest, WithoutTheDatabaseNothingIsScheduled) {
  const auto stub = As(operator_.files());
  ASSERT_OK(database_->Stop());
  const Scheduled scheduled = Schedule(*stub, {Options(), Batch({kEnrolmentPhone})});
  EXPECT_THAT(scheduled.status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(scheduled.outcomes.empty());
  ASSERT_OK(database_->Restart());
  // The pool tries to connect again within a second.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  absl::Status status;
  do {
    status = Schedule(*stub, {Options(), Batch({kEnrolmentPhone})}).status;
  } while (absl::IsUnavailable(status) && absl::Now() < deadline);
  EXPECT_OK(status);
}

}  // namespace
}  // namespace trustline
