#include "cli/supervisor/daemon_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "cli/supervisor/private_file.h"
#include "common/service/config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

class DaemonFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& folder :
         {paths_.tvsd(), paths_.itld(), paths_.cad(), paths_.capfd(), paths_.provisiond(), paths_.admin()})
      ASSERT_OK(EnsureDirectory(folder, 0700));
  }
  absl::Status WriteTvsd() const { return WriteTvsdConfiguration(paths_, {}, "node1", "host=/x", "", {}, ports_); }
  absl::StatusOr<std::string> Tvsd() const { return ReadSmallFile(paths_.tvsd() + "/tvsd.toml"); }

  TemporaryDirectory directory_;
  DataPaths paths_{directory_.path()};
  Ports ports_ = *Ports::WithOffset(0);
  std::string local_ = paths_.local_configuration("tvsd");
};

TEST_F(DaemonFilesTest, WhatTheSiteAddsComesLast) {
  EXPECT_EQ(local_, directory_.path() / "tvsd.local.toml");
  ASSERT_OK(WriteTvsd());
  ASSERT_OK_AND_ASSIGN(const std::string generated, Tvsd());
  directory_.WriteFile("tvsd.local.toml", "[[listener]]\nport = 2446\n");
  ASSERT_OK(WriteTvsd());
  EXPECT_THAT(Tvsd(), IsOkAndHolds(generated + "\n# From " + local_ + "\n[[listener]]\nport = 2446\n"));

  directory_.WriteFile("itld.local.toml", "# of itld\n");
  ASSERT_OK(WriteItldConfiguration(paths_, {}, "host=/x", {}, ports_));
  EXPECT_THAT(ReadSmallFile(paths_.itld() + "/itld.toml"), IsOkAndHolds(HasSubstr("# of itld")));
}

TEST_F(DaemonFilesTest, CadGetsWhatStandsInCertificates) {
  directory_.WriteFile("cad.local.toml", "[issuance]\ndays = 90\n");
  const SiteSettings site = {
      .public_url = "http://crl.example:9480", .organization = "Example \"AG\"", .organizational_unit = "Voice"};
  ASSERT_OK(WriteCadConfiguration(paths_, {}, "host=/x", "127.0.0.1:9442", site, {}, ports_));
  ASSERT_OK_AND_ASSIGN(const ConfigFile file, ConfigFile::Load(paths_.cad() + "/cad.toml"));
  const auto text = [&](std::string_view table, std::string_view key) { return file.root().Table(table)->Text(key); };
  EXPECT_THAT(text("node", "name"), IsOkAndHolds("node1"));
  EXPECT_THAT(text("identity", "renew_from"), IsOkAndHolds("127.0.0.1:9442"));
  EXPECT_THAT(file.root().Table("grpc")->Integer("port", 1, 65'535), IsOkAndHolds(9443));
  EXPECT_THAT(file.root().Table("metrics")->Integer("port", 1, 65'535), IsOkAndHolds(9543));
  EXPECT_THAT(text("authority", "keys"), IsOkAndHolds("keys"));
  EXPECT_THAT(text("authority", "passphrase_file"), IsOkAndHolds("passphrase"));
  EXPECT_THAT(text("authority", "public_url"), IsOkAndHolds(site.public_url));
  EXPECT_THAT(text("authority", "organization"), IsOkAndHolds(site.organization));
  EXPECT_THAT(text("authority", "organizational_unit"), IsOkAndHolds(site.organizational_unit));
  EXPECT_THAT(text("services", "itld"), IsOkAndHolds("127.0.0.1:9442"));
  EXPECT_THAT(file.root().Table("issuance")->Integer("days", 1, 365), IsOkAndHolds(90));
}

TEST_F(DaemonFilesTest, CapfdGetsItsListenerAndTheWayToCad) {
  directory_.WriteFile("capfd.local.toml", "[capf]\nkeep_alive = \"20m\"\n[[listener]]\nport = 3805\n");
  ASSERT_OK(WriteCapfdConfiguration(paths_, {}, "host=/x", "127.0.0.1:9442", "127.0.0.1:9443", {}, ports_));
  ASSERT_OK_AND_ASSIGN(const ConfigFile file, ConfigFile::Load(paths_.capfd() + "/capfd.toml"));
  const auto text = [&](std::string_view table, std::string_view key) { return file.root().Table(table)->Text(key); };
  EXPECT_THAT(text("node", "name"), IsOkAndHolds("node1"));
  EXPECT_THAT(text("database", "connection"), IsOkAndHolds("host=/x"));
  EXPECT_THAT(text("identity", "renew_from"), IsOkAndHolds("127.0.0.1:9442"));
  EXPECT_THAT(file.root().Table("grpc")->Integer("port", 1, 65'535), IsOkAndHolds(9444));
  EXPECT_THAT(file.root().Table("metrics")->Integer("port", 1, 65'535), IsOkAndHolds(9544));
  EXPECT_THAT(text("services", "cad"), IsOkAndHolds("127.0.0.1:9443"));
  EXPECT_THAT(text("capf", "keep_alive"), IsOkAndHolds("20m"));
  ASSERT_OK_AND_ASSIGN(std::vector<ConfigTable> listeners, file.root().Tables("listener"));
  ASSERT_EQ(listeners.size(), 2u);
  EXPECT_THAT(listeners[0].Text("address"), IsOkAndHolds("::"));
  EXPECT_THAT(listeners[0].Integer("port", 1, 65'535), IsOkAndHolds(3804));
  EXPECT_THAT(listeners[0].Path("certificate"), IsOkAndHolds(paths_.capfd() + "/capf.crt"));
  EXPECT_THAT(listeners[0].Path("key"), IsOkAndHolds(paths_.capfd() + "/capf.key"));
  EXPECT_THAT(listeners[0].PassphrasePath("passphrase"), IsOkAndHolds(paths_.capfd() + "/passphrase"));
  EXPECT_FALSE(listeners[0].Has("allow_tls10"));
}

TEST_F(DaemonFilesTest, ProvisiondGetsItsListenerAndTheWayToItldAndTvsd) {
  directory_.WriteFile("provisiond.local.toml", "[sip]\nrequest_burst = 9\n[[sip_listener]]\nport = 5070\n");
  ASSERT_OK(WriteProvisiondConfiguration(paths_, {}, "host=/x", "127.0.0.1:9442", "127.0.0.1:9441", {}, ports_));
  ASSERT_OK_AND_ASSIGN(const ConfigFile file, ConfigFile::Load(paths_.provisiond() + "/provisiond.toml"));
  const auto text = [&](std::string_view table, std::string_view key) { return file.root().Table(table)->Text(key); };
  EXPECT_THAT(text("node", "name"), IsOkAndHolds("node1"));
  EXPECT_THAT(text("database", "connection"), IsOkAndHolds("host=/x"));
  EXPECT_THAT(text("identity", "renew_from"), IsOkAndHolds("127.0.0.1:9442"));
  EXPECT_THAT(file.root().Table("grpc")->Integer("port", 1, 65'535), IsOkAndHolds(9445));
  EXPECT_THAT(file.root().Table("metrics")->Integer("port", 1, 65'535), IsOkAndHolds(9545));
  EXPECT_THAT(text("services", "itld"), IsOkAndHolds("127.0.0.1:9442"));
  EXPECT_THAT(text("services", "tvsd"), IsOkAndHolds("127.0.0.1:9441"));
  EXPECT_THAT(file.root().Table("sip")->Integer("request_burst", 1, 100), IsOkAndHolds(9));
  ASSERT_OK_AND_ASSIGN(std::vector<ConfigTable> listeners, file.root().Tables("sip_listener"));
  ASSERT_EQ(listeners.size(), 2u);
  EXPECT_THAT(listeners[0].Text("address"), IsOkAndHolds("::"));
  EXPECT_THAT(listeners[0].Integer("port", 1, 65'535), IsOkAndHolds(5060));
  EXPECT_THAT(listeners[0].Integer("tls_port", 1, 65'535), IsOkAndHolds(5061));
  EXPECT_THAT(listeners[0].Path("certificate"), IsOkAndHolds(paths_.provisiond() + "/provisiond.crt"));
  EXPECT_THAT(listeners[0].Path("key"), IsOkAndHolds(paths_.provisiond() + "/provisiond.key"));
  EXPECT_THAT(listeners[0].PassphrasePath("passphrase"), IsOkAndHolds(paths_.provisiond() + "/passphrase"));
}

TEST_F(DaemonFilesTest, CrlsAreServedBesideThePhonesListener) {
  ASSERT_OK(WriteTvsd());
  ASSERT_OK_AND_ASSIGN(const ConfigFile file, ConfigFile::Load(paths_.tvsd() + "/tvsd.toml"));
  ASSERT_OK_AND_ASSIGN(ConfigTable crl, file.root().Table("crl"));
  EXPECT_THAT(crl.Text("address"), IsOkAndHolds("::"));
  EXPECT_THAT(crl.Integer("port", 1, 65'535), IsOkAndHolds(9480));
}

TEST_F(DaemonFilesTest, TheAdministratorReachesEveryService) {
  ASSERT_OK(WriteAdministratorContext(paths_, {}, ports_));
  ASSERT_OK_AND_ASSIGN(const ConfigFile file, ConfigFile::Load(paths_.admin() + "/context.toml"));
  ASSERT_OK_AND_ASSIGN(ConfigTable services, file.root().Table("services"));
  EXPECT_THAT(services.Text("itld"), IsOkAndHolds("127.0.0.1:9442"));
  EXPECT_THAT(services.Text("tvsd"), IsOkAndHolds("127.0.0.1:9441"));
  EXPECT_THAT(services.Text("cad"), IsOkAndHolds("127.0.0.1:9443"));
  EXPECT_THAT(services.Text("capfd"), IsOkAndHolds("127.0.0.1:9444"));
  EXPECT_THAT(services.Text("provisiond"), IsOkAndHolds("127.0.0.1:9445"));
}

TEST_F(DaemonFilesTest, ListenersOfTheSiteAreKnownBeforeTheStart) {
  EXPECT_THAT(LocalListeners(paths_, true), IsOkAndHolds(testing::IsEmpty()));
  directory_.WriteFile("tvsd.local.toml",
                       "[[listener]]\ncluster = \"b\"\naddress = \"127.0.0.1\"\nport = 2446\n"
                       "[[listener]]\nport = 2445\ninterface = \"red\"\n"
                       "[[listener]]\nport = 0\n");
  ASSERT_OK_AND_ASSIGN(const std::vector<ListenerAddress> listeners, LocalListeners(paths_, true));
  ASSERT_EQ(listeners.size(), 1u);
  EXPECT_EQ(listeners[0].what, "phones, TVS of b");
  EXPECT_EQ(HostPort(listeners[0].address, listeners[0].port), "127.0.0.1:2446");
  directory_.WriteFile("tvsd.local.toml", "[[listener]]\nport = 70000\n");
  EXPECT_THAT(LocalListeners(paths_, true).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(local_ + ":2")));
}

TEST_F(DaemonFilesTest, ProvisiondsListenersOfTheSiteAreKnownOverTheirTransports) {
  directory_.WriteFile("provisiond.local.toml",
                       "[[sip_listener]]\ncluster = \"b\"\naddress = \"127.0.0.1\"\nport = 5070\ntls_port = 5071\n"
                       "[[sip_listener]]\ncluster = \"c\"\ntls = false\nport = 5080\n"
                       "[[sip_listener]]\nplain = false\ntls_port = 0\n"
                       "[[sip_listener]]\ninterface = \"red\"\n");
  ASSERT_OK_AND_ASSIGN(const std::vector<ListenerAddress> listeners, LocalListeners(paths_, true));
  std::vector<std::string> described;
  for (const ListenerAddress& listener : listeners) {
    EXPECT_EQ(listener.daemon, "provisiond");
    described.push_back(fmt::format("{} {} {}", listener.what, HostPort(listener.address, listener.port),
                                    listener.is_udp ? "udp" : "tcp"));
  }
  EXPECT_THAT(described, testing::ElementsAre("reports, SIP over UDP of b 127.0.0.1:5070 udp",
                                              "reports, SIP over TCP of b 127.0.0.1:5070 tcp",
                                              "reports, SIP over TLS of b 127.0.0.1:5071 tcp",
                                              "reports, SIP over UDP of c [::]:5080 udp",
                                              "reports, SIP over TCP of c [::]:5080 tcp"));
  EXPECT_THAT(LocalListeners(paths_, false), IsOkAndHolds(testing::IsEmpty()));
  directory_.WriteFile("provisiond.local.toml", "[[sip_listener]]\nport = 70000\n");
  EXPECT_THAT(LocalListeners(paths_, true), IsOkAndHolds(testing::IsEmpty()));
}

TEST_F(DaemonFilesTest, CapfdsListenersOfTheSiteKeepNobodyElse) {
  directory_.WriteFile("capfd.local.toml", "[[listener]]\ncluster = \"b\"\n");
  ASSERT_OK_AND_ASSIGN(const std::vector<ListenerAddress> listeners, LocalListeners(paths_, true));
  ASSERT_EQ(listeners.size(), 1u);
  EXPECT_EQ(listeners[0].what, "phones, CAPF of b");
  EXPECT_EQ(listeners[0].port, 3804);
  EXPECT_EQ(listeners[0].daemon, "capfd");
  EXPECT_THAT(LocalListeners(paths_, false), IsOkAndHolds(testing::IsEmpty()));
  directory_.WriteFile("capfd.local.toml", "[[listener]]\nport = 70000\n");
  EXPECT_THAT(LocalListeners(paths_, true), IsOkAndHolds(testing::IsEmpty()));
}

TEST_F(DaemonFilesTest, NothingInTheDaemonsDirectoryIsAdded) {
  directory_.WriteFile("tvsd/local.toml", "secret");
  ASSERT_OK(WriteTvsd());
  EXPECT_THAT(Tvsd(), IsOkAndHolds(Not(HasSubstr("secret"))));
}

TEST_F(DaemonFilesTest, LinksAndFoldersAreRefused) {
  std::filesystem::create_symlink(directory_.WriteFile("secret", "secret"), local_);
  EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, AllOf(HasSubstr(local_), HasSubstr("plain file"))));
  EXPECT_FALSE(FileExists(paths_.tvsd() + "/tvsd.toml"));
  std::filesystem::remove(local_);
  std::filesystem::create_directory(local_);
  EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, HasSubstr("plain file")));
}

TEST_F(DaemonFilesTest, WhatOthersMayWriteIsRefused) {
  directory_.WriteFile("tvsd.local.toml", "");
  for (const mode_t mode : {0660, 0602}) {
    ASSERT_EQ(chmod(local_.c_str(), mode), 0);
    EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, HasSubstr("chmod go-w " + local_)));
  }
  ASSERT_EQ(chmod(local_.c_str(), 0644), 0);
  EXPECT_OK(WriteTvsd());
  // Only root can give a file away.
  if (geteuid() != 0) return;
  ASSERT_EQ(chown(local_.c_str(), 4711, 0), 0);
  EXPECT_THAT(WriteTvsd(), StatusIs(kFailedPrecondition, HasSubstr("belongs to another user")));
}

}  // namespace
}  // namespace trustline
