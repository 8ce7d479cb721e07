// trustctl plan against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/fake_plans_service.h"
#include "cli/trustctl/fake_services.h"
#include "cli/trustctl/preflight_testing.h"
#include "cli/trustctl/terminal_testing.h"
#include "cli/trustctl/trustctl_testing.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class PlanTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&plans_, &store_}));
    WriteContext({{"itld", itld_.get()}});
    plans_.plan = Plan(v1::PLAN_STATE_MADE);
  }

  // Of three steps, of which one is done and one waits, or all lie ahead.
  static v1::Plan Plan(v1::PlanState state, const std::string& progress = "9,988 of 10,000 phones") {
    v1::Plan plan;
    plan.set_number(3);
    plan.set_kind(v1::PLAN_KIND_ROLLOVER_CALLMANAGER);
    plan.set_subject("tftp1");
    plan.set_state(state);
    plan.set_made_by("trustline:default/person/admin");
    plan.mutable_made_at()->set_seconds(1'795'377'060);
    plan.mutable_old_certificate()->set_sha256(std::string(32, 'o'));
    plan.mutable_old_certificate()->set_subject("CN=tftp1");
    plan.set_with_resets(true);
    plan.set_wave(200);
    plan.set_hours("22:00-05:00");
    plan.set_stop_at_failures(0.05);
    plan.set_hook("axl");
    const bool begun = state != v1::PLAN_STATE_MADE;
    const auto add = [&plan](v1::PlanStepState step_state, const std::string& title, const std::string& gate,
                             const std::string& way_back) -> v1::PlanStep& {
      v1::PlanStep& step = *plan.add_steps();
      step.set_number(plan.steps_size());
      step.set_state(step_state);
      step.set_title(title);
      step.set_gate(gate);
      step.set_way_back(way_back);
      return step;
    };
    v1::PlanStep& first =
        add(begun ? v1::PLAN_STEP_STATE_DONE : v1::PLAN_STEP_STATE_AHEAD, "Vouch for the new key", "", "remove it");
    if (begun) first.mutable_ended_at()->set_seconds(1'795'377'060);
    v1::PlanStep& second = add(begun ? v1::PLAN_STEP_STATE_WAITING : v1::PLAN_STEP_STATE_AHEAD,
                               "Publish lists that name both keys\x1b[2J", "every phone has them", "publish the old");
    if (begun) {
      second.set_progress(progress);
      second.mutable_began_at()->set_seconds(1'795'377'060);
    }
    add(v1::PLAN_STEP_STATE_AHEAD, "Retire the old key", "all phones hold the new lists", "");
    return plan;
  }

  void Look(const v1::Plan& plan, const v1::PreFlight& waits_for = v1::PreFlight()) {
    v1::ShowPlanResponse response;
    *response.mutable_plan() = plan;
    *response.mutable_waits_for() = waits_for;
    plans_.looks.emplace_back(grpc::Status::OK, response);
  }
  void LookAway() {
    plans_.looks.emplace_back(grpc::Status(grpc::StatusCode::UNAVAILABLE, "itld restarts"), v1::ShowPlanResponse());
  }

  FakePlans plans_;
  FakeTrustStore store_;
  std::unique_ptr<RpcServer> itld_;
};

TEST_F(PlanTest, RolloverIsMadeAndChangesNothing) {
  const ProgramResult made =
      Run({"plan", "rollover", "--signer", "CallManager", "--server", "tftp1", "--hook", "axl", "--wave", "200",
           "--hours", "22:00-05:00", "--stop-at-failures", "2.5%", "--reason", "it expires"});
  EXPECT_EQ(made.exit_status, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(StartsWith("made plan 3, rollover callmanager of tftp1; nothing is changed before "
                                         "`trustctl plan run 3`\n\nPlan "),
                              HasSubstr("\n1. Vouch for the new key: ahead\n   way back  remove it\n")));
  const v1::MakePlanRequest& request = plans_.made;
  EXPECT_EQ(request.cluster(), "default");
  EXPECT_EQ(request.kind(), v1::PLAN_KIND_ROLLOVER_CALLMANAGER);
  EXPECT_EQ(request.tftp_server(), "tftp1");
  EXPECT_EQ(request.hook(), "axl");
  EXPECT_EQ(request.wave(), 200);
  EXPECT_EQ(request.hours(), "22:00-05:00");
  EXPECT_DOUBLE_EQ(request.stop_at_failures(), 0.025);
  EXPECT_EQ(request.reason(), "it expires");
  EXPECT_FALSE(request.without_resets());

  EXPECT_EQ(Run({"plan", "rollover", "--signer", "itlrecovery", "--without-resets", "--reason", "r"}).exit_status, 0);
  EXPECT_EQ(plans_.made.kind(), v1::PLAN_KIND_ROLLOVER_ITLRECOVERY);
  EXPECT_TRUE(plans_.made.without_resets());
  EXPECT_EQ(plans_.made.wave(), 0);
  EXPECT_EQ(plans_.made.stop_at_failures(), 0);
}

TEST_F(PlanTest, AListenersNewCertificateAndTheOldOneAreNamed) {
  const Certificate certificate = *Certificate::FromPem(ReadFile(Vector("tvs.pem")));
  store_.shown_certificate.set_sha256(std::string(32, '\x3f'));
  const ProgramResult made = Run({"plan", "rollover", "--signer", "tvs", "--node", "branch1", "--certificate",
                                  Vector("tvs.pem"), "--replaces", "3F:3f:3f", "--reason", "r"});
  EXPECT_EQ(made.exit_status, 0) << made.err;
  EXPECT_EQ(plans_.made.kind(), v1::PLAN_KIND_ROLLOVER_TVS);
  EXPECT_EQ(plans_.made.node(), "branch1");
  EXPECT_EQ(plans_.made.certificate(), std::string(AsText(certificate.der())));
  EXPECT_EQ(store_.shown.fingerprint_prefix(), "3f3f3f");
  EXPECT_EQ(plans_.made.old_certificate_sha256(), std::string(32, '\x3f'));
  // A whole fingerprint needs no look-up: the certificate may have left the trust store.
  store_.shown.Clear();
  std::string whole;
  for (int i = 0; i < 32; ++i) whole += "a1";
  EXPECT_EQ(Run({"plan", "rollover", "--signer", "capf", "--certificate", Vector("capf.pem"), "--replaces", whole,
                 "--reason", "r"})
                .exit_status,
            0);
  EXPECT_EQ(plans_.made.kind(), v1::PLAN_KIND_ROLLOVER_CAPF);
  EXPECT_EQ(plans_.made.old_certificate_sha256(), std::string(32, '\xa1'));
  EXPECT_EQ(store_.shown.cluster(), "");

  plans_.made.Clear();
  const std::string two = directory_.WriteFile("two.pem", ReadFile(Vector("tvs.pem")) + ReadFile(Vector("capf.pem")));
  const ProgramResult several = Run({"plan", "rollover", "--signer", "tvs", "--certificate", two, "--reason", "r"});
  EXPECT_EQ(several.exit_status, 1);
  EXPECT_THAT(several.err, HasSubstr("two.pem has 2 certificates: give a file with the new one alone"));
  EXPECT_EQ(plans_.made.cluster(), "");
}

TEST_F(PlanTest, MigrationAndRollback) {
  EXPECT_EQ(Run({"plan", "migrate", "--to-cluster", "berlin", "--blank", "--reason", "r"}).exit_status, 0);
  EXPECT_EQ(plans_.made.kind(), v1::PLAN_KIND_MIGRATE);
  EXPECT_EQ(plans_.made.to_cluster(), "berlin");
  EXPECT_TRUE(plans_.made.blank());
  const std::string file = directory_.WriteFile("berlin.export", std::string("whole\0file", 10));
  EXPECT_EQ(Run({"plan", "migrate", "--export", file, "--hook", "axl", "--reason", "r"}).exit_status, 0);
  EXPECT_EQ(plans_.made.export_file(), std::string("whole\0file", 10));
  EXPECT_FALSE(plans_.made.blank());
  EXPECT_EQ(Run({"plan", "rollback", "--reason", "end of the trial"}).exit_status, 0);
  EXPECT_EQ(plans_.made.kind(), v1::PLAN_KIND_ROLLBACK);
  EXPECT_EQ(plans_.made.reason(), "end of the trial");
  const ProgramResult missing = Run({"plan", "migrate", "--export", PathOf("none"), "--reason", "r"});
  EXPECT_EQ(missing.exit_status, 1);
  EXPECT_THAT(missing.err, HasSubstr("none"));
}

TEST_F(PlanTest, WrongUsageIsStatusTwo) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {},
           {"rollover"},
           {"rollover", "--signer", "sast"},
           {"rollover", "--signer", "tvs"},
           {"rollover", "--signer", "capf", "--replaces", "3f2a"},
           {"rollover", "--signer", "callmanager", "--certificate", "a.pem"},
           {"rollover", "--signer", "itlrecovery", "--replaces", "3f2a"},
           {"rollover", "--signer", "itlrecovery", "--server", "tftp1"},
           {"rollover", "--signer", "capf", "--certificate", "a.pem", "--node", "n"},
           {"rollover", "--signer", "tvs", "--certificate", "a.pem", "--replaces", "xy"},
           {"rollover", "--signer", "callmanager", "--without-resets", "--hook", "axl"},
           {"rollover", "--signer", "callmanager", "--without-resets", "--wave", "5"},
           {"rollover", "--signer", "callmanager", "--without-resets", "--hours", "22:00-05:00"},
           {"rollover", "--signer", "callmanager", "--without-resets", "--stop-at-failures", "5%"},
           {"rollover", "--signer", "callmanager", "--wave", "0"},
           {"rollover", "--signer", "callmanager", "--wave", "10001"},
           {"rollover", "--signer", "callmanager", "--hours", "22-05"},
           {"rollover", "--signer", "callmanager", "--stop-at-failures", "0%"},
           {"rollover", "--signer", "callmanager", "--stop-at-failures", "101"},
           {"rollover", "--signer", "callmanager", "--stop-at-failures", "nan"},
           {"migrate"},
           {"migrate", "--blank"},
           {"migrate", "--to-cluster", "b", "--export", "f"},
           {"rollback"},  // without a reason
           {"show", "0"},
           {"show", "three"},
           {"pause", "--accept-unproven", "1"},
           {"run", "--accept-unproven", "-1"},
           {"run", "--reason", ""}}) {
    std::vector<std::string> arguments = {"plan"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    if (!words.empty() && (words[0] == "rollover" || words[0] == "migrate")) {
      arguments.insert(arguments.end(), {"--reason", "r"});
    }
    const ProgramResult result = Run(arguments);
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(arguments) << result.err;
    EXPECT_THAT(result.err, AllOf(StartsWith("trustctl: "), HasSubstr("--help")));
  }
  EXPECT_EQ(plans_.made.cluster(), "");
}

TEST_F(PlanTest, ShowTellsStepsGatesWaysBackAndForWhomItWaits) {
  v1::Plan plan = Plan(v1::PLAN_STATE_RUNNING);
  plan.set_accepted_unproven(31);
  v1::PreFlight waits_for;
  AddCount(waits_for, v1::PHONE_VERDICT_UNPROVEN, 12, "it was never seen", "reset it");
  AddNamed(waits_for, v1::PHONE_VERDICT_UNPROVEN, "it was never seen", {"SEP000000000001", "SEP000000000002"});
  Look(plan, waits_for);
  const ProgramResult shown = Run({"plan", "show"});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_EQ(shown.out,
            "Plan             3\n"
            "What             rollover callmanager\n"
            "Of               tftp1\n"
            "State            running\n"
            "Old certificate  6f6f6f6f6f6f6f6f CN=tftp1\n"
            "Resets           by the hook axl, 200 phones a wave, 22:00-05:00, stops at 5% failures\n"
            "Not waited for   31 phones\n"
            "Reason           -\n"
            "Made by          trustline:default/person/admin\n"
            "Made             2026-11-22T19:51:00Z\n"
            "\n"
            "1. Vouch for the new key: done at 2026-11-22T19:51:00Z\n"
            "   way back  remove it\n"
            "\n"
            "2. Publish lists that name both keys\\x1b[2J: waiting since 2026-11-22T19:51:00Z\n"
            "   gate      every phone has them\n"
            "   progress  9,988 of 10,000 phones\n"
            "   way back  publish the old\n"
            "\n"
            "3. Retire the old key: ahead\n"
            "   gate      all phones hold the new lists\n"
            "\n"
            "phones: 12 unproven\n"
            "\n"
            "it waits for phones:\n"
            "\n"
            "unproven, 12 phones: it was never seen\n"
            "  to make them safe: reset it\n"
            "  SEP000000000001  SEP000000000002\n"
            "  and 10 others\n");
  EXPECT_EQ(plans_.shown[0].number(), 0);
  EXPECT_EQ(plans_.shown[0].cluster(), "default");

  const boost::json::value json = boost::json::parse(Run({"plan", "show", "3", "--output", "json"}).out);
  EXPECT_EQ(plans_.shown[1].number(), 3);
  EXPECT_EQ(json.at("plan"), 3);
  EXPECT_EQ(json.at("kind"), "rollover callmanager");
  EXPECT_EQ(json.at("state"), "running");
  EXPECT_EQ(json.at("steps_done"), "1 of 3");
  EXPECT_EQ(json.at("stop_at_failures_percent"), 5);
  EXPECT_EQ(json.at("accepted_unproven"), 31);
  EXPECT_EQ(json.at("steps").at(1).at("step_state"), "waiting");
  EXPECT_EQ(json.at("steps").at(1).at("progress"), "9,988 of 10,000 phones");
  EXPECT_EQ(json.at("steps").at(1).at("gate"), "every phone has them");
  EXPECT_TRUE(json.at("steps").at(2).at("way_back").is_null());
  EXPECT_EQ(json.at("waits_for_counts").at(0).at("waits_for_phones"), 12);
  EXPECT_EQ(json.at("waits_for").at(1).at("device"), "SEP000000000002");
  EXPECT_TRUE(json.at("new_certificate").is_null());

  plans_.looks.clear();
  plan.set_with_resets(false);
  plan.set_state(v1::PLAN_STATE_STOPPED);
  plan.set_state_reason("5.1% of the resets failed");
  Look(plan);
  const std::string stopped = Run({"plan", "show", "3"}).out;
  EXPECT_THAT(stopped, AllOf(HasSubstr("State            stopped\nBecause          5.1% of the resets failed\n"),
                             HasSubstr("Resets           none are ordered"), Not(HasSubstr("waits for phones"))));
  plans_.looks.clear();
  const ProgramResult none = Run({"plan", "show"});
  EXPECT_EQ(none.exit_status, 1);
  EXPECT_EQ(none.err, "trustctl: no plan is open: see `trustctl plan list --all`\n");
}

TEST_F(PlanTest, ListHasALineForEachPlan) {
  EXPECT_EQ(Run({"plan", "list"}).out, "(no plan that has not ended)\n");
  EXPECT_FALSE(plans_.listed.with_ended());
  EXPECT_EQ(Run({"plan", "list", "--all"}).out, "(no plans)\n");
  EXPECT_TRUE(plans_.listed.with_ended());
  plans_.plans = {Plan(v1::PLAN_STATE_RUNNING)};
  EXPECT_EQ(Run({"plan", "list"}).out,
            "PLAN  WHAT                  OF     STATE    STEPS DONE  MADE                  ENDED  BECAUSE\n"
            "   3  rollover callmanager  tftp1  running  1 of 3      2026-11-22T19:51:00Z  -      -\n");
  EXPECT_EQ(boost::json::parse(Run({"plan", "list", "--output", "json"}).out).at(0).at("hook"), "axl");
}

TEST_F(PlanTest, OrdersNameThePlanOrMeanTheOpenOne) {
  plans_.plan = Plan(v1::PLAN_STATE_RUNNING);
  const ProgramResult run = Run({"plan", "run", "3", "--accept-unproven", "31", "--reason", "phones in store"});
  EXPECT_EQ(run.exit_status, 0) << run.err;
  EXPECT_THAT(run.out, StartsWith("plan 3, rollover callmanager of tftp1 is running; `trustctl plan show 3 --watch` "
                                  "follows it\n"));
  EXPECT_EQ(plans_.changed.number(), 3);
  EXPECT_EQ(plans_.changed.change(), v1::ChangePlanRequest::CHANGE_RUN);
  EXPECT_EQ(plans_.changed.accept_unproven(), 31);
  EXPECT_EQ(plans_.changed.reason(), "phones in store");
  EXPECT_EQ(Run({"plan", "resume"}).exit_status, 0);
  EXPECT_EQ(plans_.changed.number(), 0);
  EXPECT_EQ(plans_.changed.change(), v1::ChangePlanRequest::CHANGE_RESUME);
  EXPECT_FALSE(plans_.changed.has_accept_unproven());
  EXPECT_EQ(Run({"plan", "run", "--accept-unproven", "0"}).exit_status, 0);
  EXPECT_TRUE(plans_.changed.has_accept_unproven());
  EXPECT_FALSE(plans_.changed.has_go_without());
  plans_.plan.set_goes_without(4);
  EXPECT_THAT(Run({"plan", "resume", "--go-without", "4"}).out, HasSubstr("up to 4 phones with older lists"));
  EXPECT_EQ(plans_.changed.go_without(), 4);
  plans_.plan.set_state(v1::PLAN_STATE_PAUSED);
  EXPECT_THAT(Run({"plan", "pause", "--reason", "freeze"}).out,
              StartsWith("plan 3, rollover callmanager of tftp1 is paused\n"));
  EXPECT_EQ(plans_.changed.change(), v1::ChangePlanRequest::CHANGE_PAUSE);
  EXPECT_EQ(plans_.changed.reason(), "freeze");
  EXPECT_EQ(Run({"plan", "abort"}).exit_status, 0);
  EXPECT_EQ(plans_.changed.change(), v1::ChangePlanRequest::CHANGE_ABORT);
  plans_.status = {grpc::StatusCode::FAILED_PRECONDITION, "plan 3 is done"};
  const ProgramResult refused = Run({"plan", "abort"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_EQ(refused.err, "trustctl: plan 3 is done\n");
}

TEST_F(PlanTest, AWatchTellsEachChangeUntilThePlanIsDone) {
  Look(Plan(v1::PLAN_STATE_RUNNING));
  LookAway();
  Look(Plan(v1::PLAN_STATE_RUNNING));
  Look(Plan(v1::PLAN_STATE_RUNNING, "10,000 of 10,000 phones"));
  v1::Plan done = Plan(v1::PLAN_STATE_DONE);
  for (v1::PlanStep& step : *done.mutable_steps()) step.set_state(v1::PLAN_STEP_STATE_DONE);
  done.mutable_steps(1)->clear_progress();
  Look(done);
  const ProgramResult watch = Run({"plan", "show", "--watch"});
  EXPECT_EQ(watch.exit_status, 0) << watch.err;
  std::string lines;
  std::istringstream out(watch.out);
  // Without the time, which is that of the look.
  for (std::string line; std::getline(out, line);) lines += line.substr(line.find("  ") + 2) + "\n";
  EXPECT_EQ(lines,
            "step 1 of 3, Vouch for the new key: done\n"
            "step 2 of 3, Publish lists that name both keys\\x1b[2J: waiting: 9,988 of 10,000 phones\n"
            "plan 3: running\n"
            "step 2 of 3, Publish lists that name both keys\\x1b[2J: waiting: 10,000 of 10,000 phones\n"
            "step 2 of 3, Publish lists that name both keys\\x1b[2J: done\n"
            "step 3 of 3, Retire the old key: done\n"
            "plan 3: done\n");
  EXPECT_THAT(watch.err, AllOf(HasSubstr("itld restarts"), HasSubstr("asking again")));
  // The plan that was open at first.
  ASSERT_THAT(plans_.shown, SizeIs(5));
  EXPECT_EQ(plans_.shown[0].number(), 0);
  EXPECT_EQ(plans_.shown[4].number(), 3);
}

TEST_F(PlanTest, AWatchOfAPlanThatStopsFails) {
  v1::Plan stopped = Plan(v1::PLAN_STATE_STOPPED);
  stopped.set_state_reason("5.1% of the resets failed");
  Look(stopped);
  const ProgramResult watch = Run({"plan", "show", "3", "--watch", "--output", "json"});
  EXPECT_EQ(watch.exit_status, 1);
  std::istringstream lines(watch.out);
  std::string first;
  ASSERT_TRUE(std::getline(lines, first));
  EXPECT_EQ(boost::json::parse(first).at("step_state"), "done");
  EXPECT_THAT(watch.out, EndsWith("\"step\":null,\"step_state\":null,\"step_title\":null,\"progress\":null}\n"));
  EXPECT_THAT(watch.out, HasSubstr("\"plan_state\":\"stopped\",\"state_reason\":\"5.1% of the resets failed\""));
  EXPECT_THAT(Run({"plan", "show", "3", "--watch", "--output", "csv"}).out,
              AllOf(StartsWith("at,plan,plan_state,state_reason,step,step_state,step_title,progress\r\n"),
                    HasSubstr(",3,stopped,5.1% of the resets failed,2,waiting,")));
  // Nothing was there to watch.
  plans_.looks.clear();
  EXPECT_THAT(Run({"plan", "show", "--watch"}).err, HasSubstr("no plan is open"));
  plans_.shown.clear();
  LookAway();
  EXPECT_THAT(Run({"plan", "show", "--watch"}).err, HasSubstr("itld restarts"));
  EXPECT_THAT(plans_.shown, SizeIs(1));
}

TEST_F(PlanTest, AWatchEndsWithItsTimeOrWithCtrlC) {
  Look(Plan(v1::PLAN_STATE_RUNNING));
  const ProgramResult timed = Run({"plan", "show", "--watch", "--timeout", "1500ms"});
  EXPECT_EQ(timed.exit_status, 1);
  EXPECT_EQ(timed.err, "");
  EXPECT_THAT(timed.out, EndsWith("  plan 3: running\n"));
  const TerminalResult interrupted = RunAtTerminal({kProgram, "plan", "show", "--watch"},
                                                   {"TRUSTLINE_CONTEXT=" + context_}, {{"plan 3: running", "\x03"}});
  EXPECT_EQ(interrupted.exit_status, 1) << interrupted.screen;
}

}  // namespace
}  // namespace trustline
