#include "ca/issuance/delivery.h"

#include <thread>

#include "absl/time/clock.h"
#include "ca/issuance/issuer_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class DeliveryTest : public IssuerTest {
 protected:
  int64_t IssueFor(std::string_view device) {
    IssuanceOrder order = Order(device, NewPublicKeyInfo());
    order.second = SecondCertificate::kIssue;
    const absl::StatusOr<IssuedLsc> issued = issuer_->Issue(order);
    EXPECT_OK(issued);
    return issued.ok() ? issued->record.id : 0;
  }
  absl::StatusOr<Deliveries> Confirm(const std::vector<int64_t>& issuances) {
    return RunInTransaction(*pool_, {}, [&](Connection& connection) {
      return RecordDeliveries(connection, caller(), issuances, IssuanceState::kConfirmed);
    });
  }
  std::string StateOf(int64_t issuance_id) {
    return Text(fmt::format("SELECT state FROM issuance WHERE issuance_id = {}", issuance_id));
  }
  int64_t Audited(std::string_view action) {
    return Count(fmt::format("SELECT count(*) FROM audit_event WHERE action = '{}'", action));
  }
};

TEST_F(DeliveryTest, EachOfManyHasAnOutcomeOfItsOwn) {
  const int64_t replaced = IssueFor(kPhone);
  const int64_t confirmed = IssueFor(kPhone);
  const int64_t other = IssueFor(kOtherPhone);
  const int64_t revoked = IssueFor(kOtherPhone);
  RunByHand(
      fmt::format("UPDATE issuance SET state = 'revoked', revoked_at = now(), revocation_reason = 5, "
                  "revoked_by = 'test' WHERE issuance_id = {}",
                  revoked));
  audit_at_end_ = false;  // nobody has audited that
  constexpr int64_t kNone = 1'000'000;

  // Out of order, and one twice.
  ASSERT_OK_AND_ASSIGN(const Deliveries deliveries, Confirm({revoked, other, kNone, confirmed, other}));
  ASSERT_THAT(deliveries.outcomes, SizeIs(5));
  EXPECT_THAT(deliveries.outcomes[0].status(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("revoked")));
  for (const size_t good : {1, 3, 4}) {
    ASSERT_OK(deliveries.outcomes[good]);
    EXPECT_EQ(deliveries.outcomes[good]->state, IssuanceState::kConfirmed);
    EXPECT_EQ(deliveries.outcomes[good]->id, good == 3 ? confirmed : other);
  }
  EXPECT_THAT(deliveries.outcomes[2].status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(deliveries.superseded, 1);
  EXPECT_EQ(StateOf(replaced), "revoked");
  EXPECT_EQ(StateOf(confirmed), "confirmed");
  EXPECT_EQ(StateOf(other), "confirmed");
  EXPECT_EQ(Audited("lsc.confirm"), 2);
  EXPECT_EQ(Audited("lsc.revoke"), 1);

  // Said again, nothing changes.
  ASSERT_OK_AND_ASSIGN(const Deliveries again, Confirm({confirmed, other}));
  for (const auto& outcome : again.outcomes) EXPECT_OK(outcome);
  EXPECT_EQ(again.superseded, 0);
  EXPECT_EQ(Audited("lsc.confirm"), 2);
}

TEST_F(DeliveryTest, OneThatIsBeingChangedIsWaitedFor) {
  const int64_t issuance = IssueFor(kPhone);
  ASSERT_OK_AND_ASSIGN(Connection other, database_->Connect());
  ASSERT_OK(other.ExecuteScript(fmt::format(
      "BEGIN; UPDATE issuance SET state = 'delivered', delivered_at = now() WHERE issuance_id = {}", issuance)));
  absl::StatusOr<Deliveries> deliveries = absl::UnknownError("not asked yet");
  std::thread confirms([&] { deliveries = Confirm({issuance}); });
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (Count("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == 0 && absl::Now() < end) {
    std::this_thread::yield();
  }
  EXPECT_OK(other.ExecuteScript("COMMIT"));
  confirms.join();
  ASSERT_OK(deliveries);
  EXPECT_OK(deliveries->outcomes[0]);
  EXPECT_EQ(StateOf(issuance), "confirmed");
  EXPECT_EQ(Audited("lsc.confirm"), 1);
}

}  // namespace
}  // namespace trustline
