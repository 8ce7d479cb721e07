// Services that answer what a test has put there, and keep what they were asked.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/rpc/authorization.h"
#include "common/rpc/identity_authority.h"
#include "common/x509/certificate_request.h"
#include "proto/access.grpc.pb.h"
#include "proto/audit.grpc.pb.h"
#include "proto/node.grpc.pb.h"
#include "proto/trust_store.grpc.pb.h"
#include "proto/verification.grpc.pb.h"

namespace trustline {

class FakeTrustStore final : public v1::TrustStore::Service {
 public:
  grpc::Status Add(grpc::ServerContext* context,
                   grpc::ServerReaderWriter<v1::AddResponse, v1::AddRequest>* stream) override {
    int64_t count = 0;
    bool closed = false;
    for (v1::AddRequest request; stream->Read(&request);) {
      if (request.has_options()) options = request.options();
      count += request.batch().certificates_size();
      {
        const std::lock_guard lock(mutex_);
        begun_ = true;
        changed_.notify_all();
      }
      while (stall && !context->IsCancelled()) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::milliseconds(10));
      }
    }
    closed = !context->IsCancelled();
    if (!closed) {
      cancelled = true;
      return grpc::Status::CANCELLED;
    }
    v1::AddResponse response;
    response.mutable_progress()->set_certificates(count);
    stream->Write(response);
    *response.mutable_result() = result;
    received = count;
    stream->Write(response);
    return grpc::Status::OK;
  }

  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) override {
    // Three pages of one certificate each.
    const int page = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    v1::TrustedCertificate& trusted = *response->add_certificates();
    trusted.mutable_certificate()->set_sha256(std::string(32, static_cast<char>(page)));
    trusted.mutable_certificate()->set_subject("CN=page " + std::to_string(page) + "\x1b[2J");
    v1::TrustEntry& entry = *trusted.add_entries();
    entry.set_role(v1::CERTIFICATE_ROLE_CCM_TFTP);
    entry.mutable_ttl()->set_seconds(3600);
    entry.set_listed(page == 1);
    if (page < 2) response->set_next_page_token(std::to_string(page + 1));
    return grpc::Status::OK;
  }

  grpc::Status Set(grpc::ServerContext*, const v1::SetRequest* request, v1::SetResponse* response) override {
    asked_to_set = *request;
    response->set_commit(18);
    if (preflight) *response->mutable_preflight() = *preflight;
    return grpc::Status::OK;
  }

  // Nothing is there to be removed unless `removed_certificate` is.
  grpc::Status Remove(grpc::ServerContext*, const v1::RemoveRequest* request, v1::RemoveResponse* response) override {
    asked_to_remove = *request;
    if (!remove_status.ok()) return remove_status;
    if (removed_certificate) {
      response->set_commit(19);
      *response->mutable_certificate()->mutable_certificate() = *removed_certificate;
      if (preflight) *response->mutable_preflight() = *preflight;
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "no trusted certificate begins with " + request->fingerprint_prefix() +
                                             ": see `trustctl trust list`\x1b[2J"};
  }

  grpc::Status AddCrl(grpc::ServerContext*, const v1::AddCrlRequest* request, v1::AddCrlResponse* response) override {
    crl_added = *request;
    response->set_commit(20);
    response->mutable_crl()->set_issuer("CN=issuer");
    if (preflight) *response->mutable_preflight() = *preflight;
    return grpc::Status::OK;
  }

  grpc::Status Show(grpc::ServerContext*, const v1::ShowRequest* request, v1::ShowResponse* response) override {
    shown = *request;
    *response->mutable_certificate()->mutable_certificate() = shown_certificate;
    return grpc::Status::OK;
  }

  grpc::Status Export(grpc::ServerContext*, const v1::ExportRequest*,
                      grpc::ServerWriter<v1::ExportResponse>* stream) override {
    v1::ExportResponse response;
    for (const std::string& der : exported) response.add_certificates(der);
    stream->Write(response);
    return export_status;
  }

  void WaitUntilBegun() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return begun_; });
  }

  v1::AddRequest::Options options;
  v1::SetRequest asked_to_set;
  v1::RemoveRequest asked_to_remove;
  std::optional<v1::CertificateSummary> removed_certificate;
  grpc::Status remove_status;
  v1::AddCrlRequest crl_added;
  v1::ShowRequest shown;
  v1::CertificateSummary shown_certificate;
  std::optional<v1::PreFlight> preflight;  // of changes
  v1::AddResponse::Result result;
  std::atomic<int64_t> received = 0;
  std::atomic<bool> stall = false;
  std::atomic<bool> cancelled = false;
  std::vector<std::string> exported;
  grpc::Status export_status;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool begun_ = false;
};

class FakeVerification final : public v1::Verification::Service {
 public:
  grpc::Status VerifyBatch(grpc::ServerContext*,
                           grpc::ServerReaderWriter<v1::VerifyResponse, v1::VerifyRequest>* stream) override {
    for (v1::VerifyRequest request; stream->Read(&request);) {
      v1::VerifyResponse response;
      if (request.number() == fails_at) return failure;
      response.set_number(request.number() + (out_of_order ? 1 : 0));
      if (request.certificate() == valid) {
        response.set_verdict(v1::VERDICT_VALID);
        response.add_roles(v1::CERTIFICATE_ROLE_CAPF);
        response.mutable_ttl()->set_seconds(60);
      } else {
        response.set_verdict(v1::VERDICT_INVALID);
        response.set_reason(v1::INVALID_REASON_UNKNOWN);
        response.set_explanation("nobody added it: see `trustctl trust add`");
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  std::string valid;
  uint64_t fails_at = UINT64_MAX;
  grpc::Status failure;
  bool out_of_order = false;
};

class FakeAudit final : public v1::Audit::Service {
 public:
  grpc::Status List(grpc::ServerContext*, const v1::ListAuditRequest* request,
                    grpc::ServerWriter<v1::AuditEvent>* stream) override {
    asked = *request;
    for (int i = 1; i <= 2; ++i) {
      v1::AuditEvent event;
      event.set_event_id(i);
      event.mutable_at()->set_seconds(1'795'377'060);
      event.set_action("trust.add");
      event.set_detail("{\"count\": 3}");
      stream->Write(event);
    }
    return grpc::Status::OK;
  }
  grpc::Status Verify(grpc::ServerContext*, const v1::VerifyAuditRequest*,
                      grpc::ServerWriter<v1::VerifyAuditResponse>* stream) override {
    v1::VerifyAuditResponse response;
    response.set_events_checked(2);
    stream->Write(response);
    response.set_finished(true);
    response.set_intact(finding.empty());
    if (!finding.empty()) response.add_findings(finding);
    stream->Write(response);
    return grpc::Status::OK;
  }

  grpc::Status Retire(grpc::ServerContext*, const v1::RetireAuditRequest* request,
                      grpc::ServerWriter<v1::RetireAuditResponse>* stream) override {
    retire_before = request->before().seconds();
    v1::RetireAuditResponse response;
    response.set_events_checked(2);
    stream->Write(response);
    if (!retire_status.ok()) return retire_status;
    response.set_finished(true);
    response.set_removed_rows(2);
    response.set_last_number(2);
    response.mutable_retired_before()->set_seconds(retire_before);
    stream->Write(response);
    return grpc::Status::OK;
  }

  v1::ListAuditRequest asked;
  std::string finding;
  int64_t retire_before = 0;
  grpc::Status retire_status;
};

class FakeAccess final : public v1::Access::Service {
 public:
  grpc::Status IssuePersonIdentity(grpc::ServerContext*, const v1::IssuePersonIdentityRequest* request,
                                   v1::IssuePersonIdentityResponse* response) override {
    const CertificateRequest certificate_request =
        *CertificateRequest::FromDer(AsBytes(request->certificate_request()));
    const Identity identity = *Identity::Create(kSystemCluster, kPersonKind, request->person());
    const Certificate certificate = *authority->IssueIdentity(certificate_request, identity, absl::Now());
    response->set_certificate(std::string(AsText(certificate.der())));
    response->set_authority(std::string(AsText(authority->certificate().der())));
    return grpc::Status::OK;
  }
  grpc::Status ListGrants(grpc::ServerContext* context, const v1::ListGrantsRequest* request,
                          v1::ListGrantsResponse* response) override {
    v1::AccessGrant& grant = *response->add_grants();
    grant.set_cluster(request->cluster());
    const absl::StatusOr<Identity> caller = PeerIdentity(*context);
    if (caller.ok()) grant.set_granted_by(caller->ToUri());
    grant.set_role(v1::ACCESS_ROLE_OPERATOR);
    return grpc::Status::OK;
  }

  const IdentityAuthority* authority = nullptr;
};

class FakeNode final : public v1::Node::Service {
 public:
  grpc::Status CreateToken(grpc::ServerContext*, const v1::CreateTokenRequest* request,
                           v1::CreateTokenResponse* response) override {
    response->set_authority_sha256(std::string(32, '\xfb'));
    response->set_secret(std::string(32, '\xff'));
    response->mutable_expires_at()->set_seconds(1'795'377'060 + request->lifetime().seconds());
    return grpc::Status::OK;
  }
  // One that an administrator has approved and one that waits.
  grpc::Status ListNodes(grpc::ServerContext*, const v1::ListNodesRequest*, v1::ListNodesResponse* response) override {
    v1::NodeInfo& approved = *response->add_nodes();
    approved.set_name("node1");
    approved.mutable_approved_at()->set_seconds(1'795'377'060);
    approved.set_approved_by("trustline:default/person/admin");
    approved.set_grpc_address("192.0.2.1:9441");
    response->add_nodes()->set_name("branch1");
    return grpc::Status::OK;
  }
  grpc::Status ApproveNode(grpc::ServerContext*, const v1::ApproveNodeRequest* request,
                           v1::ApproveNodeResponse* response) override {
    response->set_changed(request->node() == "branch1");
    response->set_commit(request->node() == "branch1" ? 17 : 0);
    return grpc::Status::OK;
  }
  grpc::Status RemoveNode(grpc::ServerContext*, const v1::RemoveNodeRequest* request,
                          v1::RemoveNodeResponse* response) override {
    removed = *request;
    if (preflight) *response->mutable_preflight() = *preflight;
    return grpc::Status::OK;
  }

  v1::RemoveNodeRequest removed;
  std::optional<v1::PreFlight> preflight;
};

}  // namespace trustline
