#include "itl/trust_list/writer.h"

#include <arpa/inet.h>

#include <array>
#include <utility>

#include "common/bytes/writer.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

constexpr size_t kRecordLengthElement = 3 + 2;
constexpr size_t kMaxDnsNameText = 255;
constexpr size_t kMaxRecord = 0xffff;

// Appends elements; the values' lengths were checked, or are checked with the record's.
class RecordWriter {
 public:
  RecordWriter& Bytes(uint8_t tag, std::string_view value) {
    too_long_ |= value.size() > kMaxRecord;
    body_.U8(tag).U16(static_cast<uint16_t>(value.size())).Bytes(AsBytes(value));
    return *this;
  }
  RecordWriter& Text(uint8_t tag, std::string_view text) { return Bytes(tag, std::string(text) + '\0'); }
  RecordWriter& Role(CertificateRole role) {
    body_.U8(4).U16(2).U16(static_cast<uint16_t>(role));
    return *this;
  }

  absl::StatusOr<std::string> Take() {
    const size_t length = kRecordLengthElement + body_.size();
    if (too_long_ || length > kMaxRecord) {
      return InvalidArgument("a record of {} bytes does not fit into a trust list: {} at most", length, kMaxRecord);
    }
    return ByteWriter(length).U8(1).U16(2).U16(static_cast<uint16_t>(length)).Bytes(AsBytes(body_.Take())).Take();
  }

 private:
  ByteWriter body_;
  bool too_long_ = false;
};

absl::Status CheckDnsName(std::string_view name) {
  if (name.size() > kMaxDnsNameText || name.find('\0') != std::string_view::npos) {
    return InvalidArgument("a DNS name in a trust list has at most {} characters and no NUL", kMaxDnsNameText);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> WriteAddress(std::string_view text) {
  const std::string address(text);
  std::array<uint8_t, 16> bytes = {};
  // A NUL would end the text for inet_pton.
  if (address.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1) return std::string(AsText(ByteView(bytes).first(4)));
    if (inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) return std::string(AsText(bytes));
  }
  return InvalidArgument("{} is not an IP address", address.substr(0, 64));
}

// RSA: PKCS#1; EC: the point.
absl::StatusOr<std::string> WritePublicKey(const Certificate& certificate) {
  constexpr uint8_t kUncompressed = 0x04;
  const EVP_PKEY* const key = X509_get0_pubkey(certificate.x509());
  const int kind = key == nullptr ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
  if (kind != EVP_PKEY_RSA && kind != EVP_PKEY_EC) {
    return InvalidArgument("phones know RSA and EC keys only; that of {} is {}", certificate.subject().ToText(),
                           certificate.public_key_kind());
  }
  unsigned char* der = nullptr;
  const int size = i2d_PublicKey(key, &der);
  const OpenSslBytesPtr owner(der);
  if (size <= 0) return OpenSslInternal("a public key cannot be encoded");
  if (kind == EVP_PKEY_EC && der[0] != kUncompressed) {
    return InvalidArgument("the public key of {} is a compressed point, which phones cannot read",
                           certificate.subject().ToText());
  }
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

std::string WriteSignature(const Certificate& certificate) {
  const ASN1_BIT_STRING* signature = nullptr;
  X509_get0_signature(&signature, nullptr, certificate.x509());
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(signature)),
                     static_cast<size_t>(ASN1_STRING_length(signature)));
}

}  // namespace

absl::StatusOr<std::string> WriteRecord(const ListedCertificate& listed, NameForm form) {
  const OpenSslErrorScope errors;
  const Certificate& certificate = listed.certificate;
  RETURN_IF_ERROR(CheckDnsName(listed.dns_name));
  ASSIGN_OR_RETURN(const std::string subject, WriteName(certificate.subject(), form));
  ASSIGN_OR_RETURN(const std::string issuer, WriteName(certificate.issuer(), form));
  ASSIGN_OR_RETURN(const std::string serial, WriteSerial(certificate));
  ASSIGN_OR_RETURN(const std::string public_key, WritePublicKey(certificate));

  RecordWriter record;
  if (form == NameForm::kVendor) {
    record.Text(2, listed.dns_name).Text(3, subject).Role(listed.role).Text(5, issuer).Bytes(6, serial);
  } else {
    if (!listed.dns_name.empty()) record.Text(2, listed.dns_name);
    record.Text(3, subject).Text(5, issuer).Bytes(6, serial).Role(listed.role);
  }
  record.Bytes(7, public_key).Bytes(8, WriteSignature(certificate)).Bytes(9, AsText(certificate.der()));
  if (!listed.ip_address.empty()) {
    ASSIGN_OR_RETURN(const std::string address, WriteAddress(listed.ip_address));
    record.Bytes(10, address);
  }
  return record.Take();
}

absl::StatusOr<std::string> WriteBlankRecord(CertificateRole role, std::string_view dns_name,
                                             std::string_view ip_address) {
  RETURN_IF_ERROR(CheckDnsName(dns_name));
  RecordWriter record;
  if (dns_name.empty()) {
    record.Bytes(2, "");
  } else {
    record.Text(2, dns_name);
  }
  record.Role(role);
  if (!ip_address.empty()) {
    ASSIGN_OR_RETURN(const std::string address, WriteAddress(ip_address));
    record.Bytes(10, address);
  }
  return record.Take();
}

absl::StatusOr<std::string> WriteTrustList(std::string_view records, const SignedFileForm& form,
                                           const Certificate& signer, const PrivateKey& key) {
  if (records.empty()) return InvalidArgument("a trust list needs at least one record: its signer's, with role SAST");
  SignedFileForm trust_list_form = form;
  trust_list_form.version = kTrustListVersion;
  return WriteSignedFile(trust_list_form, signer, key, AsBytes(records));
}

}  // namespace trustline
