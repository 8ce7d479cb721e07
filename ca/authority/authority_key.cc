#include "ca/authority/authority_key.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/signature_algorithm.h"

namespace trustline {
namespace {

constexpr std::string_view kSuffix = ".key";
constexpr size_t kNameDigits = 16;

bool IsKeyName(std::string_view name) {
  return name.size() == kNameDigits && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

absl::Status CheckFolder(const std::string& folder) {
  struct stat info = {};
  if (stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return NotFound("the folder {} of the authorities' keys is not there: restore it, or mkdir -m 700 {}", folder,
                    folder);
  }
  // Root may look at it (--check-config).
  if (geteuid() != 0 && info.st_uid != geteuid()) {
    return PermissionDenied("the folder {} of the authorities' keys belongs to another user; run: chown {} {}", folder,
                            geteuid(), folder);
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return PermissionDenied("the folder {} of the authorities' keys is open to other users; run: chmod 700 {}", folder,
                            folder);
  }
  return absl::OkStatus();
}

}  // namespace

std::string AuthorityKeyName(const Sha256Digest& public_key_sha256) {
  return ToHex(public_key_sha256).substr(0, kNameDigits);
}

AuthorityKey::AuthorityKey(PrivateKey key) : key_(std::move(key)), public_key_sha256_(key_.public_key_sha256()) {}

absl::StatusOr<std::string> AuthorityKey::Sign(CheckedToBeSigned checked) const {
  if (checked.signer_key() != public_key_sha256_) {
    return Internal("the certificate was checked for another authority than the one that is to sign it");
  }
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(key_.get()));
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  const ByteView bytes = checked.bytes();
  size_t size = 0;
  if (context == nullptr || EVP_DigestSignInit(context.get(), nullptr, algorithm.digest, nullptr, key_.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, bytes.data(), bytes.size()) != 1) {
    return OpenSslInternal("the authority cannot sign");
  }
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes.data(),
                     bytes.size()) != 1) {
    return OpenSslInternal("the authority cannot sign");
  }
  signature.resize(size);
  return signature;
}

absl::Status AuthorityKey::SignCrl(X509_CRL* crl) const {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(key_.get()));
  if (X509_CRL_sign(crl, key_.get(), algorithm.digest) == 0) return OpenSslInternal("the authority cannot sign a CRL");
  return absl::OkStatus();
}

absl::StatusOr<Certificate> AuthorityKey::SelfSign(const CertificateTemplate& form) const {
  return BuildSelfSigned(form, key_);
}

absl::StatusOr<CertificateRequest> AuthorityKey::Request(const DistinguishedName& subject) const {
  return CertificateRequest::BuildForSubject(key_, subject);
}

AuthorityKeys::AuthorityKeys(std::string folder, SecretBytes passphrase)
    : folder_(std::move(folder)), passphrase_(std::move(passphrase)) {}

absl::StatusOr<std::unique_ptr<AuthorityKeys>> AuthorityKeys::Open(const std::string& folder,
                                                                   const std::string& passphrase_file) {
  RETURN_IF_ERROR(CheckFolder(folder));
  ASSIGN_OR_RETURN(SecretBytes passphrase, ReadPassphraseFile(passphrase_file));
  auto keys = std::unique_ptr<AuthorityKeys>(new AuthorityKeys(folder, std::move(passphrase)));
  RETURN_IF_ERROR(keys->CheckAll());
  return keys;
}

std::string AuthorityKeys::PathOf(std::string_view key_name) const {
  return fmt::format("{}/{}{}", folder_, key_name, kSuffix);
}

absl::Status AuthorityKeys::CheckAll() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    const std::string file = entry.path().filename().string();
    if (!file.ends_with(kSuffix)) continue;
    const std::string name = file.substr(0, file.size() - kSuffix.size());
    if (IsKeyName(name)) RETURN_IF_ERROR(Find(name).status());
  }
  if (error) return PermissionDenied("the folder {} cannot be read: {}", folder_, error.message());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const AuthorityKey>> AuthorityKeys::Generate(KeyKind kind) {
  ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(kind));
  const std::string name = AuthorityKeyName(key.public_key_sha256());
  RETURN_IF_ERROR(key.WriteKeyFile(PathOf(name), &passphrase_));
  const std::lock_guard lock(mutex_);
  return keys_[name] = std::make_shared<AuthorityKey>(std::move(key));
}

absl::StatusOr<std::shared_ptr<const AuthorityKey>> AuthorityKeys::Load(const std::string& key_name) {
  const std::string path = PathOf(key_name);
  absl::StatusOr<PrivateKey> key = PrivateKey::ReadKeyFile(path, passphrase_);
  if (absl::IsNotFound(key.status())) {
    return FailedPrecondition(
        "this cad has no key of the authority: {} is missing. Restore it from a backup, or copy it from the cad that "
        "made it",
        path);
  }
  RETURN_IF_ERROR(key.status());
  if (AuthorityKeyName(key->public_key_sha256()) != key_name) {
    return FailedPrecondition("{} holds another key than its name says: restore it from a backup", path);
  }
  return std::make_shared<AuthorityKey>(*std::move(key));
}

absl::StatusOr<std::shared_ptr<const AuthorityKey>> AuthorityKeys::Find(std::string_view key_name) {
  if (!IsKeyName(key_name)) return InvalidArgument("\"{}\" is not the name of an authority's key", key_name);
  const std::lock_guard lock(mutex_);
  if (const auto found = keys_.find(key_name); found != keys_.end()) return found->second;
  ASSIGN_OR_RETURN(std::shared_ptr<const AuthorityKey> key, Load(std::string(key_name)));
  keys_.emplace(key_name, key);
  return key;
}

bool AuthorityKeys::Has(std::string_view key_name) { return Find(key_name).ok(); }

absl::Status AuthorityKeys::Discard(std::string_view key_name) {
  if (!IsKeyName(key_name)) return InvalidArgument("\"{}\" is not the name of an authority's key", key_name);
  const std::string path = PathOf(key_name);
  const std::lock_guard lock(mutex_);
  if (const auto found = keys_.find(key_name); found != keys_.end()) keys_.erase(found);
  std::error_code error;
  std::filesystem::remove(path, error);
  if (error) return PermissionDenied("the key file {} cannot be removed: {}", path, error.message());
  return absl::OkStatus();
}

}  // namespace trustline
