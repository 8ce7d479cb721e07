#include "itl/list/list_signers.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <span>
#include <utility>

#include "ca/profile/phone_facing.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "itl/list/list_store.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"

namespace trustline {
namespace {

constexpr int kLargestSignerBits = 2048;

absl::Status CheckSigner(const CertifiedKey& signer, absl::Time now) {
  const EVP_PKEY* const key = signer.key.get();
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) != kLargestSignerBits) {
    return FailedPrecondition("the key is {}, and phones verify trust lists with RSA {}", signer.key.kind_text(),
                              kLargestSignerBits);
  }
  if (signer.certificate.not_after() <= now) {
    return FailedPrecondition("the certificate {} has expired ({})", signer.certificate.subject().ToText(),
                              TimeTextSeconds(signer.certificate.not_after()));
  }
  if (signer.certificate.not_before() > now) {
    return FailedPrecondition("the certificate {} is not valid before {}", signer.certificate.subject().ToText(),
                              TimeTextSeconds(signer.certificate.not_before()));
  }
  // All usages when the extension is absent.
  if ((X509_get_key_usage(signer.certificate.x509()) & KU_DIGITAL_SIGNATURE) == 0) {
    return FailedPrecondition("the certificate {} may not sign: its key usage lacks digitalSignature",
                              signer.certificate.subject().ToText());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ListSigners::Vouch(const Certificate& certificate, const std::vector<CertificateRole>& roles) {
  // Its records come from being a signer, so the entry is not listed.
  ASSIGN_OR_RETURN(
      TrustImport import,
      TrustImport::Begin(connection_, caller_, {.roles = roles, .origin = "system", .keeps_present = true}, now_));
  const ImportCandidate candidate{std::string(AsText(certificate.der())), certificate.subject().ToText()};
  RETURN_IF_ERROR(import.AddBatch(std::span(&candidate, 1)));
  return import.Finish().status();
}

absl::Status ListSigners::Adopt(const Certificate& certificate, std::string_view key_name, std::string_view server,
                                const std::vector<CertificateRole>& roles, std::string_view reason) {
  RETURN_IF_ERROR(Vouch(certificate, roles));
  return ListStore(connection_, caller_.cluster_id).AddSigner(server, certificate, key_name, reason, caller_.actor);
}

absl::StatusOr<ListSigners::Prepared> ListSigners::PrepareRecovery(const ListPolicy& policy) {
  PhoneFacingProfile profile = NewPhoneFacingProfile(
      PhoneFacingKind::kItlRecovery,
      {.node = "", .host = "", .organization = policy.organization, .organizational_unit = policy.organizational_unit});
  profile.years = policy.recovery_years;
  ASSIGN_OR_RETURN(const CertificateTemplate form, PhoneFacingTemplate(profile, now_));
  ASSIGN_OR_RETURN(const KeyFolder::Key key, keys_.Generate(profile.key_kind));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, *key));
  RETURN_IF_ERROR(Vouch(certificate, {CertificateRole::kSast}));
  return Prepared{std::move(certificate), KeyName(key->public_key_sha256())};
}

absl::StatusOr<Certificate> ListSigners::MakeRecovery(const ListPolicy& policy, std::string_view reason) {
  ASSIGN_OR_RETURN(Prepared made, PrepareRecovery(policy));
  RETURN_IF_ERROR(
      ListStore(connection_, caller_.cluster_id).AddSigner("", made.certificate, made.key_name, reason, caller_.actor));
  return std::move(made.certificate);
}

absl::StatusOr<ListSigners::Prepared> ListSigners::PrepareCallManager(const ListPolicy& policy, std::string_view server,
                                                                      std::string_view host) {
  const PhoneFacingProfile profile =
      NewPhoneFacingProfile(PhoneFacingKind::kCallManager, {.node = std::string(server),
                                                            .host = std::string(host),
                                                            .organization = policy.organization,
                                                            .organizational_unit = policy.organizational_unit});
  ASSIGN_OR_RETURN(const CertificateTemplate form, PhoneFacingTemplate(profile, now_));
  ASSIGN_OR_RETURN(const KeyFolder::Key key, keys_.Generate(profile.key_kind));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, *key));
  RETURN_IF_ERROR(Vouch(certificate, {CertificateRole::kSast, policy.tftp_role}));
  return Prepared{std::move(certificate), KeyName(key->public_key_sha256())};
}

absl::StatusOr<Certificate> ListSigners::MakeCallManager(const ListPolicy& policy, std::string_view server,
                                                         std::string_view host, std::string_view reason) {
  ASSIGN_OR_RETURN(Prepared made, PrepareCallManager(policy, server, host));
  RETURN_IF_ERROR(ListStore(connection_, caller_.cluster_id)
                      .AddSigner(server, made.certificate, made.key_name, reason, caller_.actor));
  return std::move(made.certificate);
}

absl::Status ListSigners::ImportRecovery(CertifiedKey imported, std::string_view reason) {
  RETURN_IF_ERROR(CheckSigner(imported, now_));
  const std::string key_name = KeyName(imported.key.public_key_sha256());
  RETURN_IF_ERROR(keys_.Keep(std::move(imported.key)).status());
  return Adopt(imported.certificate, key_name, "", {CertificateRole::kSast}, reason);
}

absl::Status ListSigners::ForgetUnused(const Certificate& replaced) {
  static constexpr Statement kHasSigned = {
      "list_signer_has_signed",
      "SELECT EXISTS (SELECT FROM trust_list_generation WHERE cluster_id = $1 AND signer_sha256 = $2)"};
  ASSIGN_OR_RETURN(const Result result,
                   connection_.Execute(kHasSigned, Parameters().Int64(caller_.cluster_id).Bytes(replaced.sha256())));
  ASSIGN_OR_RETURN(const bool has_signed, result.Value<bool>());
  if (has_signed) return absl::OkStatus();
  return TrustEditor(connection_, caller_)
      .RemoveEntries(replaced.sha256(), [](const TrustEntry& entry) { return entry.origin == "system"; })
      .status();
}

absl::Status ListSigners::RestoreRecovery(const StoredSigner& previous, std::string_view reason) {
  RETURN_IF_ERROR(keys_.Find(previous.key_name).status());
  if (previous.certificate.not_after() <= now_) {
    return FailedPrecondition("the certificate {} has expired ({})", previous.certificate.subject().ToText(),
                              TimeTextSeconds(previous.certificate.not_after()));
  }
  return Adopt(previous.certificate, previous.key_name, "", {CertificateRole::kSast}, reason);
}

}  // namespace trustline
