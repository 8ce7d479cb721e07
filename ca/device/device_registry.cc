#include "ca/device/device_registry.h"

#include <algorithm>

#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

#define DEVICE_COLUMNS                                                           \
  "name, model, protocol, load, site, owner, description, state, state_reason, " \
  "coalesce(replaced_by, ''), added_by, added_at, changed_at"

constexpr Statement kFind = {"device_find",
                             "SELECT " DEVICE_COLUMNS " FROM device WHERE cluster_id = $1 AND name = $2"};
constexpr Statement kLock = {"device_lock", "SELECT " DEVICE_COLUMNS
                                            " FROM device WHERE cluster_id = $1 AND name = ANY($2) "
                                            "ORDER BY name COLLATE \"C\" FOR UPDATE"};
constexpr Statement kInsert = {"device_insert",
                               "INSERT INTO device (cluster_id, name, model, protocol, load, site, owner, description, "
                               "added_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
                               "ON CONFLICT (cluster_id, name) DO NOTHING RETURNING " DEVICE_COLUMNS};
// An empty text leaves what is there: an export without a column must not empty that field everywhere.
#define KEPT_UNLESS_GIVEN(field) field " = coalesce(nullif(EXCLUDED." field ", ''), device." field ")"
#define CHANGES(field) "(EXCLUDED." field " <> '' AND EXCLUDED." field " <> device." field ")"
// A row that was there is locked, also when its update is not wanted. RETURNING has the rows that were written; only
// one that was updated has an xmax.
constexpr Statement kImport = {
    "device_import",
    "INSERT INTO device (cluster_id, name, model, protocol, load, site, owner, description, added_by) "
    "SELECT $1, name, model, protocol, load, site, owner, description, $9 FROM unnest($2, $3, $4, $5, $6, $7, $8) "
    "AS new (name, model, protocol, load, site, owner, description) ORDER BY name COLLATE \"C\" "
    "ON CONFLICT (cluster_id, name) DO UPDATE SET "
    KEPT_UNLESS_GIVEN("model") ", " KEPT_UNLESS_GIVEN("protocol") ", " KEPT_UNLESS_GIVEN("load") ", "
    KEPT_UNLESS_GIVEN("site") ", " KEPT_UNLESS_GIVEN("owner") ", " KEPT_UNLESS_GIVEN("description") ", "
    "changed_at = now() WHERE device.state = 'in service' AND ("
    CHANGES("model") " OR " CHANGES("protocol") " OR " CHANGES("load") " OR " CHANGES("site") " OR "
    CHANGES("owner") " OR " CHANGES("description") ") "
    "RETURNING device.xmax = 0"};
#undef KEPT_UNLESS_GIVEN
#undef CHANGES
constexpr Statement kOutOfService = {"device_out_of_service", "SELECT " DEVICE_COLUMNS
                                                              " FROM device WHERE cluster_id = $1 AND name = ANY($2) "
                                                              "AND state <> 'in service' ORDER BY name COLLATE \"C\""};
constexpr Statement kUpdate = {
    "device_update",
    "UPDATE device SET model = $3, protocol = $4, load = $5, site = $6, owner = $7, description = $8, state = $9, "
    "state_reason = $10, replaced_by = nullif($11, ''), changed_at = now() "
    "WHERE cluster_id = $1 AND name = $2 RETURNING " DEVICE_COLUMNS};
constexpr Statement kGoodCertificates = {"device_good_certificates",
                                         "SELECT count(*) FROM issuance WHERE cluster_id = $1 AND device = $2 "
                                         "AND state IN ('signed', 'delivered', 'confirmed') AND not_after > now()"};
constexpr Statement kDelete = {"device_delete", "DELETE FROM device WHERE cluster_id = $1 AND name = $2"};

absl::StatusOr<DeviceRecord> ReadDevice(const Row& row) {
  DeviceRecord device;
  std::string state;
  DeviceData& data = device.data;
  RETURN_IF_ERROR(row.Scan(device.name, data.model, data.protocol, data.load, data.site, data.owner, data.description,
                           state, device.state_reason, device.replaced_by, device.added_by, device.added_at,
                           device.changed_at));
  ASSIGN_OR_RETURN(device.state, ParseDeviceState(state));
  return device;
}

absl::StatusOr<std::vector<DeviceRecord>> ReadDevices(const Result& result) {
  std::vector<DeviceRecord> devices;
  devices.reserve(static_cast<size_t>(result.rows()));
  for (const Row row : result) {
    ASSIGN_OR_RETURN(devices.emplace_back(), ReadDevice(row));
  }
  return devices;
}

std::string NewStart(std::string_view name) {
  return fmt::format("`trustctl device remove {}` and then `trustctl device add {}` make a new start", name, name);
}

absl::Status CheckInService(const DeviceRecord& device) {
  if (device.state == DeviceState::kInService) return absl::OkStatus();
  return FailedPrecondition("{} is out of service, {}; {}", device.name, DeviceStateText(device),
                            NewStart(device.name));
}

std::vector<std::pair<std::string, std::string>> GivenTexts(const DeviceData& data) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const DeviceField& field : kDeviceFields) {
    if (!(data.*field.text).empty()) texts.emplace_back(field.name, data.*field.text);
  }
  return texts;
}

// The rows, with their names folded.
absl::StatusOr<std::vector<DeviceRow>> CheckRows(std::span<const DeviceRow> rows) {
  if (rows.size() > kMaxImportRows) {
    return InvalidArgument("an import takes at most {} devices at once, and here are {}: send it in parts",
                           kMaxImportRows, rows.size());
  }
  std::vector<DeviceRow> checked;
  checked.reserve(rows.size());
  std::vector<std::string_view> names;
  for (const DeviceRow& row : rows) {
    ASSIGN_OR_RETURN(const DeviceName name, DeviceName::Parse(row.name));
    if (absl::Status status = CheckDeviceData(row.data); !status.ok()) return Annotate(status, name.text());
    checked.push_back({name.text(), row.data});
    names.push_back(checked.back().name);
  }
  std::ranges::sort(names);
  if (const auto twice = std::ranges::adjacent_find(names); twice != names.end()) {
    return InvalidArgument("{} comes twice in one import: keep one of its rows", *twice);
  }
  return checked;
}

}  // namespace

absl::Status DeviceRegistry::NoSuchDevice(const DeviceName& name) const {
  return NotFound("there is no device {} in the cluster {}: add it with `trustctl device add {}`", name.text(),
                  caller_.cluster, name.text());
}

absl::Status DeviceRegistry::Audit(const char* action, std::string_view subject,
                                   std::vector<std::pair<std::string, std::string>> detail) {
  return AppendAudit(connection_, {.cluster_id = caller_.cluster_id,
                                   .actor = caller_.actor,
                                   .action = action,
                                   .subject = std::string(subject),
                                   .detail = std::move(detail)});
}

absl::StatusOr<DeviceRecord> DeviceRegistry::Find(const DeviceName& name) {
  ASSIGN_OR_RETURN(const Result found,
                   connection_.Execute(kFind, Parameters().Int64(caller_.cluster_id).Text(name.text())));
  if (found.empty()) return NoSuchDevice(name);
  return ReadDevice(found[0]);
}

absl::StatusOr<DeviceRecord> DeviceRegistry::Lock(const DeviceName& name) {
  ASSIGN_OR_RETURN(
      const Result locked,
      connection_.Execute(kLock, Parameters().Int64(caller_.cluster_id).TextArray(std::span(&name.text(), 1))));
  if (locked.empty()) return NoSuchDevice(name);
  return ReadDevice(locked[0]);
}

// Nothing when a device of that name is there.
absl::StatusOr<std::optional<DeviceRecord>> DeviceRegistry::Insert(const DeviceName& name, const DeviceData& data) {
  Parameters parameters;
  parameters.Int64(caller_.cluster_id).Text(name.text());
  for (const DeviceField& field : kDeviceFields) parameters.Text(data.*field.text);
  ASSIGN_OR_RETURN(const Result inserted, connection_.Execute(kInsert, parameters.Text(caller_.actor)));
  if (inserted.empty()) return std::nullopt;
  return ReadDevice(inserted[0]);
}

absl::StatusOr<DeviceRecord> DeviceRegistry::Update(const DeviceRecord& device) {
  Parameters parameters;
  parameters.Int64(caller_.cluster_id).Text(device.name);
  for (const DeviceField& field : kDeviceFields) parameters.Text(device.data.*field.text);
  parameters.Text(DeviceStateName(device.state)).Text(device.state_reason).Text(device.replaced_by);
  ASSIGN_OR_RETURN(const Result updated, connection_.Execute(kUpdate, parameters));
  return ReadDevice(updated[0]);
}

absl::StatusOr<int64_t> DeviceRegistry::GoodCertificates(std::string_view name) {
  ASSIGN_OR_RETURN(const Result count,
                   connection_.Execute(kGoodCertificates, Parameters().Int64(caller_.cluster_id).Text(name)));
  return count.Value<int64_t>();
}

absl::StatusOr<DeviceRecord> DeviceRegistry::Add(const DeviceName& name, const DeviceData& data) {
  RETURN_IF_ERROR(CheckDeviceData(data));
  ASSIGN_OR_RETURN(std::optional<DeviceRecord> added, Insert(name, data));
  if (!added) {
    ASSIGN_OR_RETURN(const DeviceRecord there, Find(name));
    const bool in_service = there.state == DeviceState::kInService;
    return AlreadyExists(
        "{} is there already, {}: {}", name.text(), DeviceStateText(there),
        in_service ? fmt::format("change it with `trustctl device set {}`", name.text()) : NewStart(name.text()));
  }
  RETURN_IF_ERROR(Audit("device.add", name.text(), GivenTexts(data)));
  return *std::move(added);
}

absl::StatusOr<std::vector<DeviceLeftAlone>> DeviceRegistry::OutOfService(std::span<const std::string> names) {
  ASSIGN_OR_RETURN(const Result found,
                   connection_.Execute(kOutOfService, Parameters().Int64(caller_.cluster_id).TextArray(names)));
  ASSIGN_OR_RETURN(const std::vector<DeviceRecord> devices, ReadDevices(found));
  std::vector<DeviceLeftAlone> left_alone;
  for (const DeviceRecord& device : devices) left_alone.push_back({device.name, DeviceStateText(device)});
  return left_alone;
}

absl::StatusOr<DeviceImportResult> DeviceRegistry::Import(std::span<const DeviceRow> rows) {
  // 1. All that can be wrong with the rows, before anything is written.
  ASSIGN_OR_RETURN(const std::vector<DeviceRow> checked, CheckRows(rows));

  // 2. The devices, a column at a time.
  std::vector<std::string> names;
  for (const DeviceRow& row : checked) names.push_back(row.name);
  Parameters parameters;
  parameters.Int64(caller_.cluster_id).TextArray(names);
  for (const DeviceField& field : kDeviceFields) {
    std::vector<std::string> texts;
    for (const DeviceRow& row : checked) texts.push_back(row.data.*field.text);
    parameters.TextArray(texts);
  }
  ASSIGN_OR_RETURN(const Result written, connection_.Execute(kImport, parameters.Text(caller_.actor)));

  // 3. What became of each.
  DeviceImportResult result;
  for (const Row row : written) {
    ASSIGN_OR_RETURN(const bool added, row.Get<bool>(0));
    ++(added ? result.added : result.changed);
  }
  ASSIGN_OR_RETURN(result.left_alone, OutOfService(names));
  const auto left_alone = static_cast<int64_t>(result.left_alone.size());
  result.unchanged = static_cast<int64_t>(checked.size()) - result.added - result.changed - left_alone;
  if (written.empty()) return result;
  RETURN_IF_ERROR(Audit("device.import", caller_.cluster,
                        {{"added", fmt::format("{}", result.added)},
                         {"changed", fmt::format("{}", result.changed)},
                         {"unchanged", fmt::format("{}", result.unchanged)},
                         {"left_alone", fmt::format("{}", left_alone)}}));
  return result;
}

absl::StatusOr<DeviceEdit> DeviceRegistry::Set(const DeviceName& name, const DeviceChange& change) {
  RETURN_IF_ERROR(CheckDeviceChange(change));
  ASSIGN_OR_RETURN(DeviceRecord device, Lock(name));
  RETURN_IF_ERROR(CheckInService(device));
  std::vector<std::pair<std::string, std::string>> detail;
  for (const DeviceField& field : kDeviceFields) {
    const std::optional<std::string>& text = change.*field.change;
    if (!text || *text == device.data.*field.text) continue;
    device.data.*field.text = *text;
    detail.emplace_back(field.name, *text);
  }
  if (detail.empty()) return DeviceEdit{false, std::move(device)};
  ASSIGN_OR_RETURN(device, Update(device));
  RETURN_IF_ERROR(Audit("device.set", name.text(), std::move(detail)));
  return DeviceEdit{true, std::move(device)};
}

absl::StatusOr<DeviceRemoval> DeviceRegistry::Replace(const DeviceName& old_name, const DeviceName& new_name) {
  // 1. Both devices.
  if (old_name == new_name) {
    return InvalidArgument("{} cannot replace itself: name the new device", old_name.text());
  }
  const std::array<std::string, 2> names = {old_name.text(), new_name.text()};
  ASSIGN_OR_RETURN(const Result locked,
                   connection_.Execute(kLock, Parameters().Int64(caller_.cluster_id).TextArray(names)));
  ASSIGN_OR_RETURN(std::vector<DeviceRecord> devices, ReadDevices(locked));
  const auto old_device = std::ranges::find(devices, old_name.text(), &DeviceRecord::name);
  const auto known = std::ranges::find(devices, new_name.text(), &DeviceRecord::name);
  if (old_device == devices.end()) return NoSuchDevice(old_name);
  RETURN_IF_ERROR(CheckInService(*old_device));

  // 2. The new one.
  DeviceRemoval replacement;
  if (known == devices.end()) {
    ASSIGN_OR_RETURN(std::optional<DeviceRecord> inserted, Insert(new_name, old_device->data));
    if (!inserted) return Aborted("{} was added at this moment: try again", new_name.text());
    replacement.device = *std::move(inserted);
  } else {
    RETURN_IF_ERROR(CheckInService(*known));
    ASSIGN_OR_RETURN(const int64_t good, GoodCertificates(new_name.text()));
    if (good > 0) {
      return FailedPrecondition(
          "{} has certificates that are still good ({}), so it is a device of its own: retire the old one with "
          "`trustctl device retire {} --reason TEXT` instead",
          new_name.text(), good, old_name.text());
    }
    for (const DeviceField& field : kDeviceFields) {
      if ((known->data.*field.text).empty()) known->data.*field.text = old_device->data.*field.text;
    }
    ASSIGN_OR_RETURN(replacement.device, Update(*known));
  }

  // 3. The old one.
  old_device->state = DeviceState::kReplaced;
  old_device->replaced_by = new_name.text();
  RETURN_IF_ERROR(Update(*old_device).status());
  ASSIGN_OR_RETURN(replacement.revoked, Revoker(connection_, caller_)
                                            .RevokeAllOf(old_name.text(), RevocationReason::kCessationOfOperation,
                                                         fmt::format("replaced by {}", new_name.text())));
  RETURN_IF_ERROR(Audit("device.replace", old_name.text(),
                        {{"replaced_by", new_name.text()},
                         {"added", known == devices.end() ? "true" : "false"},
                         {"certificates_revoked", fmt::format("{}", replacement.revoked)}}));
  return replacement;
}

absl::StatusOr<DeviceRemoval> DeviceRegistry::Retire(const DeviceName& name, std::string_view reason) {
  if (reason.find_first_not_of(' ') == std::string_view::npos) {
    return InvalidArgument("say why {} is retired: `trustctl device retire {} --reason TEXT`", name.text(),
                           name.text());
  }
  RETURN_IF_ERROR(CheckDeviceText("reason", reason));
  ASSIGN_OR_RETURN(DeviceRecord device, Lock(name));
  RETURN_IF_ERROR(CheckInService(device));
  device.state = DeviceState::kRetired;
  device.state_reason = std::string(reason);
  DeviceRemoval retirement;
  ASSIGN_OR_RETURN(retirement.device, Update(device));
  ASSIGN_OR_RETURN(retirement.revoked, Revoker(connection_, caller_)
                                           .RevokeAllOf(name.text(), RevocationReason::kCessationOfOperation,
                                                        fmt::format("retired: {}", reason)));
  RETURN_IF_ERROR(
      Audit("device.retire", name.text(),
            {{"reason", std::string(reason)}, {"certificates_revoked", fmt::format("{}", retirement.revoked)}}));
  return retirement;
}

absl::Status DeviceRegistry::Remove(const DeviceName& name) {
  ASSIGN_OR_RETURN(const DeviceRecord device, Lock(name));
  ASSIGN_OR_RETURN(int64_t good, GoodCertificates(name.text()));
  if (good == 0) {
    // Nothing may be signed for it later. What was signed at this moment makes the removal fail, and stays.
    ASSIGN_OR_RETURN(
        good,
        Revoker(connection_, caller_).RevokeAllOf(name.text(), RevocationReason::kCessationOfOperation, "removed"));
  }
  if (good > 0) {
    return FailedPrecondition(
        "{} has certificates that are still good ({}): retire it first with `trustctl device retire {} --reason TEXT`, "
        "which revokes them",
        name.text(), good, name.text());
  }
  RETURN_IF_ERROR(connection_.Execute(kDelete, Parameters().Int64(caller_.cluster_id).Text(name.text())).status());
  std::vector<std::pair<std::string, std::string>> detail = GivenTexts(device.data);
  detail.emplace_back("state", DeviceStateText(device));
  return Audit("device.remove", name.text(), std::move(detail));
}

absl::StatusOr<DevicePage> DeviceRegistry::List(const DeviceFilter& filter, std::string_view after, int64_t limit) {
  // Planned for these filters each time: the best index depends on them.
  std::string sql = "SELECT " DEVICE_COLUMNS " FROM device WHERE cluster_id = $1";
  Parameters parameters;
  parameters.Int64(caller_.cluster_id);
  const auto require = [&](const char* condition, std::string_view text) {
    parameters.Text(text);
    sql += fmt::format(" AND {} ${}", condition, parameters.size());
  };
  if (!after.empty()) require("name COLLATE \"C\" >", after);
  if (!filter.name_prefix.empty()) {
    require("name COLLATE \"C\" >=", filter.name_prefix);
    require("name COLLATE \"C\" <", filter.name_prefix + "~");  // which is higher than all that a name holds
  }
  if (!filter.model.empty()) require("model =", filter.model);
  if (!filter.site.empty()) require("site =", filter.site);
  if (filter.state) require("state =", DeviceStateName(*filter.state));
  parameters.Int64(limit + 1);
  sql += fmt::format(" ORDER BY name COLLATE \"C\" LIMIT ${}", parameters.size());

  ASSIGN_OR_RETURN(const Result result, connection_.Execute(sql.c_str(), parameters));
  DevicePage page;
  ASSIGN_OR_RETURN(page.devices, ReadDevices(result));
  page.more = result.rows() > limit;
  if (page.more) page.devices.pop_back();
  return page;
}

}  // namespace trustline
