#include "capf/operation_list.h"

#include <charconv>
#include <string>
#include <utility>

#include "capf/enrolment_messages.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kSelect[] = "SELECT " CAPF_OPERATION_INFO_COLUMNS " FROM capf_operation o WHERE o.cluster_id = $1";

// The last row of a page: its id, and its device in a list by device.
struct Position {
  int64_t id = 0;
  std::string device;
};

std::string MakeToken(bool by_device, const v1::OperationInfo& last) {
  return by_device ? fmt::format("{}:{}", last.operation_id(), last.device()) : fmt::format("{}", last.operation_id());
}

absl::StatusOr<Position> ReadToken(bool by_device, std::string_view token) {
  Position position;
  const size_t colon = token.find(':');
  const std::string_view id = token.substr(0, colon);
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), position.id);
  if (error != std::errc() || end != id.data() + id.size() || by_device != (colon != std::string_view::npos)) {
    return NotAPageToken();
  }
  if (by_device) position.device = token.substr(colon + 1);
  return position;
}

}  // namespace

absl::StatusOr<std::optional<v1::OperationInfo>> ReadOperationInfo(RowReader& row) {
  const auto id = row.Next<std::optional<int64_t>>();
  if (!id) return std::optional<v1::OperationInfo>();
  v1::OperationInfo info;
  info.set_operation_id(*id);
  info.set_device(row.Next<std::string>());
  const auto operation_word = row.Next<std::string>();
  const auto state_word = row.Next<std::string>();
  info.set_reason(row.Next<std::string>());
  const auto authentication_word = row.Next<std::string>();
  const auto order_word = row.Next<std::string>();
  KeyPlan keys = {.rsa_bits = row.Next<int32_t>()};
  const auto curve_word = row.Next<std::string>();
  *info.mutable_deadline() = ToProtoTime(row.Next<absl::Time>());
  *info.mutable_scheduled_at() = ToProtoTime(row.Next<absl::Time>());
  info.set_scheduled_by(row.Next<std::string>());
  if (const auto time = row.Next<std::optional<absl::Time>>()) *info.mutable_started_at() = ToProtoTime(*time);
  if (const auto time = row.Next<std::optional<absl::Time>>()) *info.mutable_ended_at() = ToProtoTime(*time);
  info.set_session_address(row.Next<std::optional<std::string>>().value_or(""));
  info.set_wrong_strings(row.Next<int32_t>());
  info.set_campaign_id(row.Next<std::optional<int32_t>>().value_or(0));
  info.set_wave(row.Next<std::optional<int32_t>>().value_or(0));
  if (const auto serial = row.Next<std::optional<std::string>>()) info.set_serial(ToHex(AsBytes(*serial)));
  RETURN_IF_ERROR(row.status());

  ASSIGN_OR_RETURN(const CapfOperation operation, ParseCapfOperation(operation_word));
  ASSIGN_OR_RETURN(const OperationState state, ParseOperationState(state_word));
  ASSIGN_OR_RETURN(const EnrolmentAuthentication authentication, ParseEnrolmentAuthentication(authentication_word));
  ASSIGN_OR_RETURN(keys.order, ParseKeyOrder(order_word));
  ASSIGN_OR_RETURN(keys.curve, ParseCapfCurve(curve_word));
  info.set_operation(ToProto(operation));
  info.set_state(ToProto(state));
  info.set_authentication(ToProto(authentication));
  if (operation == CapfOperation::kInstall) *info.mutable_key() = ToProto(keys);
  return std::optional(std::move(info));
}

absl::Status ListOperations(Connection& connection, int32_t cluster_id, const v1::ListOperationsRequest& request,
                            v1::ListOperationsResponse& response) {
  // 1. What is asked for.
  ASSIGN_OR_RETURN(const int32_t page_size, ReadPageSize(request.page_size()));
  ASSIGN_OR_RETURN(const std::string prefix, ParseDeviceNamePrefix(request.device_prefix()));
  ASSIGN_OR_RETURN(const std::optional<OperationState> state, FromProto(request.state()));
  ASSIGN_OR_RETURN(const std::optional<CapfOperation> operation, FromProto(request.operation()));
  const bool by_device = !prefix.empty();
  ListQuery query(kSelect, cluster_id);
  query.AndNamePrefix("o.device", prefix);
  if (state) query.And("o.state =", OperationStateName(*state));
  if (operation) query.And("o.operation =", CapfOperationName(*operation));
  if (request.campaign_id() != 0) query.And("o.campaign_id =", request.campaign_id());

  // 2. After the page before.
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(const Position position, ReadToken(by_device, request.page_token()));
    if (by_device) {
      query.AndPair("(o.device COLLATE \"C\", o.operation_id) >", position.device, position.id);
    } else {
      query.And("o.operation_id <", position.id);
    }
  }

  // 3. The page.
  ASSIGN_OR_RETURN(
      const Result result,
      query.Run(connection, by_device ? "o.device COLLATE \"C\", o.operation_id" : "o.operation_id DESC", page_size));
  for (const Row row : result) {
    if (response.operations_size() == page_size) {
      response.set_next_page_token(MakeToken(by_device, *response.operations().rbegin()));
      break;
    }
    RowReader reader(row);
    ASSIGN_OR_RETURN(std::optional<v1::OperationInfo> info, ReadOperationInfo(reader));
    if (info) *response.add_operations() = *std::move(info);
  }
  return absl::OkStatus();
}

}  // namespace trustline
