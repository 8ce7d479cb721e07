// What the tests of the service TrustLists share: the service behind a gRPC server of its own, beside itld's others.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "itl/itl_services_testing.h"
#include "itl/list/list_publisher.h"
#include "itl/list/trust_list_service.h"

namespace trustline {

class TrustListServiceTest : public ItlServicesTest {
 protected:
  using Stub = v1::TrustLists::Stub;

  void SetUp() override {
    ItlServicesTest::SetUp();
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_itld");
    ASSERT_OK_AND_ASSIGN(list_pool_, Pool::Create(options));
    std::filesystem::create_directory(folder_.path() / "list-keys");
    std::filesystem::permissions(folder_.path() / "list-keys", std::filesystem::perms(0700));
    folder_.WriteFile("list-passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(folder_.path() / "list-passphrase", std::filesystem::perms(0600));
    RestartWithKeysOnDisk();
    v1::GrantRequest grant;
    grant.set_person("operator");
    grant.set_role(v1::ACCESS_ROLE_OPERATOR);
    v1::GrantResponse granted;
    ASSERT_OK(Call(*As<v1::Access>(admin_.files()), &v1::Access::Stub::Grant, grant, granted));
    RunByHand(
        "INSERT INTO node (name, identity, identity_expires_at, approved_at, approved_by) VALUES ('node1', "
        "'trustline:default/tvsd/node1', now(), now(), 'test')");
  }

  // As an itld that has just started.
  void RestartWithKeysOnDisk() {
    if (list_server_) list_server_->Shutdown(absl::ZeroDuration());
    list_server_.reset();
    service_.reset();
    publisher_.reset();
    ASSERT_OK_AND_ASSIGN(keys_, KeyFolder::Open(folder_.path() / "list-keys", folder_.path() / "list-passphrase",
                                                {"the lists' keys", "itld"}));
    const VouchingCheck vouching = [this](const std::string&, const Certificate&,
                                          const std::vector<std::string>& without) {
      const std::lock_guard lock(mutex_);
      without_ = without;
      if (refusals_ == 0) return absl::OkStatus();
      --refusals_;
      return absl::FailedPreconditionError("node2 does not answer");
    };
    publisher_ = std::make_unique<ListPublisher>(ListPublisherOptions(), *list_pool_, *keys_, vouching,
                                                 "trustline:default/itld/node1", clock_, log_, metrics_);
    Serve(publisher_.get(), keys_.get());
  }

  void TearDown() override {
    if (list_server_) list_server_->Shutdown(absl::ZeroDuration());
    ItlServicesTest::TearDown();
  }

  // Both null: an itld that has no folder for keys.
  void Serve(ListPublisher* publisher, KeyFolder* keys) { Serve(publisher, keys, clock_); }
  void Serve(ListPublisher* publisher, KeyFolder* keys, const Clock& clock) {
    if (list_server_) list_server_->Shutdown(absl::ZeroDuration());
    list_server_.reset();
    ASSERT_OK_AND_ASSIGN(
        service_,
        TrustListService::Create(
            {.authorizer = *authorizer_, .pool = *list_pool_, .publisher = publisher, .keys = keys, .clock = clock}));
    ASSERT_OK_AND_ASSIGN(list_server_, RpcServer::Start({.identity = itld_identity_.files(),
                                                         .client_certificate = ClientCertificate::kOptional},
                                                        {service_.get()}, health_));
  }

  std::unique_ptr<Stub> Lists(const IdentityFiles& files) {
    const auto channel = OpenChannel(fmt::format("127.0.0.1:{}", list_server_->port()), files, "itld");
    EXPECT_OK(channel);
    return v1::TrustLists::NewStub(*channel);
  }
  // As the administrator; the response is dropped, or kept.
  template <typename Request, typename Response>
  absl::Status Admin(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     const Request& request, Response* response = nullptr) {
    Response dropped;
    return Call(*Lists(admin_.files()), method, request, response == nullptr ? dropped : *response);
  }

  void AddServer(const std::string& name) {
    v1::AddTftpServerRequest request;
    request.set_name(name);
    request.set_host(name + ".example");
    v1::AddTftpServerResponse response;
    ASSERT_OK(Admin(&Stub::AddTftpServer, request, &response));
    ASSERT_TRUE(response.added());
    ASSERT_EQ(Outcomes(response.published()), "published") << response.DebugString();
  }
  // "published waits".
  static std::string Outcomes(const v1::PublishResponse& response) {
    std::string text;
    for (const v1::PublishResponse::List& list : response.lists()) {
      text += text.empty() ? "" : " ";
      text += list.outcome() == v1::PublishResponse::OUTCOME_UNCHANGED   ? "unchanged"
              : list.outcome() == v1::PublishResponse::OUTCOME_PUBLISHED ? "published"
              : list.outcome() == v1::PublishResponse::OUTCOME_WAITS     ? "waits"
                                                                         : "refused";
    }
    return text;
  }
  v1::ListTrustListsResponse Listed(bool with_devices = true) {
    v1::ListTrustListsRequest request;
    request.set_with_devices(with_devices);
    v1::ListTrustListsResponse response;
    EXPECT_OK(Call(*Lists(viewer_.files()), &Stub::ListTrustLists, request, response));
    return response;
  }
  v1::FetchGenerationResponse Fetched(v1::TrustListKind kind = v1::TRUST_LIST_KIND_ITL,
                                      const std::string& device = "") {
    v1::FetchGenerationRequest request;
    request.set_kind(kind);
    request.set_device(device);
    v1::FetchGenerationResponse response;
    EXPECT_OK(Call(*Lists(viewer_.files()), &Stub::FetchGeneration, request, response));
    return response;
  }
  void RefuseTimes(int times) {
    const std::lock_guard lock(mutex_);
    refusals_ = times;
  }
  // Of itl.* and ctl.*, in their order, without those of SetUp().
  std::string Audited() {
    return Text(
        "SELECT coalesce(string_agg(action, ' ' ORDER BY event_id), '') FROM audit_event WHERE action LIKE 'itl.%' OR "
        "action LIKE 'ctl.%'");
  }
  // A listed certificate, by the service that adds them.
  void AddListed(const Certificate& certificate, v1::CertificateRole role = v1::CERTIFICATE_ROLE_TVS) {
    v1::AddRequest options = Options(role);
    options.mutable_options()->set_listed(true);
    ASSERT_OK(Add(*As<v1::TrustStore>(admin_.files()), {options, Batch({certificate})}).status);
  }
  void SetListed(const Certificate& certificate, bool listed) {
    v1::SetRequest set;
    set.set_fingerprint_prefix(Hex(certificate));
    set.set_listed(listed);
    v1::SetResponse changed;
    ASSERT_OK(Call(*As<v1::TrustStore>(admin_.files()), &v1::TrustStore::Stub::Set, set, changed));
  }
  // The present signer of this server's, ITLRecovery when empty.
  Certificate Signer(const std::string& server) {
    const auto der = superuser_->Execute(
        "SELECT c.der FROM list_signer s JOIN certificate c USING (sha256) WHERE s.tftp_server = $1 AND s.replaced_at "
        "IS "
        "NULL",
        Parameters().Text(server));
    EXPECT_OK(der);
    return *Certificate::FromDer(AsBytes(*der->Value<std::string>()));
  }
  std::string Generate() {
    v1::PublishResponse response;
    EXPECT_OK(Call(*Lists(operator_.files()), &Stub::Generate, v1::GenerateRequest(), response));
    return Outcomes(response);
  }

  const TestIdentity operator_{authority_, "trustline:default/person/operator"};
  std::mutex mutex_;
  int refusals_ = 0;                  // what the TVS nodes still say; with mutex_
  std::vector<std::string> without_;  // with mutex_
  std::unique_ptr<Pool> list_pool_;
  std::unique_ptr<KeyFolder> keys_;
  std::unique_ptr<ListPublisher> publisher_;
  std::unique_ptr<TrustListService> service_;
  std::unique_ptr<RpcServer> list_server_;
};

}  // namespace trustline
