// What the tests of the service Enrolment share: the service behind a gRPC server with identities, and its clients.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capf/enrolment_service.h"
#include "capf/enrolment_testing.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

class EnrolmentServiceTest : public EnrolmentDatabaseTest {
 protected:
  using Stub = v1::Enrolment::Stub;

  void SetUp() override {
    EnrolmentDatabaseTest::SetUp();
    RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by) VALUES (1, 'admin', 'administrator', 'test'), "
        "(1, 'operator', 'operator', 'test'), (1, 'viewer', 'viewer', 'test'), (1, 'auditor', 'auditor', 'test')");
    const std::string connection = database_->Conninfo("trustline_capfd");
    ASSERT_OK_AND_ASSIGN(cad_, database_->Connect("trustline_cad"));
    const std::string passphrase = folder_.WriteFile("passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(passphrase, std::filesystem::perms(0600));
    ASSERT_OK_AND_ASSIGN(strings_, AuthenticationStrings::Open(folder_.path() / "string.key", passphrase));
    audit_ = std::make_unique<AuditQueue>(AuditQueueOptions{.connection = connection}, clock_, log_, metrics_);
    authorizer_ =
        std::make_unique<Authorizer>(AuthorizerOptions{.connection = connection}, clock_, log_, metrics_, *audit_);
    authorizer_->Start();
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
    ASSERT_OK_AND_ASSIGN(
        service_,
        EnrolmentService::Create(
            {.authorizer = *authorizer_,
             .pool = *pool_,
             .strings = *strings_,
             .add_devices = [this](const std::string& cluster,
                                   const std::vector<std::string>& names) { return AddAsCad(cluster, names); },
             .audit = *audit_,
             .clock = clock_,
             .schedule_patience = schedule_patience()}));
    ASSERT_OK_AND_ASSIGN(
        server_, RpcServer::Start(
                     {.identity = capfd_identity_.files(),
                      .client_certificate = ClientCertificate::kOptional,
                      .on_no_identity = [this](std::string_view method) { authorizer_->DenyWithoutIdentity(method); }},
                     {service_.get()}, health_));
  }

  void TearDown() override {
    if (server_) server_->Shutdown(absl::ZeroDuration());
    if (authorizer_) authorizer_->Stop();
  }

  virtual absl::Duration schedule_patience() const { return absl::Seconds(60); }

  // What cad does to its table when it is asked to add devices.
  absl::StatusOr<std::vector<std::string>> AddAsCad(const std::string& cluster, const std::vector<std::string>& names) {
    RETURN_IF_ERROR(adding_fails_with_);
    if (while_adding_) while_adding_();
    EXPECT_EQ(cluster, "default");
    EXPECT_LE(names.size(), 1000u);
    ASSIGN_OR_RETURN(const Result added,
                     cad_->Execute("INSERT INTO device (cluster_id, name, added_by) SELECT 1, name, 'capfd' "
                                   "FROM unnest($1::text[]) AS n (name) ON CONFLICT DO NOTHING RETURNING name",
                                   Parameters().TextArray(names)));
    std::vector<std::string> added_names;
    for (const Row row : added) RETURN_IF_ERROR(row.Scan(added_names.emplace_back()));
    return added_names;
  }

  std::unique_ptr<Stub> As(const IdentityFiles& files) {
    const auto channel = OpenChannel(fmt::format("127.0.0.1:{}", server_->port()), files, "capfd");
    EXPECT_OK(channel);
    return v1::Enrolment::NewStub(*channel);
  }
  IdentityFiles Nobody() const { return {.authority = admin_.files().authority}; }

  template <typename Request, typename Response>
  static absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl((stub.*method)(&context, request, &response));
  }

  // One call of ScheduleOperations: its outcomes in their order, and how it ended.
  struct Scheduled {
    absl::Status status;
    std::vector<v1::ScheduleOperationsResponse::Outcome> outcomes;
    std::optional<absl::Time> deadline;
  };
  static Scheduled Schedule(Stub& stub, const std::vector<v1::ScheduleOperationsRequest>& requests);
  static v1::ScheduleOperationsRequest Options(v1::CertificateOperation operation = v1::CERTIFICATE_OPERATION_INSTALL);
  static v1::ScheduleOperationsRequest Batch(const std::vector<std::string>& names);

  // As often as it was logged or audited.
  int64_t TimesRecorded(std::string_view text);

  const TemporaryDirectory folder_;
  std::mutex log_mutex_;
  std::string logged_;
  Log log_{LogOptions{.sink = [this](std::string_view line) {
    const std::lock_guard lock(log_mutex_);
    logged_ += line;
  }}};
  Metrics metrics_{"capfd"};
  Health health_;
  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  const TestIdentity capfd_identity_{authority_, "trustline:default/capfd/node1"};
  const TestIdentity tvsd_identity_{authority_, "trustline:default/tvsd/node1"};
  const TestIdentity admin_{authority_, "trustline:default/person/admin"};
  const TestIdentity operator_{authority_, kEnrolmentOperator};
  const TestIdentity viewer_{authority_, "trustline:default/person/viewer"};
  const TestIdentity auditor_{authority_, "trustline:default/person/auditor"};
  std::optional<Connection> cad_;  // role trustline_cad
  absl::Status adding_fails_with_;
  std::function<void()> while_adding_;
  std::unique_ptr<AuthenticationStrings> strings_;
  std::unique_ptr<AuditQueue> audit_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<EnrolmentService> service_;
  std::unique_ptr<RpcServer> server_;
};

inline EnrolmentServiceTest::Scheduled EnrolmentServiceTest::Schedule(
    Stub& stub, const std::vector<v1::ScheduleOperationsRequest>& requests) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
  const auto stream = stub.ScheduleOperations(&context);
  for (const v1::ScheduleOperationsRequest& request : requests) {
    if (!stream->Write(request)) break;
  }
  stream->WritesDone();
  Scheduled scheduled;
  v1::ScheduleOperationsResponse response;
  while (stream->Read(&response)) {
    EXPECT_LE(response.outcomes_size(), 1000);
    scheduled.outcomes.insert(scheduled.outcomes.end(), response.outcomes().begin(), response.outcomes().end());
    if (response.has_deadline()) scheduled.deadline = FromProtoTime(response.deadline());
  }
  scheduled.status = ToAbsl(stream->Finish());
  return scheduled;
}

inline v1::ScheduleOperationsRequest EnrolmentServiceTest::Options(v1::CertificateOperation operation) {
  v1::ScheduleOperationsRequest request;
  request.mutable_options()->set_cluster("default");
  request.mutable_options()->set_operation(operation);
  return request;
}

inline v1::ScheduleOperationsRequest EnrolmentServiceTest::Batch(const std::vector<std::string>& names) {
  v1::ScheduleOperationsRequest request;
  v1::ScheduleOperationsRequest::Devices& devices = *request.mutable_devices();
  for (const std::string& name : names) devices.add_names(name);
  return request;
}

inline int64_t EnrolmentServiceTest::TimesRecorded(std::string_view text) {
  const std::lock_guard lock(log_mutex_);
  int64_t times = Count(
      fmt::format("SELECT count(*) FROM audit_event WHERE concat(actor, action, subject, detail) LIKE '%{}%'", text));
  for (size_t at = logged_.find(text); at != std::string::npos; at = logged_.find(text, at + 1)) ++times;
  return times;
}

}  // namespace trustline
