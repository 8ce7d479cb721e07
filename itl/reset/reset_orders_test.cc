#include "itl/reset/reset_orders.h"

#include "itl/reset/reset_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ResetOrdersTest : public ResetTest {
 protected:
  // Of the devices 1 to 6: two match, two mismatch, one is foreign, one has not reported; 7 is another model's.
  void SetUp() override {
    ResetTest::SetUp();
    AddDevices(1, 6);
    AddDevices(7, 1, "7841", "Paris");
    std::vector<PhoneReport> reports = {Report(1, 0x12),
                                        Report(2, 0x12),
                                        Report(3, 0x11),
                                        Report(4, 0x11, "node1", 9),
                                        Report(5, 0x99, "elsewhere.example"),
                                        Report(7, 0x12)};
    ASSERT_OK(store_->Store(1, reports));
  }
  std::vector<std::string> Chosen(const ResetOrder& order) {
    const int32_t id = Order(order);
    const absl::StatusOr<int64_t> counted = RunInTransaction(
        *pool_, {}, [&](Connection& connection) { return ResetOrders(connection, 1).CountChosen(order); });
    std::vector<std::string> names;
    for (const std::string& phone : PhonesOf(id)) names.push_back(phone.substr(12, 3));
    EXPECT_THAT(counted, IsOkAndHolds(static_cast<int64_t>(names.size())));
    EXPECT_EQ(Find(id).counts.phones, static_cast<int64_t>(names.size()));
    return names;
  }
  std::vector<std::string> ChosenBy(const PhoneFilter& filter, bool out_of_step = false) {
    ResetOrder order = OrderOf();
    order.filter = filter;
    order.out_of_step_only = out_of_step;
    return Chosen(order);
  }
};

TEST_F(ResetOrdersTest, AFilterChoosesAsTheReportDoes) {
  EXPECT_THAT(ChosenBy({}), SizeIs(7));
  EXPECT_THAT(ChosenBy({.statuses = {PhoneStatus::kMismatch}}), ElementsAre("003", "004"));
  EXPECT_THAT(ChosenBy({.statuses = {PhoneStatus::kMatch, PhoneStatus::kForeign}}),
              ElementsAre("001", "002", "005", "007"));
  EXPECT_THAT(ChosenBy({.model = "7841"}), ElementsAre("007"));
  EXPECT_THAT(ChosenBy({.site = "Paris"}), ElementsAre("007"));
  EXPECT_THAT(ChosenBy({.model = "7841", .site = "Berlin"}), IsEmpty());
  EXPECT_THAT(ChosenBy({.since = kStart + absl::Seconds(5)}), ElementsAre("004"));
  EXPECT_THAT(ChosenBy({.server = "elsewhere.example"}), ElementsAre("005"));
  EXPECT_THAT(ChosenBy({.evidence_only = true}), SizeIs(6));
  // With the report itself.
  for (const PhoneFilter& filter :
       std::vector<PhoneFilter>{{}, {.statuses = {PhoneStatus::kMismatch}}, {.server = "node1", .site = "Berlin"}}) {
    EXPECT_EQ(ChosenBy(filter).size(), Names(filter).size());
  }
}

TEST_F(ResetOrdersTest, OutOfStepAreThoseThatLackAList) {
  EXPECT_THAT(ChosenBy({}, true), ElementsAre("003", "004", "005", "006"));
  EXPECT_THAT(ChosenBy({.statuses = {PhoneStatus::kMatch}}, true), IsEmpty());
  EXPECT_THAT(ChosenBy({.site = "Paris"}, true), IsEmpty());
  // A CTL comes: 1 has none, 2 and 7 have said nothing of it.
  RunByHand("INSERT INTO trust_list (cluster_id, kind, tftp_server, added_by) VALUES (1, 'CTL', '', 'test')");
  Publish(3, 1, 0x31);
  PhoneReport without = Report(1, 0x12, "node1", 20);
  without.ctl = ListSignature{.state = ListSignature::State::kNotInstalled};
  PhoneReport with = Report(2, 0x12, "node1", 20);
  with.ctl = ListSignature{.state = ListSignature::State::kHash, .sha1 = Hash(0x31)};
  ASSERT_OK(store_->Store(1, std::vector<PhoneReport>{without, with}));
  EXPECT_THAT(ChosenBy({}, true), ElementsAre("001", "003", "004", "005", "006"));
  // The next generation of it puts 2 out of step as well.
  Publish(3, 2, 0x32);
  EXPECT_THAT(ChosenBy({}, true), ElementsAre("001", "002", "003", "004", "005", "006"));
}

TEST_F(ResetOrdersTest, PhonesCanBeNamed) {
  ResetOrder order = OrderOf();
  order.devices = {Device(3), Device(1), Device(3)};
  EXPECT_THAT(Chosen(order), ElementsAre("001", "003"));
  order.devices = {Device(3), Device(99), Device(98)};
  EXPECT_THAT(TryOrder(order),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr(Device(98)), HasSubstr(Device(99)))));
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 1);
}

TEST_F(ResetOrdersTest, WhatIsOutsideTheLimitsIsRefused) {
  const auto refuses = [&](const std::function<void(ResetOrder&)>& change) {
    ResetOrder order = OrderOf();
    change(order);
    EXPECT_THAT(TryOrder(order), StatusIs(absl::StatusCode::kInvalidArgument));
  };
  refuses([](ResetOrder& order) { order.wave = 0; });
  refuses([](ResetOrder& order) { order.wave = kLargestResetWave + 1; });
  refuses([](ResetOrder& order) { order.pause = absl::Hours(25); });
  refuses([](ResetOrder& order) { order.pause = absl::Milliseconds(1500); });
  refuses([](ResetOrder& order) { order.pause = -absl::Seconds(1); });
  refuses([](ResetOrder& order) { order.pause = absl::InfiniteDuration(); });
  refuses([](ResetOrder& order) { order.stop_at_failures = 1.01; });
  refuses([](ResetOrder& order) { order.stop_at_failures = std::numeric_limits<double>::quiet_NaN(); });
  refuses([](ResetOrder& order) { order.reason = "two\nlines"; });
  refuses([](ResetOrder& order) { order.reason = std::string(201, 'x'); });
  refuses([](ResetOrder& order) { order.hook = ""; });
  refuses([](ResetOrder& order) { order.devices.resize(kMostResetDevices + 1, Device(1)); });
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset"), 0);
  for (int64_t i = 0; i < kMostOpenResets; ++i) Order(OrderOf());
  EXPECT_THAT(TryOrder(OrderOf()), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("resets abort")));
}

TEST_F(ResetOrdersTest, ItsStatesAndWhoChangedThem) {
  const int32_t id = Order(OrderOf());
  const auto change = [&](auto how) {
    return RunInTransaction(*pool_, {},
                            [&](Connection& connection) {
                              ResetOrders orders(connection, 1);
                              return how(orders);
                            })
        .status();
  };
  const auto pause = [&](ResetOrders& orders) { return orders.Pause(id, "lunch", kTestActor); };
  const auto resume = [&](ResetOrders& orders) { return orders.Resume(id, "", kTestActor, clock_.Now()); };
  const auto abort = [&](ResetOrders& orders) { return orders.Abort(id, "enough", kTestActor, clock_.Now()); };
  EXPECT_THAT(change(resume), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is running")));
  ASSERT_OK(change(pause));
  EXPECT_EQ(Find(id).state_reason, "lunch");
  EXPECT_THAT(change(pause), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(change(resume));
  EXPECT_EQ(Find(id).state_reason, "");
  ASSERT_OK(change(abort));
  EXPECT_EQ(Find(id).ended_at, kStart);
  for (const auto& status : {change(abort), change(pause), change(resume)}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is aborted")));
  }
  EXPECT_THAT(Audited(), ElementsAre("phones.reset.order trustline:default/person/admin",
                                     "phones.reset.pause trustline:default/person/admin",
                                     "phones.reset.resume trustline:default/person/admin",
                                     "phones.reset.abort trustline:default/person/admin"));
  EXPECT_THAT(Text("SELECT detail::text FROM audit_event WHERE action = 'phones.reset.order'"),
              AllOf(HasSubstr("\"all phones\""), HasSubstr("\"phones\":\"7\""), HasSubstr("new lists")));
  EXPECT_THAT(Text("SELECT detail::text FROM audit_event WHERE action = 'phones.reset.abort'"),
              AllOf(HasSubstr("\"not_tried\":\"7\""), HasSubstr("enough")));
  EXPECT_THAT(change([](ResetOrders& orders) { return orders.Find(4711); }),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("resets list")));
  // Another cluster's is not there.
  RunByHand("INSERT INTO cluster (name) VALUES ('b')");
  EXPECT_THAT(RunInTransaction(*pool_, {}, [&](Connection& connection) { return ResetOrders(connection, 2).Find(id); })
                  .status(),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ResetOrdersTest, OneThatChoosesNobodyIsDone) {
  ResetOrder order = OrderOf();
  order.filter.site = "Nowhere";
  EXPECT_EQ(Said(Order(order)), "done 0: 0 ok, 0 failed, 0 gone, 0 waiting, 0 reported");
}

TEST_F(ResetOrdersTest, TheNewestStandFirst) {
  for (int i = 0; i < 3; ++i) Order(OrderOf());
  const auto numbers = [&](int32_t before, int64_t limit) {
    std::vector<int32_t> ids;
    const auto resets = RunInTransaction(
        *pool_, {}, [&](Connection& connection) { return ResetOrders(connection, 1).List(before, limit); });
    EXPECT_OK(resets);
    for (const ResetRecord& reset : *resets) ids.push_back(reset.id);
    return ids;
  };
  EXPECT_THAT(numbers(0, 2), ElementsAre(3, 2));
  EXPECT_THAT(numbers(2, 2), ElementsAre(1));
}

// What is chosen is chosen once: phones that follow later are none of it, and a million are one transaction.
TEST_F(ResetOrdersTest, ManyPhonesAreOneOrder) {
  AddDevices(1000, 50'000);
  ResetOrder order = OrderOf(10'000);
  order.filter.statuses = {PhoneStatus::kUnknown};
  const int32_t id = Order(order);
  EXPECT_EQ(Find(id).counts.phones, 50'001);
  AddDevices(100'000, 10);
  EXPECT_EQ(Count("SELECT count(*) FROM phone_reset_phone"), 50'001);
}

}  // namespace
}  // namespace trustline
