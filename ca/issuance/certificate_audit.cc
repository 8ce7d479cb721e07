#include "ca/issuance/certificate_audit.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "ca/authority/authority_store.h"
#include "ca/issuance/issuance_store.h"
#include "ca/issuance/logged_certificates.h"
#include "ca/profile/lsc_check.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr size_t kMaxFindings = 1000;
constexpr int kBatch = 500;

constexpr Statement kBatchOfRows = {
    "audit_certificates",
    "SELECT i.issuance_id, i.authority_id, i.device, i.state, i.serial, i.subject, i.public_key_info, "
    "i.public_key_sha256, i.not_before, i.not_after, i.crl_url, i.to_be_signed, i.certificate, i.sha256, "
    "i.requested_at, "
    "i.requested_at < now() - interval '1 minute', i.signed_at, i.revoked_at "
    "FROM issuance i WHERE i.cluster_id = $1 AND i.issuance_id > $2 AND i.requested_at >= $3 "
    "ORDER BY i.issuance_id LIMIT $4"};
// By the times at which the rows say that it happened, which the log's own key leads with; event and row are written in
// one transaction.
constexpr Statement kEvents = {
    "audit_certificate_events",
    "SELECT detail::json ->> 'serial', coalesce(detail::json ->> 'sha256', '') FROM audit_event "
    "WHERE cluster_id = $1 AND at BETWEEN $2 AND $3 AND action = $4 AND outcome = 'done' "
    "AND detail::json ->> 'serial' = ANY($5)"};
constexpr Statement kLogBegin = {"audit_log_begin", "SELECT max(retired_before) FROM audit_checkpoint"};
constexpr absl::Duration kLongestTransaction = absl::Minutes(5);

struct IssuedRow {
  int64_t id = 0;
  int32_t authority_id = 0;
  std::string device, state, serial, subject, public_key_info, crl_url, to_be_signed;
  Sha256Digest public_key_sha256 = {};
  absl::Time not_before, not_after, requested_at;
  std::optional<absl::Time> signed_at, revoked_at;
  std::optional<std::string> certificate;
  std::optional<Sha256Digest> sha256;
  bool is_old = false;
};

struct Events {
  std::optional<std::string> issued_sha256;  // hexadecimal
  bool revoked = false;
};

// The first thing that does not fit; OK when all does. What happened before `log_begin` the audit log may have
// forgotten.
absl::Status CheckRow(const IssuedRow& row, const Authority& authority, const Events& events, absl::Time log_begin) {
  ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(*row.certificate)));
  if (!row.sha256 || certificate.sha256() != *row.sha256) return DataLoss("its SHA-256 is not the one on record");
  ASSIGN_OR_RETURN(const std::string signed_part, ToBeSignedOf(certificate));
  if (signed_part != row.to_be_signed) return DataLoss("it does not say what was intended");
  if (certificate.subject().ToText() != row.subject) return DataLoss("its subject is not the one on record");
  if (certificate.public_key_sha256() != row.public_key_sha256) return DataLoss("its key is not the one on record");
  ASSIGN_OR_RETURN(DeviceName device, DeviceName::Parse(row.device));
  const LscContent content = {.device = std::move(device),
                              .serial = row.serial,
                              .not_before = row.not_before,
                              .not_after = row.not_after,
                              .public_key_info = row.public_key_info,
                              .crl_url = row.crl_url};
  // As of when it was asked for.
  RETURN_IF_ERROR(CheckLsc(AsBytes(row.to_be_signed), content, *authority.certificate, row.requested_at).status());
  const OpenSslErrorScope errors;
  if (X509_verify(certificate.x509(), X509_get0_pubkey(authority.certificate->x509())) != 1) {
    return DataLoss("its signature does not verify with the authority's key");
  }
  if (!events.issued_sha256) {
    if (!row.signed_at || *row.signed_at >= log_begin) return DataLoss("the audit log does not tell of its issue");
  } else if (*events.issued_sha256 != ToHex(certificate.sha256())) {
    return DataLoss("the audit log tells of another certificate with this serial number");
  }
  if (row.state == "revoked" && !events.revoked && row.revoked_at && *row.revoked_at >= log_begin) {
    return DataLoss("the audit log does not tell of its revocation");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<IssuedRow>> ReadBatch(Connection& connection, int32_t cluster_id, int64_t after,
                                                 absl::Time since) {
  ASSIGN_OR_RETURN(
      const Result result,
      connection.Execute(kBatchOfRows, Parameters().Int64(cluster_id).Int64(after).Time(since).Int64(kBatch)));
  std::vector<IssuedRow> rows;
  for (const Row row : result) {
    IssuedRow& read = rows.emplace_back();
    RETURN_IF_ERROR(row.Scan(read.id, read.authority_id, read.device, read.state, read.serial, read.subject,
                             read.public_key_info, read.public_key_sha256, read.not_before, read.not_after,
                             read.crl_url, read.to_be_signed, read.certificate, read.sha256, read.requested_at,
                             read.is_old, read.signed_at, read.revoked_at));
  }
  return rows;
}

// Everything before it went with the retention of the audit log.
absl::StatusOr<absl::Time> ReadLogBegin(Connection& connection) {
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kLogBegin));
  ASSIGN_OR_RETURN(const std::optional<absl::Time> begin, result.Value<std::optional<absl::Time>>());
  return begin.value_or(absl::InfinitePast());
}

using EventsBySerial = std::map<std::string, Events>;

// The events of one action about rows for which `time_of` gives a time.
template <typename TimeOf, typename Take>
absl::Status ReadEvents(Connection& connection, int32_t cluster_id, const std::vector<IssuedRow>& rows,
                        std::string_view action, TimeOf time_of, Take take) {
  std::vector<std::string> serials;
  absl::Time first = absl::InfiniteFuture();
  absl::Time last = absl::InfinitePast();
  for (const IssuedRow& row : rows) {
    const std::optional<absl::Time> time = time_of(row);
    if (!time) continue;
    serials.push_back(ToHex(AsBytes(row.serial)));
    first = std::min(first, *time);
    last = std::max(last, *time);
  }
  if (serials.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kEvents, Parameters()
                                                                        .Int64(cluster_id)
                                                                        .Time(first - absl::Seconds(1))
                                                                        .Time(last + kLongestTransaction)
                                                                        .Text(action)
                                                                        .TextArray(serials)));
  for (const Row row : result) {
    std::string serial, sha256;
    RETURN_IF_ERROR(row.Scan(serial, sha256));
    take(serial, sha256);
  }
  return absl::OkStatus();
}

absl::StatusOr<EventsBySerial> ReadAllEvents(Connection& connection, int32_t cluster_id,
                                             const std::vector<IssuedRow>& rows) {
  EventsBySerial events;
  RETURN_IF_ERROR(ReadEvents(
      connection, cluster_id, rows, "lsc.issue", [](const IssuedRow& row) { return row.signed_at; },
      [&](const std::string& serial, const std::string& sha256) { events[serial].issued_sha256 = sha256; }));
  RETURN_IF_ERROR(ReadEvents(
      connection, cluster_id, rows, "lsc.revoke", [](const IssuedRow& row) { return row.revoked_at; },
      [&](const std::string& serial, const std::string&) { events[serial].revoked = true; }));
  return events;
}

}  // namespace

absl::StatusOr<CertificateAuditResult> AuditCertificates(Connection& connection, int32_t cluster_id, absl::Time since,
                                                         const std::function<absl::Status(int64_t)>& progress) {
  CertificateAuditResult result;
  const auto add = [&result](std::string finding) {
    if (result.findings.size() == kMaxFindings) {
      ++result.findings_left_out;
      return;
    }
    result.findings.push_back(std::move(finding));
  };
  const auto find = [&add](const IssuedRow& row, std::string_view what) {
    add(fmt::format("certificate {} of {}: {}", ToHex(AsBytes(row.serial)), row.device, what));
  };
  std::map<int32_t, Authority> authorities;
  AuthorityStore store(connection, cluster_id);
  ASSIGN_OR_RETURN(const std::vector<Authority> all, store.List());
  for (const Authority& authority : all) authorities.emplace(authority.id, authority);

  ASSIGN_OR_RETURN(const absl::Time log_begin, ReadLogBegin(connection));
  int64_t after = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<IssuedRow> rows, ReadBatch(connection, cluster_id, after, since));
    if (rows.empty()) break;
    ASSIGN_OR_RETURN(EventsBySerial events, ReadAllEvents(connection, cluster_id, rows));
    for (const IssuedRow& row : rows) {
      after = row.id;
      if (!row.certificate) {
        if (row.state == "intent" && row.is_old) find(row, "the request is open for more than a minute");
        continue;
      }
      ++result.checked;
      const auto authority = authorities.find(row.authority_id);
      if (authority == authorities.end() || !authority->second.certificate) {
        find(row, "its authority is not on record");
        continue;
      }
      const absl::Status status = CheckRow(row, authority->second, events[ToHex(AsBytes(row.serial))], log_begin);
      if (!status.ok()) find(row, StatusMessage(status));
    }
    RETURN_IF_ERROR(progress(result.checked));
  }

  const auto found = [&add](std::string_view finding) { add(std::string(finding)); };
  const auto still_there = [&] { return progress(result.checked); };
  RETURN_IF_ERROR(CompareWithAuditLog(connection, cluster_id, since, found, still_there));
  return result;
}

}  // namespace trustline
