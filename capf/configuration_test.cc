#include "capf/configuration.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kListener[] = "[[listener]]\ncertificate = \"capf.crt\"\nkey = \"capf.key\"\n";
constexpr char kServices[] = "[services]\ncad = \"127.0.0.1:9443\"\n";

absl::StatusOr<CapfdConfig> Read(const std::string& text, const std::string& path = "/etc/capfd.toml") {
  ASSIGN_OR_RETURN(const ConfigFile file, ConfigFile::Parse(text, path));
  ASSIGN_OR_RETURN(CapfdConfig config, ReadCapfdConfig(file.root()));
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  return config;
}

absl::StatusOr<CapfdConfig> ReadCapf(const std::string& capf) {
  return Read(fmt::format("{}passphrase_file = \"passphrase\"\n{}[capf]\n{}", kListener, kServices, capf));
}

TEST(CapfdConfigurationTest, HasDefaults) {
  ASSERT_OK_AND_ASSIGN(const CapfdConfig config, ReadCapf(""));
  EXPECT_EQ(config.workers, 0u);
  EXPECT_EQ(config.work_threads, 16u);
  EXPECT_EQ(config.enrolments_per_second, 1'000);
  EXPECT_EQ(config.endpoint.longest_session, absl::Minutes(30));
  EXPECT_EQ(config.cad, "127.0.0.1:9443");
  EXPECT_EQ(config.string_key, "/etc/authentication-strings.key");
  EXPECT_EQ(config.string_key_passphrase_file, "/etc/passphrase");
  EXPECT_EQ(config.replace_string_key, "");
  ASSERT_EQ(config.listeners.size(), 1u);
  EXPECT_EQ(config.listeners[0].server.port, 3804);
  EXPECT_EQ(config.listeners[0].server.patient_deadline, std::chrono::minutes(15));
  EXPECT_FALSE(config.listeners[0].allow_tls10);
}

TEST(CapfdConfigurationTest, TakesWhatIsSaid) {
  ASSERT_OK_AND_ASSIGN(const CapfdConfig config,
                       ReadCapf("workers = 2\nwork_threads = 3\nenrolments_per_second = 4\nkeep_alive = \"5m\"\n"
                                "longest_session = \"6m\"\nstring_key = \"strings\"\npassphrase_file = \"other\"\n"
                                "replace_string_key = \"0123456789abcdef\"\n"));
  EXPECT_EQ(config.workers, 2u);
  EXPECT_EQ(config.work_threads, 3u);
  EXPECT_EQ(config.enrolments_per_second, 4);
  EXPECT_EQ(config.endpoint.longest_session, absl::Minutes(6));
  EXPECT_EQ(config.string_key, "/etc/strings");
  EXPECT_EQ(config.string_key_passphrase_file, "/etc/other");
  EXPECT_EQ(config.replace_string_key, "0123456789abcdef");
  EXPECT_EQ(config.listeners[0].server.patient_deadline, std::chrono::minutes(5));
}

TEST(CapfdConfigurationTest, APhoneMayTakeAsLongAsItsKeepAlive) {
  ASSERT_OK_AND_ASSIGN(const CapfdConfig config, ReadCapf("keep_alive = \"60m\"\n"));
  EXPECT_EQ(config.endpoint.longest_session, absl::Minutes(60));
  EXPECT_THAT(ReadCapf("keep_alive = \"20m\"\nlongest_session = \"10m\"\n").status(),
              StatusIs(kInvalid, AllOf(HasSubstr("longest_session"), HasSubstr("shorter than keep_alive"))));
  for (const char* out_of_range : {"4m", "61m"}) {
    EXPECT_THAT(ReadCapf(fmt::format("keep_alive = \"{}\"\n", out_of_range)).status(),
                StatusIs(kInvalid, HasSubstr("keep_alive")));
  }
}

// The paths of a file that was named by a relative path are not made relative twice.
TEST(CapfdConfigurationTest, TheListenersPassphraseOpensTheStringKeyToo) {
  const std::string text = fmt::format("{}passphrase_file = \"passphrase\"\n{}", kListener, kServices);
  ASSERT_OK_AND_ASSIGN(const CapfdConfig config, Read(text, "etc/capfd.toml"));
  EXPECT_EQ(config.string_key, "etc/authentication-strings.key");
  EXPECT_EQ(config.string_key_passphrase_file, "etc/passphrase");

  const std::string without = fmt::format("{}{}", kListener, kServices);
  EXPECT_THAT(Read(without).status(), StatusIs(kInvalid, AllOf(HasSubstr("passphrase_file"), HasSubstr("is needed"))));
  ASSERT_OK_AND_ASSIGN(const CapfdConfig own, Read(without + "[capf]\npassphrase_file = \"own\"\n"));
  EXPECT_EQ(own.string_key_passphrase_file, "/etc/own");
}

TEST(CapfdConfigurationTest, RefusesWhatIsMissing) {
  EXPECT_THAT(Read(kServices).status(), StatusIs(kInvalid, HasSubstr("[[listener]]")));
  EXPECT_THAT(Read(fmt::format("{}passphrase_file = \"passphrase\"\n", kListener)).status(),
              StatusIs(kInvalid, HasSubstr("cad")));
  EXPECT_THAT(ReadCapf("string_key = \"\"\n").status(), StatusIs(kInvalid, HasSubstr("string_key")));
}

}  // namespace
}  // namespace trustline
