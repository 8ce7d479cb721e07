// Exports and imports over real mutual TLS, between two clusters of one database.
#include "itl/move/cluster_trust_service.h"

#include "common/bytes/sha256.h"
#include "itl/itl_services_testing.h"
#include "itl/list/list_signers.h"
#include "itl/list/list_testing.h"
#include "itl/move/cluster_trust.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Stub = v1::ClusterTrust::Stub;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class ClusterTrustServiceTest : public ItlServicesTest {
 protected:
  void SetUp() override {
    ItlServicesTest::SetUp();
    RunByHand("INSERT INTO cluster (name) VALUES ('berlin')");
    RunByHand(
        "INSERT INTO access_grant (cluster_id, person, role, granted_by) SELECT cluster_id, 'admin', 'administrator', "
        "'test' FROM cluster WHERE name = 'berlin'");
    ASSERT_OK(authorizer_->WaitForRefresh(absl::Seconds(30)));
    ASSERT_OK_AND_ASSIGN(service_, ClusterTrustService::Create(*authorizer_, *pool_, clock_));
    server_->Shutdown(absl::ZeroDuration());
    ASSERT_OK_AND_ASSIGN(server_, RpcServer::Start({.identity = itld_identity_.files()}, {service_.get()}, health_));
  }

  // The cluster "default" gets a TFTP server with its list.
  void MakeLists() {
    std::filesystem::create_directory(list_folder_.path() / "keys");
    std::filesystem::permissions(list_folder_.path() / "keys", std::filesystem::perms(0700));
    list_folder_.WriteFile("passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(list_folder_.path() / "passphrase", std::filesystem::perms(0600));
    ASSERT_OK_AND_ASSIGN(keys_, KeyFolder::Open(list_folder_.path() / "keys", list_folder_.path() / "passphrase",
                                                {"the lists' keys", "itld"}));
    ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) -> absl::Status {
      const TrustStoreCaller actor = caller();
      ListStore store(connection, 1);
      RETURN_IF_ERROR(store.CreatePolicy(TestListPolicy()).status());
      RETURN_IF_ERROR(store.AddServer("tftp1", "tftp1.example", kTestActor).status());
      ListSigners signers(connection, actor, *keys_, clock_.Now());
      RETURN_IF_ERROR(signers.MakeRecovery(TestListPolicy(), "first").status());
      RETURN_IF_ERROR(signers.MakeCallManager(TestListPolicy(), "tftp1", "tftp1.example", "new").status());
      return store.PutList({.kind = ListKind::kItl, .tftp_server = "tftp1", .device = ""}, kTestActor);
    }));
    ListPublisher publisher(
        ListPublisherOptions(), *pool_, *keys_,
        [](const std::string&, const Certificate&, const std::vector<std::string>&) { return absl::OkStatus(); },
        "trustline:default/itld/node1", clock_, log_, metrics_);
    PublishOrder order;
    order.actor = kTestActor;
    order.reason = "a test";
    order.approved = true;
    ASSERT_OK(publisher.Publish(1, "default", order).status());
  }

  absl::StatusOr<v1::ExportTrustResponse> Export(const IdentityFiles& who, const std::string& cluster = "default") {
    v1::ExportTrustRequest request;
    request.set_cluster(cluster);
    v1::ExportTrustResponse response;
    RETURN_IF_ERROR(Call(*As<v1::ClusterTrust>(who), &Stub::ExportTrust, request, response));
    return response;
  }
  absl::StatusOr<v1::ImportTrustResponse> Import(const IdentityFiles& who, const std::string& file,
                                                 const std::string& sha256, const std::string& reason = "the move",
                                                 const std::string& cluster = "berlin") {
    v1::ImportTrustRequest request;
    request.set_cluster(cluster);
    request.set_file(file);
    request.set_sha256(sha256);
    request.set_reason(reason);
    v1::ImportTrustResponse response;
    RETURN_IF_ERROR(Call(*As<v1::ClusterTrust>(who), &Stub::ImportTrust, request, response));
    return response;
  }
  static std::string DigestOf(const std::string& file) { return std::string(AsText(Sha256(AsBytes(file)))); }
  int64_t TrustedThere() {
    return Count(
        "SELECT count(*) FROM trust_entry e JOIN cluster c USING (cluster_id) WHERE c.name = 'berlin' AND removed_at "
        "IS "
        "NULL AND NOT listed");
  }

  const TemporaryDirectory list_folder_;
  std::unique_ptr<KeyFolder> keys_;
  std::unique_ptr<ClusterTrustService> service_;
};

TEST_F(ClusterTrustServiceTest, WhatOneClusterExportsAnotherTrusts) {
  ASSERT_NO_FATAL_FAILURE(MakeLists());
  ASSERT_OK_AND_ASSIGN(const v1::ExportTrustResponse exported, Export(viewer_.files()));
  EXPECT_EQ(exported.sha256(), DigestOf(exported.file()));
  EXPECT_EQ(exported.certificates(), 2);
  EXPECT_EQ(exported.tftp_servers(), 1);

  ASSERT_OK_AND_ASSIGN(const v1::ImportTrustResponse imported,
                       Import(admin_.files(), exported.file(), exported.sha256()));
  EXPECT_EQ(imported.from_cluster(), "default");
  EXPECT_EQ(imported.added(), 3) << "ITLRecovery as SAST, CallManager as SAST and CCM+TFTP";
  EXPECT_EQ(imported.unchanged(), 0);
  EXPECT_EQ(imported.certificates_size(), 2);
  EXPECT_EQ(TrustedThere(), 3);
  EXPECT_EQ(Text("SELECT detail::jsonb->>'sha256' FROM audit_event WHERE action = 'cluster.import'"),
            ToHex(Sha256(AsBytes(exported.file()))));

  ASSERT_OK_AND_ASSIGN(const v1::ImportTrustResponse again, Import(admin_.files(), exported.file(), exported.sha256()));
  EXPECT_EQ(again.added(), 0);
  EXPECT_EQ(again.unchanged(), 3);
  EXPECT_EQ(TrustedThere(), 3);
}

TEST_F(ClusterTrustServiceTest, AFileThatWasChangedIsNotTaken) {
  ASSERT_NO_FATAL_FAILURE(MakeLists());
  ASSERT_OK_AND_ASSIGN(const v1::ExportTrustResponse exported, Export(admin_.files()));
  EXPECT_THAT(Import(admin_.files(), exported.file() + " ", exported.sha256()),
              StatusIs(kRefused, AllOf(HasSubstr("nothing was imported"), HasSubstr("export it again"))));
  EXPECT_THAT(Import(admin_.files(), exported.file(), ""), StatusIs(kRefused));
  EXPECT_THAT(Import(admin_.files(), "x", DigestOf("x")), StatusIs(kInvalid, HasSubstr("the export is broken")));
  EXPECT_THAT(Import(admin_.files(), exported.file(), exported.sha256(), "two\nlines"),
              StatusIs(kInvalid, HasSubstr("one line")));
  EXPECT_EQ(TrustedThere(), 0);
}

TEST_F(ClusterTrustServiceTest, AClusterDoesNotTakeItsOwn) {
  ASSERT_NO_FATAL_FAILURE(MakeLists());
  ASSERT_OK_AND_ASSIGN(const v1::ExportTrustResponse exported, Export(admin_.files()));
  EXPECT_THAT(Import(admin_.files(), exported.file(), exported.sha256(), "by mistake", "default"),
              StatusIs(kRefused, HasSubstr("this is the export of this cluster, default, itself")));
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'cluster.import'"), 0);
}

TEST_F(ClusterTrustServiceTest, WhoMayNot) {
  EXPECT_THAT(Import(viewer_.files(), "x", DigestOf("x")), StatusIs(kDenied));
  EXPECT_THAT(Export(viewer_.files(), "berlin"), StatusIs(kDenied));
  EXPECT_THAT(Export(admin_.files(), "berlin"), StatusIs(kRefused, HasSubstr("has no trust lists")));
}

}  // namespace
}  // namespace trustline
