#include "ca/profile/lsc_check.h"

#include "absl/time/clock.h"
#include "common/x509/openssl_error.h"
#include "common/x509/public_key.h"
#include "common/x509/x509_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

// GnuTLS judges as of now only.
const absl::Time kNow = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));

CertificateTemplate LscAuthorityForm() {
  CertificateTemplate form = AuthorityForm("LSC authority");
  form.not_before = kNow - absl::Hours(24);
  form.not_after = kNow + absl::Hours(24 * 3650);
  form.subject = *DistinguishedName::FromText("CN=LSC authority,O=Example Inc,OU=Voice,OU=Lab,L=Köln,ST=NRW,C=DE");
  return form;
}

struct Case {
  std::string name;
  KeyKind authority_key;
  KeyKind device_key;
};

class LscCheckTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    PrivateKey authority_key = *PrivateKey::Generate(GetParam().authority_key);
    authority_.emplace(*BuildSelfSigned(LscAuthorityForm(), authority_key));
    authority_key_.emplace(std::move(authority_key));
    device_key_ = *PrivateKey::Generate(GetParam().device_key);
    content_.emplace(LscContent{.device = *DeviceName::Parse("SEP001122334455"),
                                .serial = *NewSerial(),
                                .not_before = kNow - absl::Hours(1),
                                .not_after = kNow + absl::Hours(24 * 365),
                                .public_key_info = PublicKeyInfo::Of(device_key_->get())->der(),
                                .crl_url = "http://ca.example:9480/crl/0011223344556677.crl"});
    to_be_signed_ = *EncodeLscToBeSigned(*content_, *authority_);
  }
  absl::Status Check(std::string_view bytes) const {
    return CheckLsc(AsBytes(bytes), *content_, *authority_, kNow).status();
  }
  std::optional<PrivateKey> authority_key_;
  std::optional<PrivateKey> device_key_;
  std::optional<Certificate> authority_;
  std::optional<LscContent> content_;
  std::string to_be_signed_;
};

INSTANTIATE_TEST_SUITE_P(Keys, LscCheckTest,
                         ::testing::Values(Case{"RsaByRsa", KeyKind::kRsa2048, KeyKind::kRsa2048},
                                           Case{"EcByRsa", KeyKind::kRsa2048, KeyKind::kEcP256},
                                           Case{"RsaByEc", KeyKind::kEcP256, KeyKind::kRsa2048},
                                           Case{"EcByEc384", KeyKind::kEcP384, KeyKind::kEcP384}),
                         [](const auto& instance) { return instance.param.name; });

TEST_P(LscCheckTest, TakesWhatTheProfileWrites) { EXPECT_OK(Check(to_be_signed_)); }

// Every bit of what is signed is somebody's field.
TEST_P(LscCheckTest, CatchesEveryFlip) {
  for (size_t i = 0; i < to_be_signed_.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = to_be_signed_;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      ASSERT_FALSE(Check(flipped).ok()) << "byte " << i << " bit " << bit;
    }
  }
}

TEST_P(LscCheckTest, CatchesEveryCutAndEveryAddedByte) {
  for (size_t size = 0; size < to_be_signed_.size(); ++size) {
    ASSERT_FALSE(Check(std::string_view(to_be_signed_).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(Check(to_be_signed_ + std::string(1, '\0')).ok());
}

// What was written for one intent does not pass for another.
TEST_P(LscCheckTest, CatchesEveryOtherIntent) {
  const auto refused = [&](auto change, std::string_view field) {
    LscContent other = *content_;
    change(other);
    EXPECT_THAT(CheckLsc(AsBytes(to_be_signed_), other, *authority_, kNow),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(std::string(field))));
  };
  refused([](LscContent& c) { c.device = *DeviceName::Parse("SEP001122334456"); }, "the subject");
  refused([](LscContent& c) { c.serial.back() ^= 1; }, "the serial number");
  refused([](LscContent& c) { c.not_before += absl::Seconds(1); }, "the validity");
  refused([](LscContent& c) { c.not_after -= absl::Seconds(1); }, "the validity");
  refused([](LscContent& c) { c.crl_url += "x"; }, "cRLDistributionPoints");
  refused(
      [](LscContent& c) {
        c.public_key_info = PublicKeyInfo::Of(PrivateKey::Generate(KeyKind::kEcP256)->get())->der();
      },
      "the public key");
  const Party other = MakeSelfSigned(LscAuthorityForm());
  EXPECT_FALSE(CheckLsc(AsBytes(to_be_signed_), *content_, other.certificate, kNow).ok());
}

// Intents that break RFC 5280 or a limit are not signed even when the bytes say the same.
TEST_P(LscCheckTest, RefusesIntentsThatBreakARule) {
  const auto refused = [&](auto change, std::string_view rule, absl::Time now = kNow) {
    LscContent other = *content_;
    change(other);
    const auto bytes = EncodeLscToBeSigned(other, *authority_);
    ASSERT_OK(bytes);
    EXPECT_THAT(CheckLsc(AsBytes(*bytes), other, *authority_, now),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(std::string(rule))));
  };
  refused([](LscContent& c) { c.serial = std::string(4, '\x41'); }, "8 to 20 octets");
  refused([](LscContent& c) { c.serial = std::string(21, '\x41'); }, "8 to 20 octets");
  refused([](LscContent& c) { c.serial = std::string(20, '\x91'); }, "21 octets");
  refused([](LscContent& c) { c.not_after = c.not_before; }, "ends before it begins");
  refused([](LscContent& c) { c.not_before = kNow + absl::Hours(1); }, "begins in the future");
  refused([](LscContent& c) { c.not_after = kNow + absl::Hours(24 * 2000); }, "longer than 1825 days");
  refused([](LscContent& c) { c.crl_url = "ldap://x"; }, "plain http:// address");
  refused([](LscContent& c) { c.crl_url = "http://" + std::string(300, 'x'); }, "plain http:// address");
  refused([](LscContent&) {}, "has ended already", kNow + absl::Hours(24 * 366));
}

TEST_P(LscCheckTest, AuthoritiesThatMayNotIssue) {
  const auto with = [&](auto change) {
    CertificateTemplate form = LscAuthorityForm();
    change(form);
    const Certificate issuer = *BuildSelfSigned(form, *authority_key_);
    const auto bytes = EncodeLscToBeSigned(*content_, issuer);
    return bytes.ok() ? CheckLsc(AsBytes(*bytes), *content_, issuer, kNow).status() : bytes.status();
  };
  EXPECT_OK(with([](CertificateTemplate&) {}));
  EXPECT_THAT(with([](CertificateTemplate& f) {
                f.is_ca = false;
                f.path_length.reset();
              }).message(),
              HasSubstr("not an authority"));
  EXPECT_THAT(with([](CertificateTemplate& f) { f.key_usage = {"cRLSign"}; }).message(), HasSubstr("not an authority"));
  EXPECT_THAT(with([](CertificateTemplate& f) {
                f.not_before = kNow - absl::Hours(48);
                f.not_after = kNow - absl::Hours(1);
              }).message(),
              HasSubstr("not valid now"));
}

TEST(Lsc, ValidityAndSerials) {
  const Party authority = MakeSelfSigned(LscAuthorityForm());
  ASSERT_OK_AND_ASSIGN(const Validity year, LscValidity(absl::Hours(24 * 365), authority.certificate, kNow));
  EXPECT_EQ(year.not_after, kNow + absl::Hours(24 * 365));
  EXPECT_EQ(year.not_before, kNow - kClockSkewAllowance);
  EXPECT_FALSE(LscValidity(absl::Hours(23), authority.certificate, kNow).ok());
  EXPECT_FALSE(LscValidity(absl::Hours(24 * 1826), authority.certificate, kNow).ok());
  const absl::Time near_end = authority.certificate.not_after() - absl::Hours(24 * 3);
  ASSERT_OK_AND_ASSIGN(const Validity cut, LscValidity(kLongestLscLifetime, authority.certificate, near_end));
  EXPECT_EQ(cut.not_after, authority.certificate.not_after());
  EXPECT_THAT(
      LscValidity(kLongestLscLifetime, authority.certificate, authority.certificate.not_after() - absl::Hours(1)),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("rollover")));
  for (int i = 0; i < 1000; ++i) {
    const std::string serial = *NewSerial();
    ASSERT_EQ(serial.size(), kLscSerialSize);
    ASSERT_EQ(static_cast<uint8_t>(serial[0]) & 0xc0, 0x40);
  }
}

// The judges are other implementations.
TEST_P(LscCheckTest, OthersAcceptTheCertificate) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  const std::string kind = authority_key_->kind_text();
  const EVP_MD* digest = kind == "EC secp384r1" ? EVP_sha384() : EVP_sha256();
  ASSERT_EQ(EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, authority_key_->get()), 1);
  size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(to_be_signed_.data());
  ASSERT_EQ(EVP_DigestSign(context.get(), nullptr, &size, bytes, to_be_signed_.size()), 1);
  std::string signature(size, '\0');
  ASSERT_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                           to_be_signed_.size()),
            1);
  signature.resize(size);
  ASSERT_OK_AND_ASSIGN(const Certificate lsc, AssembleCertificate(AsBytes(to_be_signed_), AsBytes(signature)));
  EXPECT_EQ(lsc.subject().ToText(), "CN=SEP001122334455,O=Example Inc,OU=Voice,OU=Lab,L=Köln,ST=NRW,C=DE");

  const ScratchFolder folder;
  const std::string ca = folder.Write("ca.pem", authority_->ToPem());
  const std::string leaf = folder.Write("lsc.pem", lsc.ToPem());
  const CommandResult openssl =
      RunCommand(fmt::format("openssl verify -x509_strict -purpose sslclient -CAfile {} {}", ca, leaf));
  EXPECT_EQ(openssl.exit_status, 0) << openssl.output;
  const CommandResult gnutls =
      RunCommand(fmt::format("certtool --verify --load-ca-certificate {} --infile {}", ca, leaf));
  EXPECT_EQ(gnutls.exit_status, 0) << gnutls.output;
  EXPECT_THAT(gnutls.output, HasSubstr("Verified"));
}

}  // namespace
}  // namespace trustline
