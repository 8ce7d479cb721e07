#include "provisioning/configuration.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kServices[] = "[services]\nitld = \"a:1\"\ntvsd = \"b:2\"\n";
constexpr char kFiles[] = "certificate = \"a.crt\"\nkey = \"a.key\"\n";

absl::StatusOr<ProvisiondConfig> Read(const std::string& text) {
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Parse(text + kServices, "/etc/provisiond.toml"));
  ASSIGN_OR_RETURN(ProvisiondConfig config, ReadProvisiondConfig(file.root()));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  return config;
}

TEST(ProvisiondConfigTest, HasDefaults) {
  ASSERT_OK_AND_ASSIGN(const ProvisiondConfig config, Read(fmt::format("[[sip_listener]]\n{}", kFiles)));
  EXPECT_EQ(config.itld, "a:1");
  EXPECT_EQ(config.tvsd, "b:2");
  EXPECT_EQ(config.workers, 0u);
  EXPECT_EQ(config.pace.per_second, 50);
  EXPECT_EQ(config.pace.burst, 200);
  ASSERT_EQ(config.listeners.size(), 1u);
  const SipListenerConfig& listener = config.listeners[0];
  EXPECT_EQ(listener.cluster, "default");
  ASSERT_TRUE(listener.udp && listener.tcp && listener.tls);
  EXPECT_EQ(listener.udp->port, 5060);
  EXPECT_EQ(listener.udp->name, "[::]:5060/udp");
  EXPECT_EQ(listener.tcp->port, 5060);
  EXPECT_EQ(listener.tcp->name, "[::]:5060");
  EXPECT_EQ(listener.tls->server.port, 5061);
  EXPECT_EQ(listener.tls->files, (ListenerFiles{.certificate = "/etc/a.crt", .key = "/etc/a.key"}));
  EXPECT_TRUE(listener.tls->ask_client_certificate);
  for (const StreamServerOptions& server : {*listener.tcp, listener.tls->server}) {
    EXPECT_EQ(server.connections_per_address, 1'024u);
    EXPECT_EQ(server.connections_total, 20'000u);
    EXPECT_EQ(server.handshake_deadline, std::chrono::seconds(5));
    // Longer than itld is waited for.
    EXPECT_EQ(server.exchange_deadline, std::chrono::seconds(15));
    EXPECT_EQ(server.patient_deadline, std::chrono::minutes(15));
  }
}

TEST(ProvisiondConfigTest, TakesWhatIsSaid) {
  ASSERT_OK_AND_ASSIGN(
      const ProvisiondConfig config,
      Read(fmt::format("[sip]\nworkers = 3\nrequests_per_second = 7\nrequest_burst = 8\n"
                       "[[sip_listener]]\ncluster = \"berlin\"\naddress = \"192.0.2.1\"\ninterface = \"red\"\n"
                       "port = 1\ntls_port = 2\nconnections = 4\nconnections_per_address = 5\n"
                       "handshake_deadline = \"1s\"\nexchange_deadline = \"20s\"\nforwarder_deadline = \"2h\"\n{0}"
                       "passphrase_file = \"p\"\n"
                       "[[sip_listener]]\ntls = false\n"
                       "[[sip_listener]]\nplain = false\n{0}",
                       kFiles)));
  EXPECT_EQ(config.workers, 3u);
  EXPECT_EQ(config.pace.per_second, 7);
  EXPECT_EQ(config.pace.burst, 8);
  EXPECT_THAT(config.Clusters(), ElementsAre("berlin", "default"));
  ASSERT_EQ(config.listeners.size(), 3u);
  const SipListenerConfig& berlin = config.listeners[0];
  EXPECT_EQ(berlin.udp->name, "192.0.2.1:1%red/udp");
  EXPECT_EQ(berlin.udp->interface, "red");
  EXPECT_EQ(berlin.tls->server.name, "192.0.2.1:2%red");
  EXPECT_EQ(berlin.tls->files.passphrase_file, "/etc/p");
  for (const StreamServerOptions& server : {*berlin.tcp, berlin.tls->server}) {
    EXPECT_EQ(server.interface, "red");
    EXPECT_EQ(server.connections_total, 4u);
    EXPECT_EQ(server.connections_per_address, 5u);
    EXPECT_EQ(server.handshake_deadline, std::chrono::seconds(1));
    EXPECT_EQ(server.exchange_deadline, std::chrono::seconds(20));
    EXPECT_EQ(server.patient_deadline, std::chrono::hours(2));
  }
  EXPECT_FALSE(config.listeners[1].tls);
  EXPECT_TRUE(config.listeners[1].udp && config.listeners[1].tcp);
  EXPECT_TRUE(config.listeners[2].tls);
  EXPECT_FALSE(config.listeners[2].udp || config.listeners[2].tcp);
}

TEST(ProvisiondConfigTest, RefusesContradictions) {
  const std::string tls = fmt::format("[[sip_listener]]\n{}", kFiles);
  const std::pair<std::string, std::string> refused[] = {
      {"", "at least one [[sip_listener]]"},
      {"[[sip_listener]]\ntls = false\nplain = false\n", "nothing is left to listen on"},
      {"[[sip_listener]]\n", "certificate"},
      {"[[sip_listener]]\ntls = false\ncertificate = \"a\"\n", "certificate"},
      {tls + tls, "another listener has this address and port"},
      {"[[sip_listener]]\ntls = false\nport = 5061\n" + tls, "tls_port"},
      {tls + "exchange_deadline = \"5s\"\n", "exchange_deadline"},
      {tls + "tls_port = 70000\n", "tls_port"},
      {tls + "prot = 5\n", "prot"},
  };
  for (const auto& [text, words] : refused) {
    EXPECT_THAT(Read(text).status(), StatusIs(kInvalid, AllOf(HasSubstr("/etc/provisiond.toml:"), HasSubstr(words))))
        << text;
  }
  EXPECT_THAT(ReadProvisiondConfig(ConfigFile::Parse(tls, "/x")->root()).status(),
              StatusIs(kInvalid, HasSubstr("itld")));
}

}  // namespace
}  // namespace trustline
