#include "common/rpc/authorization.h"

#include <google/protobuf/message.h>
#include <grpc/grpc_security_constants.h>

#include "common/rpc/access_denials.h"
#include "common/rpc/access_grants.h"
#include "common/rpc/peer_address.h"
#include "common/service/json.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// What a request may say about its cluster in a denial.
constexpr size_t kMaxClusterText = 64;

// Caller::actor() of a caller without an identity.
constexpr char kNobody[] = "anonymous";

// The peer's address, written down for denials only.
class Peer {
 public:
  explicit Peer(const grpc::ServerContextBase& context) : context_(&context) {}
  explicit Peer(std::string_view text) : text_(text) {}
  std::string Text() const { return context_ == nullptr ? std::string(text_) : context_->peer(); }

 private:
  const grpc::ServerContextBase* context_ = nullptr;
  std::string_view text_;
};

}  // namespace

absl::StatusOr<Identity> PeerIdentity(const grpc::AuthContext& peer) {
  const std::vector<grpc::string_ref> names = peer.FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME);
  if (names.size() == 1) {
    absl::StatusOr<Identity> identity = Identity::Parse(std::string_view(names.front().data(), names.front().size()));
    if (identity.ok()) return identity;
  }
  return Unauthenticated("an identity of the system is needed: connect with its client certificate");
}

absl::StatusOr<Identity> PeerIdentity(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr) return Unauthenticated("the connection is not authenticated");
  return PeerIdentity(*peer);
}

class Authorizer::Impl {
 public:
  Impl(const AuthorizerOptions& options, const Clock& clock, Log& log, Metrics& metrics, AuditQueue& audit)
      : age_limit_(options.age_limit),
        clock_(clock),
        log_(log),
        audit_(audit),
        denied_without_identity_(DenialCounter(metrics, "no_identity")),
        denied_without_role_(DenialCounter(metrics, "no_role")),
        denied_services_(DenialCounter(metrics, "service")),
        reader_({options.connection, options.application_name, options.poll_interval}, clock, log),
        age_gauge_(metrics.AddGaugeCallback(
            "trustline_access_grants_age_seconds", "Time since the access grants were last read.", {},
            [this] { return absl::ToDoubleSeconds(clock_.Now() - reader_.confirmed_at()); })) {}

  AccessGrantsReader& reader() { return reader_; }

  // The grants in force.
  absl::StatusOr<std::shared_ptr<const AccessGrants>> Grants() const {
    std::shared_ptr<const AccessGrants> grants = reader_.Current();
    if (grants == nullptr) {
      return Unavailable("the access grants have not been read yet: the database does not answer");
    }
    if (clock_.Now() - reader_.confirmed_at() > age_limit_) {
      return Unavailable("the access grants could not be read for more than {}: the database does not answer",
                         DurationText(age_limit_));
    }
    return grants;
  }

  absl::StatusOr<Caller> Decide(const Identity* identity, const Peer& peer, const MethodPolicy& policy,
                                const google::protobuf::Message& request) {
    // 1. Methods without a role to look up.
    Caller caller;
    if (identity != nullptr) caller.identity = *identity;
    if (policy.anyone()) return caller;
    if (identity == nullptr) return RefuseWithoutIdentity(peer, policy);
    if (policy.any_identity()) return caller;

    // 2. The grants, and the cluster that is asked for.
    ASSIGN_OR_RETURN(const std::shared_ptr<const AccessGrants> grants, Grants());
    const Question question = {*identity, peer, policy, *grants};
    if (policy.scope() == v1::Callers::ANY_CLUSTER) return DecideAnywhere(question, std::move(caller));
    ASSIGN_OR_RETURN(const std::string_view cluster, policy.ClusterOf(request));
    const std::optional<int32_t> cluster_id = grants->ClusterId(cluster);

    // 3. The caller's roles there, or its kind.
    if (identity->is_person()) {
      if (cluster_id && identity->cluster == kSystemCluster) {
        caller.roles = grants->RolesOf(identity->name, *cluster_id);
      }
      if (!caller.roles.Intersects(policy.roles())) return DenyPerson(question, cluster, cluster_id);
    } else if (!AdmitsService(question) || (identity->cluster != kSystemCluster && identity->cluster != cluster)) {
      return DenyService(question, cluster, cluster_id);
    } else if (!cluster_id) {
      return NoSuchCluster(cluster);
    }
    caller.cluster_id = *cluster_id;
    caller.cluster = cluster;
    return caller;
  }

  void DenyWithoutIdentity(std::string_view method, std::string_view peer) {
    denied_without_identity_.Add();
    log_.Info("ACCESS_NO_IDENTITY", "a caller without an identity was refused", {{"method", method}, {"peer", peer}});
    const std::shared_ptr<const AccessGrants> grants = reader_.Current();
    AuditEvent event;
    event.cluster_id = grants == nullptr ? 0 : grants->ClusterId(kSystemCluster).value_or(0);
    event.actor = kNobody;
    event.action = "access.denied";
    event.subject = method;
    event.outcome = AuditOutcome::kDenied;
    event.detail = {{"reason", "no identity"}};
    if (!peer.empty()) event.detail.emplace_back("peer", peer);
    audit_.AppendDenial(std::move(event), "");
  }

 private:
  struct Question {
    const Identity& identity;
    const Peer& peer;
    const MethodPolicy& policy;
    const AccessGrants& grants;
  };

  static bool AdmitsService(const Question& question) {
    return question.policy.AdmitsService(question.identity.kind) && !question.grants.WasRemoved(question.identity);
  }

  static absl::Status NoSuchCluster(std::string_view cluster) {
    return NotFound("there is no cluster '{}'", PrintableText(cluster, kMaxClusterText));
  }

  absl::StatusOr<Caller> DecideAnywhere(const Question& question, Caller caller) {
    const Identity& identity = question.identity;
    if (!identity.is_person()) {
      if (!AdmitsService(question)) return DenyService(question, "", std::nullopt);
      return caller;
    }
    if (identity.cluster == kSystemCluster) caller.roles = question.grants.RolesAnywhere(identity.name);
    if (!caller.roles.Intersects(question.policy.roles())) return DenyPerson(question, "", std::nullopt);
    return caller;
  }

  absl::Status RefuseWithoutIdentity(const Peer& peer, const MethodPolicy& policy) {
    DenyWithoutIdentity(policy.name(), peer.Text());
    return Unauthenticated("{} needs an identity of the system: connect with its client certificate", policy.name());
  }

  absl::Status DenyPerson(const Question& question, std::string_view cluster, std::optional<int32_t> cluster_id) {
    const Identity& identity = question.identity;
    // Whoever has a role on the system's cluster may learn that a name is a slip.
    if (!cluster.empty() && !cluster_id && identity.cluster == kSystemCluster &&
        !question.grants.RolesOf(identity.name, question.grants.ClusterId(kSystemCluster).value_or(0)).empty()) {
      return NoSuchCluster(cluster);
    }
    denied_without_role_.Add();
    const std::string roles = question.policy.RolesText();
    AuditDenied(question, cluster, cluster_id, fmt::format("needs {}", roles.empty() ? "a service" : roles));
    if (roles.empty()) return PermissionDenied("{} is for services only", question.policy.name());
    if (cluster.empty()) return PermissionDenied("{} needs the role {} on some cluster", question.policy.name(), roles);
    return PermissionDenied(
        "{} needs the role {} on the cluster '{}', which {} does not have; an administrator can grant it",
        question.policy.name(), roles, PrintableText(cluster, kMaxClusterText), identity.name);
  }

  absl::Status DenyService(const Question& question, std::string_view cluster, std::optional<int32_t> cluster_id) {
    denied_services_.Add();
    if (question.grants.WasRemoved(question.identity)) {
      AuditDenied(question, cluster, cluster_id, "its machine was removed");
      return PermissionDenied("the machine of {} was removed from the system: it joins again with a new token",
                              question.identity.ToUri());
    }
    AuditDenied(question, cluster, cluster_id, "not for this service");
    return PermissionDenied("{} is not for {}", question.policy.name(), question.identity.ToUri());
  }

  void AuditDenied(const Question& question, std::string_view cluster, std::optional<int32_t> cluster_id,
                   std::string_view reason) {
    AuditEvent event;
    event.cluster_id = cluster_id.value_or(question.grants.ClusterId(kSystemCluster).value_or(0));
    event.actor = question.identity.ToUri();
    event.action = "access.denied";
    event.subject = question.policy.name();
    event.outcome = AuditOutcome::kDenied;
    const std::string peer = question.peer.Text();
    event.detail = {{"peer", peer}, {"reason", std::string(reason)}};
    if (!cluster.empty()) event.detail.emplace_back("cluster", cluster.substr(0, kMaxClusterText));
    audit_.AppendDenial(std::move(event), PeerAddress(peer));
  }

  const absl::Duration age_limit_;
  const Clock& clock_;
  Log& log_;
  AuditQueue& audit_;
  Counter& denied_without_identity_;
  Counter& denied_without_role_;
  Counter& denied_services_;
  AccessGrantsReader reader_;
  Metrics::Registration age_gauge_;
};

Authorizer::Authorizer(const AuthorizerOptions& options, const Clock& clock, Log& log, Metrics& metrics,
                       AuditQueue& audit)
    : impl_(std::make_unique<Impl>(options, clock, log, metrics, audit)) {}
Authorizer::~Authorizer() = default;

void Authorizer::Start() { impl_->reader().Start(); }
void Authorizer::Stop() { impl_->reader().Stop(); }
absl::Status Authorizer::Ready() const { return impl_->Grants().status(); }
absl::Status Authorizer::WaitForRefresh(absl::Duration timeout) { return impl_->reader().WaitForRefresh(timeout); }

absl::StatusOr<Caller> Authorizer::Authorize(const grpc::ServerContextBase& context, const MethodPolicy& policy,
                                             const google::protobuf::Message& request) {
  const absl::StatusOr<Identity> identity = PeerIdentity(context);
  return impl_->Decide(identity.ok() ? &*identity : nullptr, Peer(context), policy, request);
}

absl::StatusOr<Caller> Authorizer::AuthorizeIdentity(const Identity* identity, std::string_view peer,
                                                     const MethodPolicy& policy,
                                                     const google::protobuf::Message& request) {
  return impl_->Decide(identity, Peer(peer), policy, request);
}

void Authorizer::DenyWithoutIdentity(std::string_view method, std::string_view peer) {
  impl_->DenyWithoutIdentity(method, peer);
}

absl::StatusOr<int32_t> Authorizer::ClusterId(std::string_view name) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<const AccessGrants> grants, impl_->Grants());
  const std::optional<int32_t> id = grants->ClusterId(name);
  if (!id) return NotFound("there is no cluster '{}'", PrintableText(name, kMaxClusterText));
  return *id;
}

RoleSet Authorizer::RolesOf(std::string_view person, int32_t cluster_id) const {
  const std::shared_ptr<const AccessGrants> grants = impl_->reader().Current();
  return grants == nullptr ? RoleSet() : grants->RolesOf(person, cluster_id);
}

}  // namespace trustline
