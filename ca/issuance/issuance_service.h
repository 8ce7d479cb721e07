// The gRPC service Issuance (proto/issuance.proto).
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ca/issuance/issuer.h"
#include "ca/revocation/crl_publisher.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "common/service/metrics.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {

struct IssuanceServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  Pool& long_pool;  // its statements may take minutes
  Issuer& issuer;
  CrlPublisher& publisher;  // told of revocations
  AuditQueue& audit;        // takes the refused requests
  Metrics& metrics;
};

// Thread-safe. What the parts refer to must outlive it. Metric: trustline_ca_issuances_total{outcome}.
class IssuanceService final : public v1::Issuance::Service {
 public:
  static absl::StatusOr<std::unique_ptr<IssuanceService>> Create(const IssuanceServiceParts& parts);

  grpc::Status IssueFromRequest(grpc::ServerContext* context, const v1::IssueFromRequestRequest* request,
                                v1::IssueResponse* response) override;
  grpc::Status IssueForKey(grpc::ServerContext* context, const v1::IssueForKeyRequest* request,
                           v1::IssueResponse* response) override;
  grpc::Status RecordDelivery(grpc::ServerContext* context, const v1::RecordDeliveryRequest* request,
                              v1::RecordDeliveryResponse* response) override;
  grpc::Status ConfirmDeliveries(grpc::ServerContext* context, const v1::ConfirmDeliveriesRequest* request,
                                 v1::ConfirmDeliveriesResponse* response) override;
  grpc::Status ListCertificates(grpc::ServerContext* context, const v1::ListCertificatesRequest* request,
                                v1::ListCertificatesResponse* response) override;
  grpc::Status ShowCertificate(grpc::ServerContext* context, const v1::ShowCertificateRequest* request,
                               v1::ShowCertificateResponse* response) override;
  grpc::Status RevokeCertificate(grpc::ServerContext* context, const v1::RevokeCertificateRequest* request,
                                 v1::RevokeCertificateResponse* response) override;
  grpc::Status RevokeSuperseded(grpc::ServerContext* context, const v1::RevokeSupersededRequest* request,
                                grpc::ServerWriter<v1::RevokeSupersededResponse>* writer) override;
  grpc::Status AuditCertificates(grpc::ServerContext* context, const v1::AuditCertificatesRequest* request,
                                 grpc::ServerWriter<v1::AuditCertificatesResponse>* writer) override;
  grpc::Status PurgeCertificates(grpc::ServerContext* context, const v1::PurgeCertificatesRequest* request,
                                 grpc::ServerWriter<v1::PurgeCertificatesResponse>* writer) override;

 private:
  struct Policies {
    MethodPolicy issue_from_request, issue_for_key, record_delivery, confirm_deliveries, list, show, revoke,
        revoke_superseded, audit, purge;
  };
  IssuanceService(const IssuanceServiceParts& parts, Policies policies);

  absl::Status FromRequest(const Caller& caller, const v1::IssueFromRequestRequest& request,
                           v1::IssueResponse& response);
  absl::Status ForKey(const Caller& caller, const v1::IssueForKeyRequest& request, v1::IssueResponse& response);
  absl::Status Issue(const IssuanceOrder& order, v1::IssueResponse& response);
  // Every refusal stands in the audit log.
  absl::Status Refused(const grpc::ServerContext& context, const Caller& caller, std::string_view device,
                       const absl::Status& reason);
  absl::Status Deliver(const Caller& caller, const v1::RecordDeliveryRequest& request,
                       v1::RecordDeliveryResponse& response);
  absl::Status Confirm(const Caller& caller, const v1::ConfirmDeliveriesRequest& request,
                       const grpc::ServerContext& context, v1::ConfirmDeliveriesResponse& response);
  absl::Status List(const Caller& caller, const v1::ListCertificatesRequest& request,
                    v1::ListCertificatesResponse& response);
  absl::Status Show(const Caller& caller, const v1::ShowCertificateRequest& request,
                    v1::ShowCertificateResponse& response);
  absl::Status Revoke(const Caller& caller, const v1::RevokeCertificateRequest& request,
                      v1::RevokeCertificateResponse& response);
  absl::Status RevokeAllSuperseded(const Caller& caller, const v1::RevokeSupersededRequest& request,
                                   const grpc::ServerContext& context,
                                   grpc::ServerWriter<v1::RevokeSupersededResponse>& writer);
  absl::Status AuditAll(const Caller& caller, const v1::AuditCertificatesRequest& request,
                        const grpc::ServerContext& context, grpc::ServerWriter<v1::AuditCertificatesResponse>& writer);
  absl::Status Purge(const Caller& caller, const v1::PurgeCertificatesRequest& request,
                     const grpc::ServerContext& context, grpc::ServerWriter<v1::PurgeCertificatesResponse>& writer);

  const IssuanceServiceParts parts_;
  const Policies policies_;
  Counter& issued_;
  Counter& repeated_;
  Counter& refused_;
  std::atomic<bool> purging_ = false;
};

}  // namespace trustline
