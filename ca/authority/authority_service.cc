#include "ca/authority/authority_service.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "ca/authority/client_authorities.h"
#include "ca/issuance/issuer.h"
#include "common/postgres/transaction.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/refusal.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kNewestCrl = {"show_crl",
                                  "SELECT der, crl_number, this_update, next_update, revoked_count FROM ca_crl "
                                  "WHERE cluster_id = $1 AND authority_id = $2"};

AuthorityCaller CallerOf(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

absl::StatusOr<KeyKind> ReadKeyKind(v1::CertificateKey key) {
  if (key == v1::CERTIFICATE_KEY_UNSPECIFIED) return KeyKind::kRsa2048;
  if (const std::optional<KeyKind> kind = FromProto(key)) return *kind;
  return InvalidArgument("there is no such kind of key for an authority");
}

absl::StatusOr<ClientAuthorityPurpose> ReadPurpose(v1::ClientAuthorityPurpose purpose) {
  switch (purpose) {
    case v1::CLIENT_AUTHORITY_PURPOSE_MANUFACTURING:
      return ClientAuthorityPurpose::kManufacturing;
    case v1::CLIENT_AUTHORITY_PURPOSE_SMALL_BUSINESS:
      return ClientAuthorityPurpose::kSmallBusiness;
    default:
      return InvalidArgument("the purpose must be given: manufacturing or small-business");
  }
}

v1::ClientAuthority ToProto(const ClientAuthority& authority) {
  v1::ClientAuthority message;
  message.set_purpose(authority.purpose == ClientAuthorityPurpose::kManufacturing
                          ? v1::CLIENT_AUTHORITY_PURPOSE_MANUFACTURING
                          : v1::CLIENT_AUTHORITY_PURPOSE_SMALL_BUSINESS);
  *message.mutable_certificate() = SummaryOf(authority.certificate);
  message.set_added_by(authority.added_by);
  *message.mutable_added_at() = ToProtoTime(authority.added_at);
  return message;
}

absl::StatusOr<Authority> FindAuthority(Connection& connection, int32_t cluster_id, int32_t id) {
  AuthorityStore store(connection, cluster_id);
  return id == 0 ? store.Active() : store.Load(id);
}

// As the audit log names the authority that a request is about.
template <typename Request>
std::string Subject(const Request& request) {
  return fmt::format("authority {}", request.authority_id());
}

void SetCrl(const std::map<int32_t, AuthorityCrl>& crls, v1::AuthorityInfo& info) {
  const auto crl = crls.find(info.authority_id());
  if (crl == crls.end()) return;
  info.set_crl_number(crl->second.number);
  *info.mutable_crl_next_update() = ToProtoTime(crl->second.next_update);
  info.set_crl_revoked(crl->second.revoked);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuthorityService>> AuthorityService::Create(const AuthorityServiceParts& parts) {
  const char* const service = v1::Authorities::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy prepare, MethodPolicy::Find(service, "PrepareAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy request, MethodPolicy::Find(service, "RequestAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy import, MethodPolicy::Find(service, "ImportAuthorityChain"));
  ASSIGN_OR_RETURN(MethodPolicy activate, MethodPolicy::Find(service, "ActivateAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy taint, MethodPolicy::Find(service, "TaintAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy retire, MethodPolicy::Find(service, "RetireAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "ListAuthorities"));
  ASSIGN_OR_RETURN(MethodPolicy show, MethodPolicy::Find(service, "ShowAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy get_crl, MethodPolicy::Find(service, "GetCrl"));
  ASSIGN_OR_RETURN(MethodPolicy add_client, MethodPolicy::Find(service, "AddClientAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy remove_client, MethodPolicy::Find(service, "RemoveClientAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy list_clients, MethodPolicy::Find(service, "ListClientAuthorities"));
  ASSIGN_OR_RETURN(MethodPolicy block_keys, MethodPolicy::Find(service, "BlockKeys"));
  return std::unique_ptr<AuthorityService>(new AuthorityService(
      parts, Policies{std::move(prepare), std::move(request), std::move(import), std::move(activate), std::move(taint),
                      std::move(retire), std::move(list), std::move(show), std::move(get_crl), std::move(add_client),
                      std::move(remove_client), std::move(list_clients), std::move(block_keys)}));
}

template <typename Request, typename Body>
grpc::Status AuthorityService::Serve(const grpc::ServerContext& context, const MethodPolicy& policy,
                                     const Request& request, Body body) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(context, policy, request);
  return ToGrpc(caller.ok() ? body(*caller) : caller.status());
}

template <typename Request, typename Body>
grpc::Status AuthorityService::Change(const grpc::ServerContext& context, const MethodPolicy& policy,
                                      std::string_view action, std::string_view subject, const Request& request,
                                      Body body) {
  return Serve(context, policy, request, [&](const Caller& caller) -> absl::Status {
    absl::Status changed = body(caller);
    if (!changed.ok()) {
      AuditRefusal(parts_.audit, context, caller, action, subject.empty() ? caller.cluster : subject, changed);
    }
    return changed;
  });
}

v1::AuthorityInfo AuthorityService::Describe(const Authority& authority) const {
  v1::AuthorityInfo info;
  info.set_authority_id(authority.id);
  info.set_state(static_cast<v1::AuthorityState>(static_cast<int>(authority.state) + 1));
  info.set_subject(authority.subject);
  info.set_public_key(authority.public_key);
  if (authority.certificate) *info.mutable_certificate() = SummaryOf(*authority.certificate);
  info.set_crl_url(CrlUrl(parts_.public_url, authority.key_name));
  info.set_created_by(authority.created_by);
  *info.mutable_created_at() = ToProtoTime(authority.created_at);
  if (authority.prepared_at) *info.mutable_prepared_at() = ToProtoTime(*authority.prepared_at);
  if (authority.activated_at) *info.mutable_activated_at() = ToProtoTime(*authority.activated_at);
  if (authority.tainted_at) *info.mutable_tainted_at() = ToProtoTime(*authority.tainted_at);
  if (authority.retired_at) *info.mutable_retired_at() = ToProtoTime(*authority.retired_at);
  info.set_key_is_here(parts_.keys.Has(authority.key_name));
  return info;
}

grpc::Status AuthorityService::PrepareAuthority(grpc::ServerContext* context,
                                                const v1::PrepareAuthorityRequest* request,
                                                v1::PrepareAuthorityResponse* response) {
  return Change(*context, policies_.prepare, "ca.prepare", "", *request, [&](const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const KeyKind kind, ReadKeyKind(request->key()));
    const absl::Duration lifetime =
        request->has_lifetime() ? FromProtoDuration(request->lifetime()) : kDefaultAuthorityLifetime;
    ASSIGN_OR_RETURN(const Authority authority,
                     parts_.admin.Prepare(CallerOf(caller), kind, request->subject(), lifetime));
    parts_.publisher.Wake();
    *response->mutable_authority() = Describe(authority);
    return absl::OkStatus();
  });
}

grpc::Status AuthorityService::RequestAuthority(grpc::ServerContext* context,
                                                const v1::RequestAuthorityRequest* request,
                                                v1::RequestAuthorityResponse* response) {
  return Change(*context, policies_.request, "ca.request", "", *request, [&](const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const KeyKind kind, ReadKeyKind(request->key()));
    ASSIGN_OR_RETURN(const AuthorityAdmin::Requested requested,
                     parts_.admin.Request(CallerOf(caller), kind, request->subject()));
    *response->mutable_authority() = Describe(requested.authority);
    response->set_certificate_request(std::string(AsText(requested.request.der())));
    return absl::OkStatus();
  });
}

grpc::Status AuthorityService::ImportAuthorityChain(grpc::ServerContext* context,
                                                    const v1::ImportAuthorityChainRequest* request,
                                                    v1::ImportAuthorityChainResponse* response) {
  return Change(*context, policies_.import, "ca.import", "", *request,
                [&](const Caller& caller) -> absl::Status { return Import(caller, *request, *response); });
}

absl::Status AuthorityService::Import(const Caller& caller, const v1::ImportAuthorityChainRequest& request,
                                      v1::ImportAuthorityChainResponse& response) {
  std::vector<Certificate> certificates;
  for (const std::string& der : request.certificates()) {
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
    certificates.push_back(std::move(certificate));
  }
  ASSIGN_OR_RETURN(const Authority authority, parts_.admin.ImportChain(CallerOf(caller), certificates));
  parts_.publisher.Wake();
  *response.mutable_authority() = Describe(authority);
  return absl::OkStatus();
}

grpc::Status AuthorityService::ActivateAuthority(grpc::ServerContext* context,
                                                 const v1::ActivateAuthorityRequest* request,
                                                 v1::ActivateAuthorityResponse* response) {
  return Change(*context, policies_.activate, "ca.activate", Subject(*request), *request,
                [&](const Caller& caller) -> absl::Status {
                  ASSIGN_OR_RETURN(const AuthorityAdmin::Activated activated,
                                   parts_.admin.Activate(CallerOf(caller), request->authority_id()));
                  *response->mutable_authority() = Describe(activated.authority);
                  response->set_tainted_authority_id(activated.tainted_id);
                  return absl::OkStatus();
                });
}

grpc::Status AuthorityService::TaintAuthority(grpc::ServerContext* context, const v1::TaintAuthorityRequest* request,
                                              v1::TaintAuthorityResponse* response) {
  return Change(*context, policies_.taint, "ca.taint", Subject(*request), *request,
                [&](const Caller& caller) -> absl::Status {
                  ASSIGN_OR_RETURN(const Authority authority,
                                   parts_.admin.Taint(CallerOf(caller), request->authority_id(), request->force()));
                  *response->mutable_authority() = Describe(authority);
                  return absl::OkStatus();
                });
}

grpc::Status AuthorityService::RetireAuthority(grpc::ServerContext* context, const v1::RetireAuthorityRequest* request,
                                               v1::RetireAuthorityResponse* response) {
  return Change(*context, policies_.retire, "ca.retire", Subject(*request), *request,
                [&](const Caller& caller) -> absl::Status {
                  ASSIGN_OR_RETURN(const AuthorityAdmin::Retired retired,
                                   parts_.admin.Retire(CallerOf(caller), request->authority_id(), request->caution()));
                  *response->mutable_authority() = Describe(retired.authority);
                  response->set_discarded(retired.discarded);
                  if (request->has_caution()) *response->mutable_preflight() = retired.preflight;
                  if (!retired.key_removed.ok())
                    response->add_warnings(std::string(StatusMessage(retired.key_removed)));
                  return absl::OkStatus();
                });
}

grpc::Status AuthorityService::ListAuthorities(grpc::ServerContext* context, const v1::ListAuthoritiesRequest* request,
                                               v1::ListAuthoritiesResponse* response) {
  return Serve(*context, policies_.list, *request, [&](const Caller& caller) -> absl::Status {
    std::vector<Authority> authorities;
    std::map<int32_t, AuthorityCrl> crls;
    {
      ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
      AuthorityStore store(*lease, caller.cluster_id);
      ASSIGN_OR_RETURN(authorities, store.List());
      ASSIGN_OR_RETURN(crls, store.Crls());
    }
    for (const Authority& authority : authorities) {
      v1::AuthorityInfo& info = *response->add_authorities();
      info = Describe(authority);
      SetCrl(crls, info);
    }
    return absl::OkStatus();
  });
}

grpc::Status AuthorityService::ShowAuthority(grpc::ServerContext* context, const v1::ShowAuthorityRequest* request,
                                             v1::ShowAuthorityResponse* response) {
  return Serve(*context, policies_.show, *request, [&](const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
    ASSIGN_OR_RETURN(const Authority authority, FindAuthority(*lease, caller.cluster_id, request->authority_id()));
    AuthorityStore store(*lease, caller.cluster_id);
    ASSIGN_OR_RETURN(const AuthorityUse use, store.CountUse(authority.id));
    ASSIGN_OR_RETURN(const auto crls, store.Crls());
    v1::AuthorityInfo& info = *response->mutable_authority();
    info = Describe(authority);
    info.set_issued(use.issued);
    info.set_dependents(use.dependents);
    SetCrl(crls, info);
    if (authority.certificate) response->set_certificate(std::string(AsText(authority.certificate->der())));
    for (const Certificate& issuer : authority.chain) response->add_chain(std::string(AsText(issuer.der())));
    return absl::OkStatus();
  });
}

grpc::Status AuthorityService::GetCrl(grpc::ServerContext* context, const v1::GetCrlRequest* request,
                                      v1::GetCrlResponse* response) {
  return Serve(*context, policies_.get_crl, *request, [&](const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
    ASSIGN_OR_RETURN(const Authority authority, FindAuthority(*lease, caller.cluster_id, request->authority_id()));
    ASSIGN_OR_RETURN(const Result result,
                     lease->Execute(kNewestCrl, Parameters().Int64(caller.cluster_id).Int64(authority.id)));
    if (result.empty()) {
      return NotFound("authority {} has no CRL yet: one is made within a second once it is prepared", authority.id);
    }
    std::string der;
    int64_t number = 0, revoked = 0;
    absl::Time this_update, next_update;
    RETURN_IF_ERROR(result[0].Scan(der, number, this_update, next_update, revoked));
    response->set_crl(std::move(der));
    response->set_crl_number(number);
    *response->mutable_this_update() = ToProtoTime(this_update);
    *response->mutable_next_update() = ToProtoTime(next_update);
    response->set_revoked(revoked);
    return absl::OkStatus();
  });
}

grpc::Status AuthorityService::AddClientAuthority(grpc::ServerContext* context,
                                                  const v1::AddClientAuthorityRequest* request,
                                                  v1::AddClientAuthorityResponse* response) {
  return Change(
      *context, policies_.add_client, "ca.client_authority.add", "", *request,
      [&](const Caller& caller) -> absl::Status {
        ASSIGN_OR_RETURN(const ClientAuthorityPurpose purpose, ReadPurpose(request->purpose()));
        ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(request->certificate())));
        ASSIGN_OR_RETURN(
            const bool changed, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
              return ClientAuthorities(connection, CallerOf(caller)).Add(purpose, certificate, parts_.clock.Now());
            }));
        response->set_changed(changed);
        *response->mutable_authority() = ToProto({purpose, certificate, caller.actor(), parts_.clock.Now()});
        return absl::OkStatus();
      });
}

grpc::Status AuthorityService::RemoveClientAuthority(grpc::ServerContext* context,
                                                     const v1::RemoveClientAuthorityRequest* request,
                                                     v1::RemoveClientAuthorityResponse* response) {
  return Change(
      *context, policies_.remove_client, "ca.client_authority.remove", request->fingerprint_prefix(), *request,
      [&](const Caller& caller) -> absl::Status {
        ASSIGN_OR_RETURN(const ClientAuthorityPurpose purpose, ReadPurpose(request->purpose()));
        ASSIGN_OR_RETURN(
            const ClientAuthority removed, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
              return ClientAuthorities(connection, CallerOf(caller)).Remove(purpose, request->fingerprint_prefix());
            }));
        *response->mutable_authority() = ToProto(removed);
        return absl::OkStatus();
      });
}

grpc::Status AuthorityService::ListClientAuthorities(grpc::ServerContext* context,
                                                     const v1::ListClientAuthoritiesRequest* request,
                                                     v1::ListClientAuthoritiesResponse* response) {
  return Serve(*context, policies_.list_clients, *request, [&](const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
    ASSIGN_OR_RETURN(const std::vector<ClientAuthority> all, ClientAuthorities(*lease, CallerOf(caller)).List());
    for (const ClientAuthority& authority : all) *response->add_authorities() = ToProto(authority);
    return absl::OkStatus();
  });
}

grpc::Status AuthorityService::BlockKeys(grpc::ServerContext* context, const v1::BlockKeysRequest* request,
                                         v1::BlockKeysResponse* response) {
  return Change(
      *context, policies_.block_keys, "ca.block_keys", request->source(), *request,
      [&](const Caller& caller) -> absl::Status {
        const std::vector<std::string> keys(request->public_key_sha256().begin(), request->public_key_sha256().end());
        ASSIGN_OR_RETURN(const ClientAuthorities::Blocked blocked,
                         RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                           return ClientAuthorities(connection, CallerOf(caller)).BlockKeys(keys, request->source());
                         }));
        response->set_added(blocked.added);
        response->set_total(blocked.total);
        return absl::OkStatus();
      });
}

}  // namespace trustline
