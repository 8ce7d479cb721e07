#include "cli/supervisor/node_join.h"

#include <grpcpp/client_context.h>

#include <chrono>

#include "cli/supervisor/identities.h"
#include "cli/supervisor/private_file.h"
#include "common/bytes/bytes.h"
#include "common/rpc/authority_fetch.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"
#include "proto/node.grpc.pb.h"

namespace trustline {
namespace {

constexpr auto kCallTimeout = std::chrono::seconds(20);

absl::StatusOr<std::unique_ptr<v1::Node::Stub>> OpenNodeService(const std::string& server, const IdentityFiles& files) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(server, files, "itld"));
  return v1::Node::NewStub(channel);
}

// One call with a deadline; Node's methods differ in their types only.
template <typename Request, typename Response>
absl::StatusOr<Response> Call(v1::Node::Stub& service, const std::string& server,
                              grpc::Status (v1::Node::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  Response response;
  RETURN_IF_ERROR(ToAbsl((service.*method)(&context, request, &response), "itld", server));
  return response;
}

}  // namespace

absl::Status JoinNode(const JoinRequestOptions& options, const JoinToken& token, absl::Time now) {
  // 1. The server must show the authority that the token names; from here on only identities of it are believed.
  ASSIGN_OR_RETURN(const Certificate authority, FetchAuthority(options.server, token.authority_sha256));
  const IdentityFiles files = IdentityFilesIn(options.directory);

  // 2. Everything that can be made before the token is used up, so that little can fail afterwards.
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "tvsd", options.node));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSIGN_OR_RETURN(const CertificateRequest request, CertificateRequest::Build(key, identity.ToUri()));
  v1::JoinRequest join;
  {
    const ActAs scope(options.owner);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(WriteFileWhole(files.authority, authority.ToPem(), 0644));
    std::optional<Certificate> tvs = options.tvs_certificate;
    if (!tvs) {
      ASSIGN_OR_RETURN(tvs, MakeTvsCertificate(options.directory, options.node, now));
    }
    join.set_tvs_certificate(std::string(AsText(tvs->der())));
  }
  join.set_secret(std::string(token.secret.ExposeSecret()));
  join.set_certificate_request(std::string(AsText(request.der())));

  // 3. The channel checks the server against the authority just fetched, so it reads it from a file of this process.
  const std::string anchor = options.directory + ".authority.new";
  RETURN_IF_ERROR(WriteFileWhole(anchor, authority.ToPem(), 0644));
  const auto joined = [&]() -> absl::StatusOr<v1::JoinResponse> {
    ASSIGN_OR_RETURN(const auto service,
                     OpenNodeService(options.server, {.certificate = "", .key = "", .authority = anchor}));
    return Call(*service, options.server, &v1::Node::Stub::Join, join);
  }();
  RETURN_IF_ERROR(RemoveTree(anchor));
  RETURN_IF_ERROR(joined.status());

  // 4. What came back must be what was asked for.
  ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(joined->certificate())));
  if (!key.MatchesCertificate(certificate) || joined->node() != options.node) {
    return DataLoss("itld at {} answered with the identity of another node ({})", options.server, joined->node());
  }
  const ActAs scope(options.owner);
  RETURN_IF_ERROR(scope.status());
  return WriteIdentity(files, key, certificate, authority);
}

absl::Status CheckIsMember(const std::string& server, const IdentityFiles& administrator, const std::string& node,
                           const Certificate& tvs_certificate) {
  ASSIGN_OR_RETURN(const auto service, OpenNodeService(server, administrator));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse known,
                   Call(*service, server, &v1::Node::Stub::ListNodes, v1::ListNodesRequest()));
  for (const v1::NodeInfo& info : known.nodes()) {
    if (info.name() != node || info.has_removed_at()) continue;
    if (info.tvs_certificate_sha256() == AsText(tvs_certificate.sha256())) return absl::OkStatus();
    return FailedPrecondition("the node {} has joined with another TVS certificate than that in its directory", node);
  }
  return FailedPrecondition("the node {} was removed from the system", node);
}

absl::StatusOr<JoinToken> CreateLocalToken(const std::string& server, const IdentityFiles& administrator,
                                           const std::string& node) {
  ASSIGN_OR_RETURN(const auto service, OpenNodeService(server, administrator));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse known,
                   Call(*service, server, &v1::Node::Stub::ListNodes, v1::ListNodesRequest()));
  for (const v1::NodeInfo& info : known.nodes()) {
    if (info.name() != node || info.has_removed_at()) continue;
    v1::RemoveNodeRequest remove;
    remove.set_node(node);
    RETURN_IF_ERROR(Call(*service, server, &v1::Node::Stub::RemoveNode, remove).status());
  }
  v1::CreateTokenRequest create;
  create.set_node(node);
  create.mutable_lifetime()->set_seconds(300);
  ASSIGN_OR_RETURN(v1::CreateTokenResponse created, Call(*service, server, &v1::Node::Stub::CreateToken, create));
  const SecretBytes secret = SecretBytes::TakeFrom(*created.mutable_secret());
  return JoinToken::FromFields(created.authority_sha256(), secret.ExposeSecret());
}

}  // namespace trustline
