#include "common/service/listener_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kFiles[] = "certificate = \"a.crt\"\nkey = \"a.key\"\n";

absl::StatusOr<std::vector<ListenerConfig>> Read(const std::string& text) {
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Parse(text, "/etc/x.toml"));
  ASSIGN_OR_RETURN(std::vector<ListenerConfig> listeners, ReadListeners(file.root(), 3804));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  return listeners;
}

TEST(ListenerConfigTest, HasDefaults) {
  ASSERT_OK_AND_ASSIGN(const std::vector<ListenerConfig> listeners, Read(fmt::format("[[listener]]\n{}", kFiles)));
  ASSERT_EQ(listeners.size(), 1u);
  const ListenerConfig& listener = listeners.front();
  EXPECT_EQ(listener.cluster, "default");
  EXPECT_EQ(listener.server.name, "[::]:3804");
  EXPECT_EQ(listener.server.port, 3804);
  EXPECT_EQ(listener.files, (ListenerFiles{.certificate = "/etc/a.crt", .key = "/etc/a.key"}));
  EXPECT_FALSE(listener.allow_tls10);
  EXPECT_EQ(listener.server.connections_per_address, 1'024u);
  EXPECT_EQ(listener.server.connections_total, 20'000u);
  EXPECT_EQ(listener.server.handshake_deadline, std::chrono::seconds(5));
  EXPECT_EQ(listener.server.exchange_deadline, std::chrono::seconds(10));
}

TEST(ListenerConfigTest, TakesWhatIsSaid) {
  ASSERT_OK_AND_ASSIGN(
      const std::vector<ListenerConfig> listeners,
      Read(fmt::format("[[listener]]\n{0}port = 1\n"
                       "[[listener]]\ncluster = \"berlin\"\naddress = \"192.0.2.1\"\nport = 2\ninterface = \"red\"\n{0}"
                       "passphrase_file = \"passphrase\"\nallow_tls10 = true\nconnections_per_address = 3\n"
                       "connections = 4\nhandshake_deadline = \"1s\"\nexchange_deadline = \"2s\"\n"
                       "exempt = [\"10.0.0.0/8\"]\n"
                       "[[listener]]\n{0}port = 2\n",
                       kFiles)));
  ASSERT_EQ(listeners.size(), 3u);
  const ListenerConfig& second = listeners[1];
  EXPECT_EQ(second.server.name, "192.0.2.1:2%red");
  EXPECT_EQ(second.server.interface, "red");
  EXPECT_EQ(second.files.passphrase_file, "/etc/passphrase");
  EXPECT_TRUE(second.allow_tls10);
  EXPECT_EQ(second.server.connections_per_address, 3u);
  EXPECT_EQ(second.server.connections_total, 4u);
  EXPECT_EQ(second.server.handshake_deadline, std::chrono::seconds(1));
  EXPECT_EQ(second.server.exchange_deadline, std::chrono::seconds(2));
  EXPECT_THAT(second.server.exempt_networks, ElementsAre("10.0.0.0/8"));
  EXPECT_THAT(ClustersOf(listeners), ElementsAre("berlin", "default"));
}

TEST(ListenerConfigTest, RefusesWhatCannotListen) {
  EXPECT_THAT(Read("").status(), StatusIs(kInvalid, HasSubstr("at least one [[listener]] is needed")));
  EXPECT_THAT(Read("[[listener]]\nkey = \"a.key\"\n").status(), StatusIs(kInvalid, HasSubstr("certificate")));
  EXPECT_THAT(Read(fmt::format("[[listener]]\n{}port = 70000\n", kFiles)).status(),
              StatusIs(kInvalid, HasSubstr("x.toml:4")));
  const std::string twice = fmt::format("[[listener]]\n{0}[[listener]]\nport = 3804\n{0}", kFiles);
  EXPECT_THAT(Read(twice).status(), StatusIs(kInvalid, AllOf(HasSubstr("x.toml:5"),
                                                             HasSubstr("another listener has this address and port"))));
  EXPECT_OK(Read(fmt::format("[[listener]]\nport = 0\n{0}[[listener]]\nport = 0\n{0}", kFiles)));
}

}  // namespace
}  // namespace trustline
