#include "ca/profile/public_url.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(PublicUrlTest, SlashesAtItsEndAreLeftOut) {
  EXPECT_THAT(CheckPublicUrl("http://ca.example.net:9480"), IsOkAndHolds("http://ca.example.net:9480"));
  EXPECT_THAT(CheckPublicUrl("http://ca.example.net/pki//"), IsOkAndHolds("http://ca.example.net/pki"));
  EXPECT_THAT(CheckPublicUrl("http://[2001:db8::1]:80"), IsOkAndHolds("http://[2001:db8::1]:80"));
  EXPECT_OK(CheckPublicUrl("http://" + std::string(193, 'a')));
}

// None of them can stand in a certificate so that phones find it.
TEST(PublicUrlTest, RefusesWhatNoPhoneCouldFetch) {
  for (const char* url : {"", "http://", "http:///", "http://:80", "ftp://a", "crl.example", "http://my host",
                          "http://a,http://b", "http://a\"", "http://a?b", "http://a\nb", "http://\xc3\xa4.example"}) {
    EXPECT_THAT(CheckPublicUrl(url), StatusIs(kInvalidArgument, HasSubstr("http://HOST:PORT"))) << url;
  }
  EXPECT_THAT(CheckPublicUrl("http://" + std::string(194, 'a')), StatusIs(kInvalidArgument, HasSubstr("200")));
  EXPECT_THAT(CheckPublicUrl("https://crl.example"),
              StatusIs(kInvalidArgument, AllOf(StartsWith("https://crl.example: "), HasSubstr("write http://"))));
}

}  // namespace
}  // namespace trustline
