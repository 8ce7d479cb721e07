#include "ca/authority/authority_admin.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/str_join.h"
#include "common/postgres/transaction.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/certificate_chain.h"
#include "common/x509/signature_algorithm.h"

namespace trustline {
namespace {

constexpr int64_t kNamedDependents = 10;
constexpr int64_t kMostCounted = 10'000;
constexpr size_t kMaxChain = 8;

absl::Status CheckAuthorityCertificate(const Certificate& certificate, absl::Time now) {
  constexpr uint32_t kAbsent = UINT32_MAX;
  const uint32_t usage = X509_get_key_usage(certificate.x509());
  if (!certificate.is_ca() || usage == kAbsent || (usage & KU_KEY_CERT_SIGN) == 0 || (usage & KU_CRL_SIGN) == 0) {
    return FailedPrecondition(
        "{} may not issue certificates and CRLs: it needs basicConstraints CA:TRUE and keyUsage keyCertSign and "
        "cRLSign; "
        "have the outside authority issue it so",
        certificate.subject().ToText());
  }
  if (certificate.not_before() > now || certificate.not_after() <= now) {
    return FailedPrecondition("{} is valid from {} to {}, not now", certificate.subject().ToText(),
                              TimeTextSeconds(certificate.not_before()), TimeTextSeconds(certificate.not_after()));
  }
  if (certificate.subject_key_id().empty()) {
    return FailedPrecondition("{} has no subjectKeyIdentifier, which what it issues must name",
                              certificate.subject().ToText());
  }
  return SignatureAlgorithmOf(X509_get0_pubkey(certificate.x509())).status();
}

// The issuers of an authority must let it issue in its turn (RFC 5280, section 4.2.1.9).
absl::Status CheckMayHaveAuthorityBelow(const std::vector<Certificate>& issuers) {
  long below = 1;
  for (const Certificate& issuer : issuers) {
    const long path_length = X509_get_pathlen(issuer.x509());
    if (path_length >= 0 && path_length < below) {
      return FailedPrecondition(
          "{} allows no more than {} authorities below it (pathLenConstraint): what this one issues would not verify",
          issuer.subject().ToText(), path_length);
    }
    ++below;
  }
  return absl::OkStatus();
}

absl::Status HasCertificate(int32_t id) {
  return FailedPrecondition("authority {} has its certificate already: `trustctl ca show {}`", id, id);
}

}  // namespace

absl::StatusOr<DistinguishedName> AuthorityAdmin::SubjectOf(std::string_view text, const std::string& key_name) const {
  if (text.empty()) {
    return DistinguishedName::FromAttributes({{"CN", fmt::format("LSC-CA-{}", key_name.substr(0, 8))},
                                              {"O", options_.organization},
                                              {"OU", options_.organizational_unit}});
  }
  ASSIGN_OR_RETURN(DistinguishedName subject, DistinguishedName::FromText(text));
  RETURN_IF_ERROR(subject.ToX509Name().status());
  if (subject.common_name().empty()) return InvalidArgument("the subject \"{}\" has no CN", text);
  return subject;
}

absl::Status AuthorityAdmin::Audit(Connection& connection, const AuthorityCaller& caller, std::string_view action,
                                   const Authority& authority) {
  AuditEvent event = {.cluster_id = caller.cluster_id,
                      .actor = caller.actor,
                      .action = std::string(action),
                      .subject = authority.subject,
                      .detail = {{"authority", std::to_string(authority.id)}, {"key", authority.key_name}}};
  if (authority.certificate) event.detail.emplace_back("sha256", ToHex(authority.certificate->sha256()));
  return AppendAudit(connection, event);
}

absl::StatusOr<Certificate> AuthorityAdmin::MakeSelfSigned(const AuthorityKey& key, std::string_view subject,
                                                           absl::Duration lifetime) const {
  CertificateTemplate form;
  ASSIGN_OR_RETURN(form.subject, SubjectOf(subject, KeyName(key.public_key_sha256())));
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(clock_.Now()));
  form.not_before = now - kClockSkewAllowance;
  form.not_after = now + lifetime;
  form.is_ca = true;
  form.path_length = 0;
  form.key_usage = {"digitalSignature", "keyCertSign", "cRLSign"};
  return key.SelfSign(form);
}

absl::StatusOr<Authority> AuthorityAdmin::SettleNew(const AuthorityCaller& caller, const std::string& key_name,
                                                    absl::StatusOr<Authority> stored, const Certificate* anchor) {
  if (stored.ok()) return stored;
  using Found = std::optional<Authority>;
  const absl::StatusOr<Found> found = RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Found> {
    AuthorityStore store(connection, caller.cluster_id);
    // Waits for a commit that was begun and not answered.
    RETURN_IF_ERROR(store.LockAll());
    return store.FindByKey(key_name);
  });
  // Nobody knows: what would be taken back may be in use.
  if (!found.ok()) return stored;
  if (*found) return **found;
  if (anchor != nullptr) trust_store_.RemoveAuthority(caller.cluster, *anchor).IgnoreError();
  keys_.Discard(key_name).IgnoreError();
  return stored;
}

absl::StatusOr<Authority> AuthorityAdmin::Prepare(const AuthorityCaller& caller, KeyKind kind, std::string_view subject,
                                                  absl::Duration lifetime) {
  if (lifetime < kLeastAuthorityLifetime || lifetime > kLongestAuthorityLifetime) {
    return InvalidArgument("an authority is valid for 1 to 30 years");
  }
  // What cannot stand in a certificate is refused before a key is made.
  RETURN_IF_ERROR(SubjectOf(subject, "00000000").status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const AuthorityKey> key, keys_.Generate(kind));
  const std::string key_name = KeyName(key->public_key_sha256());
  const absl::StatusOr<Certificate> certificate = MakeSelfSigned(*key, subject, lifetime);
  // The trust store first: an authority that is prepared is known to every phone's TVS.
  const absl::Status vouched =
      certificate.ok() ? trust_store_.AddAuthority(caller.cluster, *certificate) : certificate.status();
  if (!vouched.ok()) {
    // It may have come there before the answer was lost.
    if (certificate.ok()) trust_store_.RemoveAuthority(caller.cluster, *certificate).IgnoreError();
    keys_.Discard(key_name).IgnoreError();
    return vouched;
  }
  absl::StatusOr<Authority> prepared =
      RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Authority> {
        AuthorityStore store(connection, caller.cluster_id);
        RETURN_IF_ERROR(store.LockAll());
        ASSIGN_OR_RETURN(const Authority inserted,
                         store.InsertRequested(key_name, key->public_key_sha256(), key->kind_text(),
                                               certificate->subject().ToText(), caller.actor));
        return SetPrepared(connection, caller, inserted.id, *certificate, {}, "ca.prepare");
      });
  return SettleNew(caller, key_name, std::move(prepared), &*certificate);
}

absl::StatusOr<AuthorityAdmin::Requested> AuthorityAdmin::Request(const AuthorityCaller& caller, KeyKind kind,
                                                                  std::string_view subject) {
  RETURN_IF_ERROR(SubjectOf(subject, "00000000").status());
  ASSIGN_OR_RETURN(const std::shared_ptr<const AuthorityKey> key, keys_.Generate(kind));
  const std::string key_name = KeyName(key->public_key_sha256());
  const absl::StatusOr<DistinguishedName> name = SubjectOf(subject, key_name);
  absl::StatusOr<CertificateRequest> request =
      name.ok() ? key->Request(*name) : absl::StatusOr<CertificateRequest>(name.status());
  if (!request.ok()) {
    keys_.Discard(key_name).IgnoreError();
    return request.status();
  }
  absl::StatusOr<Authority> requested =
      RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Authority> {
        AuthorityStore store(connection, caller.cluster_id);
        RETURN_IF_ERROR(store.LockAll());
        ASSIGN_OR_RETURN(Authority inserted, store.InsertRequested(key_name, key->public_key_sha256(), key->kind_text(),
                                                                   name->ToText(), caller.actor));
        RETURN_IF_ERROR(Audit(connection, caller, "ca.request", inserted));
        return inserted;
      });
  ASSIGN_OR_RETURN(Authority authority, SettleNew(caller, key_name, std::move(requested), nullptr));
  return Requested{std::move(authority), *std::move(request)};
}

absl::StatusOr<Authority> AuthorityAdmin::ImportChain(const AuthorityCaller& caller,
                                                      const std::vector<Certificate>& certificates) {
  if (certificates.empty() || certificates.size() > kMaxChain) {
    return InvalidArgument("a chain has 1 to {} certificates", kMaxChain);
  }
  std::vector<Authority> known;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    ASSIGN_OR_RETURN(known, AuthorityStore(*lease, caller.cluster_id).List());
  }
  for (const Authority& authority : known) {
    for (const Certificate& certificate : certificates) {
      if (KeyName(certificate.public_key_sha256()) != authority.key_name) continue;
      if (authority.state != AuthorityState::kRequested) {
        return HasCertificate(authority.id);
      }
      RETURN_IF_ERROR(CheckAuthorityCertificate(certificate, clock_.Now()));
      std::vector<Certificate> others;
      for (const Certificate& other : certificates) {
        if (other != certificate && std::ranges::find(others, other) == others.end()) others.push_back(other);
      }
      ASSIGN_OR_RETURN(const std::vector<Certificate> chain, OrderChain(certificate, std::move(others), clock_.Now()));
      RETURN_IF_ERROR(CheckMayHaveAuthorityBelow(chain));
      return Import(caller, authority.id, certificate, chain);
    }
  }
  return FailedPrecondition(
      "none of the certificates has the key of an authority that was requested here: `trustctl ca csr` makes the "
      "request "
      "that the outside authority must answer");
}

absl::StatusOr<Authority> AuthorityAdmin::Import(const AuthorityCaller& caller, int32_t id,
                                                 const Certificate& certificate,
                                                 const std::vector<Certificate>& chain) {
  bool vouched = false;
  absl::StatusOr<Authority> imported =
      RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Authority> {
        AuthorityStore store(connection, caller.cluster_id);
        RETURN_IF_ERROR(store.LockAll());
        ASSIGN_OR_RETURN(const Authority current, store.Load(id));
        if (current.state != AuthorityState::kRequested) return HasCertificate(id);
        // The trust store first, as in Prepare.
        vouched = true;
        RETURN_IF_ERROR(trust_store_.AddAuthority(caller.cluster, certificate));
        return SetPrepared(connection, caller, id, certificate, chain, "ca.import");
      });
  if (imported.ok() || !vouched) return imported;
  using Found = std::optional<Authority>;
  const absl::StatusOr<Found> found = RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Found> {
    AuthorityStore store(connection, caller.cluster_id);
    // Waits for a commit that was begun and not answered, and keeps another import of the same certificate out.
    RETURN_IF_ERROR(store.LockAll());
    ASSIGN_OR_RETURN(Found known, store.FindByKey(KeyName(certificate.public_key_sha256())));
    if (known && known->certificate && *known->certificate == certificate) return known;
    trust_store_.RemoveAuthority(caller.cluster, certificate).IgnoreError();
    return std::nullopt;
  });
  // When nobody knows, what would be taken back may be in use.
  if (found.ok() && *found) return **found;
  return imported;
}

absl::StatusOr<Authority> AuthorityAdmin::SetPrepared(Connection& connection, const AuthorityCaller& caller, int32_t id,
                                                      const Certificate& certificate,
                                                      const std::vector<Certificate>& chain, std::string_view action) {
  AuthorityStore store(connection, caller.cluster_id);
  RETURN_IF_ERROR(store.SetCertificate(id, certificate, chain));
  ASSIGN_OR_RETURN(Authority prepared, store.Load(id));
  RETURN_IF_ERROR(Audit(connection, caller, action, prepared));
  return prepared;
}

absl::Status AuthorityAdmin::CheckMayActivate(const Authority& authority) {
  if (authority.state != AuthorityState::kPrepared && authority.state != AuthorityState::kTainted) {
    return FailedPrecondition("authority {} is {}: a prepared or tainted one can be activated (`trustctl ca list`)",
                              authority.id, AuthorityStateName(authority.state));
  }
  RETURN_IF_ERROR(CheckAuthorityCertificate(*authority.certificate, clock_.Now()));
  // An authority that cannot sign would stop every issuance.
  return keys_.Find(authority.key_name).status();
}

absl::StatusOr<AuthorityAdmin::Activated> AuthorityAdmin::Activate(const AuthorityCaller& caller, int32_t id) {
  return RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Activated> {
    AuthorityStore store(connection, caller.cluster_id);
    RETURN_IF_ERROR(store.LockAll());
    ASSIGN_OR_RETURN(const Authority authority, store.Load(id));
    RETURN_IF_ERROR(CheckMayActivate(authority));
    // Whatever became of the anchor meanwhile. Under the lock, so that nobody retires the authority at the same time.
    RETURN_IF_ERROR(trust_store_.AddAuthority(caller.cluster, *authority.certificate));
    Activated result;
    ASSIGN_OR_RETURN(const std::vector<Authority> all, store.List());
    for (const Authority& other : all) {
      if (other.state != AuthorityState::kActive) continue;
      RETURN_IF_ERROR(store.SetState(other.id, AuthorityState::kTainted));
      RETURN_IF_ERROR(Audit(connection, caller, "ca.taint", other));
      result.tainted_id = other.id;
    }
    RETURN_IF_ERROR(store.SetState(id, AuthorityState::kActive));
    RETURN_IF_ERROR(Audit(connection, caller, "ca.activate", authority));
    ASSIGN_OR_RETURN(result.authority, store.Load(id));
    return result;
  });
}

absl::StatusOr<Authority> AuthorityAdmin::Taint(const AuthorityCaller& caller, int32_t id, bool force) {
  return RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Authority> {
    AuthorityStore store(connection, caller.cluster_id);
    RETURN_IF_ERROR(store.LockAll());
    ASSIGN_OR_RETURN(const Authority authority, store.Load(id));
    if (authority.state == AuthorityState::kTainted) return authority;
    if (authority.state != AuthorityState::kActive && authority.state != AuthorityState::kPrepared) {
      return FailedPrecondition("authority {} is {}: an active or prepared one can be tainted", id,
                                AuthorityStateName(authority.state));
    }
    if (authority.state == AuthorityState::kActive && !force) {
      return FailedPrecondition(
          "authority {} is the one that issues, and nothing issues then: activate its successor first (`trustctl ca "
          "rollover prepare`, `trustctl ca rollover activate ID`, which taints this one), or say --force",
          id);
    }
    RETURN_IF_ERROR(store.SetState(id, AuthorityState::kTainted));
    RETURN_IF_ERROR(Audit(connection, caller, "ca.taint", authority));
    return store.Load(id);
  });
}

absl::Status AuthorityAdmin::CheckMayRetire(AuthorityStore& store, const Authority& authority) {
  if (authority.state == AuthorityState::kActive) {
    return FailedPrecondition(
        "authority {} is the one that issues: activate its successor first (`trustctl ca rollover prepare`, `trustctl "
        "ca rollover activate ID`)",
        authority.id);
  }
  ASSIGN_OR_RETURN(const int64_t open, store.OpenIntents(authority.id));
  if (open > 0) {
    return FailedPrecondition("{} requests to authority {} are not finished: try again in some seconds", open,
                              authority.id);
  }
  ASSIGN_OR_RETURN(const int64_t dependents, store.CountDependents(authority.id, kMostCounted + 1));
  if (dependents == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<std::string> named, store.Dependents(authority.id, kNamedDependents + 1));
  const bool more = std::ssize(named) > kNamedDependents;
  if (more) named.pop_back();
  return FailedPrecondition(
      "authority {0} is still needed: good certificates of devices in service that chain to it: {1} ({2}{3}); renew "
      "these devices, then `trustctl lsc revoke --authority {0} --superseded`; all of them: `trustctl lsc list "
      "--authority {0} --good`",
      authority.id, dependents > kMostCounted ? "more than 10,000" : std::to_string(dependents),
      absl::StrJoin(named, ", "), more ? ", ..." : "");
}

absl::StatusOr<AuthorityAdmin::Retired> AuthorityAdmin::Retire(const AuthorityCaller& caller, int32_t id,
                                                               const v1::Caution& caution) {
  // 1. What the trust store would say to it, before anything is changed here.
  v1::PreFlight preflight;
  {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
    AuthorityStore store(*lease, caller.cluster_id);
    ASSIGN_OR_RETURN(const Authority authority, store.Load(id));
    const bool is_trusted =
        authority.state != AuthorityState::kRequested && authority.state != AuthorityState::kRetired;
    if (is_trusted) {
      v1::Caution plan = caution;
      plan.set_plan(true);
      ASSIGN_OR_RETURN(preflight, trust_store_.RemoveAuthority(caller.cluster, *authority.certificate, plan));
      const absl::Status may = caution.plan() ? CheckMayRetire(store, authority) : absl::OkStatus();
      if (!may.ok() && !absl::IsFailedPrecondition(may)) return may;
      // Whoever plans it is told in the same way that it would be refused, by the phones or by what is issued.
      if (!may.ok()) {
        const std::string by_phones = preflight.refusal().empty() ? "" : preflight.refusal() + "; ";
        preflight.set_refusal(by_phones + std::string(StatusMessage(may)));
      }
    }
    if (caution.plan()) return Retired{authority, false, absl::OkStatus(), std::move(preflight)};
    if (!preflight.refusal().empty()) return FailedPrecondition("{}", preflight.refusal());
  }

  // 2. The authority, then the trust store.
  ASSIGN_OR_RETURN(Retired retired, RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<Retired> {
                     AuthorityStore store(connection, caller.cluster_id);
                     RETURN_IF_ERROR(store.LockAll());
                     // Waits for every issuance that has begun under it, and keeps new ones out.
                     ASSIGN_OR_RETURN(const Authority authority, store.Lock(id));
                     if (authority.state == AuthorityState::kRetired) return Retired{authority};
                     if (authority.state == AuthorityState::kRequested) {
                       RETURN_IF_ERROR(store.Discard(id));
                       RETURN_IF_ERROR(Audit(connection, caller, "ca.discard", authority));
                       return Retired{authority, true};
                     }
                     RETURN_IF_ERROR(CheckMayRetire(store, authority));
                     RETURN_IF_ERROR(store.SetState(id, AuthorityState::kRetired));
                     RETURN_IF_ERROR(Audit(connection, caller, "ca.retire", authority));
                     ASSIGN_OR_RETURN(Authority changed, store.Load(id));
                     return Retired{std::move(changed)};
                   }));
  if (retired.discarded) {
    // What stays of it would certify nothing.
    retired.key_removed = keys_.Discard(retired.authority.key_name);
    return retired;
  }
  ASSIGN_OR_RETURN(retired.preflight,
                   trust_store_.RemoveAuthority(caller.cluster, *retired.authority.certificate, caution));
  return retired;
}

}  // namespace trustline
