#include "capf/campaign_runner.h"

#include <thread>

#include "capf/campaign_runner_testing.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(CampaignRunnerTest, WavesFollowEachOther) {
  AddPhones(5);
  CampaignOrder order = Order(2);
  order.authentication = EnrolmentAuthentication::kNull;
  order.keys = {.order = KeyOrder::kEc, .curve = CapfCurve::kSecp521r1};
  order.operation_time = absl::Hours(3);
  ASSERT_OK_AND_ASSIGN(const CampaignRecord created, Create(order));
  const int32_t id = created.id;
  Step();
  EXPECT_EQ(Wave(id, 1), "");
  ASSERT_OK(Start(id));
  EXPECT_EQ(Remaining(id), 5);

  Step(3);
  EXPECT_EQ(Wave(id, 1), Phone(1) + " " + Phone(2));
  EXPECT_EQ(Load(id).waves, 1);
  EXPECT_EQ(Load(id).counts, CampaignCounts{.pending = 2});
  EXPECT_EQ(Remaining(id), 3);
  EXPECT_EQ(
      Count(fmt::format("SELECT count(*) FROM capf_operation WHERE operation = 'install' AND state = 'pending' AND "
                        "authentication = 'null' AND key_order = 'ec' AND curve = 'secp521r1' AND scheduled_by = '{}' "
                        "AND deadline = '{}' AND scheduled_at = '{}'",
                        kDaemon, TimeText(clock_.Now() + absl::Hours(3)), TimeText(clock_.Now()))),
      2);

  // One that goes on, pending or at work, keeps the wave open.
  End(Phone(1), "success");
  Step();
  EXPECT_EQ(Load(id).waves, 1);
  RunByHand(
      fmt::format("UPDATE capf_operation SET state = 'in progress', session_claim = "
                  "decode(repeat('00', 16), 'hex') WHERE device = '{}'",
                  Phone(2)));
  Step();
  EXPECT_EQ(Load(id).waves, 1);
  RunByHand(
      fmt::format("UPDATE capf_operation SET state = 'failed', ended_at = now(), session_claim = NULL WHERE "
                  "device = '{}'",
                  Phone(2)));
  Step();
  EXPECT_EQ(Wave(id, 2), Phone(3) + " " + Phone(4));
  EndSome(2, "expired");
  Step();
  EXPECT_EQ(Wave(id, 3), Phone(5));
  EndSome(1, "success");
  EXPECT_EQ(Load(id).state, CampaignState::kRunning);
  Step(2);
  EXPECT_EQ(Load(id).state, CampaignState::kFinished);
  EXPECT_EQ(Load(id).counts, (CampaignCounts{.success = 2, .failed = 1, .expired = 2}));
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 5);

  const std::string by = fmt::format("done {} campaign {}", kDaemon, id);
  const auto wave = [&](int number, int devices, const std::string& names) {
    return fmt::format(
        "capf.campaign.wave {}: {{\"wave\":\"{}\",\"devices\":\"{}\",\"sha256\":\"{}\",\"refused\":\"0\","
        "\"deadline\":\"2026-03-02T15:00:00Z\"}}",
        by, number, devices, ToHex(Sha256(AsBytes(names))));
  };
  EXPECT_THAT(Audit("capf.campaign.wave"),
              ElementsAre(wave(1, 2, Phone(1) + "\n" + Phone(2) + "\n"), wave(2, 2, Phone(3) + "\n" + Phone(4) + "\n"),
                          wave(3, 1, Phone(5) + "\n")));
  EXPECT_THAT(Audit("capf.campaign.finish"),
              ElementsAre(fmt::format("capf.campaign.finish {}: {{\"waves\":\"3\"}}", by)));
  EXPECT_THAT(Logged("CAPF_CAMPAIGN_WAVE"), SizeIs(3));
  EXPECT_THAT(Logged("CAPF_CAMPAIGN_FINISHED"), SizeIs(1));
  EXPECT_THAT(metrics_.Serialize(), AllOf(HasSubstr("trustline_capf_campaign_waves_total 3"),
                                          HasSubstr("trustline_capf_campaigns_running 0")));
}

TEST_F(CampaignRunnerTest, AWaveOfManyDevicesIsOne) {
  AddManyPhones(2500);
  const int32_t id = CreateAndStart(Order(2400));
  Step();
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation WHERE wave = 1"), 2400);
  EXPECT_EQ(Remaining(id), 100);
  EXPECT_EQ(Text("SELECT encode(sha256(string_agg(device || E'\\n', '' ORDER BY device COLLATE \"C\")::bytea), 'hex') "
                 "FROM capf_operation"),
            Text("SELECT detail::json ->> 'sha256' FROM audit_event WHERE action = 'capf.campaign.wave'"));
}

TEST_F(CampaignRunnerTest, WavesBeginWithinTheirHours) {
  RunByHand("UPDATE cluster SET time_zone = 'Europe/Berlin'");
  for (int phone = 1; phone <= 4; ++phone) AddCertificate(Phone(phone), 10 * kDay);
  CampaignOrder order = Order(1);
  order.hours = *HoursOfDay::Parse("22:00-05:00");
  const int32_t id = CreateAndStart(order);
  const auto at = [&](int day, int hour, int minute) {
    clock_.Set(absl::FromCivil(absl::CivilMinute(2026, 3, day, hour, minute), absl::UTCTimeZone()));
    Step();
    return Load(id).waves;
  };
  // In winter an hour ahead of UTC.
  EXPECT_EQ(at(2, 20, 59), 0);
  EXPECT_EQ(at(2, 21, 0), 1);
  // A wave that began goes on outside of them; the next one waits.
  EXPECT_EQ(at(3, 3, 59), 1);
  EXPECT_EQ(at(3, 4, 0), 1);
  EXPECT_EQ(Load(id).counts, CampaignCounts{.pending = 1});
  EndSome(1, "success");
  EXPECT_EQ(at(3, 4, 1), 1);
  EXPECT_EQ(at(3, 20, 59), 1);
  EXPECT_EQ(Load(id).state, CampaignState::kRunning);
  EXPECT_EQ(at(3, 23, 30), 2);
  EndSome(1, "success");
  EXPECT_EQ(at(4, 3, 59), 3);
}

TEST_F(CampaignRunnerTest, GoesOnAfterARestart) {
  AddPhones(4);
  CampaignOrder order = Order(2);
  order.stop_at_failures = 100;
  const int32_t id = CreateAndStart(order);
  Step();
  NewRunner();
  Step();
  EXPECT_EQ(Load(id).waves, 1);
  EndSome(1, "success");

  // The database's crash is no other.
  ASSERT_OK(database_->Kill());
  EXPECT_FALSE(runner_->AdvanceAll().ok());
  ASSERT_OK(database_->Restart());
  ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
  NewRunner();
  Step();
  EXPECT_EQ(Load(id).waves, 1);
  EndSome(1, "failed");
  NewRunner();
  Step();
  EXPECT_EQ(Wave(id, 2), Phone(3) + " " + Phone(4));
  EndSome(2, "failed");
  Step();
  EXPECT_EQ(Load(id).state, CampaignState::kFinished);
}

TEST_F(CampaignRunnerTest, AnEndInTheMiddleLeavesNoHalfWave) {
  // The last one is scheduled by itself, after a thousand others.
  AddManyPhones(1001);
  const int32_t id = CreateAndStart(Order(1001));
  HoldAt(Phone(1001));
  std::thread wave([this] { Step(); });
  const int64_t pid = WaitUntilHeld();
  // What becomes of the connection of a capfd that is killed.
  EXPECT_EQ(Count(fmt::format("SELECT pg_terminate_backend({}, 10000)::int", pid)), 1);
  wave.join();
  Release();
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);
  EXPECT_EQ(Load(id).waves, 0);
  EXPECT_THAT(Audit("capf.campaign.wave"), IsEmpty());

  NewRunner();
  Step(2);
  EXPECT_EQ(Load(id).counts, CampaignCounts{.pending = 1001});
  EXPECT_EQ(Load(id).waves, 1);
  EXPECT_THAT(Audit("capf.campaign.wave"), SizeIs(1));
}

TEST_F(CampaignRunnerTest, OfTwoOneActs) {
  AddPhones(6);
  const int32_t id = CreateAndStart(Order(2));
  HoldAt(Phone(2));
  std::thread wave([this] { Step(); });
  WaitUntilHeld();
  const std::unique_ptr<Pool> other_pool = MakePool();
  Metrics other_metrics("capfd");
  CampaignRunner other(Options(), *other_pool, clock_, log_, other_metrics);
  // It does not wait either.
  EXPECT_OK(other.AdvanceAll());
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 0);
  Release();
  wave.join();
  EXPECT_OK(other.AdvanceAll());
  EXPECT_EQ(Wave(id, 1), Phone(1) + " " + Phone(2));
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 2);
  EXPECT_THAT(other_metrics.Serialize(), HasSubstr("trustline_capf_campaign_waves_total 0"));

  // All at once, wave after wave.
  for (int expected = 2; expected <= 3; ++expected) {
    EndSome(2, "success");
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        for (int step = 0; step < 5; ++step) EXPECT_OK((i % 2 == 0 ? *runner_ : other).AdvanceAll());
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Load(id).waves, expected);
    EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 2 * expected);
  }
  EXPECT_THAT(Audit("capf.campaign.wave"), SizeIs(3));
}

TEST_F(CampaignRunnerTest, TwoCampaignsNeverTakeTheSameDevice) {
  AddPhones(5);
  const int32_t first = CreateAndStart(Order(2));
  const int32_t second = CreateAndStart(Order(2));
  Step();
  EXPECT_EQ(Wave(first, 1), Phone(1) + " " + Phone(2));
  EXPECT_EQ(Wave(second, 1), Phone(3) + " " + Phone(4));
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("trustline_capf_campaigns_running 2"));
}

// What somebody schedules while a wave is made is his.
TEST_F(CampaignRunnerTest, SomebodysOrderStands) {
  AddPhones(3);
  const int32_t id = CreateAndStart(Order(3));
  // Not committed yet, so that the wave cannot see it and waits.
  ASSERT_OK_AND_ASSIGN(Connection somebody, database_->Connect());
  const std::string order =
      "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
      "deadline, scheduled_by) VALUES (1, '{}', 'fetch', 'pending', 'null', 'rsa', 2048, 'secp256r1', now(), 'test')";
  ASSERT_OK(somebody.ExecuteScript("BEGIN; " + fmt::format(fmt::runtime(order), Phone(2))));
  std::thread wave([this] { Step(); });
  for (const absl::Time end = absl::Now() + absl::Seconds(20);
       absl::Now() < end && Count("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0;) {
    absl::SleepFor(absl::Milliseconds(5));
  }
  ASSERT_OK(somebody.ExecuteScript("COMMIT"));
  wave.join();
  EXPECT_EQ(Wave(id, 1), Phone(1) + " " + Phone(3));
  EXPECT_EQ(Text(fmt::format("SELECT string_agg(operation || ' ' || state, ', ') FROM capf_operation WHERE device = "
                             "'{}'",
                             Phone(2))),
            "fetch pending");
  EXPECT_THAT(Logged("CAPF_CAMPAIGN_REFUSED"), ElementsAre(HasSubstr(Phone(2))));
}

TEST_F(CampaignRunnerTest, SomebodysOrderIsNotReplaced) {
  AddManyPhones(1001);
  const int32_t id = CreateAndStart(Order(1001));
  HoldAt(Phone(1));
  std::thread wave([this] { Step(); });
  WaitUntilHeld();
  // The wave has found this device, and has not scheduled it yet.
  AddOperation(Phone(1001), "pending");
  Release();
  wave.join();
  EXPECT_EQ(Load(id).waves, 0);
  EXPECT_EQ(Count("SELECT count(*) FROM capf_operation"), 1);
  Step();
  EXPECT_EQ(Load(id).counts, CampaignCounts{.pending = 1000});
  EXPECT_EQ(Text(fmt::format("SELECT string_agg(operation || ' ' || state, ', ') FROM capf_operation WHERE device = "
                             "'{}'",
                             Phone(1001))),
            "fetch pending");
}

TEST_F(CampaignRunnerTest, OneThatIsStuckDoesNotStopTheOthers) {
  RunByHand("INSERT INTO cluster (name, time_zone) VALUES ('site-2', 'Atlantis/Poseidonis')");
  const auto other = static_cast<int32_t>(Count("SELECT cluster_id FROM cluster WHERE name = 'site-2'"));
  CampaignOrder order = Order(1);
  order.hours = *HoursOfDay::Parse("00:00-23:00");
  ASSERT_OK_AND_ASSIGN(const CampaignRecord stuck, Create(order, other));
  ASSERT_OK(InStore([&](CampaignStore& store) { return store.Start(stuck.id, kOperator, clock_.Now()); }, other));
  AddPhones(1);
  const int32_t id = CreateAndStart(order);
  Step();
  EXPECT_EQ(Wave(id, 1), Phone(1));
  EXPECT_THAT(Logged("CAPF_CAMPAIGN_STUCK"), ElementsAre(HasSubstr("Atlantis/Poseidonis")));
  EXPECT_EQ(Text(fmt::format("SELECT state FROM capf_campaign WHERE campaign_id = {}", stuck.id)), "running");
}

TEST_F(CampaignRunnerTest, ItsThreadGoesOnByItself) {
  AddPhones(2);
  runner_->Start();
  CreateAndStart(Order(1));
  WaitForLog("\"wave\":1");
  // An outage passes.
  ASSERT_OK(database_->Kill());
  ASSERT_OK(database_->Restart());
  ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
  EndSome(1, "success");
  WaitForLog("\"wave\":2");
  EndSome(1, "success");
  WaitForLog("CAPF_CAMPAIGN_FINISHED");
  runner_->Stop();
  EXPECT_EQ(Text("SELECT state FROM capf_campaign"), "finished");
}

}  // namespace
}  // namespace trustline
