// Certificate import: files in PEM, DER and PKCS#7, and everything that is read of a certificate.
#include <cstdlib>

#include "common/x509/certificate.h"
#include "common/x509/certificate_file.h"
#include "common/x509/path_validation.h"

using namespace trustline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto certificates = ReadCertificates(ByteView(data, size), "input");
  if (!certificates.ok()) return 0;
  for (const Certificate& certificate : *certificates) {
    const auto again = Certificate::FromDer(certificate.der());
    if (!again.ok() || again->sha256() != certificate.sha256()) std::abort();
    (void)certificate.CheckImportable();
    (void)certificate.subject().ToText();
    (void)certificate.issuer().key();
    (void)certificate.public_key_kind();
    (void)certificate.dns_names();
    (void)certificate.uri_names();
    (void)certificate.is_ca();
    const AnchorSet anchors({certificate}, {});
    (void)anchors.Validate(certificate, certificate.not_before());
  }
  return 0;
}
