#include "common/x509/certificate_file.h"

#include <sys/stat.h>

#include <filesystem>

#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Certificate Vector(std::string_view name) { return *Certificate::FromPem(ReadVector(name)); }

std::vector<Certificate> Read(std::string_view bytes) {
  const auto certificates = ReadCertificates(AsBytes(bytes), "test.file");
  EXPECT_TRUE(certificates.ok()) << certificates.status();
  return certificates.ok() ? *certificates : std::vector<Certificate>();
}

std::string ErrorOf(std::string_view bytes) {
  const auto certificates = ReadCertificates(AsBytes(bytes), "test.file");
  return certificates.ok() ? "" : std::string(StatusMessage(certificates.status()));
}

TEST(CertificateFileTest, ReadsBundlesPassingOverOtherBlocks) {
  const auto certificates =
      Read("\xef\xbb\xbf" + ReadVector("appserver-ec.pem") + "a comment\r\n" + ReadVector("tvs.pem"));
  ASSERT_EQ(certificates.size(), 2u);
  EXPECT_EQ(certificates[0], Vector("appserver-ec.pem"));
  EXPECT_EQ(certificates[1], Vector("tvs.pem"));
}

TEST(CertificateFileTest, ReadsWindowsLineEnds) {
  std::string text;
  for (const char c : Vector("tvs.pem").ToPem()) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(Read(text).size(), 1u);
}

TEST(CertificateFileTest, ReadsDer) {
  const Certificate certificate = Vector("tvs.pem");
  EXPECT_EQ(Read(AsText(certificate.der()))[0], certificate);
  EXPECT_THAT(ErrorOf(std::string(AsText(certificate.der())) + "x"), HasSubstr("test.file: not a certificate in DER"));
}

TEST(CertificateFileTest, Pkcs12IsNamedWithTheWayOut) {
  const ScratchFolder folder;
  const std::string key = folder.Path("key.pem");
  const std::string certificate = folder.Path("cert.pem");
  const std::string out = folder.Path("identity.p12");
  const auto made = RunCommand(
      fmt::format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -keyout {0} -out "
                  "{1} && openssl pkcs12 -export -inkey {0} -in {1} -passout pass:secret -out {2}",
                  key, certificate, out));
  ASSERT_EQ(made.exit_status, 0) << made.output;
  EXPECT_EQ(ErrorOf(ReadTestFile(out)),
            "test.file: PKCS#12 file; extract the certificate with `openssl pkcs12 -in FILE -nokeys -out FILE.pem`");
  for (const std::string_view damaged : {"\x30\x82", "\x30\xff\x02\x01\x03", "\x30\x80\x02\x01"}) {
    EXPECT_THAT(ErrorOf(damaged), AllOf(Not(HasSubstr("PKCS#12")), Not("")));
  }
}

TEST(CertificateFileTest, ReadsPkcs7OfOtherPrograms) {
  const ScratchFolder folder;
  folder.Write("a.pem", Vector("tvs.pem").ToPem());
  folder.Write("b.pem", Vector("capf.pem").ToPem());
  for (const char* form : {"PEM", "DER"}) {
    const std::string out = folder.Path("bundle.p7b");
    const auto made = RunCommand(fmt::format("openssl crl2pkcs7 -nocrl -certfile {} -certfile {} -outform {} -out {}",
                                             folder.Path("a.pem"), folder.Path("b.pem"), form, out));
    ASSERT_EQ(made.exit_status, 0) << made.output;
    const std::string bytes = ReadTestFile(out);
    const auto certificates = Read(bytes);
    ASSERT_EQ(certificates.size(), 2u);
    // A bundle is a set: its order is OpenSSL's.
    EXPECT_THAT(certificates, testing::UnorderedElementsAre(Vector("tvs.pem"), Vector("capf.pem")));
  }
  const std::string der = ReadTestFile(folder.Path("bundle.p7b"));
  for (size_t size = 0; size < der.size(); size += 7) ASSERT_NE(ErrorOf(der.substr(0, size)), "") << size;
  EXPECT_THAT(ErrorOf(der + '\0'), HasSubstr("left over"));
  const auto gnutls =
      RunCommand(fmt::format("certtool --p7-generate --load-certificate {} --load-privkey {} --outder "
                             "--p7-include-cert --infile {} --outfile {}",
                             folder.Path("a.pem"), folder.Write("key.pem", ReadVector("tvs.pem")), folder.Path("b.pem"),
                             folder.Path("gnutls.p7")));
  ASSERT_EQ(gnutls.exit_status, 0) << gnutls.output;
  EXPECT_EQ(Read(ReadTestFile(folder.Path("gnutls.p7")))[0], Vector("tvs.pem"));
}

TEST(CertificateFileTest, NamesTheFileAndTheBlockAtFault) {
  const std::string good = Vector("tvs.pem").ToPem();
  std::string damaged = good;
  damaged[100] = '!';
  EXPECT_THAT(ErrorOf(good + damaged), AllOf(HasSubstr("test.file: PEM block 2 (CERTIFICATE)"), HasSubstr("base64")));
  EXPECT_THAT(ErrorOf(good + good.substr(0, good.size() - 10)), HasSubstr("PEM block 2 (CERTIFICATE) has no END line"));
  EXPECT_THAT(ErrorOf(good.substr(0, 200) + "\n" + good), HasSubstr("PEM block 1 (CERTIFICATE) has no END line"));
  EXPECT_THAT(ErrorOf("-----BEGIN CERT"), HasSubstr("damaged BEGIN line"));
  EXPECT_THAT(ErrorOf("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
              HasSubstr("not a certificate"));
  EXPECT_THAT(ErrorOf("-----BEGIN CERTIFICATE-----\nAA=A\n-----END CERTIFICATE-----\n"), HasSubstr("padding"));
  EXPECT_THAT(ErrorOf("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), HasSubstr("base64"));
}

TEST(CertificateFileTest, SaysWhatElseTheFileIs) {
  const std::string key = ReadVector("appserver-ec.pem").substr(0, ReadVector("appserver-ec.pem").find("-----BEGIN C"));
  EXPECT_THAT(ErrorOf(key), HasSubstr("only a private key"));
  EXPECT_THAT(ErrorOf("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"), HasSubstr("only \"X509 CRL\""));
  EXPECT_THAT(ErrorOf(""), HasSubstr("empty"));
  EXPECT_THAT(ErrorOf("hello"), HasSubstr("neither PEM nor DER"));
  EXPECT_THAT(ErrorOf("-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n"),
              HasSubstr("openssl x509"));
  EXPECT_THAT(ErrorOf(std::string(65536, '\xa5')), HasSubstr("neither PEM nor DER"));
  EXPECT_THAT(ErrorOf("\x30\x82" + std::string(65536, '\x05')), Not(""));
  EXPECT_THAT(ErrorOf("\x30\x82\xff\xff\x06" + std::string(65536, '\xff')), HasSubstr("PKCS#7"));
}

TEST(CertificateFileTest, TruncatedAtEveryLengthIsAnError) {
  const std::string pem = Vector("appserver-ec.pem").ToPem();
  // The last character is the line end, which may be missing.
  for (size_t size = 0; size + 1 < pem.size(); ++size) ASSERT_NE(ErrorOf(pem.substr(0, size)), "") << size;
}

TEST(CertificateFileTest, ReadsAFolderInOrder) {
  const ScratchFolder folder;
  folder.Write("2.pem", ReadVector("tvs.pem"));
  folder.Write("1.der", AsText(Vector("capf.pem").der()));
  folder.Write(".hidden", "junk");
  const std::string path = folder.Path("");
  auto certificates = ReadCertificatePath(path);
  ASSERT_TRUE(certificates.ok()) << certificates.status();
  ASSERT_EQ(certificates->size(), 2u);
  EXPECT_EQ((*certificates)[0], Vector("capf.pem"));
  EXPECT_EQ((*certificates)[1], Vector("tvs.pem"));

  folder.Write("3.txt", "junk");
  certificates = ReadCertificatePath(path);
  ASSERT_FALSE(certificates.ok());
  EXPECT_THAT(std::string(StatusMessage(certificates.status())), HasSubstr("3.txt: neither PEM nor DER"));
  std::filesystem::remove(folder.Path("3.txt"));
  mkdir(folder.Path("4").c_str(), 0700);
  EXPECT_FALSE(ReadCertificatePath(path).ok());
  EXPECT_THAT(std::string(StatusMessage(ReadCertificatePath(folder.Path("4")).status())), HasSubstr("no files"));
}

TEST(CertificateFileTest, ReadsASingleFileAndReportsAMissingOne) {
  EXPECT_EQ(ReadCertificatePath(TRUSTLINE_SOURCE_DIR "/tests/vectors/tvs.pem")->size(), 1u);
  const auto missing = ReadCertificatePath("/nonexistent/file.pem");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(StatusMessage(missing.status())), HasSubstr("/nonexistent/file.pem"));
}

TEST(CertificateFileTest, ReadsLargeBundles) {
  std::string bundle;
  for (int i = 0; i < 3000; ++i) bundle += ReadVector("appserver-ec.pem");
  EXPECT_EQ(Read(bundle).size(), 3000u);
}

}  // namespace
}  // namespace trustline
