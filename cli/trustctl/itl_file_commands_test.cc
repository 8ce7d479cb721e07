// trustctl itl and ctl show, export, decode, verify, diff, history, list against an itld whose answers the test
// decides, and on files.
#include <boost/json/parse.hpp>

#include "cli/trustctl/itl_testing.h"
#include "cli/trustctl/list_resigning.h"
#include "cli/trustctl/terminal_testing.h"
#include "itl/trust_list/writer.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kSeconds = 1'795'377'060;  // 2026-11-22T19:51:00Z

class ItlFileCommandsTest : public TrustListsFixture {};

TEST_F(ItlFileCommandsTest, ShowOfAFileNeedsNoService) {
  const ProgramResult shown = Trustctl({"itl", "show", Vector("ITLFile-sha512.tlv")});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_EQ(shown.out, ReadVectorFile("ITLFile-sha512.show.txt"));
  EXPECT_THAT(Trustctl({"ctl", "show", Vector("ITLFile-sha512.tlv")}).out, StartsWith("The checksum value of the CTL"));

  const boost::json::value json =
      boost::json::parse(Trustctl({"itl", "show", Vector("ITLFile-sha512.tlv"), "--output", "json"}).out);
  EXPECT_EQ(json.at("size"), 9160);
  EXPECT_EQ(json.at("version"), "1.2");
  EXPECT_EQ(json.at("signer_version"), "1.1");
  EXPECT_EQ(json.at("digest"), "SHA-512");
  EXPECT_EQ(json.at("modulus_bits"), 2048);
  EXPECT_EQ(json.at("verified"), true);
  EXPECT_TRUE(json.at("verification_reason").is_null());
  EXPECT_TRUE(json.at("published_at").is_null());
  EXPECT_TRUE(json.at("generation").is_null());
  const boost::json::array& records = json.at("records").as_array();
  ASSERT_EQ(records.size(), 6u);
  EXPECT_EQ(records[0].at("role"), "SAST");
  EXPECT_EQ(records[0].at("is_signer"), true);
  EXPECT_EQ(records[2].at("is_signer"), false);
  EXPECT_EQ(records[5].at("role"), "APP-SERVER");
  EXPECT_EQ(records[5].at("public_key"), "EC secp384r1");
  EXPECT_EQ(records[5].at("certificate_sha256").as_string(), ToHex(VectorKey("appserver-ec.pem").certificate.sha256()));
  EXPECT_THAT(Trustctl({"itl", "show", Vector("ITLFile-sha1.tlv"), "--output", "csv"}).out,
              StartsWith("kind,file,tftp_server,device,generation,is_current,published_at,"));
}

TEST_F(ItlFileCommandsTest, ShowOfAFileThatWasChangedSaysSo) {
  std::string bytes = ReadVectorFile("ITLFile-sha1.tlv");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  const std::string path = directory_.WriteFile("changed.tlv", bytes);
  const ProgramResult shown = Trustctl({"itl", "show", path});
  EXPECT_EQ(shown.exit_status, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("The ITL file could not be verified: "));
  const boost::json::value json = boost::json::parse(Trustctl({"itl", "show", path, "--output", "json"}).out);
  EXPECT_EQ(json.at("verified"), false);
  EXPECT_TRUE(json.at("verification_reason").is_string());

  const ProgramResult broken = Trustctl({"itl", "show", directory_.WriteFile("broken.tlv", bytes.substr(0, 5000))});
  EXPECT_EQ(broken.exit_status, 1);
  EXPECT_EQ(broken.out, "");
  EXPECT_THAT(broken.err, HasSubstr("broken.tlv: "));
  EXPECT_THAT(Trustctl({"itl", "show", "/nonexistent.tlv"}).err, HasSubstr("/nonexistent.tlv"));
}

TEST_F(ItlFileCommandsTest, ShowAsksForTheGenerationThatIsNamed) {
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv")).set_published_by("admin");
  lists_.Add("tftp1", "", 2, ReadVectorFile("ITLFile-sha512.tlv")).mutable_published_at()->set_seconds(kSeconds);
  EXPECT_EQ(Run({"itl", "show"}).out, ReadVectorFile("ITLFile-sha512.show.txt"));
  EXPECT_EQ(lists_.fetched.kind(), v1::TRUST_LIST_KIND_ITL);
  EXPECT_EQ(lists_.fetched.cluster(), "default");
  EXPECT_EQ(Run({"itl", "show", "--generation", "1"}).out, ReadVectorFile("ITLFile-sha1.show.txt"));
  EXPECT_EQ(lists_.fetched.number(), 1);
  const std::string sha1 = ToHex(AsBytes(lists_.published.back().generation.sha1()));
  EXPECT_EQ(Run({"itl", "show", "--hash", sha1}).out, ReadVectorFile("ITLFile-sha1.show.txt"));
  EXPECT_EQ(lists_.fetched.hash().size(), 20u);
  const boost::json::value json = boost::json::parse(Run({"itl", "show", "--output", "json"}).out);
  EXPECT_EQ(json.at("tftp_server"), "tftp1");
  EXPECT_EQ(json.at("generation"), 2);
  EXPECT_EQ(json.at("published_at"), "2026-11-22T19:51:00.000Z");

  const ProgramResult unknown = Run({"itl", "show", "--tftp-server", "tftp9", "--device", "sep001122334455"});
  EXPECT_EQ(unknown.exit_status, 1);
  EXPECT_EQ(unknown.err, "trustctl: there is no such generation: see `trustctl itl history`\\x1b[2J\n");
  EXPECT_EQ(lists_.fetched.tftp_server(), "tftp9");
  EXPECT_EQ(lists_.fetched.device(), "SEP001122334455");
  (void)Run({"--cluster", "berlin", "ctl", "show"});
  EXPECT_EQ(lists_.fetched.kind(), v1::TRUST_LIST_KIND_CTL);
  EXPECT_EQ(lists_.fetched.cluster(), "berlin");

  lists_.alter_files = true;
  EXPECT_THAT(Run({"itl", "show"}).err, HasSubstr("not the file that was published"));
  EXPECT_THAT(Run({"itl", "show"}).err, HasSubstr("ITL of tftp1, generation 2"));
}

TEST_F(ItlFileCommandsTest, ExportWritesTheBytes) {
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  EXPECT_EQ(Run({"itl", "export"}).out, ReadVectorFile("ITLFile-sha1.tlv"));
  const ProgramResult to_file = Run({"itl", "export", "--out", PathOf("a.tlv")});
  EXPECT_EQ(to_file.exit_status, 0) << to_file.err;
  EXPECT_THAT(to_file.out, AllOf(StartsWith("ITL of tftp1, generation 1: 8261 bytes in "), HasSubstr("ITLFile.tlv")));
  EXPECT_EQ(ReadFile(PathOf("a.tlv")), ReadVectorFile("ITLFile-sha1.tlv"));
  const ProgramResult again = Run({"itl", "export", "--out", PathOf("a.tlv")});
  EXPECT_EQ(again.exit_status, 1);
  EXPECT_THAT(again.err, HasSubstr("--force"));
  EXPECT_EQ(Run({"itl", "export", "--out", PathOf("a.tlv"), "--force"}).exit_status, 0);
  EXPECT_EQ(Run({"itl", "export", "--generation", "7", "--out", PathOf("b.tlv")}).exit_status, 1);
  EXPECT_FALSE(std::filesystem::exists(PathOf("b.tlv")));
  const TerminalResult at_terminal = RunAtTerminal({kProgram, "itl", "export"}, {"TRUSTLINE_CONTEXT=" + context_}, {});
  EXPECT_EQ(at_terminal.exit_status, 2);
  EXPECT_THAT(at_terminal.screen, HasSubstr("--out FILE"));
  EXPECT_EQ(Run({"itl", "export", "--output", "json"}).exit_status, 2);
}

TEST_F(ItlFileCommandsTest, DecodeShowsEveryElement) {
  const ProgramResult table = Trustctl({"itl", "decode", Vector("ITLFile-unknown-tlv.tlv")});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("SIGNATUREALGORTITHM"), HasSubstr("UNKNOWN"), HasSubstr("6c61746572"),
                               HasSubstr("record 2"), HasSubstr("...\n")));
  const boost::json::value json =
      boost::json::parse(Trustctl({"itl", "decode", Vector("ITLFile-sha1.tlv"), "--output", "json"}).out);
  EXPECT_EQ(json.at("format"), "trust list");
  EXPECT_EQ(json.at("records"), 5);
  bool found = false;
  for (const boost::json::value& element : json.at("elements").as_array()) {
    if (element.at("part") != "header" || element.at("tag") != 12) continue;
    found = true;
    EXPECT_EQ(element.at("length"), 256);
    EXPECT_EQ(element.at("value").as_string().size(), 512u);
  }
  EXPECT_TRUE(found);

  const boost::json::value sgn = boost::json::parse(
      Trustctl({"itl", "decode", Vector("signed-sha512.SEP001122334455.cnf.xml.sgn"), "--output", "json"}).out);
  EXPECT_EQ(sgn.at("format"), "signed file");
  EXPECT_TRUE(sgn.at("records").is_null());
  EXPECT_EQ(sgn.at("payload_size"), 1154);
  const ProgramResult encrypted = Trustctl({"itl", "decode", Vector("encrypted-sha1.SEP001122334455.cnf.xml.enc.sgn")});
  EXPECT_THAT(encrypted.out, AllOf(HasSubstr("encrypted file"), HasSubstr("ENCRYPTEDKEY"), HasSubstr("2048")));
  // It need not verify, but must decode.
  std::string bytes = ReadVectorFile("ITLFile-sha1.tlv");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  EXPECT_EQ(Trustctl({"itl", "decode", directory_.WriteFile("changed.tlv", bytes)}).exit_status, 0);
  EXPECT_EQ(Trustctl({"itl", "decode", Vector("capf.pem")}).exit_status, 1);
}

TEST_F(ItlFileCommandsTest, VerifyByItselfByAHeldListAndByACertificate) {
  const ProgramResult itself = Trustctl({"itl", "verify", Vector("ITLFile-sha1.tlv")});
  EXPECT_EQ(itself.exit_status, 0) << itself.err;
  EXPECT_THAT(itself.out, AllOf(StartsWith("verified: signed by CN=itlrecovery.example,"), HasSubstr("with SHA-1"),
                                HasSubstr("8261 of at most 65536 bytes")));
  EXPECT_EQ(Trustctl({"itl", "verify", Vector("ITLFile-sha512.tlv"), "--held", Vector("ITLFile-sha1.tlv")}).exit_status,
            0);
  EXPECT_EQ(Trustctl({"itl", "verify", Vector("ITLFile-sha1.tlv"), "--signer", Vector("itlrecovery.pem")}).exit_status,
            0);
  const ProgramResult other = Trustctl(
      {"itl", "verify", Vector("ITLFile-sha1.tlv"), "--signer", Vector("callmanager.pem"), "--output", "json"});
  EXPECT_EQ(other.exit_status, 1);
  const boost::json::value json = boost::json::parse(other.out);
  EXPECT_EQ(json.at("verified"), false);
  EXPECT_TRUE(json.at("verification_reason").is_string());
  EXPECT_TRUE(json.at("signer").is_null());
  EXPECT_EQ(json.at("digest"), "SHA-1");

  std::string bytes = ReadVectorFile("ITLFile-sha1.tlv");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  const std::string changed = directory_.WriteFile("changed.tlv", bytes);
  for (const std::vector<std::string>& how :
       std::vector<std::vector<std::string>>{{}, {"--held", Vector("ITLFile-sha1.tlv")}}) {
    std::vector<std::string> arguments = {"itl", "verify", changed};
    arguments.insert(arguments.end(), how.begin(), how.end());
    const ProgramResult result = Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_THAT(result.out, StartsWith("NOT verified: "));
  }
  EXPECT_EQ(Trustctl({"itl", "verify", Vector("ITLFile-sha1.tlv"), "--held", Vector("ITLFile-sha1.tlv"), "--signer",
                      Vector("tvs.pem")})
                .exit_status,
            2);
  EXPECT_EQ(Trustctl({"itl", "verify", Vector("ITLFile-sha1.tlv"), "--held", "/nonexistent"}).exit_status, 1);
}

TEST_F(ItlFileCommandsTest, VerifyDecidesAsAPhoneThatHoldsAList) {
  const TrustList list = *DecodeTrustList(AsBytes(ReadVectorFile("ITLFile-sha1.tlv")));
  const std::string foreign =
      directory_.WriteFile("foreign.tlv", SignAnew(list, VectorKey("tvs.pem"), std::nullopt, absl::Now())->file);
  EXPECT_EQ(Trustctl({"itl", "verify", foreign}).exit_status, 0);
  const ProgramResult refused = Trustctl({"itl", "verify", foreign, "--held", Vector("ITLFile-sha1.tlv")});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.out, AllOf(StartsWith("NOT verified: "), HasSubstr("is no SAST of "), HasSubstr("sha1.tlv"),
                                 HasSubstr("trustctl trust add --role SAST"), HasSubstr("trustctl itl reset")));
  // A phone with a blank list and no CTL accepts anything.
  const ProgramResult blank = Trustctl({"itl", "verify", foreign, "--held", Vector("ITLFile-blank.tlv")});
  EXPECT_EQ(blank.exit_status, 0) << blank.out;
  EXPECT_THAT(blank.out, HasSubstr("which is blank"));
}

TEST_F(ItlFileCommandsTest, VerifyRefusesWhatPhonesCannotLoad) {
  const CertifiedKey key = VectorKey("itlrecovery.pem");
  const auto write = [&](const std::string& name, int sasts, int others) {
    const auto record = [](const std::string& vector, CertificateRole role) {
      return *WriteRecord({.certificate = VectorKey(vector).certificate, .role = role}, NameForm::kComma);
    };
    std::string records;
    for (int i = 0; i < sasts; ++i) records += record("itlrecovery.pem", CertificateRole::kSast);
    for (int i = 0; i < others; ++i) records += record("tvs.pem", CertificateRole::kTvs);
    const SignedFileForm form = {.file_name = "ITLFile.tlv", .timestamp = absl::Now()};
    return directory_.WriteFile(name, *WriteTrustList(records, form, key.certificate, key.key));
  };
  const ProgramResult large = Trustctl({"itl", "verify", write("large.tlv", 1, 50), "--output", "json"});
  EXPECT_EQ(large.exit_status, 1);
  const boost::json::value json = boost::json::parse(large.out);
  EXPECT_EQ(json.at("verified"), false);
  EXPECT_TRUE(json.at("signer").is_string());
  EXPECT_THAT(std::string(json.at("verification_reason").as_string()), HasSubstr("in 51 records, more than 65536"));
  const ProgramResult sasts = Trustctl({"itl", "verify", write("sasts.tlv", 3, 1)});
  EXPECT_EQ(sasts.exit_status, 1);
  EXPECT_THAT(sasts.out, HasSubstr("it has 3 SAST records"));
}

TEST_F(ItlFileCommandsTest, TimestampAndSignatureAloneAreNoDifference) {
  const TrustList list = *DecodeTrustList(AsBytes(ReadVectorFile("ITLFile-sha1.tlv")));
  const std::string again =
      directory_.WriteFile("again.tlv", SignAnew(list, VectorKey("itlrecovery.pem"), std::nullopt, absl::Now())->file);
  const ProgramResult result = Trustctl({"itl", "diff", Vector("ITLFile-sha1.tlv"), again});
  EXPECT_EQ(result.exit_status, 0);
  EXPECT_EQ(result.out, "no difference in content: only timestamp and signature differ\n");
}

TEST_F(ItlFileCommandsTest, DiffOfFilesAndGenerations) {
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  lists_.Add("tftp1", "", 2, ReadVectorFile("ITLFile-sha512.tlv"));
  const ProgramResult changed = Run({"itl", "diff", "1", "current"});
  EXPECT_EQ(changed.exit_status, 1);
  EXPECT_THAT(changed.out, AllOf(HasSubstr("added: APP-SERVER CN="), HasSubstr("digest: SHA-1 -> SHA-512\n"),
                                 HasSubstr("signer-version: 1.0 -> 1.1\n"), Not(HasSubstr("removed"))));
  const ProgramResult same = Run({"itl", "diff", Vector("ITLFile-sha512.tlv"), "2"});
  EXPECT_EQ(same.exit_status, 0);
  EXPECT_EQ(same.out, "no difference: the files are the same\n");
  const ProgramResult json_result =
      Trustctl({"itl", "diff", Vector("ITLFile-sha512.tlv"), Vector("ITLFile-sha1.tlv"), "--output", "json"});
  EXPECT_EQ(json_result.exit_status, 1);
  const boost::json::value json = boost::json::parse(json_result.out);
  EXPECT_EQ(json.at("same_content"), false);
  EXPECT_EQ(json.at("differences").at(0).at("difference"), "removed");
}

TEST_F(ItlFileCommandsTest, ListsThatCannotBeComparedAreNotTakenForListsThatDiffer) {
  const std::string good = Vector("ITLFile-sha1.tlv");
  for (const std::string& other : {std::string("/nonexistent"), Vector("capf.pem"), std::string("7")}) {
    const ProgramResult result = Run({"itl", "diff", good, other});
    EXPECT_EQ(result.exit_status, 2) << other;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(StartsWith("trustctl: "), Not(HasSubstr("--help"))));
  }
  itld_.reset();
  EXPECT_EQ(Run({"itl", "diff", good, "current"}).exit_status, 2);
  EXPECT_EQ(RunProgram({"/bin/sh", "-c", kProgram + " itl diff " + good + " " + good + " > /dev/full"}).exit_status, 2);
  EXPECT_THAT(Trustctl({"itl", "diff", "--help"}).out, HasSubstr("2 when they could not be compared"));
}

TEST_F(ItlFileCommandsTest, ErrorsSayWhatAFileIsInsteadOfAList) {
  const std::string whole = ReadVectorFile("ITLFile-sha1.tlv");
  const std::map<std::string, std::string> next_steps = {
      {Vector("capf.pem"), "certificates are for `trustctl verify "},
      {directory_.WriteFile("empty.tlv", ""), "copy it here again"},
      {directory_.WriteFile("cut.tlv", whole.substr(0, 5000)), "byte for byte"},
      {directory_.WriteFile("cut-header.tlv", whole.substr(0, 60)), "byte for byte"},
      {directory_.WriteFile("large.tlv", std::string(3'000'000, 'a')), "is larger than"},
      {directory_.WriteFile("other.tlv", "a letter"), "is not a trust list"},
      {directory_.path().string(), "not a plain file"},
  };
  for (const auto& [path, next_step] : next_steps) {
    for (const std::string command : {"show", "decode", "verify"}) {
      const ProgramResult result = Trustctl({"itl", command, path});
      EXPECT_EQ(result.exit_status, 1) << command << path;
      EXPECT_THAT(result.err, AllOf(HasSubstr(path), HasSubstr(next_step), HasSubstr("`trustctl itl export`")))
          << command;
    }
  }
  const std::string signed_file = Vector("signed-sha512.SEP001122334455.cnf.xml.sgn");
  for (const std::string command : {"show", "verify"}) {
    EXPECT_THAT(Trustctl({"ctl", command, signed_file}).err, HasSubstr("`trustctl itl decode " + signed_file + "`"));
  }
  // What a list is compared with is at fault, not the list.
  const std::string good = Vector("ITLFile-sha1.tlv");
  EXPECT_THAT(Trustctl({"itl", "verify", good, "--held", signed_file}),
              testing::Field(&ProgramResult::err, HasSubstr("not a trust list")));
  const ProgramResult signer = Trustctl({"itl", "verify", good, "--signer", good});
  EXPECT_EQ(signer.exit_status, 1);
  EXPECT_EQ(signer.out, "");
  EXPECT_THAT(signer.err, HasSubstr("--signer takes a file with one certificate"));
}

TEST_F(ItlFileCommandsTest, WhatDoesNotVerifySaysHowToGoOn) {
  std::string bytes = ReadVectorFile("ITLFile-sha1.tlv");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  const std::string changed = directory_.WriteFile("changed.tlv", bytes);
  EXPECT_THAT(Trustctl({"ctl", "show", changed}).out, HasSubstr("`trustctl ctl diff " + changed + " current`"));
  EXPECT_THAT(Trustctl({"itl", "verify", changed}).out, HasSubstr("`trustctl itl diff " + changed + " current`"));
  EXPECT_THAT(Trustctl({"itl", "verify", changed, "--signer", Vector("capf.pem")}).out,
              HasSubstr("`trustctl itl decode " + changed + "`"));
}

TEST_F(ItlFileCommandsTest, HistoryFollowsThePages) {
  for (int number = 1; number <= 5; ++number) {
    v1::Generation& generation = lists_.Add("tftp1", "", number, "file " + std::to_string(number));
    generation.set_reason("reason\x1b[2J " + std::to_string(number));
    generation.set_published_by("admin");
    generation.mutable_published_at()->set_seconds(kSeconds + number);
    generation.set_records(5);
    generation.set_digest(v1::LIST_DIGEST_SHA512);
  }
  lists_.largest_page = 2;
  const ProgramResult table = Run({"itl", "history", "--tftp-server", "tftp1", "--limit", "3"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("GENERATION  CURRENT  TFTP SERVER  DEVICE"), HasSubstr("reason\\x1b[2J 5"),
                               HasSubstr("2026-11-22T19:51:05Z")));
  EXPECT_EQ(std::ranges::count(table.out, '\n'), 4);
  EXPECT_EQ(lists_.generations_listed.front().tftp_server(), "tftp1");
  EXPECT_EQ(lists_.generations_listed.front().device(), "");
  const boost::json::value json = boost::json::parse(Run({"itl", "history", "--output", "json"}).out);
  ASSERT_EQ(json.as_array().size(), 5u);
  EXPECT_EQ(json.at(0).at("generation"), 5);
  EXPECT_EQ(json.at(0).at("is_current"), true);
  EXPECT_EQ(json.at(0).at("sha1").as_string().size(), 40u);
  EXPECT_EQ(json.at(0).at("md5").as_string().size(), 32u);
  EXPECT_EQ(json.at(0).at("sha256").as_string().size(), 64u);
  EXPECT_EQ(json.at(1).at("is_current"), false);
  lists_.published.clear();
  EXPECT_EQ(Run({"ctl", "history"}).out, "(nothing was published)\n");
  EXPECT_EQ(lists_.generations_listed.back().kind(), v1::TRUST_LIST_KIND_CTL);
}

TEST_F(ItlFileCommandsTest, ListShowsPolicyServersSignersListsAndNotices) {
  EXPECT_THAT(Run({"itl", "list"}).out, HasSubstr("trustctl itl server add NAME"));
  v1::TrustListPolicy& policy = *lists_.overview.mutable_policy();
  policy.set_tftp_role(v1::CERTIFICATE_ROLE_CCM_TFTP);
  policy.set_recovery_years(20);
  policy.set_digest(v1::LIST_DIGEST_SHA1);
  policy.set_signer_version(v1::SIGNER_VERSION_1_0);
  policy.set_mixed_mode(true);
  v1::TftpServer& server = *lists_.overview.add_tftp_servers();
  server.set_name("tftp1");
  server.set_host("tftp1.example");
  SetRecovery("itlrecovery.pem");
  lists_.overview.add_notices("2 phones were not seen\x1b[2J");
  lists_.Add("tftp1", "", 1, ReadVectorFile("ITLFile-sha1.tlv"));
  lists_.Add("tftp1", "SEP001122334455", 1, ReadVectorFile("ITLFile-sha512.tlv"));
  lists_.candidate.emplace();
  lists_.candidate->set_state(v1::CANDIDATE_STATE_WAITS_FOR_APPROVAL);
  lists_.candidate->set_reason("the TVS certificate of branch1 changes: trustctl itl publish");
  lists_.candidate->add_changes("added: TVS CN=branch1");
  const ProgramResult table = Run({"itl", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("CCM+TFTP"), HasSubstr("tftp1.example"), HasSubstr("ITLRecovery"),
                               HasSubstr("waits-for-approval"), HasSubstr("\n  added: TVS CN=branch1\n"),
                               HasSubstr("SIGNED BY"), HasSubstr("another one, "), Not(HasSubstr("SEP001122334455"))));
  EXPECT_EQ(table.err, "notice: 2 phones were not seen\\x1b[2J\n");
  EXPECT_EQ(lists_.listed.kind(), v1::TRUST_LIST_KIND_ITL);
  const ProgramResult data = Run({"itl", "list", "--devices", "--output", "json"});
  EXPECT_EQ(data.err, "");
  const boost::json::value json = boost::json::parse(data.out);
  EXPECT_EQ(json.at("notices").at(0), "2 phones were not seen\x1b[2J");
  EXPECT_EQ(json.at("mixed_mode"), true);
  EXPECT_EQ(json.at("tftp_servers").at(0).at("server"), "tftp1");
  EXPECT_EQ(json.at("signers").at(0).at("signer"), "ITLRecovery");
  EXPECT_EQ(json.at("lists").at(0).at("device"), "SEP001122334455");
  EXPECT_EQ(json.at("lists").at(1).at("candidate_changes").at(0), "added: TVS CN=branch1");
}

}  // namespace
}  // namespace trustline
