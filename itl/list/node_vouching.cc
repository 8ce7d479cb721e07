#include "itl/list/node_vouching.h"

#include <algorithm>
#include <future>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/bytes/bytes.h"
#include "common/rpc/authorization.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kNodes = {
    "vouching_nodes",
    "SELECT name, identity, grpc_address FROM node WHERE removed_at IS NULL AND approved_at IS NOT NULL "
    "ORDER BY name"};

}  // namespace

absl::StatusOr<std::vector<NodeVouching::Node>> NodeVouching::Nodes() {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const Result result, lease->Execute(kNodes));
  std::vector<Node> nodes;
  for (const Row row : result) {
    Node& node = nodes.emplace_back();
    RETURN_IF_ERROR(row.Scan(node.name, node.identity, node.address));
  }
  return nodes;
}

absl::StatusOr<std::shared_ptr<v1::Verification::Stub>> NodeVouching::StubFor(const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (const auto known = stubs_.find(address); known != stubs_.end()) return known->second;
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(address, identity_, "tvsd"));
  return stubs_[address] = v1::Verification::NewStub(channel);
}

absl::Status NodeVouching::Ask(const Node& node, const std::string& cluster, const Certificate& signer,
                               CertificateRole role) {
  if (node.address.empty()) {
    return Unavailable("it has not told its address since it was started with this version: is it running?");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<v1::Verification::Stub> stub, StubFor(node.address));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience_));
  context.set_wait_for_ready(true);
  v1::QueryRequest request;
  request.set_cluster(cluster);
  request.set_issuer(signer.issuer().ToText());
  request.set_serial(std::string(AsText(signer.serial())));
  v1::QueryResponse response;
  const absl::Status answer = ToAbsl(stub->Query(&context, request, &response), "tvsd", node.address);
  if (!absl::IsNotFound(answer)) RETURN_IF_ERROR(answer);
  // A node says where it answers, but it must be that very node that does, also when it has no listener.
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr) return Unauthenticated("the connection to {} is not authenticated", node.address);
  ASSIGN_OR_RETURN(const Identity identity, PeerIdentity(*peer));
  if (identity.ToUri() != node.identity) {
    return FailedPrecondition("{} answers at its address {}: restart its tvsd, which announces the address",
                              identity.ToUri(), node.address);
  }
  RETURN_IF_ERROR(answer);
  if (response.verdict() != v1::VERDICT_VALID) {
    return FailedPrecondition("it says invalid: {}", response.explanation());
  }
  if (response.certificate() != AsText(signer.der())) {
    return FailedPrecondition("it answers with another certificate of the same issuer and serial number");
  }
  if (std::find(response.roles().begin(), response.roles().end(), ToProto(role)) == response.roles().end()) {
    return FailedPrecondition("it does not say {}", CertificateRoleName(role));
  }
  return absl::OkStatus();
}

absl::Status NodeVouching::Check(const std::string& cluster, const Certificate& signer,
                                 const std::vector<std::string>& without, CertificateRole role) {
  ASSIGN_OR_RETURN(std::vector<Node> nodes, Nodes());
  for (const std::string& name : without) {
    const bool is_known = std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) { return node.name == name; });
    if (!is_known) return NotFound("there is no approved TVS node {}: `trustctl node list` shows them", name);
  }
  const bool had_nodes = !nodes.empty();
  std::erase_if(
      nodes, [&](const Node& node) { return std::find(without.begin(), without.end(), node.name) != without.end(); });
  std::vector<std::future<absl::Status>> answers;
  for (const Node& node : nodes) {
    answers.push_back(std::async(std::launch::async, [&] { return Ask(node, cluster, signer, role); }));
  }
  std::vector<std::string> failures;
  size_t vouching = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const absl::Status answer = answers[i].get();
    if (answer.ok()) {
      ++vouching;
    } else if (!absl::IsNotFound(answer)) {
      failures.push_back(fmt::format("{}: {}", nodes[i].name, answer.message()));
    }
  }
  // Whoever leaves each of them out by its name knows that no phone can ask.
  const bool all_left_out = had_nodes && nodes.empty();
  if (failures.empty() && (vouching > 0 || all_left_out)) return absl::OkStatus();
  if (failures.empty()) {
    return FailedPrecondition(
        "no TVS node answers for the cluster {0}, so that no phone could ask about {1}: {2}", cluster,
        signer.subject().ToText(),
        had_nodes ? "the approved ones have no listener for this cluster; add a [[listener]] with cluster = \"" +
                        cluster + "\" to a tvsd's configuration (with `trustline up` in DIR/tvsd.local.toml)"
                  : std::string("approve one (`trustctl node list`, `trustctl node approve NODE`)"));
  }
  return FailedPrecondition(
      "not every TVS node answers for {} with role {}: {}. It is tried again by itself; a node that is gone for good "
      "is removed with `trustctl node remove NODE`",
      signer.subject().ToText(), CertificateRoleName(role), absl::StrJoin(failures, "; "));
}

}  // namespace trustline
