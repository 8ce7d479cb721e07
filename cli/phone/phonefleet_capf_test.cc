// The built program against a scripted CAPF server.
#include <sys/stat.h>

#include "cli/phone/capf_scripts.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

const std::string kProgram = TRUSTLINE_BIN_DIR "/phonefleet";
const std::string kVectors = TRUSTLINE_SOURCE_DIR "/tests/vectors/";

ProgramResult Enrol(const ScriptedCapf& capf, std::vector<std::string> arguments) {
  std::vector<std::string> command = {kProgram, "enrol", "--capf", capf.address(), "--device", "sep001122334455"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunProgram(command);
}

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(PhonefleetEnrolTest, InstallsAndWritesCertificateAndKey) {
  const ScriptedCapf capf(Steps({Say(CapfMessage(CapfCommand::kKeyGenerateRequest,
                                                 {.key_type = CapfKeyType::kEc, .curve = CapfCurve::kSecp384r1})),
                                 StoreIssued(IssueTestLsc), Say(EndSession(CapfReason::kSuccess))}));
  const ScratchFolder folder;
  const std::string certificate_file = folder.Path("lsc.pem");
  const std::string key_file = folder.Path("lsc.key");
  const ProgramResult result =
      Enrol(capf, {"--password", "48201957", "--out", certificate_file, "--key-out", key_file, "--bytes"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, MatchesRegex("installed  SEP001122334455  LSC serial [0-9a-f]+  EC secp384r1  until "
                                       "2026-12-31T00:00:00Z  \\(CAPF .*\\)\n"));
  ASSERT_OK_AND_ASSIGN(const Certificate lsc, Certificate::FromPem(ReadTestFile(certificate_file)));
  ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::ReadKeyFile(key_file));
  EXPECT_TRUE(key.MatchesCertificate(lsc));
  EXPECT_EQ(ModeOf(key_file), 0600u);
  const CapfElements response = ElementsOf(capf.messages().front());
  EXPECT_EQ(response.password->ExposeSecret(), "48201957");
  EXPECT_EQ(response.device_name, "SEP001122334455");
}

// The phone has stored it, and says so; that the server's end does not come changes nothing in that.
TEST(PhonefleetEnrolTest, WritesWhatWasInstalledBeforeTheSessionBroke) {
  const ScriptedCapf capf(Steps({Say(CapfMessage(CapfCommand::kKeyGenerateRequest,
                                                 {.key_type = CapfKeyType::kEc, .curve = CapfCurve::kSecp256r1})),
                                 StoreIssued(IssueTestLsc)}));
  const ScratchFolder folder;
  const std::string certificate_file = folder.Path("lsc.pem");
  const ProgramResult result = Enrol(capf, {"--out", certificate_file});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, HasSubstr("broke the session off"));
  EXPECT_OK(Certificate::FromPem(ReadTestFile(certificate_file)));
}

TEST(PhonefleetEnrolTest, ProvesItselfByItsCertificateAndHandsItOver) {
  const ScriptedCapf capf(
      Steps({Say(CapfMessage(CapfCommand::kFetchCertificateRequest, {})), Say(EndSession(CapfReason::kNoAction))}));
  const ScratchFolder folder;
  const std::string pem = ReadVector("capf-issued-lsc.pem");
  const std::string file = folder.Write("lsc.pem", pem);
  const ProgramResult result = Enrol(capf, {"--certificate", file, "--key", file, "--mic", "--no-sudi"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("fetched  SEP001122334455  "));
  const CapfElements response = ElementsOf(capf.messages()[0]);
  EXPECT_EQ(response.certificate->type, CapfCertificateType::kMic);
  EXPECT_FALSE(response.sudi_data.has_value());
  EXPECT_EQ(ElementsOf(capf.messages()[1]).certificate, response.certificate);
  EXPECT_EQ(Enrol(capf, {"--certificate", file, "--key", file}).exit_status, 0);
  EXPECT_TRUE(ElementsOf(capf.messages()[2]).sudi_data.has_value());

  const std::string other = folder.Path("other.key");
  ASSERT_OK(PrivateKey::Generate(KeyKind::kEcP256)->WriteKeyFile(other));
  const ProgramResult mismatch = Enrol(capf, {"--certificate", file, "--key", other});
  EXPECT_EQ(mismatch.exit_status, 2);
  EXPECT_THAT(mismatch.err, HasSubstr("is not the key of the certificate"));
}

TEST(PhonefleetEnrolTest, ExitsByTheEndOfTheSession) {
  struct Case {
    std::string answer;
    int exit_status;
    const char* line;
  };
  const Case cases[] = {
      {EndSession(CapfReason::kNoAction), 0, "nothing done  SEP001122334455  end session with reason 0 (no action)"},
      {EndSession(CapfReason::kInvalidElement), 1, "refused  SEP001122334455  end session with reason 7 (the proof"},
      {EndSession(CapfReason::kUnknownDevice), 1, "refused  SEP001122334455  end session with reason 9 (unknown"},
      {CapfMessage(CapfCommand::kEndSession, {.reason = 3, .reason_information = "because"}), 1,
       "refused  SEP001122334455  end session with reason 3: because"},
      {CapfMessage(CapfCommand::kRetryLater, {.retry_delay = 30}), 1, "told to come later  SEP001122334455  in 30 s"},
  };
  for (const Case& expected : cases) {
    const ScriptedCapf capf(Steps({Say(expected.answer)}));
    const ProgramResult result = Enrol(capf, {});
    EXPECT_EQ(result.exit_status, expected.exit_status) << result.err;
    EXPECT_THAT(result.out, StartsWith(expected.line));
  }
  const ScriptedCapf deleting(
      Steps({Say(CapfMessage(CapfCommand::kDeleteCertificateRequest, {})), Say(EndSession(CapfReason::kSuccess))}));
  const ProgramResult deleted = Enrol(deleting, {});
  EXPECT_EQ(deleted.exit_status, 0) << deleted.err;
  EXPECT_THAT(deleted.out, StartsWith("deleted  SEP001122334455  "));
}

TEST(PhonefleetEnrolTest, NoAnswerAndWrongUsageAreStatusTwo) {
  const ScriptedCapf capf(Steps({Say(EndSession(CapfReason::kNoAction))}));
  const ScriptedCapf closing(Steps({}));
  EXPECT_EQ(Enrol(closing, {}).exit_status, 2);
  EXPECT_EQ(Enrol(capf, {"--capf-certificate", kVectors + "capf.pem"}).exit_status, 2);  // another server's
  EXPECT_EQ(Enrol(capf, {"--certificate", kVectors + "capf-issued-lsc.pem"}).exit_status, 2);
  EXPECT_EQ(Enrol(capf, {"--key", kVectors + "capf-issued-lsc.pem"}).exit_status, 2);
  EXPECT_EQ(Enrol(capf, {"--mic"}).exit_status, 2);
  EXPECT_EQ(RunProgram({kProgram, "enrol", "--capf", capf.address()}).exit_status, 2);
  EXPECT_EQ(RunProgram({kProgram, "enrol", "--device", "SEP001122334455"}).exit_status, 2);
  const ProgramResult device = RunProgram({kProgram, "enrol", "--capf", capf.address(), "--device", "phone"});
  EXPECT_EQ(device.exit_status, 2);
  EXPECT_THAT(device.err, HasSubstr("not a device name"));
  EXPECT_TRUE(capf.messages().empty());
}

TEST(PhonefleetReplayTest, PlaysCapfSessions) {
  const std::vector<CapturedMessage> session = RecordedSession("capf-install-rsa.hex");
  const ScriptedCapf capf(RecordedServer(session));
  const std::string wire = kVectors + "wire/";
  const ProgramResult same = RunProgram({kProgram, "replay", "--capf", capf.address(), wire + "capf-install-rsa.hex"});
  EXPECT_EQ(same.exit_status, 0) << same.out << same.err;
  EXPECT_THAT(same.out, StartsWith("same  "));
  const ScriptedCapf other(Steps({Say(EndSession(CapfReason::kInvalidElement))}));
  const ProgramResult different =
      RunProgram({kProgram, "replay", "--bytes", "--capf", other.address(), wire + "capf-none.hex"});
  EXPECT_EQ(different.exit_status, 1) << different.err;
  EXPECT_THAT(different.out, HasSubstr("the answers differ at byte 11"));
}

TEST(PhonefleetReplayTest, TakesTvsOrCapf) {
  const std::string file = kVectors + "wire/capf-none.hex";
  EXPECT_THAT(RunProgram({kProgram, "replay", file}).err, HasSubstr("--tvs or --capf is required"));
  EXPECT_EQ(RunProgram({kProgram, "replay", "--tvs", "::1", "--capf", "::1", file}).exit_status, 2);
  EXPECT_EQ(RunProgram({kProgram, "replay", "--tvs", "::1", "--key", file, file}).exit_status, 2);
  const ProgramResult tvs_capture = RunProgram({kProgram, "replay", "--capf", "::1", kVectors + "wire/tvs-capf.hex"});
  EXPECT_EQ(tvs_capture.exit_status, 2);
  EXPECT_THAT(tvs_capture.err, HasSubstr("tvs-capf.hex: the server has not the first and the last word"));
}

}  // namespace
}  // namespace trustline
