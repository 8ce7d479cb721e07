#include "capf/authentication_string.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <utility>

#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

// A key file is one line: this, and in hexadecimal salt, nonce, the sealed key and its tag.
constexpr std::string_view kHeader = "trustline authentication string key 1: ";
constexpr size_t kFileSaltSize = 16;
constexpr size_t kNonceSize = 12;
constexpr size_t kKeySize = 32;
constexpr size_t kTagSize = 16;
constexpr size_t kSealedSize = kFileSaltSize + kNonceSize + kKeySize + kTagSize;
// OWASP's figure of 2023 for PBKDF2 with HMAC-SHA256; a few tenths of a second at start-up.
constexpr int kPbkdf2Iterations = 600'000;

constexpr size_t kSaltSize = 16;
// Shorter than a salt, with which every string's message begins.
constexpr std::string_view kCheckText = "check of key 1";
static_assert(kCheckText.size() < kSaltSize);

using SealingKey = std::array<uint8_t, 32>;

const unsigned char* Data(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

std::string RandomBytes(size_t size) { return std::string(SecretBytes::Random(size).ExposeSecret()); }

absl::StatusOr<SecretBytes> DeriveSealingKey(const SecretBytes& passphrase, std::string_view salt) {
  SealingKey key = {};
  const std::string_view secret = passphrase.ExposeSecret();
  if (PKCS5_PBKDF2_HMAC(secret.data(), static_cast<int>(secret.size()), Data(salt), static_cast<int>(salt.size()),
                        kPbkdf2Iterations, EVP_sha256(), static_cast<int>(key.size()), key.data()) != 1) {
    return OpenSslInternal("no key can be made of the passphrase");
  }
  SecretBytes derived(AsText(key));
  OPENSSL_cleanse(key.data(), key.size());
  return derived;
}

absl::StatusOr<std::string> Seal(const SecretBytes& key, const SecretBytes& passphrase) {
  const OpenSslErrorScope errors;
  const std::string salt = RandomBytes(kFileSaltSize);
  const std::string nonce = RandomBytes(kNonceSize);
  ASSIGN_OR_RETURN(const SecretBytes sealing, DeriveSealingKey(passphrase, salt));
  const EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  std::array<unsigned char, kKeySize> sealed = {};
  std::array<unsigned char, kTagSize> tag = {};
  int size = 0;
  if (context == nullptr ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Data(sealing.ExposeSecret()), Data(nonce)) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &size, Data(kHeader), static_cast<int>(kHeader.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), sealed.data(), &size, Data(key.ExposeSecret()), static_cast<int>(kKeySize)) !=
          1 ||
      EVP_EncryptFinal_ex(context.get(), sealed.data() + size, &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagSize, tag.data()) != 1) {
    return OpenSslInternal("the key of authentication strings cannot be sealed");
  }
  return fmt::format("{}{}{}{}{}\n", kHeader, ToHex(AsBytes(salt)), ToHex(AsBytes(nonce)), ToHex(sealed), ToHex(tag));
}

absl::StatusOr<SecretBytes> Unseal(std::string_view line, const SecretBytes& passphrase) {
  const OpenSslErrorScope errors;
  if (!line.starts_with(kHeader)) {
    return Unauthenticated("it does not begin as a key of authentication strings does: restore it from a backup");
  }
  const absl::StatusOr<std::string> bytes = FromHex(line.substr(kHeader.size()));
  if (!bytes.ok() || bytes->size() != kSealedSize) {
    return Unauthenticated("it is not whole: restore it from a backup");
  }
  std::string_view rest = *bytes;
  const auto take = [&rest](size_t size) {
    const std::string_view part = rest.substr(0, size);
    rest.remove_prefix(size);
    return part;
  };
  const std::string_view salt = take(kFileSaltSize);
  const std::string_view nonce = take(kNonceSize);
  const std::string_view sealed = take(kKeySize);
  std::string tag(take(kTagSize));
  ASSIGN_OR_RETURN(const SecretBytes sealing, DeriveSealingKey(passphrase, salt));
  const EvpCipherCtxPtr context(EVP_CIPHER_CTX_new());
  std::string key(kKeySize, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(key.data());
  int size = 0;
  const bool is_open =
      context != nullptr &&
      EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, Data(sealing.ExposeSecret()), Data(nonce)) == 1 &&
      EVP_DecryptUpdate(context.get(), nullptr, &size, Data(kHeader), static_cast<int>(kHeader.size())) == 1 &&
      EVP_DecryptUpdate(context.get(), out, &size, Data(sealed), static_cast<int>(kKeySize)) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagSize, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get(), out + size, &size) == 1;
  SecretBytes opened = SecretBytes::TakeFrom(key);
  if (!is_open) {
    return Unauthenticated(
        "the passphrase is wrong, or the file was changed: restore the key and its passphrase from one backup");
  }
  return opened;
}

// A second process that starts at the same time keeps the key of the first.
absl::Status MakeKeyFile(const std::string& key_file, const SecretBytes& passphrase) {
  ASSIGN_OR_RETURN(const std::string sealed, Seal(SecretBytes::Random(kKeySize), passphrase));
  const std::string temporary = fmt::format("{}.new-{}", key_file, getpid());
  constexpr mode_t kOwnerOnly = 0600;
  RETURN_IF_ERROR(WriteFileAtomically(temporary, sealed, kOwnerOnly));
  const absl::Status linked = LinkFile(temporary, key_file);
  RETURN_IF_ERROR(RemoveFile(temporary));
  return access(key_file.c_str(), F_OK) == 0 ? absl::OkStatus() : linked;
}

// Empty when there is no memory for it: that equals no hash, and the database takes it for none.
std::string Hmac(const SecretBytes& key, std::string_view salt, const SecretBytes& string) {
  const OpenSslErrorScope errors;
  // The salt's size is fixed, so that the two cannot be taken for others.
  std::string message(salt);
  message += string.ExposeSecret();
  const SecretBytes salted = SecretBytes::TakeFrom(message);
  std::array<unsigned char, 32> hmac = {};
  unsigned int size = 0;
  const std::string_view secret = key.ExposeSecret();
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), Data(salted.ExposeSecret()), salted.size(),
           hmac.data(), &size) == nullptr) {
    return "";
  }
  return std::string(AsText(hmac));
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuthenticationStrings>> AuthenticationStrings::Open(const std::string& key_file,
                                                                                   const std::string& passphrase_file) {
  ASSIGN_OR_RETURN(const SecretBytes passphrase, ReadPassphraseFile(passphrase_file));
  // The rules for a private file are the same, and both are one line.
  absl::StatusOr<SecretBytes> line = ReadPassphraseFile(key_file);
  if (absl::IsNotFound(line.status())) {
    RETURN_IF_ERROR(MakeKeyFile(key_file, passphrase));
    line = ReadPassphraseFile(key_file);
  }
  if (absl::IsInvalidArgument(line.status())) {
    return InvalidArgument("{} does not hold the key of authentication strings: restore it from a backup", key_file);
  }
  RETURN_IF_ERROR(line.status());
  absl::StatusOr<SecretBytes> key = Unseal(line->ExposeSecret(), passphrase);
  if (!key.ok()) return Annotate(key.status(), key_file);
  std::string check_value = Hmac(*key, kCheckText, SecretBytes());
  if (check_value.empty()) return Internal("the key of authentication strings in {} cannot be used", key_file);
  return std::unique_ptr<AuthenticationStrings>(
      new AuthenticationStrings(*std::move(key), std::move(check_value), key_file));
}

SecretBytes AuthenticationStrings::Generate(int digits) {
  // Of the 256 values of a byte only the first 250 are used, so that each digit stands for as many as any other.
  constexpr uint8_t kUsedValues = 250;
  std::string string;
  string.reserve(static_cast<size_t>(digits));
  while (string.size() < static_cast<size_t>(digits)) {
    const SecretBytes random = SecretBytes::Random(static_cast<size_t>(digits));
    for (const uint8_t byte : AsBytes(random.ExposeSecret())) {
      if (byte >= kUsedValues || string.size() == static_cast<size_t>(digits)) continue;
      string.push_back(static_cast<char>('0' + byte % 10));
    }
  }
  return SecretBytes::TakeFrom(string);
}

KeptString AuthenticationStrings::Keep(const SecretBytes& string) const {
  std::string salt = RandomBytes(kSaltSize);
  std::string hmac = Hmac(key_, salt, string);
  return {std::move(salt), std::move(hmac)};
}

bool AuthenticationStrings::Matches(const KeptString& kept, const SecretBytes& string) const {
  return EqualInConstantTime(AsBytes(Hmac(key_, kept.salt, string)), AsBytes(kept.hmac));
}

}  // namespace trustline
