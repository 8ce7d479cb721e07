#include "capf/operation.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(OperationTest, EveryWordOfTheDatabaseIsReadBack) {
  for (const auto* word : {"install", "fetch", "delete"}) {
    ASSERT_OK_AND_ASSIGN(const CapfOperation operation, ParseCapfOperation(word));
    EXPECT_EQ(CapfOperationName(operation), word);
  }
  for (const auto* word : {"pending", "in progress", "success", "failed", "expired", "cancelled"}) {
    ASSERT_OK_AND_ASSIGN(const OperationState state, ParseOperationState(word));
    EXPECT_EQ(OperationStateName(state), word);
  }
  for (const auto* word : {"string", "null", "certificate-lsc", "certificate-mic"}) {
    ASSERT_OK_AND_ASSIGN(const EnrolmentAuthentication authentication, ParseEnrolmentAuthentication(word));
    EXPECT_EQ(EnrolmentAuthenticationName(authentication), word);
  }
  for (const auto* word : {"rsa", "ec", "ec-preferred"}) {
    ASSERT_OK_AND_ASSIGN(const KeyOrder order, ParseKeyOrder(word));
    EXPECT_EQ(KeyOrderName(order), word);
  }
  for (const auto* word : {"secp256r1", "secp384r1", "secp521r1"}) {
    ASSERT_OK_AND_ASSIGN(const CapfCurve curve, ParseCapfCurve(word));
    EXPECT_EQ(CapfCurveName(curve), word);
  }
  EXPECT_THAT(ParseOperationState("done"), StatusIs(absl::StatusCode::kInternal, HasSubstr("done")));
  EXPECT_EQ(OperationStateName(OperationState::kInProgress), "in progress");
  EXPECT_EQ(CapfCurveName(CapfCurve::kSecp521r1), "secp521r1");
}

TEST(OperationTest, TheBackupKeyComesAfterThePreferredOne) {
  const KeyRequest rsa = {.type = CapfKeyType::kRsa, .rsa_bits = 3072};
  const KeyRequest ec = {.type = CapfKeyType::kEc, .curve = CapfCurve::kSecp384r1};
  KeyPlan plan = {.order = KeyOrder::kEcPreferred, .rsa_bits = 3072, .curve = CapfCurve::kSecp384r1};
  EXPECT_THAT(KeyRequests(plan), ElementsAre(ec, rsa));
  plan.order = KeyOrder::kEc;
  EXPECT_THAT(KeyRequests(plan), ElementsAre(ec));
  plan.order = KeyOrder::kRsa;
  EXPECT_THAT(KeyRequests(plan), ElementsAre(rsa));
}

}  // namespace
}  // namespace trustline
