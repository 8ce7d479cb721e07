// The gRPC service Authorities (proto/authority.proto).
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/authority/authority_admin.h"
#include "ca/revocation/crl_publisher.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "proto/authority.grpc.pb.h"

namespace trustline {

struct AuthorityServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  AuthorityAdmin& admin;
  AuthorityKeys& keys;
  CrlPublisher& publisher;  // told of new authorities
  AuditQueue& audit;        // takes what is refused
  const Clock& clock;
  std::string public_url;
};

// Thread-safe. What the parts refer to must outlive it.
class AuthorityService final : public v1::Authorities::Service {
 public:
  static absl::StatusOr<std::unique_ptr<AuthorityService>> Create(const AuthorityServiceParts& parts);

  grpc::Status PrepareAuthority(grpc::ServerContext* context, const v1::PrepareAuthorityRequest* request,
                                v1::PrepareAuthorityResponse* response) override;
  grpc::Status RequestAuthority(grpc::ServerContext* context, const v1::RequestAuthorityRequest* request,
                                v1::RequestAuthorityResponse* response) override;
  grpc::Status ImportAuthorityChain(grpc::ServerContext* context, const v1::ImportAuthorityChainRequest* request,
                                    v1::ImportAuthorityChainResponse* response) override;
  grpc::Status ActivateAuthority(grpc::ServerContext* context, const v1::ActivateAuthorityRequest* request,
                                 v1::ActivateAuthorityResponse* response) override;
  grpc::Status TaintAuthority(grpc::ServerContext* context, const v1::TaintAuthorityRequest* request,
                              v1::TaintAuthorityResponse* response) override;
  grpc::Status RetireAuthority(grpc::ServerContext* context, const v1::RetireAuthorityRequest* request,
                               v1::RetireAuthorityResponse* response) override;
  grpc::Status ListAuthorities(grpc::ServerContext* context, const v1::ListAuthoritiesRequest* request,
                               v1::ListAuthoritiesResponse* response) override;
  grpc::Status ShowAuthority(grpc::ServerContext* context, const v1::ShowAuthorityRequest* request,
                             v1::ShowAuthorityResponse* response) override;
  grpc::Status GetCrl(grpc::ServerContext* context, const v1::GetCrlRequest* request,
                      v1::GetCrlResponse* response) override;
  grpc::Status AddClientAuthority(grpc::ServerContext* context, const v1::AddClientAuthorityRequest* request,
                                  v1::AddClientAuthorityResponse* response) override;
  grpc::Status RemoveClientAuthority(grpc::ServerContext* context, const v1::RemoveClientAuthorityRequest* request,
                                     v1::RemoveClientAuthorityResponse* response) override;
  grpc::Status ListClientAuthorities(grpc::ServerContext* context, const v1::ListClientAuthoritiesRequest* request,
                                     v1::ListClientAuthoritiesResponse* response) override;
  grpc::Status BlockKeys(grpc::ServerContext* context, const v1::BlockKeysRequest* request,
                         v1::BlockKeysResponse* response) override;

 private:
  struct Policies {
    MethodPolicy prepare, request, import, activate, taint, retire, list, show, get_crl, add_client, remove_client,
        list_clients, block_keys;
  };
  AuthorityService(const AuthorityServiceParts& parts, Policies policies)
      : parts_(parts), policies_(std::move(policies)) {}

  // Asks the authorizer, then runs `body(caller)`.
  template <typename Request, typename Body>
  grpc::Status Serve(const grpc::ServerContext& context, const MethodPolicy& policy, const Request& request, Body body);
  // The same for what changes something: a refusal is audited as a denied `action` on `subject`, on the cluster when
  // that is empty.
  template <typename Request, typename Body>
  grpc::Status Change(const grpc::ServerContext& context, const MethodPolicy& policy, std::string_view action,
                      std::string_view subject, const Request& request, Body body);

  absl::Status Import(const Caller& caller, const v1::ImportAuthorityChainRequest& request,
                      v1::ImportAuthorityChainResponse& response);

  // Without the database, so that nothing can go wrong once a change is committed.
  v1::AuthorityInfo Describe(const Authority& authority) const;

  const AuthorityServiceParts parts_;
  const Policies policies_;
};

}  // namespace trustline
