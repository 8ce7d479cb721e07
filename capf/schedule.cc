#include "capf/schedule.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "capf/enrolment_messages.h"
#include "capf/enrolment_policy.h"
#include "capf/string_key.h"
#include "common/bytes/sha256.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/proto_time.h"
#include "common/service/audit.h"
#include "common/service/json.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr int64_t kMostOfBatch = 1000;
constexpr size_t kMaxNameShown = 64;

using Options = v1::ScheduleOperationsRequest::Options;

absl::StatusOr<ScheduleOptions> ReadTakingBack(const Options& options) {
  if (options.authentication() != v1::ENROLMENT_AUTHENTICATION_UNSPECIFIED || options.has_key() ||
      options.has_deadline() || options.string_digits() != 0 || options.add_unknown_devices()) {
    return InvalidArgument(
        "what is pending is taken back without authentication, key, deadline, digits or unknown devices");
  }
  return ScheduleOptions{.all_or_nothing = options.all_or_nothing()};
}

absl::StatusOr<absl::Time> ReadDeadline(const Options& options, absl::Time now) {
  if (!options.has_deadline()) return now + kDefaultOperationTime;
  const absl::Time deadline = FromProtoTime(options.deadline());
  if (deadline <= now) return InvalidArgument("the deadline {} is over already", TimeTextSeconds(deadline));
  if (deadline > now + kLongestOperationTime) {
    return InvalidArgument("the deadline {} is more than {} away", TimeTextSeconds(deadline),
                           DurationText(kLongestOperationTime));
  }
  return deadline;
}

// Over the sorted names, each with a line feed, as `sort | sha256sum` gives it.
std::string DigestOfNames(std::vector<std::string_view> names) {
  std::ranges::sort(names);
  std::string text;
  for (const std::string_view name : names) text.append(name).push_back('\n');
  return ToHex(Sha256(AsBytes(text)));
}

void CleanseStrings(v1::ScheduleOperationsResponse& response) {
  for (v1::ScheduleOperationsResponse::Outcome& outcome : *response.mutable_outcomes()) {
    std::string& secret = *outcome.mutable_authentication_string();
    OPENSSL_cleanse(secret.data(), secret.size());
  }
}

// Calls `body` with at most 1,000 devices after the other.
template <typename Device, typename Body>
absl::Status ForEachBatch(std::span<Device> devices, Body body) {
  for (size_t begin = 0; begin < devices.size(); begin += kMostOfBatch) {
    RETURN_IF_ERROR(body(devices.subspan(begin, std::min<size_t>(kMostOfBatch, devices.size() - begin))));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ScheduleOptions> ReadScheduleOptions(const Options& options, absl::Time now) {
  // 1. What is to be done.
  if (options.operation() == v1::CERTIFICATE_OPERATION_NONE) return ReadTakingBack(options);
  ScheduleOptions read = {.add_unknown_devices = options.add_unknown_devices(),
                          .all_or_nothing = options.all_or_nothing()};
  ASSIGN_OR_RETURN(read.operation, FromProto(options.operation()));
  if (!read.operation) return InvalidArgument("an operation is named: install, fetch, delete or none");
  const bool installs = read.operation == CapfOperation::kInstall;
  if (options.has_key()) {
    if (!installs) return InvalidArgument("only an installation makes a key");
    ASSIGN_OR_RETURN(read.keys, FromProto(options.key()));
  }
  if (read.add_unknown_devices && !installs) {
    return InvalidArgument("a device that is not known has no certificate to {}: only an installation adds devices",
                           CapfOperationName(*read.operation));
  }

  // 2. How the device proves itself.
  ASSIGN_OR_RETURN(const std::optional<EnrolmentAuthentication> authentication, FromProto(options.authentication()));
  read.authentication =
      authentication.value_or(installs ? EnrolmentAuthentication::kString : EnrolmentAuthentication::kCertificateLsc);
  if (options.string_digits() != 0) {
    if (read.authentication != EnrolmentAuthentication::kString) {
      return InvalidArgument("only authentication strings have digits");
    }
    if (options.string_digits() < kLeastStringDigits || options.string_digits() > kMostStringDigits) {
      return InvalidArgument("an authentication string has {} to {} digits, not {}", kLeastStringDigits,
                             kMostStringDigits, options.string_digits());
    }
    read.string_digits = options.string_digits();
  }

  // 3. Until when.
  ASSIGN_OR_RETURN(read.deadline, ReadDeadline(options, now));
  return read;
}

absl::Status Schedule::Run(ScheduleStream& stream) {
  std::vector<Device> all;
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<v1::ScheduleOperationsRequest> request, stream.Read());
    if (!request) break;
    ASSIGN_OR_RETURN(std::vector<Device> batch, Admit(*request));
    if (options_.all_or_nothing) {
      std::ranges::move(batch, std::back_inserter(all));
      continue;
    }
    RETURN_IF_ERROR(Apply(batch, stream));
    RETURN_IF_ERROR(Answer(stream, batch));
  }
  if (!options_.all_or_nothing) return absl::OkStatus();

  const absl::Status applied = Apply(all, stream);
  if (!applied.ok()) std::erase_if(all, [](const Device& device) { return device.refusal.empty(); });
  if (!applied.ok() && !absl::IsFailedPrecondition(applied)) return applied;
  RETURN_IF_ERROR(ForEachBatch(std::span(all), [&](std::span<Device> batch) { return Answer(stream, batch); }));
  return applied;
}

absl::StatusOr<std::vector<Schedule::Device>> Schedule::Admit(const v1::ScheduleOperationsRequest& request) {
  if (!request.has_devices()) return InvalidArgument("only batches of devices follow the options");
  const auto& names = request.devices().names();
  if (names.size() > kMostOfBatch) {
    return InvalidArgument("a batch has at most {} devices, and here are {}", kMostOfBatch, names.size());
  }
  const int64_t most = options_.all_or_nothing ? kMostDevicesAllOrNothing : kMostScheduledDevices;
  received_ += names.size();
  if (received_ > most) {
    return InvalidArgument("at most {} devices are scheduled {}: divide the list", most,
                           options_.all_or_nothing ? "all or none" : "by one call");
  }
  std::vector<Device> devices;
  devices.reserve(static_cast<size_t>(names.size()));
  for (const std::string& name : names) devices.push_back(AdmitOne(name));
  return devices;
}

Schedule::Device Schedule::AdmitOne(const std::string& name) {
  const absl::StatusOr<DeviceName> parsed = DeviceName::Parse(name);
  if (!parsed.ok()) {
    return {.name = PrintableText(name, kMaxNameShown), .refusal = std::string(StatusMessage(parsed.status()))};
  }
  Device device = {.name = parsed->text()};
  if (!names_.insert(device.name).second) device.refusal = fmt::format("{} was named before", device.name);
  return device;
}

absl::Status Schedule::Apply(std::vector<Device>& devices, const ScheduleStream& stream) {
  // 1. In the order of their names, so that two calls wait for each other and never both ways.
  std::vector<Device*> admitted;
  for (Device& device : devices) {
    if (device.refusal.empty()) admitted.push_back(&device);
  }
  std::ranges::sort(admitted, {}, &Device::name);
  if (options_.operation && options_.authentication == EnrolmentAuthentication::kString) {
    for (Device* device : admitted) {
      device->string = AuthenticationStrings::Generate(options_.string_digits);
      device->kept = parts_.strings.Keep(device->string);
    }
  }
  const auto check_all = [&]() -> absl::Status {
    const auto refused = std::ranges::count_if(devices, [](const Device& d) { return !d.refusal.empty(); });
    if (!options_.all_or_nothing || refused == 0) return absl::OkStatus();
    return FailedPrecondition("{} of {} devices were refused: nothing was scheduled", refused, devices.size());
  };

  return RunInTransaction(parts_.pool, {}, [&](Connection& transaction) -> absl::Status {
    // The transaction may be a repetition.
    for (Device* device : admitted) {
      device->refusal.clear();
      device->result = {};
    }
    const absl::Time now = parts_.clock.Now();
    // A plan that was made while the tables had a few rows would go through all of the 100,000 that come in this call.
    RETURN_IF_ERROR(transaction.Execute("SET LOCAL plan_cache_mode = force_custom_plan").status());

    if (options_.operation && options_.authentication == EnrolmentAuthentication::kString) {
      RETURN_IF_ERROR(CheckStringKey(transaction, parts_.strings, parts_.capfd, StringKeyUse::kKeep));
    }

    // 2. Those that are known, so that nothing is added when one of them refuses all.
    ASSIGN_OR_RETURN(const size_t unknown_count, SortUnknownLast(transaction, admitted));
    const std::span<Device*> known = std::span(admitted).first(admitted.size() - unknown_count);
    const std::span<Device*> unknown = std::span(admitted).last(unknown_count);
    RETURN_IF_ERROR(Order(transaction, known, now));
    RETURN_IF_ERROR(check_all());

    // 3. The others.
    RETURN_IF_ERROR(AddToCluster(unknown));
    RETURN_IF_ERROR(Order(transaction, unknown, now));
    RETURN_IF_ERROR(check_all());

    // 4. Who went away would never see the strings.
    if (stream.IsCancelled()) return absl::CancelledError("the client went away");
    return Audit(transaction, admitted);
  });
}

absl::StatusOr<size_t> Schedule::SortUnknownLast(Connection& connection, std::vector<Device*>& devices) {
  static constexpr Statement kUnknown = {"find_unknown_devices",
                                         "SELECT name FROM unnest($2::text[]) AS wanted (name) WHERE NOT EXISTS "
                                         "(SELECT FROM device d WHERE d.cluster_id = $1 AND d.name = wanted.name)"};
  if (!options_.add_unknown_devices) return 0;
  std::unordered_set<std::string> unknown;
  RETURN_IF_ERROR(ForEachBatch(std::span(devices), [&](std::span<Device*> batch) -> absl::Status {
    std::vector<std::string> names;
    for (const Device* device : batch) names.push_back(device->name);
    ASSIGN_OR_RETURN(const Result result,
                     connection.Execute(kUnknown, Parameters().Int64(caller_.cluster_id).TextArray(names)));
    for (const Row row : result) {
      ASSIGN_OR_RETURN(std::string name, row.Get<std::string>(0));
      unknown.insert(std::move(name));
    }
    return absl::OkStatus();
  }));
  std::stable_partition(devices.begin(), devices.end(),
                        [&](const Device* device) { return !unknown.contains(device->name); });
  return unknown.size();
}

absl::Status Schedule::AddToCluster(std::span<Device*> devices) {
  return ForEachBatch(devices, [&](std::span<Device*> batch) -> absl::Status {
    std::vector<std::string> names;
    for (const Device* device : batch) names.push_back(device->name);
    absl::StatusOr<std::vector<std::string>> added = parts_.add_devices(caller_.cluster, names);
    if (!added.ok()) return Annotate(added.status(), "devices that are not known could not be added");
    const std::unordered_set<std::string> new_names(added->begin(), added->end());
    for (Device* device : batch) device->added = device->added || new_names.contains(device->name);
    return absl::OkStatus();
  });
}

absl::Status Schedule::Order(Connection& transaction, std::span<Device*> devices, absl::Time now) {
  OperationStore store(transaction, caller_.cluster_id);
  const auto order_batch = [&](std::span<Device*> batch) -> absl::StatusOr<std::vector<ScheduledOperation>> {
    if (!options_.operation) {
      std::vector<std::string> names;
      for (const Device* device : batch) names.push_back(device->name);
      return store.Cancel(names, fmt::format("taken back by {}", caller_.actor), now);
    }
    std::vector<OrderedDevice> ordered;
    for (const Device* device : batch) ordered.push_back({device->name, device->kept});
    return store.Schedule({.operation = *options_.operation,
                           .authentication = options_.authentication,
                           .keys = options_.keys,
                           .deadline = options_.deadline,
                           .scheduled_by = caller_.actor},
                          ordered, now);
  };
  return ForEachBatch(devices, [&](std::span<Device*> batch) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<ScheduledOperation> results, order_batch(batch));
    if (results.size() != batch.size()) {
      return Internal("{} devices were ordered and {} answered for", batch.size(), results.size());
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      batch[i]->refusal = std::move(results[i].refusal);
      batch[i]->result = std::move(results[i]);
    }
    return absl::OkStatus();
  });
}

absl::Status Schedule::Audit(Connection& transaction, std::span<Device*> devices) {
  std::vector<std::string_view> names;
  int64_t added = 0;
  for (const Device* device : devices) {
    added += device->added ? 1 : 0;
    if (device->result.operation_id != 0) names.push_back(device->name);
  }
  if (names.empty()) return absl::OkStatus();
  AuditEvent event = {
      .cluster_id = caller_.cluster_id,
      .actor = caller_.actor,
      .action = "capf.schedule",
      .subject = names.size() == 1 ? std::string(names[0]) : fmt::format("{} devices", names.size()),
      .detail = {{"operation", std::string(options_.operation ? CapfOperationName(*options_.operation) : "none")}}};
  if (options_.operation) {
    event.detail.emplace_back("authentication", EnrolmentAuthenticationName(options_.authentication));
    if (options_.operation == CapfOperation::kInstall) event.detail.emplace_back("key", KeyPlanText(options_.keys));
    event.detail.emplace_back("deadline", TimeTextSeconds(options_.deadline));
  }
  event.detail.emplace_back("devices", fmt::format("{}", names.size()));
  if (added > 0) event.detail.emplace_back("devices_added", fmt::format("{}", added));
  event.detail.emplace_back("sha256", DigestOfNames(std::move(names)));
  return AppendAudit(transaction, event);
}

absl::Status Schedule::Answer(ScheduleStream& stream, std::span<Device> devices) {
  v1::ScheduleOperationsResponse response;
  if (options_.operation) *response.mutable_deadline() = ToProtoTime(options_.deadline);
  for (const Device& device : devices) {
    v1::ScheduleOperationsResponse::Outcome& outcome = *response.add_outcomes();
    outcome.set_device(device.name);
    outcome.set_operation_id(device.result.operation_id);
    outcome.set_device_added(device.added);
    outcome.set_replaced(device.result.replaced);
    outcome.set_refusal(device.refusal);
    if (device.refusal.empty()) outcome.mutable_authentication_string()->assign(device.string.ExposeSecret());
  }
  const absl::Status written = stream.Write(response);
  CleanseStrings(response);
  return written;
}

}  // namespace trustline
