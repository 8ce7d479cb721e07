#include "itl/trust_store/authority_editor.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "itl/trust_store/certificate_admission.h"
#include "itl/trust_store/crl_editor.h"
#include "itl/trust_store/trust_commit.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

constexpr std::string_view kSource = "the authority's certificate";
constexpr std::string_view kSystemOrigin = "system";

absl::Status CheckMaySignCertificates(const Certificate& certificate) {
  constexpr uint32_t kWithout = UINT32_MAX;  // what OpenSSL answers for an extension that is absent
  const uint32_t key_usage = X509_get_key_usage(certificate.x509());
  if (!certificate.is_ca() || key_usage == kWithout || (key_usage & KU_KEY_CERT_SIGN) == 0) {
    return InvalidArgument(
        "{} ({}) is not a CA's: it needs basicConstraints CA:TRUE and keyUsage keyCertSign; have it issued anew",
        kSource, certificate.subject().ToText());
  }
  return absl::OkStatus();
}

bool IsAnchorWithoutRole(const TrustEntry& entry) { return !entry.role.has_value(); }

}  // namespace

absl::StatusOr<int64_t> AuthorityEditor::Add(ByteView der, absl::Time now) {
  // 1. What the certificate says of itself.
  ASSIGN_OR_RETURN(const AdmittedCertificate admitted, AdmitCertificate(der, kSource, true, now));
  const Sha256Digest sha256 = admitted.certificate.sha256();
  RETURN_IF_ERROR(CheckMaySignCertificates(admitted.certificate));

  // 2. Against the trust store, which cannot change from here on.
  RETURN_IF_ERROR(LockTrustStore(connection_, caller_.cluster_id));
  ASSIGN_OR_RETURN(const std::vector<TrustedCertificate> live,
                   TrustStoreReader(connection_, caller_.cluster_id).Load(std::span(&sha256, 1), false));
  if (!live.empty() && std::ranges::any_of(live.front().entries, IsAnchorWithoutRole)) return 0;

  // 3. Write and record.
  ASSIGN_OR_RETURN(TrustImport import, TrustImport::Begin(connection_, caller_,
                                                          {.anchor = true, .origin = std::string(kSystemOrigin)}, now));
  const ImportCandidate candidate = {std::string(AsText(der)), std::string(kSource)};
  RETURN_IF_ERROR(import.AddBatch(std::span(&candidate, 1)));
  ASSIGN_OR_RETURN(const ImportResult result, import.Finish());
  return result.commit;
}

absl::StatusOr<int64_t> AuthorityEditor::Remove(const Sha256Digest& sha256) {
  ASSIGN_OR_RETURN(const TrustEdit edit,
                   TrustEditor(connection_, caller_).RemoveEntries(sha256, [](const TrustEntry& entry) {
                     return IsAnchorWithoutRole(entry) && entry.origin == kSystemOrigin;
                   }));
  TrustStoreReader reader(connection_, caller_.cluster_id);
  ASSIGN_OR_RETURN(const std::vector<TrustedCertificate> known, reader.Load(std::span(&sha256, 1), true));
  if (known.empty()) return 0;
  ASSIGN_OR_RETURN(const std::string der, reader.Der(sha256));
  ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(der)));
  return CrlEditor(connection_, caller_).RemoveOfUntrusted(certificate, edit.commit);
}

}  // namespace trustline
