#include "common/x509/private_key.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/posix/credentials_directory.h"
#include "common/status/status.h"
#include "common/x509/file_content.h"
#include "common/x509/openssl_error.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

constexpr size_t kMaxKeyFileSize = 64 * 1024;
// OWASP's figure of 2023 for PBKDF2 with HMAC-SHA256; a few tenths of a second at start-up.
constexpr int kPbkdf2Iterations = 600'000;
constexpr size_t kSaltSize = 16;

int GivePassphrase(char* buffer, int size, int /*writing*/, void* passphrase) {
  const auto* secret = static_cast<const SecretBytes*>(passphrase);
  constexpr int kError = -1;
  if (secret == nullptr || secret->size() > static_cast<size_t>(size)) return kError;
  std::memcpy(buffer, secret->ExposeSecret().data(), secret->size());
  return static_cast<int>(secret->size());
}

bool IsEncrypted(const PemBlock& block) {
  return block.label == "ENCRYPTED PRIVATE KEY" || block.body.find("ENCRYPTED") != std::string_view::npos;
}

// Whether systemd put it there for this process: the group's bits are then the mask of an ACL (acl(5)).
bool IsCredential(const std::string& path, const struct stat& info) {
  const std::filesystem::path directory = CredentialsDirectory();
  return !directory.empty() && std::filesystem::path(path).parent_path() == (directory / "").parent_path() &&
         (info.st_uid == 0 || info.st_uid == geteuid());
}

absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file.valid()) return FileError("open", path, errno);
  struct stat info = {};
  if (fstat(file.get(), &info) != 0) return FileError("read", path, errno);
  if (!S_ISREG(info.st_mode)) return InvalidArgument("{} is not a file", path);
  // Root may look at a daemon's key (--check-config); it is the daemon's own user who must own it.
  if (geteuid() != 0 && info.st_uid != geteuid() && info.st_uid != 0) {
    return PermissionDenied("{} belongs to another user (number {}), who could change it; run: chown {} {}", path,
                            info.st_uid, geteuid(), path);
  }
  const mode_t allowed = IsCredential(path, info) ? S_IRGRP : 0;
  if ((info.st_mode & (S_IRWXG | S_IRWXO) & ~allowed) != 0) {
    return PermissionDenied("{} is open to other users (mode {:04o}); run: chmod 600 {}", path, info.st_mode & 07777,
                            path);
  }
  ASSIGN_OR_RETURN(std::string bytes, ReadAll(file, path, kMaxKeyFileSize));
  return SecretBytes::TakeFrom(bytes);
}

absl::Status WriteAll(const UniqueFd& file, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  if (fsync(file.get()) != 0) return FileError("write", path, errno);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  const UniqueFd file(open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
  if (!file.valid() || fsync(file.get()) != 0) return FileError("write the folder", folder, errno);
  return absl::OkStatus();
}

// A file of that name appears with all of the bytes or not at all, also when the machine stops in between.
absl::Status WriteSecretFile(const std::string& path, std::string_view bytes) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  std::string temporary = path + ".XXXXXX";
  const UniqueFd file(mkostemp(temporary.data(), O_CLOEXEC));  // O_EXCL and mode 0600
  if (!file.valid()) return FileError("create a file beside", path, errno);
  absl::Status status = WriteAll(file, temporary, bytes);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) status = FileError("write", path, errno);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(folder.empty() ? "." : folder);
}

absl::Status EncodeKey(const EVP_PKEY* key, const SecretBytes* passphrase, BIO* out) {
  const Pkcs8PrivateKeyInfoPtr info(EVP_PKEY2PKCS8(key));
  if (info == nullptr) return OpenSslInternal("the private key cannot be encoded");
  if (passphrase == nullptr) {
    if (PEM_write_bio_PKCS8_PRIV_KEY_INFO(out, info.get()) != 1)
      return OpenSslInternal("the private key cannot be encoded");
    return absl::OkStatus();
  }
  if (passphrase->empty()) return InvalidArgument("the passphrase is empty");
  std::array<unsigned char, kSaltSize> salt;
  if (RAND_bytes(salt.data(), salt.size()) != 1) return OpenSslInternal("no random bytes");
  constexpr int kPbes2 = -1;
  const std::string_view secret = passphrase->ExposeSecret();
  const X509SigPtr encrypted(PKCS8_encrypt(kPbes2, EVP_aes_256_cbc(), secret.data(), static_cast<int>(secret.size()),
                                           salt.data(), salt.size(), kPbkdf2Iterations, info.get()));
  if (encrypted == nullptr || PEM_write_bio_PKCS8(out, encrypted.get()) != 1) {
    return OpenSslInternal("the private key cannot be encrypted");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PrivateKey> PrivateKey::Generate(KeyKind kind) {
  const OpenSslErrorScope errors;
  EvpPkeyPtr key;
  switch (kind) {
    case KeyKind::kRsa2048:
      key.reset(EVP_RSA_gen(2048));
      break;
    case KeyKind::kRsa3072:
      key.reset(EVP_RSA_gen(3072));
      break;
    case KeyKind::kRsa4096:
      key.reset(EVP_RSA_gen(4096));
      break;
    case KeyKind::kEcP256:
      key.reset(EVP_EC_gen("P-256"));
      break;
    case KeyKind::kEcP384:
      key.reset(EVP_EC_gen("P-384"));
      break;
    case KeyKind::kEcP521:
      key.reset(EVP_EC_gen("P-521"));
      break;
  }
  if (key == nullptr) return OpenSslInternal("a key cannot be generated");
  return PrivateKey(std::move(key));
}

absl::StatusOr<PrivateKey> PrivateKey::FromPem(std::string_view pem, const SecretBytes* passphrase) {
  PemReader reader(pem);
  std::optional<PemBlock> block;
  do {
    ASSIGN_OR_RETURN(block, reader.Next());
    if (!block) return InvalidArgument("there is no private key in PEM");
  } while (!block->label.ends_with("PRIVATE KEY"));

  const bool encrypted = IsEncrypted(*block);
  if (encrypted && passphrase == nullptr) {
    return FailedPrecondition("the private key is encrypted: name the file with its passphrase");
  }
  const OpenSslErrorScope errors;
  const BioPtr bio(BIO_new_mem_buf(block->whole.data(), static_cast<int>(block->whole.size())));
  if (bio == nullptr) return OpenSslInternal("out of memory");
  EvpPkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, GivePassphrase, const_cast<SecretBytes*>(passphrase)));
  if (key != nullptr) return PrivateKey(std::move(key));
  if (encrypted) {
    return Unauthenticated(
        "the passphrase is wrong, or the private key is damaged: restore key and passphrase from one backup");
  }
  return InvalidArgument("the private key cannot be read: {}", DrainOpenSslErrors());
}

absl::StatusOr<PrivateKey> PrivateKey::FromDer(ByteView der) {
  const OpenSslErrorScope errors;
  const unsigned char* at = der.data();
  EvpPkeyPtr key(d2i_AutoPrivateKey(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) return OpenSslInvalidArgument("the private key cannot be read");
  if (at != der.data() + der.size()) return InvalidArgument("bytes are left over after the private key");
  return PrivateKey(std::move(key));
}

absl::StatusOr<PrivateKey> PrivateKey::ReadKeyFile(const std::string& path, const std::string& passphrase_path) {
  if (!passphrase_path.empty()) {
    ASSIGN_OR_RETURN(const SecretBytes passphrase, ReadPassphraseFile(passphrase_path));
    return ReadKeyFile(path, passphrase);
  }
  ASSIGN_OR_RETURN(const SecretBytes pem, ReadSecretFile(path));
  absl::StatusOr<PrivateKey> key = FromPem(pem.ExposeSecret(), nullptr);
  if (!key.ok()) return Annotate(key.status(), path);
  return key;
}

absl::StatusOr<PrivateKey> PrivateKey::ReadKeyFile(const std::string& path, const SecretBytes& passphrase) {
  ASSIGN_OR_RETURN(const SecretBytes pem, ReadSecretFile(path));
  absl::StatusOr<PrivateKey> key = FromPem(pem.ExposeSecret(), &passphrase);
  if (!key.ok()) return Annotate(key.status(), path);
  return key;
}

absl::Status PrivateKey::WriteKeyFile(const std::string& path, const SecretBytes* passphrase) const {
  const OpenSslErrorScope errors;
  const BioPtr out(BIO_new(BIO_s_secmem()));  // overwritten when freed
  if (out == nullptr) return OpenSslInternal("out of memory");
  RETURN_IF_ERROR(EncodeKey(key_.get(), passphrase, out.get()));
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out.get(), &bytes);
  return WriteSecretFile(path, std::string_view(bytes, static_cast<size_t>(size)));
}

Sha256Digest PrivateKey::public_key_sha256() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  const OpenSslBytesPtr owner(der);
  return Sha256(ByteView(der, static_cast<size_t>(std::max(size, 0))));
}

bool PrivateKey::MatchesCertificate(const Certificate& certificate) const {
  const OpenSslErrorScope errors;
  const EVP_PKEY* other = X509_get0_pubkey(certificate.x509());
  return other != nullptr && EVP_PKEY_eq(key_.get(), other) == 1;
}

std::optional<KeyKind> KeyKindOf(const Certificate& certificate) {
  static constexpr std::pair<std::string_view, KeyKind> kKinds[] = {
      {"RSA 2048", KeyKind::kRsa2048},    {"RSA 3072", KeyKind::kRsa3072},    {"RSA 4096", KeyKind::kRsa4096},
      {"EC secp256r1", KeyKind::kEcP256}, {"EC secp384r1", KeyKind::kEcP384}, {"EC secp521r1", KeyKind::kEcP521}};
  const std::string text = certificate.public_key_kind();
  for (const auto& [kind_text, kind] : kKinds) {
    if (text == kind_text) return kind;
  }
  return std::nullopt;
}

absl::StatusOr<SecretBytes> ReadPassphraseFile(const std::string& path) {
  ASSIGN_OR_RETURN(const SecretBytes file, ReadSecretFile(path));
  std::string_view passphrase = file.ExposeSecret();
  if (passphrase.ends_with('\n')) passphrase.remove_suffix(1);
  if (passphrase.ends_with('\r')) passphrase.remove_suffix(1);
  if (passphrase.empty()) return InvalidArgument("{}: the passphrase is empty", path);
  return SecretBytes(passphrase);
}

}  // namespace trustline
