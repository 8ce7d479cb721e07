// trustctl phones forecast against an itld whose answers the test decides.
#include <boost/json/parse.hpp>

#include "cli/trustctl/phones_testing.h"
#include "cli/trustctl/preflight_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class PhoneForecastTest : public PhonesFixture {
 protected:
  v1::ForecastExpiryResponse::Expiry& AddExpiry(char digit, const std::string& standing,
                                                const v1::PreFlight& preflight) {
    v1::ForecastExpiryResponse::Expiry& expiry = *service_.forecast.add_expiries();
    expiry.mutable_at()->set_seconds(1'795'377'060);
    expiry.mutable_certificate()->set_sha256(std::string(32, digit));
    expiry.mutable_certificate()->set_subject("CN=" + standing);
    expiry.set_standing(standing);
    *expiry.mutable_preflight() = preflight;
    return expiry;
  }
};

TEST_F(PhoneForecastTest, EachEndIsALineAndWhoItLocksIsNamed) {
  AddExpiry('\x1a', "CAPF", SafePreFlight());
  AddExpiry('\x2b', "TVS of node1", LockingPreFlight());
  const ProgramResult table = Run({"phones", "forecast"});
  EXPECT_EQ(table.exit_status, 0) << table.err;
  EXPECT_EQ(table.out,
            "EXPIRES               WHAT IT IS    FINGERPRINT       SUBJECT          LOCKED  UNPROVEN  SAFE\n"
            "2026-11-22T19:51:00Z  CAPF          1a1a1a1a1a1a1a1a  CN=CAPF               0         0  9969\n"
            "2026-11-22T19:51:00Z  TVS of node1  2b2b2b2b2b2b2b2b  CN=TVS of node1       1         2  9969\n"
            "\n"
            "2026-11-22T19:51:00Z, 2b2b2b2b2b2b2b2b CN=TVS of node1 (TVS of node1):\n"
            "\n"
            "locked, 1 phone: no TVS that it names is left\n"
            "  to make it safe: keep its TVS certificate\n"
            "  SEP000000000001\n"
            "\n"
            "unproven, 2 phones: it was never seen\n"
            "  to make them safe: reset it\\x1b[2J\n"
            "  SEP000000000002  SEP000000000003\n");
  EXPECT_EQ(service_.forecast_asked.cluster(), "default");
  EXPECT_FALSE(service_.forecast_asked.has_until());
}

TEST_F(PhoneForecastTest, ProgramsGetEverythingApart) {
  AddExpiry('\x1a', "CAPF", SafePreFlight());
  AddExpiry('\x2b', "TVS of node1", LockingPreFlight());
  const boost::json::value json = boost::json::parse(Run({"phones", "forecast", "--output", "json"}).out);
  ASSERT_EQ(json.at("expiries").as_array().size(), 2u);
  const boost::json::value& expiry = json.at("expiries").at(1);
  EXPECT_EQ(expiry.at("at"), "2026-11-22T19:51:00.000Z");
  EXPECT_EQ(expiry.at("standing"), "TVS of node1");
  EXPECT_EQ(expiry.at("locked"), 1);
  EXPECT_EQ(expiry.at("safe_by_tvs"), 31);
  ASSERT_EQ(json.at("named").as_array().size(), 3u);
  EXPECT_EQ(json.at("named").at(0).at("device"), "SEP000000000001");
  EXPECT_EQ(json.at("named").at(0).at("named_sha256"), expiry.at("sha256"));
  EXPECT_EQ(json.at("counts").at(3).at("reason"), "no TVS that it names is left");
  EXPECT_THAT(Run({"phones", "forecast", "--output", "csv"}).out,
              AllOf(StartsWith("at,standing,sha256,subject,issuer,serial,phones,safe_by_list,"),
                    HasSubstr(",SEP000000000003,unproven,it was never seen\r\n")));
}

TEST_F(PhoneForecastTest, TimesLieAhead) {
  EXPECT_EQ(Run({"phones", "forecast", "--until", "2028-01-01T00:00:00Z"}).out,
            "(no certificate that phones depend on expires until then)\n");
  EXPECT_EQ(service_.forecast_asked.until().seconds(), 1'830'297'600);
  const absl::Time before = absl::Now();
  const boost::json::value none =
      boost::json::parse(Run({"phones", "forecast", "--until", "90d", "--output", "json"}).out);
  EXPECT_TRUE(none.at("expiries").as_array().empty());
  const absl::Time until = absl::FromUnixSeconds(service_.forecast_asked.until().seconds());
  EXPECT_GE(until, before + absl::Hours(24 * 90) - absl::Seconds(1));
  EXPECT_LE(until, absl::Now() + absl::Hours(24 * 90));
  EXPECT_THAT(Run({"phones", "forecast", "--output", "csv"}).out, HasSubstr("phones,safe_by_list,safe_by_tvs,"));
  EXPECT_EQ(Run({"phones", "forecast", "--until", "soon"}).exit_status, 2);
  service_.status = {grpc::StatusCode::PERMISSION_DENIED, "you are no viewer"};
  const ProgramResult denied = Run({"phones", "forecast"});
  EXPECT_EQ(denied.exit_status, 1);
  EXPECT_THAT(denied.err, AllOf(HasSubstr("you are no viewer"), Not(HasSubstr("EXPIRES"))));
}

}  // namespace
}  // namespace trustline
