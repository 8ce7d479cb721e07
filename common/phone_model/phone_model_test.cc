#include "common/phone_model/phone_model.h"

#include <string>

#include "gtest/gtest.h"

namespace trustline {
namespace {

using Shared = std::shared_ptr<const PhoneList>;

Sha256Digest Certificate(const std::string& name) { return Sha256(AsBytes(name)); }

PhoneListRecord Record(const std::string& name, CertificateRole role) {
  return {.certificate = Certificate(name), .role = role};
}

PhoneListRecord Blank(CertificateRole role) { return {.role = role, .blank = true}; }

// With the keys `sasts`, TFTP server "tftp", TVS "tvs1" and "tvs2".
PhoneList Itl(const std::string& signer, const std::vector<std::string>& sasts) {
  PhoneList list{.signer = Certificate(signer), .size = 4'000};
  for (const std::string& sast : sasts) list.records.push_back(Record(sast, CertificateRole::kSast));
  list.records.push_back(Record("tftp", CertificateRole::kCcmTftp));
  list.records.push_back(Record("tvs1", CertificateRole::kTvs));
  list.records.push_back(Record("tvs2", CertificateRole::kTvs));
  return list;
}

PhoneList BlankItl(const std::string& sast) {
  return {.signer = Certificate(sast),
          .records = {Record(sast, CertificateRole::kSast), Blank(CertificateRole::kCcmTftp),
                      Blank(CertificateRole::kTvs)}};
}

PhoneList Ctl(const std::string& sast, const std::string& tftp) {
  return {.signer = Certificate(sast),
          .records = {Record(sast, CertificateRole::kSast), Record(tftp, CertificateRole::kTftp)}};
}

Shared Share(PhoneList list) { return std::make_shared<const PhoneList>(std::move(list)); }

PhoneHoldings Holds(PhoneList itl) { return {.ctl = nullptr, .itl = Share(std::move(itl))}; }
PhoneHoldings Holds(PhoneList ctl, PhoneList itl) {
  return {.ctl = Share(std::move(ctl)), .itl = Share(std::move(itl))};
}

constexpr PhoneReads kOld = {};
constexpr PhoneReads kNew = {.sha512 = true, .version_1_1 = true};

PhoneDecision Accepted(AcceptedBy by) { return {.by = by}; }
PhoneDecision Refused(RefusedFor why) { return {.why = why}; }

PhoneDecision Decide(const PhoneHoldings& holdings, const std::string& signer,
                     const std::vector<ReachableTvs>& reachable = {}) {
  return DecideList(holdings, kOld, Itl(signer, {signer}), reachable);
}

TEST(PhoneModelTest, APhoneWithoutListsTakesAnyList) {
  EXPECT_EQ(Decide({}, "anybody"), Accepted(AcceptedBy::kFirstUse));
  EXPECT_EQ(DecideFile({}, Certificate("anybody"), {}), Accepted(AcceptedBy::kFirstUse));
  EXPECT_EQ(DecideFile({}, std::nullopt, {}), Accepted(AcceptedBy::kFirstUse));
  EXPECT_TRUE(PhoneHoldings{}.TakeAnything());
}

TEST(PhoneModelTest, EitherListMakesItNoFirstUse) {
  EXPECT_EQ(Decide(Holds(Itl("a", {"a"})), "b"), Refused(RefusedFor::kNoTvs));
  const PhoneHoldings ctl_alone = {.ctl = Share(Ctl("a", "tftp")), .itl = nullptr};
  EXPECT_EQ(Decide(ctl_alone, "b"), Refused(RefusedFor::kNoTvs));
  EXPECT_FALSE(ctl_alone.TakeAnything());
}

TEST(PhoneModelTest, ASastOfTheCtlOrOfTheItlSignsLists) {
  const PhoneHoldings holdings = Holds(Ctl("of-ctl", "tftp9"), Itl("of-itl", {"of-itl", "second"}));
  EXPECT_EQ(Decide(holdings, "of-ctl"), Accepted(AcceptedBy::kCtl));
  EXPECT_EQ(Decide(holdings, "of-itl"), Accepted(AcceptedBy::kItl));
  EXPECT_EQ(Decide(holdings, "second"), Accepted(AcceptedBy::kItl));
  EXPECT_EQ(Decide(Holds(Ctl("both", "t"), Itl("both", {"both"})), "both"), Accepted(AcceptedBy::kCtl));
}

TEST(PhoneModelTest, OnlyTheRoleSastSignsLists) {
  PhoneList itl = Itl("a", {"a"});
  for (const CertificateRole role : kAllCertificateRoles) {
    if (role != CertificateRole::kSast) itl.records.push_back(Record("other", role));
  }
  EXPECT_EQ(Decide(Holds(itl), "other"), Refused(RefusedFor::kNoTvs));
}

TEST(PhoneModelTest, ABlankItlTakesAnySignerWhereTheCtlIsAbsentOrBlank) {
  EXPECT_EQ(Decide(Holds(BlankItl("a")), "b"), Accepted(AcceptedBy::kBlank));
  EXPECT_EQ(Decide(Holds(BlankItl("a")), "a"), Accepted(AcceptedBy::kItl)) << "the list is asked first";
  EXPECT_TRUE(Holds(BlankItl("a")).TakeAnything());
  EXPECT_EQ(Decide(Holds(BlankItl("a"), BlankItl("a")), "b"), Accepted(AcceptedBy::kBlank));
  const PhoneHoldings with_ctl = Holds(Ctl("a", "tftp"), BlankItl("a"));
  EXPECT_EQ(Decide(with_ctl, "b"), Refused(RefusedFor::kNoTvs));
  EXPECT_FALSE(with_ctl.TakeAnything());
  EXPECT_EQ(Decide(Holds(BlankItl("a"), Itl("a", {"a"})), "b"), Refused(RefusedFor::kNoTvs)) << "a blank CTL alone";
}

TEST(PhoneModelTest, AListIsBlankWhenItsTvsAndTftpRecordsAreBlankOrMissing) {
  PhoneList list = BlankItl("a");
  EXPECT_TRUE(list.IsBlank());
  list.records.push_back(Record("capf", CertificateRole::kCapf));
  EXPECT_TRUE(list.IsBlank()) << "CAPF does not count";
  EXPECT_TRUE(PhoneList{}.IsBlank());
  for (const CertificateRole role : {CertificateRole::kTvs, CertificateRole::kTftp, CertificateRole::kCcmTftp}) {
    PhoneList one = BlankItl("a");
    one.records.push_back(Record("server", role));
    EXPECT_FALSE(one.IsBlank()) << CertificateRoleName(role);
  }
}

TEST(PhoneModelTest, ABlankRecordNamesNobody) {
  const Sha256Digest zero = {};
  EXPECT_FALSE(BlankItl("a").Has(zero, CertificateRole::kTvs));
  PhoneList signed_by_nobody = Itl("a", {"a"});
  signed_by_nobody.signer = zero;
  PhoneList itl = Itl("a", {"a"});
  itl.records.push_back(Blank(CertificateRole::kSast));
  EXPECT_EQ(DecideList(Holds(itl), kOld, signed_by_nobody, {}), Refused(RefusedFor::kNoTvs));
}

TEST(PhoneModelTest, ATvsThatTheItlNamesIsBelieved) {
  const TvsAnswers answers = {{Certificate("b"), CertificateRole::kSast}};
  const PhoneHoldings holdings = Holds(Itl("a", {"a"}));
  EXPECT_EQ(Decide(holdings, "b", {{Certificate("tvs1"), &answers}}), Accepted(AcceptedBy::kTvs));
  EXPECT_EQ(Decide(holdings, "a", {{Certificate("tvs1"), &answers}}), Accepted(AcceptedBy::kItl))
      << "its own list is asked first";
  EXPECT_EQ(Decide(holdings, "c", {{Certificate("tvs1"), &answers}}), Refused(RefusedFor::kTvsAnswer));
}

TEST(PhoneModelTest, TvsMustSayTheRoleToo) {
  const PhoneHoldings holdings = Holds(Itl("a", {"a"}));
  const TvsAnswers as_tftp = {{Certificate("b"), CertificateRole::kTftp}};
  const TvsAnswers as_sast = {{Certificate("b"), CertificateRole::kSast}};
  EXPECT_EQ(Decide(holdings, "b", {{Certificate("tvs1"), &as_tftp}}), Refused(RefusedFor::kTvsAnswer));
  EXPECT_EQ(DecideFile(holdings, Certificate("b"), std::vector<ReachableTvs>{{Certificate("tvs1"), &as_tftp}}),
            Accepted(AcceptedBy::kTvs));
  EXPECT_EQ(DecideFile(holdings, Certificate("b"), std::vector<ReachableTvs>{{Certificate("tvs1"), &as_sast}}),
            Refused(RefusedFor::kTvsAnswer));
}

TEST(PhoneModelTest, TheFirstTvsThatAnswersAndThatTheItlNamesDecides) {
  const TvsAnswers knows = {{Certificate("b"), CertificateRole::kSast}};
  const TvsAnswers knows_not = {};
  const PhoneHoldings holdings = Holds(Itl("a", {"a"}));
  const ReachableTvs stranger{Certificate("stranger"), &knows}, first{Certificate("tvs1"), &knows_not},
      second{Certificate("tvs2"), &knows};
  EXPECT_EQ(Decide(holdings, "b", {first, second}), Refused(RefusedFor::kTvsAnswer))
      << "an invalid answer is not failed over";
  EXPECT_EQ(Decide(holdings, "b", {second, first}), Accepted(AcceptedBy::kTvs));
  EXPECT_EQ(Decide(holdings, "b", {stranger, second}), Accepted(AcceptedBy::kTvs)) << "a connection that fails is";
  EXPECT_EQ(Decide(holdings, "b", {stranger, first}), Refused(RefusedFor::kTvsAnswer));
  EXPECT_EQ(Decide(holdings, "b", {stranger}), Refused(RefusedFor::kNoTvs));
}

TEST(PhoneModelTest, PhonesLookForTvsInTheItlOnly) {
  const TvsAnswers answers = {{Certificate("b"), CertificateRole::kSast}};
  PhoneList ctl = Ctl("a", "tftp");
  ctl.records.push_back(Record("tvs9", CertificateRole::kTvs));
  EXPECT_EQ(Decide(Holds(ctl, Itl("a", {"a"})), "b", {{Certificate("tvs9"), &answers}}), Refused(RefusedFor::kNoTvs));
  const PhoneHoldings no_itl = {.ctl = Share(ctl), .itl = nullptr};
  EXPECT_EQ(Decide(no_itl, "b", {{Certificate("tvs9"), &answers}}), Refused(RefusedFor::kNoTvs));
}

TEST(PhoneModelTest, WhatItCannotReadIsRefusedWhoeverSignedIt) {
  PhoneList sha512 = Itl("a", {"a"}), version = sha512, large = sha512, key = sha512, sasts = Itl("a", {"a", "b", "c"});
  sha512.digest = DigestAlgorithm::kSha512;
  version.signer_version = kSignerVersionWithEc;
  large.size = 65'537;
  key.largest_rsa_bits = 3072;
  const PhoneHoldings holdings = Holds(Itl("a", {"a"}));
  for (const PhoneList& list : {sha512, version}) {
    EXPECT_EQ(DecideList(holdings, kOld, list, {}), Refused(RefusedFor::kForm));
    EXPECT_EQ(DecideList({}, kOld, list, {}), Refused(RefusedFor::kForm)) << "at first use too";
    EXPECT_EQ(DecideList(holdings, kNew, list, {}), Accepted(AcceptedBy::kItl));
  }
  EXPECT_FALSE(CanRead({.sha512 = true}, version));
  EXPECT_FALSE(CanRead({.version_1_1 = true}, sha512));
  for (const PhoneList& list : {large, key, sasts}) {
    EXPECT_EQ(DecideList(holdings, kNew, list, {}), Refused(RefusedFor::kForm));
    EXPECT_EQ(DecideList({}, kNew, list, {}), Refused(RefusedFor::kForm));
  }
  large.size = 65'536;
  key.largest_rsa_bits = 2048;
  EXPECT_TRUE(CanRead(kOld, large));
  EXPECT_TRUE(CanRead(kOld, key));
  EXPECT_TRUE(CanRead(kOld, Itl("a", {"a", "b"})));
}

TEST(PhoneModelTest, TheSameListSignedByAnother) {
  const PhoneHoldings holdings = Holds(Itl("a", {"a", "b"}));
  PhoneList offered = Itl("c", {"c"});
  EXPECT_EQ(DecideList(holdings, kOld, offered, {}), Refused(RefusedFor::kNoTvs));
  EXPECT_EQ(DecideListSignedBy(Certificate("b"), holdings, kOld, offered, {}), Accepted(AcceptedBy::kItl));
  offered.digest = DigestAlgorithm::kSha512;
  EXPECT_EQ(DecideListSignedBy(Certificate("b"), holdings, kOld, offered, {}), Refused(RefusedFor::kForm));
}

TEST(PhoneModelTest, ATftpServerOfEitherListSignsFiles) {
  const PhoneHoldings holdings = Holds(Ctl("a", "of-ctl"), Itl("a", {"a"}));
  EXPECT_EQ(DecideFile(holdings, Certificate("of-ctl"), {}), Accepted(AcceptedBy::kCtl));
  EXPECT_EQ(DecideFile(holdings, Certificate("tftp"), {}), Accepted(AcceptedBy::kItl));
  EXPECT_EQ(DecideFile(holdings, Certificate("a"), {}), Refused(RefusedFor::kNoTvs)) << "a SAST signs no file";
  EXPECT_EQ(DecideFile(Holds(BlankItl("a")), Certificate("b"), {}), Accepted(AcceptedBy::kBlank));
}

TEST(PhoneModelTest, AnUnsignedFileIsTakenOnlyByWhoTakesAnything) {
  const TvsAnswers answers;
  EXPECT_EQ(DecideFile(Holds(BlankItl("a")), std::nullopt, {}), Accepted(AcceptedBy::kBlank));
  EXPECT_FALSE(DecideFile(Holds(Ctl("a", "tftp"), BlankItl("a")), std::nullopt, {}).accepted());
  EXPECT_FALSE(
      DecideFile(Holds(Itl("a", {"a"})), std::nullopt, std::vector<ReachableTvs>{{Certificate("tvs1"), &answers}})
          .accepted());
}

TEST(PhoneModelTest, AtItsStartTheCtlCountsAsSoonAsItIsTaken) {
  // The ITL's signer stands in the new CTL alone.
  const PhoneOffer offer = {.ctl = Share([] {
                              PhoneList ctl = Ctl("a", "tftp");
                              ctl.records.push_back(Record("new", CertificateRole::kSast));
                              return ctl;
                            }()),
                            .itl = Share(Itl("new", {"new"})),
                            .file_signer = Certificate("tftp")};
  const PhoneStart start = StartPhone(Holds(Itl("a", {"a"})), kOld, offer, {});
  EXPECT_EQ(start.ctl, Accepted(AcceptedBy::kItl));
  EXPECT_EQ(start.itl, Accepted(AcceptedBy::kCtl));
  EXPECT_TRUE(start.file.accepted());
  EXPECT_EQ(start.holdings, (PhoneHoldings{offer.ctl, offer.itl}));
  EXPECT_TRUE(start.follows());
}

TEST(PhoneModelTest, ANewPhoneTakesTheCtlAndThenLooksForTheItlsSignerThere) {
  const PhoneOffer offer = {
      .ctl = Share(Ctl("a", "tftp")), .itl = Share(Itl("b", {"b"})), .file_signer = Certificate("tftp")};
  const PhoneStart start = StartPhone({}, kOld, offer, {});
  EXPECT_EQ(start.ctl, Accepted(AcceptedBy::kFirstUse));
  EXPECT_EQ(start.itl, Refused(RefusedFor::kNoTvs));
  EXPECT_EQ(start.holdings, (PhoneHoldings{offer.ctl, nullptr}));
  EXPECT_FALSE(start.follows());
}

TEST(PhoneModelTest, ACtlThatIsRefusedKeepsTheOldOne) {
  const PhoneHoldings holdings = Holds(Ctl("a", "tftp9"), Itl("a", {"a"}));
  const PhoneOffer offer = {
      .ctl = Share(Ctl("b", "tftp")), .itl = Share(Itl("a", {"a", "b"})), .file_signer = Certificate("tftp9")};
  const PhoneStart start = StartPhone(holdings, kOld, offer, {});
  EXPECT_EQ(start.ctl, Refused(RefusedFor::kNoTvs)) << "the new ITL comes too late for it";
  EXPECT_EQ(start.itl, Accepted(AcceptedBy::kCtl));
  EXPECT_EQ(start.file, Accepted(AcceptedBy::kCtl));
  EXPECT_EQ(start.holdings, (PhoneHoldings{holdings.ctl, offer.itl}));
  EXPECT_FALSE(start.follows());
}

TEST(PhoneModelTest, TheConfigurationIsJudgedByWhatWasJustTaken) {
  PhoneList next = Itl("a", {"a"});
  next.records.push_back(Record("tftp2", CertificateRole::kTftp));
  PhoneOffer offer = {.ctl = nullptr, .itl = Share(next), .file_signer = Certificate("tftp2")};
  const PhoneHoldings holdings = Holds(Itl("a", {"a"}));
  EXPECT_TRUE(StartPhone(holdings, kOld, offer, {}).follows());
  next.signer = Certificate("b");
  offer.itl = Share(next);
  const PhoneStart refused = StartPhone(holdings, kOld, offer, {});
  EXPECT_FALSE(refused.file.accepted());
  EXPECT_EQ(refused.holdings, holdings);
}

TEST(PhoneModelTest, WithoutAnOfferItKeepsWhatItHas) {
  const PhoneHoldings holdings = Holds(Ctl("a", "tftp"), Itl("a", {"a"}));
  const PhoneStart start =
      StartPhone(holdings, kOld, {.ctl = nullptr, .itl = nullptr, .file_signer = Certificate("tftp")}, {});
  EXPECT_EQ(start.ctl, std::nullopt);
  EXPECT_EQ(start.itl, std::nullopt);
  EXPECT_EQ(start.holdings, holdings);
  EXPECT_TRUE(start.follows());
}

TEST(PhoneModelTest, WhatItHoldsAlreadyIsNoDecision) {
  // By what it says, not by where it lies in memory; and even in a form that the phone should not be able to read.
  PhoneList list = Itl("gone", {"a"});
  list.digest = DigestAlgorithm::kSha512;
  const PhoneStart start =
      StartPhone(Holds(list), kOld, {.ctl = nullptr, .itl = Share(list), .file_signer = Certificate("tftp")}, {});
  EXPECT_EQ(start.itl, std::nullopt);
  EXPECT_TRUE(start.follows());
}

TEST(PhoneModelTest, TheSameNameWithAnotherKeyIsAnotherSigner) {
  EXPECT_EQ(Decide(Holds(Itl("a", {"a"})), "a with another key"), Refused(RefusedFor::kNoTvs));
}

}  // namespace
}  // namespace trustline
