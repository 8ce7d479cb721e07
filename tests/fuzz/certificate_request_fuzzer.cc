// Certificate signing requests: of joining machines before they have an identity, and for the certificates of devices.
#include <cstdlib>

#include "common/x509/certificate_request.h"

using namespace trustline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request = CertificateRequest::FromDer(ByteView(data, size));
  if (!request.ok()) return 0;
  if (request->public_key() == nullptr) std::abort();
  (void)request->subject().ToText();
  (void)request->uri_names();
  (void)request->dns_names();
  return 0;
}
