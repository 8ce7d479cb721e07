#include "cli/trustctl/blocked_key_input.h"

#include <openssl/x509.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "cli/trustctl/certificate_input.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "common/x509/certificate_request.h"
#include "common/x509/der.h"
#include "common/x509/openssl_error.h"
#include "common/x509/pem.h"
#include "common/x509/private_key.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

constexpr size_t kMaxKeyFile = 256 * 1024 * 1024;

// Of the one form in which a key of a device is certified, whatever form the file has it in.
absl::StatusOr<std::string> HashOf(EVP_PKEY* key) {
  ASSIGN_OR_RETURN(const PublicKeyInfo info, PublicKeyInfo::Of(key));
  return std::string(AsText(info.sha256()));
}

// In any form.
absl::StatusOr<EvpPkeyPtr> ReadPublicKey(ByteView der) {
  const OpenSslErrorScope errors;
  const unsigned char* at = der.data();
  EvpPkeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (key == nullptr) return OpenSslInvalidArgument("the public key cannot be read");
  if (at != der.data() + der.size()) return InvalidArgument("bytes are left over after the public key");
  return key;
}

absl::StatusOr<std::string> HashOfBlock(const PemBlock& block) {
  if (block.label.ends_with("PRIVATE KEY")) {
    const absl::StatusOr<PrivateKey> key = PrivateKey::FromPem(block.whole, nullptr);
    if (absl::IsFailedPrecondition(key.status())) {
      return InvalidArgument("the private key is encrypted: give its public key or its certificate instead");
    }
    RETURN_IF_ERROR(key.status());
    return HashOf(key->get());
  }
  ASSIGN_OR_RETURN(const std::string der, DecodePemBody(block.body));
  if (block.label == "PUBLIC KEY") {
    ASSIGN_OR_RETURN(const EvpPkeyPtr key, ReadPublicKey(AsBytes(der)));
    return HashOf(key.get());
  }
  if (IsCertificateLabel(block.label)) {
    ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(der)));
    return HashOf(X509_get0_pubkey(certificate.x509()));
  }
  if (block.label == "CERTIFICATE REQUEST" || block.label == "NEW CERTIFICATE REQUEST") {
    ASSIGN_OR_RETURN(const CertificateRequest request, CertificateRequest::FromDer(AsBytes(der)));
    return HashOf(request.public_key());
  }
  return InvalidArgument("that is no key, certificate or certificate signing request");
}

absl::StatusOr<std::vector<std::string>> FromPem(std::string_view text) {
  std::vector<std::string> hashes;
  std::set<std::string> seen;
  PemReader reader(text);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<PemBlock> block, reader.Next());
    if (!block) break;
    // OpenSSL writes an EC key's curve before it.
    if (block->label.ends_with(" PARAMETERS")) continue;
    absl::StatusOr<std::string> hash = HashOfBlock(*block);
    if (!hash.ok()) return Annotate(hash.status(), fmt::format("PEM block {} ({})", block->number, block->label));
    if (seen.insert(*hash).second) hashes.push_back(*std::move(hash));
  }
  return hashes;
}

absl::StatusOr<std::vector<std::string>> FromDer(ByteView der) {
  std::string hash;
  if (const absl::StatusOr<EvpPkeyPtr> key = ReadPublicKey(der); key.ok()) {
    ASSIGN_OR_RETURN(hash, HashOf(key->get()));
  } else if (const absl::StatusOr<Certificate> certificate = Certificate::FromDer(der); certificate.ok()) {
    ASSIGN_OR_RETURN(hash, HashOf(X509_get0_pubkey(certificate->x509())));
  } else if (const absl::StatusOr<PrivateKey> secret = PrivateKey::FromDer(der); secret.ok()) {
    ASSIGN_OR_RETURN(hash, HashOf(secret->get()));
  } else if (const absl::StatusOr<CertificateRequest> request = CertificateRequest::FromDer(der); request.ok()) {
    ASSIGN_OR_RETURN(hash, HashOf(request->public_key()));
  } else {
    return InvalidArgument(
        "DER, but no public key, certificate, certificate signing request or private key (an encrypted one is not "
        "read: give its public key or its certificate)");
  }
  return std::vector<std::string>{std::move(hash)};
}

absl::StatusOr<std::vector<std::string>> FromLines(std::string_view text, const std::string& path) {
  std::vector<std::string> hashes;
  size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    ++number;
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string line(rest.substr(0, std::min(rest.find('#'), end)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    absl::StripAsciiWhitespace(&line);
    if (line.empty()) continue;
    absl::StatusOr<std::string> hash = FromHex(line);
    if (!hash.ok() || hash->size() != sizeof(Sha256Digest)) {
      return InvalidArgument(
          "{}:{}: '{}' is not the SHA-256 of a key, which has 64 hexadecimal digits: nothing was sent", path, number,
          line.substr(0, 80));
    }
    hashes.push_back(*std::move(hash));
  }
  return hashes;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReadBlockedKeys(const std::string& path) {
  const absl::StatusOr<std::string> content = ReadTextFile(path, kMaxKeyFile);
  if (!content.ok()) return WithFileAdvice(content.status());
  std::vector<std::string> hashes;
  if (LooksLikePem(*content) || CheckDer(AsBytes(*content)).ok()) {
    absl::StatusOr<std::vector<std::string>> keys =
        LooksLikePem(*content) ? FromPem(*content) : FromDer(AsBytes(*content));
    if (!keys.ok()) return Annotate(keys.status(), path);
    hashes = *std::move(keys);
  } else {
    ASSIGN_OR_RETURN(hashes, FromLines(*content, path));
  }
  if (hashes.empty()) return InvalidArgument("{}: there is no key in it", path);
  return hashes;
}

}  // namespace trustline
