#include "cli/phone/captured_exchange.h"

#include "cli/phone/scripted_tvs.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(CapturedExchangeTest, JoinsNeighbouringLinesOfOneDirection) {
  ASSERT_OK_AND_ASSIGN(const std::vector<CapturedTurn> turns,
                       ParseCapturedExchange("# a comment\nC>S 01\nC>S 02\n\nS>C 0a\r\nS>C 0b\nC>S 03\nS>C 0c"));
  ASSERT_THAT(turns, SizeIs(2));
  EXPECT_EQ(turns[0].from_phone, "\x01\x02");
  EXPECT_EQ(turns[0].from_server, "\x0a\x0b");
  EXPECT_EQ(turns[1].from_phone, "\x03");
  EXPECT_EQ(turns[1].from_server, "\x0c");
}

TEST(CapturedExchangeTest, ErrorsNameTheLine) {
  EXPECT_THAT(ParseCapturedExchange("C>S 01\nS<C 02\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2")));
  EXPECT_THAT(ParseCapturedExchange("C>S 0\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1")));
  EXPECT_THAT(ParseCapturedExchange("S>C 01\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseCapturedExchange("C>S 01\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseCapturedExchange(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CapturedExchangeTest, ShowsTheFirstDifference) {
  EXPECT_OK(CompareWithCapture("abc", "abc"));
  EXPECT_THAT(CompareWithCapture("abc", "axc"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 1 (3 bytes recorded, 3 received): recorded "
                                                              "6263, received 7863")));
  EXPECT_THAT(CompareWithCapture("abc", "ab"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 2 (3 bytes recorded, 2 received): recorded 63, "
                                                              "received nothing")));
}

TEST(CapturedExchangeTest, ReplaysSeveralTurnsOverOneConnection) {
  const std::string valid = EncodeTvsVerifyResponse(7, {.valid = true, .roles = {CertificateRole::kTvs}});
  const std::string invalid = EncodeTvsVerifyResponse(7, {});
  const std::string request = *EncodeTvsVerifyRequest(7, "CP-8841-SEP001122334455", AsBytes("certificate"));
  const std::string other = *EncodeTvsVerifyRequest(7, "CP-8841-SEP001122334455", AsBytes("another"));
  const ScriptedTvs tvs([&](const std::string& asked) { return asked == request ? valid : invalid; });
  for (const bool one_byte_at_a_time : {false, true}) {
    EXPECT_OK(ReplayTvsExchange(tvs.endpoint(), {}, {{request, valid}, {other, invalid}}, one_byte_at_a_time));
    EXPECT_THAT(ReplayTvsExchange(tvs.endpoint(), {}, {{request, valid}, {other, valid}}, one_byte_at_a_time),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 9")));
  }
}

}  // namespace
}  // namespace trustline
