#include "cli/supervisor/settings.h"

#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/escaping.h"
#include "cli/supervisor/back_off.h"
#include "cli/supervisor/daemon_files.h"
#include "cli/supervisor/node_join.h"
#include "cli/supervisor/preconditions.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/private_postgres.h"
#include "cli/supervisor/site.h"
#include "common/net/http_server.h"
#include "common/posix/unique_fd.h"
#include "common/service/config.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(PortsTest, MoveTogether) {
  ASSERT_OK_AND_ASSIGN(const Ports ports, Ports::WithOffset(10'000));
  EXPECT_EQ(ports.tvs, 12'445);
  EXPECT_EQ(ports.itld_metrics, 19'542);
  EXPECT_EQ(ports.cad_grpc, 19'443);
  EXPECT_EQ(ports.cad_metrics, 19'543);
  EXPECT_EQ(ports.capf, 13'804);
  EXPECT_EQ(ports.sip, 15'060);
  EXPECT_EQ(ports.sip_tls, 15'061);
  EXPECT_EQ(ports.capfd_grpc, 19'444);
  EXPECT_EQ(ports.provisiond_grpc, 19'445);
  EXPECT_EQ(ports.provisiond_metrics, 19'545);
  EXPECT_EQ(ports.capfd_metrics, 19'544);
  EXPECT_EQ(ports.crl, 19'480);
  EXPECT_THAT(Ports::WithOffset(60'000).status(),
              StatusIs(kInvalidArgument, HasSubstr("port 9441 would become 69441")));
  EXPECT_THAT(Ports::WithOffset(-2445).status(), StatusIs(kInvalidArgument, HasSubstr("port 2445 would become 0")));
}

TEST(PortsTest, EachListenerIsOfTheDaemonThatWillListen) {
  const Ports ports = *Ports::WithOffset(0);
  const Settings settings{.listen = "192.0.2.1", .grpc_listen = "192.0.2.2"};
  const auto described = [&](bool with_database) {
    std::set<std::string> all;
    for (const ListenerAddress& listener : Listeners(settings, ports, with_database)) {
      all.insert(fmt::format("{} {} {}", listener.daemon, HostPort(listener.address, listener.port), listener.what));
    }
    return all;
  };
  const std::set<std::string> joined = {"tvsd 192.0.2.1:2445 phones, TVS", "tvsd 192.0.2.1:9480 CRLs over HTTP",
                                        "tvsd 192.0.2.2:9441 gRPC of tvsd",
                                        "tvsd 127.0.0.1:9541 metrics and health of tvsd"};
  EXPECT_EQ(described(false), joined);
  std::set<std::string> whole = joined;
  whole.insert({"itld 192.0.2.2:9442 gRPC of itld", "itld 127.0.0.1:9542 metrics and health of itld",
                "cad 192.0.2.2:9443 gRPC of cad", "cad 127.0.0.1:9543 metrics and health of cad",
                "capfd 192.0.2.1:3804 phones, CAPF", "capfd 192.0.2.2:9444 gRPC of capfd",
                "capfd 127.0.0.1:9544 metrics and health of capfd", "provisiond 192.0.2.1:5060 reports, SIP over TCP",
                "provisiond 192.0.2.1:5060 reports, SIP over UDP", "provisiond 192.0.2.1:5061 reports, SIP over TLS",
                "provisiond 192.0.2.2:9445 gRPC of provisiond",
                "provisiond 127.0.0.1:9545 metrics and health of provisiond"});
  EXPECT_EQ(described(true), whole);
}

TEST(PortsTest, ATakenPortIsNamedWithWhoToAsk) {
  ASSERT_OK_AND_ASSIGN(const auto holder, HttpServer::Start({}, [](std::string_view) { return HttpResponse(); }));
  const uint16_t port = holder->port();
  for (const char* address : {"127.0.0.1", "0.0.0.0", "::"}) {
    EXPECT_THAT(CheckPortsFree({{"phones, TVS", address, port}}),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(fmt::format("port {} for phones, TVS is taken", port)),
                               HasSubstr(fmt::format("ss -ltnp sport = :{}", port)))));
  }
  holder->Stop();
  EXPECT_OK(CheckPortsFree({{"phones, TVS", "127.0.0.1", port}}));
}

TEST(PortsTest, APortIsTriedOverItsOwnTransport) {
  const ListenerAddress udp = {"reports, SIP over UDP", "127.0.0.1", 0, "provisiond", /*is_udp=*/true};
  const UniqueFd holder(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(holder.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  socklen_t length = sizeof(address);
  ASSERT_EQ(getsockname(holder.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  ListenerAddress taken = udp;
  taken.port = ntohs(address.sin_port);
  EXPECT_THAT(CheckPortsFree({taken}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("for reports, SIP over UDP is taken"), HasSubstr("ss -lunp"))));
  taken.is_udp = false;
  EXPECT_OK(CheckPortsFree({taken}));
}

// The rights are those of the daemon's user, not those of root who starts it.
TEST(PortsTest, ALowPortIsTriedAsTheUserWhoWillListen) {
  if (std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start").get() == '0') return;  // every user has the right
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  SystemUsers users;
  if (geteuid() == 0) {
    users.tvsd = {.name = "nobody", .uid = nobody->pw_uid, .gid = nobody->pw_gid, .shared_group = nobody->pw_gid};
  }
  EXPECT_THAT(CheckPortsFree({{"phones, TVS", "127.0.0.1", 1}}, users),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("--port-offset 10000")));
  if (geteuid() == 0) {
    EXPECT_OK(CheckPortsFree({{"gRPC of itld", "127.0.0.1", 1, "itld"}}, users));
    EXPECT_OK(CheckPortsFree({{"gRPC of cad", "127.0.0.1", 1, "cad"}}, users));
    users.cad = users.tvsd;
    EXPECT_THAT(CheckPortsFree({{"gRPC of cad", "127.0.0.1", 1, "cad"}}, users),
                StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_OK(CheckPortsFree({{"phones, CAPF", "127.0.0.1", 1, "capfd"}}, users));
    users.capfd = users.tvsd;
    EXPECT_THAT(CheckPortsFree({{"phones, CAPF", "127.0.0.1", 1, "capfd"}}, users),
                StatusIs(absl::StatusCode::kPermissionDenied));
    EXPECT_OK(CheckPortsFree({{"reports", "127.0.0.1", 1, "provisiond", true}}, users));
    users.provisiond = users.tvsd;
    EXPECT_THAT(CheckPortsFree({{"reports", "127.0.0.1", 1, "provisiond", true}}, users),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
}

TEST(PortsTest, AnAddressOfAnotherMachineIsNamed) {
  // RFC 5737: for documentation, never configured.
  EXPECT_THAT(CheckPortsFree({{"phones, TVS", "192.0.2.1", 2445}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no address of this machine")));
}

TEST(SettingsTest, AddressesAreChecked) {
  EXPECT_THAT(CompleteSettings({.listen = "localhost"}).status(), StatusIs(kInvalidArgument, HasSubstr("--listen")));
  EXPECT_THAT(CompleteSettings({.grpc_listen = "10.0.0"}).status(),
              StatusIs(kInvalidArgument, HasSubstr("--grpc-listen")));
}

TEST(SettingsTest, TheDataDirectoryBecomesAbsolute) {
  ASSERT_OK_AND_ASSIGN(const Settings settings, CompleteSettings({.data = "a/../b/", .migrations = "x"}));
  EXPECT_EQ(settings.data, (std::filesystem::current_path() / "b").string());
}

TEST(AddressTest, Texts) {
  EXPECT_EQ(HostPort("127.0.0.1", 9441), "127.0.0.1:9441");
  EXPECT_EQ(HostPort("::1", 9441), "[::1]:9441");
  EXPECT_EQ(LocalAddress("::"), "127.0.0.1");
  EXPECT_EQ(LocalAddress("10.1.2.3"), "10.1.2.3");
}

TEST(BackOffTest, DoublesAndForgives) {
  BackOff back_off;
  absl::Duration expected = absl::Milliseconds(200);
  for (int death = 0; death < 6; ++death, expected *= 2) EXPECT_EQ(back_off.AfterDeath(absl::Seconds(1)), expected);
  EXPECT_EQ(back_off.AfterDeath(absl::Seconds(1)), absl::Seconds(10));
  EXPECT_EQ(back_off.AfterDeath(absl::Seconds(1)), absl::Seconds(10));
  EXPECT_EQ(back_off.AfterDeath(absl::Seconds(30)), absl::Milliseconds(200));
}

TEST(PostgresProgramTest, VersionTexts) {
  EXPECT_THAT(ParsePostgresVersion("postgres (PostgreSQL) 15.12 (Debian 15.12-0+deb12u2)\n"), IsOkAndHolds(15));
  EXPECT_THAT(ParsePostgresVersion("postgres (PostgreSQL) 17beta1\n"), IsOkAndHolds(17));
  EXPECT_THAT(ParsePostgresVersion("psql 15").status(), StatusIs(kInvalidArgument));
}

TEST(PostgresProgramTest, AFolderWithoutItIsNamed) {
  EXPECT_THAT(FindPostgres("/nonexistent").status(),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("/nonexistent"), HasSubstr("--postgres-bin-dir"))));
}

TEST(ProgramTest, IsCheckedForThoseWhoRunIt) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() / "tvsd";
  EXPECT_THAT(CheckProgram(path, false), StatusIs(absl::StatusCode::kNotFound, HasSubstr(path)));
  directory.WriteFile("tvsd", "x");
  chmod(path.c_str(), 0700);
  EXPECT_OK(CheckProgram(path, false));
  EXPECT_THAT(CheckProgram(path, true), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod 755")));
  chmod(path.c_str(), 0600);
  EXPECT_THAT(CheckProgram(path, false), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod 755")));
}

TEST(PasswordFileTest, IsReadAsWritten) {
  const SecretBytes content = NewPasswordFile("trustline_tvsd");
  ASSERT_OK_AND_ASSIGN(const SecretBytes password, PasswordOf(content));
  EXPECT_EQ(password.size(), 48u);
  EXPECT_EQ(content.ExposeSecret(), fmt::format("*:*:*:trustline_tvsd:{}\n", password.ExposeSecret()));
  EXPECT_NE(NewPasswordFile("trustline_tvsd").ExposeSecret(), content.ExposeSecret());
  for (const char* broken : {"", "*:*:*:a:\n", "a:short\n", "*:*:*:a:0123456789012345678901234567"}) {
    EXPECT_THAT(PasswordOf(SecretBytes(broken)).status(), StatusIs(absl::StatusCode::kDataLoss)) << broken;
  }
}

TEST(TomlTextTest, AnyTextComesBack) {
  const std::string text = "host='/x y' \"q\" \\ \t\n\x01 end";
  ASSERT_OK_AND_ASSIGN(const ConfigFile file, ConfigFile::Parse("a = " + TomlText(text) + "\n", "x.toml"));
  EXPECT_THAT(file.root().Text("a"), IsOkAndHolds(text));
}

TEST(JoinedNodeTest, IsReadAsWritten) {
  const TemporaryDirectory directory;
  const JoinedNode written{.node = "node2", .server = "itld:9442", .database = "host='/a b' user=\"x\""};
  const std::string path = directory.path() / "joined.toml";
  ASSERT_OK(written.Write(path));
  ASSERT_OK_AND_ASSIGN(const JoinedNode read, JoinedNode::Read(path));
  EXPECT_EQ(read.node, written.node);
  EXPECT_EQ(read.server, written.server);
  EXPECT_EQ(read.database, written.database);
}

TEST(JoinTokenTest, HoldsDigestAndSecret) {
  const std::string digest(32, '\xfb'), secret(32, 's');
  ASSERT_OK_AND_ASSIGN(const JoinToken token, JoinToken::Parse("tl1-" + absl::WebSafeBase64Escape(digest + secret)));
  EXPECT_EQ(AsText(token.authority_sha256), digest);
  EXPECT_EQ(token.secret.ExposeSecret(), secret);
}

TEST(JoinTokenTest, AnythingElseIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("tl1-"), std::string("tl1-AAAA"),
        "tl2-" + absl::WebSafeBase64Escape(std::string(64, 'x')),
        "tl1-" + absl::WebSafeBase64Escape(std::string(63, 'x')), std::string("tl1-") + std::string(86, '!')}) {
    EXPECT_THAT(JoinToken::Parse(text).status(), StatusIs(kInvalidArgument, HasSubstr("trustctl node token"))) << text;
  }
}

}  // namespace
}  // namespace trustline
