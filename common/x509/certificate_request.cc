#include "common/x509/certificate_request.h"

#include "common/status/status.h"
#include "common/x509/alternative_names.h"
#include "common/x509/asn1_value.h"
#include "common/x509/der.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr long kVersion1 = 0;

bool HasNul(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.find('\0') != std::string::npos) return true;
  }
  return false;
}

absl::Status AddAlternativeNames(X509_REQ* request, const GENERAL_NAMES* names) {
  STACK_OF(X509_EXTENSION)* raw = nullptr;
  const int added =
      X509V3_add1_i2d(&raw, NID_subject_alt_name, const_cast<GENERAL_NAMES*>(names), 0, X509V3_ADD_APPEND);
  const X509ExtensionStackPtr extensions(raw);
  if (added != 1 || X509_REQ_add_extensions(request, extensions.get()) != 1) {
    return OpenSslInternal("the alternative names cannot be added");
  }
  return absl::OkStatus();
}

absl::StatusOr<X509ReqPtr> NewRequest(const PrivateKey& key) {
  X509ReqPtr request(X509_REQ_new());
  if (request == nullptr || X509_REQ_set_version(request.get(), kVersion1) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1) {
    return OpenSslInternal("a certificate request cannot be made");
  }
  return request;
}

absl::StatusOr<CertificateRequest> Sign(X509_REQ* request, const PrivateKey& key) {
  if (X509_REQ_sign(request, key.get(), EVP_sha256()) == 0) {
    return OpenSslInternal("a certificate request cannot be signed");
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request, &der);
  const OpenSslBytesPtr owner(der);
  if (size < 0) return OpenSslInternal("a certificate request cannot be encoded");
  return CertificateRequest::FromDer(ByteView(der, static_cast<size_t>(size)));
}

}  // namespace

struct CertificateRequest::Data {
  std::string der;
  X509ReqPtr request;
  DistinguishedName subject;
  std::vector<std::string> uri_names;
  std::vector<std::string> dns_names;
};

absl::StatusOr<CertificateRequest> CertificateRequest::Build(const PrivateKey& key, std::string_view uri,
                                                             const std::vector<std::string>& dns_names) {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const GeneralNamesPtr names, MakeAlternativeNames(dns_names, {std::string(uri)}));
  ASSIGN_OR_RETURN(const X509ReqPtr request, NewRequest(key));
  RETURN_IF_ERROR(AddAlternativeNames(request.get(), names.get()));
  return Sign(request.get(), key);
}

absl::StatusOr<CertificateRequest> CertificateRequest::BuildForSubject(const PrivateKey& key,
                                                                       const DistinguishedName& subject,
                                                                       const std::vector<std::string>& dns_names) {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const X509NamePtr name, subject.ToX509Name());
  ASSIGN_OR_RETURN(const X509ReqPtr request, NewRequest(key));
  if (X509_REQ_set_subject_name(request.get(), name.get()) != 1) {
    return OpenSslInternal("a certificate request cannot be made");
  }
  if (!dns_names.empty()) {
    ASSIGN_OR_RETURN(const GeneralNamesPtr names, MakeAlternativeNames(dns_names, {}));
    RETURN_IF_ERROR(AddAlternativeNames(request.get(), names.get()));
  }
  return Sign(request.get(), key);
}

absl::StatusOr<CertificateRequest> CertificateRequest::FromDer(ByteView der) {
  if (der.size() > kMaxCertificateRequestSize) {
    return InvalidArgument("a certificate request of {} bytes is larger than the maximum of {}", der.size(),
                           kMaxCertificateRequestSize);
  }
  if (absl::Status status = CheckDer(der); !status.ok()) return Annotate(status, "not a certificate request in DER");
  const OpenSslErrorScope errors;
  auto data = std::make_shared<Data>();
  const unsigned char* at = der.data();
  data->request.reset(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  X509_REQ* const request = data->request.get();
  if (request == nullptr) return InvalidArgument("not a certificate request (PKCS#10)");
  if (at != der.data() + der.size()) return InvalidArgument("bytes are left over after the certificate request");
  if (X509_REQ_get_version(request) != kVersion1) return InvalidArgument("not a certificate request of version 1");

  EVP_PKEY* const key = X509_REQ_get0_pubkey(request);
  if (key == nullptr) return OpenSslInvalidArgument("the certificate request's key cannot be read");
  if (X509_REQ_verify(request, key) != 1) {
    return InvalidArgument("the certificate request was not signed by its own key, or was damaged: make it anew");
  }
  data->der.assign(AsText(der));
  ASSIGN_OR_RETURN(data->subject, DistinguishedName::FromX509Name(X509_REQ_get_subject_name(request)));
  const X509ExtensionStackPtr extensions(X509_REQ_get_extensions(request));
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  data->uri_names = NamesOfKind(names.get(), GEN_URI);
  data->dns_names = NamesOfKind(names.get(), GEN_DNS);
  if (data->subject.HasEmbeddedNul() || HasNul(data->uri_names) || HasNul(data->dns_names)) {
    return InvalidArgument("a name in the certificate request has a NUL in it, which is how names are forged");
  }
  return CertificateRequest(std::move(data));
}

ByteView CertificateRequest::der() const { return AsBytes(data_->der); }
const DistinguishedName& CertificateRequest::subject() const { return data_->subject; }
const std::vector<std::string>& CertificateRequest::uri_names() const { return data_->uri_names; }
const std::vector<std::string>& CertificateRequest::dns_names() const { return data_->dns_names; }
bool CertificateRequest::asks_for_extensions() const {
  const X509ExtensionStackPtr extensions(X509_REQ_get_extensions(data_->request.get()));
  return extensions != nullptr && sk_X509_EXTENSION_num(extensions.get()) > 0;
}
absl::StatusOr<PublicKeyInfo> CertificateRequest::public_key_info() const {
  return PublicKeyInfo::FromX509Pubkey(X509_REQ_get_X509_PUBKEY(data_->request.get()));
}
EVP_PKEY* CertificateRequest::public_key() const { return X509_REQ_get0_pubkey(data_->request.get()); }

}  // namespace trustline
