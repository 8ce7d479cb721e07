// The files that trustctl reads and writes, and its progress.
#include <openssl/core_names.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "cli/trustctl/blocked_key_input.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/context.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/progress.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_request.h"
#include "common/x509/pem.h"
#include "common/x509/private_key.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Vector(const std::string& name) { return TRUSTLINE_SOURCE_DIR "/tests/vectors/" + name; }

size_t FilesIn(const std::filesystem::path& folder) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST(ContextTest, ReadsWhatItWrites) {
  const TemporaryDirectory directory;
  const std::string path = directory.WriteFile(
      "context.toml", ContextFileText("berlin", {{"itld", "127.0.0.1:9442"}, {"tvsd", "127.0.0.1:9441"}}));
  ASSERT_OK_AND_ASSIGN(const Context context, LoadContext(path));
  EXPECT_EQ(context.cluster, "berlin");
  EXPECT_EQ(context.identity.key, directory.path().string() + "/identity.key");
  EXPECT_THAT(ServiceAddress(context, "tvsd"), IsOkAndHolds("127.0.0.1:9441"));
  EXPECT_THAT(ServiceAddress(context, "cad"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("add `cad = \"HOST:PORT\"`")));
}

TEST(ContextTest, ErrorsNameFileAndLine) {
  const TemporaryDirectory directory;
  const std::string good = ContextFileText("default", {});
  EXPECT_THAT(LoadContext(directory.WriteFile("unknown.toml", "clutser = \"a\"\n" + good)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unknown.toml:1")));
  EXPECT_THAT(LoadContext(directory.WriteFile("syntax.toml", good + "[services\n")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("syntax.toml:")));
  EXPECT_THAT(LoadContext(directory.WriteFile("type.toml", good + "itld = 9442\n")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("itld")));
  EXPECT_FALSE(LoadContext(directory.path().string() + "/missing.toml").ok());
}

TEST(ExportFileTest, AppearsWholeOrNotAtAll) {
  const TemporaryDirectory directory;
  const std::string path = directory.path().string() + "/out.pem";
  std::ostringstream out;
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ExportFile> file, ExportFile::Create(path, false, out));
    EXPECT_OK(file->Write(std::string(1'000'000, 'x')));
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_EQ(FilesIn(directory.path()), 0u);

  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ExportFile> file, ExportFile::Create(path, false, out));
  EXPECT_OK(file->Write(std::string(1'000'000, 'x')));
  EXPECT_OK(file->Write("end"));
  EXPECT_OK(file->Commit());
  EXPECT_EQ(ReadFile(path), std::string(1'000'000, 'x') + "end");
  EXPECT_EQ(FilesIn(directory.path()), 1u);
  EXPECT_EQ(out.str(), "");
}

TEST(ExportFileTest, AFileThatIsThereStaysUnlessForced) {
  const TemporaryDirectory directory;
  const std::string path = directory.WriteFile("out.pem", "old");
  std::ostringstream out;
  EXPECT_THAT(ExportFile::Create(path, false, out), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--force")));

  // It appeared while the export ran.
  const std::string other = directory.path().string() + "/other.pem";
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ExportFile> raced, ExportFile::Create(other, false, out));
  directory.WriteFile("other.pem", "theirs");
  EXPECT_OK(raced->Write("ours"));
  EXPECT_THAT(raced->Commit(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadFile(other), "theirs");

  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ExportFile> forced, ExportFile::Create(path, true, out));
  EXPECT_OK(forced->Write("new"));
  EXPECT_OK(forced->Commit());
  EXPECT_EQ(ReadFile(path), "new");
  EXPECT_THAT(ExportFile::Create("/nonexistent/out.pem", false, out),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("write /nonexistent/out.pem: ")));

  // What is no file is never replaced: neither a folder nor a pipe, and no device either.
  const std::string folder = directory.path().string() + "/folder";
  std::filesystem::create_directory(folder);
  const std::string pipe = directory.path().string() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& no_file : {folder, pipe, std::string("/dev/null")}) {
    for (const bool replace : {false, true}) {
      EXPECT_THAT(ExportFile::Create(no_file, replace, out),
                  StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(no_file + " is no plain file: ")));
    }
  }
}

TEST(ExportFileTest, WithoutANameItIsTheStandardOutput) {
  std::ostringstream out;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<ExportFile> file, ExportFile::Create("", false, out));
  EXPECT_OK(file->Write("text"));
  EXPECT_OK(file->Commit());
  EXPECT_EQ(out.str(), "text");
  out.setstate(std::ios::badbit);
  EXPECT_FALSE(file->Write("more").ok());
}

TEST(CertificateInputTest, FilesAndFoldersWithTheirSources) {
  const TemporaryDirectory directory;
  const std::string certificate = ReadFile(Vector("capf.pem"));
  directory.WriteFile("folder/b.pem", certificate);
  directory.WriteFile("folder/a.pem", certificate + ReadFile(Vector("tvs.pem")));
  directory.WriteFile("folder/.hidden", "not a certificate");
  const std::string folder = directory.path().string() + "/folder";
  ASSERT_OK_AND_ASSIGN(const std::vector<InputCertificate> input,
                       ReadInputCertificates({Vector("callmanager.pem"), folder}));
  ASSERT_THAT(input, SizeIs(4));
  EXPECT_THAT(input[0].source, EndsWith("callmanager.pem"));
  EXPECT_EQ(input[1].source, folder + "/a.pem, certificate 1");
  EXPECT_EQ(input[2].source, folder + "/a.pem, certificate 2");
  EXPECT_EQ(input[3].source, folder + "/b.pem");
  EXPECT_EQ(input[1].der, input[3].der);
}

TEST(CertificateInputTest, ErrorsNameTheFile) {
  const TemporaryDirectory directory;
  directory.WriteFile("folder/readme.txt", "not a certificate");
  directory.WriteFile("outer/inner/a.pem", "");
  std::filesystem::create_directory(directory.path() / "empty");
  const std::string path = directory.path().string();
  EXPECT_THAT(ReadInputCertificates({path + "/folder"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("readme.txt")));
  EXPECT_THAT(
      ReadInputCertificates({path + "/outer"}),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("inner"), HasSubstr("name the files themselves"))));
  EXPECT_THAT(ReadInputCertificates({path + "/empty"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no files")));
  EXPECT_THAT(ReadInputCertificates({path + "/missing.pem"}),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("missing.pem"), HasSubstr("check the name"))));
}

TEST(ProgressTest, LinesEveryFiveSecondsWithoutATerminal) {
  std::ostringstream err;
  FakeClock clock(absl::FromUnixSeconds(0));
  Progress progress(err, /*terminal=*/false, "certificates", 200, clock);
  progress.Update(10);
  EXPECT_EQ(err.str(), "");
  clock.Advance(absl::Seconds(5));
  progress.Update(50);
  clock.Advance(absl::Seconds(4));
  progress.Update(60);
  EXPECT_EQ(err.str(), "50 of 200 certificates, 25%\n");
  progress.Finish();
  EXPECT_EQ(err.str(), "50 of 200 certificates, 25%\n");
}

TEST(ProgressTest, ABarOnATerminalThatIsClearedAtTheEnd) {
  std::ostringstream err;
  FakeClock clock(absl::FromUnixSeconds(0));
  Progress progress(err, /*terminal=*/true, "certificates", 4, clock);
  progress.Update(1);
  EXPECT_EQ(err.str(), "");
  clock.Advance(absl::Milliseconds(600));
  progress.Update(2);
  EXPECT_EQ(err.str(), "\r\x1b[K[###############               ] 2 of 4 certificates, 50%");
  progress.Finish();
  EXPECT_THAT(err.str(), EndsWith("\r\x1b[K"));
}

// Whatever a key is found in, its hash is the same.
TEST(BlockedKeyInputTest, TakesKeysInEveryForm) {
  const std::string pem = ReadFile(Vector("tvs.pem"));
  const PrivateKey key = *PrivateKey::FromPem(pem, nullptr);
  const Certificate certificate = *Certificate::FromPem(pem);
  const CertificateRequest request = *CertificateRequest::BuildForSubject(key, certificate.subject());
  const std::string info = PublicKeyInfo::Of(key.get())->der();
  PemReader reader(pem);
  const std::string private_key = *DecodePemBody((*reader.Next())->body);
  const std::string hash(AsText(key.public_key_sha256()));

  // A key and its certificate in one file are one key.
  EXPECT_THAT(ReadBlockedKeys(Vector("tvs.pem")), IsOkAndHolds(ElementsAre(hash)));
  const TemporaryDirectory directory;
  for (const std::string& content :
       {info, private_key, std::string(AsText(certificate.der())), std::string(AsText(request.der())),
        EncodePem("PUBLIC KEY", info), EncodePem("CERTIFICATE REQUEST", AsText(request.der())),
        ToHex(key.public_key_sha256()) + "  # leaked"}) {
    EXPECT_THAT(ReadBlockedKeys(directory.WriteFile("key", content)), IsOkAndHolds(ElementsAre(hash))) << content;
  }
}

TEST(BlockedKeyInputTest, TakesTheFormOfAnEcKeyThatIsCertified) {
  const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
  const std::string hash(AsText(key.public_key_sha256()));
  const EvpPkeyPtr compressed(EVP_PKEY_dup(key.get()));
  ASSERT_EQ(EVP_PKEY_set_utf8_string_param(compressed.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                           OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_COMPRESSED),
            1);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(compressed.get(), &der);
  const OpenSslBytesPtr owner(der);
  const std::string info(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  EXPECT_NE(info, PublicKeyInfo::Of(key.get())->der());
  const TemporaryDirectory directory;
  EXPECT_THAT(ReadBlockedKeys(directory.WriteFile("key", info)), IsOkAndHolds(ElementsAre(hash)));
}

TEST(BlockedKeyInputTest, RefusesWhatItCannotBlock) {
  const TemporaryDirectory directory;
  const auto refusal = [&](const std::string& content, const std::string& reason) {
    EXPECT_THAT(ReadBlockedKeys(directory.WriteFile("key", content)),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("key"), HasSubstr(reason))))
        << content;
  };
  refusal("", "no key in it");
  refusal("# nothing\n", "no key in it");
  refusal("abcd\n", "key:1: 'abcd'");
  refusal(std::string("\x30\0", 2), "DER, but no public key");
  refusal(EncodePem("EC PARAMETERS", "any"), "no key in it");
  refusal(EncodePem("X509 CRL", "any"), "PEM block 1 (X509 CRL)");
  refusal(EncodePem("ENCRYPTED PRIVATE KEY", "any"), "is encrypted");
  refusal(EncodePem("PUBLIC KEY", "any"), "PEM block 1 (PUBLIC KEY)");
  EXPECT_THAT(ReadBlockedKeys(directory.path().string() + "/none"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace trustline
