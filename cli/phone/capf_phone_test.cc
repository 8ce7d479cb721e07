#include "cli/phone/capf_phone.h"

#include "cli/phone/capf_scripts.h"
#include "common/x509/certificate.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint8_t kSuccess = static_cast<uint8_t>(CapfReason::kSuccess);
constexpr uint8_t kInvalidElement = static_cast<uint8_t>(CapfReason::kInvalidElement);

std::shared_ptr<const PrivateKey> RecordedKey() {
  return std::make_shared<const PrivateKey>(*PrivateKey::FromPem(ReadVector("capf-issued-lsc.pem"), nullptr));
}

std::string RsaRequest(uint16_t bits) {
  return CapfMessage(CapfCommand::kKeyGenerateRequest, {.key_size = bits, .key_type = CapfKeyType::kRsa});
}
std::string EcRequest(CapfCurve curve) {
  return CapfMessage(CapfCommand::kKeyGenerateRequest, {.key_type = CapfKeyType::kEc, .curve = curve});
}

std::vector<CapfCommand> CommandsOf(const std::vector<std::string>& messages) {
  std::vector<CapfCommand> commands;
  for (const std::string& message : messages) commands.push_back(static_cast<CapfCommand>(message[1]));
  return commands;
}

struct Recorded {
  const char* session;
  CapfPhoneOptions options;
  CapfPhoneOperation operation;
  CapfReason reason;
};

// The RSA signatures and the key are the recorded ones, so that every byte has to be.
TEST(CapfPhoneTest, SendsWhatTheRecordedPhonesSent) {
  const Certificate lsc = *Certificate::FromPem(ReadVector("capf-issued-lsc.pem"));
  const PhoneCertificate proof{lsc, RecordedKey(), CapfCertificateType::kLsc};
  const CapfCertificate handed_over{CapfCertificateType::kLsc, std::string(AsText(lsc.der()))};
  const Recorded cases[] = {
      {"capf-install-rsa.hex",
       {.password = "13579", .key = RecordedKey(), .progress_messages = 1},
       CapfPhoneOperation::kInstall,
       CapfReason::kSuccess},
      {"capf-none.hex", {.password = "13579"}, CapfPhoneOperation::kNone, CapfReason::kNoAction},
      {"capf-unknown-device.hex",
       {.device_name = "SEP00112233FFFF"},
       CapfPhoneOperation::kNone,
       CapfReason::kUnknownDevice},
      {"capf-wrong-password.hex", {.password = "99999"}, CapfPhoneOperation::kNone, CapfReason::kInvalidElement},
      {"capf-delete.hex", {.password = "13579"}, CapfPhoneOperation::kDelete, CapfReason::kSuccess},
      {"capf-fetch-existing-certificate.hex",
       {.proof = proof, .certificates = {handed_over}},
       CapfPhoneOperation::kFetch,
       CapfReason::kNoAction},
  };
  for (const Recorded& recorded : cases) {
    const ScriptedCapf capf(RecordedServer(RecordedSession(recorded.session)));
    for (const bool one_byte_at_a_time : {false, true}) {
      CapfPhoneOptions options = recorded.options;
      options.one_byte_at_a_time = one_byte_at_a_time;
      CapfPhone phone(capf.endpoint(), options);
      ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
      EXPECT_EQ(result.operation, recorded.operation) << recorded.session;
      EXPECT_EQ(result.end_reason, static_cast<uint8_t>(recorded.reason)) << recorded.session;
      EXPECT_EQ(result.server_certificate, GetTestIdentity().certificate_der);
      EXPECT_EQ(phone.lsc(), recorded.operation == CapfPhoneOperation::kInstall ? handed_over.der : "");
    }
  }
}

TEST(CapfPhoneTest, SendsEachMessageInOneRecordOrEachByte) {
  const ScriptedCapf capf(Steps({Say(EndSession(CapfReason::kNoAction))}));
  ASSERT_OK(CapfPhone(capf.endpoint(), {}).Enrol());
  EXPECT_THAT(capf.pieces(), ElementsAre(capf.messages().front().size()));
  ASSERT_OK(CapfPhone(capf.endpoint(), {.one_byte_at_a_time = true}).Enrol());
  EXPECT_THAT(capf.pieces(), SizeIs(1 + capf.messages().front().size()));
  EXPECT_EQ(capf.messages()[0], capf.messages()[1]);
}

TEST(CapfPhoneTest, MakesTheKeyThatItIsAskedFor) {
  const std::pair<std::string, std::string> cases[] = {{RsaRequest(2048), "RSA 2048"},
                                                       {EcRequest(CapfCurve::kSecp256r1), "EC secp256r1"},
                                                       {EcRequest(CapfCurve::kSecp384r1), "EC secp384r1"},
                                                       {EcRequest(CapfCurve::kSecp521r1), "EC secp521r1"}};
  for (const auto& [request, kind] : cases) {
    const ScriptedCapf capf(Steps({Say(request), StoreIssued(IssueTestLsc), Say(EndSession(CapfReason::kSuccess))}));
    CapfPhone phone(capf.endpoint(), {.progress_messages = 2});
    ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
    EXPECT_EQ(result.operation, CapfPhoneOperation::kInstall);
    EXPECT_TRUE(result.ended_well());
    ASSERT_OK_AND_ASSIGN(const Certificate lsc, Certificate::FromDer(AsBytes(phone.lsc())));
    EXPECT_EQ(lsc.public_key_kind(), kind);
    EXPECT_TRUE(phone.lsc_key()->MatchesCertificate(lsc));
    EXPECT_THAT(CommandsOf(capf.messages()),
                ElementsAre(CapfCommand::kAuthenticationResponse, CapfCommand::kRequestInProgress,
                            CapfCommand::kRequestInProgress, CapfCommand::kKeyGenerateResponse,
                            CapfCommand::kStoreCertificateResponse));
  }
}

TEST(CapfPhoneTest, MakesKeysThatNobodyWouldCertify) {
  const ScriptedCapf capf(Steps({Say(RsaRequest(1024)), Say(EndSession(CapfReason::kInvalidElement))}));
  ASSERT_OK(CapfPhone(capf.endpoint(), {}).Enrol());
  ASSERT_OK_AND_ASSIGN(const PublicKeyInfo key,
                       PublicKeyInfo::FromDer(AsBytes(*ElementsOf(capf.messages().back()).public_key)));
  EXPECT_EQ(PublicKeyKindText(key.key()), "RSA 1024");
  for (const uint16_t bits : {64, 4097}) {
    const ScriptedCapf other(Steps({Say(RsaRequest(bits)), Say(EndSession(CapfReason::kInvalidElement))}));
    ASSERT_OK(CapfPhone(other.endpoint(), {}).Enrol());
    EXPECT_EQ(ElementsOf(other.messages().back()).reason, kInvalidElement);
  }
}

TEST(CapfPhoneTest, AnOldPhoneFailsAtEcKeysAndMakesRsaOnes) {
  const auto ask_for_rsa = [](const std::string& message) {
    const CapfElements response = ElementsOf(message);
    EXPECT_EQ(response.reason, kInvalidElement);
    EXPECT_FALSE(response.public_key.has_value());
    return RsaRequest(2048);
  };
  const ScriptedCapf capf(Steps({Say(EcRequest(CapfCurve::kSecp384r1)), ask_for_rsa, StoreIssued(IssueTestLsc),
                                 Say(EndSession(CapfReason::kSuccess))}));
  CapfPhone phone(capf.endpoint(), {.fails_at_ec_keys = true});
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
  EXPECT_EQ(result.operation, CapfPhoneOperation::kInstall);
  EXPECT_EQ(Certificate::FromDer(AsBytes(phone.lsc()))->public_key_kind(), "RSA 2048");
}

TEST(CapfPhoneTest, ProvesItselfWithAndWithoutSudiData) {
  const PhoneCertificate lsc{*Certificate::FromPem(ReadVector("capf-issued-lsc.pem")), RecordedKey(),
                             CapfCertificateType::kLsc};
  Party party = MakeSelfSigned(LeafForm("CP-8841-SEP001122334455"));
  const PhoneCertificate mic{party.certificate, std::make_shared<const PrivateKey>(std::move(party.key)),
                             CapfCertificateType::kMic};
  const ScriptedCapf capf(Steps({Say(EndSession(CapfReason::kNoAction))}));
  ASSERT_OK(CapfPhone(capf.endpoint(), {.proof = lsc, .sends_sudi_data = false}).Enrol());
  ASSERT_OK(CapfPhone(capf.endpoint(), {.proof = lsc, .sudi_certificate = mic}).Enrol());
  ASSERT_OK(CapfPhone(capf.endpoint(), {.proof = mic}).Enrol());
  const std::vector<std::string> messages = capf.messages();
  const CapfElements without = ElementsOf(messages[0]);
  EXPECT_TRUE(without.signed_data && without.sha2_signed_data && without.certificate);
  EXPECT_FALSE(without.sudi_data.has_value());
  const CapfElements with_other = ElementsOf(messages[1]);
  EXPECT_EQ(with_other.certificate->der, AsText(lsc.certificate.der()));
  EXPECT_EQ(with_other.sudi_data->certificate, AsText(mic.certificate.der()));
  EXPECT_EQ(ElementsOf(messages[2]).sudi_data->certificate, AsText(mic.certificate.der()));
  EXPECT_EQ(ElementsOf(messages[2]).certificate->type, CapfCertificateType::kMic);
}

TEST(CapfPhoneTest, HandsItsCertificatesOverOneByOne) {
  const std::string fetch = CapfMessage(CapfCommand::kFetchCertificateRequest, {});
  const ScriptedCapf capf(Steps({Say(fetch), Say(fetch), Say(fetch), Say(EndSession(CapfReason::kNoAction))}));
  const CapfCertificate lsc{CapfCertificateType::kLsc, "lsc"};
  const CapfCertificate mic{CapfCertificateType::kMic, "mic"};
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, CapfPhone(capf.endpoint(), {.certificates = {lsc, mic}}).Enrol());
  EXPECT_EQ(result.operation, CapfPhoneOperation::kFetch);
  const std::vector<std::string> messages = capf.messages();
  EXPECT_EQ(ElementsOf(messages[1]).certificate, lsc);
  EXPECT_EQ(ElementsOf(messages[2]).certificate, mic);
  EXPECT_EQ(ElementsOf(messages[3]).certificate, std::nullopt);
  EXPECT_EQ(ElementsOf(messages[3]).reason, kInvalidElement);
}

TEST(CapfPhoneTest, KeepsItsCertificateUntilItIsDeleted) {
  auto operation = std::make_shared<std::atomic<bool>>(false);
  const ScriptedCapf capf([operation] {
    return *operation ? Steps({Say(CapfMessage(CapfCommand::kDeleteCertificateRequest, {})),
                               Say(EndSession(CapfReason::kSuccess))})()
                      : Steps({Say(EcRequest(CapfCurve::kSecp256r1)), StoreIssued(IssueTestLsc),
                               Say(EndSession(CapfReason::kSuccess))})();
  });
  CapfPhone phone(capf.endpoint(), {});
  ASSERT_OK(phone.Enrol());
  EXPECT_NE(phone.lsc(), "");
  *operation = true;
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
  EXPECT_EQ(result.operation, CapfPhoneOperation::kDelete);
  EXPECT_EQ(phone.lsc(), "");
  EXPECT_EQ(phone.lsc_key(), nullptr);
}

TEST(CapfPhoneTest, FailsWhereItIsToldTo) {
  const ScriptedCapf capf(Steps({Say(EcRequest(CapfCurve::kSecp256r1)), StoreIssued(IssueTestLsc),
                                 Say(EndSession(CapfReason::kInvalidElement))}));
  CapfPhone phone(capf.endpoint(), {.fails = CapfCommand::kStoreCertificateRequest});
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
  EXPECT_EQ(result.operation, CapfPhoneOperation::kNone);
  EXPECT_FALSE(result.ended_well());
  EXPECT_EQ(phone.lsc(), "");
  EXPECT_EQ(ElementsOf(capf.messages().back()).reason, kInvalidElement);
  CapfPhone without_key(capf.endpoint(), {.fails = CapfCommand::kKeyGenerateRequest});
  ASSERT_OK(without_key.Enrol());
  EXPECT_EQ(ElementsOf(capf.messages().back()).public_key, std::nullopt);
}

TEST(CapfPhoneTest, DoesNotStoreTheCertificateOfAnotherKey) {
  const auto for_another_key = [](EVP_PKEY*) {
    const PrivateKey another = *PrivateKey::Generate(KeyKind::kEcP256);
    return IssueTestLsc(another.get());
  };
  for (const auto& issue : {std::function<std::string(EVP_PKEY*)>(for_another_key),
                            std::function<std::string(EVP_PKEY*)>([](EVP_PKEY*) { return "no certificate"; })}) {
    const ScriptedCapf capf(Steps(
        {Say(EcRequest(CapfCurve::kSecp256r1)), StoreIssued(issue), Say(EndSession(CapfReason::kInvalidElement))}));
    CapfPhone phone(capf.endpoint(), {});
    ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
    EXPECT_EQ(result.operation, CapfPhoneOperation::kNone);
    EXPECT_EQ(phone.lsc(), "");
    EXPECT_EQ(ElementsOf(capf.messages().back()).reason, kInvalidElement);
  }
}

// 1 authentication request, 2 its response, 3 key request, 4 and 5 in progress, 6 key response, 7 store request, 8 its
// response, 9 end session.
TEST(CapfPhoneTest, StopsAfterAnyMessage) {
  constexpr int kMessages = 9;
  constexpr int kStoreResponse = 8;
  for (int stop = 1; stop <= kMessages; ++stop) {
    const ScriptedCapf capf(Steps(
        {Say(EcRequest(CapfCurve::kSecp256r1)), StoreIssued(IssueTestLsc), Say(EndSession(CapfReason::kSuccess))}));
    std::vector<CapfPhoneMessage> passed;
    CapfPhoneOptions options{.progress_messages = 2};
    options.goes_on = [&, goes_on = StopsAfter(stop)](const CapfPhoneMessage& message) {
      passed.push_back(message);
      return goes_on(message);
    };
    CapfPhone phone(capf.endpoint(), options);
    ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, phone.Enrol());
    EXPECT_TRUE(result.stopped);
    EXPECT_EQ(result.end_reason, std::nullopt);
    ASSERT_THAT(passed, SizeIs(stop));
    EXPECT_EQ(passed.back().number, stop);
    EXPECT_EQ(passed.back().from_phone, stop == 2 || (stop >= 4 && stop <= 6) || stop == kStoreResponse);
    EXPECT_EQ(phone.lsc().empty(), stop < kStoreResponse) << stop;
  }
}

TEST(CapfPhoneTest, IsToldToComeLater) {
  const ScriptedCapf capf(Steps({Say(CapfMessage(CapfCommand::kRetryLater, {.retry_delay = 30}))}));
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, CapfPhone(capf.endpoint(), {}).Enrol());
  EXPECT_EQ(result.retry_seconds, 30u);
  EXPECT_EQ(result.end_reason, std::nullopt);
  EXPECT_FALSE(result.ended_well());
}

TEST(CapfPhoneTest, KeepsTheReasonThatItDoesNotKnow) {
  const ScriptedCapf capf(
      Steps({Say(CapfMessage(CapfCommand::kEndSession, {.reason = 77, .reason_information = "because"}))}));
  ASSERT_OK_AND_ASSIGN(const CapfPhoneResult result, CapfPhone(capf.endpoint(), {}).Enrol());
  EXPECT_EQ(result.end_reason, 77);
  EXPECT_EQ(result.end_information, "because");
  EXPECT_FALSE(result.ended_well());
}

TEST(CapfPhoneTest, RefusesWhatAPhoneWouldNotUnderstand) {
  const std::vector<std::string> after_authentication = {
      CapfMessage(CapfCommand::kEndSession, {.reason = kSuccess}, kScriptSession + 1),  // another session
      AuthenticationRequest(),                                                          // again
      CapfMessage(CapfCommand::kDeleteCertificateResponse, {.reason = kSuccess}),       // a phone's message
      "HTTP/1.1 400 Bad Request",
      std::string("\x55\x0f\x01\xa2\xb3\xc4\x00\x01\x01", 9),  // half an element
  };
  for (const std::string& bytes : after_authentication) {
    const ScriptedCapf capf(Steps({Say(bytes)}));
    EXPECT_THAT(CapfPhone(capf.endpoint(), {}).Enrol(), StatusIs(absl::StatusCode::kDataLoss)) << ToHex(AsBytes(bytes));
  }
  const ScriptedCapf ends_at_once([] { return [](const std::string&) { return EndSession(CapfReason::kNoAction); }; });
  EXPECT_THAT(CapfPhone(ends_at_once.endpoint(), {}).Enrol(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("message 1 is end session")));
}

TEST(CapfPhoneTest, AClosedConnectionIsNoEnd) {
  const ScriptedCapf capf(Steps({}));
  EXPECT_THAT(CapfPhone(capf.endpoint(), {}).Enrol(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("broke the session off")));
}

TEST(CapfPhoneTest, AcceptsThePinnedCertificateOnly) {
  const ScriptedCapf capf(Steps({Say(EndSession(CapfReason::kNoAction))}));
  CapfPhoneOptions options;
  options.tls.expected_certificate = Sha256(AsBytes(GetTestIdentity().certificate_der));
  EXPECT_OK(CapfPhone(capf.endpoint(), options).Enrol());
  options.tls.expected_certificate = Sha256(AsBytes("another"));
  EXPECT_THAT(CapfPhone(capf.endpoint(), options).Enrol(), StatusIs(absl::StatusCode::kUnauthenticated));
}

}  // namespace
}  // namespace trustline
