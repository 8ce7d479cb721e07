#include "itl/phone/holding_view.h"

#include "gtest/gtest.h"

namespace trustline {
namespace {

using State = ListSignature::State;

// Two TFTP servers of ours with lists 1 and 2, at generations 3 and 5; list 7 is a device's own at the first one, at
// generation 2; the CTL is list 9, at generation 4.
ServedLists Served() {
  return {.servers = {{"node1", "node1"}, {"tftp1.example", "node1"}, {"192.0.2.1", "node1"}, {"node2", "node2"}},
          .itls = {{"node1", {1, 3}}, {"node2", {2, 5}}},
          .ctl = PublishedState{9, 4},
          .generations = {{1, 3}, {2, 5}, {7, 2}, {9, 4}}};
}

Holding Holds(const std::string& server, int64_t list_id = 0, int64_t generation = 0, std::string list_server = "") {
  return {.holding_id = 1,
          .state = State::kHash,
          .reported_server = server,
          .list_id = list_id,
          .generation = generation,
          .list_server = std::move(list_server)};
}

PhoneStatus StatusOf(const Holding& holding, const ServedLists& served = Served()) {
  return JudgeHolding(holding, served).status;
}

TEST(HoldingViewTest, TheCurrentListOfTheServerNamedIsAMatch) {
  for (const char* name : {"node1", "tftp1.example", "192.0.2.1"}) {
    const HoldingView view = JudgeHolding(Holds(name, 1, 3, "node1"), Served());
    EXPECT_EQ(view.status, PhoneStatus::kMatch) << name;
    EXPECT_EQ(view.server, "node1");
    EXPECT_EQ(view.expected_generation, 3);
  }
}

TEST(HoldingViewTest, AnyOtherListFromAServerOfOursIsAMismatch) {
  EXPECT_EQ(StatusOf(Holds("node1", 1, 2, "node1")), PhoneStatus::kMismatch) << "an old generation";
  EXPECT_EQ(StatusOf(Holds("node1", 2, 5, "node2")), PhoneStatus::kMismatch) << "the list of another server";
  EXPECT_EQ(StatusOf(Holds("node1")), PhoneStatus::kMismatch) << "a list that nobody knows";
  ServedLists served = Served();
  served.itls.clear();
  EXPECT_EQ(StatusOf(Holds("node1", 1, 3, "node1"), served), PhoneStatus::kMismatch) << "a server that was removed";
}

TEST(HoldingViewTest, AServerThatIsNotOursIsForeign) {
  EXPECT_EQ(StatusOf(Holds("elsewhere.example")), PhoneStatus::kForeign);
  Holding adopted = Holds("elsewhere.example");
  adopted.adopted_id = 4;
  adopted.adopted_current = true;
  EXPECT_EQ(StatusOf(adopted), PhoneStatus::kForeign);
}

TEST(HoldingViewTest, AListOfOursIsOursWhateverNameItsServerHas) {
  const HoldingView view = JudgeHolding(Holds("proxy.example", 1, 3, "node1"), Served());
  EXPECT_EQ(view.status, PhoneStatus::kMatch);
  EXPECT_EQ(view.server, "node1");
  EXPECT_EQ(StatusOf(Holds("proxy.example", 1, 2, "node1")), PhoneStatus::kMismatch);
  EXPECT_EQ(StatusOf(Holds("", 1, 3, "node1")), PhoneStatus::kMatch);
}

TEST(HoldingViewTest, WithoutListOrHashOrServer) {
  Holding holding = Holds("node1");
  holding.state = State::kNotInstalled;
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kNotInstalled);
  EXPECT_EQ(JudgeHolding(holding, Served()).expected_generation, 3);
  holding.reported_server = "elsewhere.example";
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kNotInstalled);
  holding.state = State::kUnreadable;
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kUnknown);
  EXPECT_EQ(StatusOf(Holds("")), PhoneStatus::kUnknown);
}

TEST(HoldingViewTest, APhoneWithAListOfItsOwnNeedsThat) {
  Holding holding = Holds("node1", 7, 2, "node1");
  holding.own_list = true;
  holding.list_device = "SEP001122334455";
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kMatch);
  holding.generation = 1;
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kMismatch);
  Holding of_all = Holds("node1", 1, 3, "node1");
  of_all.own_list = true;
  EXPECT_EQ(StatusOf(of_all), PhoneStatus::kMismatch);
  Holding of_another = Holds("node1", 7, 2, "node1");
  of_another.list_device = "SEP001122334455";
  EXPECT_EQ(StatusOf(of_another), PhoneStatus::kMismatch) << "a device's list on a phone that needs that of all";
}

TEST(HoldingViewTest, WhatWasAdoptedAsOursCountsUntilTheServerHasAListOfOurs) {
  ServedLists served = Served();
  served.adopted_servers = {{"cucm1", "cucm"}};
  Holding holding = Holds("cucm1");
  EXPECT_EQ(StatusOf(holding, served), PhoneStatus::kMismatch);
  holding.adopted_id = 4;
  holding.adopted_own = true;
  EXPECT_EQ(StatusOf(holding, served), PhoneStatus::kMismatch);
  holding.adopted_current = true;
  EXPECT_EQ(StatusOf(holding, served), PhoneStatus::kMatch);
  served.servers["cucm1"] = "node1";
  EXPECT_EQ(StatusOf(holding, served), PhoneStatus::kMismatch);
}

TEST(HoldingViewTest, TheCtlIsOneForAllServers) {
  Holding holding = Holds("node2", 9, 4);
  holding.kind = ListKind::kCtl;
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kMatch);
  holding.generation = 3;
  EXPECT_EQ(StatusOf(holding), PhoneStatus::kMismatch);
  ServedLists served = Served();
  served.ctl.reset();
  EXPECT_EQ(StatusOf(holding, served), PhoneStatus::kMismatch);
}

}  // namespace
}  // namespace trustline
