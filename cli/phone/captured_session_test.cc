#include "cli/phone/captured_session.h"

#include "cli/phone/capf_proof.h"
#include "cli/phone/capf_scripts.h"
#include "common/bytes/writer.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint32_t kOtherSession = 0xfedcba98;

constexpr const char* kSessions[] = {"capf-delete.hex",        "capf-fetch-existing-certificate.hex",
                                     "capf-install-ec.hex",    "capf-install-rsa.hex",
                                     "capf-none.hex",          "capf-unknown-device.hex",
                                     "capf-wrong-password.hex"};

std::string WithId(std::string message, uint32_t session_id) {
  return message.replace(2, 4, ByteWriter().U32(session_id).Take());
}

// The session as it would be under another session id.
std::vector<CapturedMessage> InOtherSession(std::vector<CapturedMessage> session) {
  for (CapturedMessage& message : session) message.bytes = WithId(message.bytes, kOtherSession);
  return session;
}

absl::Status Replay(const ScriptedCapf& capf, const std::vector<CapturedMessage>& session,
                    std::shared_ptr<const PrivateKey> key = nullptr) {
  const absl::Status status = ReplayCapfSession(capf.endpoint(), {}, session, false, key);
  EXPECT_EQ(ReplayCapfSession(capf.endpoint(), {}, session, true, key), status);
  return status;
}

TEST(CapturedSessionTest, CutsACaptureIntoMessages) {
  ASSERT_OK_AND_ASSIGN(const std::vector<CapturedMessage> session,
                       ParseCapturedSession(ReadVector("wire/capf-install-rsa.hex")));
  ASSERT_THAT(session, SizeIs(8));
  std::string sides;
  for (const CapturedMessage& message : session) sides += message.from_phone ? 'C' : 'S';
  EXPECT_EQ(sides, "SCSCCSCS");
  EXPECT_EQ(ToHex(AsBytes(session[3].bytes)), "5511000000010000");
}

TEST(CapturedSessionTest, RefusesWhatIsNoSession) {
  const auto error = [](std::string_view text) { return ParseCapturedSession(text).status().ToString(); };
  EXPECT_THAT(error(""), HasSubstr("the first and the last word"));
  EXPECT_THAT(error("C>S 5511000000010000\nS>C 550f00000001000401000100\n"), HasSubstr("the first and the last word"));
  EXPECT_THAT(error("S>C 550f00000001000401000100\nC>S 5511000000010000\n"), HasSubstr("the first and the last word"));
  EXPECT_THAT(error("#\nS>C 550f0000000100\n"), HasSubstr("from line 2: CAPF header"));
  EXPECT_THAT(error("S>C 550f0000000100\nS>C 04\nS>C 010001\n"), HasSubstr("from line 1: half a message"));
  EXPECT_THAT(error("S>C 570f00000001000401000100\n"), HasSubstr("protocol id 87"));
}

TEST(CapturedSessionTest, EverySessionIsTheSameAsItself) {
  for (const char* name : kSessions) {
    const std::vector<CapturedMessage> session = RecordedSession(name);
    const ScriptedCapf same(RecordedServer(session));
    EXPECT_OK(Replay(same, session)) << name;
    const ScriptedCapf other_id(RecordedServer(InOtherSession(session)));
    EXPECT_OK(Replay(other_id, session)) << name;
  }
}

TEST(CapturedSessionTest, EveryByteOfTheServersIsCompared) {
  for (const char* name : kSessions) {
    const std::vector<CapturedMessage> session = RecordedSession(name);
    const ScriptedCapf capf(RecordedServer(session, [](std::string message) {
      if (message[1] == static_cast<char>(CapfCommand::kEndSession)) message.back() = '\x02';
      return message;
    }));
    EXPECT_THAT(Replay(capf, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 11"))) << name;
  }
}

TEST(CapturedSessionTest, TheSessionIdMustStayTheSame) {
  const std::vector<CapturedMessage> session = RecordedSession("capf-none.hex");
  const ScriptedCapf capf(RecordedServer(session, [](std::string message) {
    return message[1] == static_cast<char>(CapfCommand::kEndSession) ? WithId(message, 99) : message;
  }));
  EXPECT_THAT(Replay(capf, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 5")));
}

TEST(CapturedSessionTest, AnotherCertificateMayBeIssuedButForTheSameKey) {
  const std::vector<CapturedMessage> session = RecordedSession("capf-install-rsa.hex");
  const PublicKeyInfo recorded_key = *PublicKeyInfo::FromDer(AsBytes(*ElementsOf(session[4].bytes).public_key));
  const auto storing = [&](std::function<void(CapfElements&)> change) {
    return RecordedServer(session, [change](std::string message) {
      const CapfHeader header = *DecodeCapfHeader(AsBytes(message).first(kCapfHeaderSize));
      if (header.command != CapfCommand::kStoreCertificateRequest) return message;
      CapfElements elements = ElementsOf(message);
      change(elements);
      return CapfMessage(header.command, elements, header.session_id);
    });
  };
  const ScriptedCapf good(
      storing([&](CapfElements& elements) { elements.certificate->der = IssueTestLsc(recorded_key.key()); }));
  EXPECT_OK(Replay(good, session));

  const PrivateKey another = *PrivateKey::Generate(KeyKind::kEcP256);
  const ScriptedCapf other_key(
      storing([&](CapfElements& elements) { elements.certificate->der = IssueTestLsc(another.get()); }));
  EXPECT_THAT(Replay(other_key, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("for another key")));

  const ScriptedCapf unreadable(storing([](CapfElements& elements) { elements.certificate->der.pop_back(); }));
  EXPECT_THAT(Replay(unreadable, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("cannot be read")));

  const ScriptedCapf other_type(storing([](CapfElements& elements) {
    elements.certificate->type = CapfCertificateType::kMic;
    elements.certificate_type = CapfCertificateType::kMic;
  }));
  EXPECT_THAT(Replay(other_type, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 11")));

  const ScriptedCapf malformed(RecordedServer(session, [](std::string message) {
    if (message[1] == static_cast<char>(CapfCommand::kStoreCertificateRequest)) message[15] = 2;
    return message;
  }));
  EXPECT_THAT(Replay(malformed, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 15")));

  constexpr size_t kTypeElement = 4;  // which comes before the certificate
  const ScriptedCapf other_order(RecordedServer(session, [](std::string message) {
    if (message[1] != static_cast<char>(CapfCommand::kStoreCertificateRequest)) return message;
    return message.substr(0, kCapfHeaderSize) + message.substr(kCapfHeaderSize + kTypeElement) +
           message.substr(kCapfHeaderSize, kTypeElement);
  }));
  EXPECT_THAT(Replay(other_order, session), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("at byte 8")));
}

TEST(CapturedSessionTest, SignsSudiDataForItsOwnSession) {
  const std::vector<CapturedMessage> session = RecordedSession("capf-fetch-existing-certificate.hex");
  const std::string pem = ReadVector("capf-issued-lsc.pem");
  const auto key = std::make_shared<const PrivateKey>(*PrivateKey::FromPem(pem, nullptr));
  std::vector<CapturedMessage> expected = InOtherSession(session);
  CapfElements response = ElementsOf(expected[1].bytes);
  response.sudi_data = *MakeSudiData({*Certificate::FromPem(pem), key}, kOtherSession);
  expected[1].bytes = CapfMessage(CapfCommand::kAuthenticationResponse, response, kOtherSession);
  const ScriptedCapf capf(RecordedServer(expected));
  EXPECT_OK(Replay(capf, session, key));
  // Without the key the recorded ones are sent, and this server closes.
  EXPECT_THAT(Replay(capf, session), StatusIs(absl::StatusCode::kUnavailable));
  const auto another = std::make_shared<const PrivateKey>(*PrivateKey::Generate(KeyKind::kEcP256));
  EXPECT_THAT(Replay(capf, session, another),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("not that of the certificate"))));
}

}  // namespace
}  // namespace trustline
