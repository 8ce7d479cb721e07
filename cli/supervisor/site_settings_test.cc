#include "cli/supervisor/site_settings.h"

#include <filesystem>

#include "cli/supervisor/private_file.h"
#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

class SiteSettingsTest : public ::testing::Test {
 protected:
  absl::StatusOr<DecidedSiteSettings> Decide(const GivenSiteSettings& given, uint16_t crl_port = 9480) const {
    return DecideSiteSettings(path_, given, crl_port);
  }
  // As a start does.
  DecidedSiteSettings Start(const GivenSiteSettings& given, uint16_t crl_port = 9480) const {
    const auto decided = Decide(given, crl_port);
    EXPECT_OK(decided);
    if (!decided.ok()) return {};
    if (decided->must_be_written) {
      EXPECT_OK(decided->settings.Write(path_));
    }
    return *decided;
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path() / "site.toml";
};

TEST_F(SiteSettingsTest, TheFirstStartDecidesAndLaterOnesKeepIt) {
  const DecidedSiteSettings first = Start({.organization = "Example \"AG\""}, 19'480);
  EXPECT_EQ(first.settings, (SiteSettings{.public_url = fmt::format("http://{}:19480", HostName()),
                                          .organization = "Example \"AG\"",
                                          .organizational_unit = "Voice"}));
  EXPECT_TRUE(first.must_be_written);
  EXPECT_THAT(first.changes, IsEmpty());

  // Neither fewer options nor other ports change what stands in certificates.
  const DecidedSiteSettings second = Start({}, 9480);
  EXPECT_EQ(second.settings, first.settings);
  EXPECT_FALSE(second.must_be_written);
  EXPECT_THAT(second.changes, IsEmpty());
}

TEST_F(SiteSettingsTest, AnotherValueReplacesAndIsSaid) {
  Start({.public_url = "http://crl.example:80", .organizational_unit = "Voice"});
  const DecidedSiteSettings changed =
      Start({.public_url = "http://other.example/", .organization = "Trustline", .organizational_unit = "Telephony"});
  EXPECT_TRUE(changed.must_be_written);
  EXPECT_THAT(
      changed.changes,
      ElementsAre(AllOf(HasSubstr("public_url is \"http://other.example\""), HasSubstr("http://crl.example:80")),
                  AllOf(HasSubstr("organizational_unit is \"Telephony\""), HasSubstr("\"Voice\""))));
  const DecidedSiteSettings after = Start({});
  EXPECT_EQ(after.settings, (SiteSettings{.public_url = "http://other.example",
                                          .organization = "Trustline",
                                          .organizational_unit = "Telephony"}));
  // The same value again is no change.
  EXPECT_FALSE(Start({.public_url = "http://other.example"}).must_be_written);
}

TEST_F(SiteSettingsTest, WhatCannotStandInACertificateIsRefused) {
  for (const char* url : {"", "http://", "http:///", "http://:80", "ftp://a", "crl.example", "http://a b", "http://a\"",
                          "http://a?b", "http://\xc3\xa4.example"}) {
    EXPECT_THAT(Decide({.public_url = url}).status(), StatusIs(kInvalidArgument, HasSubstr("--public-url"))) << url;
  }
  EXPECT_THAT(Decide({.public_url = "http://" + std::string(200, 'a')}).status(), StatusIs(kInvalidArgument));
  EXPECT_THAT(Decide({.public_url = "https://crl.example"}).status(),
              StatusIs(kInvalidArgument, HasSubstr("write http://")));
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("a\nb"), std::string("\xff")}) {
    EXPECT_THAT(Decide({.organization = name}).status(), StatusIs(kInvalidArgument, HasSubstr("--organization")));
    EXPECT_THAT(Decide({.organizational_unit = name}).status(),
                StatusIs(kInvalidArgument, HasSubstr("--organizational-unit")));
  }
  EXPECT_OK(Decide({.organization = "\xc3\x9c"
                                    "ber, GmbH & Co. KG"}));
  EXPECT_FALSE(FileExists(path_));
}

TEST_F(SiteSettingsTest, AFileThatSomebodySpoilt) {
  Start({});
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadSmallFile(path_));
  ASSERT_OK(WriteFileWhole(path_, good + "extra = 1\n"));
  EXPECT_THAT(Decide({}).status(), StatusIs(kInvalidArgument, AllOf(HasSubstr(path_), HasSubstr("extra"))));
  ASSERT_OK(WriteFileWhole(path_, "public_url = \"x\"\norganization = \"a\"\norganizational_unit = \"b\"\n"));
  EXPECT_THAT(Decide({}).status(), StatusIs(kInvalidArgument, HasSubstr(path_ + ": public_url")));
  ASSERT_OK(WriteFileWhole(path_, "organization = \"a\"\n"));
  EXPECT_THAT(Decide({}).status(), StatusIs(kInvalidArgument, HasSubstr("public_url")));
  std::filesystem::permissions(path_, std::filesystem::perms::others_write, std::filesystem::perm_options::add);
  EXPECT_THAT(Decide({}).status(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("chmod go-w")));
}

}  // namespace
}  // namespace trustline
