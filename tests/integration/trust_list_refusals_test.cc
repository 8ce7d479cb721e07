// What phones could not load or would be harmed by is not published, whoever orders it.
#include "tests/integration/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(TrustListCommandsTest, AThirdSastIsTrustedButNotListed) {
  const int64_t before = Generation();
  const std::vector<std::string> records = Records(Show());
  const Listable third = NewListable("third-sast.example");
  Do({"trust", "add", "--listed", "--role", "SAST", third.file});
  const boost::json::value refused = WaitForCandidate("refused");
  const auto reason = AllOf(HasSubstr("3 SAST"), HasSubstr("no more than 2"),
                            HasSubstr(third.fingerprint.substr(0, 16)), HasSubstr("--unlisted"));
  EXPECT_THAT(Text(refused, "candidate_reason"), reason);
  const ProgramResult published = system_->Trustctl({"itl", "publish", "--yes", "--reason", "I insist"});
  EXPECT_EQ(published.exit_status, 1);
  EXPECT_THAT(published.out, reason);
  EXPECT_EQ(Generation(), before);
  EXPECT_EQ(Records(Show()), records);
  EXPECT_THAT(Do({"verify", third.file, "--role", "SAST"}), HasSubstr("valid"));

  Do({"trust", "set", third.fingerprint, "--unlisted"});
  WaitForCandidate("none");
  EXPECT_EQ(Generation(), before);
}

TEST_F(TrustListCommandsTest, AListThatPhonesCannotLoadIsRefusedWithWhatCouldGo) {
  constexpr size_t kMany = 45;
  const int64_t before = Generation();
  const std::vector<std::string> records = Records(Show());
  std::vector<std::string> add = {"trust", "add", "--listed", "--role", "CCM"};
  std::vector<Listable> many;
  for (size_t i = 0; i < kMany; ++i) {
    many.push_back(NewListable(fmt::format("many{}.example", i)));
    add.push_back(many.back().file);
  }
  Do(add);
  const boost::json::value refused = WaitForCandidate("refused");
  EXPECT_THAT(Text(refused, "candidate_reason"),
              AllOf(HasSubstr(fmt::format("{} records", records.size() + kMany)), HasSubstr("at most 65536"),
                    HasSubstr("TVS can vouch for CCM "), HasSubstr("trustctl trust set")));
  EXPECT_EQ(refused.at("candidate_changes").as_array().size(), kMany);
  const ProgramResult published = system_->Trustctl({"itl", "publish", "--yes", "--reason", "I insist"});
  EXPECT_EQ(published.exit_status, 1);
  EXPECT_THAT(published.out, HasSubstr("65536"));
  EXPECT_EQ(Generation(), before);
  EXPECT_EQ(Records(Show()), records);

  // As many as fit are published by themselves, once enough of them are gone.
  for (size_t i = kMany / 2; i < kMany; ++i) Do({"trust", "remove", many[i].fingerprint});
  WaitUntilConsidered();
  EXPECT_EQ(Generation(), before + 1);
  EXPECT_LE(List().at("size").as_int64(), 65'536);
  EXPECT_EQ(Records(Show()).size(), records.size() + kMany / 2);
  for (size_t i = 0; i < kMany / 2; ++i) Do({"trust", "remove", many[i].fingerprint});
  WaitUntilConsidered();
  Publish("tidied");
  EXPECT_EQ(Records(Show()), records);
}

TEST_F(TrustListCommandsTest, Sha512IsForPhonesThatAreKnownToReadIt) {
  const int64_t before = Generation();
  const std::string phone = "SEP00112233AA55";
  const std::string old_phone = "SEP00112233AA66";
  Do({"device", "add", phone, "--model", "8845"});
  Do({"device", "add", old_phone, "--model", "7911"});
  const std::vector<std::string> set = {"itl", "settings", "set", "--digest", "sha512"};
  EXPECT_THAT(Refused(set), AllOf(HasSubstr("2 of 2"), HasSubstr("SHA-512"), HasSubstr("trustctl itl able")));
  EXPECT_THAT(Refused({"itl", "device", "set", phone, "--digest", "sha512"}), HasSubstr("trustctl itl able --device"));
  Do({"itl", "able", "--model", "8845", "--sha512"});
  EXPECT_THAT(Refused(set), HasSubstr("1 of 2"));

  // One that can has a list of its own.
  Do({"itl", "device", "set", phone, "--digest", "sha512"});
  const boost::json::value own = DoJson({"itl", "show", "--device", phone});
  EXPECT_EQ(Text(own, "digest"), "SHA-512");
  EXPECT_EQ(Text(own, "file_name"), "ITLFile.tlv");
  EXPECT_EQ(Records(own), Records(Show()));
  EXPECT_EQ(Text(Show(), "digest"), "SHA-1");
  Do({"itl", "device", "remove", phone});
  EXPECT_THAT(Refused({"itl", "show", "--device", phone}), HasSubstr("no trust list of its own"));
  EXPECT_EQ(Generation(), before);

  // All can: the list of all changes once an administrator has looked at it.
  Do({"itl", "able", "--device", old_phone, "--sha512"});
  Do(set);
  EXPECT_EQ(WaitForCandidate("waits-for-approval").at("candidate_changes").at(0), "digest: SHA-1 -> SHA-512");
  EXPECT_EQ(Text(Show(), "digest"), "SHA-1");
  Publish("all phones read it");
  EXPECT_EQ(Text(Show(), "digest"), "SHA-512");
  EXPECT_TRUE(Show().at("verified").as_bool());
  Do({"itl", "settings", "set", "--digest", "sha1"});
  WaitForCandidate("waits-for-approval");
  Publish("as before");
  // Nobody has said what they hold, so that they would be unproven in every later change of a signer.
  for (const std::string& device : {phone, old_phone}) Do({"device", "retire", device, "--reason", "the test is over"});
}

}  // namespace
}  // namespace trustline
