// The gRPC service Enrolment (proto/enrolment.proto).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "capf/authentication_string.h"
#include "capf/schedule.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {

// Calls of ScheduleOperations at once: each has a thread, and a connection while its transactions run.
inline constexpr int kMostSchedules = 4;

struct EnrolmentServiceParts {
  Authorizer& authorizer;
  Pool& pool;  // of more connections than kMostSchedules
  const AuthenticationStrings& strings;
  AddDevices add_devices;  // to the devices of a cluster, through cad
  AuditQueue& audit;       // takes the refused changes
  const Clock& clock;
  std::string actor;  // this capfd's identity URI
  // A client that sends nothing for so long while it schedules is given up.
  absl::Duration schedule_patience = absl::Seconds(60);
};

// Thread-safe. What the parts refer to must outlive it.
class EnrolmentService final : public v1::Enrolment::WithCallbackMethod_ScheduleOperations<v1::Enrolment::Service> {
 public:
  static absl::StatusOr<std::unique_ptr<EnrolmentService>> Create(EnrolmentServiceParts parts);

  grpc::ServerBidiReactor<v1::ScheduleOperationsRequest, v1::ScheduleOperationsResponse>* ScheduleOperations(
      grpc::CallbackServerContext* context) override;
  grpc::Status ListOperations(grpc::ServerContext* context, const v1::ListOperationsRequest* request,
                              v1::ListOperationsResponse* response) override;
  grpc::Status ShowEnrolment(grpc::ServerContext* context, const v1::ShowEnrolmentRequest* request,
                             v1::ShowEnrolmentResponse* response) override;
  grpc::Status ReportEnrolment(grpc::ServerContext* context, const v1::ReportEnrolmentRequest* request,
                               v1::ReportEnrolmentResponse* response) override;
  grpc::Status ListStaleCertificates(grpc::ServerContext* context, const v1::ListStaleCertificatesRequest* request,
                                     v1::ListStaleCertificatesResponse* response) override;
  grpc::Status UnlockDevice(grpc::ServerContext* context, const v1::UnlockDeviceRequest* request,
                            v1::UnlockDeviceResponse* response) override;
  grpc::Status GetEnrolmentPolicy(grpc::ServerContext* context, const v1::GetEnrolmentPolicyRequest* request,
                                  v1::GetEnrolmentPolicyResponse* response) override;
  grpc::Status SetEnrolmentPolicy(grpc::ServerContext* context, const v1::SetEnrolmentPolicyRequest* request,
                                  v1::SetEnrolmentPolicyResponse* response) override;
  grpc::Status CreateCampaign(grpc::ServerContext* context, const v1::CreateCampaignRequest* request,
                              v1::CreateCampaignResponse* response) override;
  grpc::Status StartCampaign(grpc::ServerContext* context, const v1::StartCampaignRequest* request,
                             v1::StartCampaignResponse* response) override;
  grpc::Status PauseCampaign(grpc::ServerContext* context, const v1::PauseCampaignRequest* request,
                             v1::PauseCampaignResponse* response) override;
  grpc::Status ListCampaigns(grpc::ServerContext* context, const v1::ListCampaignsRequest* request,
                             v1::ListCampaignsResponse* response) override;
  grpc::Status ShowCampaign(grpc::ServerContext* context, const v1::ShowCampaignRequest* request,
                            v1::ShowCampaignResponse* response) override;

 private:
  struct Policies {
    MethodPolicy schedule, list_operations, show, report, list_stale, unlock, get_policy, set_policy, create_campaign,
        start_campaign, pause_campaign, list_campaigns, show_campaign;
  };
  EnrolmentService(EnrolmentServiceParts parts, Policies policies)
      : parts_(std::move(parts)), policies_(std::move(policies)) {}

  absl::StatusOr<ScheduleStream::Job> AdmitSchedule(const grpc::CallbackServerContext& context,
                                                    const v1::ScheduleOperationsRequest& first);
  // Calls `body` for who may call. Read gives it a connection that sees one state of the database. What a change is
  // refused for stands in the audit log.
  template <typename Request, typename Body>
  grpc::Status Read(const grpc::ServerContext& context, const MethodPolicy& policy, const Request& request, Body body);
  template <typename Request, typename Body>
  grpc::Status Change(const grpc::ServerContext& context, const MethodPolicy& policy, const Request& request,
                      std::string_view action, std::string_view subject, Body body);
  template <typename Request, typename Response, typename Body>
  grpc::Status ChangeCampaign(const grpc::ServerContext& context, const MethodPolicy& policy, const Request& request,
                              std::string_view action, std::string_view subject, Response& response, Body body);

  const EnrolmentServiceParts parts_;
  const Policies policies_;
  std::atomic<int> schedules_ = 0;
};

}  // namespace trustline
