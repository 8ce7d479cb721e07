#include "common/x509/certificate.h"

#include <openssl/err.h>

#include "common/bytes/bytes.h"
#include "common/x509/der.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Certificate Vector(std::string_view name) { return *Certificate::FromPem(ReadVector(name)); }

std::string ErrorOf(std::string_view der) {
  const auto certificate = Certificate::FromDer(AsBytes(der));
  EXPECT_EQ(ERR_peek_error(), 0u);
  return certificate.ok() ? "" : std::string(StatusMessage(certificate.status()));
}

TEST(CertificateTest, ReadsTheVectors) {
  const Certificate certificate = Vector("callmanager.pem");
  EXPECT_EQ(ToHex(certificate.serial()), "d58dca0ab46b50753d1da33adb4ab7f6");
  EXPECT_EQ(certificate.subject().ToText(), "CN=cucm-pub.example,O=Example,OU=Voice");
  EXPECT_EQ(certificate.issuer(), certificate.subject());
  EXPECT_EQ(certificate.not_before(), absl::FromCivil(absl::CivilDay(2026, 11, 22), absl::UTCTimeZone()));
  EXPECT_EQ(certificate.not_after(), absl::FromCivil(absl::CivilDay(2036, 11, 22), absl::UTCTimeZone()));
  EXPECT_EQ(certificate.public_key_kind(), "RSA 2048");
  EXPECT_TRUE(certificate.is_ca());
  EXPECT_TRUE(certificate.is_self_issued());
  EXPECT_EQ(certificate.subject_key_id().size(), 20u);
  EXPECT_TRUE(certificate.authority_key_id().empty());
  EXPECT_THAT(certificate.dns_names(), ElementsAre("cucm-pub.example"));
  EXPECT_TRUE(certificate.uri_names().empty());
  EXPECT_TRUE(certificate.CheckImportable().ok());
  EXPECT_EQ(Vector("appserver-ec.pem").public_key_kind(), "EC secp384r1");
  const Certificate lsc = Vector("capf-issued-lsc.pem");
  EXPECT_FALSE(lsc.is_ca());
  EXPECT_FALSE(lsc.is_self_issued());
  EXPECT_THAT(lsc.uri_names(), ElementsAre("SEP001122334455"));
}

TEST(CertificateTest, AgreesWithOpenSslsCommand) {
  const ScratchFolder folder;
  const Certificate certificate = Vector("itlrecovery.pem");
  const std::string path = folder.Write("c.pem", certificate.ToPem());
  const std::string fingerprint = RunCommand("openssl x509 -noout -fingerprint -sha256 -in " + path).output;
  EXPECT_EQ(*FromHex(fingerprint.substr(fingerprint.find('=') + 1, 95)), AsText(certificate.sha256()));
  EXPECT_EQ(ToHex(certificate.serial()), "0dc87bbaddde11a92debc2672ce249f8");
}

TEST(CertificateTest, RefusesTrailingBytesAndTruncation) {
  const std::string der(AsText(Vector("tvs.pem").der()));
  EXPECT_EQ(ErrorOf(der), "");
  EXPECT_THAT(ErrorOf(der + '\0'), HasSubstr("not a certificate in DER"));
  for (size_t size = 0; size < der.size(); ++size) ASSERT_NE(ErrorOf(der.substr(0, size)), "") << size;
}

TEST(CertificateTest, RefusesTheOversized) {
  EXPECT_THAT(ErrorOf(std::string(kMaxCertificateSize + 1, '0')), HasSubstr("larger than the maximum of 16384"));
}

TEST(CertificateTest, RefusesBer) {
  const std::string der(AsText(Vector("tvs.pem").der()));
  // The outer length in three bytes where two are enough, and as indefinite.
  const std::string long_length = std::string("\x30\x83\x00", 3) + der.substr(2);
  EXPECT_THAT(ErrorOf(long_length), HasSubstr("leading zero byte"));
  const std::string indefinite = "\x30\x80" + der.substr(4) + std::string(2, '\0');
  EXPECT_THAT(ErrorOf(indefinite), HasSubstr("indefinite length"));
  // OpenSSL itself reads both: the check is ours.
  for (const std::string& ber : {long_length, indefinite}) {
    const auto* at = reinterpret_cast<const unsigned char*>(ber.data());
    const X509Ptr parsed(d2i_X509(nullptr, &at, static_cast<long>(ber.size())));
    EXPECT_NE(parsed, nullptr);
  }
}

TEST(CertificateTest, RefusesABooleanThatIsNotDer) {
  // basicConstraints' critical flag: 01 01 ff.
  const std::string der = WithReplaced(Vector("tvs.pem").der(), "\x55\x1d\x13\x01\x01\xff", "\x55\x1d\x13\x01\x01\x01");
  EXPECT_THAT(ErrorOf(der), HasSubstr("boolean is not 00 or ff"));
}

TEST(CertificateTest, SurvivesEveryDamagedByte) {
  const std::string der(AsText(Vector("appserver-ec.pem").der()));
  for (size_t i = 0; i < der.size(); ++i) {
    for (const int change : {0x01, 0x20, 0x80, 0xff}) {
      std::string damaged = der;
      damaged[i] = static_cast<char>(damaged[i] ^ change);
      const auto certificate = Certificate::FromDer(AsBytes(damaged));
      if (!certificate.ok()) continue;
      EXPECT_NE(certificate->sha256(), Sha256(AsBytes(der)));
      certificate->CheckImportable().IgnoreError();
      certificate->public_key_kind();
      certificate->dns_names();
      certificate->subject().ToText();
      certificate->is_ca();
    }
  }
}

TEST(CertificateTest, NulsInNamesMakeItUnfitForImport) {
  CertificateTemplate form = LeafForm("good.example.evil");
  form.dns_names = {"good.example.dns.evil"};
  const Party party = MakeSelfSigned(form);
  const auto subject = Certificate::FromDer(
      AsBytes(WithReplaced(party.certificate.der(), "good.example.evil", std::string("good.example\0evil", 17))));
  ASSERT_TRUE(subject.ok()) << subject.status();
  EXPECT_THAT(std::string(StatusMessage(subject->CheckImportable())), HasSubstr("subject or issuer has a NUL"));
  const auto dns = Certificate::FromDer(
      AsBytes(WithReplaced(party.certificate.der(), "good.example.dns.", std::string("good.example\0dns.", 17))));
  ASSERT_TRUE(dns.ok()) << dns.status();
  EXPECT_THAT(std::string(StatusMessage(dns->CheckImportable())), HasSubstr("alternative name"));
  EXPECT_TRUE(dns->dns_names().empty());
  EXPECT_TRUE(party.certificate.CheckImportable().ok());
}

TEST(CertificateTest, EndBeforeBeginningIsUnfitForImport) {
  const Party party = MakeSelfSigned(LeafForm("a"));
  // 1 December 2026, one hour back, and thirty days later.
  const auto swapped =
      Certificate::FromDer(AsBytes(WithReplaced(party.certificate.der(), "261231000000Z", "260101000000Z")));
  ASSERT_TRUE(swapped.ok()) << swapped.status();
  EXPECT_THAT(std::string(StatusMessage(swapped->CheckImportable())), HasSubstr("ends before it begins"));
}

TEST(CertificateTest, SerialsLoseTheirLeadingZeros) {
  EXPECT_EQ(ToHex(CanonicalSerial(AsBytes(std::string_view("\0\0\x01\0", 4)))), "0100");
  EXPECT_TRUE(CanonicalSerial(AsBytes(std::string_view("\0", 1))).empty());
}

TEST(CertificateTest, PemHasToHoldExactlyOne) {
  const std::string pem = ReadVector("tvs.pem");
  EXPECT_TRUE(Certificate::FromPem(pem).ok());
  EXPECT_FALSE(Certificate::FromPem(pem + pem).ok());
  EXPECT_FALSE(Certificate::FromPem("").ok());
  EXPECT_EQ(*Certificate::FromPem(Vector("tvs.pem").ToPem()), Vector("tvs.pem"));
}

TEST(CheckDerTest, KnowsTheRules) {
  const auto check = [](std::string_view hex) { return CheckDer(AsBytes(*FromHex(hex))).ok(); };
  for (const char* good : {"3000", "020100", "02020080", "0101ff", "010100", "03020780", "030100", "a0020500", "8001aa",
                           "0c026162", "30050101ff0500"}) {
    EXPECT_TRUE(check(good)) << good;
  }
  for (const char* bad : {"", "30", "3001", "300000", "308100", "30820001ff", "02020001", "0202ff80", "0200", "010101",
                          "010200ff", "0300", "030108", "03020701", "24030401aa", "1000", "1f0100", "30800000"}) {
    EXPECT_FALSE(check(bad)) << bad;
  }
  const auto nested = [](int levels) {
    std::string der;
    for (int i = 0; i < levels; ++i) der = std::string("\x30") + static_cast<char>(der.size()) + der;
    return der;
  };
  EXPECT_TRUE(CheckDer(AsBytes(nested(20))).ok());
  EXPECT_FALSE(CheckDer(AsBytes(nested(50))).ok());
}

}  // namespace
}  // namespace trustline
