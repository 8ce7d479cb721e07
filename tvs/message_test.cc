#include "tvs/message.h"

#include "common/bytes/bytes.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

std::string Hex(std::string_view hex) { return *FromHex(hex); }

TvsHeader HeaderOf(const std::string& message) {
  const auto header = DecodeTvsHeader(AsBytes(message).first(kTvsHeaderSize));
  EXPECT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->body_length, message.size() - kTvsHeaderSize);
  return *header;
}

ByteView BodyOf(const std::string& message) { return AsBytes(message).subspan(kTvsHeaderSize); }

class RecordedExchangeTest : public ::testing::TestWithParam<const char*> {};

TEST_P(RecordedExchangeTest, DecodesAndEncodesToTheSameBytes) {
  const auto exchange = ReadWireExchange(GetParam());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  const TvsHeader asked = HeaderOf(exchange->from_phone);
  const TvsHeader answered = HeaderOf(exchange->from_server);
  EXPECT_EQ(asked.session_id, answered.session_id);
  const auto request = DecodeTvsRequest(asked.command, BodyOf(exchange->from_phone));
  ASSERT_TRUE(request.ok()) << request.status();
  const auto response = DecodeTvsResponse(answered.command, BodyOf(exchange->from_server));
  ASSERT_TRUE(response.ok()) << response.status();

  if (const auto* verify = std::get_if<TvsVerifyRequest>(&*request)) {
    EXPECT_EQ(*EncodeTvsVerifyRequest(asked.session_id, verify->device_name, verify->certificate),
              exchange->from_phone);
    EXPECT_EQ(EncodeTvsVerifyResponse(answered.session_id, *response), exchange->from_server);
  } else {
    const auto& query = std::get<TvsQueryRequest>(*request);
    EXPECT_EQ(
        *EncodeTvsQueryRequest(asked.session_id, query.device_name, query.subject, query.issuer, query.serial_number),
        exchange->from_phone);
    EXPECT_EQ(*EncodeTvsQueryResponse(answered.session_id, *response), exchange->from_server);
  }
}

TEST_P(RecordedExchangeTest, EveryTruncationAndAnyTrailingByteIsRefused) {
  const auto exchange = ReadWireExchange(GetParam());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  const TvsCommand command = HeaderOf(exchange->from_phone).command;
  const ByteView body = BodyOf(exchange->from_phone);
  for (size_t length = 0; length < body.size(); ++length) {
    EXPECT_FALSE(DecodeTvsRequest(command, body.first(length)).ok()) << length;
  }
  const std::string longer = std::string(AsText(body)) + '\0';
  EXPECT_FALSE(DecodeTvsRequest(command, AsBytes(longer)).ok());
}

INSTANTIATE_TEST_SUITE_P(Vectors, RecordedExchangeTest,
                         ::testing::Values("tvs-callmanager.hex", "tvs-appserver-ec.hex", "tvs-capf.hex",
                                           "tvs-query-callmanager.hex", "tvs-query-unknown.hex"));

TEST(TvsHeaderTest, IgnoresTheReservedByteAndRefusesTheRest) {
  EXPECT_EQ(DecodeTvsHeader(AsBytes(Hex("570101ff000003e90005")))->session_id, 1001u);
  EXPECT_THAT(DecodeTvsHeader(AsBytes(Hex("55010100000000010000"))).status().ToString(), HasSubstr("protocol id 85"));
  EXPECT_THAT(DecodeTvsHeader(AsBytes(Hex("57020100000000010000"))).status().ToString(), HasSubstr("version 2"));
  EXPECT_THAT(DecodeTvsHeader(AsBytes(Hex("57010900000000010000"))).status().ToString(), HasSubstr("command 9"));
  EXPECT_THAT(DecodeTvsHeader(AsBytes(Hex("57010000000000010000"))).status().ToString(), HasSubstr("command 0"));
  EXPECT_FALSE(DecodeTvsHeader(AsBytes(Hex("570101000000000100"))).ok());
}

struct BadRequest {
  const char* what;
  TvsCommand command;
  const char* body;
  const char* message;
};

TEST(TvsRequestTest, RefusesWhatIsNotWellFormed) {
  const BadRequest cases[] = {
      {"unknown tag", TvsCommand::kVerifyRequest, "020001306300010a", "unknown element with tag 99"},
      {"query tag in a verify", TvsCommand::kVerifyRequest, "0300024100", "unknown element with tag 3"},
      {"no certificate", TvsCommand::kVerifyRequest, "010003014350", "no certificate"},
      {"empty certificate", TvsCommand::kVerifyRequest, "020000", "too short"},
      {"certificate twice", TvsCommand::kVerifyRequest, "02000130020001 30", "stands twice"},
      {"device without its prefix", TvsCommand::kVerifyRequest, "0100024350020001 30", "does not begin with 1"},
      {"device with a NUL inside", TvsCommand::kVerifyRequest, "0100040143005002000130", "device name"},
      {"device with a blank", TvsCommand::kVerifyRequest, "0100040143205002000130", "device name"},
      {"empty device", TvsCommand::kVerifyRequest, "01000101020001 30", "device name"},
      {"certificate over its maximum", TvsCommand::kVerifyRequest, "02ffff30", "longer than the maximum"},
      {"NUL inside the issuer", TvsCommand::kQueryRequest, "0400054100410000 05000101", "NUL inside the issuer"},
      {"no issuer", TvsCommand::kQueryRequest, "05000101", "no issuer"},
      {"no serial", TvsCommand::kQueryRequest, "0400024100", "no serial"},
      {"response", TvsCommand::kVerifyResponse, "07000101", "a phone does not send this"},
  };
  for (const BadRequest& bad : cases) {
    std::string hex = bad.body;
    std::erase(hex, ' ');
    const auto request = DecodeTvsRequest(bad.command, AsBytes(Hex(hex)));
    ASSERT_FALSE(request.ok()) << bad.what;
    EXPECT_THAT(request.status().ToString(), HasSubstr(bad.message)) << bad.what;
  }
}

TEST(TvsRequestTest, TakesElementsInAnyOrderAndIgnoresLeadingZeroBytesOfTheSerial) {
  const std::string body =
      Hex("0500030000d5"
          "040002"
          "4100"
          "010004"
          "01"
          "435031");
  const auto request = DecodeTvsRequest(TvsCommand::kQueryRequest, AsBytes(body));
  ASSERT_TRUE(request.ok()) << request.status();
  const auto& query = std::get<TvsQueryRequest>(*request);
  EXPECT_EQ(ToHex(query.serial_number), "d5");
  EXPECT_EQ(query.issuer, "A");
  EXPECT_EQ(query.device_name, "CP1");
  EXPECT_EQ(query.subject, "");
}

// The first bytes of a real phone's request, from docs/PROTOCOLS.md.
TEST(TvsRequestTest, ReadsTheHeaderOfARealPhone) {
  const auto header = DecodeTvsHeader(AsBytes(Hex("57010300000003e9008f")));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->command, TvsCommand::kQueryRequest);
  EXPECT_EQ(header->session_id, 1001u);
  EXPECT_EQ(header->body_length, 143);
}

TEST(TvsResponseTest, AnInvalidVerdictIsTheStatusAlone) {
  TvsResponse response{.valid = false, .certificate = "x", .roles = {CertificateRole::kTvs}, .ttl_seconds = 5};
  EXPECT_EQ(ToHex(AsBytes(EncodeTvsVerifyResponse(7, response))),
            "57010200000000070004"
            "07000101");
  EXPECT_EQ(ToHex(AsBytes(*EncodeTvsQueryResponse(7, response))),
            "57010400000000070004"
            "07000101");
}

TEST(TvsResponseTest, RefusesUnknownRolesAndStatus) {
  EXPECT_FALSE(DecodeTvsResponse(TvsCommand::kVerifyResponse, AsBytes(Hex("07000102"))).ok());
  EXPECT_FALSE(DecodeTvsResponse(TvsCommand::kVerifyResponse, AsBytes(Hex("070001000800010509000400000001"))).ok());
  EXPECT_FALSE(DecodeTvsResponse(TvsCommand::kVerifyResponse, AsBytes(Hex("07000100080001010900020001"))).ok());
}

}  // namespace
}  // namespace trustline
