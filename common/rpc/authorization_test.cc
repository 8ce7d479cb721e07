#include "common/rpc/authorization.h"

#include <google/protobuf/dynamic_message.h>

#include "common/rpc/rpc_testing.h"
#include "common/rpc/server.h"
#include "proto/access.pb.h"
#include "proto/audit.pb.h"
#include "proto/authority.pb.h"
#include "proto/device.pb.h"
#include "proto/enrolment.pb.h"
#include "proto/issuance.pb.h"
#include "proto/listener.pb.h"
#include "proto/node.pb.h"
#include "proto/trust_store.pb.h"
#include "proto/verification.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using google::protobuf::MethodDescriptor;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;

// Every method of every service of the system.
std::vector<const MethodDescriptor*> AllMethods() {
  std::vector<const MethodDescriptor*> methods;
  for (const google::protobuf::Descriptor* message :
       {v1::GrantRequest::descriptor(), v1::ListAuditRequest::descriptor(), v1::AddDeviceRequest::descriptor(),
        v1::IssueResponse::descriptor(), v1::BlockKeysRequest::descriptor(), v1::JoinRequest::descriptor(),
        v1::AddRequest::descriptor(), v1::ListenerInfo::descriptor(), v1::VerifyRequest::descriptor(),
        v1::UnlockDeviceRequest::descriptor()}) {
    const google::protobuf::FileDescriptor* file = message->file();
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) methods.push_back(file->service(s)->method(m));
    }
  }
  return methods;
}

// An empty request of the method that names `cluster` where it can.
std::unique_ptr<google::protobuf::Message> RequestFor(const MethodDescriptor& method, const std::string& cluster) {
  std::unique_ptr<google::protobuf::Message> request(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
  google::protobuf::Message* message = request.get();
  const v1::Callers& callers = method.options().GetExtension(v1::callers);
  if (callers.scope() != v1::Callers::REQUEST_CLUSTER) return request;
  if (callers.cluster_field() == "options.cluster") {
    message = message->GetReflection()->MutableMessage(message, message->GetDescriptor()->FindFieldByName("options"));
  }
  message->GetReflection()->SetString(message, message->GetDescriptor()->FindFieldByName("cluster"), cluster);
  return request;
}

class AuthorizationTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ScratchDatabase>> database = ScratchDatabase::Create();
    ASSERT_OK(database);
    database_ = *std::move(database);
    absl::StatusOr<Connection> admin = database_->Connect();
    ASSERT_OK(admin);
    admin_.emplace(*std::move(admin));
    ASSERT_OK(
        admin_->ExecuteScript("INSERT INTO cluster (name) VALUES ('site-2');"
                              "INSERT INTO access_grant (cluster_id, person, role, granted_by)"
                              "  SELECT cluster_id, role || '.' || name, role, 'test' FROM cluster,"
                              "    unnest(ARRAY['viewer', 'operator', 'administrator', 'auditor']) role;"));
    audit_ = std::make_unique<AuditQueue>(
        AuditQueueOptions{.connection = database_->Conninfo("trustline_tvsd"), .application_name = "test"}, clock_,
        log_, metrics_);
    authorizer_ = std::make_unique<Authorizer>(
        AuthorizerOptions{.connection = database_->Conninfo("trustline_tvsd"), .application_name = "test"}, clock_,
        log_, metrics_, *audit_);
  }

  void Start() {
    authorizer_->Start();
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
  }

  absl::StatusOr<Caller> Ask(std::string_view uri, const MethodDescriptor& method, const std::string& cluster) {
    absl::StatusOr<MethodPolicy> policy = MethodPolicy::Of(method);
    RETURN_IF_ERROR(policy.status());
    std::unique_ptr<google::protobuf::Message> request = RequestFor(method, cluster);
    if (uri.empty()) return authorizer_->AuthorizeIdentity(nullptr, "peer", *policy, *request);
    ASSIGN_OR_RETURN(const Identity identity, Identity::Parse(uri));
    return authorizer_->AuthorizeIdentity(&identity, "peer", *policy, *request);
  }
  static const MethodDescriptor& Method(const std::string& name) {
    return *google::protobuf::DescriptorPool::generated_pool()->FindMethodByName("trustline.v1." + name);
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> admin_;
  FakeClock clock_{absl::Now()};
  Log log_{{.sink = [](std::string_view) {}}};
  Metrics metrics_{"test"};
  std::unique_ptr<AuditQueue> audit_;
  std::unique_ptr<Authorizer> authorizer_;
};

// The matrix, from the options as written and not through MethodPolicy: each role on the right and on another cluster,
// each service, nobody.
TEST_F(AuthorizationTest, EveryMethodAdmitsWhomItsOptionLists) {
  Start();
  const std::vector<const MethodDescriptor*> methods = AllMethods();
  EXPECT_GE(methods.size(), 71u);
  for (const MethodDescriptor* method : methods) {
    ASSERT_TRUE(method->options().HasExtension(v1::callers)) << method->full_name();
    const v1::Callers& callers = method->options().GetExtension(v1::callers);
    const bool open = callers.anyone() || callers.any_identity();
    const bool system = callers.scope() == v1::Callers::SYSTEM;
    const bool anywhere = callers.scope() == v1::Callers::ANY_CLUSTER;
    auto listed = [&callers](std::initializer_list<v1::AccessRole> roles) {
      return std::ranges::any_of(callers.roles(),
                                 [&](int role) { return std::ranges::find(roles, role) != roles.end(); });
    };
    const std::map<std::string, bool> roles = {
        {"viewer", listed({v1::ACCESS_ROLE_VIEWER})},
        {"operator", listed({v1::ACCESS_ROLE_OPERATOR, v1::ACCESS_ROLE_VIEWER})},
        {"administrator", listed({v1::ACCESS_ROLE_ADMINISTRATOR, v1::ACCESS_ROLE_OPERATOR, v1::ACCESS_ROLE_VIEWER})},
        {"auditor", listed({v1::ACCESS_ROLE_AUDITOR})},
        {"stranger", false}};
    for (const auto& [role, admitted] : roles) {
      for (const std::string home : {"default", "site-2"}) {
        for (const std::string cluster : {"default", "site-2"}) {
          const bool right_place = system ? home == "default" : (anywhere || home == cluster);
          const absl::StatusOr<Caller> caller =
              Ask(fmt::format("trustline:default/person/{}.{}", role, home), *method, cluster);
          const std::string what = fmt::format("{} {}.{} on {}", method->full_name(), role, home, cluster);
          if (open || (admitted && right_place)) {
            EXPECT_OK(caller) << what;
            if (caller.ok() && !open && !anywhere) {
              EXPECT_EQ(caller->cluster, system ? "default" : cluster) << what;
            }
          } else {
            EXPECT_THAT(caller, StatusIs(kDenied)) << what;
          }
        }
      }
    }
    for (const char* kind : {"tvsd", "itld", "cad", "capfd", "provisiond", "dashboardd"}) {
      const bool service = std::ranges::find(callers.services(), kind) != callers.services().end();
      const absl::StatusOr<Caller> caller = Ask(fmt::format("trustline:default/{}/node1", kind), *method, "site-2");
      EXPECT_THAT(caller, StatusIs(open || service ? absl::StatusCode::kOk : kDenied)) << method->full_name() << kind;
    }
    EXPECT_THAT(Ask("", *method, "default"), StatusIs(callers.anyone() ? absl::StatusCode::kOk : kUnauthenticated))
        << method->full_name();
  }
}

TEST_F(AuthorizationTest, IdentitiesOfOtherClustersStayThere) {
  Start();
  const MethodDescriptor& verify = Method("Verification.Verify");
  EXPECT_OK(Ask("trustline:site-2/tvsd/node1", verify, "site-2"));
  EXPECT_THAT(Ask("trustline:site-2/tvsd/node1", verify, "default"), StatusIs(kDenied));
  // People are of the system; the same name from elsewhere is another person.
  EXPECT_THAT(Ask("trustline:site-2/person/viewer.site-2", verify, "site-2"), StatusIs(kDenied));
}

TEST_F(AuthorizationTest, OnlyWhoseRoleIsOnDefaultLearnsThatAClusterIsUnknown) {
  Start();
  const MethodDescriptor& verify = Method("Verification.Verify");
  EXPECT_THAT(Ask("trustline:default/person/viewer.default", verify, "absent"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'absent'")));
  EXPECT_THAT(Ask("trustline:default/person/viewer.site-2", verify, "absent"), StatusIs(kDenied));
  EXPECT_THAT(Ask("trustline:default/tvsd/node1", verify, "absent"), StatusIs(absl::StatusCode::kNotFound));
  // No name means the cluster "default".
  ASSERT_OK_AND_ASSIGN(Caller caller, Ask("trustline:default/person/viewer.default", verify, ""));
  EXPECT_EQ(caller.cluster, "default");
}

TEST_F(AuthorizationTest, ARequestOfAnotherMethodIsAnError) {
  Start();
  ASSERT_OK_AND_ASSIGN(MethodPolicy policy, MethodPolicy::Find("trustline.v1.TrustStore", "Remove"));
  ASSERT_OK_AND_ASSIGN(Identity admin, Identity::Parse("trustline:default/person/administrator.default"));
  EXPECT_THAT(authorizer_->AuthorizeIdentity(&admin, "peer", policy, v1::ShowRequest()),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(MethodPolicy::Find("trustline.v1.TrustStore", "Absent"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(policy.RolesText(), "administrator");
  EXPECT_EQ(MethodPolicy::Find("trustline.v1.Verification", "Query")->RolesText(),
            "viewer, operator, administrator or auditor");
}

TEST_F(AuthorizationTest, DenialsAreCountedAndAudited) {
  Start();
  EXPECT_THAT(Ask("trustline:default/person/viewer.site-2", Method("TrustStore.Remove"), "site-2"),
              StatusIs(kDenied, HasSubstr("TrustStore.Remove needs the role administrator on the cluster 'site-2'")));
  // Nobody's denials are one kind, from wherever they come: whoever reaches the port could fill the audit log else.
  EXPECT_THAT(Ask("", Method("TrustStore.List"), "site-2"), StatusIs(kUnauthenticated));
  authorizer_->DenyWithoutIdentity("TrustStore.List", "ipv4:192.0.2.1");
  authorizer_->DenyWithoutIdentity("TrustStore.List", "ipv4:192.0.2.2");
  audit_->Stop(absl::Seconds(30));
  ASSERT_OK_AND_ASSIGN(Result rows,
                       admin_->Execute("SELECT c.name, actor, action, subject, outcome, detail "
                                       "FROM audit_event JOIN cluster c USING (cluster_id) ORDER BY event_id"));
  std::vector<std::string> events;
  for (Row row : rows) {
    std::string cluster, actor, action, subject, outcome, detail;
    ASSERT_OK(row.Scan(cluster, actor, action, subject, outcome, detail));
    events.push_back(fmt::format("{} {} {} {} {} {}", cluster, actor, action, subject, outcome, detail));
  }
  EXPECT_THAT(events,
              ElementsAre("site-2 trustline:default/person/viewer.site-2 access.denied TrustStore.Remove denied "
                          R"({"peer":"peer","reason":"needs administrator","cluster":"site-2"})",
                          "default anonymous access.denied TrustStore.List denied "
                          R"({"reason":"no identity","peer":"peer"})",
                          HasSubstr(R"("count":"2")")));
  EXPECT_THAT(metrics_.Serialize(), AllOf(HasSubstr("trustline_access_denied_total{reason=\"no_role\"} 1\n"),
                                          HasSubstr("trustline_access_denied_total{reason=\"no_identity\"} 3\n")));
}

// Answers whom the Authorizer admits.
class GuardedService final : public v1::Verification::Service {
 public:
  explicit GuardedService(Authorizer& authorizer) : authorizer_(authorizer) {}
  grpc::Status GetNodeStatus(grpc::ServerContext* context, const v1::GetNodeStatusRequest* request,
                             v1::GetNodeStatusResponse* response) override {
    const absl::StatusOr<Caller> caller = authorizer_.Authorize(*context, policy_, *request);
    if (!caller.ok()) return ToGrpc(caller.status());
    response->set_node(fmt::format("{} on {}", caller->actor(), caller->cluster));
    return grpc::Status::OK;
  }

 private:
  Authorizer& authorizer_;
  const MethodPolicy policy_ = *MethodPolicy::Find(v1::Verification::service_full_name(), "GetNodeStatus");
};

TEST_F(AuthorizationTest, OverGrpcTheCertificateSaysWhoCalls) {
  Start();
  const IdentityAuthority authority = *IdentityAuthority::Create(absl::Now());
  TestIdentity server_identity(authority, "trustline:default/tvsd/node1");
  TestIdentity viewer(authority, "trustline:default/person/viewer.default");
  TestIdentity stranger(authority, "trustline:default/person/stranger");
  GuardedService service(*authorizer_);
  Health health;
  ASSERT_OK_AND_ASSIGN(
      std::unique_ptr<RpcServer> server,
      RpcServer::Start({.identity = server_identity.files(), .client_certificate = ClientCertificate::kOptional},
                       {&service}, health));
  EXPECT_THAT(CallEcho(server->port(), viewer.files()),
              IsOkAndHolds("trustline:default/person/viewer.default on default"));
  // Each call has a connection, and so a port, of its own: they are one kind of denial all the same.
  for (int i = 0; i < 3; ++i) EXPECT_THAT(CallEcho(server->port(), stranger.files()), StatusIs(kDenied));
  EXPECT_THAT(CallEcho(server->port(), {.authority = viewer.files().authority}), StatusIs(kUnauthenticated));
  server.reset();
  audit_->Stop(absl::Seconds(30));
  ASSERT_OK_AND_ASSIGN(Result rows, admin_->Execute("SELECT actor, detail FROM audit_event ORDER BY event_id"));
  ASSERT_EQ(rows.rows(), 2);
  EXPECT_THAT(rows[0].Get<std::string>(0), IsOkAndHolds("trustline:default/person/stranger"));
  EXPECT_THAT(rows[0].Get<std::string>(1), IsOkAndHolds(StartsWith(R"({"peer":"ipv4:127.0.0.1:)")));
  EXPECT_THAT(rows[1].Get<std::string>(0), IsOkAndHolds("trustline:default/person/stranger"));
  EXPECT_THAT(rows[1].Get<std::string>(1), IsOkAndHolds(StartsWith(R"({"peer":"ipv4:127.0.0.1","count":"2",)")));
}

TEST_F(AuthorizationTest, AChangedGrantIsInForceAtItsNotification) {
  // Far from the next poll, which bounds the delay of a grant whose notification is lost.
  authorizer_ = std::make_unique<Authorizer>(AuthorizerOptions{.connection = database_->Conninfo("trustline_tvsd"),
                                                               .application_name = "test",
                                                               .poll_interval = absl::Hours(1)},
                                             clock_, log_, metrics_, *audit_);
  authorizer_->Start();
  const MethodDescriptor& remove = Method("TrustStore.Remove");
  const std::string_view uri = "trustline:default/person/viewer.site-2";
  const absl::Time limit = absl::Now() + absl::Seconds(20);
  while (!authorizer_->Ready().ok() && absl::Now() < limit) std::this_thread::yield();
  EXPECT_THAT(Ask(uri, remove, "site-2"), StatusIs(kDenied));
  auto becomes = [&](absl::StatusCode wanted) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (Ask(uri, remove, "site-2").status().code() != wanted) {
      if (absl::Now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  };
  ASSERT_OK(
      admin_->Execute("INSERT INTO access_grant SELECT cluster_id, 'viewer.site-2', 'administrator', 'test' "
                      "FROM cluster WHERE name = 'site-2'"));
  EXPECT_TRUE(becomes(absl::StatusCode::kOk));
  ASSERT_OK(admin_->Execute("DELETE FROM access_grant WHERE person = 'viewer.site-2'"));
  EXPECT_TRUE(becomes(kDenied));
}

TEST_F(AuthorizationTest, ARemovedMachineIsRefusedAlthoughItsIdentityHasNotEnded) {
  Start();
  const std::string_view uri = "trustline:default/tvsd/node1";
  const MethodDescriptor& list = Method("TrustStore.List");
  ASSERT_OK(
      admin_->ExecuteScript("INSERT INTO node (name, identity, identity_expires_at)"
                            " VALUES ('node1', 'trustline:default/tvsd/node1', now() + interval '90 days')"));
  ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
  EXPECT_OK(Ask(uri, list, "default"));
  ASSERT_OK(admin_->Execute("UPDATE node SET removed_at = now()"));
  ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
  EXPECT_THAT(Ask(uri, list, "default"), StatusIs(kDenied, HasSubstr("was removed from the system")));
  EXPECT_OK(Ask("trustline:default/tvsd/node2", list, "default"));
  ASSERT_OK(admin_->Execute("UPDATE node SET removed_at = NULL"));
  ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
  EXPECT_OK(Ask(uri, list, "default"));
}

TEST_F(AuthorizationTest, WithoutTheDatabaseTheLastGrantsHoldUpToTheAgeLimit) {
  const MethodDescriptor& list = Method("TrustStore.List");
  const std::string_view uri = "trustline:default/person/viewer.default";
  EXPECT_THAT(Ask(uri, list, "default"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not been read yet")));
  EXPECT_THAT(authorizer_->Ready(), StatusIs(absl::StatusCode::kUnavailable));
  Start();
  EXPECT_OK(authorizer_->Ready());
  admin_.reset();
  ASSERT_OK(database_->Kill());
  clock_.Advance(absl::Minutes(59));
  EXPECT_OK(Ask(uri, list, "default"));
  EXPECT_THAT(Ask(uri, Method("TrustStore.Remove"), "default"), StatusIs(kDenied));
  clock_.Advance(absl::Minutes(2));
  EXPECT_THAT(Ask(uri, list, "default"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("more than 1h")));
  ASSERT_OK(database_->Restart());
  ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
  EXPECT_OK(Ask(uri, list, "default"));
}

TEST(RoleSetTest, AnAdministratorIncludesOperatorAndViewer) {
  EXPECT_TRUE(RoleSet({v1::ACCESS_ROLE_ADMINISTRATOR}).Has(v1::ACCESS_ROLE_VIEWER));
  EXPECT_TRUE(RoleSet({v1::ACCESS_ROLE_OPERATOR}).Has(v1::ACCESS_ROLE_VIEWER));
  EXPECT_FALSE(RoleSet({v1::ACCESS_ROLE_OPERATOR}).Has(v1::ACCESS_ROLE_ADMINISTRATOR));
  EXPECT_FALSE(RoleSet({v1::ACCESS_ROLE_ADMINISTRATOR}).Has(v1::ACCESS_ROLE_AUDITOR));
  EXPECT_FALSE(RoleSet({v1::ACCESS_ROLE_AUDITOR}).Has(v1::ACCESS_ROLE_VIEWER));
  EXPECT_THAT(ParseAccessRole("auditor"), IsOkAndHolds(v1::ACCESS_ROLE_AUDITOR));
  EXPECT_THAT(ParseAccessRole("root"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace trustline
