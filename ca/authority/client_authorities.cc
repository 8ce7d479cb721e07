#include "ca/authority/client_authorities.h"

#include <array>

#include "absl/strings/ascii.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxBlockedKeys = 10'000;
constexpr size_t kLeastDigits = 4;
constexpr size_t kMaxSource = 200;

constexpr Statement kAdd = {
    "add_client_authority",
    "INSERT INTO client_authority (cluster_id, purpose, sha256, der, subject, not_after, added_by) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"};
constexpr Statement kRemove = {"remove_client_authority",
                               "DELETE FROM client_authority WHERE cluster_id = $1 AND purpose = $2 AND sha256 = $3"};
constexpr Statement kList = {"list_client_authorities",
                             "SELECT purpose, der, added_by, added_at FROM client_authority WHERE cluster_id = $1 "
                             "ORDER BY purpose, subject, sha256"};
constexpr Statement kBlock = {"block_keys",
                              "INSERT INTO blocked_key (public_key_sha256, source, added_by) SELECT DISTINCT k, $2, $3 "
                              "FROM unnest($1::bytea[]) k "
                              "ON CONFLICT DO NOTHING"};
constexpr Statement kCountBlocked = {"count_blocked_keys", "SELECT count(*) FROM blocked_key"};

constexpr std::array<std::string_view, 2> kPurposes = {"manufacturing", "small-business"};
std::string_view PurposeName(ClientAuthorityPurpose purpose) { return kPurposes[static_cast<size_t>(purpose)]; }

}  // namespace

absl::StatusOr<bool> ClientAuthorities::Add(ClientAuthorityPurpose purpose, const Certificate& certificate,
                                            absl::Time now) {
  RETURN_IF_ERROR(certificate.CheckImportable());
  if (!certificate.is_ca()) {
    return FailedPrecondition("{} is not an authority (basicConstraints CA:TRUE): import the one that issued it",
                              certificate.subject().ToText());
  }
  if (certificate.not_after() <= now) {
    return FailedPrecondition("{} has ended on {}", certificate.subject().ToText(),
                              TimeTextSeconds(certificate.not_after()));
  }
  ASSIGN_OR_RETURN(const Result added, connection_.Execute(kAdd, Parameters()
                                                                     .Int64(caller_.cluster_id)
                                                                     .Text(PurposeName(purpose))
                                                                     .Bytes(certificate.sha256())
                                                                     .Bytes(certificate.der())
                                                                     .Text(certificate.subject().ToText())
                                                                     .Time(certificate.not_after())
                                                                     .Text(caller_.actor)));
  if (added.affected() == 0) return false;
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                            .actor = caller_.actor,
                                            .action = "ca.client_authority.add",
                                            .subject = certificate.subject().ToText(),
                                            .detail = {{"purpose", std::string(PurposeName(purpose))},
                                                       {"sha256", ToHex(certificate.sha256())}}}));
  return true;
}

absl::StatusOr<ClientAuthority> ClientAuthorities::Remove(ClientAuthorityPurpose purpose,
                                                          std::string_view fingerprint_prefix) {
  const std::string prefix = absl::AsciiStrToLower(std::string(fingerprint_prefix));
  if (prefix.size() < kLeastDigits)
    return InvalidArgument("at least {} digits of the SHA-256 are needed", kLeastDigits);
  ASSIGN_OR_RETURN(const std::vector<ClientAuthority> all, List());
  const ClientAuthority* found = nullptr;
  for (const ClientAuthority& authority : all) {
    if (authority.purpose != purpose || !ToHex(authority.certificate.sha256()).starts_with(prefix)) continue;
    if (found != nullptr) return FailedPrecondition("several authorities begin with {}: give more digits", prefix);
    found = &authority;
  }
  if (found == nullptr) {
    return NotFound("no {} authority begins with {}: see `trustctl ca client-authority list`", PurposeName(purpose),
                    prefix);
  }
  RETURN_IF_ERROR(
      connection_
          .Execute(kRemove,
                   Parameters().Int64(caller_.cluster_id).Text(PurposeName(purpose)).Bytes(found->certificate.sha256()))
          .status());
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                            .actor = caller_.actor,
                                            .action = "ca.client_authority.remove",
                                            .subject = found->certificate.subject().ToText(),
                                            .detail = {{"purpose", std::string(PurposeName(purpose))},
                                                       {"sha256", ToHex(found->certificate.sha256())}}}));
  return *found;
}

absl::StatusOr<std::vector<ClientAuthority>> ClientAuthorities::List() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kList, Parameters().Int64(caller_.cluster_id)));
  std::vector<ClientAuthority> authorities;
  for (const Row row : result) {
    std::string purpose, der, added_by;
    absl::Time added_at;
    RETURN_IF_ERROR(row.Scan(purpose, der, added_by, added_at));
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
    authorities.push_back(
        {purpose == kPurposes[0] ? ClientAuthorityPurpose::kManufacturing : ClientAuthorityPurpose::kSmallBusiness,
         std::move(certificate), std::move(added_by), added_at});
  }
  return authorities;
}

absl::StatusOr<ClientAuthorities::Blocked> ClientAuthorities::BlockKeys(const std::vector<std::string>& keys,
                                                                        std::string_view source) {
  if (keys.empty() || keys.size() > kMaxBlockedKeys) {
    return InvalidArgument("1 to {} keys are blocked at a time, not {}", kMaxBlockedKeys, keys.size());
  }
  for (const std::string& key : keys) {
    if (key.size() != std::tuple_size_v<Sha256Digest>)
      return InvalidArgument("a key is named by its SHA-256, 32 bytes");
  }
  if (source.empty() || source.size() > kMaxSource) {
    return InvalidArgument("the source of the list must be said, in at most {} characters", kMaxSource);
  }
  Blocked blocked;
  ASSIGN_OR_RETURN(const Result added,
                   connection_.Execute(kBlock, Parameters().BytesArray(keys).Text(source).Text(caller_.actor)));
  blocked.added = added.affected();
  ASSIGN_OR_RETURN(const Result total, connection_.Execute(kCountBlocked));
  ASSIGN_OR_RETURN(blocked.total, total.Value<int64_t>());
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                            .actor = caller_.actor,
                                            .action = "ca.block_keys",
                                            .subject = std::string(source),
                                            .detail = {{"added", std::to_string(blocked.added)}}}));
  return blocked;
}

}  // namespace trustline
