#include "common/x509/private_key.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "common/x509/pem.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Message(const absl::Status& status) { return std::string(StatusMessage(status)); }

int ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return static_cast<int>(info.st_mode & 07777);
}

TEST(PrivateKeyTest, MakesEveryKind) {
  const std::vector<std::pair<KeyKind, std::string>> kinds = {{KeyKind::kRsa2048, "RSA 2048"},
                                                              {KeyKind::kEcP256, "EC secp256r1"},
                                                              {KeyKind::kEcP384, "EC secp384r1"},
                                                              {KeyKind::kEcP521, "EC secp521r1"}};
  for (const auto& [kind, text] : kinds) {
    const auto key = PrivateKey::Generate(kind);
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(key->kind_text(), text);
    EXPECT_TRUE(CheckKeyStrength(key->get()).ok());
  }
}

TEST(PrivateKeyTest, WeakAndUnusualKeysAreNamed) {
  const EvpPkeyPtr weak(EVP_RSA_gen(1024));
  EXPECT_THAT(Message(CheckKeyStrength(weak.get())), HasSubstr("RSA 1024"));
  const EvpPkeyPtr curve(EVP_EC_gen("secp256k1"));
  EXPECT_THAT(Message(CheckKeyStrength(curve.get())), HasSubstr("EC secp256k1"));
  const EvpPkeyPtr edwards(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  EXPECT_THAT(Message(CheckKeyStrength(edwards.get())), HasSubstr("ED25519"));
  EXPECT_FALSE(CheckKeyStrength(nullptr).ok());
}

TEST(PrivateKeyTest, BelongsToItsCertificate) {
  for (const char* name : {"tvs.pem", "appserver-ec.pem"}) {
    const auto key = PrivateKey::FromPem(ReadVector(name), nullptr);
    ASSERT_TRUE(key.ok()) << key.status();
    const Certificate certificate = *Certificate::FromPem(ReadVector(name));
    EXPECT_TRUE(key->MatchesCertificate(certificate));
    EXPECT_EQ(key->public_key_sha256(), certificate.public_key_sha256());
    EXPECT_FALSE(key->MatchesCertificate(*Certificate::FromPem(ReadVector("capf.pem"))));
  }
}

TEST(PrivateKeyTest, ReadsDer) {
  const std::string pem = ReadVector("tvs.pem");
  const auto key = PrivateKey::FromPem(pem, nullptr);
  ASSERT_TRUE(key.ok()) << key.status();
  const size_t begin = pem.find('\n', pem.find("-----BEGIN PRIVATE KEY-----")) + 1;
  const std::string der =
      *DecodePemBody(std::string_view(pem).substr(begin, pem.find("-----END PRIVATE", begin) - begin));
  const auto again = PrivateKey::FromDer(AsBytes(der));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key_sha256(), key->public_key_sha256());
  for (const std::string& damaged : {der + "x", der.substr(0, der.size() - 1), std::string()}) {
    EXPECT_EQ(PrivateKey::FromDer(AsBytes(damaged)).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(PrivateKeyTest, FilesGoBothWays) {
  const ScratchFolder folder;
  const auto key = PrivateKey::Generate(KeyKind::kEcP256);
  const std::string path = folder.Path("plain.key");
  ASSERT_TRUE(key->WriteKeyFile(path).ok());
  EXPECT_EQ(ModeOf(path), 0600);
  const auto again = PrivateKey::ReadKeyFile(path);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->public_key_sha256(), key->public_key_sha256());
  // In place of an older file, with nothing left beside it.
  ASSERT_TRUE(PrivateKey::Generate(KeyKind::kEcP256)->WriteKeyFile(path).ok());
  EXPECT_NE(PrivateKey::ReadKeyFile(path)->public_key_sha256(), key->public_key_sha256());
  const std::filesystem::directory_iterator files(folder.Path(""));
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
  EXPECT_EQ(key->WriteKeyFile(folder.Path("none/plain.key")).code(), absl::StatusCode::kNotFound);
}

TEST(PrivateKeyTest, PassphraseProtectsTheFile) {
  const ScratchFolder folder;
  const auto key = PrivateKey::Generate(KeyKind::kEcP256);
  const SecretBytes passphrase("correct horse");
  const std::string path = folder.Path("encrypted.key");
  ASSERT_TRUE(key->WriteKeyFile(path, &passphrase).ok());
  EXPECT_THAT(ReadTestFile(path), StartsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----"));

  const auto good = PrivateKey::ReadKeyFile(path, folder.Write("good", "correct horse\n"));
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->public_key_sha256(), key->public_key_sha256());
  const auto wrong = PrivateKey::ReadKeyFile(path, folder.Write("wrong", "battery staple\n"));
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Message(wrong.status()), AllOf(HasSubstr(path), HasSubstr("passphrase is wrong")));
  const auto none = PrivateKey::ReadKeyFile(path);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kFailedPrecondition);
  const auto empty = PrivateKey::ReadKeyFile(path, folder.Write("empty", "\n"));
  EXPECT_THAT(Message(empty.status()), HasSubstr("empty"));
  const SecretBytes nothing;
  EXPECT_FALSE(key->WriteKeyFile(path, &nothing).ok());

  const auto openssl = RunCommand(fmt::format("openssl pkey -in {} -passin file:{} -noout && openssl asn1parse -in {}",
                                              path, folder.Path("good"), path));
  EXPECT_EQ(openssl.exit_status, 0) << openssl.output;
  // PBKDF2 with HMAC-SHA256 and 600,000 rounds, AES-256-CBC.
  EXPECT_THAT(openssl.output, AllOf(HasSubstr("PBKDF2"), HasSubstr("hmacWithSHA256"),
                                    HasSubstr("INTEGER           :0927C0"), HasSubstr("aes-256-cbc")));
}

TEST(PrivateKeyTest, ReadsOpenSslsOldEncryptedForm) {
  const ScratchFolder folder;
  const std::string path = folder.Path("old.key");
  const auto made =
      RunCommand(fmt::format("openssl ecparam -name prime256v1 -genkey -noout | openssl ec -aes256 -passout "
                             "pass:secret -out {} && chmod 600 {}",
                             path, path));
  ASSERT_EQ(made.exit_status, 0) << made.output;
  EXPECT_TRUE(PrivateKey::ReadKeyFile(path, folder.Write("pass", "secret")).ok());
  EXPECT_EQ(PrivateKey::ReadKeyFile(path).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(PrivateKey::ReadKeyFile(path, folder.Write("wrong", "public")).status().code(),
            absl::StatusCode::kUnauthenticated);
}

TEST(PrivateKeyTest, RefusesFilesThatOthersMayUse) {
  const ScratchFolder folder;
  for (const int mode : {0640, 0604, 0620, 0602, 0644}) {
    const std::string path = folder.Write(fmt::format("{:o}.key", mode), ReadVector("tvs.pem"), mode);
    const auto key = PrivateKey::ReadKeyFile(path);
    EXPECT_EQ(key.status().code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(Message(key.status()), HasSubstr(fmt::format("chmod 600 {}", path)));
  }
  EXPECT_TRUE(PrivateKey::ReadKeyFile(folder.Write("good.key", ReadVector("tvs.pem"), 0400)).ok());
  const std::string encrypted = folder.Write("key", ReadVector("tvs.pem"));
  EXPECT_EQ(PrivateKey::ReadKeyFile(encrypted, folder.Write("pass", "x", 0644)).status().code(),
            absl::StatusCode::kPermissionDenied);
}

// systemd grants a credential by an ACL, whose mask the group's bits show: root's file of mode 0440.
TEST(PrivateKeyTest, ACredentialMayBeReadableForItsGroup) {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder.Path("credentials/below"));
  setenv("CREDENTIALS_DIRECTORY", folder.Path("credentials").c_str(), 1);
  const auto code = [&](std::string_view name, int mode) {
    return ReadPassphraseFile(folder.Write(name, "correct horse\n", mode)).status().code();
  };
  EXPECT_EQ(code("credentials/granted", 0440), absl::StatusCode::kOk);
  EXPECT_EQ(code("credentials/private", 0400), absl::StatusCode::kOk);
  for (const int mode : {0460, 0470, 0444, 0441, 0620}) {
    EXPECT_EQ(code(fmt::format("credentials/{:o}", mode), mode), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_EQ(code("credentials/below/granted", 0440), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code("beside", 0440), absl::StatusCode::kPermissionDenied);
  setenv("CREDENTIALS_DIRECTORY", (folder.Path("credentials") + "/").c_str(), 1);
  EXPECT_EQ(code("credentials/slash", 0440), absl::StatusCode::kOk);
  unsetenv("CREDENTIALS_DIRECTORY");
  EXPECT_EQ(code("credentials/without", 0440), absl::StatusCode::kPermissionDenied);
}

TEST(PrivateKeyTest, SaysWhatIsWrongWithAFile) {
  const ScratchFolder folder;
  EXPECT_EQ(PrivateKey::ReadKeyFile(folder.Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(PrivateKey::ReadKeyFile(folder.Write("junk", "junk")).status()), HasSubstr("no private key"));
  EXPECT_THAT(Message(PrivateKey::ReadKeyFile(folder.Write("huge", std::string(70000, 'x'))).status()),
              HasSubstr("larger than the maximum"));
  EXPECT_FALSE(PrivateKey::ReadKeyFile(folder.Path("")).ok());
  const std::string pem = ReadVector("device-lsc.pem");
  const std::string key = pem.substr(pem.find("-----BEGIN PRIVATE"), 1000);
  for (size_t size = 0; size < key.size(); size += 13) {
    EXPECT_FALSE(PrivateKey::FromPem(key.substr(0, size), nullptr).ok()) << size;
  }
}

}  // namespace
}  // namespace trustline
