#include "common/x509/pkcs12.h"

#include <openssl/pkcs12.h>

#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

// What guards the key against whoever finds the file: as many as a passphrase check may cost.
constexpr int kIterations = 200'000;

absl::StatusOr<std::string> PassphraseText(const SecretBytes& passphrase) {
  std::string text(passphrase.ExposeSecret());
  if (text.find('\0') != std::string::npos) return InvalidArgument("the passphrase has a NUL byte in it");
  return text;
}

// Overwritten when it goes.
struct ScopedText {
  explicit ScopedText(std::string value) : text(std::move(value)) {}
  ScopedText(const ScopedText&) = delete;
  ScopedText& operator=(const ScopedText&) = delete;
  ~ScopedText() { OPENSSL_cleanse(text.data(), text.size()); }
  std::string text;
};

}  // namespace

absl::StatusOr<std::string> WritePkcs12(const Certificate& certificate, const PrivateKey& key,
                                        const SecretBytes& passphrase, const std::string& name) {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(std::string copied, PassphraseText(passphrase));
  const ScopedText text(std::move(copied));
  if (text.text.size() < kMinPkcs12Passphrase) {
    return InvalidArgument(
        "the passphrase is too short: whoever finds the file can try as often as they like, so take "
        "at least {} characters",
        kMinPkcs12Passphrase);
  }
  if (!key.MatchesCertificate(certificate)) {
    return FailedPrecondition("the key is not that of the certificate {}", certificate.subject().ToText());
  }
  const Pkcs12Ptr file(PKCS12_create(text.text.c_str(), name.c_str(), key.get(), certificate.x509(), nullptr,
                                     NID_aes_256_cbc, NID_aes_256_cbc, kIterations, -1, 0));
  if (file == nullptr ||
      PKCS12_set_mac(file.get(), text.text.c_str(), -1, nullptr, 0, kIterations, EVP_sha256()) != 1) {
    return OpenSslInternal("cannot make the PKCS#12 file");
  }
  unsigned char* bytes = nullptr;
  const int size = i2d_PKCS12(file.get(), &bytes);
  if (size <= 0) return OpenSslInternal("cannot encode the PKCS#12 file");
  const OpenSslBytesPtr owned(bytes);
  return std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

absl::StatusOr<CertifiedKey> ReadPkcs12(ByteView bytes, const SecretBytes& passphrase) {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(std::string copied, PassphraseText(passphrase));
  const ScopedText text(std::move(copied));
  if (bytes.size() > kMaxPkcs12Size) {
    return InvalidArgument("the file has {} bytes; a PKCS#12 file with one key has at most {}", bytes.size(),
                           kMaxPkcs12Size);
  }
  const unsigned char* cursor = bytes.data();
  const Pkcs12Ptr file(d2i_PKCS12(nullptr, &cursor, static_cast<long>(bytes.size())));
  if (file == nullptr || cursor != bytes.data() + bytes.size()) {
    return InvalidArgument("this is no PKCS#12 file (.p12, .pfx)");
  }
  if (PKCS12_mac_present(file.get()) != 1) {
    return InvalidArgument("the PKCS#12 file is not protected by a passphrase: anybody could have made it");
  }
  if (PKCS12_verify_mac(file.get(), text.text.c_str(), -1) != 1) {
    return Unauthenticated("the passphrase does not open the PKCS#12 file");
  }
  EVP_PKEY* raw_key = nullptr;
  X509* raw_certificate = nullptr;
  const int parsed = PKCS12_parse(file.get(), text.text.c_str(), &raw_key, &raw_certificate, nullptr);
  EvpPkeyPtr key(raw_key);
  const X509Ptr certificate(raw_certificate);
  if (parsed != 1) {
    return InvalidArgument(
        "the PKCS#12 file cannot be read, perhaps for an old cipher: {}; write it anew with `openssl "
        "pkcs12 -legacy -in FILE | openssl pkcs12 -export -out NEW.p12`",
        DrainOpenSslErrors());
  }
  if (key == nullptr) return InvalidArgument("the PKCS#12 file holds no private key");
  if (certificate == nullptr) return InvalidArgument("the PKCS#12 file holds no certificate of its private key");
  ASSIGN_OR_RETURN(Certificate owned, Certificate::FromX509(certificate.get()));
  return CertifiedKey{std::move(owned), PrivateKey::FromEvp(std::move(key))};
}

}  // namespace trustline
