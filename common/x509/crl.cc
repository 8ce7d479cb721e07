#include "common/x509/crl.h"

#include "common/status/status.h"
#include "common/x509/asn1_value.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

// RFC 5280, section 5.3.1.
constexpr long kRemoveFromCrl = 8;

std::string OidText(const ASN1_OBJECT* object) {
  char text[128];
  OBJ_obj2txt(text, sizeof(text), object, 0);
  return text;
}

absl::Status CheckIssuingDistributionPoint(X509_EXTENSION* extension) {
  const IssuingDistributionPointPtr point(static_cast<ISSUING_DIST_POINT*>(X509V3_EXT_d2i(extension)));
  if (point == nullptr) return OpenSslInvalidArgument("the CRL's issuing distribution point cannot be read");
  if (point->indirectCRL > 0) return InvalidArgument("indirect CRLs (of several issuers) are not accepted");
  if (point->onlyuser > 0)
    return InvalidArgument("the CRL is only for end-entity certificates: a complete one is needed");
  if (point->onlyCA > 0) return InvalidArgument("the CRL is only for CA certificates: a complete one is needed");
  if (point->onlyattr > 0) return InvalidArgument("the CRL is only for attribute certificates");
  if (point->onlysomereasons != nullptr) {
    return InvalidArgument("the CRL is only for some revocation reasons: a complete one is needed");
  }
  return absl::OkStatus();
}

absl::Status CheckExtensions(const X509_CRL* crl) {
  for (int i = 0; i < X509_CRL_get_ext_count(crl); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(crl, i);
    ASN1_OBJECT* type = X509_EXTENSION_get_object(extension);
    const int nid = OBJ_obj2nid(type);
    if (nid != NID_undef && X509_CRL_get_ext_by_NID(crl, nid, i) >= 0) {
      return InvalidArgument("the CRL has the extension {} twice", OidText(type));
    }
    switch (nid) {
      case NID_delta_crl:
        return InvalidArgument("this is a delta CRL: give the complete CRL of this issuer");
      case NID_issuing_distribution_point:
        RETURN_IF_ERROR(CheckIssuingDistributionPoint(extension));
        break;
      case NID_authority_key_identifier:
      case NID_crl_number:
      case NID_issuer_alt_name:
      case NID_freshest_crl:
        break;
      default:
        if (X509_EXTENSION_get_critical(extension) > 0) {
          return InvalidArgument("the CRL has the critical extension {}, which is not known here", OidText(type));
        }
    }
  }
  return absl::OkStatus();
}

struct Entry {
  std::string serial;
  absl::Time revoked_at;
  long reason = 0;
};

absl::StatusOr<long> ReadReason(const X509_REVOKED* revoked) {
  int critical = -1;
  const Asn1EnumeratedPtr value(
      static_cast<ASN1_ENUMERATED*>(X509_REVOKED_get_ext_d2i(revoked, NID_crl_reason, &critical, nullptr)));
  if (value == nullptr) {
    constexpr int kAbsent = -1;
    if (critical == kAbsent) return 0;
    return OpenSslInvalidArgument("a revocation reason cannot be read");
  }
  const long reason = ASN1_ENUMERATED_get(value.get());
  constexpr long kHighest = 10;
  constexpr long kUnused = 7;
  if (reason < 0 || reason > kHighest || reason == kUnused) {
    return InvalidArgument("there is no revocation reason {}", reason);
  }
  return reason;
}

absl::StatusOr<Entry> ReadEntry(const X509_REVOKED* revoked) {
  for (int i = 0; i < X509_REVOKED_get_ext_count(revoked); ++i) {
    X509_EXTENSION* extension = X509_REVOKED_get_ext(revoked, i);
    ASN1_OBJECT* type = X509_EXTENSION_get_object(extension);
    const int nid = OBJ_obj2nid(type);
    if (nid == NID_certificate_issuer) return InvalidArgument("indirect CRLs (of several issuers) are not accepted");
    if (X509_EXTENSION_get_critical(extension) > 0 && nid != NID_crl_reason && nid != NID_invalidity_date) {
      return InvalidArgument("an entry has the critical extension {}, which is not known here", OidText(type));
    }
  }
  Entry entry;
  ASSIGN_OR_RETURN(entry.serial, ToSerial(X509_REVOKED_get0_serialNumber(revoked)));
  ASSIGN_OR_RETURN(entry.revoked_at, ToTime(X509_REVOKED_get0_revocationDate(revoked)));
  ASSIGN_OR_RETURN(entry.reason, ReadReason(revoked));
  return entry;
}

absl::StatusOr<std::string> ReadSingleBlock(std::string_view text) {
  PemReader reader(text);
  std::optional<PemBlock> found;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<PemBlock> block, reader.Next());
    if (!block) break;
    if (block->label != "X509 CRL")
      return InvalidArgument("PEM block {} is \"{}\", not a CRL", block->number, block->label);
    if (found) return InvalidArgument("there is more than one CRL in it: give them one by one");
    found = block;
  }
  if (!found) return InvalidArgument("there is no CRL in it");
  return DecodePemBody(found->body);
}

}  // namespace

struct CertificateRevocationList::Data {
  std::string der;
  X509CrlPtr crl;
  Sha256Digest sha256;
  DistinguishedName issuer;
  std::optional<std::string> number;
  absl::Time this_update;
  std::optional<absl::Time> next_update;
  std::string authority_key_id;
};

std::string_view RevocationReasonName(RevocationReason reason) {
  switch (reason) {
    case RevocationReason::kUnspecified:
      return "unspecified";
    case RevocationReason::kKeyCompromise:
      return "keyCompromise";
    case RevocationReason::kCaCompromise:
      return "cACompromise";
    case RevocationReason::kAffiliationChanged:
      return "affiliationChanged";
    case RevocationReason::kSuperseded:
      return "superseded";
    case RevocationReason::kCessationOfOperation:
      return "cessationOfOperation";
    case RevocationReason::kCertificateHold:
      return "certificateHold";
    case RevocationReason::kPrivilegeWithdrawn:
      return "privilegeWithdrawn";
    case RevocationReason::kAaCompromise:
      return "aACompromise";
  }
  return "unknown";
}

absl::StatusOr<CertificateRevocationList> CertificateRevocationList::FromBytes(ByteView bytes) {
  if (bytes.size() > kMaxCrlSize) {
    return InvalidArgument("a CRL of {} bytes is larger than the maximum of {}", bytes.size(), kMaxCrlSize);
  }
  auto data = std::make_shared<Data>();
  const bool der = bytes.size() >= 2 && bytes[0] == 0x30 && bytes[1] >= 0x80;
  if (!der && LooksLikePem(AsText(bytes))) {
    ASSIGN_OR_RETURN(data->der, ReadSingleBlock(AsText(bytes)));
  } else {
    data->der.assign(AsText(bytes));
  }

  const OpenSslErrorScope errors;
  const ByteView whole = AsBytes(data->der);
  const unsigned char* at = whole.data();
  data->crl.reset(d2i_X509_CRL(nullptr, &at, static_cast<long>(whole.size())));
  X509_CRL* const crl = data->crl.get();
  if (crl == nullptr) return OpenSslInvalidArgument("not a CRL, neither in DER nor in PEM");
  if (at != whole.data() + whole.size()) return InvalidArgument("bytes are left over after the CRL");
  RETURN_IF_ERROR(CheckExtensions(crl));

  data->sha256 = Sha256(whole);
  ASSIGN_OR_RETURN(data->issuer, DistinguishedName::FromX509Name(X509_CRL_get_issuer(crl)));
  ASSIGN_OR_RETURN(data->this_update, ToTime(X509_CRL_get0_lastUpdate(crl)));
  if (X509_CRL_get0_nextUpdate(crl) != nullptr) {
    ASSIGN_OR_RETURN(data->next_update, ToTime(X509_CRL_get0_nextUpdate(crl)));
  }
  const Asn1IntegerPtr number(static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl, NID_crl_number, nullptr, nullptr)));
  if (number != nullptr) {
    ASSIGN_OR_RETURN(data->number, ToSerial(number.get()));
  }
  const AuthorityKeyIdPtr key_id(
      static_cast<AUTHORITY_KEYID*>(X509_CRL_get_ext_d2i(crl, NID_authority_key_identifier, nullptr, nullptr)));
  if (key_id != nullptr) data->authority_key_id = AsText(StringBytes(key_id->keyid));

  // Every entry is read once here, so that ForEachRevoked has nothing left to refuse.
  CertificateRevocationList list(std::move(data));
  const STACK_OF(X509_REVOKED)* const revoked = X509_CRL_get_REVOKED(crl);
  for (int i = 0; revoked != nullptr && i < sk_X509_REVOKED_num(revoked); ++i) {
    const absl::StatusOr<Entry> entry = ReadEntry(sk_X509_REVOKED_value(revoked, i));
    if (!entry.ok()) return Annotate(entry.status(), fmt::format("revoked certificate {} of the CRL", i + 1));
  }
  return list;
}

ByteView CertificateRevocationList::der() const { return AsBytes(data_->der); }
const Sha256Digest& CertificateRevocationList::sha256() const { return data_->sha256; }
const DistinguishedName& CertificateRevocationList::issuer() const { return data_->issuer; }
std::optional<std::string> CertificateRevocationList::number() const { return data_->number; }
absl::Time CertificateRevocationList::this_update() const { return data_->this_update; }
std::optional<absl::Time> CertificateRevocationList::next_update() const { return data_->next_update; }
ByteView CertificateRevocationList::authority_key_id() const { return AsBytes(data_->authority_key_id); }

size_t CertificateRevocationList::revoked_count() const {
  const STACK_OF(X509_REVOKED)* const revoked = X509_CRL_get_REVOKED(data_->crl.get());
  return revoked == nullptr ? 0 : static_cast<size_t>(sk_X509_REVOKED_num(revoked));
}

void CertificateRevocationList::ForEachRevoked(const std::function<void(const RevokedCertificate&)>& visit) const {
  const STACK_OF(X509_REVOKED)* const revoked = X509_CRL_get_REVOKED(data_->crl.get());
  for (size_t i = 0; i < revoked_count(); ++i) {
    const absl::StatusOr<Entry> entry = ReadEntry(sk_X509_REVOKED_value(revoked, static_cast<int>(i)));
    if (!entry.ok() || entry->reason == kRemoveFromCrl) continue;
    visit({AsBytes(entry->serial), entry->revoked_at, static_cast<RevocationReason>(entry->reason)});
  }
}

absl::Status CertificateRevocationList::VerifySignedBy(const Certificate& issuer) const {
  const OpenSslErrorScope errors;
  X509_CRL* const crl = data_->crl.get();
  if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(issuer.x509())) != 0) {
    return FailedPrecondition("the CRL was issued by {}, not by {}", this->issuer().ToText(),
                              issuer.subject().ToText());
  }
  // All bits are set when the extension is absent.
  if ((X509_get_key_usage(issuer.x509()) & KU_CRL_SIGN) == 0) {
    return FailedPrecondition("{} may not sign CRLs: its key usage lacks cRLSign", issuer.subject().ToText());
  }
  EVP_PKEY* const key = X509_get0_pubkey(issuer.x509());
  if (key == nullptr || X509_CRL_verify(crl, key) != 1) {
    return FailedPrecondition("the CRL's signature was not made by the key of this {}: {}", issuer.subject().ToText(),
                              DrainOpenSslErrors());
  }
  return absl::OkStatus();
}

}  // namespace trustline
