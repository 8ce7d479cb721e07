#include "cli/supervisor/node_join.h"

#include "cli/supervisor/identities.h"
#include "cli/supervisor/private_file.h"
#include "cli/supervisor/service_call.h"
#include "common/bytes/bytes.h"
#include "common/rpc/authority_fetch.h"
#include "common/rpc/identity.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"
#include "proto/node.grpc.pb.h"

namespace trustline {
namespace {

using Client = ServiceClient<v1::Node>;

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
      ASSIGN_OR_RETURN(tvs, MakeTvsCertificate(options.directory,
                                               {.node = options.node,
                                                .host = HostName(),
                                                .organization = options.organization,
                                                .organizational_unit = options.organizational_unit},
                                               now));
    }
    join.set_tvs_certificate(std::string(AsText(tvs->der())));
  }
  join.set_secret(std::string(token.secret.ExposeSecret()));
  join.set_certificate_request(std::string(AsText(request.der())));

  // 3. The channel checks the server against the authority just fetched, so it reads it from a file of this process.
  const std::string anchor = options.directory + ".authority.new";
  RETURN_IF_ERROR(WriteFileWhole(anchor, authority.ToPem(), 0644));
  const auto joined = [&]() -> absl::StatusOr<v1::JoinResponse> {
    ASSIGN_OR_RETURN(const Client itld,
                     Client::Open("itld", options.server, {.certificate = "", .key = "", .authority = anchor}));
    return itld.Call(&v1::Node::Stub::Join, join);
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
  ASSIGN_OR_RETURN(const Client itld, Client::Open("itld", server, administrator));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse known, itld.Call(&v1::Node::Stub::ListNodes, v1::ListNodesRequest()));
  for (const v1::NodeInfo& info : known.nodes()) {
    if (info.name() != node || info.has_removed_at()) continue;
    if (info.tvs_certificate_sha256() == AsText(tvs_certificate.sha256())) return absl::OkStatus();
    return FailedPrecondition("the node {} has joined with another TVS certificate than that in its directory", node);
  }
  return FailedPrecondition("the node {} was removed from the system", node);
}

absl::Status ApproveNewNode(const std::string& server, const IdentityFiles& administrator, const std::string& node,
                            const Certificate& tvs_certificate, const std::function<void(std::string_view)>& progress) {
  ASSIGN_OR_RETURN(const Client itld, Client::Open("itld", server, administrator));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse known, itld.Call(&v1::Node::Stub::ListNodes, v1::ListNodesRequest()));
  for (const v1::NodeInfo& info : known.nodes()) {
    if (info.name() != node || info.has_removed_at() || info.has_approved_at()) continue;
    // Another machine that joined by this name waits for an administrator.
    if (info.tvs_certificate_sha256() != AsText(tvs_certificate.sha256())) continue;
    progress(fmt::format("approving {}", node));
    v1::ApproveNodeRequest approve;
    approve.set_node(node);
    return itld.Call(&v1::Node::Stub::ApproveNode, approve).status();
  }
  return absl::OkStatus();
}

absl::StatusOr<JoinToken> CreateLocalToken(const std::string& server, const IdentityFiles& administrator,
                                           const std::string& node) {
  ASSIGN_OR_RETURN(const Client itld, Client::Open("itld", server, administrator));
  ASSIGN_OR_RETURN(const v1::ListNodesResponse known, itld.Call(&v1::Node::Stub::ListNodes, v1::ListNodesRequest()));
  for (const v1::NodeInfo& info : known.nodes()) {
    if (info.name() != node || info.has_removed_at()) continue;
    v1::RemoveNodeRequest remove;
    remove.set_node(node);
    RETURN_IF_ERROR(itld.Call(&v1::Node::Stub::RemoveNode, remove).status());
  }
  v1::CreateTokenRequest create;
  create.set_node(node);
  create.mutable_lifetime()->set_seconds(300);
  ASSIGN_OR_RETURN(v1::CreateTokenResponse created, itld.Call(&v1::Node::Stub::CreateToken, create));
  const SecretBytes secret = SecretBytes::TakeFrom(*created.mutable_secret());
  return JoinToken::FromFields(created.authority_sha256(), secret.ExposeSecret());
}

}  // namespace trustline
