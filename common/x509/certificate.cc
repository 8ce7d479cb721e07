#include "common/x509/certificate.h"

#include "common/status/status.h"
#include "common/x509/asn1_value.h"
#include "common/x509/der.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/pem.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

// RFC 5280, section 4.1.2.2: at most 20 bytes; some issuers wrote a little more.
constexpr size_t kMaxSerialSize = 32;

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

std::vector<std::string> AlternativeNames(const X509* x509, int kind) {
  const OpenSslErrorScope errors;
  const GeneralNamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  return NamesOfKind(names.get(), kind);
}

}  // namespace

struct Certificate::Data {
  std::string der;
  X509Ptr x509;
  Sha256Digest sha256;
  Sha256Digest public_key_sha256;
  DistinguishedName subject;
  DistinguishedName issuer;
  std::string serial;
  absl::Time not_before;
  absl::Time not_after;
};

ByteView CanonicalSerial(ByteView serial) {
  while (!serial.empty() && serial.front() == 0) serial = serial.subspan(1);
  return serial;
}

absl::StatusOr<Certificate> Certificate::FromDer(ByteView der) {
  if (der.size() > kMaxCertificateSize) {
    return InvalidArgument("a certificate of {} bytes is larger than the maximum of {}", der.size(),
                           kMaxCertificateSize);
  }
  if (absl::Status status = CheckDer(der); !status.ok()) return Annotate(status, "not a certificate in DER");

  const OpenSslErrorScope errors;
  auto data = std::make_shared<Data>();
  const unsigned char* at = der.data();
  data->x509.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (data->x509 == nullptr) return OpenSslInvalidArgument("not an X.509 certificate");
  if (at != der.data() + der.size()) return InvalidArgument("bytes are left over after the certificate");
  X509* const x509 = data->x509.get();
  data->der.assign(AsText(der));

  // The bytes that OpenSSL will send must be those that were hashed.
  unsigned char* again = nullptr;
  const int again_size = i2d_X509(x509, &again);
  const OpenSslBytesPtr again_owner(again);
  if (again_size < 0 || AsText(ByteView(again, static_cast<size_t>(again_size))) != data->der) {
    return InvalidArgument("not a certificate in DER: its encoding is not the distinguished one");
  }

  data->sha256 = Sha256(der);
  unsigned char* key = nullptr;
  const int key_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &key);
  const OpenSslBytesPtr key_owner(key);
  if (key_size < 0) return OpenSslInvalidArgument("the certificate has no public key");
  data->public_key_sha256 = Sha256(ByteView(key, static_cast<size_t>(key_size)));
  ASSIGN_OR_RETURN(data->subject, DistinguishedName::FromX509Name(X509_get_subject_name(x509)));
  ASSIGN_OR_RETURN(data->issuer, DistinguishedName::FromX509Name(X509_get_issuer_name(x509)));
  ASSIGN_OR_RETURN(data->serial, ToSerial(X509_get0_serialNumber(x509)));
  ASSIGN_OR_RETURN(data->not_before, ToTime(X509_get0_notBefore(x509)));
  ASSIGN_OR_RETURN(data->not_after, ToTime(X509_get0_notAfter(x509)));
  // OpenSSL caches the extensions on first use under a lock: done here, so that readers never write.
  X509_check_purpose(x509, -1, 0);
  return Certificate(std::move(data));
}

absl::StatusOr<Certificate> Certificate::FromPem(std::string_view pem) {
  std::optional<PemBlock> found;
  PemReader reader(pem);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<PemBlock> block, reader.Next());
    if (!block) break;
    if (!IsCertificateLabel(block->label)) continue;
    if (found) return InvalidArgument("there is more than one certificate where one was expected");
    found = block;
  }
  if (!found) return InvalidArgument("there is no CERTIFICATE block in PEM");
  ASSIGN_OR_RETURN(const std::string der, DecodePemBody(found->body));
  return FromDer(AsBytes(der));
}

absl::StatusOr<Certificate> Certificate::FromX509(const X509* x509) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(x509, &der);
  if (size < 0) return OpenSslInvalidArgument("a certificate cannot be encoded");
  const OpenSslBytesPtr owner(der);
  return FromDer(ByteView(der, static_cast<size_t>(size)));
}

ByteView Certificate::der() const { return AsBytes(data_->der); }
std::string Certificate::ToPem() const { return EncodePem("CERTIFICATE", data_->der); }
const Sha256Digest& Certificate::sha256() const { return data_->sha256; }
const DistinguishedName& Certificate::subject() const { return data_->subject; }
const DistinguishedName& Certificate::issuer() const { return data_->issuer; }
ByteView Certificate::serial() const { return AsBytes(data_->serial); }
absl::Time Certificate::not_before() const { return data_->not_before; }
absl::Time Certificate::not_after() const { return data_->not_after; }
const Sha256Digest& Certificate::public_key_sha256() const { return data_->public_key_sha256; }
X509* Certificate::x509() const { return data_->x509.get(); }

std::string Certificate::public_key_kind() const {
  const OpenSslErrorScope errors;
  return PublicKeyKindText(X509_get0_pubkey(x509()));
}

bool Certificate::is_ca() const { return (X509_get_extension_flags(x509()) & EXFLAG_CA) != 0; }
bool Certificate::is_self_issued() const { return (X509_get_extension_flags(x509()) & EXFLAG_SI) != 0; }
ByteView Certificate::subject_key_id() const { return StringBytes(X509_get0_subject_key_id(x509())); }
ByteView Certificate::authority_key_id() const { return StringBytes(X509_get0_authority_key_id(x509())); }

std::vector<std::string> Certificate::dns_names() const {
  std::vector<std::string> names = AlternativeNames(x509(), GEN_DNS);
  std::erase_if(names, HasNul);
  return names;
}

std::vector<std::string> Certificate::uri_names() const {
  std::vector<std::string> names = AlternativeNames(x509(), GEN_URI);
  std::erase_if(names, HasNul);
  return names;
}

absl::Status Certificate::CheckImportable() const {
  if (subject().HasEmbeddedNul() || issuer().HasEmbeddedNul()) {
    return InvalidArgument("the certificate's subject or issuer has a NUL in it, which is how names are forged");
  }
  for (const int kind : {GEN_DNS, GEN_URI, GEN_EMAIL}) {
    for (const std::string& name : AlternativeNames(x509(), kind)) {
      if (HasNul(name)) {
        return InvalidArgument("an alternative name of the certificate has a NUL in it, which is how names are forged");
      }
    }
  }
  if (serial().size() > kMaxSerialSize) {
    return InvalidArgument("the certificate's serial number of {} bytes is longer than {}", serial().size(),
                           kMaxSerialSize);
  }
  if (not_after() < not_before()) return InvalidArgument("the certificate's validity ends before it begins");
  if ((X509_get_extension_flags(x509()) & EXFLAG_INVALID) != 0) {
    return InvalidArgument("the certificate has an extension that cannot be read, or the same one twice");
  }
  const OpenSslErrorScope errors;
  if (X509_get0_pubkey(x509()) == nullptr) return OpenSslInvalidArgument("the certificate's public key cannot be read");
  return absl::OkStatus();
}

}  // namespace trustline
