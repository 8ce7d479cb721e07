#include "capf/proof.h"

#include <openssl/err.h>

#include "capf/forgery_testing.h"
#include "capf/proof_testing.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "common/x509/x509_testing.h"
#include "tests/support/status_matchers.h"
#include "tests/support/wire_vector.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint32_t kSession = 0x01020304;
const std::string kDevice = "SEP001122334455";
constexpr const char* kCurves[] = {"P-256", "P-384", "P-521"};

ProvingParty Ec(const char* curve = "P-256") { return MakeProvingParty(MakeEcKey(curve), kDevice); }

// The authentication response of the captured session, whose id is 5.
absl::StatusOr<CapfElements> CapturedResponse() {
  ASSIGN_OR_RETURN(const WireExchange exchange, ReadWireExchange("capf-fetch-existing-certificate.hex"));
  const ByteView bytes = AsBytes(exchange.from_phone);
  ASSIGN_OR_RETURN(const CapfHeader header, DecodeCapfHeader(bytes.first(kCapfHeaderSize)));
  EXPECT_EQ(header.session_id, 5u);
  return DecodeCapfBody(header.command, bytes.subspan(kCapfHeaderSize, header.body_length));
}

TEST(ProofTest, TheCapturedProofIsGood) {
  ASSERT_OK_AND_ASSIGN(CapfElements response, CapturedResponse());
  const Certificate lsc = *Certificate::FromPem(ReadVector("capf-issued-lsc.pem"));
  ASSERT_OK_AND_ASSIGN(const ProvedCertificate proved, CheckPossession(response, 5));
  EXPECT_EQ(proved.certificate, lsc);
  EXPECT_EQ(proved.type, CapfCertificateType::kLsc);
  EXPECT_EQ(proved.session_certificate, lsc);
  EXPECT_THAT(DeviceNamedBy(proved.certificate), IsOkAndHolds(kDevice));

  // Replayed in another session; without what covers the session it cannot be told from a new one.
  EXPECT_THAT(CheckPossession(response, 6), StatusIs(kDenied, HasSubstr("SUDI data, SHA-1: its key did not sign")));
  response.sudi_data.reset();
  ASSERT_OK_AND_ASSIGN(const ProvedCertificate replayable, CheckPossession(response, 6));
  EXPECT_FALSE(replayable.session_certificate.has_value());
  response.device_name = "SEP001122334456";
  EXPECT_THAT(CheckPossession(response, 5), StatusIs(kDenied, HasSubstr("signed data (SHA-1): its key did not sign")));
}

TEST(ProofTest, EveryKindOfKeyProves) {
  std::vector<ProvingParty> parties;
  for (const char* curve : kCurves) parties.push_back(Ec(curve));
  // 1031 bits: the block begins with an incomplete byte.
  for (const int bits : {1024, 1031, 2048, 4096}) parties.push_back(MakeProvingParty(MakeRsaKey(bits), kDevice));
  parties.push_back(MakeProvingParty(MakeRsaKey(2048, 3), kDevice));
  for (const ProvingParty& party : parties) {
    const auto proved = CheckPossession(MakeSessionProof(party, kDevice, kSession), kSession);
    ASSERT_TRUE(proved.ok()) << party.certificate.public_key_kind() << ": " << proved.status();
    EXPECT_EQ(proved->certificate, party.certificate);
    EXPECT_EQ(proved->session_certificate, party.certificate);
  }
}

TEST(ProofTest, TheTypeIsWhatThePhoneSays) {
  CapfElements response = MakeProof(Ec(), kDevice);
  response.certificate->type = CapfCertificateType::kMic;
  ASSERT_OK_AND_ASSIGN(const ProvedCertificate proved, CheckPossession(response, kSession));
  EXPECT_EQ(proved.type, CapfCertificateType::kMic);
}

TEST(ProofTest, TheSessionMayBeSignedByAnotherCertificate) {
  const ProvingParty lsc = Ec();
  const ProvingParty mic = MakeProvingParty(MakeRsaKey(2048), "CP-8841-SEP001122334455");
  CapfElements response = MakeProof(lsc, kDevice);
  response.sudi_data = MakeSudiData(mic, kSession);
  ASSERT_OK_AND_ASSIGN(const ProvedCertificate proved, CheckPossession(response, kSession));
  EXPECT_EQ(proved.certificate, lsc.certificate);
  EXPECT_EQ(proved.session_certificate, mic.certificate);
}

TEST(ProofTest, NothingMayBeMissing) {
  const ProvingParty party = Ec();
  const auto expect_refusal = [&party](void (*change)(CapfElements&), const char* reason) {
    CapfElements response = MakeSessionProof(party, kDevice, kSession);
    EXPECT_OK(CheckPossession(response, kSession));
    change(response);
    EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, HasSubstr(reason)));
  };
  expect_refusal([](CapfElements& response) { response.certificate.reset(); }, "sent no certificate");
  expect_refusal([](CapfElements& response) { response.device_name.reset(); }, "not sent its name");
  expect_refusal([](CapfElements& response) { response.signed_data.reset(); }, "signed data (SHA-1) is missing");
  expect_refusal([](CapfElements& response) { response.sha2_signed_data.reset(); }, "SHA-2 signed data is missing");
  expect_refusal([](CapfElements& response) { response.sha2_signed_data->digest = CapfDigest::kSha1; },
                 "was not made with SHA-512");
  expect_refusal([](CapfElements& response) { response.sudi_data->sha1_signature.clear(); }, "SUDI data, SHA-1");
  expect_refusal([](CapfElements& response) { response.sudi_data->sha512_signature.clear(); }, "SUDI data, SHA-512");
  // Two good signatures with SHA-1.
  expect_refusal(
      [](CapfElements& response) {
        response.sha2_signed_data = {CapfDigest::kSha1, *response.signed_data};
      },
      "was not made with SHA-512");
}

TEST(ProofTest, SignaturesAreOfTheCertificateThatCameWithThem) {
  const ProvingParty party = Ec();
  const auto element = [](const Certificate& certificate) {
    return CapfCertificate{CapfCertificateType::kLsc, std::string(AsText(certificate.der()))};
  };
  CapfElements response = MakeSessionProof(party, kDevice, kSession);
  response.certificate = element(CertificateOf(party.key.get(), kDevice));
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, HasSubstr("signed data (SHA-1)")));
  response.certificate = element(Ec().certificate);
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, HasSubstr("signed data (SHA-1)")));
  response.certificate = element(party.certificate);
  EXPECT_OK(CheckPossession(response, kSession));

  response.sudi_data->certificate = AsText(CertificateOf(party.key.get(), kDevice).der());
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, HasSubstr("SUDI data, SHA-1")));
  // Good signatures of another session, and of this one with its id in the other order of bytes.
  response.sudi_data = MakeSudiData(party, kSession + 1);
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, HasSubstr("SUDI data, SHA-1")));
  response.sudi_data = MakeSudiData(party, 0x04030201);
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, HasSubstr("SUDI data, SHA-1")));
  response.sudi_data = MakeSudiData(party, kSession);
  EXPECT_OK(CheckPossession(response, kSession));
}

TEST(ProofTest, CertificatesMustBeReadable) {
  CapfElements response = MakeSessionProof(Ec(), kDevice, kSession);
  const std::string der = response.certificate->der;
  for (const std::string& damaged : {std::string(), std::string("x"), der + '\0', der.substr(0, der.size() - 1)}) {
    response.certificate->der = damaged;
    EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kInvalid, HasSubstr("the phone's certificate")));
  }
  response.certificate->der = der;
  response.sudi_data->certificate.push_back('\0');
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kInvalid, HasSubstr("the certificate of the SUDI data")));
}

// Signed by the right key in the right form.
std::vector<Forgery> OtherMessages(const ProvingParty& party) {
  const Certificate other = CertificateOf(party.key.get(), kForgedDevice);
  const std::string der(AsText(party.certificate.der()));
  const auto of_place = [](std::string_view signed_message, std::string_view session_message) {
    return [signed_message = std::string(signed_message), session_message = std::string(session_message)](
               const Target& t) { return t.SignMessage(t.place.covers_session ? session_message : signed_message); };
  };
  return {
      {"of another device or session", of_place(SignedMessage("SEP001122334456", party.certificate),
                                                SessionMessage(kForgedSession + 1, party.certificate))},
      {"of another certificate of the key",
       of_place(SignedMessage(kForgedDevice, other), SessionMessage(kForgedSession, other))},
      {"of the other kind",
       of_place(SessionMessage(kForgedSession, party.certificate), SignedMessage(kForgedDevice, party.certificate))},
      {"without NUL, or with the session id big-endian", of_place(kForgedDevice + der, "\x0a\x0b\x0c\x0d" + der)},
      {"of the certificate alone", of_place(der, der)},
      {"of the name or the session alone", of_place(kForgedDevice + '\0', "\x0d\x0c\x0b\x0a")},
      {"of the name in lower case, of session 0",
       of_place(SignedMessage("sep001122334455", party.certificate), SessionMessage(0, party.certificate))},
      {"of nothing", of_place("", "")},
      {"of one byte more", [](const Target& t) { return t.SignMessage(t.message + '\0'); }},
      {"of one byte less", [](const Target& t) { return t.SignMessage(t.message.substr(0, t.message.size() - 1)); }},
      {"with SHA-256", [](const Target& t) { return t.Sign(EVP_sha256()); }},
      {"with SHA-384", [](const Target& t) { return t.Sign(EVP_sha384()); }},
      {"with MD5", [](const Target& t) { return t.Sign(EVP_md5()); }},
      {"with the other digest of the protocol",
       [](const Target& t) { return t.Sign(t.place.digest == CapfDigest::kSha1 ? EVP_sha512() : EVP_sha1()); }},
  };
}

TEST(ProofTest, SignaturesOfSomethingElseAreRefused) {
  for (const char* curve : kCurves) {
    const ProvingParty party = MakeProvingParty(MakeEcKey(curve), kForgedDevice);
    ExpectRefused(party, OtherMessages(party));
  }
  for (const uint64_t exponent : {65537, 3}) {
    const ProvingParty party = MakeProvingParty(MakeRsaKey(2048, exponent), kForgedDevice);
    ExpectRefused(party, OtherMessages(party));
  }
}

EvpPkeyPtr MakeKey(const char* type) { return EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, type)); }

TEST(ProofTest, WeakAndStrangeKeysAreRefused) {
  const ProvingParty good = Ec();
  const auto expect_refusal = [&good](EvpPkeyPtr key, const char* reason) {
    const Certificate certificate = CertificateOf(key.get(), kDevice);
    CapfElements response = MakeSessionProof(good, kDevice, kSession);
    response.sudi_data->certificate = AsText(certificate.der());
    EXPECT_THAT(CheckPossession(response, kSession),
                StatusIs(kInvalid, AllOf(HasSubstr("the certificate of the SUDI data"), HasSubstr(reason))));
    response.certificate->der = AsText(certificate.der());
    EXPECT_THAT(CheckPossession(response, kSession),
                StatusIs(kInvalid, AllOf(HasSubstr("the phone's certificate"), HasSubstr(reason))));
  };
  expect_refusal(MakeRsaKey(512), "(RSA 512) proves nothing: RSA keys must have 1024 to 8192 bits");
  expect_refusal(MakeRsaKey(1023), "(RSA 1023) proves nothing");
  expect_refusal(MakeRsaKey(1024, 5), "(RSA 1024) has another public exponent than 65537 or 3");
  expect_refusal(MakeRsaKey(1024, 0x100000001), "(RSA 1024) has another public exponent than 65537 or 3");
  expect_refusal(MakeEcKey("P-224"), "(EC secp224r1) is neither RSA nor EC on");
  expect_refusal(MakeEcKey("secp256k1"), "(EC secp256k1) is neither RSA nor EC on");
  expect_refusal(MakeEcKey("brainpoolP256r1"), "is neither RSA nor EC on");
  expect_refusal(MakeKey("ED25519"), "(ED25519) is neither RSA nor EC on");
  expect_refusal(MakeKey("X25519"), "(X25519) is neither RSA nor EC on");

  // The same curve, but with its parameters written out, as those of another could be.
  EvpPkeyPtr explicit_key = MakeEcKey("P-256");
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(explicit_key.get(), "encoding", "explicit"), 1);
  expect_refusal(std::move(explicit_key), "its curve is written out as parameters");
}

TEST(ProofTest, OpenSslsErrorsAreThoseOfTheProofAndLeaveItsQueueEmpty) {
  const ProvingParty party = MakeProvingParty(MakeRsaKey(1024), kDevice);
  CapfElements response = MakeSessionProof(party, kDevice, kSession);
  response.signed_data = std::string(128, '\xff');
  ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kDenied, Not(HasSubstr("malloc"))));
  EXPECT_EQ(ERR_peek_error(), 0u);
  response.certificate->der = "x";
  EXPECT_THAT(CheckPossession(response, kSession), StatusIs(kInvalid));
  EXPECT_EQ(ERR_peek_error(), 0u);
}

Certificate Named(const std::vector<std::pair<std::string_view, std::string_view>>& subject) {
  static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kEcP256));
  CertificateTemplate form = LeafForm("x");
  form.subject = *DistinguishedName::FromAttributes(subject);
  return *BuildSelfSigned(form, *key);
}

// Whatever bytes they are, which Named would not take.
Certificate WithCommonName(std::string_view bytes) {
  static const Party* const party = new Party(MakeSelfSigned(LeafForm("x")));
  const X509Ptr x509(X509_dup(party->certificate.x509()));
  const X509NamePtr name(X509_NAME_new());
  EXPECT_EQ(X509_NAME_add_entry_by_NID(name.get(), NID_commonName, V_ASN1_UTF8STRING, AsBytes(bytes).data(),
                                       static_cast<int>(bytes.size()), -1, 0),
            1);
  X509_set_subject_name(x509.get(), name.get());
  EXPECT_GT(X509_sign(x509.get(), party->key.get(), EVP_sha256()), 0);
  return *Certificate::FromX509(x509.get());
}

TEST(DeviceNamedByTest, ReadsBothForms) {
  EXPECT_THAT(DeviceNamedBy(Named({{"CN", "SEP001122334455"}})), IsOkAndHolds(kDevice));
  EXPECT_THAT(DeviceNamedBy(Named({{"O", "Example"}, {"CN", "sep001122aabbcc"}, {"OU", "Voice"}})),
              IsOkAndHolds("SEP001122AABBCC"));
  EXPECT_THAT(DeviceNamedBy(WithCommonName("SEP001122334455")), IsOkAndHolds(kDevice));
  EXPECT_THAT(DeviceNamedBy(Named({{"CN", "CSFALICE"}})), IsOkAndHolds("CSFALICE"));
  EXPECT_THAT(DeviceNamedBy(Named({{"CN", "CP-8841-SEP001122334455"}, {"serialNumber", "PID:CP-8841 SN:FCH1"}})),
              IsOkAndHolds(kDevice));
  EXPECT_THAT(DeviceNamedBy(Named({{"CN", "CP-7942G-SEP001122334455"}})), IsOkAndHolds(kDevice));
  EXPECT_THAT(DeviceNamedBy(Named({{"CN", "CP-8845-K9-SEP001122334455"}})), IsOkAndHolds(kDevice));
  EXPECT_THAT(DeviceNamedBy(Named({{"CN", "CP-SPA504G-SPA001122334455"}})), IsOkAndHolds("SPA001122334455"));
}

TEST(DeviceNamedByTest, RefusesEveryOtherName) {
  using namespace std::string_view_literals;
  for (const std::string_view name :
       {"SEP00112233445"sv, "SEP0011223344556"sv, "SEP00112233445G"sv, "001122334455"sv, " SEP001122334455"sv,
        "SEP001122334455 "sv, "SEP001122334455\n"sv, "SEP001122334455\0"sv, "SEP001122334455\0x"sv,
        "xSEP001122334455"sv, "SEP001122334455.example.com"sv, "SEP001122334455,CN=SEP001122334456"sv, "CP-"sv,
        // No model, or none of letters, digits and hyphens.
        "CP-SEP001122334455"sv, "CP--SEP001122334455"sv, "CP8841-SEP001122334455"sv, "cp-8841-SEP001122334455"sv,
        "8841-SEP001122334455"sv, "XCP-8841-SEP001122334455"sv, "CP-88 41-SEP001122334455"sv,
        "CP-88\0-SEP001122334455"sv, "CP-88=41-SEP001122334455"sv, "CP-é-SEP001122334455"sv,
        // Something after the device, or no device.
        "CP-8841-SEP001122334455-"sv, "CP-8841-SEP001122334455-X"sv, "CP-8841-SEP00112233445"sv, "CP-8841"sv,
        "CP-8841-SEP001122334455 "sv,
        // Several devices.
        "SEP001122334455-SEP001122334456"sv, "CP-SEP001122334455-SEP001122334456"sv,
        "CP-8841-SEP001122334455-SEP001122334456"sv, "CP-SEP001122334455-8841-SEP001122334456"sv,
        "CP-8841SEP001122334455-SEP001122334456"sv, "CP-SEP0011223344558841-SEP001122334456"sv,
        "CP-8841-sep001122334455-SEP001122334456"sv, "CP-8841-CSFALICE-SEP001122334456"sv,
        // Longer than a common name can be.
        "CP-8841-0123456789-0123456789-0123456789-0123456789-SEP001122334455"sv}) {
    EXPECT_THAT(DeviceNamedBy(WithCommonName(name)), StatusIs(kInvalid, HasSubstr("names no device"))) << name;
  }
}

TEST(DeviceNamedByTest, OneCommonNameOnly) {
  for (const Certificate& certificate :
       {Named({{"O", "SEP001122334455"}}), Named({{"CN", "SEP001122334455"}, {"CN", "SEP001122334456"}}),
        Named({{"CN", "SEP001122334455"}, {"CN", "SEP001122334455"}}),
        Named({{"CN", "SEP001122334455"}, {"O", "Example"}, {"CN", "Alice"}})}) {
    EXPECT_THAT(DeviceNamedBy(certificate), StatusIs(kInvalid, HasSubstr("not exactly one common name")));
  }
}

}  // namespace
}  // namespace trustline
