#include "itl/reset/reset_service.h"

#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "itl/reset/reset_messages.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};
// An order's phones are those that hold what they are chosen for at one moment.
constexpr TransactionOptions kOneStateToWrite = {.isolation = Isolation::kRepeatableRead};
constexpr int32_t kDefaultPageSize = 100;
constexpr int32_t kLargestPageSize = 1'000;

absl::StatusOr<int32_t> PageSize(int32_t asked) {
  if (asked < 0 || asked > kLargestPageSize) return InvalidArgument("a page has 1 to {} rows", kLargestPageSize);
  return asked == 0 ? kDefaultPageSize : asked;
}

absl::Status WrongToken() {
  return InvalidArgument("the page token is not one that a list has given: begin again without it");
}

absl::StatusOr<int32_t> ResetNumber(int64_t number) {
  if (number < 1 || number > std::numeric_limits<int32_t>::max()) {
    return NotFound("there is no reset {}: see `trustctl phones resets list`", number);
  }
  return static_cast<int32_t>(number);
}

constexpr Statement kHeldByPlan = {"reset_held_by_plan",
                                   "SELECT p.plan_id, p.state FROM phone_reset r JOIN trust_plan p USING (cluster_id, "
                                   "plan_id) WHERE r.cluster_id = $1 "
                                   "AND r.reset_id = $2 AND p.ended_at IS NULL AND p.state <> 'running'"};

// The reset of a plan goes on with it, and not before.
absl::Status CheckPlanRuns(Connection& connection, int32_t cluster_id, int32_t number) {
  ASSIGN_OR_RETURN(const Result rows, connection.Execute(kHeldByPlan, Parameters().Int64(cluster_id).Int64(number)));
  for (const Row row : rows) {
    int64_t plan = 0;
    std::string state;
    RETURN_IF_ERROR(row.Scan(plan, state));
    return FailedPrecondition("reset {} is of plan {}, which is {}: it goes on with that (`trustctl plan resume {}`)",
                              number, plan, state, plan);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResetService>> ResetService::Create(const ResetServiceParts& parts) {
  auto service = std::unique_ptr<ResetService>(new ResetService(parts));
  ASSIGN_OR_RETURN(service->policies_, MethodPolicy::AllOf(v1::Resets::service_full_name()));
  return service;
}

absl::StatusOr<Caller> ResetService::Admit(const grpc::ServerContext& context, const char* method,
                                           const google::protobuf::Message& request) {
  return parts_.authorizer.Authorize(context, policies_.find(method)->second, request);
}

absl::StatusOr<v1::Reset> ResetService::Start(const Caller& caller, const v1::StartResetRequest& request) {
  ASSIGN_OR_RETURN(ResetOrder order, FromProto(request));
  ASSIGN_OR_RETURN(const ResetHook hook, parts_.hooks.Find(request.hook()));
  order.hook = hook.name;
  const absl::Time now = parts_.clock.Now();
  if (request.plan()) {
    return RunInTransaction(parts_.import_pool, kOneState, [&](Connection& connection) -> absl::StatusOr<v1::Reset> {
      ASSIGN_OR_RETURN(const absl::TimeZone zone, ClusterTimeZone(connection, caller.cluster_id));
      ASSIGN_OR_RETURN(const int64_t phones, ResetOrders(connection, caller.cluster_id).CountChosen(order));
      return ToProto(ResetRecord{.wave = order.wave,
                                 .pause = order.pause,
                                 .hours = order.hours,
                                 .stop_at_failures = order.stop_at_failures,
                                 .hook = order.hook,
                                 .reason = order.reason,
                                 .ordered_by = caller.actor(),
                                 .ordered_at = now,
                                 .next_wave_at = now,
                                 .counts = {.phones = phones, .waiting = phones}},
                     0, zone, now);
    });
  }
  return RunInTransaction(
      parts_.import_pool, kOneStateToWrite, [&](Connection& connection) -> absl::StatusOr<v1::Reset> {
        ASSIGN_OR_RETURN(const absl::TimeZone zone, ClusterTimeZone(connection, caller.cluster_id));
        ASSIGN_OR_RETURN(const ResetRecord reset,
                         ResetOrders(connection, caller.cluster_id).Order(order, caller.actor(), now));
        if (reset.counts.phones == 0) {
          return FailedPrecondition("no phone is chosen: `trustctl phones report` with the same filter shows none");
        }
        return ToProto(reset, 0, zone, now);
      });
}

absl::Status ResetService::List(const Caller& caller, const v1::ListResetsRequest& request,
                                v1::ListResetsResponse& response) {
  ASSIGN_OR_RETURN(const int32_t page_size, PageSize(request.page_size()));
  int32_t before = 0;
  if (!request.page_token().empty() && (!absl::SimpleAtoi(request.page_token(), &before) || before < 1)) {
    return WrongToken();
  }
  return RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    response.Clear();
    for (const std::string& name : parts_.hooks.Names()) response.add_hooks(name);
    ASSIGN_OR_RETURN(const absl::TimeZone zone, ClusterTimeZone(connection, caller.cluster_id));
    ResetOrders orders(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const std::vector<ResetRecord> resets, orders.List(before, int64_t{page_size} + 1));
    for (const ResetRecord& reset : resets) {
      if (response.resets_size() == page_size) {
        response.set_next_page_token(fmt::format("{}", response.resets(page_size - 1).number()));
        break;
      }
      ASSIGN_OR_RETURN(const int64_t reported, orders.CountReported(reset.id));
      *response.add_resets() = ToProto(reset, reported, zone, parts_.clock.Now());
    }
    return absl::OkStatus();
  });
}

absl::Status ResetService::Show(const Caller& caller, const v1::ShowResetRequest& request,
                                v1::ShowResetResponse& response) {
  ASSIGN_OR_RETURN(const int32_t number, ResetNumber(request.number()));
  ASSIGN_OR_RETURN(const int32_t page_size, PageSize(request.page_size()));
  std::string after;
  if (!request.page_token().empty()) {
    const absl::StatusOr<DeviceName> device = DeviceName::Parse(request.page_token());
    if (!device.ok()) return WrongToken();
    after = device->text();
  }
  return RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    response.Clear();
    ResetOrders orders(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const absl::TimeZone zone, ClusterTimeZone(connection, caller.cluster_id));
    ASSIGN_OR_RETURN(const ResetRecord reset, orders.Find(number));
    ASSIGN_OR_RETURN(const int64_t reported, orders.CountReported(number));
    *response.mutable_reset() = ToProto(reset, reported, zone, parts_.clock.Now());
    ASSIGN_OR_RETURN(const std::vector<ResetPhone> phones,
                     orders.Phones(number, request.failed_only(), after, int64_t{page_size} + 1));
    for (const ResetPhone& phone : phones) {
      if (response.phones_size() == page_size) {
        response.set_next_page_token(response.phones(page_size - 1).device());
        break;
      }
      *response.add_phones() = ToProto(phone);
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Reset> ResetService::Change(const Caller& caller, const v1::ChangeResetRequest& request) {
  ASSIGN_OR_RETURN(const int32_t number, ResetNumber(request.number()));
  return RunInTransaction(parts_.pool, {}, [&](Connection& connection) -> absl::StatusOr<v1::Reset> {
    ResetOrders orders(connection, caller.cluster_id);
    const absl::Time now = parts_.clock.Now();
    ASSIGN_OR_RETURN(const absl::TimeZone zone, ClusterTimeZone(connection, caller.cluster_id));
    absl::StatusOr<ResetRecord> reset = InvalidArgument("a reset is paused, resumed or aborted");
    switch (request.change()) {
      case v1::ChangeResetRequest::CHANGE_PAUSE:
        reset = orders.Pause(number, request.reason(), caller.actor());
        break;
      case v1::ChangeResetRequest::CHANGE_RESUME:
        RETURN_IF_ERROR(CheckPlanRuns(connection, caller.cluster_id, number));
        reset = orders.Resume(number, request.reason(), caller.actor(), now);
        break;
      case v1::ChangeResetRequest::CHANGE_ABORT:
        reset = orders.Abort(number, request.reason(), caller.actor(), now);
        break;
      default:
        break;
    }
    if (!reset.ok()) return reset.status();
    ASSIGN_OR_RETURN(const int64_t reported, orders.CountReported(number));
    return ToProto(*reset, reported, zone, now);
  });
}

grpc::Status ResetService::StartReset(grpc::ServerContext* context, const v1::StartResetRequest* request,
                                      v1::StartResetResponse* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, "StartReset", *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  absl::StatusOr<v1::Reset> reset = Start(*caller, *request);
  if (!reset.ok()) return ToGrpc(reset.status());
  *response->mutable_reset() = *std::move(reset);
  return grpc::Status::OK;
}
grpc::Status ResetService::ListResets(grpc::ServerContext* context, const v1::ListResetsRequest* request,
                                      v1::ListResetsResponse* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, "ListResets", *request);
  return ToGrpc(caller.ok() ? List(*caller, *request, *response) : caller.status());
}
grpc::Status ResetService::ShowReset(grpc::ServerContext* context, const v1::ShowResetRequest* request,
                                     v1::ShowResetResponse* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, "ShowReset", *request);
  return ToGrpc(caller.ok() ? Show(*caller, *request, *response) : caller.status());
}
grpc::Status ResetService::ChangeReset(grpc::ServerContext* context, const v1::ChangeResetRequest* request,
                                       v1::ChangeResetResponse* response) {
  const absl::StatusOr<Caller> caller = Admit(*context, "ChangeReset", *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  absl::StatusOr<v1::Reset> reset = Change(*caller, *request);
  if (!reset.ok()) return ToGrpc(reset.status());
  *response->mutable_reset() = *std::move(reset);
  return grpc::Status::OK;
}

}  // namespace trustline
