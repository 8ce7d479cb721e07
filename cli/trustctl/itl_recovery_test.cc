// trustctl itl reset and recovery against an itld whose answers the test decides, with real keys and lists.
#include <sys/stat.h>

#include <boost/json/parse.hpp>

#include "cli/trustctl/itl_testing.h"
#include "cli/trustctl/list_resigning.h"
#include "cli/trustctl/terminal_testing.h"
#include "itl/trust_list/difference.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ItlRecoveryTest : public TrustListsFixture {
 protected:
  static TrustList Decode(const std::string& bytes) { return *DecodeTrustList(AsBytes(bytes)); }

  // With ITLRecovery no SAST of it any more.
  static std::string SignedByAnother(const std::string& vector) {
    const Sha256Digest kept = VectorKey("callmanager.pem").certificate.sha256();
    return SignAnew(VectorList(vector), VectorKey("tvs.pem"), kept, absl::Now())->file;
  }
};

TEST_F(ItlRecoveryTest, ResetWithTheKeysThatItldHas) {
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const ProgramResult local =
      Run({"itl", "reset", "--local-key", "--reason", "locked", "--tftp-server", "tftp1", "--without-node", "n"});
  EXPECT_EQ(local.exit_status, 0) << local.err;
  EXPECT_EQ(local.out, "ITLFile.tlv of tftp1: generation 2 published\n");
  EXPECT_FALSE(lists_.reset.recovery());
  EXPECT_EQ(lists_.reset.kind(), v1::TRUST_LIST_KIND_ITL);
  EXPECT_EQ(lists_.reset.tftp_server(), "tftp1");
  EXPECT_EQ(lists_.reset.reason(), "locked");
  EXPECT_THAT(lists_.reset.without_nodes(), ElementsAre("n"));
  const ProgramResult back = Run({"itl", "reset", "--recovery", "--reason", "back", "--output", "json"});
  EXPECT_EQ(boost::json::parse(back.out).at("signed_with"), "recovery");
  EXPECT_TRUE(lists_.reset.recovery());
  EXPECT_EQ(Run({"ctl", "reset", "--recovery", "--reason", "back", "--without-node", "n"}).exit_status, 0);
  EXPECT_EQ(lists_.reset.kind(), v1::TRUST_LIST_KIND_CTL);
  EXPECT_TRUE(lists_.reset.recovery());
  EXPECT_EQ(lists_.reset.tftp_server(), "");
  EXPECT_THAT(lists_.reset.without_nodes(), ElementsAre("n"));
  EXPECT_TRUE(lists_.published_signed.empty());

  lists_.outcome.Clear();
  const ProgramResult nothing = Run({"ctl", "reset", "--recovery", "--reason", "back"});
  EXPECT_EQ(nothing.exit_status, 1);
  EXPECT_THAT(nothing.err, AllOf(HasSubstr("no CTL is published"), HasSubstr("trustctl ctl mixed-mode on")));
}

TEST_F(ItlRecoveryTest, ACtlIsSignedWithAKeyFileToo) {
  SetRecovery("itlrecovery.pem");
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  const std::vector<std::string> command = {"ctl",
                                            "reset",
                                            "--recovery-key",
                                            WriteKeyFile("callmanager.pem"),
                                            "--passphrase-file",
                                            WritePassphraseFile(),
                                            "--reason",
                                            "ITLRecovery is lost"};
  EXPECT_THAT(Run(command).err, AllOf(HasSubstr("no CTL is published"), HasSubstr("trustctl ctl mixed-mode on")));
  lists_.AddCtl(1, ReadVectorFile("ITLFile-sha512.tlv"));
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const ProgramResult reset = Run(command);
  EXPECT_EQ(reset.exit_status, 0) << reset.err;
  ASSERT_EQ(lists_.published_signed.size(), 1u);
  const v1::PublishSignedRequest& request = lists_.published_signed[0];
  EXPECT_EQ(request.kind(), v1::TRUST_LIST_KIND_CTL);
  EXPECT_EQ(request.tftp_server(), "");
  EXPECT_EQ(request.device(), "");
  EXPECT_EQ(request.reason(), "ITLRecovery is lost");
  EXPECT_EQ(VerifyTrustList(Decode(request.file()))->sha256(), VectorKey("callmanager.pem").certificate.sha256());
  EXPECT_EQ(Decode(request.file()).header().digest, DigestAlgorithm::kSha512);
}

TEST_F(ItlRecoveryTest, ResetWithAKeyFileSignsHereAndSendsNoKey) {
  SetRecovery("itlrecovery.pem");
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  lists_.Add("tftp1", "SEP001122334455", 4, ReadVectorFile("ITLFile-sha512.tlv"));
  lists_.Add("tftp2", "", 2, ReadVectorFile("ITLFile-blank.tlv"));
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  // The CallManager's key is the second SAST of all vectors but one.
  const std::string key_file = WriteKeyFile("callmanager.pem");
  const ProgramResult reset = Run({"itl", "reset", "--recovery-key", key_file, "--passphrase-file",
                                   WritePassphraseFile(), "--reason", "ITLRecovery is lost", "--without-node", "n"});
  EXPECT_EQ(reset.exit_status, 0) << reset.err;
  EXPECT_EQ(reset.err, "");
  EXPECT_EQ(std::ranges::count(reset.out, '\n'), 3);
  ASSERT_EQ(lists_.published_signed.size(), 3u);
  const std::map<std::string, std::string> expected = {
      {"tftp1/", "ITLFile-sha1.tlv"}, {"tftp1/SEP001122334455", "ITLFile-sha512.tlv"}, {"tftp2/", "ITLFile-blank.tlv"}};
  for (const v1::PublishSignedRequest& request : lists_.published_signed) {
    const TrustList before = Decode(ReadVectorFile(expected.at(request.tftp_server() + "/" + request.device())));
    const TrustList after = Decode(request.file());
    ASSERT_OK_AND_ASSIGN(const Certificate signer, VerifyTrustList(after));
    EXPECT_EQ(signer, VectorKey("callmanager.pem").certificate);
    const std::vector<ListDifference> differences = DifferencesOf(before, after);
    ASSERT_EQ(differences.size(), 1u);
    EXPECT_EQ(differences[0].kind, ListDifference::Kind::kSigner);
    EXPECT_LT(absl::AbsDuration(after.header().timestamp - absl::Now()), absl::Minutes(2));
    EXPECT_EQ(request.kind(), v1::TRUST_LIST_KIND_ITL);
    EXPECT_EQ(request.reason(), "ITLRecovery is lost");
    EXPECT_THAT(request.without_nodes(), ElementsAre("n"));
    EXPECT_THAT(request.SerializeAsString(), Not(HasSubstr(std::string(kPassphrase))));
  }
}

TEST_F(ItlRecoveryTest, AForeignKeyTakesThePlaceOfTheOtherSast) {
  SetRecovery("itlrecovery.pem");
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  AddOutcome(v1::PublishResponse::OUTCOME_PUBLISHED);
  const ProgramResult reset = Run({"itl", "reset", "--recovery-key", WriteKeyFile("tvs.pem"), "--passphrase-file",
                                   WritePassphraseFile(), "--reason", "r"});
  EXPECT_EQ(reset.exit_status, 0) << reset.err;
  EXPECT_THAT(reset.err, AllOf(HasSubstr("warning: ITL of tftp1, generation 1"), HasSubstr("is no SAST of it"),
                               HasSubstr("takes the place of CN=cucm-pub.example")));
  ASSERT_EQ(lists_.published_signed.size(), 1u);
  const TrustList after = Decode(lists_.published_signed[0].file());
  EXPECT_EQ(VerifyTrustList(after)->sha256(), VectorKey("tvs.pem").certificate.sha256());
  EXPECT_EQ(after.records.size(), 5u);
  EXPECT_EQ(*after.records[0].certificate, VectorKey("itlrecovery.pem").certificate);
  EXPECT_EQ(std::ranges::count_if(after.records, [](const auto& record) { return record.role_code == 0; }), 2);
}

TEST_F(ItlRecoveryTest, ResetWithAKeyFileIsAllOrNothingBeforeItSends) {
  const std::string key_file = WriteKeyFile("callmanager.pem");
  const std::string passphrase_file = WritePassphraseFile();
  const std::vector<std::string> command = {
      "itl", "reset", "--recovery-key", key_file, "--passphrase-file", passphrase_file, "--reason", "r"};
  EXPECT_THAT(Run(command).err, HasSubstr("no ITL is published"));
  std::string changed = ReadVectorFile("ITLFile-sha1.tlv");
  changed.back() = static_cast<char>(changed.back() ^ 1);
  lists_.Add("tftp1", "", 1, changed);
  lists_.Add("tftp2", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  const ProgramResult not_verified = Run(command);
  EXPECT_EQ(not_verified.exit_status, 1);
  EXPECT_THAT(not_verified.err, HasSubstr("ITL of tftp1, generation 1: "));
  EXPECT_TRUE(lists_.published_signed.empty());

  lists_.Add("tftp1", "", 2, ReadVectorFile("ITLFile-sha512.tlv"));
  lists_.fail_signed_at = 1;
  const ProgramResult failed = Run(command);
  EXPECT_EQ(failed.exit_status, 1);
  EXPECT_THAT(failed.err, HasSubstr("1 of 2 lists were sent before and stay so"));

  lists_.fail_signed_at = lists_.published_signed.size();
  EXPECT_THAT(Run(command).err, StartsWith("trustctl: the database is away"));

  WritePassphraseFile("another passphrase");
  EXPECT_THAT(Run(command).err, HasSubstr("callmanager.pem.p12: "));
  EXPECT_EQ(Run({"itl", "reset", "--recovery-key", key_file, "--reason", "r"}).exit_status, 2);
  EXPECT_EQ(
      Run({"itl", "reset", "--recovery-key", "/nonexistent", "--passphrase-file", passphrase_file, "--reason", "r"})
          .exit_status,
      1);
}

TEST_F(ItlRecoveryTest, ShowExportAndImport) {
  EXPECT_THAT(Run({"itl", "recovery", "show"}).err, HasSubstr("no ITLRecovery key yet"));
  SetRecovery("itlrecovery.pem");
  EXPECT_THAT(Run({"itl", "recovery", "show"}).out, HasSubstr("CN=itlrecovery.example"));
  lists_.recovery = VectorKey("itlrecovery.pem");
  const std::string out = PathOf("recovery.p12");
  const std::string passphrase_file = WritePassphraseFile();
  const ProgramResult exported = Run({"itl", "recovery", "export", "--out", out, "--passphrase-file", passphrase_file});
  EXPECT_EQ(exported.exit_status, 0) << exported.err;
  EXPECT_THAT(exported.out, HasSubstr("trustctl itl recovery drill"));
  struct stat facts;
  ASSERT_EQ(stat(out.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(const CertifiedKey opened, ReadPkcs12(AsBytes(ReadFile(out)), SecretBytes(kPassphrase)));
  EXPECT_EQ(opened.certificate, lists_.recovery->certificate);
  EXPECT_THAT(Run({"itl", "recovery", "export", "--out", out, "--passphrase-file", passphrase_file}).err,
              HasSubstr("--force"));

  AddOutcome(v1::PublishResponse::OUTCOME_WAITS, "the signer is new");
  const ProgramResult imported =
      Run({"itl", "recovery", "import", out, "--passphrase-file", passphrase_file, "--reason", "restored", "--yes"});
  EXPECT_EQ(imported.exit_status, 0) << imported.err;
  EXPECT_THAT(imported.out, AllOf(HasSubstr("CN=new recovery"), HasSubstr("waits: the signer is new")));
  EXPECT_EQ(lists_.replaced.file(), ReadFile(out));
  EXPECT_EQ(lists_.replaced.passphrase(), kPassphrase);
  EXPECT_EQ(lists_.replaced.reason(), "restored");

  lists_.other_passphrase = "not what was wanted";
  const std::string other = PathOf("other.p12");
  const ProgramResult cannot = Run({"itl", "recovery", "export", "--out", other, "--passphrase-file", passphrase_file});
  EXPECT_THAT(cannot.err, HasSubstr("cannot be opened"));
  EXPECT_FALSE(std::filesystem::exists(other));
  WritePassphraseFile("short");
  EXPECT_THAT(Run({"itl", "recovery", "export", "--out", other, "--passphrase-file", passphrase_file}).err,
              HasSubstr("too short"));
}

TEST_F(ItlRecoveryTest, PassphrasesAreAskedForTwiceAndNotShown) {
  lists_.recovery = VectorKey("itlrecovery.pem");
  const std::string out = PathOf("recovery.p12");
  const std::vector<std::string> command = {kProgram, "itl", "recovery", "export", "--out", out};
  const std::vector<std::string> environment = {"TRUSTLINE_CONTEXT=" + context_};
  const TerminalResult differ = RunAtTerminal(
      command, environment, {{"New passphrase", "one passphrase\n"}, {"The same again: ", "two passphrases\n"}});
  EXPECT_EQ(differ.exit_status, 1) << differ.screen;
  EXPECT_THAT(differ.screen, HasSubstr("passphrases differ"));
  const TerminalResult interrupted = RunAtTerminal(command, environment, {{"New passphrase", "\x03"}});
  EXPECT_EQ(interrupted.exit_status, 1) << interrupted.screen;
  EXPECT_FALSE(std::filesystem::exists(out));
  const TerminalResult good = RunAtTerminal(
      command, environment, {{"New passphrase", "one passphrase\n"}, {"The same again: ", "one passphrase\n"}});
  EXPECT_EQ(good.exit_status, 0) << good.screen;
  EXPECT_THAT(good.screen, Not(HasSubstr("one passphrase")));
  EXPECT_OK(ReadPkcs12(AsBytes(ReadFile(out)), SecretBytes("one passphrase")).status());
}

TEST_F(ItlRecoveryTest, RegenerateWarnsAndAsks) {
  const ProgramResult nobody = Run({"itl", "recovery", "regenerate", "--reason", "lost"});
  EXPECT_EQ(nobody.exit_status, 2);
  EXPECT_THAT(nobody.err, AllOf(StartsWith("WARNING: "), HasSubstr("old ITLRecovery only"), HasSubstr("--yes")));
  EXPECT_EQ(lists_.replaced.cluster(), "");
  AddOutcome(v1::PublishResponse::OUTCOME_WAITS, "the signer is new");
  const ProgramResult yes = Run({"itl", "recovery", "regenerate", "--reason", "lost", "--yes", "--output", "json"});
  EXPECT_EQ(yes.exit_status, 0) << yes.err;
  EXPECT_THAT(yes.err, StartsWith("WARNING: "));
  EXPECT_EQ(boost::json::parse(yes.out).at("replaced_subject"), "CN=old recovery");
  EXPECT_EQ(lists_.replaced.reason(), "lost");
  EXPECT_EQ(lists_.replaced.file(), "");
  EXPECT_FALSE(lists_.replaced.previous());

  const ProgramResult back = Run({"itl", "recovery", "restore", "--reason", "a mistake"});
  EXPECT_EQ(back.exit_status, 0) << back.err;
  EXPECT_TRUE(lists_.replaced.previous());
  EXPECT_EQ(lists_.replaced.reason(), "a mistake");
}

TEST_F(ItlRecoveryTest, TheDrillProvesEveryGenerationThatWasEverPublished) {
  SetRecovery("itlrecovery.pem");
  const std::string passphrase_file = WritePassphraseFile();
  const std::vector<std::string> command = {
      "itl", "recovery", "drill", WriteKeyFile("itlrecovery.pem"), "--passphrase-file", passphrase_file};
  EXPECT_EQ(Run(command).exit_status, 1);
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  lists_.Add("tftp1", "", 2, ReadVectorFile("ITLFile-vendor-form.tlv"));
  lists_.Add("tftp1", "", 3, ReadVectorFile("ITLFile-sha512.tlv"));
  lists_.Add("tftp1", "SEP001122334455", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  lists_.Add("gone", "", 1, ReadVectorFile("ITLFile-blank.tlv"));
  lists_.hidden_server = "gone";
  lists_.largest_page = 2;
  const ProgramResult good = Run(command);
  EXPECT_EQ(good.exit_status, 0) << good.out << good.err;
  EXPECT_THAT(good.out,
              StartsWith("5 of 5 generations: a phone that holds it accepts a list signed by CN=itlrecovery"));

  lists_.Add("gone", "", 2, SignedByAnother("ITLFile-sha1.tlv"));
  const ProgramResult bad = Run(command);
  EXPECT_EQ(bad.exit_status, 1);
  EXPECT_THAT(bad.out, AllOf(HasSubstr("NOT rescued: ITL of gone, generation 2 (SHA-1 "), HasSubstr(", current): "),
                             HasSubstr("\n5 of 6 generations")));
  std::vector<std::string> as_json = command;
  as_json.insert(as_json.end(), {"--output", "json"});
  const boost::json::value json = boost::json::parse(Run(as_json).out);
  EXPECT_EQ(json.at("generations"), 6);
  EXPECT_EQ(json.at("rescued"), 5);
  EXPECT_EQ(json.at("all_rescued"), false);
  EXPECT_EQ(json.at("not_rescued").at(0).at("tftp_server"), "gone");
  EXPECT_EQ(json.at("not_rescued").at(0).at("is_current"), true);

  const ProgramResult foreign =
      Run({"itl", "recovery", "drill", WriteKeyFile("capf.pem"), "--passphrase-file", passphrase_file});
  EXPECT_EQ(foreign.exit_status, 1);
  // The blank one takes any list.
  EXPECT_THAT(foreign.out, AllOf(HasSubstr("1 of 6 generations"), HasSubstr("\n1 of these are blank")));
  EXPECT_TRUE(lists_.published_signed.empty());
}

TEST_F(ItlRecoveryTest, TheDrillProvesItForCtlsToo) {
  SetRecovery("itlrecovery.pem");
  const std::vector<std::string> command = {
      "itl", "recovery", "drill", WriteKeyFile("itlrecovery.pem"), "--passphrase-file", WritePassphraseFile()};
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  lists_.AddCtl(1, SignedByAnother("ITLFile-sha1.tlv"));
  lists_.AddCtl(2, ReadVectorFile("ITLFile-sha512.tlv"));
  const ProgramResult table = Run(command);
  EXPECT_EQ(table.exit_status, 1);
  EXPECT_THAT(table.out, AllOf(HasSubstr("NOT rescued: CTL, generation 1 (SHA-1 "),
                               HasSubstr("only where they hold an ITL that has it"), HasSubstr("2 of 3 generations")));
  std::vector<std::string> as_json = command;
  as_json.insert(as_json.end(), {"--output", "json"});
  const boost::json::value json = boost::json::parse(Run(as_json).out);
  EXPECT_EQ(json.at("rescued_as_blank"), 0);
  ASSERT_EQ(json.at("not_rescued").as_array().size(), 1u);
  EXPECT_EQ(json.at("not_rescued").at(0).at("kind"), "CTL");
  EXPECT_TRUE(json.at("not_rescued").at(0).at("tftp_server").is_null());
}

TEST_F(ItlRecoveryTest, APhoneWithABlankListIsRescuedByAnyKey) {
  SetRecovery("itlrecovery.pem");
  const std::vector<std::string> command = {
      "itl", "recovery", "drill", WriteKeyFile("itlrecovery.pem"), "--passphrase-file", WritePassphraseFile()};
  lists_.Add("tftp1", "", 1, SignedByAnother("ITLFile-blank.tlv"));
  lists_.Add("tftp1", "", 2, ReadVectorFile("ITLFile-blank.tlv"));
  lists_.AddCtl(1, SignedByAnother("ITLFile-blank.tlv"));
  const ProgramResult table = Run(command);
  EXPECT_EQ(table.exit_status, 0) << table.out;
  EXPECT_THAT(table.out, AllOf(StartsWith("3 of 3 generations"), HasSubstr("\n2 of these are blank and do not know")));
}

}  // namespace
}  // namespace trustline
