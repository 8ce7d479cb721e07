#include "ca/profile/phone_facing.h"

#include "common/bytes/bytes.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/distinguished_name.h"

namespace trustline {
namespace {

// RFC 5280, appendix A: ub-common-name.
constexpr size_t kMaxCommonName = 64;
constexpr size_t kCapfNumberSize = 4;
constexpr int kLifetimeYears = 5;

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
    case PhoneFacingKind::kCapf: {
      // Phones tell authorities apart by name, so that of a new installation must be another one.
      const SecretBytes random = SecretBytes::Random(kCapfNumberSize);
      const std::string number = ToHex(AsBytes(random.ExposeSecret()));
      profile.common_name = "CAPF-" + number;
      profile.dns_name = "capf-" + number;
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
  form.not_after = YearsAfter(now, kLifetimeYears);
  form.is_ca = true;
  form.path_length = 0;
  form.key_usage = {"digitalSignature", "keyEncipherment", "dataEncipherment", "keyCertSign", "cRLSign"};
  form.key_usage_critical = false;
  form.extended_key_usage = {"serverAuth", "clientAuth", "1.3.6.1.5.5.7.3.5"};
  form.dns_names = {profile.dns_name};
  return form;
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
