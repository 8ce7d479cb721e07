// Resets on a real database with real hooks.
#include "itl/reset/reset_runner.h"

#include <sys/stat.h>

#include <thread>

#include "itl/reset/reset_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ResetRunnerTest : public ResetTest {
 protected:
  absl::Status Change(int32_t id, bool resume) {
    return RunInTransaction(*pool_, {},
                            [&](Connection& connection) {
                              ResetOrders orders(connection, 1);
                              return resume ? orders.Resume(id, "", kTestActor, clock_.Now())
                                            : orders.Pause(id, "by hand", kTestActor);
                            })
        .status();
  }
  absl::Status Abort(int32_t id) {
    return RunInTransaction(*pool_, {},
                            [&](Connection& connection) {
                              return ResetOrders(connection, 1).Abort(id, "enough", kTestActor, clock_.Now());
                            })
        .status();
  }
  // A reset of so many phones, each of which the hook fails, after its only wave.
  int32_t OrderThatFails(int devices) {
    AddDevices(1, devices);
    UseHook(hooks_folder_.Write("hook", RememberingScript("*")));
    NewRunner();
    ResetOrder order = OrderOf(200);
    order.pause = absl::ZeroDuration();
    const int32_t id = Order(order);
    Step(2);
    return id;
  }
  // As an itld leaves it that is killed while the hook has the wave.
  void LeaveHandedOver(int32_t id) {
    const auto begun = RunInTransaction(*pool_, {}, [&](Connection& connection) {
      const OpenReset open{.cluster_id = 1, .cluster = "default", .reset_id = id};
      return ResetWave(connection, open, kResetDaemon).Begin(clock_.Now());
    });
    ASSERT_OK(begun);
    ASSERT_FALSE(begun->phones.empty());
  }
};

TEST_F(ResetRunnerTest, WaveAfterWaveWithPausesBetween) {
  AddDevices(1, 5);
  const int32_t id = Order(OrderOf(2));
  Step(3);
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2)));
  EXPECT_EQ(Said(id), "running 5: 2 ok, 0 failed, 0 gone, 3 waiting, 0 reported");
  clock_.Advance(absl::Seconds(59));
  Step();
  EXPECT_THAT(Given(), SizeIs(1));
  clock_.Advance(absl::Seconds(1));
  Step();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2), Wave(id, 3, 2)));
  clock_.Advance(absl::Seconds(60));
  Step();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2), Wave(id, 3, 2), Wave(id, 5, 1)));
  // Nothing is waited for when nothing is left.
  EXPECT_EQ(Said(id), "done 5: 5 ok, 0 failed, 0 gone, 0 waiting, 0 reported");
  EXPECT_EQ(Find(id).ended_at, clock_.Now());
  EXPECT_THAT(Audited(), ElementsAre("phones.reset.order trustline:default/person/admin",
                                     "phones.reset.done trustline:default/itld/node1"));
  EXPECT_THAT(Text("SELECT detail::text FROM audit_event WHERE action = 'phones.reset.done'"),
              AllOf(HasSubstr("\"accepted\":\"5\""), HasSubstr("\"phones\":\"5\"")));
  EXPECT_THAT(Logged("RESET_WAVE"), SizeIs(3));
  EXPECT_THAT(Logged("RESET_DONE"), SizeIs(1));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_reset_phones_total{outcome=\"accepted\"} 5"));
  Step(3);
  EXPECT_THAT(Given(), SizeIs(3));
}

TEST_F(ResetRunnerTest, WithoutAPauseAWaveAStep) {
  AddDevices(1, 3);
  ResetOrder order = OrderOf(1);
  order.pause = absl::ZeroDuration();
  const int32_t id = Order(order);
  Step(3);
  EXPECT_THAT(Given(), SizeIs(3));
  EXPECT_THAT(Said(id), testing::StartsWith("done 3"));
}

TEST_F(ResetRunnerTest, TooManyFailuresStopIt) {
  AddDevices(1, 100);
  UseHook(hooks_folder_.Write("hook", RememberingScript("*1|*2|*3")));  // 001, 002, 003 of each ten, and others
  NewRunner();
  ResetOrder order = OrderOf(4);
  order.pause = absl::ZeroDuration();
  order.stop_at_failures = 0.5;
  const int32_t id = Order(order);
  Step(5);
  EXPECT_EQ(Said(id), "stopped 100: 1 ok, 3 failed, 0 gone, 96 waiting, 0 reported");
  EXPECT_THAT(Find(id).state_reason, AllOf(HasSubstr("3 of 4 phones failed, more than 50 %"),
                                           HasSubstr(fmt::format("resets show {} --failed", id))));
  EXPECT_THAT(PhonesOf(id, true),
              ElementsAre(Device(1) + " failed: no such phone", Device(2) + " failed: no such phone",
                          Device(3) + " failed: no such phone"));
  EXPECT_THAT(Audited(), Contains("phones.reset.stop trustline:default/itld/node1"));
  EXPECT_THAT(Logged("RESET_STOPPED"), SizeIs(1));
  EXPECT_FALSE(Find(id).ended_at.has_value());
  // Resumed it has a clean slate: the old failures do not stop it again, new ones do.
  UseHook(hooks_folder_.Write("hook", RememberingScript("")));
  NewRunner();
  ASSERT_OK(Change(id, true));
  Step(2);
  EXPECT_EQ(Said(id), "running 100: 9 ok, 3 failed, 0 gone, 88 waiting, 0 reported");
  UseHook(hooks_folder_.Write("hook", RememberingScript("*")));
  NewRunner();
  Step(2);
  EXPECT_EQ(Said(id),
            "running 100: 9 ok, 11 failed, 0 gone, 80 waiting, 0 reported");  // 8 of 16 are not more than half
  Step(2);
  EXPECT_EQ(Said(id), "stopped 100: 9 ok, 15 failed, 0 gone, 76 waiting, 0 reported");
  EXPECT_THAT(Find(id).state_reason, HasSubstr("12 of 20 phones failed"));
}

TEST_F(ResetRunnerTest, TheLastWaveIsJudgedToo) {
  const int32_t id = OrderThatFails(5);
  EXPECT_EQ(Said(id), "stopped 5: 0 ok, 5 failed, 0 gone, 0 waiting, 0 reported");
  EXPECT_THAT(Find(id).state_reason, HasSubstr("5 of 5 phones failed"));
  EXPECT_FALSE(Find(id).ended_at.has_value());
  // Somebody has looked at it: nothing is left.
  ASSERT_OK(Change(id, true));
  Step();
  EXPECT_EQ(Said(id), "done 5: 0 ok, 5 failed, 0 gone, 0 waiting, 0 reported");
}

TEST_F(ResetRunnerTest, AllOfItsPhonesAreTooManyHoweverFew) {
  const int32_t id = OrderThatFails(2);
  EXPECT_EQ(Said(id), "stopped 2: 0 ok, 2 failed, 0 gone, 0 waiting, 0 reported");
}

TEST_F(ResetRunnerTest, TwoFailuresAreNotTooMany) {
  AddDevices(1, 12);
  UseHook(hooks_folder_.Write("hook", RememberingScript("*1|*2")));
  NewRunner();
  ResetOrder order = OrderOf(2);
  order.pause = absl::ZeroDuration();
  order.stop_at_failures = 0.01;
  const int32_t id = Order(order);
  Step();
  EXPECT_EQ(Said(id), "running 12: 0 ok, 2 failed, 0 gone, 10 waiting, 0 reported");
  Step(4);
  EXPECT_EQ(Said(id), "running 12: 8 ok, 2 failed, 0 gone, 2 waiting, 0 reported");
}

TEST_F(ResetRunnerTest, OnlyWithinItsHoursInTheClustersTimeZone) {
  AddDevices(1, 2);
  RunByHand("UPDATE cluster SET time_zone = 'Asia/Tokyo' WHERE cluster_id = 1");
  ResetOrder order = OrderOf(2);
  order.hours = *HoursOfDay::Parse("22:00-05:00");
  const int32_t id = Order(order);
  const absl::Time midnight = absl::FromCivil(absl::CivilDay(2026, 11, 20), absl::UTCTimeZone());
  for (const double utc_hour : {5.0, 12.9, 20.0}) {  // in Tokyo 14:00, 21:54, 05:00
    clock_.Set(midnight + utc_hour * absl::Hours(1));
    Step();
    EXPECT_THAT(Given(), IsEmpty()) << utc_hour;
  }
  clock_.Set(midnight + absl::Hours(19) + absl::Minutes(59));  // 04:59
  Step();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2)));
}

TEST_F(ResetRunnerTest, AWaveThatWasHandedOverIsHandedOverAgainAndNobodyIsLeftOut) {
  AddDevices(1, 5);
  const int32_t id = Order(OrderOf(2));
  LeaveHandedOver(id);
  EXPECT_THAT(PhonesOf(id), Contains(Device(1) + " handed over: "));
  NewRunner();
  Step();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2)));
  EXPECT_EQ(Said(id), "running 5: 2 ok, 0 failed, 0 gone, 3 waiting, 0 reported");
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(absl::Seconds(60));
    NewRunner();
    Step();
  }
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2), Wave(id, 3, 2), Wave(id, 5, 1)));
  EXPECT_THAT(PhonesOf(id), Each(EndsWith(" accepted: done")));
}

TEST_F(ResetRunnerTest, AnInterruptedHooksAnswersCountAndTheRestComesAgain) {
  AddDevices(1, 3);
  const std::string ready = (hooks_folder_.path() / "ready").string();
  ASSERT_EQ(mkfifo(ready.c_str(), 0600), 0);
  UseHook(
      hooks_folder_.Write("hook", fmt::format("#!/bin/sh\nread -r device rest\nprintf '%s\\tok\\tfirst\\n' $device\n"
                                              "echo > {}\nexec sleep 1000\n",
                                              ready)));
  NewRunner();
  const int32_t id = Order(OrderOf(3));
  runner_->Start();
  std::string line;
  std::getline(std::ifstream(ready) >> std::ws, line);  // until the hook has answered for the first phone
  runner_->Stop();
  EXPECT_EQ(Said(id), "running 3: 1 ok, 0 failed, 0 gone, 2 waiting, 0 reported");
  UseHook(hooks_folder_.Write("hook", RememberingScript("")));
  NewRunner();
  Step();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 2, 2)));
  EXPECT_EQ(Said(id), "done 3: 3 ok, 0 failed, 0 gone, 0 waiting, 0 reported");
}

TEST_F(ResetRunnerTest, PausedOnesRestAndAbortedOnesAreOver) {
  AddDevices(1, 6);
  ResetOrder order = OrderOf(2);
  order.pause = absl::ZeroDuration();
  const int32_t id = Order(order);
  Step();
  ASSERT_OK(Change(id, false));
  Step(3);
  EXPECT_THAT(Given(), SizeIs(1));
  ASSERT_OK(Change(id, true));
  Step();
  EXPECT_THAT(Given(), SizeIs(2));
  ASSERT_OK(Abort(id));
  Step(3);
  EXPECT_THAT(Given(), SizeIs(2));
  EXPECT_EQ(Said(id), "aborted 6: 4 ok, 0 failed, 0 gone, 2 waiting, 0 reported");
}

// What is with the hook when a reset is aborted is reset: the record says so.
TEST_F(ResetRunnerTest, AnswersThatComeAfterAnAbortAreKept) {
  AddDevices(1, 3);
  UseHook(hooks_folder_.Write(
      "hook", fmt::format("#!/bin/sh\necho > {0}/asked\nread -r x < {0}/go\n{1}", hooks_folder_.path().string(),
                          RememberingScript("").substr(std::string("#!/bin/sh\n").size()))));
  NewRunner();
  for (const char* name : {"asked", "go"}) ASSERT_EQ(mkfifo((hooks_folder_.path() / name).c_str(), 0600), 0);
  const int32_t id = Order(OrderOf(2));
  std::thread stepper([&] { Step(); });
  std::string line;
  std::getline(std::ifstream(hooks_folder_.path() / "asked"), line);
  EXPECT_OK(Abort(id));
  std::ofstream(hooks_folder_.path() / "go") << "\n";
  stepper.join();
  EXPECT_EQ(Said(id), "aborted 3: 2 ok, 0 failed, 0 gone, 1 waiting, 0 reported");
}

TEST_F(ResetRunnerTest, PhonesThatLeftServiceAreNotHandedOver) {
  AddDevices(1, 5);
  ResetOrder order = OrderOf(2);
  order.pause = absl::ZeroDuration();
  const int32_t id = Order(order);
  RunByHand(fmt::format("UPDATE device SET state = 'retired' WHERE name IN ('{}', '{}', '{}')", Device(2), Device(3),
                        Device(4)));
  Step(4);
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 1), Wave(id, 5, 1)));
  EXPECT_EQ(Said(id), "done 5: 2 ok, 0 failed, 3 gone, 0 waiting, 0 reported");
  EXPECT_THAT(PhonesOf(id), Contains(Device(3) + " gone: left service before its wave"));
  // All of the rest.
  AddDevices(11, 2);
  order.filter.statuses = {PhoneStatus::kUnknown};
  order.devices = {Device(11), Device(12)};
  const int32_t second = Order(order);
  RunByHand("UPDATE device SET state = 'retired'");
  Step(2);
  EXPECT_EQ(Said(second), "done 2: 0 ok, 0 failed, 2 gone, 0 waiting, 0 reported");
  EXPECT_THAT(Given(), SizeIs(2));
}

TEST_F(ResetRunnerTest, ReportedAreThoseSeenSinceTheyWereHandedOver) {
  AddDevices(1, 4);
  ASSERT_OK(store_->Store(1, std::vector<PhoneReport>{Report(1, 0x12, "node1", -5), Report(2, 0x12, "node1", -5),
                                                      Report(3, 0x12, "node1", -5)}));
  UseHook(hooks_folder_.Write("hook", RememberingScript("*4")));
  NewRunner();
  const int32_t id = Order(OrderOf(4));
  Step();
  EXPECT_EQ(Said(id), "done 4: 3 ok, 1 failed, 0 gone, 0 waiting, 0 reported");
  PhoneReport leaves = Report(2, 0x12, "node1", 30);
  leaves.event = PhoneEventKind::kUnregistered;
  ASSERT_OK(store_->Store(1, std::vector<PhoneReport>{Report(1, 0x12, "node1", 10), Report(2, 0x12, "node1", 10),
                                                      Report(4, 0x12, "node1", 10)}));
  EXPECT_EQ(Said(id), "done 4: 3 ok, 1 failed, 0 gone, 0 waiting, 2 reported");
  // Its report is gone then, but it was seen.
  ASSERT_OK(store_->Store(1, std::vector<PhoneReport>{leaves}));
  EXPECT_EQ(
      Count(
          fmt::format("SELECT count(*) FROM phone WHERE device = '{}' AND reported_at IS NOT NULL", Device(2)).c_str()),
      0);
  EXPECT_EQ(Said(id), "done 4: 3 ok, 1 failed, 0 gone, 0 waiting, 2 reported");
}

TEST_F(ResetRunnerTest, AHookThatCannotBeRunStopsItAndTakesNobodyAlong) {
  AddDevices(1, 4);
  const int32_t id = Order(OrderOf(2));
  std::filesystem::remove(hooks_folder_.path() / "hook");
  Step();
  EXPECT_EQ(Said(id), "stopped 4: 0 ok, 0 failed, 0 gone, 4 waiting, 0 reported");
  EXPECT_THAT(Find(id).state_reason, HasSubstr("cannot be executed"));
  EXPECT_THAT(PhonesOf(id), Each(EndsWith(" waiting: ")));
  EXPECT_THAT(Logged("RESET_HOOK_UNUSABLE"), SizeIs(1));
  // Nor does one that is not configured any more.
  runner_.reset();
  hooks_ = ResetHooks();
  NewRunner();
  ASSERT_OK(Change(id, true));
  Step();
  EXPECT_THAT(Said(id), testing::StartsWith("stopped 4"));
  EXPECT_THAT(Find(id).state_reason, HasSubstr("[resets.hooks]"));
  UseHook(hooks_folder_.Write("hook", RememberingScript("")));
  NewRunner();
  ASSERT_OK(Change(id, true));
  Step();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2)));
}

TEST_F(ResetRunnerTest, WhatItSaysIsLoggedAndBounded) {
  AddDevices(1, 1);
  UseHook(hooks_folder_.Write(
      "hook", "#!/bin/sh\nyes complaint | head -n 500 >&2\nprintf 'SEP0000000000FF\\tok\\t\\n'\nexit 1\n"));
  NewRunner();
  const int32_t id = Order(OrderOf(2));
  Step();
  EXPECT_EQ(Said(id), "stopped 1: 0 ok, 1 failed, 0 gone, 0 waiting, 0 reported");
  EXPECT_THAT(Logged("\"RESET_HOOK_SAYS\""), SizeIs(kMostHookErrors));
  EXPECT_THAT(Logged("RESET_HOOK_SAYS_MORE"), ElementsAre(HasSubstr("480")));
  EXPECT_THAT(Logged("RESET_HOOK_ANSWER_IGNORED"), ElementsAre(HasSubstr("SEP0000000000FF")));
  EXPECT_THAT(Logged("RESET_HOOK_FAILED"), ElementsAre(HasSubstr("ended with status 1")));
}

// The hook has answered, and the database is away: nothing is asked of phones twice.
TEST_F(ResetRunnerTest, AnswersWaitForTheDatabase) {
  AddDevices(1, 2);
  UseHook(hooks_folder_.Write(
      "hook", fmt::format("#!/bin/sh\necho > {0}/asked\nread -r x < {0}/go\n{1}", hooks_folder_.path().string(),
                          RememberingScript("").substr(std::string("#!/bin/sh\n").size()))));
  NewRunner();
  for (const char* name : {"asked", "go"}) ASSERT_EQ(mkfifo((hooks_folder_.path() / name).c_str(), 0600), 0);
  const int32_t id = Order(OrderOf(2));
  std::thread stepper([&] { EXPECT_FALSE(runner_->AdvanceAll().ok()); });
  std::string line;
  std::getline(std::ifstream(hooks_folder_.path() / "asked"), line);
  EXPECT_OK(database_->Kill());
  std::ofstream(hooks_folder_.path() / "go") << "\n";
  stepper.join();
  ASSERT_OK(database_->Restart());
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (!runner_->AdvanceAll().ok() && absl::Now() < end) std::this_thread::yield();
  EXPECT_THAT(Given(), ElementsAre(Wave(id, 1, 2)));
  EXPECT_EQ(Said(id), "done 2: 2 ok, 0 failed, 0 gone, 0 waiting, 0 reported");
}

TEST_F(ResetRunnerTest, SeveralResetsGoOnBesideEachOther) {
  AddDevices(1, 4);
  const int32_t first = Order(OrderOf(2));
  const int32_t second = Order(OrderOf(2));
  RunByHand("UPDATE cluster SET time_zone = 'Nowhere/Land' WHERE cluster_id = 1");
  ResetOrder order = OrderOf(2);
  order.hours = *HoursOfDay::Parse("00:00-23:59");
  const int32_t third = Order(order);  // held up by a time zone that this machine does not know
  EXPECT_THAT(runner_->AdvanceAll(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                              AllOf(HasSubstr("tzdata"), HasSubstr(fmt::format("reset {}", third)))));
  EXPECT_THAT(Given(), ElementsAre(Wave(first, 1, 2), Wave(second, 1, 2)));
}

TEST_F(ResetRunnerTest, OldOnesAreForgotten) {
  AddDevices(1, 2);
  const int32_t old = Order(OrderOf(2));
  const int32_t older = Order(OrderOf(2));
  const int32_t open = Order(OrderOf(1));
  Step();
  clock_.Advance(absl::Hours(24 * 400));
  ASSERT_OK(runner_->ForgetOld());
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 3);
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(runner_->ForgetOld());
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 1);
  EXPECT_EQ(Find(open).id, open);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset_phone"), 2);
  EXPECT_NE(old, older);
}

// The whole as itld runs it: by its thread, without being asked.
TEST_F(ResetRunnerTest, ItsThreadWorksByItself) {
  AddDevices(1, 5);
  ResetOrder order = OrderOf(2);
  order.pause = absl::ZeroDuration();
  const int32_t id = Order(order);
  runner_->Start();
  const absl::Time end = absl::Now() + absl::Seconds(30);
  while (Find(id).state != ResetState::kDone && absl::Now() < end) std::this_thread::yield();
  runner_->Stop();
  EXPECT_EQ(Said(id), "done 5: 5 ok, 0 failed, 0 gone, 0 waiting, 0 reported");
  EXPECT_THAT(Given(), SizeIs(3));
}

}  // namespace
}  // namespace trustline
