#include "tvs/presentation_judge.h"

#include <grpcpp/client_context.h>

#include <map>
#include <memory>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/bytes/bytes.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

bool IsAway(const absl::Status& status) { return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status); }

bool HasTerms(const v1::Caution& caution) {
  return caution.plan() || caution.has_accept_unproven() || !caution.override_reason().empty();
}

int64_t CountOf(const v1::PreFlight& preflight, v1::PhoneVerdict verdict) {
  int64_t phones = 0;
  for (const v1::PreFlight::Count& count : preflight.counts()) {
    if (count.verdict() == verdict) phones += count.phones();
  }
  return phones;
}

v1::Caution Planning() {
  v1::Caution caution;
  caution.set_plan(true);
  return caution;
}

// What stands in the way of several clusters' phones together, by what each of them was planned to mean.
absl::Status CheckTogether(const PresentationJudge::PreFlights& planned, const v1::Caution& caution) {
  if (!caution.override_reason().empty()) return absl::OkStatus();
  std::vector<std::string> refusals;
  int64_t locked = 0, unproven = 0;
  for (const v1::ListenerPreFlight& one : planned) {
    locked += CountOf(one.preflight(), v1::PHONE_VERDICT_LOCKED);
    unproven += CountOf(one.preflight(), v1::PHONE_VERDICT_UNPROVEN);
    if (!one.preflight().refusal().empty()) {
      refusals.push_back(fmt::format("cluster {}: {}", one.cluster(), one.preflight().refusal()));
    }
  }
  if (refusals.empty() && caution.has_accept_unproven() && caution.accept_unproven() != 0) {
    return FailedPrecondition(
        "nothing was changed: --accept-unproven {} was said, and no phone of any of the listener's clusters is "
        "unproven: leave the number out",
        caution.accept_unproven());
  }
  if (refusals.empty()) return absl::OkStatus();
  const std::string all = absl::StrJoin(refusals, "; ");
  if (locked > 0) return FailedPrecondition("{}", all);
  if (caution.has_accept_unproven() && caution.accept_unproven() == unproven) return absl::OkStatus();
  return FailedPrecondition("{}. For all clusters of the listener together it is --accept-unproven {}", all, unproven);
}

}  // namespace

absl::Status PresentationJudge::AskAll(const Presentation& presentation, absl::Time deadline,
                                       const std::function<v1::Caution(const std::string& cluster)>& caution_of,
                                       PreFlights& preflights) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(options_.itld, options_.identity, "itld"));
  const std::unique_ptr<v1::Node::Stub> itld = v1::Node::NewStub(channel);
  preflights.Clear();
  for (const std::string& cluster : presentation.clusters) {
    v1::PresentCertificatesRequest request;
    request.set_cluster(cluster);
    request.set_ordered_by(presentation.ordered_by);
    *request.mutable_caution() = caution_of(cluster);
    for (const Sha256Digest& sha256 : options_.presented(cluster, presentation)) {
      request.add_certificates_sha256(std::string(AsText(sha256)));
    }
    const std::unique_ptr<grpc::ClientContext> context =
        presentation.call == nullptr ? std::make_unique<grpc::ClientContext>()
                                     : grpc::ClientContext::FromServerContext(*presentation.call);
    context->set_deadline(absl::ToChronoTime(deadline));
    v1::PresentCertificatesResponse response;
    RETURN_IF_ERROR(ToAbsl(itld->PresentCertificates(context.get(), request, &response), "itld", options_.itld));
    v1::ListenerPreFlight& one = *preflights.Add();
    one.set_cluster(cluster);
    *one.mutable_preflight() = std::move(*response.mutable_preflight());
  }
  return absl::OkStatus();
}

absl::Status PresentationJudge::AskInTurn(const Presentation& presentation, absl::Time deadline,
                                          PreFlights& preflights) {
  const v1::Caution& caution = presentation.caution;
  const auto planning = [](const std::string&) { return Planning(); };
  if (caution.plan()) return AskAll(presentation, deadline, planning, preflights);
  if (presentation.clusters.size() == 1) {
    return AskAll(
        presentation, deadline, [&](const std::string&) { return caution; }, preflights);
  }
  RETURN_IF_ERROR(AskAll(presentation, deadline, planning, preflights));
  RETURN_IF_ERROR(CheckTogether(preflights, caution));
  std::map<std::string, v1::Caution> terms;
  for (const v1::ListenerPreFlight& one : preflights) {
    v1::Caution& own = terms[one.cluster()] = caution;
    if (own.has_accept_unproven()) {
      own.set_accept_unproven(CountOf(one.preflight(), v1::PHONE_VERDICT_UNPROVEN));
    }
  }
  return AskAll(
      presentation, deadline, [&](const std::string& cluster) { return terms[cluster]; }, preflights);
}

absl::Status PresentationJudge::Judge(const Presentation& presentation, PreFlights& preflights) {
  const v1::Caution& caution = presentation.caution;
  if (options_.itld.empty()) {
    if (!HasTerms(caution)) return absl::OkStatus();
    return InvalidArgument(
        "this node has no itld that knows the phones ([identity] renew_from is not set): nobody judges what it "
        "presents. Leave out --plan, --accept-unproven and --override");
  }
  const absl::Status judged = AskInTurn(presentation, absl::Now() + options_.patience, preflights);
  if (!IsAway(judged)) return judged;
  if (caution.override_reason().empty() || caution.plan()) {
    // No code of a connection: callers would take it for that of the one to this node.
    return FailedPrecondition(
        "itld, which knows the phones, cannot be asked whether they bear another certificate, and the listener "
        "presents what it did: {}. Try again when it answers; --override --reason TEXT presents it all the same, "
        "without anybody having judged that",
        StatusMessage(judged));
  }
  log_.Warning("TVS_CERTIFICATE_NOT_JUDGED",
               "another certificate is presented by an override, while itld could not be asked what phones make of it",
               {{"certificate", presentation.certificate.subject().ToText()},
                {"ordered_by", presentation.ordered_by},
                {"reason", caution.override_reason()},
                {"error", judged}});
  preflights.Clear();
  return absl::OkStatus();
}

}  // namespace trustline
