#include "itl/trust_store/certificate_admission.h"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr absl::Duration kSoonToExpire = absl::Hours(24 * 30);
constexpr int kWeakestRsaBits = 2048;

bool IsWeakRsa(const Certificate& certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate.x509());
  return key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) < kWeakestRsaBits;
}

// The name of a digest that is no longer safe to sign with, or null.
const char* WeakSignatureDigest(const Certificate& certificate) {
  int digest = NID_undef;
  if (OBJ_find_sigid_algs(X509_get_signature_nid(certificate.x509()), &digest, nullptr) != 1) return nullptr;
  if (digest == NID_sha1) return "SHA-1";
  if (digest == NID_md5) return "MD5";
  return nullptr;
}

}  // namespace

absl::StatusOr<AdmittedCertificate> AdmitCertificate(ByteView der, std::string_view source, bool anchor,
                                                     absl::Time now) {
  absl::StatusOr<Certificate> parsed = Certificate::FromDer(der);
  if (!parsed.ok()) return Annotate(parsed.status(), source);
  AdmittedCertificate admitted{*std::move(parsed), {}};
  const Certificate& certificate = admitted.certificate;
  if (const absl::Status importable = certificate.CheckImportable(); !importable.ok()) {
    return Annotate(importable, source);
  }
  const std::string name = fmt::format("{} ({})", source, certificate.subject().ToText());
  if (certificate.not_after() < now) {
    return InvalidArgument("{}: the certificate expired on {}: no verdict on it would be valid; leave it out", name,
                           TimeTextSeconds(certificate.not_after()));
  }

  const auto warn = [&](std::string_view sentence) {
    admitted.warnings.push_back(fmt::format("{}: {}", name, sentence));
  };
  if (certificate.not_after() < now + kSoonToExpire) {
    warn(fmt::format("the certificate expires on {}", TimeTextSeconds(certificate.not_after())));
  }
  if (certificate.not_before() > now) {
    warn(fmt::format("the certificate is not valid before {}", TimeTextSeconds(certificate.not_before())));
  }
  if (IsWeakRsa(certificate)) {
    warn(fmt::format("the key ({}) is shorter than {} bits", certificate.public_key_kind(), kWeakestRsaBits));
  }
  if (const char* digest = WeakSignatureDigest(certificate)) {
    warn(fmt::format("the certificate is signed with {}", digest));
  }
  if (anchor && !certificate.is_ca()) {
    warn("an anchor that is not a CA certificate makes nothing valid but itself");
  }
  return admitted;
}

}  // namespace trustline
