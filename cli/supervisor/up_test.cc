// Starts, stops, refusals and a second node.
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "cli/supervisor/identities.h"
#include "cli/supervisor/private_postgres.h"
#include "cli/supervisor/up_testing.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

INSTANTIATE_TEST_SUITE_P(Starters, UpTest, ::testing::Values(Starter::kThisUser, Starter::kNobody), StarterName);

TEST_P(UpTest, StartsStopsAndKeepsItsData) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const std::string nodes = AwaitNodes(offset_);
  EXPECT_THAT(nodes, AllOf(HasSubstr("trustline:default/tvsd/node1"), Not(HasSubstr("waits for approval"))));
  EXPECT_THAT(output_, AllOf(HasSubstr("making the LSC authority"), HasSubstr("making the CAPF certificate")));
  const std::vector<UniqueFd> children = WatchChildren();
  EXPECT_EQ(Stop(), "ended with status 0") << output_;
  ExpectEnded(children);
  EXPECT_TRUE(fs::is_empty(DataPaths(data_).run()));

  // The server may log what it is told: no password is in it.
  std::ofstream(data_ + "/postgres/postgresql.auto.conf", std::ios::app) << "log_statement = 'all'\n";
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Ask({"node", "list"}), nodes);
  ASSERT_OK_AND_ASSIGN(const std::string log, ReadSmallFile(DataPaths(data_).log("postgres")));
  for (const char* name : {"tvsd", "itld", "cad", "capfd", "provisiond"}) {
    ASSERT_OK_AND_ASSIGN(std::string content, ReadSmallFile(fmt::format("{}/{}/database.pgpass", data_, name)));
    ASSERT_OK_AND_ASSIGN(const SecretBytes password, PasswordOf(SecretBytes::TakeFrom(content)));
    EXPECT_THAT(log, AllOf(HasSubstr(fmt::format("ALTER ROLE \"trustline_{}\" PASSWORD 'SCRAM-SHA-256", name)),
                           Not(HasSubstr(std::string(password.ExposeSecret())))));
  }

  // Made once, at the first start.
  EXPECT_THAT(output_,
              AllOf(Not(HasSubstr("making the LSC authority")), Not(HasSubstr("making the CAPF certificate"))));

  // A second supervisor keeps off.
  const auto second = RunToEnd(Command("trustline", UpArguments()), kStartTime);
  ASSERT_OK(second);
  EXPECT_EQ(WaitStatusText(second->wait_status), "ended with status 1");
  EXPECT_THAT(second->output,
              HasSubstr(fmt::format("is in use: another trustline up runs on it (process {})", up_->pid())));
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, WhoRunsWhat) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const bool own_users = geteuid() == 0 && !user_;
  for (const char* name : kChildren) {
    struct stat status;
    ASSERT_EQ(stat(fmt::format("/proc/{}", Record(name).pid).c_str(), &status), 0);
    const passwd* expected = own_users ? getpwnam(fmt::format("trustline-{}", name).c_str()) : nullptr;
    EXPECT_THAT(ReadSmallFile(fmt::format("/proc/{}/limits", Record(name).pid)),
                IsOkAndHolds(ContainsRegex("Max core file size +0 +0 ")));
    EXPECT_EQ(status.st_uid, own_users ? expected->pw_uid : user_ ? user_->uid : geteuid()) << name;
  }
  if (!own_users) {
    EXPECT_THAT(output_, HasSubstr("everything runs as"));
  }
  // No secret is open to anybody but its owner.
  for (const auto& entry : fs::recursive_directory_iterator(data_)) {
    const std::string name = entry.path().filename();
    if (entry.is_directory() || (!name.ends_with(".key") && !name.ends_with("pgpass") && name != "passphrase"))
      continue;
    EXPECT_EQ(entry.status().permissions() & (fs::perms::group_all | fs::perms::others_all), fs::perms::none)
        << entry.path();
  }
  EXPECT_EQ(Stop(), "ended with status 0");
}

// An administrator's word on the lists outlasts a start.
TEST_P(UpTest, AnApprovedNodeThatWasTakenOffTheListsStaysOff) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  ASSERT_OK_AND_ASSIGN(const Certificate tvs,
                       ReadTvsCertificate(DataPaths(data_).tvsd(), OwnerOf(DataPaths(data_).tvsd())));
  Ask({"trust", "set", ToHex(tvs.sha256()), "--unlisted", "--override", "--yes", "--reason", "a test"});
  EXPECT_EQ(Stop(), "ended with status 0");
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, Not(HasSubstr("approving")));
  EXPECT_THAT(Ask({"--output", "json", "trust", "list", "--role", "TVS"}), HasSubstr(R"("listed":false)"));
  EXPECT_THAT(Ask({"node", "approve", "node1"}), HasSubstr("is listed (commit"));
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, AStartThatIsStoppedEndsCleanly) {
  ASSERT_TRUE(StartUntil("starting itld")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0") << output_;
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
}

// After a rest that was longer than the identity of tvsd.
TEST_P(UpTest, ANodeWhoseIdentityHasEndedJoinsAgainAsItWas) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
  const DataPaths paths(data_);
  const auto end_identity = [&] {
    ASSERT_OK_AND_ASSIGN(const IdentityAuthority authority, [&]() -> absl::StatusOr<IdentityAuthority> {
      const ActAs scope(OwnerOf(paths.itld()));
      return IdentityAuthority::Load(paths.itld() + "/identity-authority.crt", paths.itld() + "/identity-authority.key",
                                     paths.itld() + "/passphrase");
    }());
    ASSERT_OK_AND_ASSIGN(const Identity identity, Identity::Create(kSystemCluster, "tvsd", kLocalNode));
    ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
    ASSERT_OK_AND_ASSIGN(const Certificate certificate,
                         authority.IssueIdentity(key, identity, absl::Now() - absl::Hours(24 * 200)));
    const ActAs scope(OwnerOf(paths.tvsd()));
    ASSERT_OK(WriteIdentity(IdentityFilesIn(paths.tvsd()), key, certificate, authority.certificate()));
  };
  const auto has_ended = [&] { return IdentityHasEnded(paths.tvsd(), OwnerOf(paths.tvsd()), absl::Now()); };
  end_identity();
  ASSERT_THAT(has_ended(), IsOkAndHolds(true));
  ASSERT_OK_AND_ASSIGN(const Certificate tvs, ReadTvsCertificate(paths.tvsd(), OwnerOf(paths.tvsd())));

  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, HasSubstr("the identity of node1 is past its end: joining again"));
  EXPECT_THAT(output_, Not(HasSubstr("no valid identity")));
  EXPECT_THAT(has_ended(), IsOkAndHolds(false));
  // Phones know it by its certificate, and that is trusted and listed again.
  EXPECT_THAT(output_, HasSubstr("approving node1"));
  EXPECT_THAT(Ask({"--output", "json", "trust", "list", "--role", "TVS"}), HasSubstr(R"("listed":true)"));
  EXPECT_THAT(ReadTvsCertificate(paths.tvsd(), OwnerOf(paths.tvsd())), IsOkAndHolds(tvs));
  EXPECT_THAT(Ask({"--output", "json", "trust", "list"}), HasSubstr(ToHex(tvs.sha256())));
  EXPECT_FALSE(FileExists(paths.tvsd() + ".rejoin"));

  // One that an administrator removed stays removed.
  Ask({"node", "remove", "node1"});
  EXPECT_EQ(Stop(), "ended with status 0");
  end_identity();
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, HasSubstr("tvsd has no valid identity: the node node1 was removed from the system"));
  EXPECT_THAT(has_ended(), IsOkAndHolds(true));
  EXPECT_EQ(Stop(), "ended with status 0");
}

MATCHER(IsOneLine, "is one line") { return std::ranges::count(arg, '\n') == 1; }

TEST_P(UpTest, RefusalsMakeNothing) {
  // A port that somebody holds.
  const Ports ports = *Ports::WithOffset(offset_);
  ASSERT_OK_AND_ASSIGN(auto holder, HttpServer::Start({.address = "127.0.0.1", .port = ports.itld_grpc},
                                                      [](std::string_view) { return HttpResponse(); }));
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(fmt::format("port {} for gRPC of itld is taken", ports.itld_grpc)),
                               HasSubstr("ss -ltnp")));
  EXPECT_FALSE(fs::exists(data_));
  holder->Stop();

  std::vector<std::string> without_postgres = UpArguments();
  without_postgres.insert(without_postgres.end(), {"--postgres-bin-dir", "/nonexistent"});
  EXPECT_THAT(Refusal(without_postgres), HasSubstr("there is no PostgreSQL in /nonexistent"));
  EXPECT_FALSE(fs::exists(data_));

  std::vector<std::string> without_daemons = UpArguments();
  without_daemons.insert(without_daemons.end(), {"--bin-dir", "/nonexistent", "--migrations", "/nonexistent"});
  EXPECT_THAT(Refusal(without_daemons), HasSubstr("/nonexistent/tvsd is missing"));
  EXPECT_FALSE(fs::exists(data_));

  std::vector<std::string> with_tls = UpArguments();
  with_tls.insert(with_tls.end(), {"--public-url", "https://crl.example"});
  EXPECT_THAT(Refusal(with_tls), HasSubstr("--public-url https://crl.example"));
  EXPECT_FALSE(fs::exists(data_));

  // A port for root alone, where the system has such: the daemons are not root's.
  std::ifstream setting("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  int first_free_for_all = 0;
  setting >> first_free_for_all;
  if (first_free_for_all > 445) {
    EXPECT_THAT(Refusal({"up", "--data", data_, "--port-offset", "-2000"}),
                AllOf(HasSubstr("no right to listen on port 445"), HasSubstr("--port-offset 10000")));
    EXPECT_FALSE(fs::exists(data_));
  }
}

TEST_P(UpTest, RefusalsChangeNothing) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
  const DataPaths paths(data_);

  const std::string key = paths.tvsd() + "/tvs.key";
  chmod(key.c_str(), 0644);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(key), HasSubstr("chmod 600")));
  chmod(key.c_str(), 0000);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(key), HasSubstr("not readable")));
  chmod(key.c_str(), 0600);

  // A key that its passphrase does not open.
  const std::string passphrase = paths.tvsd() + "/passphrase";
  std::string right;
  std::getline(std::ifstream(passphrase), right);
  std::ofstream(passphrase) << "wrong\n";
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(key), HasSubstr("restore key and passphrase"), IsOneLine()));
  std::ofstream(passphrase) << right << "\n";

  // A port that somebody holds and that only the site's own file names.
  ASSERT_OK_AND_ASSIGN(auto holder, HttpServer::Start({}, [](std::string_view) { return HttpResponse(); }));
  const std::string local = paths.local_configuration("tvsd");
  std::ofstream(local) << fmt::format("[[listener]]\naddress = \"127.0.0.1\"\nport = {}\n", holder->port());
  chmod(local.c_str(), 0644);
  if (user_) {
    ASSERT_EQ(chown(local.c_str(), user_->uid, user_->gid), 0);
  }
  EXPECT_THAT(Refusal(), AllOf(HasSubstr(fmt::format("port {} for phones, TVS of default is taken", holder->port())),
                               IsOneLine()));
  fs::remove(local);
  holder->Stop();

  // As a newer version would have left it; the file itself belongs to whoever starts.
  ASSERT_OK_AND_ASSIGN(const std::string version, ReadSmallFile(paths.version()));
  const auto write_version = [&](const std::string& text) {
    ASSERT_OK(WriteFileWhole(paths.version(), text, 0644));
    if (user_) {
      ASSERT_EQ(chown(paths.version().c_str(), user_->uid, user_->gid), 0);
    }
  };
  write_version("format 99\nprogram 7.0.0\n");
  EXPECT_THAT(Refusal(), HasSubstr("was written by Trustline 7.0.0"));
  write_version(version);

  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, WhatStandsInCertificatesIsKeptFromTheFirstStart) {
  std::vector<std::string> first = UpArguments();
  first.insert(first.end(), {"--public-url", "http://crl.example:80/", "--organization", "Example AG"});
  ASSERT_TRUE(StartUntil("ready\n", first)) << output_;
  const DataPaths paths(data_);
  EXPECT_THAT(ReadSmallFile(paths.cad() + "/cad.toml"),
              IsOkAndHolds(AllOf(HasSubstr("public_url = \"http://crl.example:80\""),
                                 HasSubstr("organization = \"Example AG\""))));
  ASSERT_OK_AND_ASSIGN(const Certificate tvs, ReadTvsCertificate(paths.tvsd(), OwnerOf(paths.tvsd())));
  EXPECT_THAT(tvs.subject().ToText(), HasSubstr(",O=Example AG,OU=Voice"));
  EXPECT_EQ(Stop(), "ended with status 0");

  std::vector<std::string> second = UpArguments();
  second.insert(second.end(), {"--organizational-unit", "Telephony"});
  ASSERT_TRUE(StartUntil("ready\n", second)) << output_;
  EXPECT_THAT(output_, HasSubstr("organizational_unit is \"Telephony\" from now on, no longer \"Voice\""));
  EXPECT_THAT(ReadSmallFile(paths.cad() + "/cad.toml"),
              IsOkAndHolds(AllOf(HasSubstr("public_url = \"http://crl.example:80\""),
                                 HasSubstr("organizational_unit = \"Telephony\""))));
  EXPECT_THAT(ReadTvsCertificate(paths.tvsd(), OwnerOf(paths.tvsd())), IsOkAndHolds(tvs));
  EXPECT_EQ(Stop(), "ended with status 0");
}

// An administrator's word against phones' CAPF outlasts a start.
TEST_P(UpTest, ARemovedCapfCertificateStaysRemoved) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const std::string path = DataPaths(data_).capfd() + "/capf.crt";
  ASSERT_OK_AND_ASSIGN(const std::string pem, ReadSmallFile(path));
  ASSERT_OK_AND_ASSIGN(const Certificate capf, Certificate::FromPem(pem));
  const std::string fingerprint = ToHex(capf.sha256());
  EXPECT_THAT(Ask({"--output", "json", "trust", "list", "--role", "CAPF"}), HasSubstr(fingerprint));
  Ask({"trust", "remove", fingerprint, "--override", "--yes", "--reason", "a test"});
  EXPECT_EQ(Stop(), "ended with status 0");
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(Ask({"--output", "json", "trust", "list", "--role", "CAPF"}), Not(HasSubstr(fingerprint)));
  EXPECT_THAT(ReadSmallFile(path), IsOkAndHolds(pem));
  EXPECT_EQ(Stop(), "ended with status 0");
}

TEST_P(UpTest, AnotherNodeJoins) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  const Ports ports = *Ports::WithOffset(offset_);
  const std::string said = Ask({"node", "token", "node2"});
  const size_t last_line = said.rfind("tl1-");
  ASSERT_NE(last_line, std::string::npos) << said;
  const std::string token = said.substr(last_line, said.find('\n', last_line) - last_line);
  // The connection that this node's own tvsd has; the other one has the same rights.
  ASSERT_OK_AND_ASSIGN(const std::string tvsd_toml, ReadSmallFile(DataPaths(data_).tvsd() + "/tvsd.toml"));
  const size_t start = tvsd_toml.find("connection = \"") + 14;
  const std::string connection = tvsd_toml.substr(start, tvsd_toml.find('"', start) - start);

  const std::string other = directory_.path() / "other";
  const auto join = [&](const std::string& with_token) {
    return RunToEnd(Command("trustline", {"join", "--server", HostPort("127.0.0.1", ports.itld_grpc), "--token",
                                          with_token, "--name", "node2", "--data", other, "--database", connection}),
                    absl::Seconds(60));
  };
  // A token of another authority: nothing is told to that server, nothing is left.
  std::string foreign = token;
  foreign[10] = foreign[10] == 'A' ? 'B' : 'A';
  ASSERT_OK_AND_ASSIGN(const FinishedProcess refused, join(foreign));
  EXPECT_EQ(WaitStatusText(refused.wait_status), "ended with status 1") << refused.output;
  EXPECT_FALSE(fs::exists(other));

  ASSERT_OK_AND_ASSIGN(const FinishedProcess joined, join(token));
  EXPECT_EQ(WaitStatusText(joined.wait_status), "ended with status 0") << joined.output;
  EXPECT_THAT(joined.output, HasSubstr("trustline up --data " + other));
  EXPECT_THAT(Ask({"node", "list"}), AllOf(HasSubstr("trustline:default/tvsd/node2"),
                                           HasSubstr("node2 waits for approval"), Not(HasSubstr("node1 waits"))));

  ASSERT_OK_AND_ASSIGN(const FinishedProcess again, join(token));
  EXPECT_THAT(again.output, HasSubstr("is a data directory already"));

  // The second node runs tvsd alone.
  const int other_offset = FreePortOffset();
  std::optional<ChildProcess> first = std::exchange(up_, std::nullopt);
  ASSERT_TRUE(StartUntil(
      "ready\n", {"up", "--data", other, "--port-offset", std::to_string(other_offset), "--listen", "127.0.0.1"}))
      << output_;
  EXPECT_THAT(output_, AllOf(Not(HasSubstr("PostgreSQL")), Not(HasSubstr("starting cad")),
                             Not(HasSubstr("starting capfd")), Not(HasSubstr("starting provisiond"))));
  // Where it answers is known, but its own start does not approve it.
  EXPECT_THAT(AwaitNodes(other_offset), HasSubstr("node2 waits for approval"));
  EXPECT_EQ(Stop(), "ended with status 0");
  up_ = std::move(first);
  EXPECT_EQ(Stop(), "ended with status 0");

  // A used token, once the directory is gone.
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  fs::remove_all(other);
  ASSERT_OK_AND_ASSIGN(const FinishedProcess used, join(token));
  EXPECT_EQ(WaitStatusText(used.wait_status), "ended with status 1");
  EXPECT_THAT(used.output, HasSubstr("token"));
  EXPECT_FALSE(fs::exists(other));
  EXPECT_FALSE(fs::exists(other + ".joining"));
  EXPECT_EQ(Stop(), "ended with status 0");
}

}  // namespace
}  // namespace trustline
