// Certificate signing requests (PKCS#10, RFC 2986).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/x509/distinguished_name.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/private_key.h"
#include "common/x509/public_key.h"

namespace trustline {

inline constexpr size_t kMaxCertificateRequestSize = 16 * 1024;

// A request whose signature is good, so that its sender has the private key. Immutable; copies share everything.
class CertificateRequest {
 public:
  // Signed by `key`, asking for the URI name and, when there are any, the DNS names.
  static absl::StatusOr<CertificateRequest> Build(const PrivateKey& key, std::string_view uri,
                                                  const std::vector<std::string>& dns_names = {});

  // Signed by `key`, asking for this subject and, when there are any, the DNS names.
  static absl::StatusOr<CertificateRequest> BuildForSubject(const PrivateKey& key, const DistinguishedName& subject,
                                                            const std::vector<std::string>& dns_names = {});

  // InvalidArgument unless `der` is one request with nothing after it and its signature is good. Whether the key is
  // strong enough is for whoever issues to say.
  static absl::StatusOr<CertificateRequest> FromDer(ByteView der);

  ByteView der() const;
  const DistinguishedName& subject() const;
  const std::vector<std::string>& uri_names() const;
  const std::vector<std::string>& dns_names() const;
  // Borrowed from the request; must not be modified.
  EVP_PKEY* public_key() const;
  // InvalidArgument for a key that is not in its canonical form.
  absl::StatusOr<PublicKeyInfo> public_key_info() const;
  // The request asks for extensions (RFC 2985, section 5.4.2).
  bool asks_for_extensions() const;

 private:
  struct Data;
  explicit CertificateRequest(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

}  // namespace trustline
