// trustctl itl on a real site: the list that it begins with, and what changes it.
#include <regex>

#include "tests/integration/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

struct SplitFile {
  std::string signature;
  std::string rest;  // the file without the signature's TLV
};

// By the format alone: TLVs of one byte, two bytes of length, the value; containers are stepped over whole.
SplitFile WithoutSignature(const std::string& file) {
  constexpr unsigned char kSignatureTag = 12;
  const auto byte = [&](size_t at) -> size_t { return static_cast<unsigned char>(file.at(at)); };
  size_t at = 0;
  while (byte(at) != kSignatureTag) at += 3 + 256 * byte(at + 1) + byte(at + 2);
  const size_t length = 256 * byte(at + 1) + byte(at + 2);
  return {file.substr(at + 3, length), file.substr(0, at) + file.substr(at + 3 + length)};
}

// What `show` prints of each record.
std::vector<std::string> Functions(const std::string& printed) {
  std::vector<std::string> functions;
  const std::regex function("\n4 +FUNCTION +2 +([^\n]+)");
  for (std::sregex_iterator match(printed.begin(), printed.end(), function), end; match != end; ++match) {
    functions.push_back((*match)[1]);
  }
  return functions;
}

TEST_F(TrustListCommandsTest, AFreshSystemHasItsFirstListWhenItIsReady) {
  EXPECT_EQ(first_show_.exit_status, 0) << first_show_.err;
  EXPECT_EQ(first_show_.err, "");
  const std::string& printed = first_show_.out;
  EXPECT_THAT(printed,
              AllOf(StartsWith("The checksum value of the ITL file:\n"),
                    HasSubstr("\n        Parse ITL File\n        ----------------\n\nVersion:        1.2\n"),
                    HasSubstr("\nBYTEPOS TAG             LENGTH  VALUE\n"), HasSubstr("\n        ITL Record #:5\n"),
                    Not(HasSubstr("ITL Record #:6")), EndsWith("\n\nThe ITL file was verified successfully.\n")));
  EXPECT_THAT(Functions(printed), ElementsAre("System Administrator Security Token", "CCM+TFTP",
                                              "System Administrator Security Token", "CAPF", "TVS"));
  const boost::json::value first = DoJson({"itl", "show", "--generation", "1", "--tftp-server", "node1"});
  EXPECT_THAT(Records(first), ElementsAre(MatchesRegex("SAST CN=ITLRECOVERY-[0-9a-f]{8},O=Trustline,OU=Voice"),
                                          MatchesRegex("CCM.TFTP CN=[^,]+,O=Trustline,OU=Voice"),
                                          MatchesRegex("SAST CN=[^,]+,O=Trustline,OU=Voice"),
                                          MatchesRegex("CAPF CN=CAPF-[0-9a-f]{8},O=Trustline,OU=Voice"),
                                          MatchesRegex("TVS CN=TVS-node1-.*,O=Trustline,OU=Voice")));
  EXPECT_TRUE(first.at("records").at(0).at("is_signer").as_bool());
  // The CallManager certificate stands in both of its roles.
  EXPECT_EQ(first.at("records").at(1).at("certificate_sha256"), first.at("records").at(2).at("certificate_sha256"));

  // Others count the same checksums.
  const std::string file = Path("first.tlv");
  Do({"itl", "export", "--generation", "1", "--tftp-server", "node1", "--out", file});
  EXPECT_THAT(printed, AllOf(HasSubstr(Shell("md5sum < " + file).substr(0, 32) + "(MD5)\n"),
                             HasSubstr(Shell("sha1sum < " + file).substr(0, 40) + "(SHA1)\n"),
                             HasSubstr(fmt::format("\nLength of ITL file: {}\n", std::filesystem::file_size(file)))));
  EXPECT_EQ(Do({"itl", "show", file}), printed);
}

TEST_F(TrustListCommandsTest, WhatIsAddedAndListedIsPublishedOnce) {
  const int64_t before = Generation();
  const Listable other = NewListable("other-node");
  EXPECT_FALSE(HasRecord(Show(), "TVS " + other.subject));
  Do({"trust", "add", "--listed", "--role", "TVS", other.file});
  WaitForGeneration(before + 1);
  EXPECT_TRUE(HasRecord(Show(), "TVS " + other.subject));
  const boost::json::value newest = DoJson({"itl", "history", "--limit", "1"}).at(0);
  EXPECT_EQ(Text(newest, "published_by"), "trustline:default/person/admin");
  EXPECT_THAT(Text(newest, "reason"), HasSubstr("of the trust store"));

  // The same again, and what is vouched for but not listed, are no change of the list.
  const auto expect_unchanged = [&] {
    WaitUntilConsidered();
    EXPECT_THAT(Do({"itl", "generate"}), AllOf(HasSubstr("ITL hash not changed"), Not(HasSubstr("published"))));
    EXPECT_EQ(Generation(), before + 1);
  };
  EXPECT_THAT(Do({"trust", "add", "--listed", "--role", "TVS", other.file}), HasSubstr("nothing changed"));
  expect_unchanged();
  Do({"trust", "add", "--role", "TVS", NewListable("only-vouched-for").file});
  expect_unchanged();
  EXPECT_THAT(ReadTestFile(system_->data() + "/log/itld.log"), HasSubstr("ITL_HASH_NOT_CHANGED"));
}

TEST_F(TrustListCommandsTest, OpenSslVerifiesWhatIsExported) {
  const std::string file = Path("ITLFile.tlv");
  Do({"itl", "export", "--tftp-server", "node1", "--out", file});
  const std::string recovery = Text(DoJson({"itl", "recovery", "show"}), "sha256");
  WriteFile("recovery.pem", Do({"trust", "show", recovery, "--pem"}));
  const SplitFile split = WithoutSignature(ReadTestFile(file));
  EXPECT_THAT(split.signature, SizeIs(256));
  WriteFile("signature", split.signature);
  WriteFile("signed", split.rest);
  Shell(fmt::format("openssl x509 -in {} -noout -pubkey > {}", Path("recovery.pem"), Path("recovery.pub")));
  const std::string verify = fmt::format("openssl dgst -sha1 -verify {} -signature {} {}", Path("recovery.pub"),
                                         Path("signature"), Path("signed"));
  EXPECT_THAT(Shell(verify), HasSubstr("Verified OK"));
  // And would say so if it were not.
  WriteFile("signed", split.rest + "x");
  EXPECT_NE(RunCommand(verify).exit_status, 0);
}

TEST_F(TrustListCommandsTest, WhatIsTakenAwayWaitsForAnAdministrator) {
  const Listable gone = NewListable("gone.example");
  AddListed(gone, "TFTP");
  const int64_t before = Generation();
  const boost::json::value old = DoJson({"itl", "history", "--limit", "1"}).at(0);

  // 1. It waits, and everybody is told.
  Do({"trust", "set", gone.fingerprint, "--unlisted"});
  const boost::json::value waiting = WaitForCandidate("waits-for-approval");
  ASSERT_THAT(waiting.at("candidate_changes").as_array(), SizeIs(1));
  EXPECT_THAT(std::string(waiting.at("candidate_changes").at(0).as_string()),
              AllOf(StartsWith("removed: TFTP " + gone.subject), HasSubstr(gone.fingerprint.substr(0, 16))));
  EXPECT_THAT(system_->Trustctl({"itl", "list"}).err,
              AllOf(StartsWith("notice: "), HasSubstr("wait for an administrator"), HasSubstr("trustctl itl publish")));
  EXPECT_EQ(Generation(), before);
  EXPECT_TRUE(HasRecord(Show(), "TFTP " + gone.subject));
  // Nobody is asked at a file.
  EXPECT_THAT(Misused({"itl", "publish", "--reason", "x"}), HasSubstr("--yes"));
  EXPECT_EQ(system_->Trustctl({"itl", "generate"}).exit_status, 0);
  EXPECT_EQ(Generation(), before);

  // 2. It is published with who and why.
  EXPECT_THAT(Do({"itl", "publish", "--yes", "--reason", "it was sold"}),
              HasSubstr(fmt::format("generation {} published", before + 1)));
  EXPECT_FALSE(HasRecord(Show(), "TFTP " + gone.subject));
  const boost::json::value newest = DoJson({"itl", "history", "--limit", "1"}).at(0);
  EXPECT_EQ(newest.at("generation").as_int64(), before + 1);
  EXPECT_TRUE(newest.at("is_current").as_bool());
  EXPECT_EQ(Text(newest, "reason"), "it was sold");
  EXPECT_EQ(Text(newest, "published_by"), "trustline:default/person/admin");
  EXPECT_THAT(Do({"itl", "history"}), AllOf(HasSubstr("it was sold"), HasSubstr("trustline:default/person/admin")));
  EXPECT_THAT(Do({"audit", "list", "--action", "itl.publish", "--limit", "1", "--output", "json"}),
              AllOf(HasSubstr("it was sold"), HasSubstr("removed: TFTP")));
  EXPECT_EQ(Do({"itl", "publish", "--yes"}), "nothing waits to be published\n");

  // 3. The one before is found by each checksum that a phone or an old tool may show.
  for (const char* hash : {"sha1", "md5", "sha256"}) {
    const boost::json::value found = DoJson({"itl", "show", "--hash", Text(old, hash)});
    EXPECT_EQ(found.at("generation").as_int64(), before) << hash;
    EXPECT_FALSE(found.at("is_current").as_bool());
    EXPECT_TRUE(HasRecord(found, "TFTP " + gone.subject));
  }
  EXPECT_THAT(Refused({"itl", "show", "--hash", std::string(40, '0')}), HasSubstr("0000"));
  EXPECT_EQ(system_->Trustctl({"itl", "diff", std::to_string(before), "current"}).exit_status, 1);
}

TEST_F(TrustListCommandsTest, ASecondTftpServerHasAListOfItsOwn) {
  const int64_t before = Generation();
  // By the command, or by itld itself if that is quicker: it is published once.
  EXPECT_THAT(Do({"itl", "server", "add", "tftp2", "--host", "tftp2.example"}), StartsWith("tftp2 is added\n"));
  EXPECT_EQ(Show("itl", "tftp2").at("generation").as_int64(), 1);
  EXPECT_THAT(Refused({"itl", "show"}), AllOf(HasSubstr("node1, tftp2"), HasSubstr("--tftp-server")));
  const std::vector<std::string> first = Records(Show());
  const std::vector<std::string> second = Records(Show("itl", "tftp2"));
  ASSERT_EQ(first.size(), second.size());
  EXPECT_EQ(second[0], first[0]);
  EXPECT_EQ(second[1], "CCM+TFTP CN=tftp2.example,O=Trustline,OU=Voice");
  EXPECT_EQ(second[2], "SAST CN=tftp2.example,O=Trustline,OU=Voice");
  for (size_t i = 3; i < first.size(); ++i) EXPECT_EQ(second[i], first[i]);
  EXPECT_EQ(Generation(), before);

  // A change of the trust store is one of both; a server that is gone has no list any more.
  const Listable shared = NewListable("shared.example");
  AddListed(shared, "TVS");
  EXPECT_TRUE(HasRecord(Show("itl", "tftp2"), "TVS " + shared.subject));
  EXPECT_THAT(Do({"itl", "server", "list"}), AllOf(HasSubstr("node1"), HasSubstr("tftp2.example")));
  Do({"itl", "server", "remove", "tftp2", "--reason", "it was a test"});
  EXPECT_THAT(Refused({"itl", "show", "--tftp-server", "tftp2"}), HasSubstr("node1"));
  EXPECT_EQ(Do({"itl", "show"}), Do({"itl", "show", "--tftp-server", "node1"}));
}

}  // namespace
}  // namespace trustline
