// Who may call what, the reports, and the changes. What reads is in phone_trust_answers.cc.
#include "itl/phone/phone_trust_service.h"

#include <utility>

#include "common/postgres/transaction.h"
#include "common/status/status.h"
#include "itl/phone/forwarder_editor.h"
#include "itl/phone/model_lists.h"
#include "itl/phone/phone_report.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};
// A forwarder's phones may be silent for long.
constexpr absl::Duration kReportPatience = absl::Hours(1);
constexpr PatientStreamWords kReportWords = {.beginning = "reports begin with a request",
                                             .ended = "begin the stream again",
                                             .gone = "what was answered is stored",
                                             .no_thread = "itld has no thread left for reports"};
constexpr int kMostReports = 1'000;
constexpr std::string_view kReportsMetric = "trustline_phone_reports_total";
constexpr std::string_view kReportsHelp = "What was said of phones' trust lists, by what became of it.";

}  // namespace

PhoneTrustService::PhoneTrustService(const PhoneTrustServiceParts& parts)
    : parts_(parts),
      reports_(parts.report_pool, parts.holdings),
      cures_(parts.lists, parts.keys, parts.clock),
      evidence_(parts.metrics.GetCounter(kReportsMetric, kReportsHelp, {{"kind", "evidence"}})),
      claims_(parts.metrics.GetCounter(kReportsMetric, kReportsHelp, {{"kind", "claim"}})),
      dropped_(parts.metrics.GetCounter(kReportsMetric, kReportsHelp, {{"kind", "dropped"}})),
      unreadable_(parts.metrics.GetCounter("trustline_phone_reports_unreadable_total",
                                           "Reports whose ITL hash could not be read.")),
      unusable_(parts.metrics.GetCounter(kReportsMetric, kReportsHelp, {{"kind", "unusable"}})) {}

absl::StatusOr<std::unique_ptr<PhoneTrustService>> PhoneTrustService::Create(const PhoneTrustServiceParts& parts) {
  auto service = std::unique_ptr<PhoneTrustService>(new PhoneTrustService(parts));
  ASSIGN_OR_RETURN(service->policies_, MethodPolicy::AllOf(v1::PhoneTrust::service_full_name()));
  return service;
}

absl::StatusOr<Caller> PhoneTrustService::Admit(const grpc::ServerContextBase& context, const char* method,
                                                const google::protobuf::Message& request) {
  return parts_.authorizer.Authorize(context, policies_.find(method)->second, request);
}

grpc::Status PhoneTrustService::Answer(grpc::ServerContext& context, const char* method,
                                       const google::protobuf::Message& request, const Work& work) {
  const absl::StatusOr<Caller> caller = Admit(context, method, request);
  if (!caller.ok()) return ToGrpc(caller.status());
  return ToGrpc(RunInTransaction(parts_.pool, kOneState,
                                 [&](Connection& connection) -> absl::Status { return work(connection, *caller); }));
}

grpc::Status PhoneTrustService::Change(grpc::ServerContext& context, const char* method,
                                       const google::protobuf::Message& request, const Work& work) {
  const absl::StatusOr<Caller> caller = Admit(context, method, request);
  if (!caller.ok()) return ToGrpc(caller.status());
  return ToGrpc(RunInTransaction(parts_.pool, {},
                                 [&](Connection& connection) -> absl::Status { return work(connection, *caller); }));
}

absl::StatusOr<ReportStream::Job> PhoneTrustService::AdmitReports(const grpc::CallbackServerContext& context,
                                                                  const v1::ReportPhoneTrustRequest& first) {
  ASSIGN_OR_RETURN(Caller caller, Admit(context, "ReportPhoneTrust", first));
  return [this, caller = std::move(caller), first](ReportStream& stream) -> absl::Status {
    std::optional<v1::ReportPhoneTrustRequest> request = first;
    while (request) {
      ASSIGN_OR_RETURN(const v1::ReportPhoneTrustResponse response, StoreReports(caller, *request));
      RETURN_IF_ERROR(stream.Write(response));
      ASSIGN_OR_RETURN(request, stream.Read());
    }
    return absl::OkStatus();
  };
}

absl::StatusOr<v1::ReportPhoneTrustResponse> PhoneTrustService::StoreReports(
    const Caller& caller, const v1::ReportPhoneTrustRequest& request) {
  if (request.reports_size() > kMostReports) {
    return InvalidArgument("{} reports in one request: at most {}", request.reports_size(), kMostReports);
  }
  const bool is_provisiond = caller.identity && caller.identity->kind == "provisiond";
  const absl::Time now = parts_.clock.Now();
  v1::ReportPhoneTrustResponse response;
  std::vector<PhoneReport> reports;
  reports.reserve(static_cast<size_t>(request.reports_size()));
  for (int i = 0; i < request.reports_size(); ++i) {
    absl::StatusOr<PhoneReport> report = ReadPhoneReport(request.reports(i), is_provisiond, caller.actor(), now);
    if (report.ok()) {
      reports.push_back(*std::move(report));
      continue;
    }
    v1::ReportPhoneTrustResponse::Problem& problem = *response.add_problems();
    problem.set_index(i);
    problem.set_reason(std::string(StatusMessage(report.status())));
  }
  StoredReports stored;
  if (!reports.empty()) {
    ASSIGN_OR_RETURN(stored, reports_.Store(caller.cluster_id, reports));
  }
  CountReports(stored, response.problems_size());
  response.set_evidence(stored.evidence);
  response.set_claims(stored.claims);
  response.set_older(stored.older);
  response.set_dropped(stored.dropped);
  watch_.Add(caller.cluster_id, std::move(stored.events));
  return response;
}

void PhoneTrustService::CountReports(const StoredReports& stored, int problems) {
  evidence_.Add(static_cast<uint64_t>(stored.evidence));
  claims_.Add(static_cast<uint64_t>(stored.claims));
  dropped_.Add(static_cast<uint64_t>(stored.dropped));
  unreadable_.Add(static_cast<uint64_t>(stored.unreadable));
  unusable_.Add(static_cast<uint64_t>(problems));
}

grpc::ServerBidiReactor<v1::ReportPhoneTrustRequest, v1::ReportPhoneTrustResponse>* PhoneTrustService::ReportPhoneTrust(
    grpc::CallbackServerContext* context) {
  // gRPC owns it: it deletes itself.
  return new ReportStream(
      *context, kReportPatience, kReportWords,
      [this, context](const v1::ReportPhoneTrustRequest& first) { return AdmitReports(*context, first); });
}

grpc::Status PhoneTrustService::ListForwarders(grpc::ServerContext* context, const v1::ListForwardersRequest* request,
                                               v1::ListForwardersResponse* response) {
  return Answer(*context, "ListForwarders", *request,
                [&](Connection& connection, const Caller& caller) -> absl::Status {
                  ForwarderEditor editor(connection, caller.cluster_id, caller.actor());
                  ASSIGN_OR_RETURN(const std::vector<v1::Forwarder> forwarders, editor.List());
                  ASSIGN_OR_RETURN(const bool accepts, editor.AcceptsClaims());
                  response->Clear();
                  for (const v1::Forwarder& forwarder : forwarders) *response->add_forwarders() = forwarder;
                  response->set_accept_claims(accepts);
                  return absl::OkStatus();
                });
}
grpc::Status PhoneTrustService::PutForwarder(grpc::ServerContext* context, const v1::PutForwarderRequest* request,
                                             v1::PutForwarderResponse* response) {
  return Change(*context, "PutForwarder", *request, [&](Connection& connection, const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(*response, ForwarderEditor(connection, caller.cluster_id, caller.actor()).Put(*request));
    return absl::OkStatus();
  });
}
grpc::Status PhoneTrustService::RemoveForwarder(grpc::ServerContext* context, const v1::RemoveForwarderRequest* request,
                                                v1::RemoveForwarderResponse*) {
  return Change(*context, "RemoveForwarder", *request, [&](Connection& connection, const Caller& caller) {
    return ForwarderEditor(connection, caller.cluster_id, caller.actor()).Remove(request->name());
  });
}
grpc::Status PhoneTrustService::SetClaimPolicy(grpc::ServerContext* context, const v1::SetClaimPolicyRequest* request,
                                               v1::SetClaimPolicyResponse* response) {
  return Change(*context, "SetClaimPolicy", *request,
                [&](Connection& connection, const Caller& caller) -> absl::Status {
                  ForwarderEditor editor(connection, caller.cluster_id, caller.actor());
                  ASSIGN_OR_RETURN(const bool changed, editor.SetAcceptsClaims(request->accept()));
                  response->set_changed(changed);
                  return absl::OkStatus();
                });
}
grpc::Status PhoneTrustService::SetModelLists(grpc::ServerContext* context, const v1::SetModelListsRequest* request,
                                              v1::SetModelListsResponse* response) {
  return Change(*context, "SetModelLists", *request, [&](Connection& connection, const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(*response, ModelLists(connection, caller.cluster_id, caller.actor()).Set(*request));
    return absl::OkStatus();
  });
}
grpc::Status PhoneTrustService::ListModelLists(grpc::ServerContext* context, const v1::ListModelListsRequest* request,
                                               v1::ListModelListsResponse* response) {
  return Answer(*context, "ListModelLists", *request,
                [&](Connection& connection, const Caller& caller) -> absl::Status {
                  ASSIGN_OR_RETURN(*response, ModelLists(connection, caller.cluster_id, caller.actor()).List());
                  return absl::OkStatus();
                });
}
grpc::Status PhoneTrustService::ListServerNames(grpc::ServerContext* context, const v1::ListServerNamesRequest* request,
                                                v1::ListServerNamesResponse* response) {
  return Answer(
      *context, "ListServerNames", *request, [&](Connection& connection, const Caller& caller) -> absl::Status {
        ASSIGN_OR_RETURN(*response, ForwarderEditor(connection, caller.cluster_id, caller.actor()).ServerNames());
        return absl::OkStatus();
      });
}
grpc::Status PhoneTrustService::ChangeServerNames(grpc::ServerContext* context,
                                                  const v1::ChangeServerNamesRequest* request,
                                                  v1::ChangeServerNamesResponse* response) {
  return Change(
      *context, "ChangeServerNames", *request, [&](Connection& connection, const Caller& caller) -> absl::Status {
        ASSIGN_OR_RETURN(*response,
                         ForwarderEditor(connection, caller.cluster_id, caller.actor()).ChangeServerNames(*request));
        return absl::OkStatus();
      });
}

}  // namespace trustline
