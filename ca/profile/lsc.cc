#include "ca/profile/lsc.h"

#include <openssl/rand.h>

#include <algorithm>

#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/der.h"
#include "common/x509/openssl_error.h"
#include "common/x509/public_key.h"
#include "common/x509/signature_algorithm.h"

namespace trustline {
namespace {

constexpr long kX509Version3 = 2;

absl::Time WholeSeconds(absl::Time time) { return absl::FromUnixSeconds(absl::ToUnixSeconds(time)); }

// CN, then what the issuer has of these, as the issuer writes it.
absl::StatusOr<X509NamePtr> SubjectName(const DeviceName& name_of_device, const Certificate& issuer) {
  X509NamePtr name(X509_NAME_new());
  const std::string& device = name_of_device.text();
  bool added = name != nullptr && X509_NAME_add_entry_by_NID(name.get(), NID_commonName, V_ASN1_UTF8STRING,
                                                             reinterpret_cast<const unsigned char*>(device.data()),
                                                             static_cast<int>(device.size()), -1, 0) == 1;
  const X509_NAME* const issuer_name = X509_get_subject_name(issuer.x509());
  for (const int nid :
       {NID_organizationName, NID_organizationalUnitName, NID_localityName, NID_stateOrProvinceName, NID_countryName}) {
    for (int at = X509_NAME_get_index_by_NID(issuer_name, nid, -1); added && at >= 0;
         at = X509_NAME_get_index_by_NID(issuer_name, nid, at)) {
      added = X509_NAME_add_entry(name.get(), X509_NAME_get_entry(issuer_name, at), -1, 0) == 1;
    }
  }
  if (!added) return OpenSslInternal("the subject's name cannot be made");
  return name;
}

}  // namespace

absl::StatusOr<std::string> NewSerial() {
  std::string serial(kLscSerialSize, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(serial.data()), static_cast<int>(serial.size())) != 1) {
    return OpenSslInternal("no random bytes");
  }
  serial[0] = static_cast<char>((serial[0] & 0x3f) | 0x40);
  return serial;
}

absl::StatusOr<Validity> LscValidity(absl::Duration lifetime, const Certificate& issuer, absl::Time now) {
  if (lifetime < kLeastLscLifetime || lifetime > kLongestLscLifetime) {
    return InvalidArgument("an LSC is valid for 1 to {} days", kLongestLscLifetime / kLeastLscLifetime);
  }
  const absl::Time begin = WholeSeconds(now);
  if (issuer.not_after() - begin < kLeastLscLifetime) {
    return FailedPrecondition(
        "the authority {} itself ends within a day: `trustctl ca rollover prepare`, then `activate`, makes the next "
        "one",
        issuer.subject().ToText());
  }
  // A phone's clock may be behind.
  return Validity{std::max(begin - kClockSkewAllowance, issuer.not_before()),
                  std::min(begin + lifetime, issuer.not_after())};
}

absl::StatusOr<std::string> EncodeLscToBeSigned(const LscContent& content, const Certificate& issuer) {
  const OpenSslErrorScope errors;
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(X509_get0_pubkey(issuer.x509())));
  ASSIGN_OR_RETURN(const X509NamePtr subject, SubjectName(content.device, issuer));
  const X509Ptr certificate(X509_new());
  X509* const x509 = certificate.get();
  const BignumPtr serial(BN_bin2bn(reinterpret_cast<const unsigned char*>(content.serial.data()),
                                   static_cast<int>(content.serial.size()), nullptr));
  if (x509 == nullptr || serial == nullptr || X509_set_version(x509, kX509Version3) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(x509)) == nullptr ||
      X509_set_issuer_name(x509, X509_get_subject_name(issuer.x509())) != 1 ||
      X509_set_subject_name(x509, subject.get()) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(x509), absl::ToTimeT(content.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(x509), absl::ToTimeT(content.not_after)) == nullptr) {
    return OpenSslInternal("a certificate cannot be made");
  }
  RETURN_IF_ERROR(SetPublicKey(x509, AsBytes(content.public_key_info)));
  ASN1_OBJECT* algorithm_of_key = nullptr;
  X509_PUBKEY_get0_param(&algorithm_of_key, nullptr, nullptr, nullptr, X509_get_X509_PUBKEY(x509));
  const bool rsa = OBJ_obj2nid(algorithm_of_key) == NID_rsaEncryption;
  RETURN_IF_ERROR(AddExtension(x509, issuer.x509(), NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(
      AddExtension(x509, issuer.x509(), NID_key_usage,
                   rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature,keyAgreement"));
  RETURN_IF_ERROR(AddExtension(x509, issuer.x509(), NID_ext_key_usage, "serverAuth,clientAuth,1.3.6.1.5.5.7.3.5"));
  RETURN_IF_ERROR(AddExtension(x509, issuer.x509(), NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(x509, issuer.x509(), NID_authority_key_identifier, "keyid:always"));
  RETURN_IF_ERROR(AddExtension(x509, issuer.x509(), NID_crl_distribution_points, "URI:" + content.crl_url));

  // The signature algorithm stands inside of what is signed; OpenSSL sets it only while it signs.
  X509_ALGOR* const inner = const_cast<X509_ALGOR*>(X509_get0_tbs_sigalg(x509));
  if (X509_ALGOR_set0(inner, OBJ_nid2obj(algorithm.signature_nid), algorithm.has_null ? V_ASN1_NULL : V_ASN1_UNDEF,
                      nullptr) != 1) {
    return OpenSslInternal("the signature algorithm cannot be set");
  }
  unsigned char* der = nullptr;
  const int size = i2d_re_X509_tbs(x509, &der);
  const OpenSslBytesPtr owner(der);
  if (size <= 0) return OpenSslInternal("a certificate cannot be encoded");
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

std::string LscSubjectText(const DeviceName& device, const Certificate& issuer) {
  const absl::StatusOr<X509NamePtr> name = SubjectName(device, issuer);
  if (!name.ok()) return "CN=" + device.text();
  const absl::StatusOr<DistinguishedName> subject = DistinguishedName::FromX509Name(name->get());
  return subject.ok() ? subject->ToText() : "CN=" + device.text();
}

absl::StatusOr<std::string> ToBeSignedOf(const Certificate& certificate) {
  DerReader outer("certificate", certificate.der());
  ASSIGN_OR_RETURN(const ByteView content, outer.Read("certificate", der::kSequence));
  DerReader parts("certificate", content);
  ASSIGN_OR_RETURN(const ByteView to_be_signed, parts.ReadWhole("TBSCertificate", der::kSequence));
  return std::string(AsText(to_be_signed));
}

absl::StatusOr<Certificate> AssembleCertificate(ByteView to_be_signed, ByteView signature) {
  DerReader outer("to-be-signed certificate", to_be_signed);
  ASSIGN_OR_RETURN(const ByteView content, outer.Read("TBSCertificate", der::kSequence));
  RETURN_IF_ERROR(outer.AssertDone());
  DerReader fields("to-be-signed certificate", content);
  RETURN_IF_ERROR(fields.Read("version", der::Context(0, true)).status());
  RETURN_IF_ERROR(fields.Read("serial number", der::kInteger).status());
  ASSIGN_OR_RETURN(const ByteView algorithm, fields.ReadWhole("signature algorithm", der::kSequence));
  std::string bits(1, '\0');  // no unused bits
  bits.append(AsText(signature));
  std::string whole(AsText(to_be_signed));
  whole.append(AsText(algorithm)).append(EncodeDer(der::kBitString, AsBytes(bits)));
  return Certificate::FromDer(AsBytes(EncodeDer(der::kSequence, AsBytes(whole))));
}

}  // namespace trustline
