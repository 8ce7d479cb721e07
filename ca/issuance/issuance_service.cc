#include "ca/issuance/issuance_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "ca/issuance/certificate_audit.h"
#include "ca/issuance/delivery.h"
#include "ca/issuance/issuance_list.h"
#include "ca/issuance/issuance_messages.h"
#include "ca/issuance/issuance_purge.h"
#include "ca/revocation/superseded.h"
#include "common/postgres/transaction.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/refusal.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

constexpr char kMetric[] = "trustline_ca_issuances_total";
constexpr char kHelp[] = "Requests for a device's certificate";
constexpr size_t kMaxRequestId = 64;
constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1000;
constexpr size_t kMostConfirmations = 1000;

AuthorityCaller CallerOf(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

absl::Status CheckRequestId(std::string_view id) {
  const bool printable = std::ranges::all_of(id, [](char c) { return c > ' ' && c <= '~'; });
  if (id.size() <= kMaxRequestId && printable) return absl::OkStatus();
  return InvalidArgument("a request id has at most {} printable characters and no blanks", kMaxRequestId);
}

template <typename Request>
absl::StatusOr<IssuanceOrder> ReadOrder(const Caller& caller, const Request& request,
                                        const absl::StatusOr<PublicKeyInfo>& public_key) {
  ASSIGN_OR_RETURN(DeviceName device, DeviceName::Parse(request.device()));
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  RETURN_IF_ERROR(public_key.status());
  IssuanceOrder order = {.caller = CallerOf(caller),
                         .device = std::move(device),
                         .public_key = *public_key,
                         .request_id = request.request_id()};
  if (request.has_lifetime()) order.lifetime = FromProtoDuration(request.lifetime());
  return order;
}

// The subject of a certificate is the device that was named with the request, whatever the request says itself.
absl::Status CheckSubject(const DeviceName& device, const CertificateRequest& request,
                          std::vector<std::string>& warnings) {
  const std::string_view asked = request.subject().common_name();
  const absl::StatusOr<DeviceName> named = DeviceName::Parse(asked);
  if (named.ok() && *named != device) {
    return InvalidArgument("the request is for {}, not for {}: a device's certificate names no other", named->text(),
                           device.text());
  }
  if (!named.ok()) {
    warnings.push_back(fmt::format("the subject asked for ({}) does not name the device: it was replaced by CN={}",
                                   request.subject().empty() ? "none" : request.subject().ToText(), device.text()));
  }
  if (request.asks_for_extensions()) {
    warnings.push_back("the extensions asked for were not taken over: the profile decides them");
  }
  return absl::OkStatus();
}

bool IsAnotherLifetime(const v1::IssuedCertificate& certificate, absl::Duration lifetime) {
  const absl::Time end = FromProtoTime(certificate.requested_at()) + lifetime;
  return absl::AbsDuration(FromProtoTime(certificate.not_after()) - end) > absl::Hours(24);
}

}  // namespace

IssuanceService::IssuanceService(const IssuanceServiceParts& parts, Policies policies)
    : parts_(parts),
      policies_(std::move(policies)),
      issued_(parts.metrics.GetCounter(kMetric, kHelp, {{"outcome", "issued"}})),
      repeated_(parts.metrics.GetCounter(kMetric, kHelp, {{"outcome", "repeated"}})),
      refused_(parts.metrics.GetCounter(kMetric, kHelp, {{"outcome", "refused"}})) {}

absl::StatusOr<std::unique_ptr<IssuanceService>> IssuanceService::Create(const IssuanceServiceParts& parts) {
  const char* const service = v1::Issuance::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy issue_from_request, MethodPolicy::Find(service, "IssueFromRequest"));
  ASSIGN_OR_RETURN(MethodPolicy issue_for_key, MethodPolicy::Find(service, "IssueForKey"));
  ASSIGN_OR_RETURN(MethodPolicy record_delivery, MethodPolicy::Find(service, "RecordDelivery"));
  ASSIGN_OR_RETURN(MethodPolicy confirm_deliveries, MethodPolicy::Find(service, "ConfirmDeliveries"));
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "ListCertificates"));
  ASSIGN_OR_RETURN(MethodPolicy show, MethodPolicy::Find(service, "ShowCertificate"));
  ASSIGN_OR_RETURN(MethodPolicy revoke, MethodPolicy::Find(service, "RevokeCertificate"));
  ASSIGN_OR_RETURN(MethodPolicy revoke_superseded, MethodPolicy::Find(service, "RevokeSuperseded"));
  ASSIGN_OR_RETURN(MethodPolicy audit, MethodPolicy::Find(service, "AuditCertificates"));
  ASSIGN_OR_RETURN(MethodPolicy purge, MethodPolicy::Find(service, "PurgeCertificates"));
  return std::unique_ptr<IssuanceService>(new IssuanceService(
      parts, Policies{std::move(issue_from_request), std::move(issue_for_key), std::move(record_delivery),
                      std::move(confirm_deliveries), std::move(list), std::move(show), std::move(revoke),
                      std::move(revoke_superseded), std::move(audit), std::move(purge)}));
}

absl::Status IssuanceService::Refused(const grpc::ServerContext& context, const Caller& caller, std::string_view device,
                                      const absl::Status& reason) {
  refused_.Add();
  AuditRefusal(parts_.audit, context, caller, "lsc.issue", device, reason);
  return reason;
}

absl::Status IssuanceService::FromRequest(const Caller& caller, const v1::IssueFromRequestRequest& request,
                                          v1::IssueResponse& response) {
  ASSIGN_OR_RETURN(const CertificateRequest certificate_request,
                   CertificateRequest::FromDer(AsBytes(request.certificate_request())));
  ASSIGN_OR_RETURN(IssuanceOrder order, ReadOrder(caller, request, certificate_request.public_key_info()));
  std::vector<std::string> warnings;
  RETURN_IF_ERROR(CheckSubject(order.device, certificate_request, warnings));
  order.second = request.renew() ? SecondCertificate::kAlways : SecondCertificate::kRefuse;
  RETURN_IF_ERROR(Issue(order, response));
  if (response.existed() && request.has_lifetime() && IsAnotherLifetime(response.certificate(), order.lifetime)) {
    warnings.emplace_back(
        "the lifetime asked for was not applied, because the certificate was issued before: --renew issues another");
  }
  for (std::string& warning : warnings) response.add_warnings(std::move(warning));
  return absl::OkStatus();
}

absl::Status IssuanceService::ForKey(const Caller& caller, const v1::IssueForKeyRequest& request,
                                     v1::IssueResponse& response) {
  ASSIGN_OR_RETURN(IssuanceOrder order,
                   ReadOrder(caller, request, PublicKeyInfo::FromDer(AsBytes(request.subject_public_key_info()))));
  order.second = SecondCertificate::kIssue;
  return Issue(order, response);
}

absl::Status IssuanceService::Issue(const IssuanceOrder& order, v1::IssueResponse& response) {
  ASSIGN_OR_RETURN(const IssuedLsc issued, parts_.issuer.Issue(order));
  (issued.existed ? repeated_ : issued_).Add();
  *response.mutable_certificate() = ToProto(issued.record);
  response.set_der(std::string(AsText(issued.certificate.der())));
  for (const Certificate& issuer : issued.chain) response.add_chain(std::string(AsText(issuer.der())));
  response.set_existed(issued.existed);
  return absl::OkStatus();
}

absl::Status IssuanceService::Deliver(const Caller& caller, const v1::RecordDeliveryRequest& request,
                                      v1::RecordDeliveryResponse& response) {
  IssuanceState state = IssuanceState::kDelivered;
  if (request.state() == v1::CERTIFICATE_STATE_CONFIRMED) {
    state = IssuanceState::kConfirmed;
  } else if (request.state() != v1::CERTIFICATE_STATE_DELIVERED) {
    return InvalidArgument("a delivery is recorded as delivered or confirmed");
  }
  const std::vector<int64_t> issuances = {request.issuance_id()};
  ASSIGN_OR_RETURN(const Deliveries deliveries, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                     return RecordDeliveries(connection, CallerOf(caller), issuances, state);
                   }));
  RETURN_IF_ERROR(deliveries.outcomes[0].status());
  if (deliveries.superseded > 0) parts_.publisher.Wake();
  *response.mutable_certificate() = ToProto(*deliveries.outcomes[0]);
  response.set_superseded(deliveries.superseded);
  return absl::OkStatus();
}

absl::Status IssuanceService::Confirm(const Caller& caller, const v1::ConfirmDeliveriesRequest& request,
                                      const grpc::ServerContext& context, v1::ConfirmDeliveriesResponse& response) {
  const std::vector<int64_t> issuances(request.issuance_ids().begin(), request.issuance_ids().end());
  if (issuances.empty() || issuances.size() > kMostConfirmations) {
    return InvalidArgument("1 to {} certificates are confirmed at once", kMostConfirmations);
  }
  ASSIGN_OR_RETURN(const Deliveries deliveries, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                     return RecordDeliveries(connection, CallerOf(caller), issuances, IssuanceState::kConfirmed);
                   }));
  if (deliveries.superseded > 0) parts_.publisher.Wake();
  for (size_t i = 0; i < issuances.size(); ++i) {
    const absl::Status& outcome = deliveries.outcomes[i].status();
    if (outcome.ok()) continue;
    AuditRefusal(parts_.audit, context, caller, "lsc.confirm", fmt::format("issuance {}", issuances[i]), outcome);
    v1::ConfirmDeliveriesResponse::Refusal& refusal = *response.add_refusals();
    refusal.set_issuance_id(issuances[i]);
    refusal.set_reason(std::string(outcome.message()));
  }
  return absl::OkStatus();
}

absl::Status IssuanceService::List(const Caller& caller, const v1::ListCertificatesRequest& request,
                                   v1::ListCertificatesResponse& response) {
  ASSIGN_OR_RETURN(const IssuanceFilter filter, ReadFilter(request));
  const int32_t size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  if (size < 1 || size > kLargestPageSize) return InvalidArgument("a page has 1 to {} certificates", kLargestPageSize);
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const IssuancePage page,
                   ListIssuances(*lease, caller.cluster_id, filter, size, request.page_token()));
  for (const IssuanceRecord& record : page.records) *response.add_certificates() = ToProto(record);
  response.set_next_page_token(page.next);
  return absl::OkStatus();
}

absl::Status IssuanceService::Show(const Caller& caller, const v1::ShowCertificateRequest& request,
                                   v1::ShowCertificateResponse& response) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  IssuanceRecord record;
  if (request.which_case() == v1::ShowCertificateRequest::kDevice) {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request.device()));
    ASSIGN_OR_RETURN(record, FindNewestOf(*lease, caller.cluster_id, device.text()));
  } else {
    constexpr size_t kLeastDigits = 4;
    if (request.serial_prefix().size() < kLeastDigits) {
      return InvalidArgument("at least {} digits of a serial number, or a device, must be given", kLeastDigits);
    }
    ASSIGN_OR_RETURN(const std::string prefix, ReadDigits(request.serial_prefix(), "a serial number"));
    ASSIGN_OR_RETURN(record, FindBySerialPrefix(*lease, caller.cluster_id, prefix));
  }
  *response.mutable_certificate() = ToProto(record);
  const absl::StatusOr<std::string> der = IssuanceStore(*lease, caller.cluster_id).LoadCertificate(record.id);
  if (absl::IsNotFound(der.status())) return absl::OkStatus();  // never signed
  RETURN_IF_ERROR(der.status());
  ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(*der)));
  ASSIGN_OR_RETURN(const Authority authority, AuthorityStore(*lease, caller.cluster_id).Load(record.authority_id));
  response.set_der(*der);
  *response.mutable_summary() = SummaryOf(certificate);
  if (authority.certificate) response.add_chain(std::string(AsText(authority.certificate->der())));
  for (const Certificate& issuer : authority.chain) response.add_chain(std::string(AsText(issuer.der())));
  return absl::OkStatus();
}

absl::Status IssuanceService::Revoke(const Caller& caller, const v1::RevokeCertificateRequest& request,
                                     v1::RevokeCertificateResponse& response) {
  ASSIGN_OR_RETURN(const RevocationReason reason, FromProto(request.reason()));
  ASSIGN_OR_RETURN(const std::string serial, ReadHex(request.serial(), "a serial number"));
  if (serial.empty()) return InvalidArgument("a serial number must be given");
  ASSIGN_OR_RETURN(const Revocation revocation, RunInTransaction(parts_.pool, {}, [&](Connection& connection) {
                     return Revoker(connection, CallerOf(caller)).Revoke(CanonicalSerial(AsBytes(serial)), reason);
                   }));
  if (revocation.changed || revocation.others > 0) parts_.publisher.Wake();
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.pool.Acquire());
  ASSIGN_OR_RETURN(const IssuanceRecord record, IssuanceStore(*lease, caller.cluster_id).Load(revocation.issuance_id));
  response.set_changed(revocation.changed);
  response.set_key_blocked(revocation.key_blocked);
  response.set_others_revoked(revocation.others);
  *response.mutable_certificate() = ToProto(record);
  return absl::OkStatus();
}

absl::Status IssuanceService::RevokeAllSuperseded(const Caller& caller, const v1::RevokeSupersededRequest& request,
                                                  const grpc::ServerContext& context,
                                                  grpc::ServerWriter<v1::RevokeSupersededResponse>& writer) {
  const auto tell = [&writer](const SupersededCount& count, bool finished) {
    v1::RevokeSupersededResponse message;
    message.set_certificates_checked(count.checked);
    message.set_revoked(count.revoked);
    message.set_finished(finished);
    return writer.Write(message);
  };
  const absl::StatusOr<SupersededCount> count = trustline::RevokeSuperseded(
      parts_.long_pool, CallerOf(caller), request.authority_id(), [&](const SupersededCount& so_far) -> absl::Status {
        if (!context.IsCancelled() && tell(so_far, false)) return absl::OkStatus();
        return absl::CancelledError("the client went away");
      });
  parts_.publisher.Wake();
  RETURN_IF_ERROR(count.status());
  tell(*count, true);
  return absl::OkStatus();
}

absl::Status IssuanceService::AuditAll(const Caller& caller, const v1::AuditCertificatesRequest& request,
                                       const grpc::ServerContext& context,
                                       grpc::ServerWriter<v1::AuditCertificatesResponse>& writer) {
  const absl::Time since = request.has_since() ? FromProtoTime(request.since()) : absl::UnixEpoch();
  ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.long_pool.Acquire());
  ASSIGN_OR_RETURN(const CertificateAuditResult result,
                   trustline::AuditCertificates(*lease, caller.cluster_id, since, [&](int64_t checked) -> absl::Status {
                     v1::AuditCertificatesResponse progress;
                     progress.set_certificates_checked(checked);
                     if (context.IsCancelled() || !writer.Write(progress)) {
                       return absl::CancelledError("the client went away");
                     }
                     return absl::OkStatus();
                   }));
  v1::AuditCertificatesResponse last;
  last.set_certificates_checked(result.checked);
  last.set_finished(true);
  for (const std::string& finding : result.findings) last.add_findings(finding);
  last.set_findings_left_out(result.findings_left_out);
  writer.Write(last);
  return absl::OkStatus();
}

absl::Status IssuanceService::Purge(const Caller& caller, const v1::PurgeCertificatesRequest& request,
                                    const grpc::ServerContext& context,
                                    grpc::ServerWriter<v1::PurgeCertificatesResponse>& writer) {
  if (!request.has_expired_before()) {
    return InvalidArgument("say before which time the certificates ended whose records are to be removed");
  }
  const PurgeOrder order = {.caller = CallerOf(caller), .expired_before = FromProtoTime(request.expired_before())};
  PurgeCount count;
  if (request.dry_run()) {
    ASSIGN_OR_RETURN(const Pool::Lease lease, parts_.long_pool.Acquire());
    ASSIGN_OR_RETURN(count, CountPurgeable(*lease, caller.cluster_id, order.expired_before));
  } else {
    // Several would wait for each other's rows, and keep the connections that CRLs need.
    if (purging_.exchange(true)) {
      return ResourceExhausted("records are being removed already: try again when that is done");
    }
    const absl::Cleanup done = [this] { purging_ = false; };
    const auto report = [&](const PurgeCount& so_far) -> absl::Status {
      v1::PurgeCertificatesResponse progress;
      progress.set_certificates(so_far.certificates);
      progress.set_requests(so_far.requests);
      if (context.IsCancelled() || !writer.Write(progress)) return absl::CancelledError("the client went away");
      return absl::OkStatus();
    };
    ASSIGN_OR_RETURN(count, PurgeIssuances(parts_.long_pool, order, report));
  }
  v1::PurgeCertificatesResponse last;
  last.set_certificates(count.certificates);
  last.set_requests(count.requests);
  last.set_finished(true);
  writer.Write(last);
  return absl::OkStatus();
}

grpc::Status IssuanceService::IssueFromRequest(grpc::ServerContext* context, const v1::IssueFromRequestRequest* request,
                                               v1::IssueResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.issue_from_request, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status status = FromRequest(*caller, *request, *response);
  return ToGrpc(status.ok() ? status : Refused(*context, *caller, request->device(), status));
}

grpc::Status IssuanceService::IssueForKey(grpc::ServerContext* context, const v1::IssueForKeyRequest* request,
                                          v1::IssueResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.issue_for_key, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status status = ForKey(*caller, *request, *response);
  return ToGrpc(status.ok() ? status : Refused(*context, *caller, request->device(), status));
}

grpc::Status IssuanceService::RecordDelivery(grpc::ServerContext* context, const v1::RecordDeliveryRequest* request,
                                             v1::RecordDeliveryResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.record_delivery, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status recorded = Deliver(*caller, *request, *response);
  if (!recorded.ok()) {
    const bool confirms = request->state() == v1::CERTIFICATE_STATE_CONFIRMED;
    AuditRefusal(parts_.audit, *context, *caller, confirms ? "lsc.confirm" : "lsc.deliver",
                 fmt::format("issuance {}", request->issuance_id()), recorded);
  }
  return ToGrpc(recorded);
}

grpc::Status IssuanceService::ConfirmDeliveries(grpc::ServerContext* context,
                                                const v1::ConfirmDeliveriesRequest* request,
                                                v1::ConfirmDeliveriesResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.confirm_deliveries, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status confirmed = Confirm(*caller, *request, *context, *response);
  if (!confirmed.ok()) AuditRefusal(parts_.audit, *context, *caller, "lsc.confirm", caller->cluster, confirmed);
  return ToGrpc(confirmed);
}

grpc::Status IssuanceService::ListCertificates(grpc::ServerContext* context, const v1::ListCertificatesRequest* request,
                                               v1::ListCertificatesResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.list, *request);
  return ToGrpc(caller.ok() ? List(*caller, *request, *response) : caller.status());
}

grpc::Status IssuanceService::ShowCertificate(grpc::ServerContext* context, const v1::ShowCertificateRequest* request,
                                              v1::ShowCertificateResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.show, *request);
  return ToGrpc(caller.ok() ? Show(*caller, *request, *response) : caller.status());
}

grpc::Status IssuanceService::RevokeCertificate(grpc::ServerContext* context,
                                                const v1::RevokeCertificateRequest* request,
                                                v1::RevokeCertificateResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.revoke, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status revoked = Revoke(*caller, *request, *response);
  if (!revoked.ok()) AuditRefusal(parts_.audit, *context, *caller, "lsc.revoke", request->serial(), revoked);
  return ToGrpc(revoked);
}

grpc::Status IssuanceService::RevokeSuperseded(grpc::ServerContext* context, const v1::RevokeSupersededRequest* request,
                                               grpc::ServerWriter<v1::RevokeSupersededResponse>* writer) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.revoke_superseded, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status revoked = RevokeAllSuperseded(*caller, *request, *context, *writer);
  if (!revoked.ok()) {
    AuditRefusal(parts_.audit, *context, *caller, "lsc.revoke", fmt::format("authority {}", request->authority_id()),
                 revoked);
  }
  return ToGrpc(revoked);
}

grpc::Status IssuanceService::AuditCertificates(grpc::ServerContext* context,
                                                const v1::AuditCertificatesRequest* request,
                                                grpc::ServerWriter<v1::AuditCertificatesResponse>* writer) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.audit, *request);
  return ToGrpc(caller.ok() ? AuditAll(*caller, *request, *context, *writer) : caller.status());
}

grpc::Status IssuanceService::PurgeCertificates(grpc::ServerContext* context,
                                                const v1::PurgeCertificatesRequest* request,
                                                grpc::ServerWriter<v1::PurgeCertificatesResponse>* writer) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.purge, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const absl::Status purged = Purge(*caller, *request, *context, *writer);
  // A dry run would have changed nothing.
  if (!purged.ok() && !request->dry_run()) {
    AuditRefusal(parts_.audit, *context, *caller, "lsc.purge", caller->cluster, purged);
  }
  return ToGrpc(purged);
}

}  // namespace trustline
