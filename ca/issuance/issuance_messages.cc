#include "ca/issuance/issuance_messages.h"

#include "absl/strings/ascii.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kMaxDigits = 128;

// Codes on gRPC are those of the states and reasons plus one.
v1::CertificateState ToProto(IssuanceState state) {
  return static_cast<v1::CertificateState>(static_cast<int>(state) + 1);
}

}  // namespace

v1::IssuedCertificate ToProto(const IssuanceRecord& record) {
  v1::IssuedCertificate message;
  message.set_issuance_id(record.id);
  message.set_device(record.device);
  message.set_serial(ToHex(AsBytes(record.serial)));
  message.set_subject(record.subject);
  message.set_issuer(record.issuer);
  message.set_authority_id(record.authority_id);
  message.set_public_key(record.public_key);
  message.set_public_key_sha256(std::string(AsText(record.public_key_sha256)));
  *message.mutable_not_before() = ToProtoTime(record.not_before);
  *message.mutable_not_after() = ToProtoTime(record.not_after);
  message.set_state(ToProto(record.state));
  if (record.sha256) message.set_sha256(std::string(AsText(*record.sha256)));
  message.set_requested_by(record.requested_by);
  *message.mutable_requested_at() = ToProtoTime(record.requested_at);
  if (record.signed_at) *message.mutable_signed_at() = ToProtoTime(*record.signed_at);
  if (record.delivered_at) *message.mutable_delivered_at() = ToProtoTime(*record.delivered_at);
  if (record.confirmed_at) *message.mutable_confirmed_at() = ToProtoTime(*record.confirmed_at);
  if (record.revoked_at) *message.mutable_revoked_at() = ToProtoTime(*record.revoked_at);
  if (record.revocation_reason) {
    message.set_revocation_reason(static_cast<v1::CertificateRevocationReason>(*record.revocation_reason + 1));
  }
  message.set_revoked_by(record.revoked_by.value_or(""));
  message.set_abandoned_because(record.abandoned_because);
  message.set_first_crl_number(record.first_crl_number.value_or(0));
  return message;
}

absl::StatusOr<RevocationReason> FromProto(v1::CertificateRevocationReason reason) {
  if (reason == v1::CERTIFICATE_REVOCATION_REASON_UNSPECIFIED || !v1::CertificateRevocationReason_IsValid(reason)) {
    return InvalidArgument("a reason for the revocation must be given, \"no reason\" among others");
  }
  return static_cast<RevocationReason>(static_cast<int>(reason) - 1);
}

absl::StatusOr<std::string> ReadHex(std::string_view text, std::string_view what) {
  absl::StatusOr<std::string> bytes = FromHex(text);
  if (!bytes.ok() || bytes->size() > 64) {
    return InvalidArgument("{} is an even number of hexadecimal digits, not \"{}\"", what, text.substr(0, 64));
  }
  return bytes;
}

absl::StatusOr<std::string> ReadDigits(std::string_view text, std::string_view what) {
  std::string digits(text.substr(0, kMaxDigits + 1));
  absl::AsciiStrToLower(&digits);
  if (digits.size() > kMaxDigits || digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return InvalidArgument("{} begins with hexadecimal digits, not with \"{}\"", what, text.substr(0, 64));
  }
  return digits;
}

absl::StatusOr<IssuanceFilter> ReadFilter(const v1::ListCertificatesRequest& request) {
  IssuanceFilter filter;
  ASSIGN_OR_RETURN(filter.device_prefix, ParseDeviceNamePrefix(request.device_prefix()));
  filter.subject_prefix = request.subject_prefix();
  ASSIGN_OR_RETURN(filter.serial_prefix, ReadDigits(request.serial_prefix(), "a serial number"));
  ASSIGN_OR_RETURN(filter.public_key_prefix, ReadDigits(request.public_key_prefix(), "a key's SHA-256"));
  filter.authority_id = request.authority_id();
  if (request.has_expires_after()) filter.expires_after = FromProtoTime(request.expires_after());
  if (request.has_expires_before()) filter.expires_before = FromProtoTime(request.expires_before());
  if (request.state() != v1::CERTIFICATE_STATE_UNSPECIFIED) {
    if (!v1::CertificateState_IsValid(request.state())) return InvalidArgument("there is no such state");
    filter.state = static_cast<IssuanceState>(static_cast<int>(request.state()) - 1);
  }
  filter.good = request.good();
  return filter;
}

}  // namespace trustline
