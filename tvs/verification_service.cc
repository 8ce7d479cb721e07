#include "tvs/verification_service.h"

#include "common/rpc/certificate_summary.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"
#include "common/x509/distinguished_name.h"
#include "tvs/verdict_messages.h"

namespace trustline {
namespace {

// The fields that verify and query responses share.
template <typename Response>
void FillVerdict(const TrustVerdict& verdict, uint32_t ttl_seconds, Response& response) {
  response.set_verdict(verdict.valid ? v1::VERDICT_VALID : v1::VERDICT_INVALID);
  response.set_reason(ToProto(verdict.reason));
  response.set_explanation(ExplainVerdict(verdict));
  if (!verdict.valid) return;
  for (CertificateRole role : verdict.roles.Roles()) response.add_roles(ToProto(role));
  response.mutable_ttl()->set_seconds(ttl_seconds);
}

}  // namespace

// Answers one request after the other.
class VerifyBatchReactor final : public grpc::ServerBidiReactor<v1::VerifyRequest, v1::VerifyResponse> {
 public:
  VerifyBatchReactor(VerificationService& service, grpc::CallbackServerContext* context)
      : service_(service), context_(context) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    const absl::StatusOr<Caller> caller =
        service_.authorizer_.Authorize(*context_, service_.policies_.verify_batch, request_);
    if (!caller.ok()) {
      Finish(ToGrpc(caller.status()));
      return;
    }
    response_.Clear();
    service_.VerifyOne(request_, response_, [this](const absl::Status& status) {
      // What this node cannot judge now says nothing about the certificates after it.
      if (absl::IsUnavailable(status)) {
        response_.set_reason(v1::INVALID_REASON_NO_VERDICT);
        response_.set_explanation(std::string(StatusMessage(status)));
      } else if (!status.ok()) {
        Finish(ToGrpc(status));
        return;
      }
      StartWrite(&response_);
    });
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
    }
  }
  void OnDone() override { delete this; }

 private:
  VerificationService& service_;
  grpc::CallbackServerContext* context_;
  v1::VerifyRequest request_;
  v1::VerifyResponse response_;
};

absl::StatusOr<std::unique_ptr<VerificationService>> VerificationService::Create(
    std::string node, TrustFollower& follower, FreshnessPolicy policy, const Clock& clock, Authorizer& authorizer) {
  const std::string_view service = v1::Verification::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy verify, MethodPolicy::Find(service, "Verify"));
  ASSIGN_OR_RETURN(MethodPolicy verify_batch, MethodPolicy::Find(service, "VerifyBatch"));
  ASSIGN_OR_RETURN(MethodPolicy query, MethodPolicy::Find(service, "Query"));
  ASSIGN_OR_RETURN(MethodPolicy get_node_status, MethodPolicy::Find(service, "GetNodeStatus"));
  return std::unique_ptr<VerificationService>(new VerificationService(
      std::move(node), follower, policy, clock, authorizer,
      Policies{std::move(verify), std::move(verify_batch), std::move(query), std::move(get_node_status)}));
}

absl::StatusOr<FollowedCluster*> VerificationService::FindCluster(const std::string& name) const {
  const std::string_view wanted = name.empty() ? kSystemCluster : std::string_view(name);
  if (FollowedCluster* cluster = follower_.Find(wanted)) return cluster;
  return NotFound("node {} does not answer for cluster '{}'; ask a node with a listener for it, or add one", node_,
                  wanted);
}

template <typename Judge, typename Use>
void VerificationService::JudgeAndConfirm(FollowedCluster& cluster, bool confirmed, const Judge& judge, const Use& use,
                                          Done done) {
  const std::chrono::nanoseconds age = cluster.Age();
  const Freshness freshness = FreshnessOf(age, policy_);
  if (freshness == Freshness::kStale) {
    done(Unavailable("node {} has not reached the database for longer than its age limit and gives no verdicts: {}",
                     node_, follower_.LastStatus().message()));
    return;
  }
  {
    const auto snapshot = cluster.Snapshot();
    const TrustVerdict verdict = judge(*snapshot, clock_.Now());
    const bool unknown = !verdict.valid && !verdict.known && verdict.reason != InvalidReason::kMalformed;
    if (!unknown || confirmed) {
      use(verdict, age);
      done(absl::OkStatus());
      return;
    }
  }
  if (freshness == Freshness::kAway) {
    done(Unavailable("node {} does not know this certificate and cannot ask the database: {}", node_,
                     follower_.LastStatus().message()));
    return;
  }
  follower_.Confirm(cluster, [this, &cluster, judge, use, done = std::move(done)](const absl::Status& status) {
    if (!status.ok()) {
      done(Unavailable("node {} does not know this certificate and cannot ask the database: {}", node_,
                       status.message()));
      return;
    }
    JudgeAndConfirm(cluster, true, judge, use, done);
  });
}

void VerificationService::VerifyOne(const v1::VerifyRequest& request, v1::VerifyResponse& response, Done done) {
  response.set_number(request.number());
  const absl::StatusOr<FollowedCluster*> cluster = FindCluster(request.cluster());
  if (!cluster.ok()) {
    done(cluster.status());
    return;
  }
  const std::optional<CertificateRole> role = FromProto(request.role());
  if (!role && request.role() != v1::CERTIFICATE_ROLE_UNSPECIFIED) {
    done(InvalidArgument("unknown role number {}", static_cast<int>(request.role())));
    return;
  }
  const Sha256Digest sha256 = Sha256(AsBytes(request.certificate()));
  response.set_sha256(sha256.data(), sha256.size());
  JudgeAndConfirm(
      **cluster, false,
      [&request, sha256, role](const TrustSnapshot& snapshot, absl::Time now) {
        TrustVerdict verdict = JudgeCertificate(snapshot, AsBytes(request.certificate()), sha256, now);
        if (role) RequireRole(verdict, *role);
        return verdict;
      },
      [this, &response](const TrustVerdict& verdict, std::chrono::nanoseconds age) {
        FillVerdict(verdict, TtlAtAge(verdict.ttl_seconds, age, policy_), response);
        response.set_phones_are_told_invalid(verdict.valid && !verdict.ValidForPhones());
        for (const Certificate& issuer : verdict.issuers) *response.add_chain() = SummaryOf(issuer);
      },
      std::move(done));
}

grpc::ServerUnaryReactor* VerificationService::Verify(grpc::CallbackServerContext* context,
                                                      const v1::VerifyRequest* request, v1::VerifyResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = authorizer_.Authorize(*context, policies_.verify, *request);
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  VerifyOne(*request, *response, [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

grpc::ServerBidiReactor<v1::VerifyRequest, v1::VerifyResponse>* VerificationService::VerifyBatch(
    grpc::CallbackServerContext* context) {
  return new VerifyBatchReactor(*this, context);
}

grpc::ServerUnaryReactor* VerificationService::Query(grpc::CallbackServerContext* context,
                                                     const v1::QueryRequest* request, v1::QueryResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = authorizer_.Authorize(*context, policies_.query, *request);
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  const absl::StatusOr<FollowedCluster*> cluster = FindCluster(request->cluster());
  if (!cluster.ok()) {
    reactor->Finish(ToGrpc(cluster.status()));
    return reactor;
  }
  const absl::StatusOr<DistinguishedName> issuer = DistinguishedName::FromText(request->issuer());
  if (!issuer.ok()) {
    reactor->Finish(ToGrpc(Annotate(issuer.status(), "issuer")));
    return reactor;
  }
  const Sha256Digest key = IssuerSerialKey(issuer->key(), CanonicalSerial(AsBytes(request->serial())));
  JudgeAndConfirm(
      **cluster, false,
      [key](const TrustSnapshot& snapshot, absl::Time now) { return JudgeSigner(snapshot, key, now); },
      [this, response](const TrustVerdict& verdict, std::chrono::nanoseconds age) {
        FillVerdict(verdict, TtlAtAge(verdict.ttl_seconds, age, policy_), *response);
        if (verdict.valid) response->set_certificate(std::string(AsText(verdict.record->Der())));
      },
      [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

grpc::ServerUnaryReactor* VerificationService::GetNodeStatus(grpc::CallbackServerContext* context,
                                                             const v1::GetNodeStatusRequest* request,
                                                             v1::GetNodeStatusResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Caller> caller = authorizer_.Authorize(*context, policies_.get_node_status, *request);
  if (!caller.ok()) {
    reactor->Finish(ToGrpc(caller.status()));
    return reactor;
  }
  response->set_node(node_);
  response->set_version(TRUSTLINE_VERSION);
  for (const auto& followed : follower_.clusters()) {
    if (caller->identity && caller->identity->is_person()) {
      const absl::StatusOr<int32_t> cluster_id = authorizer_.ClusterId(followed->name());
      if (!cluster_id.ok() || authorizer_.RolesOf(caller->identity->name, *cluster_id).empty()) continue;
    }
    v1::GetNodeStatusResponse::Cluster& cluster = *response->add_clusters();
    const std::chrono::nanoseconds age = followed->Age();
    cluster.set_name(followed->name());
    cluster.set_stale(FreshnessOf(age, policy_) != Freshness::kFresh);
    if (!followed->loaded()) continue;
    const auto snapshot = followed->Snapshot();
    cluster.set_commit(snapshot->commit());
    cluster.set_certificates(static_cast<int64_t>(snapshot->certificate_count()));
    cluster.set_anchors(static_cast<int64_t>(snapshot->anchors().anchor_count()));
    cluster.set_crls(static_cast<int64_t>(snapshot->crls().size()));
    cluster.mutable_last_confirmed()->set_seconds(absl::ToUnixSeconds(clock_.Now() - absl::FromChrono(age)));
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace trustline
