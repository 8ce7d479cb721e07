#include "capf/enrolment_service.h"

#include <optional>
#include <string_view>
#include <vector>

#include "capf/campaign_messages.h"
#include "capf/campaign_store.h"
#include "capf/device_unlock.h"
#include "capf/enrolment_messages.h"
#include "capf/enrolment_policy.h"
#include "capf/enrolment_report.h"
#include "capf/operation_list.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/refusal.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Lists and reports are read as one state of the database.
constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};
constexpr PatientStreamWords kScheduleWords = {
    .beginning = "a schedule begins with its options",
    .ended = "the call was ended; what was answered is scheduled, begin again with the rest",
    .gone = "what was not answered may be scheduled",
    .no_thread = "capfd has no thread left to schedule"};

EnrolmentCaller OnBehalfOf(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

absl::StatusOr<EnrolmentPolicyChange> ReadChange(const v1::SetEnrolmentPolicyRequest& request) {
  EnrolmentPolicyChange change;
  if (request.has_re_enrol_by_mic()) change.re_enrol_by_mic = request.re_enrol_by_mic();
  if (request.has_allow_expired_mic()) change.allow_expired_mic = request.allow_expired_mic();
  if (request.has_require_sudi()) change.require_sudi = request.require_sudi();
  if (request.has_key()) {
    ASSIGN_OR_RETURN(change.keys, FromProto(request.key()));
  }
  return change;
}

std::string CampaignSubject(int32_t id) { return fmt::format("campaign {}", id); }

}  // namespace

absl::StatusOr<std::unique_ptr<EnrolmentService>> EnrolmentService::Create(EnrolmentServiceParts parts) {
  const char* const service = v1::Enrolment::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy schedule, MethodPolicy::Find(service, "ScheduleOperations"));
  ASSIGN_OR_RETURN(MethodPolicy list_operations, MethodPolicy::Find(service, "ListOperations"));
  ASSIGN_OR_RETURN(MethodPolicy show, MethodPolicy::Find(service, "ShowEnrolment"));
  ASSIGN_OR_RETURN(MethodPolicy report, MethodPolicy::Find(service, "ReportEnrolment"));
  ASSIGN_OR_RETURN(MethodPolicy list_stale, MethodPolicy::Find(service, "ListStaleCertificates"));
  ASSIGN_OR_RETURN(MethodPolicy unlock, MethodPolicy::Find(service, "UnlockDevice"));
  ASSIGN_OR_RETURN(MethodPolicy get_policy, MethodPolicy::Find(service, "GetEnrolmentPolicy"));
  ASSIGN_OR_RETURN(MethodPolicy set_policy, MethodPolicy::Find(service, "SetEnrolmentPolicy"));
  ASSIGN_OR_RETURN(MethodPolicy create_campaign, MethodPolicy::Find(service, "CreateCampaign"));
  ASSIGN_OR_RETURN(MethodPolicy start_campaign, MethodPolicy::Find(service, "StartCampaign"));
  ASSIGN_OR_RETURN(MethodPolicy pause_campaign, MethodPolicy::Find(service, "PauseCampaign"));
  ASSIGN_OR_RETURN(MethodPolicy list_campaigns, MethodPolicy::Find(service, "ListCampaigns"));
  ASSIGN_OR_RETURN(MethodPolicy show_campaign, MethodPolicy::Find(service, "ShowCampaign"));
  return std::unique_ptr<EnrolmentService>(new EnrolmentService(
      std::move(parts), Policies{std::move(schedule), std::move(list_operations), std::move(show), std::move(report),
                                 std::move(list_stale), std::move(unlock), std::move(get_policy), std::move(set_policy),
                                 std::move(create_campaign), std::move(start_campaign), std::move(pause_campaign),
                                 std::move(list_campaigns), std::move(show_campaign)}));
}

template <typename Request, typename Body>
grpc::Status EnrolmentService::Read(const grpc::ServerContext& context, const MethodPolicy& policy,
                                    const Request& request, Body body) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(context, policy, request);
  if (!caller.ok()) return ToGrpc(caller.status());
  return ToGrpc(RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    return body(connection, caller->cluster_id);
  }));
}

template <typename Request, typename Body>
grpc::Status EnrolmentService::Change(const grpc::ServerContext& context, const MethodPolicy& policy,
                                      const Request& request, std::string_view action, std::string_view subject,
                                      Body body) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(context, policy, request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status status = body(OnBehalfOf(*caller));
  if (!status.ok()) AuditRefusal(parts_.audit, context, *caller, action, subject, status);
  return ToGrpc(status);
}

template <typename Request, typename Response, typename Body>
grpc::Status EnrolmentService::ChangeCampaign(const grpc::ServerContext& context, const MethodPolicy& policy,
                                              const Request& request, std::string_view action, std::string_view subject,
                                              Response& response, Body body) {
  return Change(context, policy, request, action, subject, [&](const EnrolmentCaller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const CampaignRecord campaign,
                     RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::StatusOr<CampaignRecord> {
                       CampaignStore store(connection, caller.cluster_id);
                       return body(store, caller.actor);
                     }));
    *response.mutable_campaign() = ToProto(campaign);
    return absl::OkStatus();
  });
}

absl::StatusOr<ScheduleStream::Job> EnrolmentService::AdmitSchedule(const grpc::CallbackServerContext& context,
                                                                    const v1::ScheduleOperationsRequest& first) {
  // The options come first and say which cluster it is about.
  ASSIGN_OR_RETURN(Caller caller, parts_.authorizer.Authorize(context, policies_.schedule, first));
  const auto refused = [this, &context](const Caller& who, const absl::Status& status) {
    AuditRefusal(parts_.audit, context, who, "capf.schedule", who.cluster, status);
    return status;
  };
  if (!first.has_options()) return refused(caller, InvalidArgument("{}", kScheduleWords.beginning));
  absl::StatusOr<ScheduleOptions> options = ReadScheduleOptions(first.options(), parts_.clock.Now());
  if (!options.ok()) return refused(caller, options.status());
  const std::shared_ptr<void> slot(nullptr, [this](void*) { --schedules_; });
  if (++schedules_ > kMostSchedules) {
    return ResourceExhausted("{} others are scheduling at this moment: try again later", kMostSchedules);
  }
  return [this, refused, slot, caller = std::move(caller), options = *std::move(options)](ScheduleStream& stream) {
    Schedule schedule({parts_.pool, parts_.strings, parts_.add_devices, parts_.clock, parts_.actor}, OnBehalfOf(caller),
                      options);
    const absl::Status status = schedule.Run(stream);
    // Who went away was refused nothing.
    return status.ok() || absl::IsCancelled(status) ? status : refused(caller, status);
  };
}

grpc::ServerBidiReactor<v1::ScheduleOperationsRequest, v1::ScheduleOperationsResponse>*
EnrolmentService::ScheduleOperations(grpc::CallbackServerContext* context) {
  // gRPC owns it: it deletes itself.
  return new ScheduleStream(
      *context, parts_.schedule_patience, kScheduleWords,
      [this, context](const v1::ScheduleOperationsRequest& first) { return AdmitSchedule(*context, first); });
}

grpc::Status EnrolmentService::ListOperations(grpc::ServerContext* context, const v1::ListOperationsRequest* request,
                                              v1::ListOperationsResponse* response) {
  return Read(*context, policies_.list_operations, *request, [&](Connection& connection, int32_t cluster_id) {
    response->Clear();
    return trustline::ListOperations(connection, cluster_id, *request, *response);
  });
}

grpc::Status EnrolmentService::ShowEnrolment(grpc::ServerContext* context, const v1::ShowEnrolmentRequest* request,
                                             v1::ShowEnrolmentResponse* response) {
  return Read(*context, policies_.show, *request, [&](Connection& connection, int32_t cluster_id) -> absl::Status {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request->device()));
    response->Clear();
    return trustline::ShowEnrolment(connection, cluster_id, device.text(), parts_.clock.Now(), *response);
  });
}

grpc::Status EnrolmentService::ReportEnrolment(grpc::ServerContext* context, const v1::ReportEnrolmentRequest* request,
                                               v1::ReportEnrolmentResponse* response) {
  return Read(*context, policies_.report, *request, [&](Connection& connection, int32_t cluster_id) {
    response->Clear();
    return trustline::ReportEnrolment(connection, cluster_id, *request, *response);
  });
}

grpc::Status EnrolmentService::ListStaleCertificates(grpc::ServerContext* context,
                                                     const v1::ListStaleCertificatesRequest* request,
                                                     v1::ListStaleCertificatesResponse* response) {
  return Read(*context, policies_.list_stale, *request, [&](Connection& connection, int32_t cluster_id) {
    response->Clear();
    return trustline::ListStaleCertificates(connection, cluster_id, parts_.clock.Now(), *request, *response);
  });
}

grpc::Status EnrolmentService::UnlockDevice(grpc::ServerContext* context, const v1::UnlockDeviceRequest* request,
                                            v1::UnlockDeviceResponse* response) {
  return Change(*context, policies_.unlock, *request, "capf.unlock", request->device(),
                [&](const EnrolmentCaller& caller) -> absl::Status {
                  ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request->device()));
                  ASSIGN_OR_RETURN(const int32_t locks, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                                     return trustline::UnlockDevice(connection, caller, device.text(),
                                                                    parts_.clock.Now());
                                   }));
                  response->set_locks(locks);
                  return absl::OkStatus();
                });
}

grpc::Status EnrolmentService::GetEnrolmentPolicy(grpc::ServerContext* context,
                                                  const v1::GetEnrolmentPolicyRequest* request,
                                                  v1::GetEnrolmentPolicyResponse* response) {
  return Read(*context, policies_.get_policy, *request,
              [&](Connection& connection, int32_t cluster_id) -> absl::Status {
                ASSIGN_OR_RETURN(const EnrolmentPolicy policy, ReadEnrolmentPolicy(connection, cluster_id));
                *response->mutable_policy() = ToProto(policy);
                return absl::OkStatus();
              });
}

grpc::Status EnrolmentService::SetEnrolmentPolicy(grpc::ServerContext* context,
                                                  const v1::SetEnrolmentPolicyRequest* request,
                                                  v1::SetEnrolmentPolicyResponse* response) {
  return Change(*context, policies_.set_policy, *request, "capf.policy", request->cluster(),
                [&](const EnrolmentCaller& caller) -> absl::Status {
                  ASSIGN_OR_RETURN(const EnrolmentPolicyChange change, ReadChange(*request));
                  ASSIGN_OR_RETURN(const EnrolmentPolicy policy,
                                   RunInTransaction(parts_.pool, {.isolation = Isolation::kSerializable},
                                                    [&](Connection& connection) {
                                                      return ChangeEnrolmentPolicy(connection, caller, change);
                                                    }));
                  *response->mutable_policy() = ToProto(policy);
                  return absl::OkStatus();
                });
}

grpc::Status EnrolmentService::CreateCampaign(grpc::ServerContext* context, const v1::CreateCampaignRequest* request,
                                              v1::CreateCampaignResponse* response) {
  return ChangeCampaign(*context, policies_.create_campaign, *request, "capf.campaign.create", "campaign", *response,
                        [&](CampaignStore& store, const std::string& actor) -> absl::StatusOr<CampaignRecord> {
                          ASSIGN_OR_RETURN(const CampaignOrder order, ReadCampaignOrder(*request));
                          return store.Create(order, actor, parts_.clock.Now());
                        });
}

grpc::Status EnrolmentService::StartCampaign(grpc::ServerContext* context, const v1::StartCampaignRequest* request,
                                             v1::StartCampaignResponse* response) {
  return ChangeCampaign(*context, policies_.start_campaign, *request, "capf.campaign.start",
                        CampaignSubject(request->campaign_id()), *response,
                        [&](CampaignStore& store, const std::string& actor) {
                          return store.Start(request->campaign_id(), actor, parts_.clock.Now());
                        });
}

grpc::Status EnrolmentService::PauseCampaign(grpc::ServerContext* context, const v1::PauseCampaignRequest* request,
                                             v1::PauseCampaignResponse* response) {
  return ChangeCampaign(*context, policies_.pause_campaign, *request, "capf.campaign.pause",
                        CampaignSubject(request->campaign_id()), *response,
                        [&](CampaignStore& store, const std::string& actor) {
                          return store.Pause(request->campaign_id(), actor, parts_.clock.Now());
                        });
}

grpc::Status EnrolmentService::ListCampaigns(grpc::ServerContext* context, const v1::ListCampaignsRequest* request,
                                             v1::ListCampaignsResponse* response) {
  return Read(
      *context, policies_.list_campaigns, *request, [&](Connection& connection, int32_t cluster_id) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<CampaignRecord> campaigns, CampaignStore(connection, cluster_id).List());
        response->Clear();
        for (const CampaignRecord& campaign : campaigns) *response->add_campaigns() = ToProto(campaign);
        return absl::OkStatus();
      });
}

grpc::Status EnrolmentService::ShowCampaign(grpc::ServerContext* context, const v1::ShowCampaignRequest* request,
                                            v1::ShowCampaignResponse* response) {
  return Read(*context, policies_.show_campaign, *request,
              [&](Connection& connection, int32_t cluster_id) -> absl::Status {
                CampaignStore store(connection, cluster_id);
                ASSIGN_OR_RETURN(const CampaignRecord campaign, store.Load(request->campaign_id()));
                ASSIGN_OR_RETURN(const int64_t remaining, store.CountRemaining(campaign, parts_.clock.Now()));
                *response->mutable_campaign() = ToProto(campaign, remaining);
                return absl::OkStatus();
              });
}

}  // namespace trustline
