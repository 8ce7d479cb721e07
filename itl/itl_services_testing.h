// What the tests of itld's services share: all of them behind one gRPC server, and identities to call them with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "itl/access/access_service.h"
#include "itl/audit/audit_service.h"
#include "itl/audit/sealer.h"
#include "itl/itl_testing.h"
#include "itl/node/node_service.h"
#include "itl/trust_store/trust_store_service.h"

namespace trustline {

class ItlServicesTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', 'administrator', 'test'), "
        "(1, 'viewer', 'viewer', 'test'), (1, 'auditor', 'auditor', 'test')");
    const std::string connection = database_->Conninfo("trustline_itld");
    PoolOptions options;
    options.connection.conninfo = connection;
    ASSERT_OK_AND_ASSIGN(pool_, Pool::Create(options));
    ASSERT_OK_AND_ASSIGN(import_pool_, Pool::Create(options));
    audit_ = std::make_unique<AuditQueue>(AuditQueueOptions{.connection = connection}, clock_, log_, metrics_);
    authorizer_ =
        std::make_unique<Authorizer>(AuthorizerOptions{.connection = connection}, clock_, log_, metrics_, *audit_);
    authorizer_->Start();
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
    ASSERT_OK_AND_ASSIGN(trust_store_,
                         TrustStoreService::Create(*authorizer_, *pool_, *import_pool_, clock_, import_patience()));
    ASSERT_OK_AND_ASSIGN(audit_service_, AuditService::Create(*authorizer_, *pool_, *import_pool_, authority_,
                                                              folder_.path() / "seals"));
    ASSERT_OK_AND_ASSIGN(access_, AccessService::Create(*authorizer_, *pool_, authority_, clock_));
    ASSERT_OK_AND_ASSIGN(node_, NodeService::Create({.authorizer = *authorizer_,
                                                     .pool = *pool_,
                                                     .authority = authority_,
                                                     .audit = *audit_,
                                                     .clock = clock_,
                                                     .log = log_,
                                                     .metrics = metrics_}));
    ASSERT_OK_AND_ASSIGN(
        server_, RpcServer::Start(
                     {.identity = itld_identity_.files(),
                      .client_certificate = ClientCertificate::kOptional,
                      .on_no_identity = [this](std::string_view method) { authorizer_->DenyWithoutIdentity(method); }},
                     {trust_store_.get(), audit_service_.get(), access_.get(), node_.get()}, health_));
  }

  virtual absl::Duration import_patience() const { return kImportPatience; }

  void TearDown() override {
    if (server_) server_->Shutdown(absl::ZeroDuration());
    if (authorizer_) authorizer_->Stop();
  }

  template <typename Service>
  std::unique_ptr<typename Service::Stub> As(const IdentityFiles& files) {
    const auto channel = OpenChannel(fmt::format("127.0.0.1:{}", server_->port()), files, "itld");
    EXPECT_OK(channel);
    return Service::NewStub(*channel);
  }
  IdentityFiles Nobody() const { return {.authority = admin_.files().authority}; }

  // Calls `method` of a stub: Call(stub, &Stub::List, request, response).
  template <typename Stub, typename Request, typename Response>
  static absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl((stub.*method)(&context, request, &response));
  }

  struct AddOutcome {
    absl::Status status;
    v1::AddResponse::Result result;
    std::vector<int64_t> progress;
  };
  static AddOutcome Add(v1::TrustStore::Stub& stub, const std::vector<v1::AddRequest>& requests, bool cancel = false) {
    grpc::ClientContext context;
    const auto stream = stub.Add(&context);
    for (const v1::AddRequest& request : requests) {
      if (!stream->Write(request)) break;
    }
    AddOutcome outcome;
    if (cancel) {
      // What was sent has arrived when its progress comes back.
      v1::AddResponse response;
      stream->Read(&response);
      context.TryCancel();
    } else {
      stream->WritesDone();
    }
    v1::AddResponse response;
    while (stream->Read(&response)) {
      if (response.has_progress()) outcome.progress.push_back(response.progress().certificates());
      if (response.has_result()) outcome.result = response.result();
    }
    outcome.status = ToAbsl(stream->Finish());
    return outcome;
  }
  static v1::AddRequest Options(v1::CertificateRole role, int64_t expected = 0) {
    v1::AddRequest request;
    request.mutable_options()->set_cluster("default");
    request.mutable_options()->add_roles(role);
    request.mutable_options()->set_expected_certificates(expected);
    return request;
  }
  static v1::AddRequest Batch(const std::vector<Certificate>& certificates) {
    v1::AddRequest request;
    for (const Certificate& certificate : certificates) {
      v1::AddRequest::Certificate& part = *request.mutable_batch()->add_certificates();
      part.set_der(std::string(AsText(certificate.der())));
      part.set_source("file.pem");
    }
    return request;
  }
  static std::string Hex(const Certificate& certificate) { return ToHex(certificate.sha256()); }

  const TemporaryDirectory folder_;
  const SystemClock clock_{};
  Log log_{LogOptions{.sink = [](std::string_view) {}}};
  Metrics metrics_{"itld"};
  Health health_;
  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity itld_identity_{authority_, "trustline:default/itld/node1"};
  const TestIdentity admin_{authority_, "trustline:default/person/admin"};
  const TestIdentity cad_{authority_, "trustline:default/cad/node1"};
  const TestIdentity viewer_{authority_, "trustline:default/person/viewer"};
  const TestIdentity auditor_{authority_, "trustline:default/person/auditor"};
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<Pool> import_pool_;
  std::unique_ptr<AuditQueue> audit_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<TrustStoreService> trust_store_;
  std::unique_ptr<AuditService> audit_service_;
  std::unique_ptr<AccessService> access_;
  std::unique_ptr<NodeService> node_;
  std::unique_ptr<RpcServer> server_;
};

}  // namespace trustline
