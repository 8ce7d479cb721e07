#include "capf/message.h"

#include <algorithm>
#include <iterator>

#include "common/bytes/bytes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSessions[] = {"capf-delete.hex",        "capf-fetch-existing-certificate.hex",
                                     "capf-install-ec.hex",    "capf-install-rsa.hex",
                                     "capf-none.hex",          "capf-unknown-device.hex",
                                     "capf-wrong-password.hex"};

std::string Hex(std::string hex) {
  std::erase(hex, ' ');
  return *FromHex(hex);
}

struct Message {
  CapfHeader header;
  std::string body;
};

// The messages of one side of a session.
std::vector<Message> Split(std::string_view bytes) {
  std::vector<Message> messages;
  while (!bytes.empty()) {
    const auto header = DecodeCapfHeader(AsBytes(bytes.substr(0, kCapfHeaderSize)));
    EXPECT_OK(header);
    if (!header.ok() || bytes.size() < kCapfHeaderSize + header->body_length) {
      ADD_FAILURE() << "half a message";
      return messages;
    }
    messages.push_back({*header, std::string(bytes.substr(kCapfHeaderSize, header->body_length))});
    bytes.remove_prefix(kCapfHeaderSize + header->body_length);
  }
  return messages;
}

std::vector<Message> MessagesOf(const WireExchange& session) {
  std::vector<Message> messages = Split(session.from_phone);
  std::ranges::move(Split(session.from_server), std::back_inserter(messages));
  return messages;
}

std::string Encoded(const Message& message) {
  const auto elements = DecodeCapfBody(message.header.command, AsBytes(message.body));
  if (!elements.ok()) return elements.status().ToString();
  const auto encoded = EncodeCapfMessage(message.header.command, message.header.session_id, *elements);
  return encoded.ok() ? *encoded : encoded.status().ToString();
}

class RecordedSessionTest : public ::testing::TestWithParam<const char*> {};

TEST_P(RecordedSessionTest, DecodesAndEncodesToTheSameBytes) {
  ASSERT_OK_AND_ASSIGN(const WireExchange session, ReadWireExchange(GetParam()));
  for (const std::string& side : {session.from_phone, session.from_server}) {
    std::string again;
    for (const Message& message : Split(side)) again += Encoded(message);
    EXPECT_EQ(ToHex(AsBytes(again)), ToHex(AsBytes(side)));
  }
}

// A body that is cut between two elements may lack what it need not have.
TEST_P(RecordedSessionTest, EveryTruncationAndAnyTrailingByteIsRefused) {
  ASSERT_OK_AND_ASSIGN(const WireExchange session, ReadWireExchange(GetParam()));
  for (const Message& message : MessagesOf(session)) {
    const CapfCommand command = message.header.command;
    for (size_t length = 0; length < message.body.size(); ++length) {
      const auto cut = DecodeCapfBody(command, AsBytes(message.body).first(length));
      if (!cut.ok()) {
        EXPECT_THAT(cut, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CAPF "))) << length;
        continue;
      }
      EXPECT_STREQ(GetParam(), "capf-fetch-existing-certificate.hex");
      EXPECT_TRUE(command == CapfCommand::kFetchCertificateResponse ? !cut->certificate : !cut->sha2_signed_data);
      ASSERT_OK_AND_ASSIGN(const std::string again, EncodeCapfMessage(command, 0, *cut));
      EXPECT_EQ(again.substr(kCapfHeaderSize), message.body.substr(0, length));
    }
    EXPECT_FALSE(DecodeCapfBody(command, AsBytes(message.body + '\0')).ok()) << CapfCommandName(command);
    EXPECT_FALSE(DecodeCapfBody(command, AsBytes(message.body + std::string(3, '\0'))).ok());
  }
}

TEST_P(RecordedSessionTest, EveryOtherLengthAndEveryRepetitionOfAnElementIsRefused) {
  ASSERT_OK_AND_ASSIGN(const WireExchange session, ReadWireExchange(GetParam()));
  for (const Message& message : MessagesOf(session)) {
    size_t length = 0;
    for (size_t at = 0; at < message.body.size(); at += 3 + length) {
      const auto byte = [&](size_t index) { return static_cast<uint8_t>(message.body[index]); };
      length = byte(at + 1) * 256u + byte(at + 2);
      for (const int change : {-256, -1, 1, 256}) {
        const int changed = static_cast<int>(length) + change;
        if (changed < 0) continue;
        std::string body = message.body;
        body[at + 1] = static_cast<char>(changed >> 8);
        body[at + 2] = static_cast<char>(changed);
        EXPECT_FALSE(DecodeCapfBody(message.header.command, AsBytes(body)).ok()) << at << " " << change;
      }
      const std::string twice = message.body + message.body.substr(at, 3 + length);
      EXPECT_THAT(DecodeCapfBody(message.header.command, AsBytes(twice)),
                  StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stands twice")));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Vectors, RecordedSessionTest, ::testing::ValuesIn(kSessions));

TEST(CapfHeaderTest, RefusesWhatIsNotWellFormed) {
  const auto error = [](const std::string& hex) { return DecodeCapfHeader(AsBytes(Hex(hex))).status().ToString(); };
  EXPECT_THAT(error("57 01 00000001 0000"), HasSubstr("protocol id 87"));
  EXPECT_THAT(error("55 00 00000001 0000"), HasSubstr("unknown command 0"));
  for (const std::string command : {"05", "06", "07", "08", "12", "13", "14", "15", "16", "17", "18", "ff"}) {
    EXPECT_THAT(error("55 " + command + " 00000001 0000"), HasSubstr("unknown command"));
  }
  EXPECT_THAT(error("55 02 00000001 ffff"), HasSubstr("longer than the maximum"));
  EXPECT_THAT(error("55 02 00000001 00"), HasSubstr("only 1 remain"));
  EXPECT_THAT(error("55 02 00000001 0000 00"), HasSubstr("left over"));
  ASSERT_OK_AND_ASSIGN(const CapfHeader header, DecodeCapfHeader(AsBytes(Hex("55 11 fffefdfc 0102"))));
  EXPECT_EQ(header.command, CapfCommand::kRequestInProgress);
  EXPECT_EQ(header.session_id, 0xfffefdfc);
  EXPECT_EQ(header.body_length, 0x0102);
}

struct BadBody {
  CapfCommand command;
  const char* body;
  const char* message;
};

TEST(CapfBodyTest, RefusesWhatIsNotWellFormed) {
  using enum CapfCommand;
  const BadBody cases[] = {
      {kAuthenticationRequest, "08000100", "no version"},
      {kAuthenticationRequest, "07000103", "no authentication type"},
      {kAuthenticationRequest, "07000102 08000100", "unknown version 2"},
      {kAuthenticationRequest, "07000103 08000105", "unknown authentication type 5"},
      {kAuthenticationRequest, "07000103 08000100 0b000100", "no element with tag 11"},
      {kAuthenticationResponse, "07000103 0d00024100", "no reason"},
      {kAuthenticationResponse, "01000101 0d00024100", "no version"},
      {kAuthenticationResponse, "01000101 07000103 0b000100", "no device name"},
      {kAuthenticationResponse, "01000101 07000103 0d000100", "device name of 1 bytes is too short"},
      {kAuthenticationResponse, "01000101 07000103 0d00024142", "no NUL at the end of the device name"},
      {kAuthenticationResponse, "01000101 07000103 0d0003410000", "the device name has other characters"},
      {kAuthenticationResponse, "01000101 07000103 0d0003412000", "the device name has other characters"},
      {kAuthenticationResponse, "01000101 07000103 0d000341c400", "the device name has other characters"},
      {kAuthenticationResponse, "0d0041", "device name of 65 bytes is longer than the maximum of 64"},
      {kAuthenticationResponse, "0b0000", "password of 0 bytes is too short"},
      {kAuthenticationResponse, "0b000131", "no NUL at the end of the password"},
      {kAuthenticationResponse, "0b0003310000", "the password has characters that cannot be printed"},
      {kAuthenticationResponse, "0b0003310a00", "the password has characters that cannot be printed"},
      {kAuthenticationResponse, "0b0041", "password of 65 bytes is longer than the maximum of 64"},
      {kAuthenticationResponse, "060000", "signed data of 0 bytes is too short"},
      {kAuthenticationResponse, "060401", "signed data of 1025 bytes is longer than the maximum"},
      {kAuthenticationResponse, "140003030000", "SHA-2 signed data of 3 bytes is too short"},
      {kAuthenticationResponse, "14000401 0001 aa", "a part of the SHA-2 signed data begins with 1"},
      {kAuthenticationResponse, "14000403 0002 aa", "wants 2 bytes"},
      {kAuthenticationResponse, "14000503 0001 aabb", "1 bytes left over"},
      {kAuthenticationResponse, "14000403 0000 aa", "is empty"},
      {kAuthenticationResponse, "10000c 00000130 010001aa 030001bb 09000130", "no element with tag 9"},
      {kAuthenticationResponse, "10000b 00000130 010001aa 030001", "SUDI data of 11 bytes is too short"},
      {kAuthenticationResponse, "10000c 01000130 010001aa 030001bb", "a part of the SUDI data begins with 1"},
      {kAuthenticationResponse, "10000c 00000130 030001aa 010001bb", "a part of the SUDI data begins with 3"},
      {kAuthenticationResponse, "10000c 00000130 010001aa 010001bb", "a part of the SUDI data begins with 1"},
      {kAuthenticationResponse, "10000d 00000130 010001aa 030001bbcc", "1 bytes left over"},
      {kAuthenticationResponse, "10000c 00000230 0100010a 030001bb", "begins with 0"},
      {kAuthenticationResponse, "10000c 00000130 010000 03000130bb", "a part of the SUDI data is empty"},
      {kAuthenticationResponse, "10480a", "SUDI data of 18442 bytes is longer than the maximum"},
      {kAuthenticationResponse, "04000501 0002 0001", "certificate of 5 bytes is too short"},
      {kAuthenticationResponse, "04000602 0003 0001 30", "certificate is not wrapped"},
      {kAuthenticationResponse, "04000601 0002 0001 30", "certificate is not wrapped"},
      {kAuthenticationResponse, "04000601 0004 0001 30", "certificate is not wrapped"},
      {kAuthenticationResponse, "04000601 0003 0101 30", "certificate is not wrapped"},
      {kAuthenticationResponse, "04000601 0003 0000 30", "unknown certificate 0"},
      {kAuthenticationResponse, "04000601 0003 0003 30", "unknown certificate 3"},
      {kAuthenticationResponse, "044006", "certificate of 16390 bytes is longer than the maximum"},
      {kKeyGenerateRequest, "0a00020800", "no key type"},
      {kKeyGenerateRequest, "11000100", "an RSA key has a key size"},
      {kKeyGenerateRequest, "11000101", "an EC key a curve"},
      {kKeyGenerateRequest, "0a00020800 11000101 12000100", "an EC key a curve"},
      {kKeyGenerateRequest, "0a00020800 11000100 12000100", "an RSA key has a key size"},
      {kKeyGenerateRequest, "0a00020800 11000102", "unknown key type 2"},
      {kKeyGenerateRequest, "11000101 12000103", "unknown curve 3"},
      {kKeyGenerateResponse, "", "neither a public key nor a reason"},
      {kKeyGenerateResponse, "02000141", "neither a public key nor a reason"},
      {kKeyGenerateResponse, "091001", "public key of 4097 bytes is longer than the maximum"},
      {kKeyGenerateResponse, "090000", "public key of 0 bytes is too short"},
      {kStoreCertificateRequest, "03000101", "no certificate"},
      {kStoreCertificateRequest, "04000601 0003 0001 30", "no certificate type"},
      {kStoreCertificateRequest, "03000102 04000601 0003 0001 30", "do not agree"},
      {kStoreCertificateRequest, "03000103", "unknown certificate type 3"},
      {kStoreCertificateResponse, "", "no reason"},
      {kFetchCertificateRequest, "03000101", "no element with tag 3"},
      {kFetchCertificateResponse, "04000601 0003 0002 30", "no reason"},
      {kDeleteCertificateRequest, "01000101", "no element with tag 1"},
      {kDeleteCertificateResponse, "", "no reason"},
      {kEndSession, "", "no reason"},
      {kEndSession, "01000100 0c000400000001", "no element with tag 12"},
      {kRetryLater, "", "no retry delay"},
      {kRetryLater, "0c0003000001", "retry delay of 3 bytes is too short"},
      {kRequestInProgress, "01000101", "no element with tag 1"},
      {kEndSession, "63000101", "no element with tag 99"},
      {kEndSession, "00000101", "no element with tag 0"},
      {kEndSession, "01000200", "reason of 2 bytes is longer than the maximum of 1"},
      {static_cast<CapfCommand>(18), "", "unknown command 18"},
  };
  for (const BadBody& bad : cases) {
    EXPECT_THAT(DecodeCapfBody(bad.command, AsBytes(Hex(bad.body))),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)))
        << CapfCommandName(bad.command) << " " << bad.body;
  }
}

TEST(CapfBodyTest, TakesElementsInAnyOrder) {
  ASSERT_OK_AND_ASSIGN(
      const CapfElements elements,
      DecodeCapfBody(CapfCommand::kAuthenticationResponse,
                     AsBytes(Hex("0d0004 53455000 14000403 0001bb 10000c 00000130 010001aa 030001bb 0b0003 313200"
                                 "07000103 06000177 04000601 0003 0002 30 01000101"))));
  EXPECT_EQ(elements.device_name, "SEP");
  EXPECT_EQ(elements.password->ExposeSecret(), "12");
  EXPECT_EQ(elements.reason, 1);
  EXPECT_EQ(elements.version, 3);
  EXPECT_EQ(elements.signed_data, "w");
  EXPECT_EQ(elements.certificate, (CapfCertificate{CapfCertificateType::kMic, "0"}));
  EXPECT_EQ(elements.sudi_data, (CapfSudiData{"0", "\xaa", "\xbb"}));
  EXPECT_EQ(elements.sha2_signed_data, (CapfSignature{CapfDigest::kSha512, "\xbb"}));
}

TEST(CapfBodyTest, DropsTheTwoElementsOfUnknownUse) {
  ASSERT_OK_AND_ASSIGN(const CapfElements elements,
                       DecodeCapfBody(CapfCommand::kAuthenticationResponse,
                                      AsBytes(Hex("01000101 05000412345678 07000103 0d00024100 13000103"))));
  ASSERT_OK_AND_ASSIGN(const std::string encoded, EncodeCapfMessage(CapfCommand::kAuthenticationResponse, 1, elements));
  EXPECT_EQ(ToHex(AsBytes(encoded).subspan(kCapfHeaderSize)), ToHex(AsBytes(Hex("01000101 07000103 0d00024100"))));
  EXPECT_FALSE(DecodeCapfBody(CapfCommand::kEndSession, AsBytes(Hex("01000101 05000101"))).ok());
}

TEST(CapfBodyTest, KeepsThePeersReasonAndMakesItsTextPrintable) {
  ASSERT_OK_AND_ASSIGN(
      const CapfElements elements,
      DecodeCapfBody(CapfCommand::kKeyGenerateResponse, AsBytes(Hex("010001c8 020009 6e6f0a00 c3a4 73 1b 00"))));
  EXPECT_EQ(elements.reason, 200);
  EXPECT_EQ(elements.reason_information, "no????s?");
  EXPECT_FALSE(elements.public_key.has_value());
}

// One message with every element at its maximum.
TEST(CapfMessageTest, TheLongestAuthenticationResponseFits) {
  CapfElements elements{.reason = 1,
                        .reason_information = std::string(kMaxCapfReasonInformation, 'x'),
                        .certificate = CapfCertificate{CapfCertificateType::kMic, std::string(16'384, 'c')},
                        .signed_data = std::string(kMaxCapfSignature, 's'),
                        .version = kCapfVersion,
                        .password = SecretBytes(std::string(kMaxCapfPassword - 1, '1')),
                        .device_name = std::string(kMaxCapfDeviceName - 1, 'N'),
                        .sudi_data = CapfSudiData{std::string(16'384, 'c'), std::string(kMaxCapfSignature, 'a'),
                                                  std::string(kMaxCapfSignature, 'b')},
                        .sha2_signed_data = CapfSignature{CapfDigest::kSha512, std::string(kMaxCapfSignature, 'd')}};
  ASSERT_OK_AND_ASSIGN(const std::string encoded,
                       EncodeCapfMessage(CapfCommand::kAuthenticationResponse, 0xa1b2c3d4, elements));
  const std::vector<Message> messages = Split(encoded);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].header.session_id, 0xa1b2c3d4);
  ASSERT_OK_AND_ASSIGN(const CapfElements again,
                       DecodeCapfBody(CapfCommand::kAuthenticationResponse, AsBytes(messages[0].body)));
  EXPECT_EQ(again.sudi_data, elements.sudi_data);
  EXPECT_EQ(again.certificate, elements.certificate);
  EXPECT_EQ(again.password->ExposeSecret(), elements.password->ExposeSecret());
}

TEST(CapfMessageTest, RefusesToEncodeWhatThePeerWouldRefuse) {
  const auto encode = [](CapfCommand command, auto change) {
    CapfElements elements{.reason = 1, .version = kCapfVersion, .device_name = "SEP001122334455"};
    change(elements);
    return EncodeCapfMessage(command, 1, elements).status();
  };
  const auto response = [&](auto change) { return encode(CapfCommand::kAuthenticationResponse, change); };
  EXPECT_OK(response([](CapfElements&) {}));
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(encode(CapfCommand::kEndSession, [](CapfElements&) {}), refused);  // it has no device name
  EXPECT_THAT(response([](CapfElements& e) { e.device_name.reset(); }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.device_name = "SEP 1"; }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.device_name = std::string(kMaxCapfDeviceName, 'N'); }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.device_name = ""; }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.password = SecretBytes("1\n"); }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.version = 2; }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.reason_information = std::string(1025, 'x'); }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.signed_data = ""; }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.sha2_signed_data = {CapfDigest::kSha1, "s"}; }), refused);
  EXPECT_THAT(response([](CapfElements& e) { e.key_size = 2048; }), refused);
  for (const size_t size : {16'385u, 65'535u, 65'536u, 65'537u, 70'000u}) {
    const std::string der(size, 'c');
    EXPECT_THAT(response([&](CapfElements& e) { e.certificate = {CapfCertificateType::kLsc, der}; }), refused) << size;
    EXPECT_THAT(response([&](CapfElements& e) { e.sudi_data = {der, "a", "b"}; }), refused) << size;
    EXPECT_THAT(response([&](CapfElements& e) { e.sudi_data = {"c", der, "b"}; }), refused) << size;
    EXPECT_THAT(response([&](CapfElements& e) { e.sha2_signed_data = {CapfDigest::kSha512, der}; }), refused) << size;
  }
  EXPECT_THAT(EncodeCapfMessage(static_cast<CapfCommand>(5), 1, {}), refused);
}

TEST(CapfMessageTest, RetryLaterCarriesItsSeconds) {
  ASSERT_OK_AND_ASSIGN(const std::string encoded,
                       EncodeCapfMessage(CapfCommand::kRetryLater, 1, {.retry_delay = 86'400}));
  EXPECT_EQ(ToHex(AsBytes(encoded)), "55100000000100070c000400015180");
  EXPECT_EQ(CapfCommandName(CapfCommand::kRetryLater), "retry later");
  EXPECT_EQ(CapfCommandName(static_cast<CapfCommand>(5)), "unknown message");
}

}  // namespace
}  // namespace trustline
