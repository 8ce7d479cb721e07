#include "provisioning/sip/stream_framer.h"

#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Framed {
  std::vector<std::string> messages;  // start line and body
  absl::Status status;
};

void TakeAll(SipStreamFramer& framer, Framed& framed) {
  while (true) {
    absl::StatusOr<std::optional<SipMessage>> message = framer.Next();
    if (!message.ok()) framed.status = message.status();
    if (!message.ok() || !*message) return;
    framed.messages.push_back((*message)->start_line + "|" + (*message)->body);
  }
}

Framed Frame(const std::vector<std::string_view>& pieces) {
  SipStreamFramer framer;
  Framed framed;
  for (const std::string_view piece : pieces) {
    framer.Append(AsBytes(piece));
    TakeAll(framer, framed);
  }
  return framed;
}

TEST(SipStreamFramer, EverySplitOfAStreamGivesTheSameMessages) {
  const std::string body = "<a>\r\n\r\n</a>";
  const std::string stream = "\r\n\r\n" + TestRequest{.body = body}.Text() + "\r\n\r\n" +
                             TestRequest{.method = "OPTIONS", .says_length = false}.Text() +
                             TestRequest{.number = "2", .body = body}.Text();
  const auto expected = ElementsAre("REFER sip:cm1.example SIP/2.0|" + body, "OPTIONS sip:cm1.example SIP/2.0|",
                                    "REFER sip:cm1.example SIP/2.0|" + body);
  for (size_t split = 0; split <= stream.size(); ++split) {
    const Framed framed = Frame({std::string_view(stream).substr(0, split), std::string_view(stream).substr(split)});
    EXPECT_OK(framed.status) << split;
    EXPECT_THAT(framed.messages, expected) << split;
  }

  SipStreamFramer framer;
  Framed framed;
  for (const char& byte : stream) {
    framer.Append(AsBytes(std::string_view(&byte, 1)));
    TakeAll(framer, framed);
  }
  EXPECT_THAT(framed.messages, expected);
  EXPECT_EQ(framer.keep_alives(), 4u);
  EXPECT_FALSE(framer.has_begun());
}

TEST(SipStreamFramer, AMessageBeginsWithItsFirstByteAndEndsWithItsLast) {
  SipStreamFramer framer;
  const std::string text = TestRequest{.body = "12345"}.Text();
  framer.Append(AsBytes(text.substr(0, text.size() - 1)));
  EXPECT_FALSE(framer.Next().value().has_value());
  EXPECT_TRUE(framer.has_begun());
  framer.Append(AsBytes("5"));
  ASSERT_OK_AND_ASSIGN(const std::optional<SipMessage> message, framer.Next());
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->body, "12345");
  EXPECT_FALSE(framer.has_begun());
}

TEST(SipStreamFramer, WhatIsWrongWithTheBodysLengthCanBeAnswered) {
  for (const std::string_view length : {"-1", "65537", "99999999999999999999", "x", "5\r\nl: 6"}) {
    SipStreamFramer framer;
    framer.Append(AsBytes(fmt::format("REFER x SIP/2.0\r\nVia: y\r\nContent-Length: {}\r\n\r\n12345", length)));
    EXPECT_THAT(framer.Next(), StatusIs(absl::StatusCode::kInvalidArgument)) << length;
    ASSERT_TRUE(framer.refused().has_value());
    EXPECT_EQ(*framer.refused()->Find("via"), "y");
    // It is final, whatever comes.
    framer.Append(AsBytes(TestRefer().Text()));
    EXPECT_THAT(framer.Next(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(SipStreamFramer, WhatIsNoHeadIsRefusedAsSoonAsItIsSeen) {
  using namespace std::string_view_literals;
  for (const std::string_view bytes :
       {"\n"sv, "\rx"sv, "REFER x SIP/2.0\n"sv, "REFER\rx"sv, "REFER x\0"sv, "\x16\x03\x01\0\xa5"sv}) {
    SipStreamFramer framer;
    framer.Append(AsBytes(bytes));
    EXPECT_THAT(framer.Next(), StatusIs(absl::StatusCode::kInvalidArgument)) << bytes;
    EXPECT_FALSE(framer.refused().has_value());
  }
}

TEST(SipStreamFramer, AHeadThatDoesNotEndIsRefusedAtItsLimit) {
  SipStreamFramer framer;
  framer.Append(AsBytes("REFER x SIP/2.0\r\na: "));
  const std::string piece(1'000, 'x');
  size_t pieces = 0;
  while (framer.Next().ok() && pieces < 100) {
    framer.Append(AsBytes(piece));
    ++pieces;
  }
  EXPECT_EQ(pieces, 17u);
}

TEST(SipStreamFramer, KeepAlivesAreBoundedUntilAMessageComes) {
  SipStreamFramer framer;
  std::string lines;
  for (uint32_t i = 0; i < SipStreamFramer::kMaxKeepAlives; ++i) lines += "\r\n";
  Framed framed;
  framer.Append(AsBytes(lines));
  TakeAll(framer, framed);
  framer.Append(AsBytes(TestRefer().Text() + lines));
  TakeAll(framer, framed);
  EXPECT_OK(framed.status);
  EXPECT_THAT(framed.messages, SizeIs(1));
  framer.Append(AsBytes("\r\n"));
  EXPECT_THAT(framer.Next(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("empty lines")));
}

}  // namespace
}  // namespace trustline
