#include "capf/operation.h"

#include <array>

#include "common/status/status.h"

namespace trustline {
namespace {

// In the order of the enumerations.
constexpr std::array<std::string_view, 3> kOperations = {"install", "fetch", "delete"};
constexpr std::array<std::string_view, 6> kStates = {"pending", "in progress", "success",
                                                     "failed",  "expired",     "cancelled"};
constexpr std::array<std::string_view, 4> kAuthentications = {"string", "null", "certificate-lsc", "certificate-mic"};
constexpr std::array<std::string_view, 3> kKeyOrders = {"rsa", "ec", "ec-preferred"};
constexpr std::array<std::string_view, 3> kCurves = {"secp256r1", "secp384r1", "secp521r1"};

template <typename T, size_t N>
absl::StatusOr<T> Parse(const std::array<std::string_view, N>& names, std::string_view word, std::string_view what) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == word) return static_cast<T>(i);
  }
  return Internal("the database has the {} {}, which this version does not know", what, word);
}

}  // namespace

std::vector<KeyRequest> KeyRequests(const KeyPlan& plan) {
  const KeyRequest rsa = {.type = CapfKeyType::kRsa, .rsa_bits = static_cast<uint16_t>(plan.rsa_bits)};
  const KeyRequest ec = {.type = CapfKeyType::kEc, .curve = plan.curve};
  switch (plan.order) {
    case KeyOrder::kRsa:
      return {rsa};
    case KeyOrder::kEc:
      return {ec};
    case KeyOrder::kEcPreferred:
      return {ec, rsa};
  }
  return {};
}

std::string_view CapfOperationName(CapfOperation operation) { return kOperations[static_cast<size_t>(operation)]; }
std::string_view OperationStateName(OperationState state) { return kStates[static_cast<size_t>(state)]; }
std::string_view EnrolmentAuthenticationName(EnrolmentAuthentication authentication) {
  return kAuthentications[static_cast<size_t>(authentication)];
}
std::string_view KeyOrderName(KeyOrder order) { return kKeyOrders[static_cast<size_t>(order)]; }
std::string_view CapfCurveName(CapfCurve curve) { return kCurves[static_cast<size_t>(curve)]; }

absl::StatusOr<CapfOperation> ParseCapfOperation(std::string_view word) {
  return Parse<CapfOperation>(kOperations, word, "operation");
}
absl::StatusOr<OperationState> ParseOperationState(std::string_view word) {
  return Parse<OperationState>(kStates, word, "state of an operation");
}
absl::StatusOr<EnrolmentAuthentication> ParseEnrolmentAuthentication(std::string_view word) {
  return Parse<EnrolmentAuthentication>(kAuthentications, word, "authentication");
}
absl::StatusOr<KeyOrder> ParseKeyOrder(std::string_view word) {
  return Parse<KeyOrder>(kKeyOrders, word, "order of keys");
}
absl::StatusOr<CapfCurve> ParseCapfCurve(std::string_view word) { return Parse<CapfCurve>(kCurves, word, "curve"); }

}  // namespace trustline
