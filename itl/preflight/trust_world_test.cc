#include "itl/preflight/trust_world.h"

#include "gtest/gtest.h"
#include "itl/preflight/preflight_testing.h"

namespace trustline {
namespace {

const ServedAs kServer{"tftp1", ""};

// One server, whose list is signed by "rec" and names both of its TVS nodes.
TrustWorld World() {
  TrustWorld world;
  world.served[kServer].published = {
      .ctl = nullptr, .itl = Share(ItlOf("rec", {"rec", "cm"}, "cm", {"t1", "t2"})), .file_signer = Named("cm")};
  for (const char* name : {"rec", "cm"}) world.vouched.insert({Named(name), CertificateRole::kSast});
  world.vouched.insert({Named("cm"), CertificateRole::kCcmTftp});
  for (const char* name : {"t1", "t2"}) world.vouched.insert({Named(name), CertificateRole::kTvs});
  world.tvs_nodes = {{"n1", NamedAll({"t1"})}, {"n2", NamedAll({"t2"})}};
  world.signing_keys = NamedAll({"rec", "cm"});
  return world;
}

// The server's list after `change`.
template <typename Change>
TrustWorld WithItl(const Change& change) {
  TrustWorld world = World();
  PhoneList list = *world.served[kServer].published.itl;
  change(list);
  world.served[kServer].published.itl = Share(list);
  return world;
}

TEST(TrustWorldTest, APhoneGetsItsOwnListsThenItsServersThenThoseOfAnyServer) {
  TrustWorld world = World();
  world.served[{"tftp1", "SEP1"}] = {};
  world.served[{"tftp2", ""}] = {};
  const auto of = [&](const ServedAs& served_as) { return world.OffersFor(served_as); };
  EXPECT_EQ(of({"tftp1", "SEP1"}), std::vector<const ServedOffers*>{(&world.served[{"tftp1", "SEP1"}])});
  EXPECT_EQ(of({"tftp1", "SEP2"}), std::vector<const ServedOffers*>{&world.served[kServer]});
  EXPECT_EQ(of({"gone", ""}), (std::vector<const ServedOffers*>{&world.served[kServer], &world.served[{"tftp2", ""}]}));
  EXPECT_EQ(of({"gone", "SEP1"}).size(), 2) << "nobody gets another device's list";
  EXPECT_EQ(world.ServedTo({"tftp1", "SEP2"}).front()->first, kServer);
  EXPECT_TRUE(TrustWorld{}.OffersFor(kServer).empty());
}

TEST(TakesNothingAwayTest, TheSameAndMoreTakeNothing) {
  EXPECT_TRUE(TakesNothingAway(World(), World()));
  EXPECT_TRUE(TakesNothingAway(World(), WithItl([](PhoneList& list) {
                                 list.records.push_back({Named("capf"), CertificateRole::kCapf});
                                 list.size += 800;
                               })));
  TrustWorld more = World();
  more.vouched.insert({Named("new"), CertificateRole::kSast});
  more.signing_keys.insert(Named("new"));
  more.tvs_nodes["n1"].insert(Named("t1 new"));
  more.tvs_nodes["n3"] = NamedAll({"t3"});
  more.served[{"tftp2", ""}] = {};
  EXPECT_TRUE(TakesNothingAway(World(), more));
  EXPECT_FALSE(TakesNothingAway(more, World()));
}

TEST(TakesNothingAwayTest, ARecordLessOrAnotherSignerTakesSomething) {
  EXPECT_FALSE(TakesNothingAway(World(), WithItl([](PhoneList& list) { list.records.pop_back(); })));
  EXPECT_FALSE(TakesNothingAway(World(), WithItl([](PhoneList& list) { list.records.back().blank = true; })));
  EXPECT_FALSE(TakesNothingAway(World(), WithItl([](PhoneList& list) { list.signer = Named("cm"); })));
}

TEST(TakesNothingAwayTest, AFormThatFewerReadTakesSomething) {
  for (const auto& change : std::vector<std::function<void(PhoneList&)>>{
           [](PhoneList& list) { list.digest = DigestAlgorithm::kSha512; },
           [](PhoneList& list) { list.signer_version = kSignerVersionWithEc; },
           [](PhoneList& list) { list.size = 65'537; },
           [](PhoneList& list) { list.largest_rsa_bits = 4096; },
           [](PhoneList& list) {
             list.records.push_back({Named("third"), CertificateRole::kSast});
           },
       }) {
    EXPECT_FALSE(TakesNothingAway(World(), WithItl(change)));
    EXPECT_TRUE(TakesNothingAway(WithItl(change), WithItl(change))) << "it was so before";
  }
}

TEST(TakesNothingAwayTest, WhatTvsAndKeysAreGoneTakesSomething) {
  TrustWorld less = World();
  less.vouched.erase({Named("rec"), CertificateRole::kSast});
  EXPECT_FALSE(TakesNothingAway(World(), less)) << "phones may have to ask about the signer";
  less = World();
  less.vouched.erase({Named("cm"), CertificateRole::kCcmTftp});
  EXPECT_FALSE(TakesNothingAway(World(), less)) << "or about that of the files";
  TrustWorld stranger = World();
  stranger.vouched.insert({Named("nobody's"), CertificateRole::kCapf});
  EXPECT_TRUE(TakesNothingAway(stranger, World())) << "nobody asks about it";
  less = World();
  less.tvs_nodes["n2"].clear();
  EXPECT_FALSE(TakesNothingAway(World(), less));
  less = World();
  less.tvs_nodes.erase("n2");
  EXPECT_FALSE(TakesNothingAway(World(), less));
  less = World();
  less.signing_keys.erase(Named("rec"));
  EXPECT_FALSE(TakesNothingAway(World(), less));
}

TEST(TakesNothingAwayTest, AnotherOfferTakesSomething) {
  TrustWorld other = World();
  other.served[kServer].published.file_signer = Named("cm2");
  EXPECT_FALSE(TakesNothingAway(World(), other));
  other = World();
  other.served[kServer].published.ctl = Share(CtlOf("rec", "rec"));
  EXPECT_FALSE(TakesNothingAway(World(), other)) << "a CTL can be refused";
  EXPECT_FALSE(TakesNothingAway(other, World())) << "a server's list is not the same without its CTL";
  other = World();
  other.served.clear();
  EXPECT_FALSE(TakesNothingAway(World(), other));
}

TEST(TakesNothingAwayTest, AListOfItsOwnIsComparedWithThatOfAllPhones) {
  TrustWorld own = World();
  own.served[{"tftp1", "SEP1"}] = own.served[kServer];
  EXPECT_TRUE(TakesNothingAway(World(), own));
  own.served[{"tftp1", "SEP1"}] =
      WithItl([](PhoneList& list) { list.digest = DigestAlgorithm::kSha512; }).served[kServer];
  EXPECT_FALSE(TakesNothingAway(World(), own));
}

TEST(TakesNothingAwayTest, WhatTheChangeMakesWaitCountsToo) {
  const auto waiting = [](const std::string& signer, const std::vector<std::string>& tvs) {
    TrustWorld world = World();
    world.served[kServer].waiting = world.served[kServer].published;
    world.served[kServer].waiting->itl = Share(ItlOf(signer, {"rec", "cm"}, "cm", tvs));
    return world;
  };
  EXPECT_TRUE(TakesNothingAway(World(), waiting("rec", {"t1", "t2", "t3"})));
  EXPECT_FALSE(TakesNothingAway(World(), waiting("rec", {"t1"})));
  EXPECT_TRUE(TakesNothingAway(waiting("rec", {"t1"}), waiting("rec", {"t1"}))) << "it waited before";
  TrustWorld unvouched = waiting("next", {"t1", "t2"});
  TrustWorld vouched = unvouched;
  vouched.vouched.insert({Named("next"), CertificateRole::kSast});
  EXPECT_FALSE(TakesNothingAway(vouched, unvouched)) << "phones will have to ask about the signer";
}

TEST(TakesNothingAwayTest, WhatIsChangedForOthersTakesNothingFromAPhone) {
  TrustWorld before = World(), after = before;
  PhoneList sha512 = *before.served[kServer].published.itl;
  sha512.digest = DigestAlgorithm::kSha512;
  const ServedAs own = {kServer.tftp_server, "SEP000000000001"};
  after.served[own].published = before.served[kServer].published;
  after.served[own].published.itl = std::make_shared<const PhoneList>(sha512);
  EXPECT_FALSE(TakesNothingAway(before, after));
  EXPECT_TRUE(TakesNothingAway(before, after, kServer, {}));
  EXPECT_TRUE(TakesNothingAway(before, after, {}, {})) << "nor from a phone of an unknown server";
  EXPECT_FALSE(TakesNothingAway(before, after, own, {}));
  EXPECT_TRUE(TakesNothingAway(before, after, own, {.sha512 = true})) << "who reads it loses nothing";
  EXPECT_TRUE(TakesNothingAway(after, before, own, {})) << "and all read what comes instead";
}

}  // namespace
}  // namespace trustline
