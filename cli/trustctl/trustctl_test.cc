// The built program against services whose answers the test decides, over real mutual TLS.
#include <boost/json/parse.hpp>
#include <sstream>

#include "absl/strings/escaping.h"
#include "cli/trustctl/fake_services.h"
#include "cli/trustctl/trustctl_testing.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class TrustctlTest : public TrustctlFixture {
 protected:
  void SetUp() override {
    TrustctlFixture::SetUp();
    access_.authority = &*authority_;
    ASSERT_OK_AND_ASSIGN(itld_, StartServer("itld", {&trust_store_, &audit_, &access_, &node_}));
    ASSERT_OK_AND_ASSIGN(tvsd_, StartServer("tvsd", {&verification_}));
    WriteContext({{"itld", itld_.get()}, {"tvsd", tvsd_.get()}});
  }

  FakeTrustStore trust_store_;
  FakeVerification verification_;
  FakeAudit audit_;
  FakeAccess access_;
  FakeNode node_;
  std::unique_ptr<RpcServer> itld_;
  std::unique_ptr<RpcServer> tvsd_;
};

TEST_F(TrustctlTest, AddSendsEverythingAndSaysWhatChanged) {
  trust_store_.result.set_commit(17);
  trust_store_.result.set_certificates_added(1);
  trust_store_.result.add_warnings("capf.pem expires soon");
  const ProgramResult added = Run({"trust", "add", "--role", "CAPF", "--ttl", "90s", Vector("capf.pem")});
  EXPECT_EQ(added.exit_status, 0) << added.err;
  EXPECT_THAT(added.out, StartsWith("added 1 certificate (commit 17)\n"));
  EXPECT_THAT(added.err, HasSubstr("warning: capf.pem expires soon"));
  EXPECT_EQ(trust_store_.received, 1);
  EXPECT_EQ(trust_store_.options.cluster(), "default");
  EXPECT_EQ(trust_store_.options.roles(0), v1::CERTIFICATE_ROLE_CAPF);
  EXPECT_EQ(trust_store_.options.ttl().seconds(), 90);
  EXPECT_EQ(trust_store_.options.expected_certificates(), 1);

  trust_store_.result.Clear();
  trust_store_.result.set_certificates_unchanged(1);
  const ProgramResult again = Run({"trust", "add", "--role", "CAPF", Vector("capf.pem")});
  EXPECT_EQ(again.exit_status, 0);
  EXPECT_EQ(again.out, "1 certificate already trusted, nothing changed\n");
  EXPECT_FALSE(trust_store_.options.has_ttl());
}

TEST_F(TrustctlTest, AddReadsEveryFileBeforeItAsks) {
  const ProgramResult result = Run({"trust", "add", "--role", "CAPF", Vector("capf.pem"), PathOf("missing.pem")});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("missing.pem"));
  EXPECT_EQ(trust_store_.received, 0);
}

TEST_F(TrustctlTest, InterruptedImportTakesNothingAndSaysSo) {
  // More than what gRPC takes without being read.
  std::string bundle;
  for (int i = 0; i < 4000; ++i) bundle += ReadFile(Vector("capf.pem"));
  const std::string path = directory_.WriteFile("bundle.pem", bundle);
  trust_store_.stall = true;
  RunningProgram program({kProgram, "trust", "add", "--role", "CAPF", path}, {"TRUSTLINE_CONTEXT=" + context_});
  trust_store_.WaitUntilBegun();
  ASSERT_EQ(kill(program.pid(), SIGINT), 0);
  const ProgramResult result = program.Wait();
  EXPECT_EQ(result.exit_status, 1);
  // How much gRPC takes without being read decides whether the client still knows that it had not sent everything.
  EXPECT_THAT(result.err, AnyOf(EndsWith("trustctl: interrupted: nothing was imported\n"),
                                HasSubstr("all of it was imported or nothing")));
  itld_->Shutdown();
  EXPECT_TRUE(trust_store_.cancelled);
  EXPECT_EQ(trust_store_.received, 0);
}

TEST_F(TrustctlTest, ListFollowsThePages) {
  const ProgramResult table = Run({"trust", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("CCM+TFTP"), HasSubstr("CN=page 2\\x1b[2J\n")));
  const ProgramResult json = Run({"trust", "list", "--output", "json"});
  const boost::json::value list = boost::json::parse(json.out);
  ASSERT_EQ(list.as_array().size(), 3u);
  EXPECT_EQ(list.at(1).at("sha256").as_string(), absl::BytesToHexString(std::string(32, '\x01')));
  EXPECT_EQ(list.at(1).at("ttl_seconds"), 3600);
  EXPECT_EQ(list.at(0).at("listed"), false);
  EXPECT_EQ(list.at(1).at("listed"), true);
}

TEST_F(TrustctlTest, ListingIsAskedForAndTakenBack) {
  // Programs read the commit, and people where to look: the lists are made after the answer.
  const auto says_that_lists_follow = [this](const std::vector<std::string>& arguments) {
    const ProgramResult result = Run(arguments);
    EXPECT_EQ(result.exit_status, 0) << result.err;
    std::vector<std::string> as_json = arguments;
    as_json.insert(as_json.end(), {"--output", "json"});
    EXPECT_THAT(Run(as_json).err, Not(HasSubstr("notice")));
    return result.err.find("notice: the phones' trust lists follow within seconds; `trustctl itl list`") !=
           std::string::npos;
  };
  trust_store_.result.set_commit(17);
  EXPECT_TRUE(says_that_lists_follow({"trust", "add", "--role", "CAPF", "--listed", Vector("capf.pem")}));
  EXPECT_TRUE(trust_store_.options.listed());
  EXPECT_FALSE(says_that_lists_follow({"trust", "add", "--role", "CAPF", Vector("capf.pem")}));
  EXPECT_FALSE(trust_store_.options.listed());
  EXPECT_TRUE(says_that_lists_follow({"trust", "set", "3f2a", "--listed"}));
  EXPECT_TRUE(trust_store_.asked_to_set.has_listed() && trust_store_.asked_to_set.listed());
  EXPECT_TRUE(says_that_lists_follow({"trust", "set", "3f2a", "--unlisted"}));
  EXPECT_TRUE(trust_store_.asked_to_set.has_listed() && !trust_store_.asked_to_set.listed());
  EXPECT_FALSE(says_that_lists_follow({"trust", "set", "3f2a", "--ttl", "1h"}));
  EXPECT_FALSE(trust_store_.asked_to_set.has_listed());
  trust_store_.result.set_commit(0);
  EXPECT_FALSE(says_that_lists_follow({"trust", "add", "--role", "CAPF", "--listed", Vector("capf.pem")}));
}

TEST_F(TrustctlTest, NodesAreListedWithWhatTheyWaitForAndApproved) {
  const ProgramResult table = Run({"node", "list"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("192.0.2.1:9441"), HasSubstr("trustctl node approve branch1"),
                               Not(HasSubstr("node approve node1"))));
  const boost::json::value list = boost::json::parse(Run({"node", "list", "--output", "json"}).out);
  ASSERT_EQ(list.as_array().size(), 2u);
  EXPECT_EQ(list.at(0).at("approved_by"), "trustline:default/person/admin");
  EXPECT_EQ(list.at(0).at("grpc_address"), "192.0.2.1:9441");
  EXPECT_TRUE(list.at(1).at("approved_at").is_null());

  EXPECT_EQ(Run({"node", "approve", "branch1"}).out, "approved branch1: its TVS certificate is listed (commit 17)\n");
  EXPECT_EQ(Run({"node", "approve", "node1"}).out, "node1 was approved already, nothing changed\n");
}

TEST_F(TrustctlTest, ErrorsOfTheServiceAreShownSafely) {
  const ProgramResult result = Run({"trust", "remove", "3f2a"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.err, HasSubstr("no trusted certificate begins with 3f2a: see `trustctl trust list`\\x1b[2J"));
  itld_->Shutdown();
  itld_.reset();
  const ProgramResult away = Run({"trust", "list"});
  EXPECT_EQ(away.exit_status, 1);
  EXPECT_THAT(away.err, AllOf(StartsWith("trustctl: itld at 127.0.0.1:"), HasSubstr("is it running")));
}

TEST_F(TrustctlTest, ExportIsWholeOrNothing) {
  const Certificate certificate = *Certificate::FromPem(ReadFile(Vector("capf.pem")));
  trust_store_.exported = {std::string(AsText(certificate.der()))};
  const std::string out = PathOf("out.pem");
  const ProgramResult written = Run({"trust", "export", "--out", out});
  EXPECT_EQ(written.exit_status, 0);
  EXPECT_EQ(written.err, "1 certificate written to " + out + "\n");
  EXPECT_EQ(ReadFile(out), certificate.ToPem());
  EXPECT_EQ(Run({"trust", "export"}).out, certificate.ToPem());
  EXPECT_EQ(Run({"trust", "export", "--out", out}).exit_status, 1);

  trust_store_.export_status = {grpc::StatusCode::ABORTED, "the database went away"};
  EXPECT_EQ(Run({"trust", "export", "--force", "--out", out}).exit_status, 1);
  EXPECT_EQ(ReadFile(out), certificate.ToPem());
}

TEST_F(TrustctlTest, VerifyTellsEveryVerdictAndFailsOnAnInvalidOne) {
  verification_.valid = std::string(AsText(Certificate::FromPem(ReadFile(Vector("capf.pem")))->der()));
  const ProgramResult valid = Run({"verify", Vector("capf.pem")});
  EXPECT_EQ(valid.exit_status, 0) << valid.err;
  EXPECT_THAT(valid.out, AllOf(HasSubstr("valid"), HasSubstr("CAPF"), HasSubstr("1m")));
  const ProgramResult mixed = Run({"verify", "--output", "json", Vector("capf.pem"), Vector("tvs.pem")});
  EXPECT_EQ(mixed.exit_status, 1);
  const boost::json::value list = boost::json::parse(mixed.out);
  ASSERT_EQ(list.as_array().size(), 2u);
  EXPECT_EQ(list.at(0).at("verdict"), "valid");
  EXPECT_EQ(list.at(1).at("verdict"), "invalid");
  EXPECT_EQ(list.at(1).at("reason"), "unknown");
  EXPECT_THAT(list.at(1).at("source").as_string().c_str(), EndsWith("tvs.pem"));
}

TEST_F(TrustctlTest, VerifyShowsTheAnswersThatCameAndTheServersError) {
  verification_.fails_at = 1;
  verification_.failure = {grpc::StatusCode::UNAVAILABLE, "node1 cannot ask the database about this certificate"};
  const ProgramResult result = Run({"verify", Vector("capf.pem"), Vector("tvs.pem"), Vector("callmanager.pem")});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("capf.pem"), Not(HasSubstr("tvs.pem"))));
  EXPECT_THAT(result.err, StartsWith("trustctl: 1 of 3 certificates answered, then "));
  EXPECT_THAT(result.err, EndsWith("tvs.pem: node1 cannot ask the database about this certificate\n"));
  const ProgramResult json =
      Run({"verify", "--output", "json", Vector("capf.pem"), Vector("tvs.pem"), Vector("callmanager.pem")});
  EXPECT_EQ(json.exit_status, 1);
  EXPECT_EQ(boost::json::parse(json.out).as_array().size(), 1u);

  verification_.fails_at = 0;
  verification_.failure = {grpc::StatusCode::NOT_FOUND, "node1 does not answer for cluster 'berlin'"};
  const ProgramResult nothing = Run({"verify", Vector("capf.pem")});
  EXPECT_EQ(nothing.exit_status, 1);
  EXPECT_EQ(nothing.out, "");
  EXPECT_EQ(nothing.err, "trustctl: node1 does not answer for cluster 'berlin'\n");

  verification_.failure = grpc::Status::OK;
  EXPECT_THAT(Run({"verify", Vector("capf.pem")}).err, HasSubstr("ended before it had answered everything"));
  verification_.fails_at = UINT64_MAX;
  verification_.out_of_order = true;
  const ProgramResult mixed_up = Run({"verify", Vector("capf.pem")});
  EXPECT_EQ(mixed_up.exit_status, 1);
  EXPECT_THAT(mixed_up.err, HasSubstr("out of order"));
}

TEST_F(TrustctlTest, AnEmptyClusterIsAMistake) {
  const ProgramResult option = Run({"--cluster", "", "trust", "list"});
  EXPECT_EQ(option.exit_status, 2);
  EXPECT_THAT(option.err, AllOf(HasSubstr("--cluster"), HasSubstr("empty")));
  std::string text = ReadFile(context_);
  text.replace(text.find("\"default\""), 9, "\"\"");
  const ProgramResult file =
      Trustctl({"--context", directory_.WriteFile("admin/no-cluster.toml", text), "trust", "list"});
  EXPECT_EQ(file.exit_status, 2);
  EXPECT_THAT(file.err, AllOf(HasSubstr("no-cluster.toml"), HasSubstr("`cluster` is empty")));
  EXPECT_EQ(file.out, "");
}

TEST_F(TrustctlTest, ExportOfNothingSaysSoAndWritesNoFile) {
  const std::string out = PathOf("none.pem");
  const ProgramResult none = Run({"trust", "export", "--role", "CCM", "--role", "TFTP", "--out", out});
  EXPECT_EQ(none.exit_status, 1);
  EXPECT_EQ(none.err, "no certificate has the role CCM or TFTP: " + out + " was not written\n");
  EXPECT_FALSE(std::filesystem::exists(out));
  const ProgramResult all = Run({"trust", "export"});
  EXPECT_EQ(all.exit_status, 1);
  EXPECT_EQ(all.out, "");
  EXPECT_THAT(all.err, StartsWith("no certificate has "));
  const ProgramResult json = Run({"trust", "export", "--output", "json"});
  EXPECT_EQ(json.exit_status, 2);
  EXPECT_THAT(json.err, HasSubstr("PEM only"));
}

TEST_F(TrustctlTest, AddReadsTheStandardInput) {
  trust_store_.result.set_commit(17);
  trust_store_.result.set_certificates_added(1);
  const std::vector<std::string> environment = {"TRUSTLINE_CONTEXT=" + context_};
  const std::string add = kProgram + " trust add --role CAPF - < ";
  for (const std::string& bytes :
       {ReadFile(Vector("capf.pem")), std::string(AsText(Certificate::FromPem(ReadFile(Vector("capf.pem")))->der()))}) {
    trust_store_.received = 0;
    const std::string file = directory_.WriteFile("input", bytes);
    const ProgramResult added = RunProgram({"/bin/sh", "-c", add + file}, environment);
    EXPECT_EQ(added.exit_status, 0) << added.err;
    EXPECT_EQ(trust_store_.received, 1);
  }
  const ProgramResult empty = RunProgram({"/bin/sh", "-c", add + "/dev/null"}, environment);
  EXPECT_EQ(empty.exit_status, 1);
  EXPECT_THAT(empty.err, HasSubstr("the standard input: the file is empty"));
}

TEST_F(TrustctlTest, AuditListExportAndVerify) {
  const ProgramResult list =
      Run({"audit", "list", "--since", "2026-11-22T00:00:00Z", "--action", "trust.add", "--output", "csv"});
  EXPECT_EQ(list.exit_status, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("trust.add,,,\"{\"\"count\"\": 3}\",,\r\n"));
  EXPECT_EQ(audit_.asked.since().seconds(), 1'795'305'600);
  EXPECT_EQ(audit_.asked.action(), "trust.add");
  EXPECT_EQ(audit_.asked.limit(), 100);

  const ProgramResult exported = Run({"audit", "export"});
  EXPECT_EQ(audit_.asked.limit(), 0);
  std::istringstream lines(exported.out);
  int events = 0;
  for (std::string line; std::getline(lines, line); ++events) {
    EXPECT_EQ(boost::json::parse(line).at("detail").at("count"), 3);
  }
  EXPECT_EQ(events, 2);

  const ProgramResult intact = Run({"audit", "verify"});
  EXPECT_EQ(intact.exit_status, 0);
  EXPECT_THAT(intact.out, Not(HasSubstr("(nothing)")));
  audit_.finding = "event 2 was altered";
  const ProgramResult findings = Run({"audit", "verify"});
  EXPECT_EQ(findings.exit_status, 1);
  EXPECT_THAT(findings.out, HasSubstr("event 2 was altered"));
}

TEST_F(TrustctlTest, AuditRetireSaysWhatWentAndWhatNot) {
  const ProgramResult retired = Run({"audit", "retire", "--before", "2026-09-01T00:00Z"});
  EXPECT_EQ(retired.exit_status, 0) << retired.err;
  EXPECT_EQ(audit_.retire_before, 1'788'220'800);
  EXPECT_EQ(retired.out,
            "retired 2 audit rows before 2026-09-01T00:00:00Z; a signed checkpoint at number 2 stands for them\n");
  audit_.retire_status = {grpc::StatusCode::FAILED_PRECONDITION, "nothing was retired: 3 rows are not chained"};
  const ProgramResult refused = Run({"audit", "retire", "--before", "400d"});
  EXPECT_EQ(refused.exit_status, 1);
  EXPECT_THAT(refused.err, HasSubstr("3 rows are not chained"));
  EXPECT_EQ(Run({"audit", "retire"}).exit_status, 2);
}

TEST_F(TrustctlTest, AnIdentityForAnotherPersonWorks) {
  const std::string folder = PathOf("anna");
  const ProgramResult issued = Run({"access", "identity", "anna", "--out", folder + "/"});
  ASSERT_EQ(issued.exit_status, 0) << issued.err;
  EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
  const ProgramResult as_anna = Trustctl({"--context", folder + "/context.toml", "access", "list", "--output", "json"});
  EXPECT_EQ(as_anna.exit_status, 0) << as_anna.err;
  EXPECT_EQ(boost::json::parse(as_anna.out).at(0).at("granted_by"), "trustline:default/person/anna");
  const ProgramResult again = Run({"access", "identity", "anna", "--out", folder});
  EXPECT_EQ(again.exit_status, 1);
  EXPECT_THAT(again.err, HasSubstr("exists already"));
  EXPECT_EQ(Run({"access", "identity", "../anna", "--out", PathOf("other")}).exit_status, 1);
}

TEST_F(TrustctlTest, TheTokenStandsAloneOnTheLastLine) {
  const ProgramResult result = Run({"node", "token", "branch1", "--for", "2h"});
  EXPECT_EQ(result.exit_status, 0) << result.err;
  const std::string token = "tl1-" + absl::WebSafeBase64Escape(std::string(32, '\xfb') + std::string(32, '\xff'));
  EXPECT_THAT(result.out, EndsWith("\n" + token + "\n"));
  EXPECT_THAT(result.out,
              HasSubstr("trustline join --server 127.0.0.1:" + std::to_string(itld_->port()) + " --token " + token));
  EXPECT_THAT(result.out, HasSubstr("before 2026-11-22T21:51:00Z"));
}

}  // namespace
}  // namespace trustline
