// trustctl cluster export and import against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/fake_cluster_trust_service.h"
#include "cli/trustctl/terminal_testing.h"
#include "cli/trustctl/trustctl_testing.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MoveCommandsTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&trust_}));
    WriteContext({{"itld", itld_.get()}});
    trust_.export_answer.set_file(file_);
    trust_.export_answer.set_sha256(std::string(AsText(Sha256(AsBytes(file_)))));
    trust_.export_answer.set_certificates(5);
    trust_.export_answer.set_tftp_servers(2);
    trust_.import_answer.set_from_cluster("berlin\x1b[2J");
    trust_.import_answer.set_added(4);
    trust_.import_answer.set_unchanged(1);
    trust_.import_answer.add_warnings("the certificate expires soon");
    v1::ExportedTrust::Certificate& one = *trust_.import_answer.add_certificates();
    one.set_der(std::string(AsText(authority_->certificate().der())));
    one.add_roles(v1::CERTIFICATE_ROLE_SAST);
    one.add_roles(v1::CERTIFICATE_ROLE_TFTP);
    one.set_of("TFTP server tftp1");
  }
  TerminalResult AtTerminal(std::vector<std::string> arguments,
                            const std::vector<std::pair<std::string, std::string>>& answers) {
    arguments.insert(arguments.begin(), kProgram);
    return RunAtTerminal(arguments, {"TRUSTLINE_CONTEXT=" + context_}, answers);
  }

  const std::string file_ = "{\n \"format\": \"a test\"\n}\n";
  const std::string digest_ = ToHex(Sha256(AsBytes(file_)));
  FakeClusterTrust trust_;
  std::unique_ptr<RpcServer> itld_;
};

TEST_F(MoveCommandsTest, ExportWritesTheFileAndSaysItsDigest) {
  const std::string path = PathOf("berlin.trust");
  const ProgramResult result = Run({"--cluster", "berlin", "cluster", "export", "--out", path});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(HasSubstr("5 certificates of 2 TFTP servers written to " + path),
                                HasSubstr("SHA-256 " + digest_), HasSubstr("another channel")));
  EXPECT_EQ(ReadFile(path), file_);
  EXPECT_EQ(trust_.exported.cluster(), "berlin");

  EXPECT_THAT(Run({"cluster", "export", "--out", path}).err, HasSubstr("--force"));
  EXPECT_EQ(Run({"cluster", "export", "--out", path, "--force"}).exit_status, 0);
  const ProgramResult printed = Run({"cluster", "export"});
  EXPECT_EQ(printed.out, file_);
  EXPECT_THAT(printed.err, HasSubstr(digest_));
  EXPECT_EQ(Run({"cluster", "export", "--output", "json"}).exit_status, 2);
}

TEST_F(MoveCommandsTest, AnExportThatIsNotWhatItldMeantIsNotWritten) {
  trust_.export_answer.set_sha256(std::string(32, 'x'));
  const std::string path = PathOf("berlin.trust");
  const ProgramResult result = Run({"cluster", "export", "--out", path});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("not the one it meant"));
  EXPECT_EQ(ReadFile(path), "");
}

TEST_F(MoveCommandsTest, ImportSendsTheFileWhoseDigestIsSaid) {
  const std::string path = directory_.WriteFile("berlin.trust", file_);
  const ProgramResult result = Run({"cluster", "import", path, "--sha256", digest_, "--reason", "the move"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("4 added, 1 there already; no list names them"), HasSubstr("SAST,TFTP "),
                                HasSubstr("TFTP server tftp1"), ::testing::Not(HasSubstr("\x1b"))));
  EXPECT_THAT(result.err, HasSubstr("expires soon"));
  ASSERT_THAT(trust_.imported, SizeIs(1));
  EXPECT_EQ(trust_.imported[0].cluster(), "default");
  EXPECT_EQ(trust_.imported[0].file(), file_);
  EXPECT_EQ(ToHex(AsBytes(trust_.imported[0].sha256())), digest_);
  EXPECT_EQ(trust_.imported[0].reason(), "the move");
  const auto json = boost::json::parse(Run({"cluster", "import", path, "--sha256", digest_, "--output", "json"}).out);
  EXPECT_EQ(json.at("added").as_int64(), 4);
  EXPECT_EQ(json.at("file_sha256").as_string(), digest_);
  EXPECT_EQ(json.at("certificates").as_array().size(), 1);
}

TEST_F(MoveCommandsTest, AFileWithAnotherDigestIsNotSent) {
  const std::string path = directory_.WriteFile("berlin.trust", file_ + " ");
  const ProgramResult other = Run({"cluster", "import", path, "--sha256", digest_});
  EXPECT_EQ(other.exit_status, 1);
  EXPECT_THAT(other.err, AllOf(HasSubstr("nothing was imported"), HasSubstr("has the SHA-256")));
  const ProgramResult none = Run({"cluster", "import", path});
  EXPECT_EQ(none.exit_status, 2);
  EXPECT_THAT(none.err, HasSubstr("give --sha256"));
  EXPECT_EQ(Run({"cluster", "import", path, "--sha256", "3f2a91c0"}).exit_status, 2) << "too short to compare";
  EXPECT_EQ(Run({"cluster", "import"}).exit_status, 2);
  EXPECT_THAT(trust_.imported, IsEmpty());
}

TEST_F(MoveCommandsTest, AtATerminalTheDigestIsShownAndConfirmed) {
  const std::string path = directory_.WriteFile("berlin.trust", file_);
  const TerminalResult refused = AtTerminal({"cluster", "import", path}, {{"another channel? [y/N]", "n\n"}});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.screen, AllOf(HasSubstr(digest_), HasSubstr("not confirmed: nothing was changed")));
  EXPECT_THAT(trust_.imported, IsEmpty());
  EXPECT_EQ(AtTerminal({"cluster", "import", path}, {{"another channel? [y/N]", "y\n"}}).exit_status, 0);
  EXPECT_THAT(trust_.imported, SizeIs(1));
}

}  // namespace
}  // namespace trustline
