// cad's services: they answer what a test has put there, and keep what they were asked. The tests look at them between
// calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "proto/authority.grpc.pb.h"
#include "proto/device.grpc.pb.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {

class FakeDevices final : public v1::Devices::Service {
 public:
  grpc::Status AddDevice(grpc::ServerContext*, const v1::AddDeviceRequest* request,
                         v1::AddDeviceResponse* response) override {
    added = *request;
    response->mutable_device()->set_name(request->name());
    *response->mutable_device()->mutable_data() = request->data();
    response->mutable_device()->set_state(v1::DEVICE_STATE_IN_SERVICE);
    return grpc::Status::OK;
  }

  // Every batch but the one with the number `stall_at` or `fail_at` (from 0) is taken.
  grpc::Status ImportDevices(grpc::ServerContext* context, const v1::ImportDevicesRequest* request,
                             v1::ImportDevicesResponse* response) override {
    const size_t number = batches.size();
    if (number == fail_at) return {grpc::StatusCode::UNAVAILABLE, "the database is away\x1b[2J"};
    if (number == stall_at) {
      std::unique_lock lock(mutex_);
      stalled_ = true;
      changed_.notify_all();
      while (!context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(10));
      return grpc::Status::CANCELLED;
    }
    batches.push_back(*request);
    response->set_added(request->rows_size() - 1);
    response->set_unchanged(1);
    if (!left_alone.empty()) {
      v1::ImportDevicesResponse::LeftAlone& device = *response->add_left_alone();
      device.set_name(request->rows(0).name());
      device.set_reason(left_alone);
    }
    return grpc::Status::OK;
  }

  void WaitUntilStalled() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stalled_; });
  }

  // Three pages of one device each.
  grpc::Status ListDevices(grpc::ServerContext*, const v1::ListDevicesRequest* request,
                           v1::ListDevicesResponse* response) override {
    listed = *request;
    const int page = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    v1::Device& device = *response->add_devices();
    device.set_name("SEP00112233445" + std::to_string(page));
    device.set_state(v1::DEVICE_STATE_REPLACED);
    device.mutable_data()->set_description("page " + std::to_string(page) + "\x1b[2J");
    if (page < 2) response->set_next_page_token(std::to_string(page + 1));
    return grpc::Status::OK;
  }

  grpc::Status ShowDevice(grpc::ServerContext*, const v1::ShowDeviceRequest* request,
                          v1::ShowDeviceResponse* response) override {
    response->mutable_device()->set_name(request->name());
    response->mutable_device()->set_state(v1::DEVICE_STATE_IN_SERVICE);
    return grpc::Status::OK;
  }

  grpc::Status SetDevice(grpc::ServerContext*, const v1::SetDeviceRequest* request,
                         v1::SetDeviceResponse* response) override {
    set = *request;
    response->set_changed(request->has_site());
    response->mutable_device()->set_name(request->name());
    return grpc::Status::OK;
  }

  grpc::Status ReplaceDevice(grpc::ServerContext*, const v1::ReplaceDeviceRequest* request,
                             v1::ReplaceDeviceResponse* response) override {
    response->mutable_device()->set_name(request->new_name());
    response->set_revoked(2);
    return grpc::Status::OK;
  }

  grpc::Status RetireDevice(grpc::ServerContext*, const v1::RetireDeviceRequest* request,
                            v1::RetireDeviceResponse* response) override {
    response->mutable_device()->set_name(request->name());
    response->mutable_device()->set_state(v1::DEVICE_STATE_RETIRED);
    response->mutable_device()->set_state_reason(request->reason());
    response->set_revoked(1);
    return grpc::Status::OK;
  }

  grpc::Status RemoveDevice(grpc::ServerContext*, const v1::RemoveDeviceRequest* request,
                            v1::RemoveDeviceResponse*) override {
    removed = request->name();
    return grpc::Status::OK;
  }

  v1::AddDeviceRequest added;
  v1::SetDeviceRequest set;
  v1::ListDevicesRequest listed;
  std::string removed;
  std::vector<v1::ImportDevicesRequest> batches;
  std::string left_alone;
  size_t stall_at = SIZE_MAX;
  size_t fail_at = SIZE_MAX;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stalled_ = false;
};

class FakeIssuance final : public v1::Issuance::Service {
 public:
  grpc::Status IssueFromRequest(grpc::ServerContext*, const v1::IssueFromRequestRequest* request,
                                v1::IssueResponse* response) override {
    ++issue_calls;
    issue = *request;
    if (!issue_status.ok()) return issue_status;
    *response = issued;
    return grpc::Status::OK;
  }

  grpc::Status RecordDelivery(grpc::ServerContext*, const v1::RecordDeliveryRequest* request,
                              v1::RecordDeliveryResponse* response) override {
    if (!delivery_status.ok()) return delivery_status;
    delivered = *request;
    *response->mutable_certificate() = issued.certificate();
    response->mutable_certificate()->set_state(request->state());
    response->set_superseded(superseded);
    return grpc::Status::OK;
  }

  // Pages of `page_size`, or of `largest_page`.
  grpc::Status ListCertificates(grpc::ServerContext*, const v1::ListCertificatesRequest* request,
                                v1::ListCertificatesResponse* response) override {
    listed = *request;
    ++list_calls;
    const size_t begin = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    const size_t end =
        std::min({certificates.size(), begin + static_cast<size_t>(request->page_size()), begin + largest_page});
    for (size_t i = begin; i < end; ++i) *response->add_certificates() = certificates[i].certificate();
    if (end < certificates.size()) response->set_next_page_token(std::to_string(end));
    return grpc::Status::OK;
  }

  grpc::Status ShowCertificate(grpc::ServerContext*, const v1::ShowCertificateRequest* request,
                               v1::ShowCertificateResponse* response) override {
    shown = *request;
    for (const v1::ShowCertificateResponse& known : certificates) {
      const v1::IssuedCertificate& certificate = known.certificate();
      if (request->has_device() ? certificate.device() != request->device()
                                : !certificate.serial().starts_with(request->serial_prefix())) {
        continue;
      }
      *response = known;
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "no certificate fits: see `trustctl lsc list`"};
  }

  grpc::Status RevokeCertificate(grpc::ServerContext*, const v1::RevokeCertificateRequest* request,
                                 v1::RevokeCertificateResponse* response) override {
    revoked = *request;
    response->set_changed(!revoked_already);
    v1::IssuedCertificate& certificate = *response->mutable_certificate();
    certificate.set_device("SEP001122334455");
    certificate.set_serial(request->serial());
    certificate.set_state(v1::CERTIFICATE_STATE_REVOKED);
    certificate.mutable_revoked_at()->set_seconds(1'795'377'060);
    certificate.set_revocation_reason(request->reason());
    return grpc::Status::OK;
  }

  // Says how far it is once, and ends with `superseded_status`.
  grpc::Status RevokeSuperseded(grpc::ServerContext*, const v1::RevokeSupersededRequest* request,
                                grpc::ServerWriter<v1::RevokeSupersededResponse>* stream) override {
    superseded_of = *request;
    v1::RevokeSupersededResponse response;
    response.set_certificates_checked(1000);
    response.set_revoked(800);
    stream->Write(response);
    if (!superseded_status.ok() || superseded_ends_early) return superseded_status;
    response.set_certificates_checked(2000);
    response.set_revoked(1500);
    response.set_finished(true);
    stream->Write(response);
    return grpc::Status::OK;
  }

  grpc::Status AuditCertificates(grpc::ServerContext*, const v1::AuditCertificatesRequest* request,
                                 grpc::ServerWriter<v1::AuditCertificatesResponse>* stream) override {
    audited = *request;
    v1::AuditCertificatesResponse response;
    response.set_certificates_checked(1);
    stream->Write(response);
    if (audit_ends_early) return grpc::Status::OK;
    response.set_certificates_checked(2);
    response.set_finished(true);
    response.set_findings_left_out(findings_left_out);
    for (const std::string& finding : findings) response.add_findings(finding);
    stream->Write(response);
    return grpc::Status::OK;
  }

  // A removal says how far it is once, and ends with `purge_status`.
  grpc::Status PurgeCertificates(grpc::ServerContext*, const v1::PurgeCertificatesRequest* request,
                                 grpc::ServerWriter<v1::PurgeCertificatesResponse>* stream) override {
    purged = *request;
    v1::PurgeCertificatesResponse response;
    if (!request->dry_run()) {
      response.set_certificates(10'000);
      stream->Write(response);
    }
    if (!purge_status.ok() || purge_ends_early) return purge_status;
    response.set_certificates(12'000);
    response.set_requests(1);
    response.set_finished(true);
    stream->Write(response);
    return grpc::Status::OK;
  }

  v1::IssueFromRequestRequest issue;
  v1::IssueResponse issued;
  grpc::Status issue_status;
  int issue_calls = 0;
  v1::RecordDeliveryRequest delivered;
  grpc::Status delivery_status;
  int64_t superseded = 0;
  std::vector<v1::ShowCertificateResponse> certificates;
  size_t largest_page = 1000;
  v1::ListCertificatesRequest listed;
  int list_calls = 0;
  v1::ShowCertificateRequest shown;
  v1::RevokeCertificateRequest revoked;
  bool revoked_already = false;
  v1::RevokeSupersededRequest superseded_of;
  grpc::Status superseded_status;
  bool superseded_ends_early = false;
  v1::AuditCertificatesRequest audited;
  std::vector<std::string> findings;
  int64_t findings_left_out = 0;
  bool audit_ends_early = false;
  v1::PurgeCertificatesRequest purged;
  grpc::Status purge_status;
  bool purge_ends_early = false;
};

class FakeAuthorities final : public v1::Authorities::Service {
 public:
  grpc::Status PrepareAuthority(grpc::ServerContext*, const v1::PrepareAuthorityRequest* request,
                                v1::PrepareAuthorityResponse* response) override {
    prepared = *request;
    *response->mutable_authority() = authority;
    return grpc::Status::OK;
  }
  grpc::Status RequestAuthority(grpc::ServerContext*, const v1::RequestAuthorityRequest* request,
                                v1::RequestAuthorityResponse* response) override {
    requested = *request;
    ++request_calls;
    *response->mutable_authority() = authority;
    response->set_certificate_request(certificate_request);
    return grpc::Status::OK;
  }
  grpc::Status ImportAuthorityChain(grpc::ServerContext*, const v1::ImportAuthorityChainRequest* request,
                                    v1::ImportAuthorityChainResponse* response) override {
    imported = *request;
    *response->mutable_authority() = authority;
    return grpc::Status::OK;
  }
  grpc::Status ActivateAuthority(grpc::ServerContext*, const v1::ActivateAuthorityRequest* request,
                                 v1::ActivateAuthorityResponse* response) override {
    *response->mutable_authority() = authority;
    response->mutable_authority()->set_authority_id(request->authority_id());
    response->set_tainted_authority_id(tainted);
    return grpc::Status::OK;
  }
  grpc::Status TaintAuthority(grpc::ServerContext*, const v1::TaintAuthorityRequest* request,
                              v1::TaintAuthorityResponse* response) override {
    tainting = *request;
    *response->mutable_authority() = authority;
    response->mutable_authority()->set_authority_id(request->authority_id());
    return grpc::Status::OK;
  }
  grpc::Status RetireAuthority(grpc::ServerContext*, const v1::RetireAuthorityRequest* request,
                               v1::RetireAuthorityResponse* response) override {
    retired = *request;
    *response->mutable_authority() = authority;
    response->set_discarded(authority.state() == v1::AUTHORITY_STATE_REQUESTED);
    if (preflight) *response->mutable_preflight() = *preflight;
    if (response->discarded() || authority.state() == v1::AUTHORITY_STATE_RETIRED) return grpc::Status::OK;
    return {grpc::StatusCode::FAILED_PRECONDITION, "3 devices in service depend on it: SEP001122334455, ..."};
  }
  grpc::Status ListAuthorities(grpc::ServerContext*, const v1::ListAuthoritiesRequest*,
                               v1::ListAuthoritiesResponse* response) override {
    *response->add_authorities() = authority;
    return grpc::Status::OK;
  }
  grpc::Status ShowAuthority(grpc::ServerContext*, const v1::ShowAuthorityRequest* request,
                             v1::ShowAuthorityResponse* response) override {
    shown = *request;
    *response = show;
    *response->mutable_authority() = authority;
    return grpc::Status::OK;
  }
  grpc::Status GetCrl(grpc::ServerContext*, const v1::GetCrlRequest* request, v1::GetCrlResponse* response) override {
    crl_of = request->authority_id();
    *response = crl;
    return grpc::Status::OK;
  }
  // The certificate `refused_client` is refused.
  grpc::Status AddClientAuthority(grpc::ServerContext*, const v1::AddClientAuthorityRequest* request,
                                  v1::AddClientAuthorityResponse* response) override {
    if (request->certificate() == refused_client) return {grpc::StatusCode::INVALID_ARGUMENT, "it is no authority"};
    clients.push_back(*request);
    response->set_changed(clients.size() == 1);
    response->mutable_authority()->set_purpose(request->purpose());
    response->mutable_authority()->mutable_certificate()->set_subject("CN=client");
    return grpc::Status::OK;
  }
  grpc::Status RemoveClientAuthority(grpc::ServerContext*, const v1::RemoveClientAuthorityRequest* request,
                                     v1::RemoveClientAuthorityResponse* response) override {
    removed_client = *request;
    response->mutable_authority()->set_purpose(request->purpose());
    response->mutable_authority()->mutable_certificate()->set_subject("CN=client\x1b[2J");
    return grpc::Status::OK;
  }
  grpc::Status ListClientAuthorities(grpc::ServerContext*, const v1::ListClientAuthoritiesRequest*,
                                     v1::ListClientAuthoritiesResponse* response) override {
    v1::ClientAuthority& client = *response->add_authorities();
    client.set_purpose(v1::CLIENT_AUTHORITY_PURPOSE_SMALL_BUSINESS);
    client.mutable_certificate()->set_subject("CN=client");
    return grpc::Status::OK;
  }
  grpc::Status BlockKeys(grpc::ServerContext*, const v1::BlockKeysRequest* request,
                         v1::BlockKeysResponse* response) override {
    blocked.push_back(*request);
    response->set_added(request->public_key_sha256_size());
    response->set_total(1'000'000);
    return grpc::Status::OK;
  }

  v1::AuthorityInfo authority;
  v1::PrepareAuthorityRequest prepared;
  v1::RequestAuthorityRequest requested;
  int request_calls = 0;
  std::string certificate_request;
  v1::ImportAuthorityChainRequest imported;
  int32_t tainted = 0;
  v1::TaintAuthorityRequest tainting;
  v1::RetireAuthorityRequest retired;
  std::optional<v1::PreFlight> preflight;  // of a retirement
  v1::ShowAuthorityRequest shown;
  v1::ShowAuthorityResponse show;
  v1::GetCrlResponse crl;
  int32_t crl_of = -1;
  std::string refused_client;
  std::vector<v1::AddClientAuthorityRequest> clients;
  v1::RemoveClientAuthorityRequest removed_client;
  std::vector<v1::BlockKeysRequest> blocked;
};

}  // namespace trustline
