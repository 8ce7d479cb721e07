// trustctl phones show, history, why, watch against an itld whose answers the test decides.
#include <boost/json/parse.hpp>
#include <csignal>

#include "cli/trustctl/phones_testing.h"
#include "cli/trustctl/terminal_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class PhoneCommandsTest : public PhonesFixture {};

TEST_F(PhoneCommandsTest, ShowTellsThePhoneItsLedgerAndTheClaims) {
  v1::ShowPhoneResponse& shown = service_.shown_phone;
  *shown.mutable_phone() = Mismatching();
  shown.mutable_phone()->mutable_ctl()->set_status(v1::PHONE_STATUS_NOT_INSTALLED);
  shown.mutable_phone()->set_cure(v1::PHONE_CURE_BY_HAND);
  shown.mutable_phone()->set_cure_reason("no key that it knows is here");
  v1::LedgerEntry& entry = *shown.add_ledger();
  entry.set_kind(v1::TRUST_LIST_KIND_ITL);
  *entry.mutable_held() = Mismatching().itl();
  entry.set_how("reported");
  entry.mutable_first_at()->set_seconds(1'795'290'660);
  entry.mutable_last_at()->set_seconds(1'795'377'060);
  *shown.add_claims() = Claimed("SEP001122334455");
  const ProgramResult table = Run({"phones", "show", "sep001122334455"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(service_.shown.device(), "SEP001122334455");
  EXPECT_EQ(service_.shown.cluster(), "default");
  EXPECT_EQ(table.out,
            "Phone                SEP001122334455\n"
            "Status               Mismatch\n"
            "Cure                 by-hand: no key that it knows is here\n"
            "Generation held      3 (12 d)\n"
            "SHA1                 1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b\n"
            "Generation expected  4\n"
            "TFTP server          tftp1\n"
            "As the phone has it  TFTP1.example\n"
            "CTL                  Not Installed\n"
            "CTL held             none\n"
            "CTL SHA1             -\n"
            "Address              192.0.2.104\n"
            "Registered           yes\n"
            "Last report          2026-11-22T19:51:00Z\n"
            "Evidence or claim    evidence (forwarder 192.0.2.1)\n"
            "Model                8841\n"
            "Site                 Berlin\n"
            "User agent           Cisco-CP8841/14.2.1\n"
            "\n"
            "LIST  SERVER  STATUS    GENERATION HELD  HOW       FIRST SEEN            LAST SEEN\n"
            "ITL   tftp1   Mismatch  3 (12 d)         reported  2026-11-21T19:51:00Z  2026-11-22T19:51:00Z\n"
            "\n"
            "CLAIMED BY  SERVER                    STATUS   GENERATION HELD                LAST REPORT           "
            "WHY NO EVIDENCE\n"
            "192.0.2.7   elsewhere.example\\x1b[2J  Foreign  an unknown list (01020304...)  2026-11-22T19:51:00Z  "
            "192.0.2.7 is no forwarder\n");

  const boost::json::value json =
      boost::json::parse(Run({"phones", "show", "SEP001122334455", "--output", "json"}).out);
  EXPECT_EQ(json.at("status"), "Mismatch");
  EXPECT_EQ(json.at("generation"), 3);
  EXPECT_EQ(json.at("ctl_status"), "Not Installed");
  EXPECT_EQ(json.at("ledger").at(0).at("ledger_kind"), "ITL");
  EXPECT_EQ(json.at("ledger").at(0).at("ledger_generation"), 3);
  EXPECT_EQ(json.at("ledger").at(0).at("ledger_first_at"), "2026-11-21T19:51:00.000Z");
  EXPECT_EQ(json.at("claims").at(0).at("claim_source"), "192.0.2.7");
  EXPECT_EQ(json.at("claims").at(0).at("claim_sha1"), "0102030405060708090affffffffffffffffffff");
  // In CSV ledger and claims are lines of their own, each field once.
  const std::string csv = Run({"phones", "show", "SEP001122334455", "--output", "csv"}).out;
  EXPECT_THAT(csv, StartsWith("phone,status,"));
  EXPECT_THAT(csv.substr(0, csv.find('\r')),
              Not(HasSubstr(",status,generation,published_at,generation_server,status")));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3);
}

TEST_F(PhoneCommandsTest, AClaimSaysWhyItIsNone) {
  *service_.shown_phone.mutable_phone() = Claimed();
  const ProgramResult table = Run({"phones", "show", "SEPAAAAAAAAAAAA"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("Evidence or claim    claim (192.0.2.7)\n"),
                               HasSubstr("Why no evidence      192.0.2.7 is no forwarder\n"),
                               HasSubstr("Registered           -\n"), Not(HasSubstr("CTL"))));
}

TEST_F(PhoneCommandsTest, PhonesThatAreNotThereAreToldInItldsWords) {
  service_.status = {grpc::StatusCode::NOT_FOUND, "there is no device SEP001122334455: see `trustctl device list`"};
  for (const std::string command : {"show", "history", "why"}) {
    const ProgramResult result = Run({"phones", command, "SEP001122334455"});
    EXPECT_EQ(result.exit_status, 1) << command;
    EXPECT_EQ(result.out, "") << command;
    EXPECT_THAT(result.err, HasSubstr("there is no device SEP001122334455: see `trustctl device list`")) << command;
    EXPECT_EQ(Run({"phones", command, "SEP1"}).exit_status, 2) << command;
    EXPECT_EQ(Run({"phones", command}).exit_status, 2) << command;
  }
}

TEST_F(PhoneCommandsTest, HistoryIsPagedAndLimited) {
  for (int i = 0; i < 501; ++i) {
    v1::PhoneEvent event;
    event.mutable_at()->set_seconds(1'795'377'060 - i);
    event.set_event(i == 0 ? "unregistered" : "reported");
    if (i > 0) *event.mutable_itl() = Mismatching().itl();
    event.set_address("192.0.2.104");
    event.set_via(i == 0 ? "" : "forwarder 192.0.2.1");
    service_.events.push_back(event);
  }
  const ProgramResult two = Run({"phones", "history", "SEP001122334455", "--limit", "2"});
  EXPECT_EQ(two.exit_status, 0) << two.err;
  EXPECT_EQ(
      two.out,
      "TIME                  EVENT         SERVER  STATUS    GENERATION HELD  ADDRESS      VIA\n"
      "2026-11-22T19:51:00Z  unregistered  -       -         -                192.0.2.104  -\n"
      "2026-11-22T19:50:59Z  reported      tftp1   Mismatch  3                192.0.2.104  forwarder 192.0.2.1\n");
  ASSERT_THAT(service_.history_listed, SizeIs(1));
  EXPECT_EQ(service_.history_listed[0].device(), "SEP001122334455");
  EXPECT_EQ(service_.history_listed[0].page_size(), 2);
  const boost::json::value all =
      boost::json::parse(Run({"phones", "history", "SEP001122334455", "--output", "json"}).out);
  ASSERT_EQ(all.as_array().size(), 501u);
  EXPECT_EQ(service_.history_listed.back().page_token(), "500");
  EXPECT_EQ(all.at(0).at("event"), "unregistered");
  EXPECT_TRUE(all.at(0).at("status").is_null());
  EXPECT_EQ(all.at(500).at("generation"), 3);
  service_.events.clear();
  EXPECT_EQ(Run({"phones", "history", "SEP001122334455"}).out, "(no history)\n");
}

class PhoneWhyTest : public PhonesFixture {
 protected:
  void SetUp() override {
    PhonesFixture::SetUp();
    v1::ExplainPhoneResponse& why = service_.explanation;
    *why.mutable_phone() = Mismatching();
    why.set_verdict("It refuses the current list\x1b[2J: it has fetched it 9 times.");
    why.set_next_step("Publish the recovery list, then reset the phone.");
    AddFact("LSC", 0, "It has no LSC.");
    AddFact("report", 1'795'290'660, "It reported generation 3.");
    AddFact("TVS question", 1'795'377'060, "It asked for CN=old.");
    AddFact("claim", 1'795'290'660, "192.0.2.7 said otherwise.");
  }
  void AddFact(const std::string& subject, int64_t seconds, const std::string& sentence) {
    v1::ExplainPhoneResponse::Fact& fact = *service_.explanation.add_facts();
    fact.set_subject(subject);
    if (seconds != 0) fact.mutable_at()->set_seconds(seconds);
    fact.set_sentence(sentence);
  }
};

TEST_F(PhoneWhyTest, TheNextStepStandsBeforeTheFacts) {
  const ProgramResult answer = Run({"phones", "why", "SEP001122334455"});
  EXPECT_EQ(answer.exit_status, 0) << answer.err;
  EXPECT_EQ(answer.out,
            "SEP001122334455: Mismatch\n"
            "It refuses the current list\\x1b[2J: it has fetched it 9 times.\n"
            "Next step: Publish the recovery list, then reset the phone.\n"
            "\n"
            "TIME                  WHAT          WHAT IS KNOWN\n"
            "2026-11-22T19:51:00Z  TVS question  It asked for CN=old.\n"
            "2026-11-21T19:51:00Z  report        It reported generation 3.\n"
            "2026-11-21T19:51:00Z  claim         192.0.2.7 said otherwise.\n"
            "-                     LSC           It has no LSC.\n");
  EXPECT_EQ(service_.explained.device(), "SEP001122334455");
  EXPECT_EQ(service_.explained.cluster(), "default");
  service_.explanation.clear_facts();
  service_.explanation.mutable_phone()->set_cure(v1::PHONE_CURE_PUBLISH_RECOVERY);
  service_.explanation.mutable_phone()->set_cure_reason("its lists know the recovery key\x1b[2J");
  EXPECT_THAT(Run({"phones", "why", "SEP001122334455"}).out,
              EndsWith("then reset the phone.\nCure: publish-recovery: its lists know the recovery key\\x1b[2J\n\n"
                       "(nothing else is known)\n"));
}

TEST_F(PhoneWhyTest, ProgramsGetTheSame) {
  const boost::json::value json = boost::json::parse(Run({"phones", "why", "SEP001122334455", "--output", "json"}).out);
  EXPECT_EQ(json.at("verdict"), "It refuses the current list\x1b[2J: it has fetched it 9 times.");
  EXPECT_EQ(json.at("next_step"), "Publish the recovery list, then reset the phone.");
  EXPECT_EQ(json.at("phone"), "SEP001122334455");
  EXPECT_EQ(json.at("status"), "Mismatch");
  ASSERT_EQ(json.at("facts").as_array().size(), 4u);
  EXPECT_EQ(json.at("facts").at(0).at("subject"), "TVS question");
  EXPECT_EQ(json.at("facts").at(0).at("at"), "2026-11-22T19:51:00.000Z");
  EXPECT_EQ(json.at("facts").at(3).at("subject"), "LSC");
  EXPECT_TRUE(json.at("facts").at(3).at("at").is_null());
  EXPECT_THAT(Run({"phones", "why", "SEP001122334455", "--output", "csv"}).out,
              StartsWith("verdict,next_step,phone,status,"));
}

class PhoneWatchTest : public PhonesFixture {
 protected:
  void SetUp() override {
    PhonesFixture::SetUp();
    service_.watched_events.resize(2);
    *service_.watched_events[0].mutable_phone() = Mismatching();
    service_.watched_events[0].set_event("reported");
    *service_.watched_events[1].mutable_phone() = Claimed();
    service_.watched_events[1].set_event("reported");
    service_.watched_events[1].set_missed(7);
  }

  TerminalResult RunUntilCtrlC(std::vector<std::string> arguments, const std::string& seen) {
    arguments.insert(arguments.begin(), kProgram);
    return RunAtTerminal(arguments, {"TRUSTLINE_CONTEXT=" + context_}, {{seen, "\x03"}});
  }
};

TEST_F(PhoneWatchTest, EachEventIsSeenAtOnceUntilCtrlC) {
  // Ctrl-C is typed once the second event can be seen, while itld keeps the stream open.
  const TerminalResult watched = RunUntilCtrlC({"phones", "watch"}, "claim (192.0.2.7)");
  EXPECT_EQ(watched.exit_status, 0) << watched.screen;
  EXPECT_THAT(watched.screen,
              AllOf(HasSubstr("Z  SEP001122334455  reported      Mismatch       holds 3 (12 d), expected 4 of tftp1  "
                              "evidence (forwarder 192.0.2.1)\r\n"),
                    HasSubstr("warning: 7 events missed before the next"),
                    HasSubstr("Z  SEPAAAAAAAAAAAA  reported      Foreign        holds an unknown list (01020304...) of "
                              "elsewhere.example\\x1b[2J  claim (192.0.2.7)\r\n"),
                    Not(HasSubstr("interrupted"))));
  itld_->Shutdown();
  EXPECT_TRUE(service_.cancelled);
}

TEST_F(PhoneWatchTest, JsonIsALineForEachEvent) {
  const TerminalResult watched = RunUntilCtrlC({"phones", "watch", "--output", "json"}, "SEPAAAAAAAAAAAA");
  EXPECT_EQ(watched.exit_status, 0) << watched.screen;
  service_.watch_ends = true;
  const std::string out = Run({"phones", "watch", "--output", "json"}).out;
  ASSERT_EQ(std::count(out.begin(), out.end(), '\n'), 2) << out;
  const boost::json::value first = boost::json::parse(out.substr(0, out.find('\n')));
  EXPECT_EQ(first.at("event"), "reported");
  EXPECT_EQ(first.at("missed"), 0);
  EXPECT_EQ(first.at("phone"), "SEP001122334455");
  EXPECT_EQ(first.at("generation"), 3);
  EXPECT_TRUE(first.at("at").is_string());
  EXPECT_EQ(boost::json::parse(out.substr(out.find('\n') + 1)).at("missed"), 7);
}

TEST_F(PhoneWatchTest, CsvHasItsHeaderOnce) {
  service_.watch_ends = true;
  EXPECT_THAT(Run({"phones", "watch", "--output", "csv"}).out,
              AllOf(StartsWith("at,event,missed,phone,status,"), HasSubstr(",reported,7,SEPAAAAAAAAAAAA,Foreign,")));
  service_.watched_events.clear();
  const std::string header = Run({"phones", "watch", "--output", "csv"}).out;
  EXPECT_THAT(header, StartsWith("at,event,missed,phone,status,"));
  EXPECT_EQ(std::count(header.begin(), header.end(), '\n'), 1);
}

TEST_F(PhoneWatchTest, AWatchThatItldEndsFails) {
  service_.watch_ends = true;
  const ProgramResult ended = Run({"phones", "watch"});
  EXPECT_EQ(ended.exit_status, 1);
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 2);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("trustctl: itld at 127.0.0.1:"), HasSubstr("has ended the watch")));
  service_.status = {grpc::StatusCode::RESOURCE_EXHAUSTED, "there are 32 watches already"};
  service_.watched_events.clear();
  const ProgramResult refused = Run({"phones", "watch"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, HasSubstr("there are 32 watches already"));
}

TEST_F(PhoneWatchTest, ATimeoutEndsItWell) {
  service_.watched_events.clear();
  const ProgramResult result = Run({"phones", "watch", "--timeout", "200ms"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "");
}

TEST_F(PhoneWatchTest, FiltersAreAskedOfItld) {
  service_.watch_ends = true;
  Run({"phones", "watch", "--status", "not-installed,UNKNOWN", "--server", "tftp1", "--model", "8841", "--site",
       "Berlin", "--evidence"});
  EXPECT_EQ(service_.watched.cluster(), "default");
  const v1::PhoneFilter& filter = service_.watched.filter();
  EXPECT_THAT(filter.statuses(), ElementsAre(v1::PHONE_STATUS_NOT_INSTALLED, v1::PHONE_STATUS_UNKNOWN));
  EXPECT_EQ(filter.tftp_server(), "tftp1");
  EXPECT_EQ(filter.model(), "8841");
  EXPECT_EQ(filter.site(), "Berlin");
  EXPECT_TRUE(filter.evidence_only());
  EXPECT_EQ(Run({"phones", "watch", "--status", "lost"}).exit_status, 2);
}

}  // namespace
}  // namespace trustline
