// The built program against a scripted TVS.
#include "cli/phone/scripted_tvs.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

const std::string kProgram = TRUSTLINE_BIN_DIR "/phonefleet";
const std::string kVectors = TRUSTLINE_SOURCE_DIR "/tests/vectors/";

std::string Address(const ScriptedTvs& tvs) { return "127.0.0.1:" + std::to_string(tvs.endpoint().port); }

TEST(PhonefleetTest, AskPrintsTheVerdictAndExitsByIt) {
  const ScriptedTvs valid([](const std::string&) {
    return EncodeTvsVerifyResponse(1001, {.valid = true, .roles = {CertificateRole::kAppServer}, .ttl_seconds = 86400});
  });
  const ProgramResult trusted = RunProgram({kProgram, "ask", "--tvs", Address(valid), kVectors + "appserver-ec.pem"});
  EXPECT_EQ(trusted.exit_status, 0) << trusted.err;
  EXPECT_THAT(trusted.out, MatchesRegex("valid  roles APP-SERVER  TTL 86400 s   CN=directory.example,O=Example,OU=Web  "
                                        "\\(answered by TVS .* in [0-9]+ ms\\)\n"));

  const ScriptedTvs invalid([](const std::string&) { return EncodeTvsVerifyResponse(1001, {}); });
  const ProgramResult unknown =
      RunProgram({kProgram, "ask", "--bytes", "--tvs", Address(invalid), kVectors + "appserver-ec.pem"});
  EXPECT_EQ(unknown.exit_status, 1) << unknown.err;
  EXPECT_THAT(unknown.out, StartsWith("invalid  CN=directory.example"));
}

TEST(PhonefleetTest, NoAnswerIsStatusTwo) {
  const ScriptedTvs closing([](const std::string&) { return std::string(); });
  const ProgramResult result =
      RunProgram({kProgram, "ask", "--query", "--tvs", Address(closing), kVectors + "appserver-ec.pem"});
  EXPECT_EQ(result.exit_status, 2);
  EXPECT_THAT(result.err, StartsWith("phonefleet: "));
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(RunProgram({kProgram, "ask", "--tvs", "127.0.0.1:x", "cert.pem"}).exit_status, 2);
  EXPECT_EQ(RunProgram({kProgram, "ask", "--tvs", Address(closing), "/nonexistent.pem"}).exit_status, 2);
}

TEST(PhonefleetTest, ReplayComparesByteForByte) {
  ASSERT_OK_AND_ASSIGN(const WireExchange exchange, ReadWireExchange("tvs-appserver-ec.hex"));
  const ScriptedTvs tvs([&](const std::string&) { return exchange.from_server; });
  const std::string wire = kVectors + "wire/";
  const ProgramResult same = RunProgram({kProgram, "replay", "--tvs", Address(tvs), wire + "tvs-appserver-ec.hex"});
  EXPECT_EQ(same.exit_status, 0) << same.out << same.err;
  const ProgramResult different =
      RunProgram({kProgram, "replay", "--bytes", "--tvs", Address(tvs), wire + "tvs-callmanager.hex"});
  EXPECT_EQ(different.exit_status, 1) << different.err;
  EXPECT_THAT(different.out, HasSubstr("the answers differ at byte 9"));
}

TEST(PhonefleetTest, HelpHasExamples) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{kProgram, "--help"},
                                                  {kProgram, "ask", "--help"},
                                                  {kProgram, "enrol", "--help"},
                                                  {kProgram, "live", "--help"},
                                                  {kProgram, "replay", "--help"}}) {
    const ProgramResult help = RunProgram(command);
    EXPECT_EQ(help.exit_status, 0);
    EXPECT_THAT(help.out, HasSubstr("Example:"));
  }
  EXPECT_THAT(RunProgram({kProgram, "--help"}).out, HasSubstr("A fleet of virtual phones that grows"));
}

}  // namespace
}  // namespace trustline
