#include "cli/phone/signer_question.h"

#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/status/status.h"

namespace trustline {
namespace {

std::set<Sha256Digest> TvsCertificates(const std::shared_ptr<const PhoneList>& itl) {
  std::set<Sha256Digest> certificates;
  if (!itl) return certificates;
  for (const PhoneListRecord& record : itl->records) {
    if (record.role == CertificateRole::kTvs && !record.blank) certificates.insert(record.certificate);
  }
  return certificates;
}

std::string RolesText(const std::vector<CertificateRole>& roles) {
  return absl::StrJoin(roles, ",", [](std::string* joined, CertificateRole role) {
    const std::string_view name = CertificateRoleName(role);
    joined->append(name.data(), name.size());
  });
}

}  // namespace

std::vector<ReachableTvs> SignerAnswer::Reachable() const {
  if (!tvs) return {};
  return {{.certificate = *tvs, .answers = &valid_for}};
}

SignerAnswer AskForSigner(const std::vector<Endpoint>& servers, TvsPhoneOptions options,
                          const std::shared_ptr<const PhoneList>& itl, const NamedSigner& signer) {
  SignerAnswer result;
  options.known_certificates = TvsCertificates(itl);
  if (options.known_certificates->empty()) return result;
  for (const Endpoint& server : servers) {
    TvsAttempt& attempt = result.attempts.emplace_back(TvsAttempt{.server = server, .outcome = ""});
    const absl::StatusOr<TvsAnswer> answer =
        TvsPhone(server, options).Query(signer.subject, signer.issuer, AsBytes(signer.serial));
    if (!answer.ok()) {
      attempt.outcome = StatusMessage(answer.status());
      continue;
    }
    attempt.answered = true;
    result.tvs = Sha256(AsBytes(answer->server_certificate));
    attempt.outcome = "invalid";
    if (answer->valid) {
      // Query() has read it already.
      const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(answer->certificate));
      if (certificate.ok()) result.signer = *certificate;
      for (const CertificateRole role : answer->roles) {
        if (result.signer) result.valid_for.insert({result.signer->sha256(), role});
      }
      attempt.outcome = fmt::format("valid with roles {}", RolesText(answer->roles));
    }
    return result;
  }
  return result;
}

}  // namespace trustline
