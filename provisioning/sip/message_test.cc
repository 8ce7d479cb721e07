#include "provisioning/sip/message.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

absl::StatusOr<SipMessage> Head(std::string_view lines) {
  return ReadSipHead(fmt::format("OPTIONS x SIP/2.0\r\n{}\r\n", lines));
}

std::vector<std::string> Lines(const SipMessage& message) {
  std::vector<std::string> lines;
  for (const SipHeaderLine& header : message.headers) lines.push_back(header.name + "=" + header.value);
  return lines;
}

TEST(SipHead, NamesAreInFullAndInLowerCaseAndValuesWithoutBlanksAround) {
  ASSERT_OK_AND_ASSIGN(const SipMessage message,
                       Head("VIA: a\r\nv:b\r\ni : c \r\nL:\t7\r\nX-Other: d:e\r\nm:\r\nEmpty:   \r\n"));
  EXPECT_EQ(message.start_line, "OPTIONS x SIP/2.0");
  EXPECT_THAT(Lines(message),
              ElementsAre("via=a", "via=b", "call-id=c", "content-length=7", "x-other=d:e", "contact=", "empty="));
  EXPECT_EQ(*message.Find("via"), "a");
  EXPECT_EQ(message.Occurrences("via"), 2u);
  EXPECT_EQ(message.Find("to"), nullptr);
}

TEST(SipHead, FoldedLinesAreOne) {
  ASSERT_OK_AND_ASSIGN(const SipMessage message,
                       Head("Subject: I know\r\n  you are\r\n\tthere\r\nTo:\r\n  x\r\n \r\nFrom: y\r\n"));
  EXPECT_THAT(Lines(message), ElementsAre("subject=I know you are there", "to=x", "from=y"));
  EXPECT_THAT(Head("  folds nothing\r\n"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SipHead, LinesThatCouldBecomeOtherLinesAreRefused) {
  using namespace std::string_view_literals;
  for (const std::string_view lines :
       {"a: b\rc: d\r\n"sv, "a: b\nc: d\r\n"sv, "a: b\0c\r\n"sv, "a: b\x01\r\n"sv, "a: b\x7f\r\n"sv, "no colon\r\n"sv,
        ": x\r\n"sv, "a b: c\r\n"sv, "a\x80: c\r\n"sv}) {
    EXPECT_THAT(Head(lines), StatusIs(absl::StatusCode::kInvalidArgument)) << lines;
  }
  EXPECT_THAT(ReadSipHead("\r\nVia: x\r\n\r\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadSipHead("OPTIONS x SIP/2.0\r\nVia: x\r\n"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadSipHead("OPTIONS x SIP/2.0\r\n\r\nmore"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SipHead, IsBounded) {
  std::string lines;
  for (size_t i = 0; i < kMaxSipHeaderLines; ++i) lines += "a: b\r\n";
  EXPECT_OK(Head(lines));
  EXPECT_THAT(Head(lines + "a: b\r\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("200")));
  const std::string_view frame = "OPTIONS x SIP/2.0\r\na: \r\n\r\n";
  EXPECT_OK(Head("a: " + std::string(kMaxSipHeadBytes - frame.size(), 'x') + "\r\n"));
  EXPECT_THAT(Head("a: " + std::string(kMaxSipHeadBytes - frame.size() + 1, 'x') + "\r\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("16384")));
}

TEST(SipContentLength, IsOneNumber) {
  const auto length = [](std::string_view lines) { return SipContentLength(*Head(lines)); };
  EXPECT_THAT(length(""), IsOkAndHolds(std::nullopt));
  EXPECT_THAT(length("Content-Length: 0\r\n"), IsOkAndHolds(Optional(0u)));
  EXPECT_THAT(length("l: 0012\r\n"), IsOkAndHolds(Optional(12u)));
  EXPECT_THAT(length("l: 7\r\nContent-Length: 7\r\n"), IsOkAndHolds(Optional(7u)));
  EXPECT_THAT(length("l: 65536\r\n"), IsOkAndHolds(Optional(65'536u)));
  EXPECT_THAT(length("l: 7\r\nContent-Length: 8\r\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two")));
  for (const std::string_view value : {"", "-1", "+1", "1 2", "1, 1", "0x10", "ten", "1.0", "65537", "4294967297",
                                       "18446744073709551617", "99999999999999999999999999999999"}) {
    EXPECT_THAT(length(fmt::format("Content-Length: {}\r\n", value)), StatusIs(absl::StatusCode::kInvalidArgument))
        << value;
  }
}

}  // namespace
}  // namespace trustline
