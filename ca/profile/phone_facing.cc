#include "ca/profile/phone_facing.h"

#include "common/bytes/bytes.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/distinguished_name.h"

namespace trustline {
namespace {

// RFC 5280, appendix A: ub-common-name.
constexpr size_t kMaxCommonName = 64;
constexpr size_t kNumberSize = 4;

constexpr std::string_view kCommonNameOid = "2.5.4.3";
constexpr std::string_view kOrganizationOid = "2.5.4.10";
constexpr std::string_view kOrganizationalUnitOid = "2.5.4.11";

// The first value of this kind in the certificate's subject; `name` is how people know it.
absl::StatusOr<std::string> ValueOf(const Certificate& certificate, std::string_view oid, std::string_view name) {
  for (const NameAttribute& attribute : certificate.subject().attributes()) {
    if (attribute.oid == oid && attribute.is_text) return attribute.value;
  }
  return FailedPrecondition("the subject of {} has no {}, which this system's own certificates have",
                            certificate.subject().ToText(), name);
}

}  // namespace

PhoneFacingProfile NewPhoneFacingProfile(PhoneFacingKind kind, const PhoneFacingSubject& subject) {
  PhoneFacingProfile profile = {.key_kind = KeyKind::kRsa2048,
                                .common_name = subject.host,
                                .organization = subject.organization,
                                .organizational_unit = subject.organizational_unit,
                                .dns_name = subject.host};
  switch (kind) {
    case PhoneFacingKind::kTvs:
      profile.common_name = fmt::format("TVS-{}-{}", subject.node, subject.host);
      break;
    case PhoneFacingKind::kCapf:
    case PhoneFacingKind::kItlRecovery: {
      // Phones tell authorities and signers apart by name, so that of a new installation must be another one.
      const SecretBytes random = SecretBytes::Random(kNumberSize);
      const std::string number = ToHex(AsBytes(random.ExposeSecret()));
      const bool is_capf = kind == PhoneFacingKind::kCapf;
      profile.common_name = (is_capf ? "CAPF-" : "ITLRECOVERY-") + number;
      profile.dns_name = (is_capf ? "capf-" : "itlrecovery-") + number;
      break;
    }
    case PhoneFacingKind::kCallManager:
      break;
    case PhoneFacingKind::kHttps:
      profile.key_kind = KeyKind::kEcP384;
      break;
  }
  if (profile.common_name.size() > kMaxCommonName) profile.common_name.resize(kMaxCommonName);
  return profile;
}

absl::StatusOr<CertificateTemplate> PhoneFacingTemplate(const PhoneFacingProfile& profile, absl::Time now) {
  CertificateTemplate form;
  ASSIGN_OR_RETURN(form.subject, DistinguishedName::FromAttributes({{"CN", profile.common_name},
                                                                    {"O", profile.organization},
                                                                    {"OU", profile.organizational_unit}}));
  RETURN_IF_ERROR(form.subject.ToX509Name().status());
  form.not_before = now - kClockSkewAllowance;
  form.not_after = YearsAfter(now, profile.years);
  form.is_ca = true;
  form.path_length = 0;
  form.key_usage = {"digitalSignature", "keyEncipherment", "dataEncipherment", "keyCertSign", "cRLSign"};
  form.key_usage_critical = false;
  form.extended_key_usage = {"serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.5"};
  form.dns_names = {profile.dns_name};
  return form;
}

absl::StatusOr<Certificate> RenewPhoneFacing(const Certificate& present, const PrivateKey& key, absl::Time now) {
  PhoneFacingProfile profile = {};
  ASSIGN_OR_RETURN(profile.common_name, ValueOf(present, kCommonNameOid, "CN"));
  ASSIGN_OR_RETURN(profile.organization, ValueOf(present, kOrganizationOid, "O"));
  ASSIGN_OR_RETURN(profile.organizational_unit, ValueOf(present, kOrganizationalUnitOid, "OU"));
  const std::vector<std::string> dns_names = present.dns_names();
  if (dns_names.empty()) {
    return FailedPrecondition("{} has no DNS name, which this system's own certificates have",
                              present.subject().ToText());
  }
  profile.dns_name = dns_names.front();
  ASSIGN_OR_RETURN(CertificateTemplate form, PhoneFacingTemplate(profile, now));
  form.dns_names = dns_names;
  return BuildSelfSigned(form, key);
}

absl::StatusOr<Certificate> WriteNewPhoneFacing(const PhoneFacingProfile& profile, const std::string& directory,
                                                const std::string& name, const SecretBytes& passphrase,
                                                absl::Time now) {
  ASSIGN_OR_RETURN(const CertificateTemplate form, PhoneFacingTemplate(profile, now));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(profile.key_kind));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, key));
  RETURN_IF_ERROR(key.WriteKeyFile(fmt::format("{}/{}.key", directory, name), &passphrase));
  RETURN_IF_ERROR(WriteFileAtomically(fmt::format("{}/{}.crt", directory, name), certificate.ToPem(), 0644));
  return certificate;
}

}  // namespace trustline
