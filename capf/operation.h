// What can be scheduled for a device, in the words of the database.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "capf/enrolment_desk.h"

namespace trustline {

enum class OperationState : uint8_t { kPending, kInProgress, kSuccess, kFailed, kExpired, kCancelled };

// How a device proves itself. Of the two certificates the preferred one if the device has it, else the other: whichever
// it shows is taken.
enum class EnrolmentAuthentication : uint8_t { kString, kNull, kCertificateLsc, kCertificateMic };

enum class KeyOrder : uint8_t { kRsa, kEc, kEcPreferred };

// The key that a device is to make.
struct KeyPlan {
  KeyOrder order = KeyOrder::kRsa;
  int32_t rsa_bits = 2048;
  CapfCurve curve = CapfCurve::kSecp256r1;

  bool operator==(const KeyPlan&) const = default;
};
std::vector<KeyRequest> KeyRequests(const KeyPlan& plan);

// The words of table capf_operation: "install", "in progress", "certificate-lsc", "ec-preferred", "secp256r1". Parse
// gives Internal for any other.
std::string_view CapfOperationName(CapfOperation operation);
std::string_view OperationStateName(OperationState state);
std::string_view EnrolmentAuthenticationName(EnrolmentAuthentication authentication);
std::string_view KeyOrderName(KeyOrder order);
std::string_view CapfCurveName(CapfCurve curve);
absl::StatusOr<CapfOperation> ParseCapfOperation(std::string_view word);
absl::StatusOr<OperationState> ParseOperationState(std::string_view word);
absl::StatusOr<EnrolmentAuthentication> ParseEnrolmentAuthentication(std::string_view word);
absl::StatusOr<KeyOrder> ParseKeyOrder(std::string_view word);
absl::StatusOr<CapfCurve> ParseCapfCurve(std::string_view word);

}  // namespace trustline
