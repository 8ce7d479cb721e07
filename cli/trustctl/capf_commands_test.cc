// trustctl capf list, show, report, stale, unlock, policy and campaign against a capfd whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/capf_words.h"
#include "cli/trustctl/capfd_testing.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kSeconds = 1'795'377'060;  // 2026-11-22T19:51:00Z
constexpr absl::Duration kDay = absl::Hours(24);

// About so many days from now.
void ExpectDaysFromNow(const google::protobuf::Timestamp& time, int64_t days) {
  const absl::Duration from_now = absl::FromUnixSeconds(time.seconds()) - absl::Now();
  EXPECT_GT(from_now, kDay * days - absl::Minutes(2));
  EXPECT_LE(from_now, kDay * days);
}

class CapfCommandsTest : public CapfdFixture {
 protected:
  static v1::OperationInfo FailedInstall(int64_t id) {
    v1::OperationInfo operation;
    operation.set_operation_id(id);
    operation.set_device("SEP001122334455");
    operation.set_operation(v1::CERTIFICATE_OPERATION_INSTALL);
    operation.set_state(v1::OPERATION_STATE_FAILED);
    operation.set_reason("the phone could not make the key\x1b[2J");
    operation.set_authentication(v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC);
    operation.mutable_key()->set_order(v1::KeySpecification::ORDER_EC_PREFERRED);
    operation.mutable_key()->set_curve(v1::KeySpecification::CURVE_SECP384R1);
    operation.mutable_deadline()->set_seconds(kSeconds);
    operation.set_campaign_id(3);
    operation.set_wave(2);
    return operation;
  }

  static v1::LscInfo InstalledLsc() {
    v1::LscInfo lsc;
    lsc.set_status(v1::LscInfo::STATUS_INSTALLED);
    lsc.set_serial("0a01");
    lsc.mutable_expires()->set_seconds(kSeconds);
    lsc.set_issued_by("CN=Phones,O=Example");
    lsc.mutable_issuer_expires()->set_seconds(kSeconds + 86400);
    lsc.set_authority_id(7);
    lsc.set_public_key("RSA 2048");
    return lsc;
  }
};

TEST_F(CapfCommandsTest, ListFollowsThePagesUpToItsLimit) {
  for (int64_t id = 1; id <= 5; ++id) enrolment_.operations.push_back(FailedInstall(id));
  enrolment_.largest_page = 2;
  const ProgramResult table = Run({"capf", "list", "--device", "sep0011", "--state", "failed", "--operation", "install",
                                   "--campaign", "3", "--limit", "3"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("SEP001122334455  install    failed"),
                               HasSubstr("certificate-mic  ec-preferred:secp384r1"), HasSubstr("the key\\x1b[2J")));
  EXPECT_EQ(std::ranges::count(table.out, '\n'), 4);
  EXPECT_EQ(enrolment_.listed.cluster(), "default");
  EXPECT_EQ(enrolment_.listed.device_prefix(), "SEP0011");
  EXPECT_EQ(enrolment_.listed.state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(enrolment_.listed.operation(), v1::CERTIFICATE_OPERATION_INSTALL);
  EXPECT_EQ(enrolment_.listed.campaign_id(), 3);
  EXPECT_EQ(enrolment_.listed.page_size(), 1);

  const boost::json::value all = boost::json::parse(Run({"capf", "list", "--output", "json"}).out);
  ASSERT_EQ(all.as_array().size(), 5u);
  EXPECT_EQ(all.at(4).at("operation_id"), 5);
  EXPECT_EQ(all.at(4).at("campaign_id"), 3);
  EXPECT_EQ(enrolment_.listed.state(), v1::OPERATION_STATE_UNSPECIFIED);
  EXPECT_THAT(Run({"capf", "list", "--output", "csv"}).out,
              StartsWith("operation_id,device,operation,state,auth_mode,key,deadline,"));
  enrolment_.operations.clear();
  EXPECT_EQ(Run({"capf", "list"}).out, "(no operations)\n");
}

TEST_F(CapfCommandsTest, TheReportHasAdministratorsColumnsAndWords) {
  v1::ReportEnrolmentResponse::Row& row = enrolment_.rows.emplace_back();
  row.set_device("SEP001122334455");
  *row.mutable_lsc() = InstalledLsc();
  *row.mutable_operation() = FailedInstall(9);
  v1::ReportEnrolmentResponse::Row& without = enrolment_.rows.emplace_back();
  without.set_device("SEP001122334456");
  without.mutable_lsc()->set_status(v1::LscInfo::STATUS_NONE);
  const ProgramResult table = Run({"capf", "report"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  std::istringstream lines(table.out);
  std::string line;
  std::getline(lines, line);
  // Words with two blanks or more between them.
  std::vector<std::string> titles;
  for (size_t at = 0; at < line.size(); at = line.find_first_not_of(' ', at)) {
    const size_t end = std::min(line.find("  ", at), line.size());
    titles.push_back(line.substr(at, end - at));
    at = end;
  }
  EXPECT_THAT(titles, testing::ElementsAre("DEVICE", "LSC STATUS", "EXPIRES", "ISSUED BY", "ISSUER EXPIRES BY",
                                           "OPERATION", "STATUS", "AUTH MODE"));
  EXPECT_THAT(table.out, HasSubstr("installed   2026-11-22T19:51:00Z  CN=Phones,O=Example  2026-11-23T19:51:00Z"));
  EXPECT_THAT(table.out,
              HasSubstr("Install/Upgrade       failed: the phone could not make the key\\x1b[2J  By Existing "
                        "Certificate (Precedence to MIC)\n"));
  EXPECT_THAT(table.out, testing::ContainsRegex("SEP001122334456  none  .*No Pending Operation  - +-\n$"));

  const boost::json::value json = boost::json::parse(Run({"capf", "report", "--output", "json"}).out);
  EXPECT_EQ(json.at(0).at("operation"), "install");
  EXPECT_EQ(json.at(0).at("status"), "failed");
  EXPECT_EQ(json.at(0).at("reason"), "the phone could not make the key\x1b[2J");
  EXPECT_EQ(json.at(0).at("auth_mode"), "certificate-mic");
  EXPECT_EQ(json.at(0).at("issuer_expires"), "2026-11-23T19:51:00.000Z");
  EXPECT_EQ(json.at(1).at("lsc_status"), "none");
  EXPECT_EQ(json.at(1).at("operation"), "none");
  EXPECT_TRUE(json.at(1).at("status").is_null());
  EXPECT_THAT(Run({"capf", "report", "--output", "csv"}).out,
              StartsWith("device,lsc_status,expires,issued_by,issuer_expires,operation,status,auth_mode,reason,"));
}

TEST_F(CapfCommandsTest, TheReportIsFiltered) {
  EXPECT_EQ(Run({"capf",
                 "report",
                 "--device",
                 "sep",
                 "--model",
                 "8845",
                 "--site",
                 "Berlin",
                 "--lsc-status",
                 "expired",
                 "--expires-before",
                 "30d",
                 "--issued-by",
                 "CN=Old",
                 "--issuer-expires-before",
                 "2027-01-01T00:00:00+01:00",
                 "--operation-status",
                 "in-progress",
                 "--limit",
                 "7"})
                .out,
            "(no devices)\n");
  const v1::ReportEnrolmentRequest& asked = enrolment_.reported;
  EXPECT_EQ(asked.cluster(), "default");
  EXPECT_EQ(asked.device_prefix(), "SEP");
  EXPECT_EQ(asked.model(), "8845");
  EXPECT_EQ(asked.site(), "Berlin");
  EXPECT_EQ(asked.lsc_status(), v1::LscInfo::STATUS_EXPIRED);
  ExpectDaysFromNow(asked.expires_before(), 30);
  EXPECT_EQ(asked.issued_by(), "CN=Old");
  EXPECT_EQ(asked.issuer_expires_before().seconds(), 1'798'758'000);
  EXPECT_EQ(asked.operation_state(), v1::OPERATION_STATE_IN_PROGRESS);
  EXPECT_EQ(asked.page_size(), 7);
  EXPECT_EQ(Run({"capf", "report", "--output", "json"}).out, "[]\n");
  EXPECT_FALSE(asked.has_expires_before());
}

TEST_F(CapfCommandsTest, ShowHasEverythingOfADevice) {
  v1::ShowEnrolmentResponse& shown = enrolment_.shown;
  shown.set_device("SEP001122334455");
  *shown.mutable_lsc() = InstalledLsc();
  *shown.add_operations() = FailedInstall(9);
  v1::ShowEnrolmentResponse::Lock& lock = *shown.add_locks();
  lock.set_address("192.0.2.7");
  lock.set_wrong_strings(5);
  lock.mutable_locked_until()->set_seconds(kSeconds);
  v1::ShowEnrolmentResponse::Fetched& fetched = *shown.add_fetched();
  const Certificate certificate = *Certificate::FromPem(ReadFile(Vector("capf.pem")));
  fetched.set_type("MIC");
  fetched.set_der(std::string(AsText(certificate.der())));
  fetched.mutable_summary()->set_subject("CN=CP-8845-SEP001122334455\x1b[2J");
  const ProgramResult table = Run({"capf", "show", "sep001122334455"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("LSC status         installed\n"), HasSubstr("install    failed"), HasSubstr("192.0.2.7"),
                    HasSubstr("MIC"), HasSubstr("CN=CP-8845-SEP001122334455\\x1b[2J"), Not(HasSubstr("\x1b"))));
  const boost::json::value json = boost::json::parse(Run({"capf", "show", "SEP001122334455", "--output", "json"}).out);
  EXPECT_EQ(json.at("lsc_status"), "installed");
  EXPECT_EQ(json.at("operations").at(0).at("key"), "ec-preferred:secp384r1");
  EXPECT_EQ(json.at("locks").at(0).at("wrong_strings_from_there"), 5);
  EXPECT_EQ(json.at("fetched_certificates").at(0).at("certificate_type"), "MIC");
  const ProgramResult pem = Run({"capf", "show", "SEP001122334455", "--pem"});
  EXPECT_EQ(pem.out, certificate.ToPem());

  shown.clear_fetched();
  const ProgramResult nothing = Run({"capf", "show", "SEP001122334455", "--pem"});
  EXPECT_EQ(nothing.exit_status, 1);
  EXPECT_EQ(nothing.out, "");
  EXPECT_THAT(nothing.err, HasSubstr("`trustctl capf schedule fetch SEP001122334455`"));
  const ProgramResult unknown = Run({"capf", "show", "SEP001122334456"});
  EXPECT_EQ(unknown.exit_status, 1);
  EXPECT_EQ(unknown.err, "trustctl: there is no such device\\x1b[2J\n");
}

TEST_F(CapfCommandsTest, Stale) {
  EXPECT_EQ(Run({"capf", "stale"}).out, "(no stale certificates)\n");
  for (const char* serial : {"0a01", "0a02", "0a03"}) {
    v1::ListStaleCertificatesResponse::Stale& stale = enrolment_.stale.emplace_back();
    stale.set_device("SEP001122334455");
    stale.set_serial(serial);
  }
  enrolment_.stale[0].set_revoked(true);
  enrolment_.stale[0].set_replaced_by("0a04");
  enrolment_.largest_page = 1;
  const boost::json::value json = boost::json::parse(Run({"capf", "stale", "--output", "json"}).out);
  ASSERT_EQ(json.as_array().size(), 3u);
  EXPECT_EQ(json.at(0).at("replaced_by"), "0a04");
  EXPECT_EQ(json.at(0).at("revoked"), true);
  EXPECT_TRUE(json.at(2).at("replaced_by").is_null());
  EXPECT_THAT(Run({"capf", "stale", "--limit", "2"}).out, AllOf(HasSubstr("0a02"), Not(HasSubstr("0a03"))));
}

TEST_F(CapfCommandsTest, UnlockSaysWhetherThereWasALock) {
  EXPECT_EQ(Run({"capf", "unlock", "sep001122334455"}).out,
            "SEP001122334455 was not locked; its wrong strings are counted anew\n");
  EXPECT_EQ(enrolment_.unlocked.device(), "SEP001122334455");
  enrolment_.locks = 1;
  EXPECT_EQ(Run({"capf", "unlock", "SEP001122334455"}).out, "unlocked SEP001122334455: 1 lock ended\n");
  EXPECT_EQ(boost::json::parse(Run({"capf", "unlock", "SEP001122334455", "--output", "json"}).out).at("locks"), 1);
}

TEST_F(CapfCommandsTest, PolicyIsShownAndSet) {
  enrolment_.policy.set_re_enrol_by_mic(true);
  enrolment_.policy.mutable_key()->set_order(v1::KeySpecification::ORDER_EC);
  EXPECT_THAT(Run({"capf", "policy", "show"}).out,
              AllOf(HasSubstr("Enrol again by MIC  yes\n"), HasSubstr("Allow expired MIC   no\n"),
                    HasSubstr("Key                 ec:secp256r1\n"), HasSubstr("Changed by          -\n")));
  const ProgramResult set =
      Run({"capf", "policy", "set", "--re-enrol-by-mic", "off", "--key", "EC:secp521r1", "--output", "json"});
  EXPECT_EQ(set.exit_status, 0) << set.err;
  EXPECT_EQ(boost::json::parse(set.out).at("re_enrol_by_mic"), true);
  const v1::SetEnrolmentPolicyRequest& asked = enrolment_.policy_set;
  EXPECT_TRUE(asked.has_re_enrol_by_mic());
  EXPECT_FALSE(asked.re_enrol_by_mic());
  EXPECT_FALSE(asked.has_allow_expired_mic());
  EXPECT_FALSE(asked.has_require_sudi());
  EXPECT_EQ(asked.key().order(), v1::KeySpecification::ORDER_EC);
  EXPECT_EQ(asked.key().curve(), v1::KeySpecification::CURVE_SECP521R1);
  EXPECT_EQ(Run({"capf", "policy", "set", "--allow-expired-mic", "on", "--require-sudi", "on"}).exit_status, 0);
  EXPECT_TRUE(asked.allow_expired_mic());
  EXPECT_TRUE(asked.require_sudi());
  EXPECT_FALSE(asked.has_re_enrol_by_mic());
  EXPECT_FALSE(asked.has_key());
}

TEST_F(CapfCommandsTest, ACampaignIsMadeAsItWasAskedFor) {
  enrolment_.campaign.set_campaign_id(4);
  enrolment_.campaign.set_state(v1::CAMPAIGN_STATE_CREATED);
  const ProgramResult made = Run({"capf", "campaign", "create", "--expires-within", "30d", "--issuer", "2", "--wave",
                                  "500", "--hours", "22:00-05:00", "--stop-at-failures", "0%", "--auth", "null",
                                  "--key", "rsa:3072", "--operation-time", "12h"});
  EXPECT_EQ(made.exit_status, 0) << made.err;
  EXPECT_EQ(made.out, "created campaign 4; nothing is scheduled before `trustctl capf campaign start 4`\n");
  const v1::CreateCampaignRequest& asked = enrolment_.created;
  EXPECT_EQ(asked.expires_within().seconds(), 30 * 86400);
  EXPECT_EQ(asked.authority_id(), 2);
  EXPECT_EQ(asked.wave_size(), 500);
  EXPECT_EQ(asked.hours(), "22:00-05:00");
  EXPECT_TRUE(asked.has_stop_at_failures());
  EXPECT_EQ(asked.stop_at_failures(), 0);
  EXPECT_EQ(asked.authentication(), v1::ENROLMENT_AUTHENTICATION_NULL);
  EXPECT_EQ(asked.key().order(), v1::KeySpecification::ORDER_RSA);
  EXPECT_EQ(asked.key().rsa_bits(), 3072);
  EXPECT_EQ(asked.operation_time().seconds(), 12 * 3600);

  EXPECT_EQ(Run({"capf", "campaign", "create", "--authority", "1", "--hours", "22:30-24:00"}).exit_status, 0);
  EXPECT_EQ(asked.hours(), "22:30-24:00");
  EXPECT_EQ(Run({"capf", "campaign", "create", "--authority", "1"}).exit_status, 0);
  EXPECT_EQ(asked.authority_id(), 1);
  EXPECT_FALSE(asked.has_expires_within());
  EXPECT_FALSE(asked.has_stop_at_failures());
  EXPECT_EQ(asked.authentication(), v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED);
  EXPECT_EQ(asked.hours(), "");
}

TEST_F(CapfCommandsTest, CampaignsRunPauseAndAreShown) {
  EXPECT_EQ(Run({"capf", "campaign", "list"}).out, "(no campaigns)\n");
  v1::Campaign& campaign = enrolment_.campaign;
  campaign.set_campaign_id(4);
  campaign.set_state(v1::CAMPAIGN_STATE_PAUSED);
  campaign.set_state_reason("6% of what ended failed");
  campaign.set_hours("22:00-05:00");
  campaign.set_success(188);
  campaign.set_failed(12);
  campaign.set_remaining(1000);
  campaign.mutable_operation_time()->set_seconds(86400);
  EXPECT_THAT(Run({"capf", "campaign", "start", "4"}).out, StartsWith("campaign 4 is running; "));
  EXPECT_THAT(Run({"capf", "campaign", "pause", "4"}).out, StartsWith("campaign 4 is paused: no further wave begins"));
  EXPECT_THAT(Run({"capf", "campaign", "show", "4"}).out,
              AllOf(HasSubstr("6% of what ended failed\n"), HasSubstr("1d\n"),
                    HasSubstr("Devices still to come            1000\n")));
  const boost::json::value json = boost::json::parse(Run({"capf", "campaign", "list", "--output", "json"}).out);
  EXPECT_EQ(json.at(0).at("state"), "paused");
  EXPECT_EQ(json.at(0).at("success"), 188);
  EXPECT_EQ(json.at(0).at("operation_time_seconds"), 86400);
  EXPECT_TRUE(json.at(0).at("authority_id").is_null());
  EXPECT_EQ(Run({"capf", "campaign", "show", "5"}).exit_status, 1);
}

TEST_F(CapfCommandsTest, AContextWithoutCapfdSaysWhatToAdd) {
  WriteContext({});
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{
           {"capf", "report"}, {"capf", "schedule", "install", "SEP001122334455"}, {"capf", "campaign", "list"}}) {
    const ProgramResult result = Run(command);
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_THAT(result.err, HasSubstr("has no address of capfd: add `capfd = \"HOST:PORT\"` to its table [services]"));
  }
}

TEST(CapfWordsTest, KeysAreReadAndShownAlike) {
  for (const std::string_view text : kDeviceKeys) {
    const absl::StatusOr<v1::KeySpecification> key = KeyFromText(text);
    ASSERT_OK(key.status());
    EXPECT_EQ(KeyText(*key), text);
  }
  EXPECT_EQ(KeyText(v1::KeySpecification()), "rsa:2048");
  v1::KeySpecification preferred = *KeyFromText("ec-preferred:secp521r1");
  preferred.set_rsa_bits(3072);
  EXPECT_EQ(KeyText(preferred), "ec-preferred:secp521r1 (rsa:3072)");
  for (const std::string_view text : {"rsa:1024", "rsa", "ec:secp192r1", "secp256r1", "ec-preferred:", ""}) {
    EXPECT_THAT(KeyFromText(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rsa:2048, rsa:3072")));
  }
}

TEST(CapfWordsTest, EveryValueHasAWord) {
  const auto check = [](const auto& words, const google::protobuf::EnumDescriptor& values) {
    for (int i = 0; i < values.value_count(); ++i) {
      const int number = values.value(i)->number();
      using Enum = decltype(words[0].value);
      if (number == 0) continue;
      EXPECT_THAT(WordFor(words, static_cast<std::remove_const_t<Enum>>(number)), Not(HasSubstr("unknown")))
          << values.value(i)->name();
    }
  };
  check(kCertificateOperations, *v1::CertificateOperation_descriptor());
  check(kOperationStates, *v1::OperationState_descriptor());
  check(kAuthenticationModes, *v1::EnrolmentAuthentication_descriptor());
  check(kLscStatuses, *v1::LscInfo::Status_descriptor());
  check(kCampaignStates, *v1::CampaignState_descriptor());
  EXPECT_EQ(OperationForPeople(v1::CERTIFICATE_OPERATION_FETCH), "Troubleshoot");
  EXPECT_EQ(OperationForPeople(v1::CERTIFICATE_OPERATION_NONE), "No Pending Operation");
  EXPECT_EQ(std::get<std::string>(AuthenticationForPeople(v1::ENROLMENT_AUTHENTICATION_NULL)), "By Null String");
  EXPECT_EQ(std::get<std::string>(StatusForPeople(v1::OPERATION_STATE_IN_PROGRESS, "")), "in progress");
}

}  // namespace
}  // namespace trustline
