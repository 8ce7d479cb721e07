#include "itl/trust_list/phone_list.h"

#include <algorithm>

#include "common/bytes/bytes.h"

namespace trustline {

void CountKey(const Certificate& certificate, PhoneList& list) {
  EVP_PKEY* const key = X509_get0_pubkey(certificate.x509());
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) return;
  list.largest_rsa_bits = std::max(list.largest_rsa_bits, EVP_PKEY_get_bits(key));
}

PhoneList ToPhoneList(const TrustList& list, const std::optional<Sha256Digest>& signer) {
  PhoneList model{.signer = signer.value_or(Sha256Digest{}),
                  .digest = list.header().digest,
                  .signer_version = list.header().signer_version.value_or(kSignerVersion),
                  .size = list.bytes->size(),
                  .largest_rsa_bits = 0};
  for (const TrustListRecord& record : list.records) {
    const std::optional<CertificateRole> role = record.role();
    if (!role) continue;
    PhoneListRecord& kept = model.records.emplace_back();
    kept.role = *role;
    kept.blank = record.IsBlank();
    if (record.certificate) {
      kept.certificate = record.certificate->sha256();
      CountKey(*record.certificate, model);
    } else if (record.certificate_hash) {
      // Of whatever algorithm: a name that no certificate has.
      kept.certificate = Sha256(AsBytes(*record.certificate_hash));
    }
  }
  return model;
}

}  // namespace trustline
