#include "tvs/presentation_judge.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/bytes/bytes.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// A million phones are judged within seconds; other changes of the same cluster come before.
constexpr auto kCallDeadline = std::chrono::seconds(90);

bool IsAway(const absl::Status& status) { return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status); }

}  // namespace

absl::StatusOr<v1::PreFlight> PresentationJudge::Ask(v1::Node::Stub& itld, const std::string& cluster,
                                                     const Presentation& presentation, bool plan) {
  v1::PresentCertificatesRequest request;
  request.set_cluster(cluster);
  request.set_ordered_by(presentation.ordered_by);
  *request.mutable_caution() = presentation.caution;
  request.mutable_caution()->set_plan(plan);
  for (const Sha256Digest& sha256 : options_.presented(cluster, presentation)) {
    request.add_certificates_sha256(std::string(AsText(sha256)));
  }
  v1::PresentCertificatesResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
  RETURN_IF_ERROR(ToAbsl(itld.PresentCertificates(&context, request, &response), "itld", options_.itld));
  return std::move(*response.mutable_preflight());
}

absl::Status PresentationJudge::AskAll(const Presentation& presentation, bool plan,
                                       google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(options_.itld, options_.identity, "itld"));
  const std::unique_ptr<v1::Node::Stub> itld = v1::Node::NewStub(channel);
  preflights.Clear();
  for (const std::string& cluster : presentation.clusters) {
    ASSIGN_OR_RETURN(v1::PreFlight preflight, Ask(*itld, cluster, presentation, plan));
    v1::ListenerPreFlight& one = *preflights.Add();
    one.set_cluster(cluster);
    *one.mutable_preflight() = std::move(preflight);
  }
  return absl::OkStatus();
}

absl::Status PresentationJudge::Judge(const Presentation& presentation,
                                      google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights) {
  const bool plan = presentation.caution.plan();
  // The one cluster is not to be changed when the other one refuses.
  absl::Status judged = absl::OkStatus();
  if (plan || presentation.clusters.size() > 1) judged = AskAll(presentation, true, preflights);
  if (judged.ok() && !plan) {
    for (const v1::ListenerPreFlight& one : preflights) {
      if (!one.preflight().refusal().empty()) {
        return FailedPrecondition("cluster {}: {}", one.cluster(), one.preflight().refusal());
      }
    }
    const absl::Cleanup say = [this] { options_.say_again(); };
    judged = AskAll(presentation, false, preflights);
  }
  if (!IsAway(judged)) return judged;
  if (presentation.caution.override_reason().empty() || plan) {
    return Unavailable(
        "{}. It knows the phones, and whether they bear another certificate; nothing was changed. Try again when it "
        "answers; --override --reason TEXT presents it all the same, without anybody having judged that",
        StatusMessage(judged));
  }
  log_.Warning("TVS_CERTIFICATE_NOT_JUDGED",
               "another certificate is presented by an override, while itld could not be asked what phones make of it",
               {{"certificate", presentation.certificate.subject().ToText()},
                {"ordered_by", presentation.ordered_by},
                {"reason", presentation.caution.override_reason()},
                {"error", judged}});
  preflights.Clear();
  return absl::OkStatus();
}

}  // namespace trustline
