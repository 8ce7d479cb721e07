#include "capf/enrolment_report.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "capf/enrolment_messages.h"
#include "capf/list_query.h"
#include "capf/operation_list.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

// The newest certificate of a device, as `i`, by index issuance_device.
#define NEWEST_CERTIFICATE(cluster, device)                                                             \
  "(SELECT i.cluster_id, i.issuance_id, i.authority_id, i.state, i.serial, i.public_key, i.not_after, " \
  "i.confirmed_at FROM issuance i WHERE i.cluster_id = " cluster " AND i.device = " device              \
  " AND i.state NOT IN ('intent', 'abandoned') ORDER BY i.issuance_id DESC LIMIT 1) i "

// The number of its LscInfo.Status.
#define LSC_STATUS                                                                                            \
  "(CASE WHEN i.issuance_id IS NULL THEN 1 WHEN i.state = 'revoked' THEN 5 WHEN i.not_after <= now() THEN 4 " \
  "WHEN i.confirmed_at IS NULL THEN 2 ELSE 3 END)"
static_assert(v1::LscInfo::STATUS_NONE == 1 && v1::LscInfo::STATUS_UNACKNOWLEDGED == 2 &&
              v1::LscInfo::STATUS_INSTALLED == 3 && v1::LscInfo::STATUS_EXPIRED == 4 &&
              v1::LscInfo::STATUS_REVOKED == 5);

// With its authority as `a`.
#define LSC_COLUMNS LSC_STATUS ", i.serial, i.not_after, a.subject, a.not_after, i.authority_id, i.public_key"

absl::StatusOr<v1::LscInfo> ReadLsc(RowReader& row) {
  v1::LscInfo lsc;
  lsc.set_status(static_cast<v1::LscInfo::Status>(row.Next<int32_t>()));
  if (const auto serial = row.Next<std::optional<std::string>>()) lsc.set_serial(ToHex(AsBytes(*serial)));
  if (const auto end = row.Next<std::optional<absl::Time>>()) *lsc.mutable_expires() = ToProtoTime(*end);
  lsc.set_issued_by(row.Next<std::optional<std::string>>().value_or(""));
  if (const auto end = row.Next<std::optional<absl::Time>>()) *lsc.mutable_issuer_expires() = ToProtoTime(*end);
  lsc.set_authority_id(row.Next<std::optional<int32_t>>().value_or(0));
  lsc.set_public_key(row.Next<std::optional<std::string>>().value_or(""));
  RETURN_IF_ERROR(row.status());
  return lsc;
}

constexpr char kReport[] =
    "SELECT d.name, " LSC_COLUMNS ", " CAPF_OPERATION_INFO_COLUMNS
    " FROM device d LEFT JOIN LATERAL " NEWEST_CERTIFICATE("d.cluster_id", "d.name") "ON true "
    "LEFT JOIN ca_authority a ON a.cluster_id = i.cluster_id AND a.authority_id = i.authority_id "
    "LEFT JOIN LATERAL (SELECT * FROM capf_operation o WHERE o.cluster_id = d.cluster_id "
    "AND o.device COLLATE \"C\" = d.name ORDER BY o.operation_id DESC LIMIT 1) o ON true "
    "WHERE d.cluster_id = $1";

absl::StatusOr<ListQuery> ReadReport(int32_t cluster_id, const v1::ReportEnrolmentRequest& request) {
  ListQuery query(kReport, cluster_id);
  ASSIGN_OR_RETURN(const std::string prefix, ParseDeviceNamePrefix(request.device_prefix()));
  query.AndNamePrefix("d.name", prefix);
  if (!request.model().empty()) query.And("d.model =", request.model());
  if (!request.site().empty()) query.And("d.site =", request.site());
  if (request.lsc_status() != v1::LscInfo::STATUS_UNSPECIFIED) {
    if (!v1::LscInfo::Status_IsValid(request.lsc_status())) {
      return InvalidArgument("there is no status {} of certificates", static_cast<int>(request.lsc_status()));
    }
    query.And(LSC_STATUS " =", request.lsc_status());
  }
  if (request.has_expires_before()) query.And("i.not_after <", FromProtoTime(request.expires_before()));
  // Names are compared without regard to case.
  if (!request.issued_by().empty()) {
    query.And("strpos(lower(a.subject), lower(", request.issued_by(), ")) > 0");
  }
  if (request.has_issuer_expires_before()) query.And("a.not_after <", FromProtoTime(request.issuer_expires_before()));
  ASSIGN_OR_RETURN(const std::optional<OperationState> state, FromProto(request.operation_state()));
  if (state) query.And("o.state =", OperationStateName(*state));
  // A page token is the last name of the page before. A first page has a bound too, so that it goes by an index.
  std::string after;
  if (!request.page_token().empty()) {
    const absl::StatusOr<DeviceName> last = DeviceName::Parse(request.page_token());
    if (!last.ok()) return NotAPageToken();
    after = last->text();
  }
  query.And("d.name COLLATE \"C\" >", after);
  return query;
}

absl::Status AddOperations(Connection& connection, int32_t cluster_id, std::string_view device,
                           v1::ShowEnrolmentResponse& response) {
  static constexpr Statement kNewest = {
      "newest_operations_of_device", "SELECT " CAPF_OPERATION_INFO_COLUMNS
                                     " FROM capf_operation o WHERE o.cluster_id = $1 AND o.device COLLATE \"C\" = $2 "
                                     "ORDER BY o.operation_id DESC LIMIT 20"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kNewest, Parameters().Int64(cluster_id).Text(device)));
  for (const Row row : result) {
    RowReader reader(row);
    ASSIGN_OR_RETURN(std::optional<v1::OperationInfo> info, ReadOperationInfo(reader));
    if (info) *response.add_operations() = *std::move(info);
  }
  return absl::OkStatus();
}

absl::Status AddLocks(Connection& connection, int32_t cluster_id, std::string_view device, absl::Time now,
                      v1::ShowEnrolmentResponse& response) {
  static constexpr Statement kLocks = {"locks_of_device",
                                       "SELECT address, wrong_strings, last_wrong_at, locked_until FROM capf_lockout "
                                       "WHERE cluster_id = $1 AND device = $2 ORDER BY last_wrong_at DESC, address"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kLocks, Parameters().Int64(cluster_id).Text(device)));
  for (const Row row : result) {
    std::string address;
    int32_t wrong_strings = 0;
    absl::Time last_wrong_at;
    std::optional<absl::Time> locked_until;
    RETURN_IF_ERROR(row.Scan(address, wrong_strings, last_wrong_at, locked_until));
    v1::ShowEnrolmentResponse::Lock& lock = *response.add_locks();
    lock.set_address(address);
    lock.set_wrong_strings(wrong_strings);
    *lock.mutable_last_wrong_at() = ToProtoTime(last_wrong_at);
    if (locked_until && *locked_until > now) *lock.mutable_locked_until() = ToProtoTime(*locked_until);
  }
  return absl::OkStatus();
}

absl::Status AddFetched(Connection& connection, int32_t cluster_id, std::string_view device,
                        v1::ShowEnrolmentResponse& response) {
  static constexpr Statement kFetched = {"fetched_certificates_of_device",
                                         "SELECT type, der, fetched_at FROM capf_fetched_certificate "
                                         "WHERE cluster_id = $1 AND device = $2 ORDER BY type"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kFetched, Parameters().Int64(cluster_id).Text(device)));
  for (const Row row : result) {
    std::string type, der;
    absl::Time fetched_at;
    RETURN_IF_ERROR(row.Scan(type, der, fetched_at));
    v1::ShowEnrolmentResponse::Fetched& fetched = *response.add_fetched();
    // A certificate that cannot be read is shown as it came.
    if (const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der)); certificate.ok()) {
      *fetched.mutable_summary() = SummaryOf(*certificate);
    }
    fetched.set_type(type);
    fetched.set_der(std::move(der));
    *fetched.mutable_fetched_at() = ToProtoTime(fetched_at);
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ListStaleCertificatesResponse::Stale> ReadStale(RowReader& row) {
  v1::ListStaleCertificatesResponse::Stale stale;
  stale.set_device(row.Next<std::string>());
  stale.set_serial(ToHex(AsBytes(row.Next<std::string>())));
  if (const auto time = row.Next<std::optional<absl::Time>>()) *stale.mutable_issued_at() = ToProtoTime(*time);
  *stale.mutable_expires() = ToProtoTime(row.Next<absl::Time>());
  stale.set_issued_by(row.Next<std::string>());
  stale.set_revoked(row.Next<bool>());
  if (const auto serial = row.Next<std::optional<std::string>>()) stale.set_replaced_by(ToHex(AsBytes(*serial)));
  RETURN_IF_ERROR(row.status());
  return stale;
}

}  // namespace

absl::Status ReportEnrolment(Connection& transaction, int32_t cluster_id, const v1::ReportEnrolmentRequest& request,
                             v1::ReportEnrolmentResponse& response) {
  ASSIGN_OR_RETURN(const int32_t page_size, ReadPageSize(request.page_size()));
  ASSIGN_OR_RETURN(ListQuery query, ReadReport(cluster_id, request));
  // Device after device in the order of the index, up to the page's end: the planner, while it knows nothing of a young
  // table, would look everything up of all devices and sort them.
  RETURN_IF_ERROR(transaction.Execute("SET LOCAL enable_sort = off").status());
  ASSIGN_OR_RETURN(const Result result, query.Run(transaction, "d.name COLLATE \"C\"", page_size));
  for (const Row row : result) {
    if (response.rows_size() == page_size) {
      response.set_next_page_token(response.rows().rbegin()->device());
      break;
    }
    RowReader reader(row);
    v1::ReportEnrolmentResponse::Row& entry = *response.add_rows();
    entry.set_device(reader.Next<std::string>());
    ASSIGN_OR_RETURN(*entry.mutable_lsc(), ReadLsc(reader));
    ASSIGN_OR_RETURN(std::optional<v1::OperationInfo> operation, ReadOperationInfo(reader));
    if (operation) *entry.mutable_operation() = *std::move(operation);
  }
  return absl::OkStatus();
}

absl::Status ShowEnrolment(Connection& connection, int32_t cluster_id, std::string_view device, absl::Time now,
                           v1::ShowEnrolmentResponse& response) {
  static constexpr Statement kLsc = {
      "lsc_of_device",
      "SELECT EXISTS (SELECT FROM device WHERE cluster_id = $1 AND name = $2), " LSC_COLUMNS
      " FROM (SELECT) one LEFT JOIN " NEWEST_CERTIFICATE("$1", "$2") "ON true "
      "LEFT JOIN ca_authority a ON a.cluster_id = i.cluster_id AND a.authority_id = i.authority_id"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kLsc, Parameters().Int64(cluster_id).Text(device)));
  RowReader reader(result[0]);
  const bool is_known = reader.Next<bool>();
  ASSIGN_OR_RETURN(*response.mutable_lsc(), ReadLsc(reader));
  response.set_device(std::string(device));
  RETURN_IF_ERROR(AddOperations(connection, cluster_id, device, response));
  RETURN_IF_ERROR(AddLocks(connection, cluster_id, device, now, response));
  RETURN_IF_ERROR(AddFetched(connection, cluster_id, device, response));
  if (!is_known && response.lsc().status() == v1::LscInfo::STATUS_NONE && response.operations().empty()) {
    return NotFound("there is no device {0} in this cluster: add it with `trustctl device add {0}`", device);
  }
  return absl::OkStatus();
}

absl::Status ListStaleCertificates(Connection& connection, int32_t cluster_id, absl::Time now,
                                   const v1::ListStaleCertificatesRequest& request,
                                   v1::ListStaleCertificatesResponse& response) {
  // By index issuance_unacknowledged. What replaces one is what was acknowledged, if anything was.
  static constexpr Statement kStale = {
      "stale_certificates",
      "SELECT i.issuance_id, i.device, i.serial, i.signed_at, i.not_after, a.subject, i.state = 'revoked', n.serial "
      "FROM issuance i JOIN ca_authority a USING (cluster_id, authority_id) LEFT JOIN LATERAL "
      "(SELECT n.serial FROM issuance n WHERE n.cluster_id = i.cluster_id AND n.device = i.device "
      " AND n.issuance_id > i.issuance_id AND n.state NOT IN ('intent', 'abandoned') "
      " ORDER BY n.confirmed_at IS NULL, n.issuance_id DESC LIMIT 1) n ON true "
      "WHERE i.cluster_id = $1 AND i.issuance_id < $2 AND i.confirmed_at IS NULL "
      "AND i.state IN ('signed', 'delivered', 'revoked') "
      "AND CASE WHEN i.state = 'revoked' THEN i.revocation_reason = 4 "
      "ELSE i.not_after > $3 AND (i.signed_at < $4 OR n.serial IS NOT NULL) END "
      "ORDER BY i.issuance_id DESC LIMIT $5"};
  ASSIGN_OR_RETURN(const int32_t page_size, ReadPageSize(request.page_size()));
  // A page token is the last id of the page before.
  const std::string& token = request.page_token();
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!token.empty()) {
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), before);
    if (error != std::errc() || end != token.data() + token.size()) return NotAPageToken();
  }
  ASSIGN_OR_RETURN(
      const Result result,
      connection.Execute(
          kStale, Parameters().Int64(cluster_id).Int64(before).Time(now).Time(now - kStaleAfter).Int64(page_size + 1)));
  int64_t last = 0;
  for (const Row row : result) {
    if (response.certificates_size() == page_size) {
      response.set_next_page_token(fmt::format("{}", last));
      break;
    }
    RowReader reader(row);
    last = reader.Next<int64_t>();
    ASSIGN_OR_RETURN(*response.add_certificates(), ReadStale(reader));
  }
  return absl::OkStatus();
}

}  // namespace trustline
