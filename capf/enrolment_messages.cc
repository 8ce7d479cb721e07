#include "capf/enrolment_messages.h"

#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1000;

v1::KeySpecification::Order ToProto(KeyOrder order) {
  switch (order) {
    case KeyOrder::kRsa:
      return v1::KeySpecification::ORDER_RSA;
    case KeyOrder::kEc:
      return v1::KeySpecification::ORDER_EC;
    case KeyOrder::kEcPreferred:
      return v1::KeySpecification::ORDER_EC_PREFERRED;
  }
  return v1::KeySpecification::ORDER_UNSPECIFIED;
}

v1::KeySpecification::Curve ToProto(CapfCurve curve) {
  switch (curve) {
    case CapfCurve::kSecp256r1:
      return v1::KeySpecification::CURVE_SECP256R1;
    case CapfCurve::kSecp384r1:
      return v1::KeySpecification::CURVE_SECP384R1;
    case CapfCurve::kSecp521r1:
      return v1::KeySpecification::CURVE_SECP521R1;
  }
  return v1::KeySpecification::CURVE_UNSPECIFIED;
}

absl::StatusOr<KeyOrder> FromProto(v1::KeySpecification::Order order) {
  switch (order) {
    case v1::KeySpecification::ORDER_UNSPECIFIED:
    case v1::KeySpecification::ORDER_RSA:
      return KeyOrder::kRsa;
    case v1::KeySpecification::ORDER_EC:
      return KeyOrder::kEc;
    case v1::KeySpecification::ORDER_EC_PREFERRED:
      return KeyOrder::kEcPreferred;
    default:
      return InvalidArgument("there is no order of keys {}: RSA, EC, or EC preferred", static_cast<int>(order));
  }
}

absl::StatusOr<CapfCurve> FromProto(v1::KeySpecification::Curve curve) {
  switch (curve) {
    case v1::KeySpecification::CURVE_UNSPECIFIED:
    case v1::KeySpecification::CURVE_SECP256R1:
      return CapfCurve::kSecp256r1;
    case v1::KeySpecification::CURVE_SECP384R1:
      return CapfCurve::kSecp384r1;
    case v1::KeySpecification::CURVE_SECP521R1:
      return CapfCurve::kSecp521r1;
    default:
      return InvalidArgument("there is no curve {}: secp256r1, secp384r1 or secp521r1", static_cast<int>(curve));
  }
}

}  // namespace

v1::CertificateOperation ToProto(CapfOperation operation) {
  switch (operation) {
    case CapfOperation::kInstall:
      return v1::CERTIFICATE_OPERATION_INSTALL;
    case CapfOperation::kFetch:
      return v1::CERTIFICATE_OPERATION_FETCH;
    case CapfOperation::kDelete:
      return v1::CERTIFICATE_OPERATION_DELETE;
  }
  return v1::CERTIFICATE_OPERATION_UNSPECIFIED;
}

v1::OperationState ToProto(OperationState state) {
  switch (state) {
    case OperationState::kPending:
      return v1::OPERATION_STATE_PENDING;
    case OperationState::kInProgress:
      return v1::OPERATION_STATE_IN_PROGRESS;
    case OperationState::kSuccess:
      return v1::OPERATION_STATE_SUCCESS;
    case OperationState::kFailed:
      return v1::OPERATION_STATE_FAILED;
    case OperationState::kExpired:
      return v1::OPERATION_STATE_EXPIRED;
    case OperationState::kCancelled:
      return v1::OPERATION_STATE_CANCELLED;
  }
  return v1::OPERATION_STATE_UNSPECIFIED;
}

v1::EnrolmentAuthentication ToProto(EnrolmentAuthentication authentication) {
  switch (authentication) {
    case EnrolmentAuthentication::kString:
      return v1::ENROLMENT_AUTHENTICATION_STRING;
    case EnrolmentAuthentication::kNull:
      return v1::ENROLMENT_AUTHENTICATION_NULL;
    case EnrolmentAuthentication::kCertificateLsc:
      return v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC;
    case EnrolmentAuthentication::kCertificateMic:
      return v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC;
  }
  return v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED;
}

v1::KeySpecification ToProto(const KeyPlan& plan) {
  v1::KeySpecification key;
  key.set_order(ToProto(plan.order));
  if (plan.order != KeyOrder::kEc) key.set_rsa_bits(plan.rsa_bits);
  if (plan.order != KeyOrder::kRsa) key.set_curve(ToProto(plan.curve));
  return key;
}

v1::EnrolmentPolicy ToProto(const EnrolmentPolicy& policy) {
  v1::EnrolmentPolicy message;
  message.set_re_enrol_by_mic(policy.re_enrol_by_mic);
  message.set_allow_expired_mic(policy.allow_expired_mic);
  message.set_require_sudi(policy.require_sudi);
  *message.mutable_key() = ToProto(policy.keys);
  message.set_changed_by(policy.changed_by);
  if (policy.changed_at) *message.mutable_changed_at() = ToProtoTime(*policy.changed_at);
  return message;
}

absl::StatusOr<std::optional<CapfOperation>> FromProto(v1::CertificateOperation operation) {
  switch (operation) {
    case v1::CERTIFICATE_OPERATION_UNSPECIFIED:
      return std::nullopt;
    case v1::CERTIFICATE_OPERATION_INSTALL:
      return CapfOperation::kInstall;
    case v1::CERTIFICATE_OPERATION_FETCH:
      return CapfOperation::kFetch;
    case v1::CERTIFICATE_OPERATION_DELETE:
      return CapfOperation::kDelete;
    default:
      return InvalidArgument("there is no operation {}: install, fetch or delete", static_cast<int>(operation));
  }
}

absl::StatusOr<std::optional<OperationState>> FromProto(v1::OperationState state) {
  switch (state) {
    case v1::OPERATION_STATE_UNSPECIFIED:
      return std::nullopt;
    case v1::OPERATION_STATE_PENDING:
      return OperationState::kPending;
    case v1::OPERATION_STATE_IN_PROGRESS:
      return OperationState::kInProgress;
    case v1::OPERATION_STATE_SUCCESS:
      return OperationState::kSuccess;
    case v1::OPERATION_STATE_FAILED:
      return OperationState::kFailed;
    case v1::OPERATION_STATE_EXPIRED:
      return OperationState::kExpired;
    case v1::OPERATION_STATE_CANCELLED:
      return OperationState::kCancelled;
    default:
      return InvalidArgument("there is no state {} of operations", static_cast<int>(state));
  }
}

absl::StatusOr<std::optional<EnrolmentAuthentication>> FromProto(v1::EnrolmentAuthentication authentication) {
  switch (authentication) {
    case v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED:
      return std::nullopt;
    case v1::ENROLMENT_AUTHENTICATION_STRING:
      return EnrolmentAuthentication::kString;
    case v1::ENROLMENT_AUTHENTICATION_NULL:
      return EnrolmentAuthentication::kNull;
    case v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_LSC:
      return EnrolmentAuthentication::kCertificateLsc;
    case v1::ENROLMENT_AUTHENTICATION_CERTIFICATE_MIC:
      return EnrolmentAuthentication::kCertificateMic;
    default:
      return InvalidArgument(
          "there is no authentication {}: by string, by null string, or by existing certificate (LSC or MIC first)",
          static_cast<int>(authentication));
  }
}

absl::StatusOr<KeyPlan> FromProto(const v1::KeySpecification& key) {
  KeyPlan plan;
  ASSIGN_OR_RETURN(plan.order, FromProto(key.order()));
  if (plan.order == KeyOrder::kRsa && key.curve() != v1::KeySpecification::CURVE_UNSPECIFIED) {
    return InvalidArgument("an RSA key has no curve");
  }
  if (plan.order == KeyOrder::kEc && key.rsa_bits() != 0) {
    return InvalidArgument("an EC key has a curve and no RSA size: EC preferred has both");
  }
  ASSIGN_OR_RETURN(plan.curve, FromProto(key.curve()));
  if (key.rsa_bits() == 0) return plan;
  if (key.rsa_bits() != 2048 && key.rsa_bits() != 3072 && key.rsa_bits() != 4096) {
    return InvalidArgument("an RSA key has 2048, 3072 or 4096 bits, not {}", key.rsa_bits());
  }
  plan.rsa_bits = key.rsa_bits();
  return plan;
}

absl::StatusOr<int32_t> ReadPageSize(int32_t page_size) {
  if (page_size < 0 || page_size > kLargestPageSize) {
    return InvalidArgument("a page has 1 to {} rows", kLargestPageSize);
  }
  return page_size == 0 ? kDefaultPageSize : page_size;
}

absl::Status NotAPageToken() {
  return InvalidArgument("the page token is not one that this list has given: begin again without it");
}

}  // namespace trustline
