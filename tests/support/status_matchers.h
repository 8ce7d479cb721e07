// GoogleTest matchers and assertions for absl::Status and absl::StatusOr.
#pragma once

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trustline {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).ok();
}

MATCHER_P(StatusIs, code, "has status code " + absl::StatusCodeToString(code)) {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code;
}

// EXPECT_THAT(result, StatusIs(absl::StatusCode::kNotFound, HasSubstr("...")))
MATCHER_P2(StatusIs, code, message_matcher,
           "has status code " + absl::StatusCodeToString(code) + " and a matching message") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code &&
         ::testing::ExplainMatchResult(message_matcher, std::string(GetStatus(arg).message()), result_listener);
}

// EXPECT_THAT(result, IsOkAndHolds(Eq(7)))
MATCHER_P(IsOkAndHolds, value_matcher, "is OK and holds a matching value") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value_matcher, *arg, result_listener);
}

}  // namespace trustline

#define EXPECT_OK(expression) EXPECT_THAT((expression), ::trustline::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT((expression), ::trustline::IsOk())

// ASSERT_OK_AND_ASSIGN(declaration or lvalue, expression of type absl::StatusOr<T>)
#define ASSERT_OK_AND_ASSIGN(lhs, expression) \
  ASSERT_OK_AND_ASSIGN_INNER(TRUSTLINE_TEST_CONCAT(status_or_, __LINE__), lhs, expression)
#define ASSERT_OK_AND_ASSIGN_INNER(result, lhs, expression)         \
  auto result = (expression);                                       \
  ASSERT_TRUE(result.ok()) << #expression " = " << result.status(); \
  lhs = *std::move(result)
#define TRUSTLINE_TEST_CONCAT_INNER(a, b) a##b
#define TRUSTLINE_TEST_CONCAT(a, b) TRUSTLINE_TEST_CONCAT_INNER(a, b)
