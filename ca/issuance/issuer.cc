#include "ca/issuance/issuer.h"

#include <algorithm>

#include "common/postgres/sql_error.h"
#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/service/fail_point.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

// Refusals of the intent itself, which no repetition mends.
bool IsFinal(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status) || absl::IsInternal(status);
}

// What PostgreSQL says of a statement that should have worked is no refusal of the request.
absl::Status InOurWords(const absl::Status& status, std::string_view what) {
  if (SqlStateOf(status).empty() || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
      absl::IsResourceExhausted(status) || absl::IsAborted(status)) {
    return status;
  }
  return Internal("{} ({}): look at PostgreSQL's log, then ask again", what, StatusMessage(status));
}

IssuedLsc WithChain(IssuanceRecord record, Certificate certificate, const Authority& authority) {
  IssuedLsc issued = {
      .record = std::move(record), .certificate = std::move(certificate), .chain = {*authority.certificate}};
  issued.chain.insert(issued.chain.end(), authority.chain.begin(), authority.chain.end());
  return issued;
}

constexpr Statement kActiveId = {"active_authority_id",
                                 "SELECT authority_id FROM ca_authority WHERE cluster_id = $1 AND state = 'active'"};

}  // namespace

std::string CrlUrl(std::string_view public_url, std::string_view key_name) {
  while (public_url.ends_with('/')) public_url.remove_suffix(1);
  return fmt::format("{}/crl/{}.crl", public_url, key_name);
}

Issuer::Issuer(IssuerOptions options, Pool& pool, AuthorityKeys& keys, const Clock& clock)
    : options_(std::move(options)), pool_(pool), keys_(keys), clock_(clock) {}

absl::StatusOr<IssuedLsc> Issuer::Issue(const IssuanceOrder& order) {
  // 1. The key by itself.
  RETURN_IF_ERROR(CheckDeviceKey(order.public_key, options_.key_policy));
  FailPoint("key-checked");

  // 2. The authority that issues.
  const int32_t cluster_id = order.caller.cluster_id;
  ASSIGN_OR_RETURN(std::shared_ptr<const Authority> authority, ActiveAuthority(cluster_id));

  // 3. and 4. What it is to sign, and the intent.
  absl::StatusOr<Prepared> prepared = Prepare(order, *authority);
  if (!prepared.ok() && !absl::IsUnavailable(prepared.status())) {
    // Another may have taken its place since it was last looked up.
    ForgetActiveAuthority(cluster_id);
    const int32_t refused_by = authority->id;
    ASSIGN_OR_RETURN(authority, ActiveAuthority(cluster_id));
    if (authority->id != refused_by) prepared = Prepare(order, *authority);
  }
  RETURN_IF_ERROR(prepared.status());
  const auto& [intent, begun] = *prepared;

  // 5. to 9. FinishIntent(): independent checks, signature, comparison, verification, store.
  absl::StatusOr<IssuedLsc> issued = begun.existed ? Finish(cluster_id, begun.issuance_id, order.caller.actor)
                                                   : FinishIntent({.id = begun.issuance_id,
                                                                   .cluster_id = cluster_id,
                                                                   .authority_id = authority->id,
                                                                   .content = intent.content,
                                                                   .to_be_signed = intent.to_be_signed},
                                                                  order.caller.actor);
  if (issued.ok()) issued->existed = begun.existed;
  FailPoint("before-answer");
  return issued;
}

absl::StatusOr<Issuer::Prepared> Issuer::Prepare(const IssuanceOrder& order, const Authority& authority) {
  RETURN_IF_ERROR(keys_.Find(authority.key_name).status());

  // 3. What is to be signed, byte for byte.
  ASSIGN_OR_RETURN(NewIntent intent, Compose(order, authority));
  FailPoint("composed");

  // 4. Device and key against everything on record; then the intent, committed before any key is touched.
  ASSIGN_OR_RETURN(const Begun begun, Begin(order, authority, intent));
  FailPoint("intent-committed");
  return Prepared{std::move(intent), begun};
}

absl::StatusOr<IssuedLsc> Issuer::Finish(int32_t cluster_id, int64_t issuance_id, std::string_view actor) {
  const absl::StatusOr<Intent> intent = LoadIntent(cluster_id, issuance_id);
  if (absl::IsNotFound(intent.status())) return LoadIssued(cluster_id, issuance_id);
  RETURN_IF_ERROR(intent.status());
  return FinishIntent(*intent, actor);
}

absl::StatusOr<IssuedLsc> Issuer::FinishIntent(const Intent& intent, std::string_view actor) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Authority> authority,
                   LoadAuthority(intent.cluster_id, intent.authority_id));
  if (const absl::Status here = keys_.Find(authority->key_name).status(); !here.ok()) {
    return absl::UnavailableError(here.message());
  }
  const absl::StatusOr<Certificate> certificate = SignAndVerify(intent, *authority);
  if (!certificate.ok()) {
    if (IsFinal(certificate.status())) RETURN_IF_ERROR(AbandonRefused(intent, certificate.status(), actor));
    return certificate.status();
  }
  ASSIGN_OR_RETURN(std::optional<IssuanceRecord> stored, Store(intent, *certificate, actor));
  FailPoint("stored");
  if (!stored) return LoadIssued(intent.cluster_id, intent.id);
  return WithChain(*std::move(stored), *certificate, *authority);
}

absl::StatusOr<Intent> Issuer::LoadIntent(int32_t cluster_id, int64_t issuance_id) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  return IssuanceStore(*lease, cluster_id).LoadIntent(issuance_id);
}

absl::StatusOr<NewIntent> Issuer::Compose(const IssuanceOrder& order, const Authority& authority) {
  ASSIGN_OR_RETURN(std::string serial, NewSerial());
  ASSIGN_OR_RETURN(const Validity validity, LscValidity(order.lifetime, *authority.certificate, clock_.Now()));
  NewIntent intent = {.request_id = order.request_id,
                      .content = {.device = order.device,
                                  .serial = std::move(serial),
                                  .not_before = validity.not_before,
                                  .not_after = validity.not_after,
                                  .public_key_info = order.public_key.der(),
                                  .crl_url = CrlUrl(options_.public_url, authority.key_name)},
                      .public_key = PublicKeyKindText(order.public_key.key()),
                      .public_key_sha256 = order.public_key.sha256(),
                      .requested_by = order.caller.actor};
  ASSIGN_OR_RETURN(intent.to_be_signed, EncodeLscToBeSigned(intent.content, *authority.certificate));
  intent.subject = LscSubjectText(order.device, *authority.certificate);
  return intent;
}

absl::StatusOr<std::optional<int64_t>> Issuer::FindRepetition(const IssuanceOrder& order, const Authority& authority,
                                                              const std::vector<EarlierIssuance>& earlier) const {
  const std::string& device = order.device.text();
  if (!order.request_id.empty()) {
    const auto same_request =
        std::ranges::find_if(earlier, [&](const EarlierIssuance& e) { return e.request_id == order.request_id; });
    if (same_request != earlier.end()) {
      if (same_request->state == IssuanceState::kRevoked) {
        return FailedPrecondition("the certificate of request {} was revoked: ask under another request id",
                                  order.request_id);
      }
      if (same_request->public_key_sha256 == order.public_key.sha256()) return same_request->id;
      return AlreadyExists("request id {} of {} stands for another key already: use a new one", order.request_id,
                           device);
    }
  }
  for (const EarlierIssuance& other : earlier) {
    const bool same_key = other.public_key_sha256 == order.public_key.sha256();
    if (other.state == IssuanceState::kIntent) {
      if (same_key && other.request_id.empty() && order.request_id.empty()) return other.id;
    } else if (other.state == IssuanceState::kRevoked) {
      continue;
    } else if (same_key) {
      const bool due = (clock_.Now() - other.not_before) * 3 > (other.not_after - other.not_before) * 2;
      if (order.second != SecondCertificate::kAlways && other.authority_id == authority.id && !due) return other.id;
    } else if (order.second == SecondCertificate::kRefuse && other.state != IssuanceState::kSigned) {
      return FailedPrecondition("{} has a certificate for another key, good until {}: --renew issues one more", device,
                                TimeTextSeconds(other.not_after));
    }
  }
  return std::nullopt;
}

absl::StatusOr<Issuer::Begun> Issuer::Begin(const IssuanceOrder& order, const Authority& authority,
                                            const NewIntent& intent) {
  const std::string& device = order.device.text();
  absl::StatusOr<Begun> begun = RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Begun> {
    IssuanceStore store(connection, order.caller.cluster_id);
    RETURN_IF_ERROR(store.LockDeviceAndKey(order.device, intent.public_key_sha256));

    // The key against all others.
    ASSIGN_OR_RETURN(const KeyUse use, store.FindKeyUse(order.device, intent.public_key_sha256, authority.id));
    if (use.blocked) {
      return InvalidArgument("the key is blocked, because others may have its private key (source: {}): make a new one",
                             use.blocked_source);
    }
    if (use.is_authority_key) return InvalidArgument("the key is that of an authority: no device may have it");
    if (use.other_device) {
      return InvalidArgument("the key is that of {} already: two devices never share one, make a new key for {}",
                             *use.other_device, device);
    }

    if (!use.authority_issues)
      return Aborted("authority {} stopped issuing during the request: ask again", authority.id);

    // What the device was issued before.
    ASSIGN_OR_RETURN(const std::vector<EarlierIssuance> earlier, store.FindEarlier(order.device, order.request_id));
    ASSIGN_OR_RETURN(const std::optional<int64_t> repetition, FindRepetition(order, authority, earlier));
    if (repetition) return Begun{*repetition, true};
    for (const EarlierIssuance& other : earlier) {
      if (other.state != IssuanceState::kIntent) continue;
      RETURN_IF_ERROR(store.Abandon(other.id, "a newer request for the same device took its place"));
    }

    FailPoint("intent-inserting");
    ASSIGN_OR_RETURN(const std::optional<int64_t> id, store.Insert(authority.id, intent));
    if (!id) {
      return Aborted("authority {} stopped issuing during the request: ask again", authority.id);
    }
    FailPoint("intent-inserted");
    return Begun{*id, false};
  });
  if (!begun.ok()) return InOurWords(begun.status(), "the request could not be recorded, and nothing was issued");
  return begun;
}

absl::StatusOr<Certificate> Issuer::SignAndVerify(const Intent& intent, const Authority& authority) {
  const Certificate& issuer = *authority.certificate;
  // 5. The independent checks; only their result can be signed.
  ASSIGN_OR_RETURN(CheckedToBeSigned checked,
                   CheckLsc(AsBytes(intent.to_be_signed), intent.content, issuer, clock_.Now()));
  FailPoint("checked");

  // 6. The signature.
  ASSIGN_OR_RETURN(const std::shared_ptr<const AuthorityKey> key, keys_.Find(authority.key_name));
  ASSIGN_OR_RETURN(const std::string signature, key->Sign(std::move(checked)));
  FailPoint("signed");

  // 7. The certificate says what was intended, and nothing else.
  ASSIGN_OR_RETURN(Certificate certificate, AssembleCertificate(AsBytes(intent.to_be_signed), AsBytes(signature)));
  ASSIGN_OR_RETURN(const std::string signed_part, ToBeSignedOf(certificate));
  if (signed_part != intent.to_be_signed) {
    return Internal("the certificate with serial number {} is not the one that was intended",
                    ToHex(AsBytes(intent.content.serial)));
  }
  FailPoint("compared");

  // 8. It verifies with the authority's public key.
  const OpenSslErrorScope errors;
  if (X509_verify(certificate.x509(), X509_get0_pubkey(issuer.x509())) != 1) {
    return OpenSslInternal("the new certificate does not verify with the authority's public key");
  }
  FailPoint("verified");
  return certificate;
}

absl::StatusOr<std::optional<IssuanceRecord>> Issuer::Store(const Intent& intent, const Certificate& certificate,
                                                            std::string_view actor) {
  // 9. Certificate and audit row together; until they are committed nobody gets the certificate.
  using Stored = std::optional<IssuanceRecord>;
  absl::StatusOr<Stored> result = RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Stored> {
    IssuanceStore store(connection, intent.cluster_id);
    ASSIGN_OR_RETURN(Stored stored, store.StoreCertificate(intent.id, certificate));
    if (!stored) return stored;
    FailPoint("storing");
    AuditEvent event = {.cluster_id = intent.cluster_id,
                        .actor = std::string(actor),
                        .action = "lsc.issue",
                        .subject = intent.content.device.text(),
                        .detail = {{"serial", ToHex(AsBytes(intent.content.serial))},
                                   {"sha256", ToHex(certificate.sha256())},
                                   {"public_key_sha256", ToHex(certificate.public_key_sha256())},
                                   {"authority", std::to_string(intent.authority_id)},
                                   {"not_after", TimeTextSeconds(intent.content.not_after)}}};
    // Finished on somebody's behalf.
    if (stored->requested_by != actor) event.detail.emplace_back("requested_by", stored->requested_by);
    RETURN_IF_ERROR(AppendAudit(connection, event));
    FailPoint("audited");
    return stored;
  });
  if (!result.ok()) return InOurWords(result.status(), "the certificate could not be stored, and nobody has it");
  return result;
}

absl::Status Issuer::AbandonRefused(const Intent& intent, const absl::Status& refusal, std::string_view actor) {
  return RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(IssuanceStore(connection, intent.cluster_id).Abandon(intent.id, StatusMessage(refusal)));
    return AppendAudit(connection, {.cluster_id = intent.cluster_id,
                                    .actor = std::string(actor),
                                    .action = "lsc.issue",
                                    .subject = intent.content.device.text(),
                                    .outcome = AuditOutcome::kFailed,
                                    .detail = {{"serial", ToHex(AsBytes(intent.content.serial))},
                                               {"reason", std::string(StatusMessage(refusal))}}});
  });
}

absl::StatusOr<bool> Issuer::IsOpen(int32_t cluster_id, int64_t issuance_id) {
  const absl::Status found = LoadIntent(cluster_id, issuance_id).status();
  if (absl::IsNotFound(found)) return false;
  RETURN_IF_ERROR(found);
  return true;
}

absl::Status Issuer::GiveUp(int32_t cluster_id, int64_t issuance_id, const absl::Status& reason,
                            std::string_view actor) {
  const absl::StatusOr<Intent> intent = LoadIntent(cluster_id, issuance_id);
  if (absl::IsNotFound(intent.status())) return absl::OkStatus();
  RETURN_IF_ERROR(intent.status());
  return AbandonRefused(*intent, reason, actor);
}

absl::StatusOr<IssuedLsc> Issuer::LoadIssued(int32_t cluster_id, int64_t issuance_id) {
  IssuanceRecord record;
  std::optional<std::string> der;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    IssuanceStore store(*lease, cluster_id);
    ASSIGN_OR_RETURN(record, store.Load(issuance_id));
    if (record.sha256) {
      ASSIGN_OR_RETURN(der, store.LoadCertificate(issuance_id));
    }
  }
  if (!der) {
    return Aborted("the request for {} was given up before it was signed ({}): ask again", record.device,
                   record.abandoned_because);
  }
  if (record.state == IssuanceState::kRevoked) {
    return FailedPrecondition("the certificate of {} was revoked meanwhile: ask again", record.device);
  }
  ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(*der)));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Authority> authority, LoadAuthority(cluster_id, record.authority_id));
  return WithChain(std::move(record), std::move(certificate), *authority);
}

absl::StatusOr<std::shared_ptr<const Authority>> Issuer::LoadAuthority(int32_t cluster_id, int32_t authority_id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = authorities_.find({cluster_id, authority_id});
    if (found != authorities_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(Authority authority, AuthorityStore(*lease, cluster_id).Load(authority_id));
  if (!authority.certificate) return FailedPrecondition("authority {} has no certificate yet", authority_id);
  auto shared = std::make_shared<const Authority>(std::move(authority));
  const std::lock_guard lock(mutex_);
  return authorities_[{cluster_id, authority_id}] = std::move(shared);
}

absl::StatusOr<std::shared_ptr<const Authority>> Issuer::ActiveAuthority(int32_t cluster_id) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = active_.find(cluster_id); found != active_.end()) return found->second;
  }
  int32_t id = 0;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(const Result result, lease->Execute(kActiveId, Parameters().Int64(cluster_id)));
    // For its words.
    if (result.empty()) RETURN_IF_ERROR(AuthorityStore(*lease, cluster_id).Active().status());
    ASSIGN_OR_RETURN(id, result.Value<int32_t>());
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const Authority> active, LoadAuthority(cluster_id, id));
  const std::lock_guard lock(mutex_);
  return active_[cluster_id] = std::move(active);
}

void Issuer::ForgetActiveAuthority(int32_t cluster_id) {
  const std::lock_guard lock(mutex_);
  active_.erase(cluster_id);
}

}  // namespace trustline
