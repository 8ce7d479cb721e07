#include "itl/node/node_registry.h"

#include <algorithm>
#include <utility>

#include "common/net/ip_address.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "itl/node/tvs_certificate.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

constexpr std::string_view kAuthorityService = "cad";
constexpr size_t kMaxNodeNameSize = 63;
constexpr std::string_view kNodeOrigin = "node";

absl::Status CheckNodeName(std::string_view name) {
  const auto outer = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto inner = [&](char c) { return outer(c) || c == '-' || c == '.'; };
  if (name.empty() || name.size() > kMaxNodeNameSize || !std::all_of(name.begin(), name.end(), inner) ||
      !outer(name.front()) || !outer(name.back())) {
    return InvalidArgument(
        "a node's name is 1 to {} lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit",
        kMaxNodeNameSize);
  }
  return absl::OkStatus();
}

absl::Status NodeIsThere(std::string_view node) {
  return FailedPrecondition("the node {} has joined already: `trustctl node remove {}` first, if it is to join anew",
                            node, node);
}

absl::Status NoSuchNode(std::string_view node) {
  return NotFound("no node {} is there: `trustctl node list` shows them", node);
}

// The entry that its joining made.
bool IsOfNode(const TrustEntry& entry) { return entry.origin == kNodeOrigin; }

}  // namespace

absl::StatusOr<int32_t> NodeRegistry::SystemClusterId() {
  static constexpr Statement kCluster = {"node_cluster", "SELECT cluster_id FROM cluster WHERE name = $1"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kCluster, Parameters().Text(kSystemCluster)));
  return result.Value<int32_t>();
}

absl::Status NodeRegistry::Audit(std::string_view actor, const char* action, std::string_view subject,
                                 std::vector<std::pair<std::string, std::string>> detail) {
  ASSIGN_OR_RETURN(const int32_t cluster_id, SystemClusterId());
  return AppendAudit(connection_, {.cluster_id = cluster_id,
                                   .actor = std::string(actor),
                                   .action = action,
                                   .subject = std::string(subject),
                                   .detail = std::move(detail)});
}

absl::Status NodeRegistry::CheckNotThere(std::string_view node) {
  static constexpr Statement kLive = {"node_live", "SELECT 1::bigint FROM node WHERE name = $1 AND removed_at IS NULL"};
  ASSIGN_OR_RETURN(const Result live, connection_.Execute(kLive, Parameters().Text(node)));
  return live.empty() ? absl::OkStatus() : NodeIsThere(node);
}

absl::StatusOr<NodeToken> NodeRegistry::CreateToken(std::string_view node, absl::Duration lifetime,
                                                    std::string_view actor) {
  static constexpr Statement kInsert = {
      "node_token_insert",
      "INSERT INTO node_token (secret_sha256, node, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)"};
  RETURN_IF_ERROR(CheckNodeName(node));
  if (lifetime < absl::Seconds(1) || lifetime > kLongestTokenLifetime) {
    return InvalidArgument("a token lives from 1 second to {}", DurationText(kLongestTokenLifetime));
  }
  RETURN_IF_ERROR(CheckNotThere(node));
  NodeToken token{SecretBytes::Random(kJoinSecretSize), now_ + lifetime};
  RETURN_IF_ERROR(connection_
                      .Execute(kInsert, Parameters()
                                            .Bytes(Sha256(AsBytes(token.secret.ExposeSecret())))
                                            .Text(node)
                                            .Text(actor)
                                            .Time(now_)
                                            .Time(token.expires_at))
                      .status());
  RETURN_IF_ERROR(Audit(actor, "node.token", node, {{"expires_at", TimeText(token.expires_at)}}));
  return token;
}

// The node that the token was made for. Of two that come with the same token, the second waits for the first.
absl::StatusOr<std::string> NodeRegistry::UseToken(std::string_view secret) {
  static constexpr Statement kUse = {
      "node_token_use",
      "UPDATE node_token SET used_at = $2 WHERE secret_sha256 = $1 AND used_at IS NULL AND expires_at > $2 "
      "RETURNING node"};
  // The look-up is by hash: how long it takes says nothing about the secret.
  ASSIGN_OR_RETURN(const Result used,
                   connection_.Execute(kUse, Parameters().Bytes(Sha256(AsBytes(secret))).Time(now_)));
  if (secret.size() != kJoinSecretSize || used.empty()) {
    return PermissionDenied(
        "the token is wrong, expired or used already: make a new one with `trustctl node token NAME`");
  }
  return used.Value<std::string>();
}

absl::Status NodeRegistry::TrustTvsCertificate(const std::string& node, const Certificate& certificate,
                                               int32_t cluster_id, const std::string& actor) {
  static constexpr Statement kOther = {
      "node_same_tvs", "SELECT name FROM node WHERE tvs_sha256 = $1 AND name <> $2 AND removed_at IS NULL LIMIT 1"};
  ASSIGN_OR_RETURN(const Result other,
                   connection_.Execute(kOther, Parameters().Bytes(certificate.sha256()).Text(node)));
  if (!other.empty()) {
    ASSIGN_OR_RETURN(const std::string name, other.Value<std::string>());
    return FailedPrecondition("the node {} has the same TVS certificate: each node needs a key of its own", name);
  }
  // Whoever holds a token must not lay hands on a certificate that an administrator trusts for something else.
  ASSIGN_OR_RETURN(const std::vector<TrustedCertificate> live,
                   TrustStoreReader(connection_, cluster_id).Load(std::span(&certificate.sha256(), 1), false));
  for (const TrustedCertificate& known : live) {
    for (const TrustEntry& entry : known.entries) {
      if (entry.origin == kNodeOrigin) continue;
      return FailedPrecondition(
          "the TVS certificate of {} is in the trust store already, added by {}: each node needs a certificate of its "
          "own",
          node, entry.added_by);
    }
  }
  ASSIGN_OR_RETURN(TrustImport import,
                   TrustImport::Begin(connection_, {cluster_id, std::string(kSystemCluster), actor},
                                      {.roles = {CertificateRole::kTvs}, .origin = std::string(kNodeOrigin)}, now_));
  const ImportCandidate candidate{std::string(AsText(certificate.der())),
                                  fmt::format("the TVS certificate of {}", node)};
  RETURN_IF_ERROR(import.AddBatch(std::span(&candidate, 1)));
  return import.Finish().status();
}

absl::StatusOr<JoinedNode> NodeRegistry::Join(const JoinApplication& application) {
  static constexpr Statement kInsert = {
      "node_insert",
      "INSERT INTO node (name, identity, tvs_sha256, identity_expires_at, joined_at) VALUES ($1, $2, $3, $4, $5) "
      "ON CONFLICT (name) DO UPDATE SET identity = EXCLUDED.identity, tvs_sha256 = EXCLUDED.tvs_sha256, "
      "identity_expires_at = EXCLUDED.identity_expires_at, joined_at = EXCLUDED.joined_at, removed_at = NULL, "
      "approved_at = NULL, approved_by = NULL, grpc_address = '' "
      "WHERE node.removed_at IS NOT NULL"};

  // 1. The token, before anything that an outsider sent is looked at.
  ASSIGN_OR_RETURN(const std::string node, UseToken(application.secret));
  RETURN_IF_ERROR(CheckNotThere(node));

  // 2. What the machine shows.
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, kNodeServiceKind, node));
  ASSIGN_OR_RETURN(const CertificateRequest request,
                   CertificateRequest::FromDer(AsBytes(application.certificate_request)));
  absl::StatusOr<Certificate> tvs = Certificate::FromDer(AsBytes(application.tvs_certificate));
  if (!tvs.ok()) return Annotate(tvs.status(), "the TVS certificate");
  RETURN_IF_ERROR(CheckTvsCertificate(*tvs, now_));

  // 3. Its certificates.
  const std::string actor = identity.ToUri();
  ASSIGN_OR_RETURN(const int32_t cluster_id, SystemClusterId());
  RETURN_IF_ERROR(TrustTvsCertificate(node, *tvs, cluster_id, actor));
  ASSIGN_OR_RETURN(Certificate certificate, authority_.IssueIdentity(request, identity, now_));

  // 4. Its row and the record.
  ASSIGN_OR_RETURN(
      const Result inserted,
      connection_.Execute(
          kInsert, Parameters().Text(node).Text(actor).Bytes(tvs->sha256()).Time(certificate.not_after()).Time(now_)));
  if (inserted.affected() == 0) return NodeIsThere(node);
  RETURN_IF_ERROR(Audit(actor, "node.join", node,
                        {{"tvs_certificate", ToHex(tvs->sha256())}, {"identity", ToHex(certificate.sha256())}}));
  return JoinedNode{node, std::move(certificate)};
}

absl::Status NodeRegistry::CheckMayRenew(const Identity& caller) {
  static constexpr Statement kNode = {"node_may_renew",
                                      "SELECT removed_at IS NULL FROM node WHERE identity = $1 FOR UPDATE"};
  static constexpr Statement kPerson = {"person_may_renew",
                                        "SELECT 1::bigint FROM access_grant WHERE person = $1 LIMIT 1"};
  if (caller.is_person()) {
    ASSIGN_OR_RETURN(const Result grants, connection_.Execute(kPerson, Parameters().Text(caller.name)));
    if (!grants.empty()) return absl::OkStatus();
    return PermissionDenied("{} has no role on any cluster: an administrator grants one with `trustctl access grant`",
                            caller.name);
  }
  ASSIGN_OR_RETURN(const Result node, connection_.Execute(kNode, Parameters().Text(caller.ToUri())));
  if (!node.empty()) {
    ASSIGN_OR_RETURN(const bool live, node.Value<bool>());
    if (live) return absl::OkStatus();
  } else if (caller.kind == kAuthorityService) {
    // It joins no machine: whoever holds the identity authority's key named it.
    return absl::OkStatus();
  }
  return PermissionDenied(
      "{} belongs to no node of the system, or to one that was removed: it joins with a token (`trustctl node token`)",
      caller.ToUri());
}

absl::StatusOr<Certificate> NodeRegistry::Renew(const Identity& caller, ByteView certificate_request) {
  static constexpr Statement kExpiry = {"node_identity_expiry",
                                        "UPDATE node SET identity_expires_at = $2 WHERE identity = $1"};
  RETURN_IF_ERROR(CheckMayRenew(caller));
  ASSIGN_OR_RETURN(const CertificateRequest request, CertificateRequest::FromDer(certificate_request));
  ASSIGN_OR_RETURN(Certificate certificate, authority_.IssueIdentity(request, caller, now_));
  const std::string uri = caller.ToUri();
  RETURN_IF_ERROR(connection_.Execute(kExpiry, Parameters().Text(uri).Time(certificate.not_after())).status());
  RETURN_IF_ERROR(
      Audit(uri, "identity.renew", uri,
            {{"identity", ToHex(certificate.sha256())}, {"expires_at", TimeText(certificate.not_after())}}));
  return certificate;
}

absl::StatusOr<std::vector<NodeRecord>> NodeRegistry::List() {
  static constexpr Statement kList = {
      "node_list",
      "SELECT name, identity, tvs_sha256, joined_at, identity_expires_at, removed_at, approved_at, approved_by, "
      "grpc_address FROM node ORDER BY name"};
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kList));
  std::vector<NodeRecord> nodes;
  for (const Row row : result) {
    NodeRecord& node = nodes.emplace_back();
    RETURN_IF_ERROR(row.Scan(node.name, node.identity, node.tvs_sha256, node.joined_at, node.identity_expires_at,
                             node.removed_at, node.approved_at, node.approved_by, node.grpc_address));
  }
  return nodes;
}

absl::StatusOr<NodeApproval> NodeRegistry::Approve(std::string_view node, std::string_view actor) {
  static constexpr Statement kFind = {"node_to_approve",
                                      "SELECT tvs_sha256, approved_at IS NOT NULL FROM node "
                                      "WHERE name = $1 AND removed_at IS NULL FOR UPDATE"};
  static constexpr Statement kApprove = {"node_approve",
                                         "UPDATE node SET approved_at = $2, approved_by = $3 WHERE name = $1"};
  // 1. The node, and the entry of the certificate with which it joined.
  ASSIGN_OR_RETURN(const Result found, connection_.Execute(kFind, Parameters().Text(node)));
  if (found.empty()) return NoSuchNode(node);
  std::optional<Sha256Digest> tvs;
  bool approved;
  RETURN_IF_ERROR(found[0].Scan(tvs, approved));
  TrustEdit edit;
  if (tvs) {
    ASSIGN_OR_RETURN(const int32_t cluster_id, SystemClusterId());
    TrustEditor editor(connection_, {cluster_id, std::string(kSystemCluster), std::string(actor)});
    ASSIGN_OR_RETURN(edit, editor.ListEntries(*tvs, IsOfNode));
  }
  if (edit.certificate.entries.empty()) {
    return FailedPrecondition(
        "the TVS certificate with which {} joined is not in the trust store any more: `trustctl node remove {}`, then "
        "let it join anew; or list the one that it has now with `trustctl trust set PREFIX --listed`",
        node, node);
  }
  if (approved && edit.commit == 0) return NodeApproval{};

  // 2. Who approved it first stays on its row.
  if (!approved) {
    RETURN_IF_ERROR(connection_.Execute(kApprove, Parameters().Text(node).Time(now_).Text(actor)).status());
  }
  RETURN_IF_ERROR(Audit(actor, "node.approve", node,
                        {{"tvs_certificate", ToHex(*tvs)}, {"commit", fmt::format("{}", edit.commit)}}));
  return NodeApproval{.changed = true, .commit = edit.commit};
}

absl::StatusOr<std::string> NodeRegistry::Announce(const Identity& caller, std::string_view host, uint32_t port) {
  static constexpr Statement kFind = {"node_announces",
                                      "SELECT name, grpc_address FROM node WHERE identity = $1 AND removed_at IS NULL "
                                      "FOR UPDATE"};
  static constexpr Statement kKeep = {"node_grpc_address", "UPDATE node SET grpc_address = $2 WHERE name = $1"};
  if (port == 0 || port > 65'535) return InvalidArgument("a node's gRPC port is 1 to 65,535, not {}", port);
  if (!IsHost(host)) {
    return InvalidArgument(
        "a node's gRPC address is a host name of up to 253 letters, digits, '-' and '.', or an IP address without "
        "brackets: set [grpc] advertise in its tvsd.toml");
  }
  const std::string uri = caller.ToUri();
  ASSIGN_OR_RETURN(const Result found, connection_.Execute(kFind, Parameters().Text(uri)));
  if (found.empty()) {
    return NotFound("{} belongs to no node of the system: it joins with a token (`trustctl node token`)", uri);
  }
  std::string node;
  std::string before;
  RETURN_IF_ERROR(found[0].Scan(node, before));
  std::string address = EndpointText(host, static_cast<uint16_t>(port));
  if (address == before) return address;
  RETURN_IF_ERROR(connection_.Execute(kKeep, Parameters().Text(node).Text(address)).status());
  RETURN_IF_ERROR(Audit(uri, "node.announce", node, {{"grpc_address", address}, {"before", before}}));
  return address;
}

absl::Status NodeRegistry::Remove(std::string_view node, std::string_view actor) {
  static constexpr Statement kRemove = {"node_remove",
                                        "UPDATE node SET removed_at = $2 WHERE name = $1 AND removed_at IS NULL "
                                        "RETURNING tvs_sha256"};
  ASSIGN_OR_RETURN(const Result removed, connection_.Execute(kRemove, Parameters().Text(node).Time(now_)));
  if (removed.empty()) return NoSuchNode(node);
  ASSIGN_OR_RETURN(const std::optional<Sha256Digest> tvs, removed.Value<std::optional<Sha256Digest>>());
  if (tvs) {
    ASSIGN_OR_RETURN(const int32_t cluster_id, SystemClusterId());
    TrustEditor editor(connection_, {cluster_id, std::string(kSystemCluster), std::string(actor)});
    RETURN_IF_ERROR(editor.RemoveEntries(*tvs, IsOfNode).status());
  }
  return Audit(actor, "node.remove", node, {{"tvs_certificate", tvs ? ToHex(*tvs) : ""}});
}

}  // namespace trustline
