#include "itl/preflight/preflight.h"

#include <algorithm>
#include <functional>

#include "gtest/gtest.h"
#include "itl/preflight/preflight_testing.h"

namespace trustline {
namespace {

const ServedAs kServer{"tftp1", ""};

void Vouch(TrustWorld& world, const std::string& name, CertificateRole role) {
  world.vouched.insert({Named(name), role});
}
void Unvouch(TrustWorld& world, const std::string& name) {
  std::erase_if(world.vouched, [&](const auto& entry) { return entry.first == Named(name); });
}

// One server, generation 1 of its list signed by "rec", which names TVS "t1" and "t2"; their nodes n1 and n2.
TrustWorld World() {
  TrustWorld world;
  world.served[kServer].published = {
      .ctl = nullptr, .itl = Share(ItlOf("rec", {"rec", "cm"}, "cm", {"t1", "t2"})), .file_signer = Named("cm")};
  for (const char* name : {"rec", "cm", "rec2"}) Vouch(world, name, CertificateRole::kSast);
  Vouch(world, "cm", CertificateRole::kCcmTftp);
  Vouch(world, "cm2", CertificateRole::kCcmTftp);
  world.tvs_nodes = {{"n1", NamedAll({"t1"})}, {"n2", NamedAll({"t2"})}};
  world.signing_keys = NamedAll({"rec", "cm", "rec2"});
  return world;
}

TrustWorld Serving(TrustWorld world, PhoneList itl) {
  world.served[kServer].published.itl = Share(std::move(itl));
  return world;
}

PhoneList First() { return ItlOf("rec", {"rec", "cm"}, "cm", {"t1", "t2"}); }
// The next ITLRecovery, which the first list does not name.
PhoneList Second() { return ItlOf("rec2", {"rec2", "cm"}, "cm", {"t1", "t2"}); }

// Phones of a site that asks node n1.
PhoneGroup Holding(std::vector<PhoneHoldings> may_hold, std::set<std::string> nodes = {"n1"}) {
  return {.knowledge = PhoneKnowledge::kKnown,
          .served_as = kServer,
          .may_hold = std::move(may_hold),
          .reads = {},
          .tvs_nodes = std::move(nodes),
          .phones = 3};
}
PhoneGroup Holding(PhoneList itl, std::set<std::string> nodes = {"n1"}) {
  return Holding(std::vector<PhoneHoldings>{{.ctl = nullptr, .itl = Share(std::move(itl))}}, std::move(nodes));
}

GroupVerdict Judge(const PhoneGroup& group, const TrustWorld& before, const TrustWorld& after,
                   const PreFlightGuards& guards = {}) {
  return RunPreFlight({group}, before, after, guards).verdicts.front();
}

void ExpectVerdict(const GroupVerdict& is, PhoneVerdict verdict, VerdictReason reason, const char* what = "") {
  EXPECT_EQ(is.verdict, verdict) << what << " for the reason: " << ReasonText(is.reason);
  EXPECT_EQ(is.reason, reason) << what << ": " << ReasonText(is.reason);
}

PhoneWay Way(PhoneList holds, const TrustWorld& world, std::set<std::string> nodes = {"n1"}) {
  const PhoneGroup group = Holding(std::move(holds), std::move(nodes));
  return WayOf(group.may_hold.front(), group, world);
}

TEST(WayOfTest, EachWayToWhatIsPublished) {
  EXPECT_EQ(Way(First(), World()), PhoneWay::kInStep);
  EXPECT_EQ(Way(ItlOf("rec", {"rec"}, "cm", {}), World(), {}), PhoneWay::kByList);
  const TrustWorld next = Serving(World(), Second());
  EXPECT_EQ(Way(First(), next), PhoneWay::kByTvs);
  EXPECT_EQ(Way(First(), next, {}), PhoneWay::kNeedsReach);
  EXPECT_EQ(Way(First(), next, {"n9"}), PhoneWay::kNeedsReach) << "a node that is none of ours";
  EXPECT_EQ(Way(ItlOf("rec", {"rec"}, "cm", {"t9"}), next), PhoneWay::kRescuedByKey);
  EXPECT_EQ(Way(ItlOf("x", {"x"}, "cm", {"t9"}), next), PhoneWay::kByHand);
}

TEST(WayOfTest, NoListAtAllOrABlankOneFollows) {
  const PhoneGroup group = Holding(std::vector<PhoneHoldings>{{}}, {});
  EXPECT_EQ(WayOf({}, group, World()), PhoneWay::kByList);
  PhoneList blank = ItlOf("x", {"x"}, "cm", {});
  blank.records.back() = {.role = CertificateRole::kCcmTftp, .blank = true};
  EXPECT_EQ(Way(blank, World(), {}), PhoneWay::kByList);
}

TEST(WayOfTest, TheFilesCountToo) {
  TrustWorld world = World();
  world.served[kServer].published.file_signer = Named("cm2");
  EXPECT_EQ(Way(First(), world), PhoneWay::kByTvs);
  EXPECT_EQ(Way(First(), world, {}), PhoneWay::kNeedsReach);
  Unvouch(world, "cm2");
  EXPECT_EQ(Way(First(), world), PhoneWay::kRescuedByKey) << "files could be signed with the key that its list names";
  world.signing_keys = NamedAll({"rec", "cm2"});
  EXPECT_EQ(Way(First(), world), PhoneWay::kByHand) << "no list that says the same would help";
}

TEST(WayOfTest, TheCtlComesFirst) {
  TrustWorld world = World();
  world.served[kServer].published.ctl = Share(CtlOf("rec2", "rec2"));
  EXPECT_EQ(Way(First(), world), PhoneWay::kByTvs);
  Unvouch(world, "rec2");
  EXPECT_EQ(Way(First(), world), PhoneWay::kRescuedByKey);
  world.signing_keys = NamedAll({"rec2"});
  EXPECT_EQ(Way(First(), world), PhoneWay::kByHand);
}

TEST(WayOfTest, EachListMayBeRescuedByAKeyOfItsOwn) {
  // The CTL's by "rec", which the new CTL does not name; the ITL's by "cm".
  TrustWorld world = World();
  world.tvs_nodes.clear();
  world.served[kServer].published.ctl = Share(CtlOf("rec2", "other"));
  world.served[kServer].published.itl = Share(Second());
  const PhoneHoldings holdings = {.ctl = Share(CtlOf("rec", "rec")), .itl = Share(ItlOf("x", {"cm"}, "cm", {}))};
  const PhoneGroup group = Holding(std::vector<PhoneHoldings>{holdings});
  EXPECT_EQ(WayOf(holdings, group, world), PhoneWay::kRescuedByKey);
  world.signing_keys = NamedAll({"rec"});
  EXPECT_EQ(WayOf(holdings, group, world), PhoneWay::kByHand);
}

TEST(WayOfTest, WithoutItsServerTheWorstOfThoseThatAreLeft) {
  TrustWorld world = World();
  world.served[{"tftp2", ""}].published = {.ctl = nullptr, .itl = Share(Second()), .file_signer = Named("cm")};
  PhoneGroup group = Holding(First(), {});
  EXPECT_EQ(WayOf(group.may_hold.front(), group, world), PhoneWay::kInStep);
  group.served_as.tftp_server = "gone";
  EXPECT_EQ(WayOf(group.may_hold.front(), group, world), PhoneWay::kNeedsReach);
  EXPECT_EQ(WayOf(group.may_hold.front(), group, TrustWorld{}), PhoneWay::kInStep) << "nothing is served";
}

TEST(CureOfTest, EachCure) {
  const TrustWorld next = Serving(World(), Second());
  EXPECT_EQ(CureOf(Holding(First()), World()), PhoneCure::kNone);
  EXPECT_EQ(CureOf(Holding(First()), next), PhoneCure::kReset) << "by TVS";
  EXPECT_EQ(CureOf(Holding(ItlOf("rec", {"rec2"}, "cm", {})), next), PhoneCure::kReset) << "by list";
  EXPECT_EQ(CureOf(Holding(First(), {}), next), PhoneCure::kRestoreReach);
  EXPECT_EQ(CureOf(Holding(ItlOf("rec", {"rec"}, "cm", {})), next), PhoneCure::kPublishRecovery);
  EXPECT_EQ(CureOf(Holding(ItlOf("x", {"x"}, "cm", {})), next), PhoneCure::kByHand);
  PhoneGroup group = Holding(First());
  for (const auto& [knowledge, cure] :
       std::vector<std::pair<PhoneKnowledge, PhoneCure>>{{PhoneKnowledge::kForeign, PhoneCure::kForeign},
                                                         {PhoneKnowledge::kNoLists, PhoneCure::kNoLists},
                                                         {PhoneKnowledge::kNeverSeen, PhoneCure::kUnknown},
                                                         {PhoneKnowledge::kOtherList, PhoneCure::kUnknown}}) {
    group.knowledge = knowledge;
    EXPECT_EQ(CureOf(group, next), cure);
  }
  EXPECT_EQ(CureOf(Holding(std::vector<PhoneHoldings>{}), next), PhoneCure::kUnknown);
}

TEST(CureOfTest, TheWorstOfWhatItMayHold) {
  const PhoneHoldings stranger = {.ctl = nullptr, .itl = Share(ItlOf("x", {"x"}, "cm", {}))};
  const PhoneHoldings present = {.ctl = nullptr, .itl = Share(First())};
  EXPECT_EQ(CureOf(Holding({present, stranger}), World()), PhoneCure::kByHand);
}

TEST(CureOfTest, OneThatHasItsListsAndAsksTvsAboutFilesIsInStep) {
  TrustWorld world = World();
  world.served[kServer].published.file_signer = Named("cm2");
  EXPECT_EQ(CureOf(Holding(First()), world), PhoneCure::kNone);
}

TEST(PreFlightTest, SafeByListAndByTvs) {
  ExpectVerdict(Judge(Holding(First()), World(), Serving(World(), ItlOf("cm", {"rec2", "cm"}, "cm", {"t1"}))),
                PhoneVerdict::kSafeByList, VerdictReason::kNone);
  const GroupVerdict by_tvs = Judge(Holding(First()), World(), Serving(World(), Second()));
  ExpectVerdict(by_tvs, PhoneVerdict::kSafeByTvs, VerdictReason::kNone);
  EXPECT_EQ(by_tvs.before, PhoneWay::kInStep);
  EXPECT_EQ(by_tvs.after, PhoneWay::kByTvs);
}

TEST(PreFlightTest, NumbersAreOfPhones) {
  const PreFlightResult result =
      RunPreFlight({Holding(First()), Holding(First(), {}), Holding(First())}, World(), Serving(World(), Second()));
  EXPECT_EQ(result.Count(PhoneVerdict::kSafeByTvs), 6);
  EXPECT_EQ(result.Count(PhoneVerdict::kUnproven), 3);
  EXPECT_EQ(result.Count(PhoneVerdict::kLocked), 0);
  EXPECT_EQ(result.verdicts.size(), 3);
}

TEST(PreFlightTest, NoTvsSeenIsUnproven) {
  ExpectVerdict(Judge(Holding(First(), {}), World(), Serving(World(), Second())), PhoneVerdict::kUnproven,
                VerdictReason::kNoTvsSeen);
}

TEST(PreFlightTest, ASecondChangeOfSignersInARowWaitsForWhoeverMissedTheFirst) {
  TrustWorld world = World();
  for (const CertificateRole role : {CertificateRole::kSast, CertificateRole::kCcmTftp}) Vouch(world, "cm2", role);
  Vouch(world, "rec3", CertificateRole::kSast);
  world.signing_keys = NamedAll({"rec", "rec2", "rec3", "cm", "cm2"});
  const TrustWorld second = Serving(world, Second());
  const PhoneGroup asleep = Holding(First());
  EXPECT_EQ(Judge(asleep, world, second).verdict, PhoneVerdict::kSafeByTvs) << "one change";
  // ITLRecovery once more.
  const TrustWorld third = Serving(world, ItlOf("rec3", {"rec3", "cm"}, "cm", {"t1", "t2"}));
  ExpectVerdict(Judge(asleep, second, third), PhoneVerdict::kUnproven, VerdictReason::kMissedTheLast);
  EXPECT_EQ(Judge(Holding(Second()), second, third).verdict, PhoneVerdict::kSafeByTvs) << "those that followed";
  // ITLRecovery, then the key of configuration files.
  TrustWorld files = Serving(world, ItlOf("rec2", {"rec2", "cm2"}, "cm2", {"t1", "t2"}));
  files.served[kServer].published.file_signer = Named("cm2");
  ExpectVerdict(Judge(asleep, second, files), PhoneVerdict::kUnproven, VerdictReason::kMissedTheLast);
  EXPECT_EQ(Judge(Holding(Second()), second, files).verdict, PhoneVerdict::kSafeByList);
  // The key of configuration files, then ITLRecovery.
  TrustWorld files_first = Serving(world, ItlOf("rec", {"rec", "cm2"}, "cm2", {"t1", "t2"}));
  files_first.served[kServer].published.file_signer = Named("cm2");
  EXPECT_EQ(Judge(asleep, world, files_first).verdict, PhoneVerdict::kSafeByList);
  ExpectVerdict(Judge(asleep, files_first, files), PhoneVerdict::kUnproven, VerdictReason::kMissedTheLast);
  // The way back, and what changes no signer, wait for nobody.
  EXPECT_EQ(Judge(asleep, second, world).verdict, PhoneVerdict::kSafeByList);
  EXPECT_EQ(Judge(asleep, second, Serving(world, ItlOf("rec2", {"rec2", "cm"}, "cm", {"t1"}))).verdict,
            PhoneVerdict::kSafeByTvs);
}

TEST(PreFlightTest, EachReasonOfALockedPhone) {
  const PhoneGroup phones = Holding(First());
  TrustWorld after = Serving(World(), Second());
  after.tvs_nodes = {{"n1", NamedAll({"t1 new"})}};
  ExpectVerdict(Judge(phones, World(), after), PhoneVerdict::kLocked, VerdictReason::kSignerUnknown);

  after = Serving(World(), Second());
  Unvouch(after, "rec2");
  ExpectVerdict(Judge(phones, World(), after), PhoneVerdict::kLocked, VerdictReason::kSignerNotVouched);

  PhoneList sha512 = First();
  sha512.digest = DigestAlgorithm::kSha512;
  ExpectVerdict(Judge(phones, World(), Serving(World(), sha512)), PhoneVerdict::kLocked, VerdictReason::kCannotRead);
  PhoneGroup reading = phones;
  reading.reads.sha512 = true;
  ExpectVerdict(Judge(reading, World(), Serving(World(), sha512)), PhoneVerdict::kSafeByList, VerdictReason::kNone);

  after = World();
  after.served[kServer].published.file_signer = Named("cm3");
  ExpectVerdict(Judge(phones, World(), after), PhoneVerdict::kLocked, VerdictReason::kFileSigner);

  after = Serving(World(), ItlOf("rec", {"rec3"}, "cm", {"t1", "t2"}));
  ExpectVerdict(Judge(phones, World(), after), PhoneVerdict::kLocked, VerdictReason::kNoKeyHere);
}

TEST(PreFlightTest, ARecordTooManyLocks) {
  for (const auto& change : std::vector<std::function<void(PhoneList&)>>{
           [](PhoneList& list) {
             list.records.push_back({Named("third"), CertificateRole::kSast});
           },
           [](PhoneList& list) { list.size = 66'000; }, [](PhoneList& list) { list.largest_rsa_bits = 4096; }}) {
    PhoneList list = First();
    change(list);
    const TrustWorld after = Serving(World(), list);
    ExpectVerdict(Judge(Holding(First()), World(), after), PhoneVerdict::kLocked, VerdictReason::kCannotRead);
    ExpectVerdict(Judge({.knowledge = PhoneKnowledge::kNeverSeen, .served_as = kServer}, World(), after),
                  PhoneVerdict::kUnproven, VerdictReason::kNeverSeen);
  }
}

TEST(PreFlightTest, WhatWasLostBeforeIsNoReasonToRefuse) {
  const PhoneGroup stranger = Holding(ItlOf("x", {"x"}, "cm", {}));
  ExpectVerdict(Judge(stranger, World(), Serving(World(), Second())), PhoneVerdict::kLostBefore,
                VerdictReason::kSignerUnknown);
  EXPECT_EQ(Judge(stranger, World(), World()).verdict, PhoneVerdict::kLostBefore);
  // But what it can still be rescued by must stay.
  const PhoneGroup rescued = Holding(ItlOf("rec", {"rec"}, "cm", {}));
  const TrustWorld next = Serving(World(), Second());
  TrustWorld without = next;
  without.signing_keys.erase(Named("rec"));
  EXPECT_EQ(Judge(rescued, next, next).verdict, PhoneVerdict::kLostBefore);
  EXPECT_EQ(Judge(rescued, next, without).verdict, PhoneVerdict::kLocked);
}

TEST(PreFlightTest, ANodeThatNobodySawAskedMayBeAPhonesOnlyOne) {
  // Their site asks none that was seen; either node could be theirs.
  const TrustWorld next = Serving(World(), Second());
  TrustWorld without_n2 = next;
  without_n2.tvs_nodes.erase("n2");
  const PhoneGroup unseen = Holding(First(), {});
  ExpectVerdict(Judge(unseen, next, without_n2), PhoneVerdict::kUnproven, VerdictReason::kNoTvsSeen);
  EXPECT_EQ(Judge(unseen, next, next).verdict, PhoneVerdict::kLostBefore);
  // Of those whose node is known nothing is lost.
  EXPECT_EQ(Judge(Holding(First()), next, without_n2).verdict, PhoneVerdict::kSafeByTvs);
}

TEST(PreFlightTest, EverythingThatItMayHoldIsJudged) {
  const PhoneHoldings seen = {.ctl = nullptr, .itl = Share(First())};
  const PhoneHoldings taken = {.ctl = nullptr, .itl = Share(ItlOf("rec", {"cm"}, "cm", {}))};
  const TrustWorld after = Serving(World(), ItlOf("rec", {"rec", "cm"}, "cm", {}));
  ExpectVerdict(Judge(Holding({seen, taken}, {}), Serving(World(), *taken.itl), after), PhoneVerdict::kLocked,
                VerdictReason::kSignerUnknown);
  EXPECT_EQ(Judge(Holding({seen}, {}), Serving(World(), *taken.itl), after).verdict, PhoneVerdict::kSafeByList);
  EXPECT_EQ(Judge(Holding(std::vector<PhoneHoldings>{}), World(), after).verdict, PhoneVerdict::kUnproven);
}

TEST(PreFlightTest, OfWhomNothingIsKnownIsUnprovenUnlessNothingIsTakenAway) {
  for (const auto& [knowledge, reason] :
       std::vector<std::pair<PhoneKnowledge, VerdictReason>>{{PhoneKnowledge::kNeverSeen, VerdictReason::kNeverSeen},
                                                             {PhoneKnowledge::kOtherList, VerdictReason::kOtherList}}) {
    const PhoneGroup group = {.knowledge = knowledge, .served_as = kServer, .phones = 1};
    ExpectVerdict(Judge(group, World(), Serving(World(), Second())), PhoneVerdict::kUnproven, reason);
    ExpectVerdict(Judge(group, World(), Serving(World(), ItlOf("rec", {"rec", "cm"}, "cm", {"t1", "t2", "t3"}))),
                  PhoneVerdict::kSafeByList, VerdictReason::kNone);
  }
}

TEST(PreFlightTest, TheSilentAreUnprovenWhenSafeAndLockedWhenLocked) {
  PhoneGroup group = Holding(First());
  group.is_silent = true;
  const TrustWorld next = Serving(World(), Second());
  ExpectVerdict(Judge(group, World(), next), PhoneVerdict::kUnproven, VerdictReason::kSilent);
  EXPECT_EQ(Judge(group, World(), World()).verdict, PhoneVerdict::kSafeByList);
  TrustWorld locking = next;
  locking.tvs_nodes.clear();
  EXPECT_EQ(Judge(group, World(), locking).verdict, PhoneVerdict::kLocked);
  EXPECT_EQ(Judge(group, next, locking).verdict, PhoneVerdict::kLocked);
  PhoneGroup lost = Holding(ItlOf("x", {"x"}, "cm", {}));
  lost.is_silent = true;
  EXPECT_EQ(Judge(lost, World(), next).verdict, PhoneVerdict::kUnproven) << "somebody may have been there since";
  group.tvs_nodes.clear();
  ExpectVerdict(Judge(group, World(), next), PhoneVerdict::kUnproven, VerdictReason::kNoTvsSeen, "the better reason");
}

TEST(PreFlightTest, ForeignOnesAndThoseWithoutListsAreOutside) {
  PhoneGroup group = Holding(ItlOf("x", {"x"}, "cm", {}));
  for (const PhoneKnowledge knowledge : {PhoneKnowledge::kForeign, PhoneKnowledge::kNoLists}) {
    group.knowledge = knowledge;
    EXPECT_EQ(Judge(group, World(), TrustWorld{}).verdict, PhoneVerdict::kOutside);
  }
}

// The waiting list is signed by the next ITLRecovery: phones will ask TVS about it.
TrustWorld Waiting(const std::vector<std::string>& tvs) {
  TrustWorld world = World();
  world.served[kServer].waiting = world.served[kServer].published;
  world.served[kServer].waiting->itl = Share(ItlOf("rec2", {"rec2", "cm"}, "cm", tvs));
  return world;
}

TEST(PreFlightTest, WhatWaitsIsJudgedWithTheWorldThatItWillGoInto) {
  const PhoneGroup phones = Holding(ItlOf("rec", {"rec", "cm"}, "cm", {"t1"}));
  TrustWorld without = Waiting({"t2"});
  without.tvs_nodes.erase("n1");
  ExpectVerdict(Judge(phones, Waiting({"t1", "t2"}), without), PhoneVerdict::kLocked, VerdictReason::kSignerUnknown,
                "the only TVS that they know");
  TrustWorld not_waiting = World();
  not_waiting.tvs_nodes.erase("n1");
  EXPECT_EQ(Judge(phones, World(), not_waiting).verdict, PhoneVerdict::kSafeByList) << "without a change of signer";
}

TEST(PreFlightTest, WhatBeginsToWaitIsJudgedAtOnce) {
  EXPECT_EQ(Judge(Holding(First(), {}), World(), Waiting({"t1"})).verdict, PhoneVerdict::kUnproven);
  PreFlightGuards when_published;
  when_published.beginning_to_wait = false;
  EXPECT_EQ(Judge(Holding(First(), {}), World(), Waiting({"t1"}), when_published).verdict, PhoneVerdict::kSafeByList);
  TrustWorld other = Waiting({"t1"});
  other.served[kServer].waiting->itl = Share(ItlOf("rec3", {"rec3", "cm"}, "cm", {}));
  EXPECT_EQ(Judge(Holding(First()), Waiting({"t1"}), other).verdict, PhoneVerdict::kLocked)
      << "a signer that TVS does not answer for, compared with what is published";
}

TEST(PreFlightTest, ARemovedServersPhonesAreJudgedByThoseThatAreLeft) {
  TrustWorld both = World();
  both.served[{"tftp2", ""}].published = {
      .ctl = nullptr, .itl = Share(ItlOf("rec", {"rec", "cm9"}, "cm9", {"t1"})), .file_signer = Named("cm9")};
  TrustWorld left = both;
  left.served.erase(kServer);
  EXPECT_EQ(Judge(Holding(First()), both, left).verdict, PhoneVerdict::kSafeByList) << "the same ITLRecovery signs it";
  left.served[{"tftp2", ""}].published.itl = Share(ItlOf("x", {"rec2", "cm9"}, "cm9", {"t1"}));
  ExpectVerdict(Judge(Holding(First()), both, left), PhoneVerdict::kLocked, VerdictReason::kSignerNotVouched);
  left.served.clear();
  ExpectVerdict(Judge(Holding(First()), both, left), PhoneVerdict::kLocked, VerdictReason::kNotServed);
  EXPECT_EQ(Judge(Holding(First()), left, World()).verdict, PhoneVerdict::kSafeByList);
  EXPECT_EQ(Judge(Holding(ItlOf("x", {"cm"}, "cm", {})), left, World()).verdict, PhoneVerdict::kLocked)
      << "until a server comes that they refuse";
}

TEST(PreFlightTest, APhoneOfARemovedServerStaysWithTheOneThatItFound) {
  // Of the two that are left it refuses one already; the other one must stay as it is.
  TrustWorld world = World();
  world.served[{"tftp2", ""}].published = {
      .ctl = nullptr, .itl = Share(ItlOf("x", {"rec2", "x"}, "cm", {})), .file_signer = Named("cm")};
  TrustWorld after = world;
  after.served[kServer].published.itl = Share(ItlOf("y", {"rec2", "y"}, "cm", {}));
  PhoneGroup group = Holding(First(), {});
  group.served_as.tftp_server = "gone";
  EXPECT_EQ(Judge(group, world, after).verdict, PhoneVerdict::kLocked);
  EXPECT_EQ(Judge(group, world, world).verdict, PhoneVerdict::kLostBefore);
}

TEST(PreFlightTest, ListsMustNameAKeyThatIsHere) {
  const TrustWorld keyless = Serving(World(), ItlOf("rec", {"outside"}, "cm", {"t1", "t2"}));
  ExpectVerdict(Judge(Holding(First()), World(), keyless), PhoneVerdict::kLocked, VerdictReason::kNoKeyHere);
  PreFlightGuards unguarded;
  unguarded.next_key = false;
  EXPECT_EQ(Judge(Holding(First()), World(), keyless, unguarded).verdict, PhoneVerdict::kSafeByList);
  // Where it is so already, changes are judged as ever.
  EXPECT_EQ(Judge(Holding(First()), keyless, World()).verdict, PhoneVerdict::kSafeByList);
  TrustWorld gone = keyless;
  gone.tvs_nodes.clear();
  gone.served[kServer].published.itl = Share(ItlOf("x", {"outside"}, "cm", {"t1", "t2"}));
  EXPECT_EQ(Judge(Holding(First()), keyless, gone).verdict, PhoneVerdict::kLocked);
  // A key that is taken away is missed by whoever holds a list that names no other.
  TrustWorld without = World();
  without.signing_keys = NamedAll({"cm", "rec2"});
  EXPECT_EQ(Judge(Holding(First()), World(), without).verdict, PhoneVerdict::kSafeByList);
  ExpectVerdict(Judge(Holding(ItlOf("rec", {"rec"}, "cm", {"t1"})), World(), without), PhoneVerdict::kLocked,
                VerdictReason::kNoKeyHere);
}

// A list that names another file signer than the present one leaves phones with TVS alone, which time takes from them.
TEST(PreFlightTest, ListsMustNameAFileKeyThatIsHere) {
  const auto naming = [](const std::string& tftp) {
    return Serving(World(), ItlOf("rec", {"rec", "cm"}, tftp, {"t1", "t2"}));
  };
  ExpectVerdict(Judge(Holding(First()), World(), naming("outside")), PhoneVerdict::kLocked, VerdictReason::kFileSigner);
  TrustWorld with_key = naming("cm2");
  with_key.signing_keys.insert(Named("cm2"));
  EXPECT_EQ(Judge(Holding(First()), World(), with_key).verdict, PhoneVerdict::kSafeByTvs)
      << "until files are signed with it, TVS says that the present signer is good";
}

// Invariant 3: the second of two rollovers, when nobody has reported the first.
TEST(PreFlightTest, TwoRolloversInARowLoseSleepingPhones) {
  const auto list = [](const std::string& signer, const std::vector<std::string>& sasts) {
    return ItlOf(signer, sasts, "cm", {});
  };
  const TrustWorld first = Serving(World(), list("rec", {"rec", "cm"}));
  // The CallManager signer first, then ITLRecovery, signed by the new CallManager.
  const TrustWorld second = Serving(World(), list("rec", {"rec", "cm2"}));
  const TrustWorld third = Serving(World(), list("cm2", {"rec2", "cm2"}));
  const PhoneHoldings asleep = {.ctl = nullptr, .itl = first.served.at(kServer).published.itl};
  const PhoneHoldings awake = {.ctl = nullptr, .itl = second.served.at(kServer).published.itl};
  EXPECT_EQ(Judge(Holding({asleep}, {}), first, second).verdict, PhoneVerdict::kSafeByList);
  EXPECT_EQ(Judge(Holding({asleep, awake}, {}), second, third).verdict, PhoneVerdict::kLocked);
  EXPECT_EQ(Judge(Holding({awake}, {}), second, third).verdict, PhoneVerdict::kSafeByList) << "it has reported";
  // Twice CallManager, and ITLRecovery is not one of the two.
  const TrustWorld fourth = Serving(World(), list("rec", {"rec", "cm3"}));
  EXPECT_EQ(Judge(Holding({asleep, awake}, {}), second, fourth).verdict, PhoneVerdict::kSafeByList);
}

// Invariant 4.
TEST(PreFlightTest, ATvsCertificateAndASignerInOneStepTakeBothWaysAway) {
  const PhoneGroup phones = Holding(ItlOf("rec", {"rec", "cm"}, "cm", {"t1"}));
  const TrustWorld before = Serving(World(), ItlOf("rec", {"rec", "cm"}, "cm", {"t1"}));
  TrustWorld tvs = before;
  tvs.tvs_nodes["n1"] = NamedAll({"t1 new"});
  EXPECT_EQ(Judge(phones, before, tvs).verdict, PhoneVerdict::kSafeByList) << "the TVS alone";
  const TrustWorld signer = Serving(before, ItlOf("rec2", {"rec2", "cm"}, "cm", {"t1 new"}));
  EXPECT_EQ(Judge(phones, before, signer).verdict, PhoneVerdict::kSafeByTvs) << "the signer alone";
  const TrustWorld both = Serving(tvs, ItlOf("rec2", {"rec2", "cm"}, "cm", {"t1 new"}));
  ExpectVerdict(Judge(phones, before, both), PhoneVerdict::kLocked, VerdictReason::kSignerUnknown);
}

TEST(PreFlightTest, EveryReasonAndCureHasWords) {
  for (int reason = 1; reason <= static_cast<int>(VerdictReason::kMissedTheLast); ++reason) {
    EXPECT_FALSE(ReasonText(static_cast<VerdictReason>(reason)).empty()) << reason;
    EXPECT_FALSE(RemedyText(static_cast<VerdictReason>(reason)).empty()) << reason;
  }
  EXPECT_TRUE(ReasonText(VerdictReason::kNone).empty());
  for (int cure = 0; cure <= static_cast<int>(PhoneCure::kUnknown); ++cure) {
    EXPECT_FALSE(CureText(static_cast<PhoneCure>(cure)).empty()) << cure;
  }
}

// A million phones are a few thousand groups.
TEST(PreFlightTest, ThousandsOfGroups) {
  std::vector<PhoneGroup> groups;
  const TrustWorld next = Serving(World(), Second());
  std::vector<PhoneHoldings> may_hold;
  for (int i = 0; i < 4; ++i) {
    may_hold.push_back({.ctl = nullptr, .itl = Share(ItlOf("rec", {"rec", "cm"}, "cm", {"t1", std::to_string(i)}))});
  }
  for (int i = 0; i < 5'000; ++i) groups.push_back(Holding(may_hold, {i % 2 == 0 ? "n1" : "n2"}));
  const PreFlightResult result = RunPreFlight(groups, World(), next);
  EXPECT_EQ(result.Count(PhoneVerdict::kSafeByTvs), 7'500);
  EXPECT_EQ(result.Count(PhoneVerdict::kUnproven), 7'500) << "those at n2, whose certificate these lists do not name";
}

}  // namespace
}  // namespace trustline
