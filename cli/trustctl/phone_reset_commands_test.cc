// trustctl phones reset, resets against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/fake_resets_service.h"
#include "cli/trustctl/terminal_testing.h"
#include "cli/trustctl/trustctl_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

class PhoneResetTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&resets_}));
    WriteContext({{"itld", itld_.get()}});
    resets_.looks = {Reset(v1::RESET_STATE_RUNNING, 2, 1)};
  }
  static v1::Reset Reset(v1::ResetState state, int64_t accepted, int64_t failed) {
    v1::Reset reset;
    reset.set_number(7);
    reset.set_state(state);
    reset.set_phones(10);
    reset.set_waiting(10 - accepted - failed);
    reset.set_accepted(accepted);
    reset.set_failed(failed);
    reset.set_reported(1);
    reset.set_wave(3);
    reset.set_pause_seconds(60);
    reset.set_hours("22:00-05:00");
    reset.set_stop_at_failures(0.05);
    reset.set_hook("axl");
    reset.set_reason("new lists\x1b[2J");
    reset.set_ordered_by("trustline:default/person/admin");
    reset.mutable_ordered_at()->set_seconds(1'795'377'060);
    return reset;
  }
  // Without the time, which is that of the look.
  static std::string WithoutTimes(const std::string& out) {
    std::string lines;
    std::istringstream stream(out);
    for (std::string line; std::getline(stream, line);) lines += line.substr(line.find("  ") + 2) + "\n";
    return lines;
  }

  FakeResets resets_;
  std::unique_ptr<RpcServer> itld_;
};

TEST_F(PhoneResetTest, AnOrderSaysWhatIsGivenAndNothingElse) {
  const ProgramResult plain = Run({"phones", "reset", "--reason", "new lists"});
  EXPECT_EQ(plain.exit_status, 0) << plain.err;
  EXPECT_EQ(plain.out, "reset 7 of 10 phones is ordered; `trustctl phones resets show 7 --watch` follows it\n");
  v1::StartResetRequest expected;
  expected.set_cluster("default");
  expected.set_reason("new lists");
  expected.mutable_filter();
  EXPECT_EQ(resets_.started.SerializeAsString(), expected.SerializeAsString());

  EXPECT_EQ(Run({"phones",
                 "reset",
                 "--status",
                 "mismatch,unknown",
                 "--site",
                 "Berlin",
                 "--model",
                 "8841",
                 "--server",
                 "tftp1",
                 "--evidence",
                 "--since",
                 "7d",
                 "--out-of-step",
                 "--wave",
                 "50",
                 "--pause",
                 "2m",
                 "--hours",
                 "22:00-05:00",
                 "--stop-at-failures",
                 "2.5%",
                 "--hook",
                 "axl",
                 "--reason",
                 "x"})
                .exit_status,
            0);
  const v1::StartResetRequest& started = resets_.started;
  EXPECT_THAT(started.filter().statuses(), ElementsAre(v1::PHONE_STATUS_MISMATCH, v1::PHONE_STATUS_UNKNOWN));
  EXPECT_EQ(started.filter().site(), "Berlin");
  EXPECT_EQ(started.filter().model(), "8841");
  EXPECT_EQ(started.filter().tftp_server(), "tftp1");
  EXPECT_TRUE(started.filter().evidence_only());
  EXPECT_TRUE(started.filter().has_since());
  EXPECT_TRUE(started.out_of_step_only());
  EXPECT_EQ(started.wave(), 50);
  EXPECT_EQ(started.pause_seconds(), 120);
  EXPECT_FALSE(started.without_pause());
  EXPECT_EQ(started.hours(), "22:00-05:00");
  EXPECT_DOUBLE_EQ(started.stop_at_failures(), 0.025);
  EXPECT_EQ(started.hook(), "axl");
  EXPECT_FALSE(started.plan());

  EXPECT_EQ(Run({"phones", "reset", "--device", "sep001122334455", "--device", "SEPAAAAAAAAAAAA", "--pause", "0s",
                 "--reason", "x"})
                .exit_status,
            0);
  EXPECT_THAT(resets_.started.devices(), ElementsAre("SEP001122334455", "SEPAAAAAAAAAAAA"));
  EXPECT_FALSE(resets_.started.has_filter());
  EXPECT_TRUE(resets_.started.without_pause());
  EXPECT_EQ(resets_.started.pause_seconds(), 0);
}

TEST_F(PhoneResetTest, APlanOrdersNothing) {
  resets_.looks[0].set_number(0);
  const ProgramResult table = Run({"phones", "reset", "--plan", "--reason", "x"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "10 phones would be reset by axl, in 4 waves that begin between 22:00-05:00; nothing was ordered\n");
  EXPECT_TRUE(resets_.started.plan());
  const boost::json::value json =
      boost::json::parse(Run({"phones", "reset", "--plan", "--reason", "x", "--output", "json"}).out);
  EXPECT_TRUE(json.at("reset").is_null());
  EXPECT_EQ(json.at("phones"), 10);
  EXPECT_EQ(json.at("stop_at_failures_percent"), 5);
}

TEST_F(PhoneResetTest, MistakesAreSeenBeforeItldIsAsked) {
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{},
                                             {"--reason", "x", "--wave", "0"},
                                             {"--reason", "x", "--wave", "10001"},
                                             {"--reason", "x", "--pause", "-1s"},
                                             {"--reason", "x", "--pause", "1500ms"},
                                             {"--reason", "x", "--pause", "25h"},
                                             {"--reason", "x", "--hours", "22-05"},
                                             {"--reason", "x", "--stop-at-failures", "101%"},
                                             {"--reason", "x", "--device", "printer"},
                                             {"--reason", "x", "--device", "SEP001122334455", "--site", "Berlin"},
                                             {"--reason", "x", "--device", "SEP001122334455", "--out-of-step"},
                                             {"--reason", "x", "--plan", "--watch"},
                                             {"--reason", "two\nlines"}}) {
    std::vector<std::string> arguments = {"phones", "reset"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(Run(arguments).exit_status, 2) << testing::PrintToString(more);
  }
  EXPECT_EQ(resets_.started.reason(), "");
  EXPECT_EQ(Run({"phones", "resets", "show"}).exit_status, 2);
  EXPECT_EQ(Run({"phones", "resets", "show", "7", "--watch", "--failed"}).exit_status, 2);
  EXPECT_EQ(Run({"phones", "resets", "abort", "0"}).exit_status, 2);
  resets_.status = {grpc::StatusCode::FAILED_PRECONDITION, "itld has no hook: see [resets.hooks]"};
  const ProgramResult refused = Run({"phones", "reset", "--reason", "x", "--watch"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, HasSubstr("see [resets.hooks]"));
  EXPECT_THAT(resets_.shown, IsEmpty());
}

TEST_F(PhoneResetTest, ResetsAreListedInPages) {
  resets_.looks.push_back(Reset(v1::RESET_STATE_WAITS_FOR_HOURS, 0, 0));
  resets_.looks.push_back(Reset(v1::RESET_STATE_DONE, 10, 0));
  const ProgramResult table = Run({"phones", "resets", "list", "--limit", "2"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(
      table.out,
      "RESET  STATE                PHONES  WAITING  ACCEPTED  FAILED  REPORTED  HOOK  ORDERED               REASON\n"
      "    7  running                  10        7         2       1         1  axl   2026-11-22T19:51:00Z  new "
      "lists\\x1b[2J\n"
      "    7  waits for its hours      10       10         0       0         1  axl   2026-11-22T19:51:00Z  new "
      "lists\\x1b[2J\n");
  const boost::json::value json = boost::json::parse(Run({"phones", "resets", "list", "--output", "json"}).out);
  ASSERT_EQ(json.as_array().size(), 3u);
  EXPECT_EQ(json.at(2).at("state"), "done");
  EXPECT_EQ(json.at(2).at("pause_seconds"), 60);
  EXPECT_TRUE(json.at(2).at("plan").is_null());
}

TEST_F(PhoneResetTest, ShowTellsHowFarItIsAndWhatBecameOfPhones) {
  resets_.looks[0].set_state(v1::RESET_STATE_STOPPED);
  resets_.looks[0].set_state_reason("3 of 4 phones failed");
  const ProgramResult table = Run({"phones", "resets", "show", "7"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(StartsWith("Reset                  7\n"
                                          "State                  stopped\n"
                                          "Because                3 of 4 phones failed\n"
                                          "Phones                 10\n"),
                               HasSubstr("Pause between waves    1m\n"), HasSubstr("Stops at failures (%)  5\n")));
  EXPECT_EQ(resets_.shown[0].number(), 7);
  for (int i = 0; i < 501; ++i) {
    v1::ShowResetResponse::PhoneReset& phone = resets_.phones.emplace_back();
    phone.set_device(fmt::format("SEP{:012}", i));
    phone.set_state("failed");
    phone.set_answer("no such phone\x1b[2J");
    phone.mutable_at()->set_seconds(1'795'377'060);
  }
  EXPECT_EQ(Run({"phones", "resets", "show", "7", "--failed", "--limit", "1"}).out,
            "PHONE            STATE   REPORTED  HANDED OVER           ANSWER\n"
            "SEP000000000000  failed  no        2026-11-22T19:51:00Z  no such phone\\x1b[2J\n");
  EXPECT_TRUE(resets_.shown.back().failed_only());
  const std::string csv = Run({"phones", "resets", "show", "7", "--each", "--output", "csv"}).out;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 502);
  EXPECT_FALSE(resets_.shown.back().failed_only());
}

TEST_F(PhoneResetTest, ItIsPausedResumedAndAborted) {
  const std::vector<std::pair<std::string, v1::ChangeResetRequest::Change>> changes = {
      {"pause", v1::ChangeResetRequest::CHANGE_PAUSE},
      {"resume", v1::ChangeResetRequest::CHANGE_RESUME},
      {"abort", v1::ChangeResetRequest::CHANGE_ABORT}};
  for (const auto& [name, change] : changes) {
    const ProgramResult result = Run({"phones", "resets", name, "7", "--reason", "freeze"});
    EXPECT_EQ(result.exit_status, 0) << result.err;
    EXPECT_EQ(result.out, "reset 7 is running; 3 of 10 phones tried: 2 accepted, 1 failed; 1 reported since\n");
    EXPECT_EQ(resets_.changed.number(), 7);
    EXPECT_EQ(resets_.changed.change(), change);
    EXPECT_EQ(resets_.changed.reason(), "freeze");
  }
}

TEST_F(PhoneResetTest, AWatchTellsEachChangeUntilTheEnd) {
  v1::Reset away;  // itld restarts
  resets_.looks = {Reset(v1::RESET_STATE_RUNNING, 2, 1), Reset(v1::RESET_STATE_RUNNING, 2, 1), away,
                   Reset(v1::RESET_STATE_DONE, 9, 1)};
  const ProgramResult watch = Run({"phones", "reset", "--reason", "x", "--watch"});
  EXPECT_EQ(watch.exit_status, 0) << watch.err;
  EXPECT_EQ(WithoutTimes(watch.out),
            "reset 7 running; 3 of 10 phones tried: 2 accepted, 1 failed; 1 reported since\n"
            "reset 7 done; 10 of 10 phones tried: 9 accepted, 1 failed; 1 reported since\n");
  EXPECT_THAT(watch.err, AllOf(HasSubstr("itld restarts"), HasSubstr("asking again")));
  EXPECT_THAT(resets_.shown, SizeIs(4));

  resets_.looks = {Reset(v1::RESET_STATE_STOPPED, 1, 3)};
  resets_.looks[0].set_state_reason("3 of 4 phones failed");
  const ProgramResult stopped = Run({"phones", "resets", "show", "7", "--watch", "--output", "json"});
  EXPECT_EQ(stopped.exit_status, 1);
  EXPECT_EQ(boost::json::parse(stopped.out).at("state_reason"), "3 of 4 phones failed");
  EXPECT_THAT(Run({"phones", "resets", "show", "7", "--watch", "--output", "csv"}).out,
              AllOf(StartsWith("reset,state,phones,"), HasSubstr("7,stopped,10,6,1,3,1,axl,")));
}

TEST_F(PhoneResetTest, AWatchEndsWithItsTimeOrWithCtrlC) {
  const ProgramResult timed = Run({"phones", "resets", "show", "7", "--watch", "--timeout", "1500ms"});
  EXPECT_EQ(timed.exit_status, 1);
  EXPECT_EQ(timed.err, "");
  EXPECT_THAT(timed.out, EndsWith("1 reported since\n"));
  const TerminalResult interrupted = RunAtTerminal({kProgram, "phones", "resets", "show", "7", "--watch"},
                                                   {"TRUSTLINE_CONTEXT=" + context_}, {{"reset 7 running", "\x03"}});
  EXPECT_EQ(interrupted.exit_status, 1) << interrupted.screen;
}

}  // namespace
}  // namespace trustline
