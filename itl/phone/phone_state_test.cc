#include "itl/phone/phone_state.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace trustline {
namespace {

constexpr int64_t kOld = 11;
constexpr int64_t kNew = 12;
constexpr int64_t kNone = 13;
constexpr int64_t kGarbage = 14;

absl::Time At(int second) { return absl::FromUnixSeconds(1'000 + second); }

struct Sent {
  PhoneReport report;
  int64_t holding_id = 0;
  int64_t ctl_holding_id = 0;
};

Sent Lists(int second, int64_t holding_id, uint8_t hash) {
  Sent sent{.holding_id = holding_id};
  sent.report.at = At(second);
  sent.report.itl = {.state = ListSignature::State::kHash};
  sent.report.itl.sha1.fill(hash);
  sent.report.basis = EvidenceBasis::kForwarder;
  sent.report.source = "192.0.2.9";
  sent.report.address = "192.0.2.100";
  return sent;
}
Sent NotInstalled(int second) {
  Sent sent = Lists(second, kNone, 0);
  sent.report.itl = {.state = ListSignature::State::kNotInstalled};
  return sent;
}
Sent Unreadable(int second) {
  Sent sent = Lists(second, kGarbage, 0);
  sent.report.itl = {};
  return sent;
}
Sent Registration(int second, bool registers) {
  Sent sent;
  sent.report.event = registers ? PhoneEventKind::kRegistered : PhoneEventKind::kUnregistered;
  sent.report.at = At(second);
  return sent;
}

ReportEffect Apply(const Sent& sent, PhoneState& state) {
  return ApplyReport({&sent.report, sent.holding_id, sent.ctl_holding_id}, state);
}

TEST(PhoneStateTest, AReportIsTheLiveRowAndTheHeadOfTheLedger) {
  PhoneState state;
  EXPECT_EQ(Apply(Lists(1, kOld, 1), state), ReportEffect::kChanged);
  EXPECT_EQ(state.holding_id, kOld);
  EXPECT_EQ(state.held.holding_id, kOld);
  EXPECT_EQ(state.reported_at, At(1));
  EXPECT_EQ(state.via, "forwarder 192.0.2.9");
  EXPECT_EQ(Apply(Lists(2, kOld, 1), state), ReportEffect::kRenewed);
  EXPECT_EQ(state.reported_at, At(2));
  EXPECT_EQ(Apply(Lists(3, kNew, 2), state), ReportEffect::kChanged);
  EXPECT_EQ(state.held.holding_id, kNew);
  EXPECT_EQ(state.held.at, At(3));
}

TEST(PhoneStateTest, OfTheSameTimeTheLaterOneCounts) {
  PhoneState state;
  Apply(Lists(1, kOld, 1), state);
  EXPECT_EQ(Apply(Lists(1, kNew, 2), state), ReportEffect::kChanged);
  EXPECT_EQ(state.holding_id, kNew);
}

TEST(PhoneStateTest, AnotherHashOfTheSameKindIsAChange) {
  PhoneState state;
  Apply(Lists(1, kOld, 1), state);
  EXPECT_EQ(Apply(Lists(2, kOld, 9), state), ReportEffect::kChanged);
}

TEST(PhoneStateTest, UnregisteringDeletesTheLiveRowAndLeavesTheLedger) {
  PhoneState state;
  Apply(Lists(1, kOld, 1), state);
  EXPECT_EQ(Apply(Registration(2, true), state), ReportEffect::kChanged);
  EXPECT_EQ(Apply(Registration(3, false), state), ReportEffect::kChanged);
  EXPECT_EQ(state.holding_id, 0);
  EXPECT_FALSE(state.itl_sha1);
  EXPECT_FALSE(state.reported_at);
  EXPECT_EQ(state.registered, false);
  EXPECT_EQ(state.held.holding_id, kOld);
  EXPECT_EQ(state.held.at, At(1));
  EXPECT_EQ(Apply(Registration(4, true), state), ReportEffect::kChanged);
  EXPECT_EQ(state.holding_id, 0) << "a registration says nothing of lists";
}

TEST(PhoneStateTest, AnUnregistrationThatEndsTheLiveRowIsAChangeEachTime) {
  PhoneState state;
  Apply(Registration(1, false), state);
  Apply(Lists(2, kOld, 1), state);
  EXPECT_EQ(Apply(Registration(3, false), state), ReportEffect::kChanged);
  EXPECT_EQ(Apply(Registration(4, false), state), ReportEffect::kRenewed);
}

TEST(PhoneStateTest, AReportFromBeforeTheUnregistrationDoesNotBringItBack) {
  PhoneState state;
  Apply(Registration(3, false), state);
  EXPECT_EQ(Apply(Lists(2, kOld, 1), state), ReportEffect::kOlder);
  EXPECT_EQ(state.holding_id, 0);
  EXPECT_EQ(state.held.holding_id, kOld) << "the ledger gains all the same";
  EXPECT_EQ(Apply(Lists(4, kNew, 2), state), ReportEffect::kChanged);
  EXPECT_EQ(state.holding_id, kNew);
}

TEST(PhoneStateTest, WhatWasHeldBeforeTheLastRegistrationIsNoNews) {
  PhoneState state;
  Apply(Lists(5, kNew, 2), state);
  Apply(Registration(6, false), state);
  Apply(Registration(7, true), state);
  EXPECT_EQ(Apply(Lists(3, kOld, 1), state), ReportEffect::kOlder);
  EXPECT_EQ(state.holding_id, 0);
  EXPECT_EQ(state.held.holding_id, kNew);
}

TEST(PhoneStateTest, ALateUnregistrationFromBeforeTheReportLeavesTheLiveRow) {
  PhoneState state;
  Apply(Lists(5, kOld, 1), state);
  Apply(Registration(4, false), state);
  EXPECT_EQ(state.holding_id, kOld);
  EXPECT_EQ(state.registered, false);
}

TEST(PhoneStateTest, WhatCannotBeReadSaysNothingOfWhatIsHeld) {
  PhoneState state;
  Apply(Lists(1, kOld, 1), state);
  EXPECT_EQ(Apply(Unreadable(2), state), ReportEffect::kChanged);
  EXPECT_EQ(state.holding_id, kGarbage);
  EXPECT_EQ(state.held.holding_id, kOld);
  EXPECT_EQ(Apply(NotInstalled(3), state), ReportEffect::kChanged);
  EXPECT_EQ(state.held.holding_id, kNone);
  EXPECT_FALSE(state.held.sha1);
}

TEST(PhoneStateTest, WhatAnExportDoesNotKnowStays) {
  PhoneState state;
  Apply(Lists(1, kOld, 1), state);
  Sent adopted = Lists(2, kNew, 2);
  adopted.report.event = PhoneEventKind::kAdopted;
  adopted.report.address.clear();
  EXPECT_EQ(Apply(adopted, state), ReportEffect::kChanged);
  EXPECT_EQ(state.address, "192.0.2.100");
}

TEST(PhoneStateTest, CtlIsKeptBesideTheItl) {
  PhoneState state;
  Sent sent = Lists(1, kOld, 1);
  sent.report.ctl = ListSignature{.state = ListSignature::State::kNotInstalled};
  sent.ctl_holding_id = 21;
  Apply(sent, state);
  EXPECT_EQ(state.ctl_holding_id, 21);
  EXPECT_EQ(state.held_ctl.holding_id, 21);
  EXPECT_FALSE(state.ctl_sha1);
}

// Whatever the order in which they come, they settle on the same.
TEST(PhoneStateTest, EveryOrderSettlesOnTheNewest) {
  const std::vector<Sent> sent = {Lists(1, kOld, 1), Registration(2, true), Registration(3, false), Lists(4, kOld, 1),
                                  Lists(5, kNew, 2), Registration(6, true), Lists(5, kNew, 2)};
  std::vector<size_t> order(sent.size());
  std::iota(order.begin(), order.end(), 0);
  int orders = 0;
  do {
    PhoneState state;
    for (const size_t i : order) Apply(sent[i], state);
    ASSERT_EQ(state.holding_id, kNew);
    ASSERT_EQ(state.reported_at, At(5));
    ASSERT_EQ(state.registered, true);
    ASSERT_EQ(state.registration_at, At(6));
    ASSERT_EQ(state.held.holding_id, kNew);
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(orders, 5040);
}

}  // namespace
}  // namespace trustline
