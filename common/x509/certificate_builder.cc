#include "common/x509/certificate_builder.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/time/civil_time.h"
#include "common/status/status.h"
#include "common/x509/alternative_names.h"
#include "common/x509/openssl_error.h"
#include "common/x509/signature_algorithm.h"

namespace trustline {
namespace {

// RFC 5280, section 4.1.2.2 wants at most 20 bytes; 17 with the sign byte that 128 bits may need.
constexpr int kSerialBits = 128;
// RFC 5280, appendix A: ub-common-name.
constexpr size_t kMaxCommonName = 64;
constexpr std::string_view kIdentityScheme = "trustline:";
constexpr long kX509Version3 = 2;

absl::Status AddExtensions(const CertificateTemplate& form, X509* certificate, X509* issuer) {
  std::string constraints = form.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE";
  if (form.is_ca && form.path_length) constraints += fmt::format(",pathlen:{}", *form.path_length);
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_basic_constraints, constraints));
  if (!form.key_usage.empty()) {
    const std::string usage = (form.key_usage_critical ? "critical," : "") + absl::StrJoin(form.key_usage, ",");
    RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_key_usage, usage));
  }
  if (!form.extended_key_usage.empty()) {
    RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_ext_key_usage, absl::StrJoin(form.extended_key_usage, ",")));
  }
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_subject_key_identifier, "hash"));
  if (issuer != certificate) {
    RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_authority_key_identifier, "keyid:always"));
  }
  if (!form.dns_names.empty() || !form.uri_names.empty()) {
    ASSIGN_OR_RETURN(const GeneralNamesPtr names, MakeAlternativeNames(form.dns_names, form.uri_names));
    if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, X509V3_ADD_APPEND) != 1) {
      return OpenSslInternal("the alternative names cannot be added");
    }
  }
  return absl::OkStatus();
}

absl::Status SetSerial(X509* certificate) {
  const BignumPtr serial(BN_new());
  if (serial == nullptr || BN_rand(serial.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) == nullptr) {
    return OpenSslInternal("a serial number cannot be made");
  }
  return absl::OkStatus();
}

// `issuer` is null for a self-signed certificate.
absl::StatusOr<Certificate> Build(const CertificateTemplate& form, EVP_PKEY* subject_key, const Certificate* issuer,
                                  const PrivateKey& issuer_key) {
  const OpenSslErrorScope errors;
  const absl::Time not_after = issuer == nullptr ? form.not_after : std::min(form.not_after, issuer->not_after());
  if (not_after <= form.not_before) return FailedPrecondition("the certificate would end before it begins");
  RETURN_IF_ERROR(CheckKeyStrength(subject_key));
  ASSIGN_OR_RETURN(const X509NamePtr subject, form.subject.ToX509Name());

  const X509Ptr certificate(X509_new());
  X509* const x509 = certificate.get();
  const X509_NAME* const issuer_name = issuer == nullptr ? subject.get() : X509_get_subject_name(issuer->x509());
  if (x509 == nullptr || X509_set_version(x509, kX509Version3) != 1 ||
      X509_set_subject_name(x509, subject.get()) != 1 || X509_set_issuer_name(x509, issuer_name) != 1 ||
      X509_set_pubkey(x509, subject_key) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(x509), absl::ToTimeT(form.not_before)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(x509), absl::ToTimeT(not_after)) == nullptr) {
    return OpenSslInternal("a certificate cannot be made");
  }
  RETURN_IF_ERROR(SetSerial(x509));
  RETURN_IF_ERROR(AddExtensions(form, x509, issuer == nullptr ? x509 : issuer->x509()));
  ASSIGN_OR_RETURN(const SignatureAlgorithm algorithm, SignatureAlgorithmOf(issuer_key.get()));
  if (X509_sign(x509, issuer_key.get(), algorithm.digest) == 0) {
    return OpenSslInternal("a certificate cannot be signed");
  }
  return Certificate::FromX509(x509);
}

}  // namespace

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context = {};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const X509ExtensionPtr extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslInvalidArgument(fmt::format("the extension {} = {} cannot be made", OBJ_nid2sn(nid), value));
  }
  return absl::OkStatus();
}

absl::Time YearsAfter(absl::Time time, int years) {
  const absl::CivilSecond civil = absl::ToCivilSecond(time, absl::UTCTimeZone());
  return absl::FromCivil(
      absl::CivilSecond(civil.year() + years, civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second()),
      absl::UTCTimeZone());
}

absl::StatusOr<CertificateTemplate> IdentityAuthorityTemplate(std::string_view common_name, absl::Time now) {
  CertificateTemplate form;
  ASSIGN_OR_RETURN(form.subject, DistinguishedName::FromAttributes({{"CN", common_name}}));
  form.not_before = now - kClockSkewAllowance;
  form.not_after = YearsAfter(now, 10);
  form.is_ca = true;
  form.path_length = 0;
  form.key_usage = {"keyCertSign", "cRLSign"};
  return form;
}

absl::StatusOr<CertificateTemplate> IdentityTemplate(std::string_view uri, const std::vector<std::string>& dns_names,
                                                     absl::Time now) {
  const size_t first = uri.find('/');
  const size_t second = first == std::string_view::npos ? std::string_view::npos : uri.find('/', first + 1);
  if (!uri.starts_with(kIdentityScheme) || second == std::string_view::npos || first == kIdentityScheme.size() ||
      second == first + 1 || second + 1 == uri.size() || uri.find('/', second + 1) != std::string_view::npos) {
    return InvalidArgument("\"{}\" is not an identity of the form trustline:<cluster>/<kind>/<name>", uri);
  }
  CertificateTemplate form;
  const std::string_view name = uri.substr(second + 1, kMaxCommonName);
  ASSIGN_OR_RETURN(form.subject, DistinguishedName::FromAttributes({{"CN", name}}));
  form.not_before = now - kClockSkewAllowance;
  form.not_after = now + kIdentityLifetime;
  form.key_usage = {"digitalSignature"};
  form.extended_key_usage = {"serverAuth", "clientAuth"};
  form.dns_names = dns_names;
  form.uri_names = {std::string(uri)};
  return form;
}

absl::StatusOr<Certificate> BuildSelfSigned(const CertificateTemplate& form, const PrivateKey& key) {
  return Build(form, key.get(), nullptr, key);
}

absl::StatusOr<Certificate> BuildIssued(const CertificateTemplate& form, EVP_PKEY* subject_key,
                                        const Certificate& issuer, const PrivateKey& issuer_key) {
  if (!issuer_key.MatchesCertificate(issuer)) {
    return FailedPrecondition("the issuer's key does not belong to its certificate {}", issuer.subject().ToText());
  }
  return Build(form, subject_key, &issuer, issuer_key);
}

}  // namespace trustline
