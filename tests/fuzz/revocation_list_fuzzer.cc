// CRL import.
#include <cstdlib>

#include "common/x509/crl.h"

using namespace trustline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto crl = CertificateRevocationList::FromBytes(ByteView(data, size));
  if (!crl.ok()) return 0;
  const auto again = CertificateRevocationList::FromBytes(crl->der());
  if (!again.ok() || again->sha256() != crl->sha256()) std::abort();
  size_t count = 0;
  crl->ForEachRevoked([&count](const RevokedCertificate&) { ++count; });
  if (count > crl->revoked_count()) std::abort();
  (void)crl->issuer().ToText();
  (void)crl->number();
  (void)crl->next_update();
  return 0;
}
