#include "cli/trustctl/trust_records.h"

#include <fmt/format.h>

#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

std::string RoleText(int role) {
  const std::optional<CertificateRole> known = FromProto(static_cast<v1::CertificateRole>(role));
  return known ? std::string(CertificateRoleName(*known)) : fmt::format("unknown role {}", role);
}

}  // namespace

void RolesToProto(const std::vector<CertificateRole>& roles, google::protobuf::RepeatedField<int>* field) {
  for (const CertificateRole role : roles) field->Add(ToProto(role));
}

Cell RoleCell(v1::CertificateRole role) {
  if (role == v1::CERTIFICATE_ROLE_UNSPECIFIED) return {};
  return RoleText(role);
}

Cell RolesCell(const google::protobuf::RepeatedField<int>& roles) {
  std::vector<std::string> names;
  for (const int role : roles) names.push_back(RoleText(role));
  return names;
}

Cell TimestampCell(const google::protobuf::Timestamp& time) { return TimeCell(time.seconds(), time.nanos()); }

Cell DurationCell(bool present, const google::protobuf::Duration& duration) {
  if (!present) return {};
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

google::protobuf::Duration DurationToProto(absl::Duration duration) {
  google::protobuf::Duration message;
  message.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  message.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return message;
}

google::protobuf::Timestamp TimeToProto(absl::Time time) {
  google::protobuf::Timestamp message;
  message.set_seconds(absl::ToUnixSeconds(time));
  message.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(message.seconds()))));
  return message;
}

std::string CertificateText(const v1::CertificateSummary& certificate) {
  return fmt::format("{} {}", ToHex(AsBytes(certificate.sha256())).substr(0, 16), certificate.subject());
}

std::vector<Column> TrustedCertificateColumns(bool show_removed) {
  return {{"sha256", "FINGERPRINT"},
          {"role", "ROLE"},
          {"ttl_seconds", "TTL"},
          {"anchor", "ANCHOR"},
          {"listed", "LISTED"},
          {"not_after", "EXPIRES"},
          {"origin", "ORIGIN"},
          {"subject", "SUBJECT"},
          {"issuer", "ISSUER", false},
          {"serial", "SERIAL", false},
          {"not_before", "VALID FROM", false},
          {"public_key", "KEY", false},
          {"is_ca", "CA", false},
          {"added_by", "ADDED BY", false},
          {"added_at", "ADDED", false},
          {"removed_at", "REMOVED", show_removed},
          {"removed_by", "REMOVED BY", show_removed}};
}

std::vector<Row> TrustedCertificateRows(const v1::TrustedCertificate& trusted) {
  const v1::CertificateSummary& certificate = trusted.certificate();
  const auto row = [&certificate](const v1::TrustEntry& entry, bool exists) {
    return Row{Fingerprint{certificate.sha256()},
               RoleCell(entry.role()),
               DurationCell(entry.has_ttl(), entry.ttl()),
               exists ? Cell(entry.anchor()) : Cell(),
               exists ? Cell(entry.listed()) : Cell(),
               TimestampCell(certificate.not_after()),
               entry.origin(),
               certificate.subject(),
               certificate.issuer(),
               certificate.serial(),
               TimestampCell(certificate.not_before()),
               certificate.public_key(),
               certificate.is_ca(),
               entry.added_by(),
               TimestampCell(entry.added_at()),
               TimestampCell(entry.removed_at()),
               entry.removed_by()};
  };
  std::vector<Row> rows;
  for (const v1::TrustEntry& entry : trusted.entries()) rows.push_back(row(entry, true));
  if (rows.empty()) rows.push_back(row(v1::TrustEntry(), false));
  return rows;
}

std::string CertificateCountText(int64_t count) {
  return fmt::format("{} certificate{}", count, count == 1 ? "" : "s");
}

absl::StatusOr<std::string> DerToPem(std::string_view der) {
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
  if (!certificate.ok()) {
    return DataLoss("the service sent what is not a certificate: {}", StatusMessage(certificate.status()));
  }
  return certificate->ToPem();
}

}  // namespace trustline
