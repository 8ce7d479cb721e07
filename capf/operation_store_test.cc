#include "capf/operation_store.h"

#include <thread>

#include "capf/enrolment_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using OperationStoreTest = EnrolmentDatabaseTest;

constexpr char kOpenRows[] = "SELECT count(*) FROM capf_operation WHERE state IN ('pending', 'in progress')";

KeptString SomeString() { return {std::string(16, 's'), std::string(32, 'h')}; }

std::optional<OperationRecord> Newest(Pool& pool, std::string_view device) {
  const auto newest = RunInTransaction(
      pool, {}, [&](Connection& connection) { return OperationStore(connection, 1).LockNewest(device); });
  EXPECT_OK(newest);
  return newest.value_or(std::nullopt);
}

TEST_F(OperationStoreTest, WhatIsScheduledIsReadBackWhole) {
  EXPECT_EQ(Newest(*pool_, kEnrolmentPhone), std::nullopt);
  OperationOrder order = Order(EnrolmentAuthentication::kString);
  order.keys = {.order = KeyOrder::kEcPreferred, .rsa_bits = 3072, .curve = CapfCurve::kSecp384r1};
  ASSERT_OK_AND_ASSIGN(const auto results, Schedule(order, {{kEnrolmentPhone, SomeString()}}));
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].refusal, "");
  EXPECT_FALSE(results[0].replaced);

  const std::optional<OperationRecord> found = Newest(*pool_, kEnrolmentPhone);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, results[0].operation_id);
  EXPECT_EQ(found->device, kEnrolmentPhone);
  EXPECT_EQ(found->operation, CapfOperation::kInstall);
  EXPECT_EQ(found->state, OperationState::kPending);
  EXPECT_EQ(found->authentication, EnrolmentAuthentication::kString);
  EXPECT_EQ(found->keys, order.keys);
  ASSERT_TRUE(found->kept.has_value());
  EXPECT_EQ(found->kept->salt, SomeString().salt);
  EXPECT_EQ(found->kept->hmac, SomeString().hmac);
  EXPECT_FALSE(found->string_is_used);
  EXPECT_EQ(found->wrong_strings, 0);
  EXPECT_EQ(found->deadline, order.deadline);
  EXPECT_EQ(found->campaign_id, 0);
  EXPECT_EQ(found->scheduled_by, kEnrolmentOperator);
  EXPECT_EQ(found->scheduled_at, clock_.Now());
  EXPECT_EQ(found->started_at, std::nullopt);
  EXPECT_EQ(found->ended_at, std::nullopt);
  EXPECT_EQ(found->session_address, "");
  EXPECT_EQ(found->issuance_id, 0);
}

TEST_F(OperationStoreTest, EachDeviceIsRefusedForItsOwnReason) {
  RunByHand(
      "INSERT INTO device (cluster_id, name, state, state_reason, replaced_by, added_by) VALUES "
      "(1, 'SEP0000000000A1', 'retired', 'broken', NULL, 'test'), "
      "(1, 'SEP0000000000A2', 'replaced', '', 'SEP0000000000A3', 'test')");
  ASSERT_OK_AND_ASSIGN(
      const auto results,
      Schedule(Order(),
               {{"SEP0000000000A2", {}}, {kEnrolmentPhone, {}}, {"SEP0000000000FF", {}}, {"SEP0000000000A1", {}}}));
  ASSERT_EQ(results.size(), 4U);
  EXPECT_THAT(results[0].refusal, HasSubstr("replaced by SEP0000000000A3"));
  EXPECT_EQ(results[1].refusal, "");
  EXPECT_THAT(results[2].refusal, HasSubstr("trustctl device add SEP0000000000FF"));
  EXPECT_THAT(results[3].refusal, AllOf(HasSubstr("retired"), HasSubstr("broken")));
  EXPECT_EQ(results[0].operation_id, 0);
  EXPECT_NE(results[1].operation_id, 0);
  EXPECT_EQ(Count(kOpenRows), 1);
}

TEST_F(OperationStoreTest, FetchAndDeleteNeedACertificateInForce) {
  for (const CapfOperation operation : {CapfOperation::kFetch, CapfOperation::kDelete}) {
    ASSERT_OK_AND_ASSIGN(const auto results,
                         Schedule(Order(EnrolmentAuthentication::kNull, operation), {{kEnrolmentPhone, {}}}));
    EXPECT_THAT(results[0].refusal, HasSubstr("no certificate in force"));
  }
  AddCertificate(kEnrolmentPhone, "revoked");
  AddCertificate(kEnrolmentPhone, "confirmed", "2021-01-01");
  AddCertificate(kOtherEnrolmentPhone, "signed");
  const OperationOrder fetch = Order(EnrolmentAuthentication::kNull, CapfOperation::kFetch);
  ASSERT_OK_AND_ASSIGN(const auto results, Schedule(fetch, {{kEnrolmentPhone, {}}, {kOtherEnrolmentPhone, {}}}));
  EXPECT_THAT(results[0].refusal, HasSubstr("no certificate in force that it could show"));
  EXPECT_EQ(results[1].refusal, "");
}

TEST_F(OperationStoreTest, APendingOperationGivesWay) {
  ASSERT_OK_AND_ASSIGN(const auto first, Schedule(Order(), {{kEnrolmentPhone, {}}}));
  ASSERT_OK_AND_ASSIGN(const auto second, Schedule(Order(), {{kEnrolmentPhone, {}}, {kOtherEnrolmentPhone, {}}}));
  EXPECT_TRUE(second[0].replaced);
  EXPECT_FALSE(second[1].replaced);
  EXPECT_EQ(Text(fmt::format("SELECT state || ': ' || reason FROM capf_operation WHERE operation_id = {}",
                             first[0].operation_id)),
            "cancelled: another operation was scheduled in its place");
  EXPECT_EQ(Newest(*pool_, kEnrolmentPhone)->id, second[0].operation_id);
  EXPECT_EQ(Count(kOpenRows), 2);
}

TEST_F(OperationStoreTest, ARunningSessionIsLeftAlone) {
  ASSERT_OK(Schedule(Order(), {{kEnrolmentPhone, {}}}));
  RunByHand(
      fmt::format("UPDATE capf_operation SET state = 'in progress', session_claim = '\\x{}', session_address = "
                  "'192.0.2.7', started_at = to_timestamp({}), session_until = to_timestamp({})",
                  std::string(32, '0'), absl::ToUnixSeconds(clock_.Now()), absl::ToUnixSeconds(clock_.Now()) + 60));
  ASSERT_OK_AND_ASSIGN(const auto refused, Schedule(Order(), {{kEnrolmentPhone, {}}}));
  EXPECT_THAT(refused[0].refusal, AllOf(HasSubstr("192.0.2.7"), HasSubstr("at work since")));
  const auto cancel = [&] {
    return RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return OperationStore(connection, 1).Cancel({kEnrolmentPhone}, "taken back", clock_.Now());
    });
  };
  ASSERT_OK_AND_ASSIGN(const auto kept, cancel());
  EXPECT_THAT(kept[0].refusal, HasSubstr("at work since"));
  EXPECT_EQ(kept[0].operation_id, 0);
  EXPECT_TRUE(Newest(*pool_, kEnrolmentPhone)->is_running(clock_.Now()));

  // One that is over its time has left it behind.
  clock_.Advance(absl::Seconds(61));
  EXPECT_FALSE(Newest(*pool_, kEnrolmentPhone)->is_running(clock_.Now()));
  ASSERT_OK_AND_ASSIGN(const auto replaced, Schedule(Order(), {{kEnrolmentPhone, {}}}));
  EXPECT_TRUE(replaced[0].replaced);
}

TEST_F(OperationStoreTest, WhatIsScheduledEndsWithItsDevice) {
  const auto state = [&](int64_t operation_id) {
    return Text(
        fmt::format("SELECT state || ': ' || reason || coalesce(' ' || unsettled, '') FROM capf_operation WHERE "
                    "operation_id = {}",
                    operation_id));
  };
  ASSERT_OK_AND_ASSIGN(const auto scheduled, Schedule(Order(), {{kEnrolmentPhone, {}}, {kOtherEnrolmentPhone, {}}}));
  // What does not concern its service changes nothing.
  RunByHand("UPDATE device SET site = 'Berlin'");
  EXPECT_EQ(state(scheduled[0].operation_id), "pending: ");
  // In a session that cad may have issued a certificate for.
  RunByHand(
      fmt::format("UPDATE capf_operation SET state = 'in progress', session_claim = '\\x{}', started_at = now(), "
                  "session_until = now() WHERE device = '{}'",
                  std::string(32, '0'), kEnrolmentPhone));
  RunByHand(
      fmt::format("UPDATE device SET state = 'retired', state_reason = 'lost' WHERE name = '{}'", kEnrolmentPhone));
  EXPECT_EQ(state(scheduled[0].operation_id), "cancelled: the device was retired discard");
  EXPECT_EQ(state(scheduled[1].operation_id), "pending: ");
  RunByHand(fmt::format("DELETE FROM device WHERE name = '{}'", kOtherEnrolmentPhone));
  EXPECT_EQ(state(scheduled[1].operation_id), "cancelled: the device was removed");
  EXPECT_EQ(Count(kOpenRows), 0);
}

TEST_F(OperationStoreTest, CancelTakesBackWhatIsPending) {
  ASSERT_OK_AND_ASSIGN(const auto scheduled, Schedule(Order(), {{kEnrolmentPhone, {}}}));
  ASSERT_OK_AND_ASSIGN(const auto cancelled, RunInTransaction(*pool_, {}, [&](Connection& connection) {
                         return OperationStore(connection, 1)
                             .Cancel({kOtherEnrolmentPhone, kEnrolmentPhone, "SEP0000000000FF"},
                                     "taken back by somebody", clock_.Now());
                       }));
  ASSERT_EQ(cancelled.size(), 3U);
  EXPECT_EQ(cancelled[2].refusal, "there is no device SEP0000000000FF in this cluster");
  EXPECT_EQ(cancelled[0].operation_id, 0);
  EXPECT_EQ(cancelled[0].refusal, "");
  EXPECT_EQ(cancelled[1].operation_id, scheduled[0].operation_id);
  const std::optional<OperationRecord> record = Newest(*pool_, kEnrolmentPhone);
  EXPECT_EQ(record->state, OperationState::kCancelled);
  EXPECT_EQ(record->reason, "taken back by somebody");
  EXPECT_EQ(record->ended_at, clock_.Now());
}

TEST_F(OperationStoreTest, AStringIsUsedWhenItsOperationHasEndedByItself) {
  const auto has_used = [&] {
    const auto used = RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return OperationStore(connection, 1).HasUsedString(kEnrolmentPhone);
    });
    EXPECT_OK(used);
    return used.value_or(false);
  };
  ASSERT_OK(Schedule(Order(EnrolmentAuthentication::kString), {{kEnrolmentPhone, SomeString()}}));
  EXPECT_FALSE(has_used());
  RunByHand("UPDATE capf_operation SET state = 'cancelled', ended_at = now()");
  EXPECT_FALSE(has_used());
  RunByHand("UPDATE capf_operation SET state = 'expired'");
  EXPECT_TRUE(has_used());
  RunByHand("UPDATE capf_operation SET state = 'success', string_used_at = now()");
  EXPECT_TRUE(has_used());
  RunByHand("UPDATE capf_operation SET device = 'SEP001122334466'");
  EXPECT_FALSE(has_used());
}

TEST_F(OperationStoreTest, MistakesOfCallersAreErrors) {
  EXPECT_THAT(Schedule(Order(EnrolmentAuthentication::kString), {{kEnrolmentPhone, {}}}),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(Schedule(Order(), {{kEnrolmentPhone, SomeString()}}), StatusIs(absl::StatusCode::kInternal));
  const std::vector<OrderedDevice> many(1001, OrderedDevice{kEnrolmentPhone, {}});
  EXPECT_THAT(Schedule(Order(), many), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1000")));
  ASSERT_OK_AND_ASSIGN(const auto none, Schedule(Order(), {}));
  EXPECT_THAT(none, IsEmpty());
}

// One that waited for the pending operation finds what took its place.
TEST_F(OperationStoreTest, WhoeverWaitedForAnEndedOperationFindsItsSuccessor) {
  ASSERT_OK(Schedule(Order(), {{kEnrolmentPhone, {}}}));
  ASSERT_OK_AND_ASSIGN(Connection other, database_->Connect("trustline_capfd"));
  std::optional<Transaction> replacing = *Transaction::Begin(other);
  ASSERT_OK_AND_ASSIGN(const auto second,
                       OperationStore(other, 1).Schedule(Order(), {{kEnrolmentPhone, {}}}, clock_.Now()));
  std::optional<OperationRecord> found;
  std::thread waiting([&] { found = Newest(*pool_, kEnrolmentPhone); });
  while (
      Count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") ==
      0) {
    std::this_thread::yield();
  }
  ASSERT_OK(replacing->Commit());
  waiting.join();
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, second[0].operation_id);
}

TEST_F(OperationStoreTest, ManyOrdersForTheSameDevicesLeaveOneOperationEach) {
  constexpr int kDevices = 200;
  RunByHand(
      fmt::format("INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, "
                  "'0')), 'test' FROM generate_series(1, {}) n",
                  kDevices));
  std::vector<OrderedDevice> forwards;
  for (int n = 1; n <= kDevices; ++n) forwards.push_back({fmt::format("SEP{:012X}", n), {}});
  const std::vector<OrderedDevice> backwards(forwards.rbegin(), forwards.rend());
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { EXPECT_OK(Schedule(Order(), i % 2 == 0 ? forwards : backwards)); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Count(kOpenRows), kDevices);
  EXPECT_EQ(Count("SELECT count(DISTINCT device) FROM capf_operation WHERE state = 'pending'"), kDevices);
}

TEST_F(OperationStoreTest, AHundredThousandDevicesTakeSeconds) {
  constexpr int kDevices = 100'000;
  constexpr int kBatch = 1000;
  RunByHand(
      fmt::format("INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, "
                  "'0')), 'test' FROM generate_series(0, {}) n",
                  kDevices - 1));
  // Twice: the second time each replaces one that is pending.
  for (const bool again : {false, true}) {
    const absl::Time begin = absl::Now();
    for (int batch = 0; batch < kDevices / kBatch; ++batch) {
      std::vector<OrderedDevice> devices;
      for (int n = 0; n < kBatch; ++n) devices.push_back({fmt::format("SEP{:012X}", batch * kBatch + n), SomeString()});
      ASSERT_OK_AND_ASSIGN(const auto results, Schedule(Order(EnrolmentAuthentication::kString), devices));
      EXPECT_EQ(results[0].replaced, again);
    }
    const absl::Duration taken = absl::Now() - begin;
    EXPECT_EQ(Count(kOpenRows), kDevices);
    EXPECT_LT(taken, absl::Seconds(30));
    RecordProperty(again ? "seconds_again" : "seconds", std::to_string(absl::ToDoubleSeconds(taken)));
  }
}

}  // namespace
}  // namespace trustline
