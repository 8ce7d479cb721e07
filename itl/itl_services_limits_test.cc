// What itld's services bear from clients that are slow, wrong or too many, and what they remove.
#include "common/bytes/bytes.h"
#include "itl/itl_services_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

class StalledImportTest : public ItlServicesTest {
 protected:
  absl::Duration import_patience() const override { return absl::Milliseconds(300); }
};

TEST_F(StalledImportTest, IsEndedWithWordsAndGivesItsConnectionBack) {
  const auto stub = As<v1::TrustStore>(admin_.files());
  const v1::AddRequest batch = Batch({MakeCertificate("a.example")});
  for (const bool with_batch : {false, true}) {
    grpc::ClientContext context;
    const auto stream = stub->Add(&context);
    ASSERT_TRUE(stream->Write(Options(v1::CERTIFICATE_ROLE_TVS)));
    if (with_batch) {
      ASSERT_TRUE(stream->Write(batch));
    }
    v1::AddResponse response;
    while (stream->Read(&response)) EXPECT_FALSE(response.has_result());
    EXPECT_THAT(ToAbsl(stream->Finish()),
                StatusIs(absl::StatusCode::kAborted, HasSubstr("nothing was received for 300ms")));
    // The job has returned before the call ended.
    EXPECT_EQ(import_pool_->statistics().idle, import_pool_->statistics().open);
  }
  EXPECT_EQ(Count("SELECT count(*) FROM trust_entry"), 0);
  EXPECT_OK(Add(*stub, {Options(v1::CERTIFICATE_ROLE_TVS), batch}).status);
}

TEST_F(ItlServicesTest, AnAdministratorRetiresAuditRows) {
  // Before anything else, so that it is the first of the chain.
  RunByHand(
      "WITH added AS (INSERT INTO audit_event (cluster_id, at, occurred_at, actor, action, subject, outcome, detail) "
      "SELECT 1, t.at, t.at, 'a', 'b', 'c', 'done', '{}' FROM (SELECT now() - interval '1 year' AS at) AS t "
      "RETURNING event_id, at) INSERT INTO audit_unsealed SELECT event_id, at FROM added");
  ASSERT_OK(SealBatch(*itld_));
  const auto retire = [&](const IdentityFiles& files, absl::Time before, v1::RetireAuditResponse& response) {
    grpc::ClientContext context;
    v1::RetireAuditRequest request;
    request.mutable_before()->set_seconds(absl::ToUnixSeconds(before));
    const auto responses = As<v1::Audit>(files)->Retire(&context, request);
    while (responses->Read(&response)) {
    }
    return ToAbsl(responses->Finish());
  };
  v1::RetireAuditResponse response;
  EXPECT_THAT(retire(auditor_.files(), absl::Now(), response), StatusIs(kDenied));
  EXPECT_THAT(retire(admin_.files(), absl::Now(), response),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("previous month")));
  ASSERT_OK(retire(admin_.files(), absl::Now() - absl::Hours(24 * 100), response));
  EXPECT_TRUE(response.finished());
  EXPECT_EQ(response.removed_rows(), 1);
  EXPECT_EQ(response.last_number(), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'audit.retire'"), 1);
}

TEST_F(ItlServicesTest, RefusedJoinsDoNotFillTheAuditLog) {
  const auto stranger = As<v1::Node>(Nobody());
  v1::JoinRequest join;
  join.set_secret("wrong");
  v1::JoinResponse joined;
  for (int i = 0; i < 25; ++i) EXPECT_FALSE(Call(*stranger, &v1::Node::Stub::Join, join, joined).ok());
  EXPECT_EQ(metrics_.GetCounter("trustline_node_joins_total", "", {{"outcome", "refused"}}).value(), 25u);
  audit_->Stop();
  EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'node.join'"), 10);
}

}  // namespace
}  // namespace trustline
