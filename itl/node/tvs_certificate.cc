#include "itl/node/tvs_certificate.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/private_key.h"

namespace trustline {

absl::Status CheckTvsCertificate(const Certificate& certificate, absl::Time now) {
  const OpenSslErrorScope errors;
  X509* const x509 = certificate.x509();
  EVP_PKEY* const key = X509_get0_pubkey(x509);
  if (!certificate.is_self_issued() || key == nullptr || X509_verify(x509, key) != 1) {
    return FailedPrecondition("the TVS certificate is not self-signed: phones take it from their trust list as it is");
  }
  if (certificate.not_after() < now || certificate.not_before() > now) {
    return FailedPrecondition("the TVS certificate is valid from {} to {}, not now: check the clocks or make a new one",
                              TimeTextSeconds(certificate.not_before()), TimeTextSeconds(certificate.not_after()));
  }
  if (const absl::Status strength = CheckKeyStrength(key); !strength.ok()) {
    return Annotate(strength, "the TVS certificate's key");
  }
  constexpr uint32_t kKeyUsage = KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN;
  constexpr uint32_t kWithout = UINT32_MAX;  // what OpenSSL answers for an extension that is absent
  const uint32_t key_usage = X509_get_key_usage(x509);
  const uint32_t extended = X509_get_extended_key_usage(x509);
  if (!certificate.is_ca() || key_usage == kWithout || (key_usage & kKeyUsage) != kKeyUsage || extended == kWithout ||
      (extended & XKU_SSL_SERVER) == 0) {
    return FailedPrecondition(
        "phones do not accept this TVS certificate: it needs basicConstraints CA:TRUE, keyUsage digitalSignature and "
        "keyCertSign, extendedKeyUsage serverAuth");
  }
  return absl::OkStatus();
}

}  // namespace trustline
