#include "cli/trustctl/adopted_history.h"

#include <openssl/x509.h>

#include <algorithm>
#include <map>

#include "cli/trustctl/trust_import.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/public_key.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

// Empty when a trust store may have it.
std::string ReasonToLeaveOut(const Certificate& certificate, absl::Time now) {
  if (certificate.not_after() < now) return "it expired on " + TimeTextSeconds(certificate.not_after());
  // Whoever finds the private half of such a key speaks as a server of this cluster.
  if (const absl::Status key = CheckKeyStrength(X509_get0_pubkey(certificate.x509())); !key.ok()) {
    return fmt::format("its key is weak: {}", StatusMessage(key));
  }
  const absl::Status importable = certificate.CheckImportable();
  return importable.ok() ? "" : std::string(StatusMessage(importable));
}

void TakeEntries(const v1::TrustedCertificate& trusted, HistoryCertificate& wanted) {
  for (const v1::TrustEntry& entry : trusted.entries()) {
    const auto role = std::ranges::find_if(wanted.missing, [&](CertificateRole missing) {
      google::protobuf::RepeatedField<int> code;
      RolesToProto({missing}, &code);
      return code[0] == entry.role();
    });
    if (role == wanted.missing.end()) continue;
    if (entry.has_removed_at()) {
      wanted.left_out = fmt::format("{} removed it as {}: `trustctl trust add` brings it back", entry.removed_by(),
                                    CertificateRoleName(*role));
    }
    wanted.missing.erase(role);
  }
}

}  // namespace

std::string HistoryCertificate::StateOf(CertificateRole role) const {
  if (std::ranges::find(missing, role) != missing.end()) return "added";
  return left_out.empty() ? "there already" : "left out: " + left_out;
}

void AddToHistory(const TrustList& list, const std::string& host, absl::Time now,
                  std::vector<HistoryCertificate>& history, std::vector<std::string>& notes) {
  for (size_t i = 0; i < list.records.size(); ++i) {
    const TrustListRecord& record = list.records[i];
    const std::string which = fmt::format("record {} of {}", i + 1, host);
    if (record.IsBlank()) continue;
    if (!record.certificate) {
      notes.push_back(
          fmt::format("{} ({}) has only its certificate's hash: add the certificate by hand "
                      "(`trustctl trust add`)",
                      which, record.subject));
      continue;
    }
    if (!record.role()) {
      notes.push_back(fmt::format("{} ({}) has a role that is not known: {}", which, record.subject, record.role_code));
      continue;
    }
    auto known = std::ranges::find_if(
        history, [&](const HistoryCertificate& other) { return other.certificate == *record.certificate; });
    if (known == history.end()) {
      history.push_back(
          {.certificate = *record.certificate, .host = host, .left_out = ReasonToLeaveOut(*record.certificate, now)});
      known = std::prev(history.end());
    }
    if (std::ranges::find(known->roles, *record.role()) != known->roles.end()) continue;
    known->roles.push_back(*record.role());
    std::ranges::sort(known->roles);
    if (known->left_out.empty()) known->missing = known->roles;
  }
}

absl::Status CompareWithTrustStore(Environment& environment, std::vector<HistoryCertificate>& history) {
  v1::ListRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_include_removed(true);
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  for (HistoryCertificate& wanted : history) {
    if (wanted.missing.empty()) continue;
    request.set_fingerprint_prefix(ToHex(wanted.certificate.sha256()));
    ASSIGN_OR_RETURN(const v1::ListResponse found, (environment.Ask(client, &v1::TrustStore::Stub::List, request)));
    for (const v1::TrustedCertificate& trusted : found.certificates()) TakeEntries(trusted, wanted);
  }
  return absl::OkStatus();
}

absl::Status TrustHistory(Environment& environment, const std::vector<HistoryCertificate>& history) {
  // An import has one set of roles for all.
  std::map<std::vector<CertificateRole>, std::vector<InputCertificate>> imports;
  for (const HistoryCertificate& wanted : history) {
    if (wanted.missing.empty()) continue;
    imports[wanted.missing].push_back({std::string(AsText(wanted.certificate.der())), "adopted from " + wanted.host});
  }
  for (const auto& [roles, certificates] : imports) {
    v1::AddRequest::Options options;
    ASSIGN_OR_RETURN(*options.mutable_cluster(), environment.cluster());
    RolesToProto(roles, options.mutable_roles());
    ASSIGN_OR_RETURN(const v1::AddResponse::Result result, ImportCertificates(environment, options, certificates));
    for (const std::string& warning : result.warnings()) environment.Warn(warning);
  }
  return absl::OkStatus();
}

}  // namespace trustline
