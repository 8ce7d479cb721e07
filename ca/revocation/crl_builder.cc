#include "ca/revocation/crl_builder.h"

#include "common/status/status.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr long kCrlVersion2 = 1;

}  // namespace

absl::StatusOr<CrlBuilder> CrlBuilder::Begin(const Certificate& issuer, absl::Time this_update,
                                             absl::Time next_update) {
  const OpenSslErrorScope errors;
  X509CrlPtr crl(X509_CRL_new());
  const Asn1TimePtr from(ASN1_TIME_set(nullptr, absl::ToTimeT(this_update)));
  const Asn1TimePtr until(ASN1_TIME_set(nullptr, absl::ToTimeT(next_update)));
  if (crl == nullptr || from == nullptr || until == nullptr || X509_CRL_set_version(crl.get(), kCrlVersion2) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.x509())) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), from.get()) != 1 || X509_CRL_set1_nextUpdate(crl.get(), until.get()) != 1) {
    return OpenSslInternal("a CRL cannot be made");
  }
  return CrlBuilder(std::move(crl), issuer);
}

absl::Status CrlBuilder::Add(ByteView serial, absl::Time revoked_at, RevocationReason reason) {
  const OpenSslErrorScope errors;
  X509RevokedPtr entry(X509_REVOKED_new());
  const BignumPtr number(BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  const Asn1IntegerPtr integer(number == nullptr ? nullptr : BN_to_ASN1_INTEGER(number.get(), nullptr));
  const Asn1TimePtr time(ASN1_TIME_set(nullptr, absl::ToTimeT(revoked_at)));
  if (entry == nullptr || integer == nullptr || time == nullptr ||
      X509_REVOKED_set_serialNumber(entry.get(), integer.get()) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), time.get()) != 1) {
    return OpenSslInternal("an entry of a CRL cannot be made");
  }
  // RFC 5280, section 5.3.1: "unspecified" is said by leaving the extension out.
  if (reason != RevocationReason::kUnspecified) {
    const Asn1EnumeratedPtr value(ASN1_ENUMERATED_new());
    if (value == nullptr || ASN1_ENUMERATED_set(value.get(), static_cast<long>(reason)) != 1 ||
        X509_REVOKED_add1_ext_i2d(entry.get(), NID_crl_reason, value.get(), 0, X509V3_ADD_APPEND) != 1) {
      return OpenSslInternal("the reason in an entry of a CRL cannot be made");
    }
  }
  if (X509_CRL_add0_revoked(crl_.get(), entry.get()) != 1) return OpenSslInternal("an entry of a CRL cannot be added");
  (void)entry.release();
  ++count_;
  return absl::OkStatus();
}

absl::StatusOr<std::string> CrlBuilder::Sign(int64_t number, const AuthorityKey& key) {
  const OpenSslErrorScope errors;
  const Asn1IntegerPtr value(ASN1_INTEGER_new());
  const AuthorityKeyIdPtr key_id(AUTHORITY_KEYID_new());
  if (value == nullptr || key_id == nullptr || ASN1_INTEGER_set_int64(value.get(), number) != 1) {
    return OpenSslInternal("a CRL cannot be made");
  }
  const ByteView issuer_key_id = issuer_.subject_key_id();
  key_id->keyid = ASN1_OCTET_STRING_new();
  if (key_id->keyid == nullptr ||
      ASN1_OCTET_STRING_set(key_id->keyid, issuer_key_id.data(), static_cast<int>(issuer_key_id.size())) != 1 ||
      X509_CRL_add1_ext_i2d(crl_.get(), NID_authority_key_identifier, key_id.get(), 0, X509V3_ADD_APPEND) != 1 ||
      X509_CRL_add1_ext_i2d(crl_.get(), NID_crl_number, value.get(), 0, X509V3_ADD_APPEND) != 1) {
    return OpenSslInternal("the extensions of a CRL cannot be made");
  }
  X509_CRL_sort(crl_.get());
  RETURN_IF_ERROR(key.SignCrl(crl_.get()));
  unsigned char* der = nullptr;
  const int size = i2d_X509_CRL(crl_.get(), &der);
  const OpenSslBytesPtr owner(der);
  if (size <= 0) return OpenSslInternal("a CRL cannot be encoded");
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

}  // namespace trustline
