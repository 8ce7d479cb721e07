// trustctl phones report, adoption against an itld whose answers the test decides.
#include <fmt/format.h>

#include <boost/json/parse.hpp>

#include "cli/trustctl/phones_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class PhoneReportTest : public PhonesFixture {
 protected:
  boost::json::value Json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const ProgramResult result = Run(std::move(arguments));
    EXPECT_EQ(result.exit_status, 0) << result.err;
    return boost::json::parse(result.out);
  }

  std::vector<v1::Phone> Phones(int count) {
    std::vector<v1::Phone> phones;
    for (int i = 0; i < count; ++i) phones.push_back(Mismatching(fmt::format("SEP{:012X}", i)));
    return phones;
  }
};

TEST_F(PhoneReportTest, PeopleSeeOneLineForEachPhone) {
  v1::Phone match = Mismatching("SEP000000000001");
  match.mutable_itl()->set_status(v1::PHONE_STATUS_MATCH);
  match.mutable_itl()->set_generation(4);
  *match.mutable_itl()->mutable_published_at() = TimeToProto(absl::Now() - absl::Minutes(90));
  match.set_cure(v1::PHONE_CURE_NONE);
  v1::Phone none = Mismatching("SEP000000000003");
  none.mutable_itl()->Clear();
  none.mutable_itl()->set_status(v1::PHONE_STATUS_NOT_INSTALLED);
  v1::Phone silent;
  silent.set_device("SEP000000000004");
  silent.mutable_itl()->set_status(v1::PHONE_STATUS_UNKNOWN);
  v1::Phone mismatch = Mismatching("SEP000000000002");
  mismatch.set_cure(v1::PHONE_CURE_PUBLISH_RECOVERY);
  mismatch.set_cure_reason("its lists know the recovery key");
  none.set_cure(v1::PHONE_CURE_RESET);
  silent.set_cure(v1::PHONE_CURE_UNKNOWN);
  service_.phones = {match, mismatch, none, silent, Claimed()};
  const ProgramResult table = Run({"phones", "report"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.err, "");
  EXPECT_EQ(table.out,
            "PHONE            STATUS         CURE              GENERATION HELD                EXPECTED  SERVER         "
            "       "
            "    ADDRESS      LAST REPORT           EVIDENCE OR CLAIM\n"
            "SEP000000000001  Match          none              4 (1 h)                        4         tftp1          "
            "       "
            "    192.0.2.104  2026-11-22T19:51:00Z  evidence (forwarder 192.0.2.1)\n"
            "SEP000000000002  Mismatch       publish-recovery  3 (12 d)                       4         tftp1          "
            "       "
            "    192.0.2.104  2026-11-22T19:51:00Z  evidence (forwarder 192.0.2.1)\n"
            "SEP000000000003  Not Installed  reset             none                           -         -              "
            "       "
            "    192.0.2.104  2026-11-22T19:51:00Z  evidence (forwarder 192.0.2.1)\n"
            "SEP000000000004  Unknown        unknown           -                              -         -              "
            "       "
            "    -            -                     -\n"
            "SEPAAAAAAAAAAAA  Foreign        -                 an unknown list (01020304...)  -         "
            "elsewhere.example\\x1b[2J  -            2026-11-22T19:51:00Z  claim (192.0.2.7)\n");
}

TEST_F(PhoneReportTest, TheListHeldIsNamedWithWhoseItIs) {
  const auto held_text = [this](const v1::Phone& phone) {
    service_.phones = {phone};
    return Run({"phones", "report"}).out;
  };
  v1::Phone phone = Mismatching();
  phone.mutable_itl()->set_generation_server("tftp2");
  EXPECT_THAT(held_text(phone), HasSubstr("  3 (12 d) of tftp2         4 "));
  phone.mutable_itl()->clear_generation_server();
  phone.mutable_itl()->set_device_list(true);
  EXPECT_THAT(held_text(phone), HasSubstr("  3 (12 d) of its own         4 "));
  phone.mutable_itl()->clear_generation();
  phone.mutable_itl()->set_adopted_from("oldcluster");
  EXPECT_THAT(held_text(phone), HasSubstr("  a list of oldcluster         4 "));
  // A status of an itld that is newer than this program.
  phone.mutable_itl()->set_status(static_cast<v1::PhoneStatus>(9));
  EXPECT_THAT(held_text(phone), HasSubstr("  unknown (9)  "));
  // Clocks that differ make no negative ages.
  phone = Mismatching();
  *phone.mutable_itl()->mutable_published_at() = TimeToProto(absl::Now() + absl::Hours(1));
  EXPECT_THAT(held_text(phone), HasSubstr("  3 (0 s)  "));
}

TEST_F(PhoneReportTest, ProgramsGetEverythingApart) {
  v1::Phone phone = Mismatching();
  phone.mutable_itl()->mutable_published_at()->set_seconds(1'795'377'060);
  phone.mutable_itl()->mutable_published_at()->set_nanos(0);
  phone.mutable_ctl()->set_status(v1::PHONE_STATUS_NOT_INSTALLED);
  phone.set_cure(v1::PHONE_CURE_RESTORE_REACH);
  phone.set_cure_reason("no TVS was asked from its site");
  service_.phones = {phone, Claimed()};
  const boost::json::value list = Json({"phones", "report"});
  ASSERT_EQ(list.as_array().size(), 2u);
  const boost::json::value& evidence = list.at(0);
  EXPECT_EQ(evidence.at("phone"), "SEP001122334455");
  EXPECT_EQ(evidence.at("status"), "Mismatch");
  EXPECT_EQ(evidence.at("generation"), 3);
  EXPECT_EQ(evidence.at("published_at"), "2026-11-22T19:51:00.000Z");
  EXPECT_EQ(evidence.at("expected_generation"), 4);
  EXPECT_EQ(evidence.at("server"), "tftp1");
  EXPECT_EQ(evidence.at("reported_server"), "TFTP1.example");
  EXPECT_EQ(evidence.at("sha1"), "1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b");
  EXPECT_EQ(evidence.at("basis"), "evidence");
  EXPECT_EQ(evidence.at("via"), "forwarder 192.0.2.1");
  EXPECT_EQ(evidence.at("address"), "192.0.2.104");
  EXPECT_EQ(evidence.at("last_report"), "2026-11-22T19:51:00.000Z");
  EXPECT_EQ(evidence.at("model"), "8841");
  EXPECT_EQ(evidence.at("site"), "Berlin");
  EXPECT_EQ(evidence.at("user_agent"), "Cisco-CP8841/14.2.1");
  EXPECT_EQ(evidence.at("registered"), true);
  EXPECT_EQ(evidence.at("known"), true);
  EXPECT_EQ(evidence.at("cure"), "restore-reach");
  EXPECT_EQ(evidence.at("cure_reason"), "no TVS was asked from its site");
  EXPECT_EQ(evidence.at("ctl_status"), "Not Installed");
  EXPECT_TRUE(evidence.at("claimed_from").is_null());
  const boost::json::value& claim = list.at(1);
  EXPECT_EQ(claim.at("status"), "Foreign");
  EXPECT_TRUE(claim.at("generation").is_null());
  EXPECT_TRUE(claim.at("expected_generation").is_null());
  EXPECT_EQ(claim.at("server"), "elsewhere.example\x1b[2J");
  EXPECT_EQ(claim.at("basis"), "claim");
  EXPECT_EQ(claim.at("claimed_from"), "192.0.2.7");
  EXPECT_EQ(claim.at("claim_reason"), "192.0.2.7 is no forwarder");
  EXPECT_EQ(claim.at("known"), false);
  EXPECT_TRUE(claim.at("registered").is_null());
  EXPECT_TRUE(claim.at("ctl_status").is_null());
  EXPECT_TRUE(claim.at("adopted_from").is_null());
  EXPECT_TRUE(claim.at("cure").is_null());
  EXPECT_TRUE(claim.at("cure_reason").is_null());

  const std::string csv = Run({"phones", "report", "--output", "csv"}).out;
  EXPECT_THAT(csv, StartsWith("phone,status,generation,published_at,generation_server,device_list,adopted_from,sha1,"
                              "expected_generation,server,reported_server,address,last_report,basis,via,"
                              "claimed_from,claim_reason,known,model,site,user_agent,registered,cure,cure_reason,"
                              "ctl_status,"));
  EXPECT_THAT(csv, HasSubstr("\r\nSEP001122334455,Mismatch,3,2026-11-22T19:51:00.000Z,,false,,"
                             "1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b,4,tftp1,TFTP1.example,192.0.2.104,"
                             "2026-11-22T19:51:00.000Z,evidence,forwarder 192.0.2.1,,,true,8841,Berlin,"));
  EXPECT_THAT(csv, Not(HasSubstr("\x1b")));
}

TEST_F(PhoneReportTest, FiltersAreAskedOfItld) {
  const absl::Time before = absl::Now();
  const ProgramResult result = Run({"phones",
                                    "report",
                                    "--status",
                                    "MISMATCH,not-installed",
                                    "--status",
                                    "Not Installed",
                                    "--status",
                                    "foreign",
                                    "--server",
                                    "tftp1",
                                    "--model",
                                    "8841",
                                    "--site",
                                    "Berlin",
                                    "--since",
                                    "24h",
                                    "--evidence",
                                    "--cure",
                                    "By-Hand,publish-recovery",
                                    "--cure",
                                    "reset"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "(no phones)\n");
  ASSERT_THAT(service_.listed, SizeIs(1));
  EXPECT_EQ(service_.listed[0].cluster(), "default");
  EXPECT_EQ(service_.listed[0].page_size(), 500);
  const v1::PhoneFilter& filter = service_.listed[0].filter();
  EXPECT_THAT(filter.statuses(),
              ElementsAre(v1::PHONE_STATUS_MISMATCH, v1::PHONE_STATUS_NOT_INSTALLED, v1::PHONE_STATUS_FOREIGN));
  EXPECT_THAT(filter.cures(),
              ElementsAre(v1::PHONE_CURE_BY_HAND, v1::PHONE_CURE_PUBLISH_RECOVERY, v1::PHONE_CURE_RESET));
  EXPECT_EQ(filter.tftp_server(), "tftp1");
  EXPECT_EQ(filter.model(), "8841");
  EXPECT_EQ(filter.site(), "Berlin");
  EXPECT_TRUE(filter.evidence_only());
  const absl::Time since = absl::FromUnixSeconds(filter.since().seconds());
  EXPECT_GE(since, before - absl::Hours(24) - absl::Seconds(1));
  EXPECT_LE(since, absl::Now() - absl::Hours(24));

  EXPECT_EQ(Run({"phones", "report", "--status", "uNkNoWn", "--since", "2026-11-22T19:51:00Z"}).exit_status, 0);
  EXPECT_THAT(service_.listed[1].filter().statuses(), ElementsAre(v1::PHONE_STATUS_UNKNOWN));
  EXPECT_EQ(service_.listed[1].filter().since().seconds(), 1'795'377'060);
  EXPECT_FALSE(service_.listed[1].filter().evidence_only());
  EXPECT_EQ(Run({"--cluster", "berlin", "phones", "report", "--output", "json"}).out, "[]\n");
  EXPECT_EQ(service_.listed[2].cluster(), "berlin");
  EXPECT_FALSE(service_.listed[2].filter().has_since());
}

TEST_F(PhoneReportTest, PagesFollowEachOtherToTheEndOrTheLimit) {
  service_.phones = Phones(1201);
  const boost::json::value all = Json({"phones", "report", "--status", "mismatch"});
  ASSERT_EQ(all.as_array().size(), 1201u);
  EXPECT_EQ(all.at(500).at("phone"), "SEP0000000001F4");
  EXPECT_EQ(all.at(1200).at("phone"), "SEP0000000004B0");
  ASSERT_THAT(service_.listed, SizeIs(3));
  EXPECT_EQ(service_.listed[0].page_token(), "");
  EXPECT_EQ(service_.listed[2].page_token(), "1000");
  EXPECT_THAT(service_.listed[2].filter().statuses(), ElementsAre(v1::PHONE_STATUS_MISMATCH));

  service_.listed.clear();
  EXPECT_EQ(Json({"phones", "report", "--limit", "503"}).as_array().size(), 503u);
  ASSERT_THAT(service_.listed, SizeIs(2));
  EXPECT_EQ(service_.listed[1].page_size(), 3);
  service_.listed.clear();
  EXPECT_EQ(Json({"phones", "report", "--limit", "500"}).as_array().size(), 500u);
  EXPECT_THAT(service_.listed, SizeIs(1));
}

TEST_F(PhoneReportTest, HalfAReportIsAnErrorAndNotWholeJson) {
  service_.phones = Phones(600);
  service_.pages_before_failure = 1;
  const ProgramResult half = Run({"phones", "report", "--output", "json"});
  EXPECT_EQ(half.exit_status, 1);
  EXPECT_THAT(half.err, HasSubstr("the database is away"));
  // What had come was printed as it came.
  EXPECT_THAT(half.out, HasSubstr("SEP0000000001F3"));
  boost::json::error_code error;
  boost::json::parse(half.out, error);
  EXPECT_TRUE(error);
}

TEST_F(PhoneReportTest, WordsThatAreNoneAreAnsweredWithThoseThereAre) {
  const ProgramResult wrong = Run({"phones", "report", "--status", "Match,locked"});
  EXPECT_EQ(wrong.exit_status, 2);
  EXPECT_THAT(wrong.err, HasSubstr("'locked' is none of these: Match, Mismatch, Not-Installed, Unknown, Foreign"));
  const ProgramResult no_cure = Run({"phones", "report", "--cure", "prayer"});
  EXPECT_EQ(no_cure.exit_status, 2);
  EXPECT_THAT(no_cure.err,
              HasSubstr("'prayer' is none of these: none, reset, restore-reach, publish-recovery, by-hand, "
                        "foreign, no-lists, unknown"));
  for (const std::string excluded : {"--status=match", "--cure=reset", "--since=1d", "--evidence", "--limit=3"}) {
    const ProgramResult both = Run({"phones", "report", "--summary", excluded});
    EXPECT_EQ(both.exit_status, 2) << excluded;
    EXPECT_THAT(both.err, HasSubstr("excludes")) << excluded;
  }
  EXPECT_TRUE(service_.listed.empty());
}

class PhoneSummaryTest : public PhoneReportTest {
 protected:
  void SetUp() override {
    PhoneReportTest::SetUp();
    service_.summary.set_phones(8);
    service_.summary.set_claims(3);
    service_.summary.set_unusable_reports(2);
    AddStatus(v1::PHONE_STATUS_MATCH, 5);
    AddStatus(v1::PHONE_STATUS_MISMATCH, 1);
    AddStatus(v1::PHONE_STATUS_NOT_INSTALLED, 0);
    AddStatus(v1::PHONE_STATUS_UNKNOWN, 2);
    AddStatus(v1::PHONE_STATUS_FOREIGN, 0);
    AddCure(v1::PHONE_CURE_NONE, 5);
    AddCure(v1::PHONE_CURE_BY_HAND, 3);
    v1::HeldList current = Mismatching().itl();
    current.set_status(v1::PHONE_STATUS_MATCH);
    current.set_generation(4);
    current.clear_sha1();
    AddHeld(current, 5);
    v1::HeldList unknown;
    unknown.set_status(v1::PHONE_STATUS_UNKNOWN);
    AddHeld(unknown, 2);
    v1::HeldList other;
    other.set_status(v1::PHONE_STATUS_MISMATCH);
    other.set_server("tftp2");
    AddHeld(other, 1);
  }

  void AddStatus(v1::PhoneStatus status, int64_t phones) {
    v1::SummarizePhonesResponse::StatusCount& count = *service_.summary.add_statuses();
    count.set_status(status);
    count.set_phones(phones);
  }
  void AddCure(v1::PhoneCure cure, int64_t phones) {
    v1::SummarizePhonesResponse::CureCount& count = *service_.summary.add_cures();
    count.set_cure(cure);
    count.set_phones(phones);
  }
  void AddHeld(const v1::HeldList& held, int64_t phones) {
    v1::SummarizePhonesResponse::HeldCount& count = *service_.summary.add_held();
    *count.mutable_held() = held;
    count.set_phones(phones);
  }
};

TEST_F(PhoneSummaryTest, CountsStandBesideTheirShares) {
  const ProgramResult table =
      Run({"phones", "report", "--summary", "--server", "tftp1", "--model", "8841", "--site", "Berlin"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "Phones                              8\n"
            "Claims                              3\n"
            "Unreadable hashes since itld began  2\n"
            "\n"
            "STATUS         PHONES  SHARE\n"
            "Match               5   62.5 %\n"
            "Mismatch            1   12.5 %\n"
            "Not Installed       0    0.0 %\n"
            "Unknown             2   25.0 %\n"
            "Foreign             0    0.0 %\n"
            "\n"
            "CURE     PHONES  SHARE\n"
            "none          5   62.5 %\n"
            "by-hand       3   37.5 %\n"
            "\n"
            "SERVER  STATUS    GENERATION HELD  PHONES  SHARE\n"
            "tftp1   Match     4 (12 d)              5   62.5 %\n"
            "-       Unknown   -                     2   25.0 %\n"
            "tftp2   Mismatch  an unknown list       1   12.5 %\n");
  EXPECT_EQ(service_.summarized.cluster(), "default");
  EXPECT_EQ(service_.summarized.tftp_server(), "tftp1");
  EXPECT_EQ(service_.summarized.model(), "8841");
  EXPECT_EQ(service_.summarized.site(), "Berlin");
  EXPECT_TRUE(service_.listed.empty());
}

TEST_F(PhoneSummaryTest, ProgramsGetNumbers) {
  const boost::json::value json = Json({"phones", "report", "--summary"});
  EXPECT_EQ(json.at("phones"), 8);
  EXPECT_EQ(json.at("claims"), 3);
  EXPECT_EQ(json.at("unusable_reports"), 2);
  ASSERT_EQ(json.at("statuses").as_array().size(), 5u);
  EXPECT_EQ(json.at("statuses").at(0).at("status"), "Match");
  EXPECT_EQ(json.at("statuses").at(0).at("status_phones"), 5);
  EXPECT_EQ(json.at("statuses").at(0).at("status_percent").as_double(), 62.5);
  EXPECT_EQ(json.at("cures").at(1).at("cure"), "by-hand");
  EXPECT_EQ(json.at("cures").at(1).at("cure_phones"), 3);
  EXPECT_EQ(json.at("cures").at(1).at("cure_percent").as_double(), 37.5);
  EXPECT_EQ(json.at("held").at(0).at("held_generation"), 4);
  EXPECT_EQ(json.at("held").at(0).at("held_server"), "tftp1");
  EXPECT_EQ(json.at("held").at(2).at("held_percent").as_double(), 12.5);
  EXPECT_TRUE(json.at("held").at(2).at("held_generation").is_null());

  service_.summary.Clear();
  AddStatus(v1::PHONE_STATUS_MATCH, 0);
  EXPECT_EQ(Json({"phones", "report", "--summary"}).at("statuses").at(0).at("status_percent").as_double(), 0.0);
}

class PhoneAdoptionTest : public PhoneReportTest {
 protected:
  void AddPoint(int64_t seconds, const std::vector<std::pair<int64_t, int64_t>>& phones_of_generations) {
    v1::ListAdoptionResponse::Point& point = *service_.adoption.add_points();
    point.mutable_at()->set_seconds(seconds);
    point.set_phones(3);
    for (const auto& [generation, phones] : phones_of_generations) {
      v1::ListAdoptionResponse::Share& share = *point.add_shares();
      *share.mutable_held() = Mismatching().itl();
      share.mutable_held()->set_generation(generation);
      share.mutable_held()->set_status(generation == 4 ? v1::PHONE_STATUS_MATCH : v1::PHONE_STATUS_MISMATCH);
      share.set_phones(phones);
    }
  }
};

TEST_F(PhoneAdoptionTest, EachMomentHasALineForEachGeneration) {
  AddPoint(1'795'290'660, {{3, 3}});
  AddPoint(1'795'377'060, {{4, 2}, {3, 1}});
  const ProgramResult table = Run({"phones", "adoption"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "TIME                  SERVER  STATUS    GENERATION HELD  PHONES  OF  SHARE\n"
            "2026-11-21T19:51:00Z  tftp1   Mismatch  3                     3   3  100.0 %\n"
            "2026-11-22T19:51:00Z  tftp1   Match     4                     2   3   66.7 %\n"
            "2026-11-22T19:51:00Z  tftp1   Mismatch  3                     1   3   33.3 %\n");
  EXPECT_EQ(service_.adoption_listed.tftp_server(), "");
  EXPECT_FALSE(service_.adoption_listed.has_since());
  EXPECT_EQ(service_.adoption_listed.points(), 0);

  const boost::json::value json =
      Json({"phones", "adoption", "--server", "tftp1", "--since", "2026-11-22T19:51:00Z", "--points", "500"});
  EXPECT_EQ(service_.adoption_listed.tftp_server(), "tftp1");
  EXPECT_EQ(service_.adoption_listed.since().seconds(), 1'795'377'060);
  EXPECT_EQ(service_.adoption_listed.points(), 500);
  ASSERT_EQ(json.as_array().size(), 3u);
  EXPECT_EQ(json.at(1).at("at"), "2026-11-22T19:51:00.000Z");
  EXPECT_EQ(json.at(1).at("generation"), 4);
  EXPECT_EQ(json.at(1).at("phones"), 2);
  EXPECT_EQ(json.at(1).at("phones_in_service"), 3);
  EXPECT_EQ(json.at(1).at("percent").as_double(), 66.7);
  EXPECT_THAT(Run({"phones", "adoption", "--output", "csv"}).out,
              AllOf(StartsWith("at,status,generation,published_at,"), HasSubstr(",1,3,33.3\r\n")));
}

TEST_F(PhoneAdoptionTest, NothingIsToldAndPointsAreBounded) {
  EXPECT_EQ(Run({"phones", "adoption"}).out, "(nothing is known of that time)\n");
  EXPECT_EQ(Run({"phones", "adoption", "--output", "json"}).out, "[]\n");
  for (const std::string points : {"1", "501", "many"}) {
    const ProgramResult result = Run({"phones", "adoption", "--points", points});
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_THAT(result.err, HasSubstr("'" + points + "' is not a whole number from 2 to 500"));
  }
  EXPECT_EQ(Run({"phones", "adoption", "--since", "yesterday"}).exit_status, 2);
  service_.status = {grpc::StatusCode::NOT_FOUND, "there is no TFTP server tftp9: see `trustctl itl server list`"};
  const ProgramResult refused = Run({"phones", "adoption", "--server", "tftp9"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, HasSubstr("there is no TFTP server tftp9"));
}

}  // namespace
}  // namespace trustline
