// The built program's own errors: nothing is asked of a service.
#include "cli/trustctl/context.h"
#include "tests/support/run_program.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ProgramResult Trustctl(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), TRUSTLINE_BIN_DIR "/trustctl");
  return RunProgram(arguments, std::move(environment));
}

TEST(TrustctlUsageTest, WithoutAContextItSaysHowToGetOne) {
  const ProgramResult result = Trustctl({"trust", "list"});
  EXPECT_EQ(result.exit_status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, AllOf(StartsWith("trustctl: no context"), HasSubstr("TRUSTLINE_CONTEXT"),
                                HasSubstr("DIR/admin/context.toml")));
}

TEST(TrustctlUsageTest, ABadContextFileIsNamed) {
  const TemporaryDirectory directory;
  const std::string path = directory.WriteFile("context.toml", "cluster = 7\n");
  EXPECT_THAT(Trustctl({"--context", path, "trust", "list"}).err, HasSubstr("context.toml:1"));
  const ProgramResult missing = Trustctl({"trust", "list"}, {"TRUSTLINE_CONTEXT=/nonexistent.toml"});
  EXPECT_EQ(missing.exit_status, 1);
  EXPECT_THAT(missing.err, HasSubstr("/nonexistent.toml"));
  // The context is fine, the identity it names is not there.
  const std::string no_identity =
      directory.WriteFile("no-identity.toml", ContextFileText("default", {{"itld", "127.0.0.1:1"}}));
  EXPECT_THAT(Trustctl({"--context", no_identity, "trust", "list"}).err, HasSubstr("identity.key"));
}

TEST(TrustctlUsageTest, WrongUsageIsStatusTwo) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"trust"},
           {"trust", "add", "--role", "PHONE", "a.pem"},
           {"trust", "add", "--role", "CCM"},
           {"trust", "show", "xyz"},
           {"--output", "yaml", "version"},
           {"trust", "add", "a.pem"},
           {"trust", "add", "--anchor", "--listed", "a.pem"},
           {"trust", "set", "3f2a", "--listed", "--unlisted"},
           {"node", "approve"},
           {"trust", "add", "--role", "CCM", "--ttl", "31d", "a.pem"},
           {"trust", "set", "3f2a", "--ttl", "1500ms"},
           {"trust", "export", "--output", "csv"},
           {"query", "--issuer", "nonsense", "--serial", "01"},
           {"node", "token", "branch1", "--for", "8d"},
           {"audit", "list", "--limit", "-1"},
           {"--cluster", "", "trust", "list"},
           {"--cluster=", "trust", "list"},
           {"device"},
           {"device", "add", "SEP1"},
           {"device", "add", "SEP001122334455", "--model", std::string(201, 'x')},
           {"device", "list", "--state", "lost"},
           {"device", "list", "--name", "a*"},
           {"device", "retire", "SEP001122334455"},
           {"device", "retire", "SEP001122334455", "--reason", ""},
           {"device", "replace", "SEP001122334455"},
           {"device", "import"},
           {"lsc", "enroll", "SEP001122334455"},
           {"lsc", "enroll", "SEP001122334455", "--csr", "a", "--days", "1826"},
           {"lsc", "enroll", "SEP001122334455", "--csr", "a", "--request-id", ""},
           {"lsc", "enroll", "SEP001122334455", "--csr", "a", "--request-id", "a b"},
           {"lsc", "list", "--state", "good"},
           {"lsc", "list", "--key", "abc"},
           {"lsc", "list", "--authority", "0"},
           {"lsc", "show", "abc"},
           {"lsc", "revoke"},
           {"lsc", "revoke", "0000"},
           {"lsc", "revoke", "--authority", "1"},
           {"lsc", "revoke", "--superseded"},
           {"lsc", "revoke", "5b7a", "--authority", "1", "--superseded"},
           {"lsc", "revoke", "5b7a", "--reason", "stolen"},
           {"lsc", "export", "--output", "json"},
           {"lsc", "purge"},
           {"lsc", "purge", "--expired-before", "soon"},
           {"ca", "show", "two"},
           {"ca", "csr", "--key", "rsa:1024"},
           {"ca", "csr", "--subject", "Phones"},
           {"ca", "import-chain"},
           {"ca", "rollover", "prepare", "--days", "10951"},
           {"ca", "rollover", "activate"},
           {"ca", "audit", "--since", "yesterday"},
           {"ca", "client-authority", "add", "a.pem"},
           {"ca", "client-authority", "remove", "--purpose", "phones", "8be1"},
           {"ca", "block-keys", "keys.txt"},
           {"capf"},
           {"capf", "schedule", "install"},
           {"capf", "schedule", "install", "SEP1"},
           {"capf", "schedule", "install", "CSFA", "--from-csv", "a.csv"},
           {"capf", "schedule", "install", "CSFA", "--auth", "pin"},
           {"capf", "schedule", "install", "CSFA", "--key", "rsa:1024"},
           {"capf", "schedule", "install", "CSFA", "--digits", "3"},
           {"capf", "schedule", "install", "CSFA", "--by", "soon"},
           {"capf", "schedule", "install", "CSFA", "--auth", "null", "--digits", "8"},
           {"capf", "schedule", "install", "--from-csv", "a.csv"},
           {"capf", "schedule", "fetch", "CSFA", "--codes-out", "codes.csv"},
           {"capf", "schedule", "fetch", "CSFA", "--key", "rsa:2048"},
           {"capf", "schedule", "none", "CSFA", "--auth", "null"},
           {"capf", "list", "--state", "lost"},
           {"capf", "list", "--operation", "none"},
           {"capf", "list", "--campaign", "0"},
           {"capf", "report", "--lsc-status", "good"},
           {"capf", "report", "--expires-before", "soon"},
           {"capf", "stale", "--limit", "-1"},
           {"capf", "policy", "set"},
           {"capf", "policy", "set", "--require-sudi", "yes"},
           {"capf", "campaign", "create"},
           {"capf", "campaign", "create", "--expires-within", "0s"},
           {"capf", "campaign", "create", "--authority", "1", "--wave", "0"},
           {"capf", "campaign", "create", "--authority", "1", "--hours", "22-05"},
           {"capf", "campaign", "create", "--authority", "1", "--hours", "24:01-05:00"},
           {"capf", "campaign", "create", "--authority", "1", "--hours", "05:00-05:00"},
           {"capf", "campaign", "create", "--authority", "1", "--hours", "00:00-24:00"},
           {"capf", "campaign", "create", "--authority", "1", "--hours", ""},
           {"capf", "campaign", "create", "--authority", "1", "--auth", "string"},
           {"capf", "campaign", "create", "--issuer", "1", "--stop-at-failures", "101%"},
           {"capf", "campaign", "create", "--issuer", "1", "--stop-at-failures", "%"},
           {"capf", "campaign", "start", "one"},
           {"phones"},
           {"phones", "report", "--status", "good"},
           {"phones", "report", "--since", "yesterday"},
           {"phones", "report", "--limit", "-1"},
           {"phones", "report", "--summary", "--evidence"},
           {"phones", "show", "SEP1"},
           {"phones", "history"},
           {"phones", "adoption", "--points", "1"},
           {"phones", "watch", "--since", "1d"},
           {"phones", "why"},
           {"phones", "report", "--cure", "prayer"},
           {"phones", "report", "--summary", "--cure", "reset"},
           {"phones", "forecast", "--until", "soon"},
           {"plan"},
           {"plan", "rollover"},
           {"plan", "rollover", "--signer", "sast"},
           {"plan", "migrate"},
           {"trust", "remove", "3f2a", "--override"},
           {"trust", "remove", "3f2a", "--reason", "r"},
           {"trust", "remove", "3f2a", "--accept-unproven", "some"},
           {"node", "remove", "branch1", "--override"},
           {"forwarder", "add"},
           {"forwarder", "add", "192.0.2.10", "--requests", "INVITE"},
           {"forwarder", "remove"},
           {"forwarder", "claims", "reject"},
           {"itl", "server", "name", "add", "tftp1"},
           {"listener", "csr", "--key", "rsa:1024"},
           {"listener", "csr", "--subject", "TVS"},
           {"listener", "renew", "extra"},
           {"listener", "import-cert"},
           {"help"},
           {"frobnicate"}}) {
    const ProgramResult result = Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 2) << testing::PrintToString(arguments);
    EXPECT_THAT(result.err, AllOf(StartsWith("trustctl: "), HasSubstr("--help")));
    EXPECT_EQ(result.out, "");
  }
}

TEST(TrustctlUsageTest, WordsThatAreNoneAreAnsweredWithThoseThereAre) {
  EXPECT_THAT(
      Trustctl({"lsc", "revoke", "5b7a", "--reason", "stolen"}).err,
      HasSubstr("unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, "
                "privilegeWithdrawn"));
  EXPECT_THAT(Trustctl({"ca", "csr", "--key", "rsa:1024"}).err, HasSubstr("rsa:2048, rsa:3072, rsa:4096"));
  EXPECT_THAT(Trustctl({"device", "list", "--state", "lost"}).err, HasSubstr("in-service, replaced, retired"));
  EXPECT_THAT(Trustctl({"phones", "report", "--status", "good"}).err,
              HasSubstr("Match, Mismatch, Not-Installed, Unknown, Foreign"));
  EXPECT_THAT(Trustctl({"forwarder", "add", "a", "--requests", "INVITE"}).err, HasSubstr("REFER, REGISTER, OPTIONS"));
}

TEST(TrustctlUsageTest, HelpVersionAndCompletionNeedNoContext) {
  EXPECT_EQ(Trustctl({"--help"}).exit_status, 0);
  EXPECT_THAT(Trustctl({"trust", "add", "--help"}).out, HasSubstr("Example:"));
  EXPECT_EQ(Trustctl({"version"}).out, "trustctl " TRUSTLINE_VERSION "\n");
  const ProgramResult version = Trustctl({"--version"});
  EXPECT_EQ(version.exit_status, 0);
  EXPECT_EQ(version.out, "trustctl " TRUSTLINE_VERSION "\n");
  EXPECT_THAT(Trustctl({"completion", "fish"}).out, HasSubstr("complete -c trustctl"));
}

}  // namespace
}  // namespace trustline
