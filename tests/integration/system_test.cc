// A site as an administrator has it: trustline up, trustctl, and phones that ask.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "common/net/http_client.h"
#include "common/x509/x509_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/running_system.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

const std::string kVectors = TRUSTLINE_SOURCE_DIR "/tests/vectors/";

// Valid now, as the machine's clock has it.
CertificateTemplate ValidNow(CertificateTemplate form) {
  form.not_before = absl::Now() - absl::Hours(1);
  form.not_after = absl::Now() + absl::Hours(24 * 365);
  return form;
}
Party Authority(const std::string& name) { return MakeSelfSigned(ValidNow(AuthorityForm(name))); }
Party Lone(const std::string& name) { return MakeSelfSigned(ValidNow(LeafForm(name))); }
Party Issued(const std::string& name, const Party& issuer) { return MakeIssued(ValidNow(LeafForm(name)), issuer); }

// One site for all tests of this file; each test uses certificates of its own.
class SystemTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    // The system users must be able to reach it when root runs the tests.
    chmod(directory_->path().c_str(), 0755);
    StartSystem(FreePortOffset());
  }
  static void TearDownTestSuite() {
    StopSystem();
    delete directory_;
  }
  static void StartSystem(int port_offset) {
    auto system = RunningSystem::Start(directory_->path() / "site", port_offset);
    ASSERT_OK(system);
    system_ = system->release();
  }
  static void StopSystem() {
    if (system_ != nullptr) {
      EXPECT_EQ(system_->Stop(), "ended with status 0");
    }
    delete system_;
    system_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(system_, nullptr); }

  static std::string Path(const std::string& name) { return directory_->path() / name; }
  static std::string WriteFile(const std::string& name, const std::string& content) {
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }
  static std::string Fingerprint(const Certificate& certificate) { return ToHex(certificate.sha256()); }

  // trustctl that must succeed; its output.
  static std::string Do(const std::vector<std::string>& arguments) {
    const ProgramResult result = system_->Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 0) << result.out << result.err;
    return result.out;
  }
  // trustctl that must fail with status 1; its error.
  static std::string Refused(const std::vector<std::string>& arguments) {
    const ProgramResult result = system_->Trustctl(arguments);
    EXPECT_EQ(result.exit_status, 1) << result.out << result.err;
    return result.err;
  }

  static std::string Tvs() { return "127.0.0.1:" + std::to_string(system_->Port(2445)); }
  // Asks as a phone; exit status 0 valid, 1 invalid, 2 no answer.
  static int AskAsPhone(const std::string& file, const std::string& tvs = Tvs()) {
    return RunBuilt("phonefleet", {"ask", "--tvs", tvs, file}).exit_status;
  }

  static TemporaryDirectory* directory_;
  static RunningSystem* system_;
};
TemporaryDirectory* SystemTest::directory_ = nullptr;
RunningSystem* SystemTest::system_ = nullptr;

TEST_F(SystemTest, TheRecordedExchangesGetTheirAnswersWholeAndOneByteAtATime) {
  Do({"trust", "add", "--role", "SAST", "--role", "CCM+TFTP", "--ttl", "1h", kVectors + "callmanager.pem"});
  Do({"trust", "add", "--role", "APP-SERVER", kVectors + "appserver-ec.pem"});
  for (const char* name : {"tvs-callmanager.hex", "tvs-appserver-ec.hex", "tvs-capf.hex", "tvs-query-callmanager.hex",
                           "tvs-query-unknown.hex"}) {
    for (const bool bytes : {false, true}) {
      std::vector<std::string> arguments = {"replay", "--tvs", Tvs(), kVectors + "wire/" + name};
      if (bytes) arguments.insert(arguments.begin() + 1, "--bytes");
      const ProgramResult result = RunBuilt("phonefleet", arguments);
      EXPECT_EQ(result.exit_status, 0) << name << " " << bytes << ": " << result.out << result.err;
    }
  }
  EXPECT_THAT(Do({"trust", "add", "--role", "APP-SERVER", kVectors + "appserver-ec.pem"}),
              HasSubstr("nothing changed"));
}

TEST_F(SystemTest, EveryReasonReachesTheAdministrator) {
  const Party root = Authority("Reasons Root");
  const Party good = Issued("good.example", root);
  const Party revoked = Issued("revoked.example", root);
  const Party removed = Lone("removed.example");
  const Party unknown = Lone("unknown.example");
  const std::string root_file = WriteFile("root.pem", root.certificate.ToPem());
  const std::string good_file = WriteFile("good.pem", good.certificate.ToPem());
  const std::string revoked_file = WriteFile("revoked.pem", revoked.certificate.ToPem());
  const std::string removed_file = WriteFile("removed.pem", removed.certificate.ToPem());
  const std::string unknown_file = WriteFile("unknown.pem", unknown.certificate.ToPem());

  EXPECT_EQ(system_->Trustctl({"verify", good_file}).exit_status, 1);
  Do({"trust", "add", "--role", "APP-SERVER", "--anchor", root_file});
  Do({"trust", "add", "--role", "TFTP", removed_file});
  Do({"trust", "remove", Fingerprint(removed.certificate)});
  EXPECT_THAT(Do({"verify", good_file}), AllOf(HasSubstr("valid"), HasSubstr("APP-SERVER")));
  EXPECT_EQ(AskAsPhone(good_file), 0);
  EXPECT_EQ(AskAsPhone(revoked_file), 0);

  // A CRL made by another program.
  const std::string key_file = WriteFile("root.key", "");
  ASSERT_OK(root.key.WriteKeyFile(key_file));
  const std::string serial = ToHex(revoked.certificate.serial());
  WriteFile("index.txt", "R\t360101000000Z\t" + absl::FormatTime("%y%m%d%H%M%SZ", absl::Now(), absl::UTCTimeZone()) +
                             "\t" + (serial.size() % 2 ? "0" : "") + serial + "\tunknown\t/CN=revoked.example\n");
  WriteFile("crlnumber", "01\n");
  WriteFile("ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=" + Path("index.txt") + "\ncrlnumber=" + Path("crlnumber") +
                          "\ndefault_md=sha256\ndefault_crl_days=1\n");
  const ProgramResult made = RunProgram({"/usr/bin/openssl", "ca", "-config", Path("ca.cnf"), "-gencrl", "-keyfile",
                                         key_file, "-cert", root_file, "-out", Path("root.crl")});
  ASSERT_EQ(made.exit_status, 0) << made.err;
  Do({"trust", "crl", "add", Path("root.crl")});
  const ProgramResult after =
      system_->Trustctl({"verify", revoked_file, good_file, removed_file, unknown_file, "--output", "json"});
  EXPECT_EQ(after.exit_status, 1);
  EXPECT_THAT(after.out, AllOf(HasSubstr("\"revoked\""), HasSubstr("\"removed\""), HasSubstr("\"unknown\"")));
  EXPECT_EQ(AskAsPhone(revoked_file), 1);
  EXPECT_EQ(AskAsPhone(good_file), 0);
  EXPECT_THAT(system_->Trustctl({"verify", good_file, "--role", "SAST"}).out, HasSubstr("wrong role"));
  EXPECT_THAT(Do({"trust", "crl", "list"}), HasSubstr("Reasons Root"));
}

TEST_F(SystemTest, PrefixesMustNameOneCertificate) {
  EXPECT_THAT(Refused({"trust", "remove", "0000000000000000"}), HasSubstr("0000000000000000"));
  EXPECT_EQ(system_->Trustctl({"trust", "remove", "abc"}).exit_status, 2);
}

TEST_F(SystemTest, AFolderIsImportedWholeOrNotAtAll) {
  const std::string folder = Path("folder");
  std::filesystem::create_directory(folder);
  std::vector<Party> parties;
  for (int i = 0; i < 5; ++i) {
    parties.push_back(Lone("folder" + std::to_string(i) + ".example"));
    WriteFile("folder/" + std::to_string(i) + ".pem", parties.back().certificate.ToPem());
  }
  const std::string bad = WriteFile("folder/9.pem", "this is no certificate");
  EXPECT_THAT(Refused({"trust", "add", "--role", "TFTP", folder}), HasSubstr("9.pem"));
  EXPECT_EQ(AskAsPhone(folder + "/0.pem"), 1);
  std::filesystem::remove(bad);
  EXPECT_THAT(Do({"trust", "add", "--role", "TFTP", folder}), HasSubstr("5 certificates"));
  EXPECT_EQ(AskAsPhone(folder + "/4.pem"), 0);
  const std::string exported = Do({"trust", "export", "--role", "TFTP"});
  for (const Party& party : parties) EXPECT_THAT(exported, HasSubstr(party.certificate.ToPem()));
}

TEST_F(SystemTest, APersonDoesOnlyWhatItsRolesAllowAndEveryDenialIsAudited) {
  Do({"access", "grant", "vera", "viewer"});
  Do({"access", "identity", "vera", "--out", Path("vera")});
  const std::string vera = Path("vera/context.toml");
  EXPECT_EQ(system_->Trustctl({"trust", "list"}, vera).exit_status, 0);
  const ProgramResult denied = system_->Trustctl({"trust", "add", "--role", "TFTP", kVectors + "tvs.pem"}, vera);
  EXPECT_EQ(denied.exit_status, 1);
  EXPECT_THAT(denied.err, AllOf(HasSubstr("administrator"), HasSubstr("vera")));
  EXPECT_EQ(system_->Trustctl({"audit", "list"}, vera).exit_status, 1);
  // Denials are written by a queue: wait until both are there.
  std::string events;
  for (const absl::Time deadline = absl::Now() + absl::Seconds(30); absl::Now() < deadline;) {
    events = Do({"audit", "list", "--actor", "trustline:default/person/vera", "--output", "json"});
    if (events.find("TrustStore.Add") != std::string::npos && events.find("Audit.List") != std::string::npos) break;
  }
  EXPECT_THAT(events, AllOf(HasSubstr("TrustStore.Add"), HasSubstr("Audit.List"), HasSubstr("denied")));
  Do({"access", "revoke", "vera", "viewer"});
  for (const absl::Time deadline = absl::Now() + absl::Seconds(30); absl::Now() < deadline;) {
    if (system_->Trustctl({"trust", "list"}, vera).exit_status != 0) break;
  }
  EXPECT_EQ(system_->Trustctl({"trust", "list"}, vera).exit_status, 1);
}

TEST_F(SystemTest, ClustersAreApart) {
  Do({"cluster", "add", "west"});
  const Party party = Lone("west.example");
  const std::string file = WriteFile("west.pem", party.certificate.ToPem());
  Do({"--cluster", "west", "trust", "add", "--role", "TFTP", file});
  EXPECT_THAT(Do({"--cluster", "west", "trust", "list"}), HasSubstr("west.example"));
  EXPECT_THAT(Do({"trust", "list"}), Not(HasSubstr("west.example")));
  EXPECT_EQ(AskAsPhone(file), 1);
}

TEST_F(SystemTest, AnotherMachineJoinsWithATokenAndAnswersFromTheSameTrustStore) {
  const std::string token_output = Do({"node", "token", "node2"});
  const std::string token = token_output.substr(token_output.rfind("tl1-"));
  const std::string token_text = token.substr(0, token.find('\n'));
  const std::string itld = "127.0.0.1:" + std::to_string(system_->Port(9442));
  // The private database is reached through its socket, whose address and password file the first node's configuration
  // names.
  std::ifstream config(system_->data() + "/tvsd/tvsd.toml");
  const std::string toml(std::istreambuf_iterator<char>(config), {});
  const size_t begin = toml.find("connection = \"") + 14;
  const std::string connection = toml.substr(begin, toml.find('"', begin) - begin);

  // A database that cannot be read is found out before the token is used up.
  const ProgramResult blind = RunBuilt(
      "trustline", {"join", "--server", itld, "--token", token_text, "--name", "node2", "--data", Path("blind"),
                    "--database", "host=" + Path("nowhere") + " dbname=trustline user=trustline_tvsd"});
  EXPECT_EQ(blind.exit_status, 1);
  EXPECT_THAT(blind.err, HasSubstr("the token can still be used"));
  EXPECT_FALSE(std::filesystem::exists(Path("blind")));

  const std::string data = Path("node2");
  const std::vector<std::string> join = {"join",  "--server", itld, "--token",    token_text, "--name",
                                         "node2", "--data",   data, "--database", connection};
  const ProgramResult joined = RunBuilt("trustline", join);
  ASSERT_EQ(joined.exit_status, 0) << joined.out << joined.err;
  const ProgramResult again = RunBuilt("trustline", {"join", "--server", itld, "--token", token_text, "--name", "node3",
                                                     "--data", Path("node3"), "--database", connection});
  EXPECT_EQ(again.exit_status, 1);
  EXPECT_THAT(again.err, HasSubstr("token"));
  EXPECT_FALSE(std::filesystem::exists(Path("node3")));
  EXPECT_THAT(Do({"node", "list"}), HasSubstr("node2"));

  const int offset = FreePortOffset();
  ASSERT_OK_AND_ASSIGN(const auto second, RunningSystem::Start(data, offset));
  const std::string second_tvs = "127.0.0.1:" + std::to_string(second->Port(2445));
  const Party party = Lone("both.example");
  const std::string file = WriteFile("both.pem", party.certificate.ToPem());
  EXPECT_EQ(AskAsPhone(file, second_tvs), 1);
  Do({"trust", "add", "--role", "TFTP", file});
  EXPECT_EQ(AskAsPhone(file), 0);
  // The second node may answer "unknown" from its cache for a second, not longer.
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (AskAsPhone(file, second_tvs) != 0) ASSERT_LT(absl::Now(), deadline);
  EXPECT_EQ(second->Stop(), "ended with status 0");
  EXPECT_THAT(Do({"node", "list"}), HasSubstr("node2 waits for approval"));
  EXPECT_THAT(Do({"node", "approve", "node2"}), HasSubstr("is listed (commit"));
  EXPECT_THAT(Do({"node", "list"}), Not(HasSubstr("waits for approval")));
  Do({"node", "remove", "node2"});
}

TEST_F(SystemTest, WhatTheSiteIsKnownByIsApprovedAndListed) {
  const std::string address = "127.0.0.1:" + std::to_string(system_->Port(9441));
  std::string nodes;
  for (const absl::Time deadline = absl::Now() + absl::Seconds(30); absl::Now() < deadline;) {
    nodes = Do({"node", "list", "--output", "json"});
    if (nodes.find(address) != std::string::npos) break;
  }
  EXPECT_THAT(nodes, AllOf(HasSubstr(address), HasSubstr(R"("approved_by":"trustline:default/person/admin")")));
  EXPECT_THAT(Do({"node", "approve", "node1"}), HasSubstr("approved already"));
  EXPECT_THAT(Refused({"node", "approve", "node9"}), HasSubstr("trustctl node list"));
  for (const char* role : {"CAPF", "TVS"}) {
    EXPECT_THAT(Do({"trust", "list", "--role", role, "--output", "json"}), HasSubstr(R"("listed":true)")) << role;
  }

  // What an administrator adds is listed when told so, then or later.
  const Party party = Lone("listed.example");
  const std::string file = WriteFile("listed.pem", party.certificate.ToPem());
  const std::string fingerprint = Fingerprint(party.certificate);
  Do({"trust", "add", "--role", "TFTP", file});
  EXPECT_THAT(Refused({"trust", "add", "--role", "TFTP", "--listed", file}),
              HasSubstr("trustctl trust set " + fingerprint.substr(0, 16) + " --listed"));
  Do({"trust", "set", fingerprint, "--listed"});
  EXPECT_THAT(Do({"trust", "show", fingerprint, "--output", "json"}), HasSubstr(R"("listed":true)"));
  EXPECT_THAT(Do({"trust", "add", "--role", "TFTP", file}), HasSubstr("nothing changed"));
  Do({"trust", "set", fingerprint, "--unlisted"});
  EXPECT_THAT(Do({"trust", "show", fingerprint, "--output", "json"}), HasSubstr(R"("listed":false)"));
}

TEST_F(SystemTest, TheAuditLogIsWholeAndComesOutAsJsonLines) {
  Do({"audit", "verify"});
  Do({"audit", "export", "--out", Path("audit.jsonl")});
  std::ifstream file(Path("audit.jsonl"));
  size_t lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    EXPECT_TRUE(line.starts_with('{') && line.ends_with('}')) << line;
  }
  EXPECT_GT(lines, 3u);
}

TEST_F(SystemTest, MetricsAndHealthAreThereForEachDaemon) {
  for (const uint16_t base : {uint16_t{9541}, uint16_t{9542}, uint16_t{9543}, uint16_t{9544}, uint16_t{9545}}) {
    for (const char* path : {"/health/live", "/health/startup", "/health/ready", "/metrics"}) {
      ASSERT_OK_AND_ASSIGN(const auto response,
                           HttpGet("127.0.0.1", system_->Port(base), path, std::chrono::seconds(5)));
      EXPECT_EQ(response.status, 200) << base << path << response.body;
    }
  }
}

// A panel over a metric that nobody exports would stay empty without a word.
TEST_F(SystemTest, TheGrafanaDashboardShowsMetricsThatExist) {
  std::string exported;
  for (const uint16_t base : {uint16_t{9541}, uint16_t{9542}, uint16_t{9543}, uint16_t{9544}, uint16_t{9545}}) {
    ASSERT_OK_AND_ASSIGN(const auto metrics,
                         HttpGet("127.0.0.1", system_->Port(base), "/metrics", std::chrono::seconds(5)));
    exported += metrics.body;
  }
  std::ifstream file(TRUSTLINE_SOURCE_DIR "/deploy/grafana/trustline.json");
  const std::string dashboard(std::istreambuf_iterator<char>(file), {});
  const std::regex name("(trustline|process)_[a-z0-9_]+");
  std::set<std::string> shown;
  for (std::sregex_iterator match(dashboard.begin(), dashboard.end(), name), end; match != end; ++match) {
    shown.insert(match->str());
  }
  EXPECT_GT(shown.size(), 20u);
  for (const std::string& metric : shown) EXPECT_THAT(exported, HasSubstr("# TYPE " + metric + " ")) << metric;
}

// What phones will know the site by. The last test: it starts the site anew.
TEST_F(SystemTest, TheAuthorityIssuesAndTheCapfCertificateIsTrustedAlsoAfterAStartAnew) {
  std::ifstream file(system_->data() + "/capfd/capf.crt");
  const std::string pem(std::istreambuf_iterator<char>(file), {});
  ASSERT_OK_AND_ASSIGN(const Certificate capf, Certificate::FromPem(pem));
  EXPECT_THAT(capf.subject().ToText(), MatchesRegex("CN=CAPF-[0-9a-f]{8},O=Trustline,OU=Voice"));
  const auto expect_both = [&] {
    EXPECT_THAT(Do({"ca", "show", "--output", "json"}), HasSubstr("\"active\""));
    const std::string trusted = Do({"trust", "list", "--role", "CAPF", "--output", "csv"});
    EXPECT_THAT(trusted, AllOf(HasSubstr(Fingerprint(capf)), HasSubstr("CAPF")));
    // capf.pem of the vectors is not trusted here, so this site's is the only one.
    EXPECT_EQ(std::count(trusted.begin(), trusted.end(), '\n'), 2) << trusted;
    EXPECT_THAT(Do({"verify", "--role", "CAPF", WriteFile("capf.pem", pem)}), HasSubstr("valid"));
  };
  expect_both();
  const std::string authority = Do({"ca", "show", "--pem"});
  const std::string authorities = Do({"ca", "list", "--output", "csv"});
  EXPECT_EQ(std::count(authorities.begin(), authorities.end(), '\n'), 2) << authorities;

  const int port_offset = system_->Port(0);
  StopSystem();
  StartSystem(port_offset);
  ASSERT_NE(system_, nullptr);
  EXPECT_THAT(system_->output(),
              AllOf(Not(HasSubstr("making the LSC authority")), Not(HasSubstr("making the CAPF certificate"))));
  expect_both();
  EXPECT_EQ(Do({"ca", "show", "--pem"}), authority);
}

}  // namespace
}  // namespace trustline
