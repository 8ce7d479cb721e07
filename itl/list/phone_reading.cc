#include "itl/list/phone_reading.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/device/device_name.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr Statement kRecord = {
    "phone_reading_record",
    "INSERT INTO phone_reading (cluster_id, device, model, sha512, version_1_1, recorded_by) VALUES ($1, $2, $3, $4, "
    "$5, $6) ON CONFLICT (cluster_id, device, model) DO UPDATE SET sha512 = excluded.sha512, version_1_1 = "
    "excluded.version_1_1, recorded_by = excluded.recorded_by, recorded_at = now()"};
constexpr Statement kCount = {
    "phone_reading_count",
    "SELECT count(*), count(*) FILTER (WHERE NOT coalesce(r.sha512, m.sha512, false)), count(*) FILTER (WHERE NOT "
    "coalesce(r.version_1_1, m.version_1_1, false)) FROM device d LEFT JOIN phone_reading r ON r.cluster_id = "
    "d.cluster_id AND r.device = d.name AND r.model = '' LEFT JOIN phone_reading m ON m.cluster_id = d.cluster_id AND "
    "m.model = d.model AND m.device = '' WHERE d.cluster_id = $1 AND d.state = 'in service'"};
constexpr Statement kUnable = {
    "phone_reading_unable",
    "SELECT d.name FROM device d LEFT JOIN phone_reading r ON r.cluster_id = d.cluster_id AND r.device = d.name AND "
    "r.model = '' LEFT JOIN phone_reading m ON m.cluster_id = d.cluster_id AND m.model = d.model AND m.device = '' "
    "WHERE d.cluster_id = $1 AND d.state = 'in service' AND (($2 AND NOT coalesce(r.sha512, m.sha512, false)) OR ($3 "
    "AND NOT coalesce(r.version_1_1, m.version_1_1, false))) ORDER BY d.name"};
constexpr Statement kOf = {
    "phone_reading_of",
    "SELECT r.sha512, r.version_1_1 FROM phone_reading r WHERE r.cluster_id = $1 AND (r.device = $2 OR (r.device = '' "
    "AND r.model = (SELECT d.model FROM device d WHERE d.cluster_id = $1 AND d.name = $2))) ORDER BY r.device = '' "
    "LIMIT 1"};

constexpr size_t kNamed = 5;

bool NeedsSha512(DigestAlgorithm digest) { return digest != DigestAlgorithm::kSha1; }
bool NeedsVersion(FileVersion signer_version) { return signer_version != kSignerVersion; }

}  // namespace

absl::Status PhoneReading::Record(std::string_view device, std::string_view model, PhoneReads ability,
                                  std::string_view actor) {
  if (device.empty() == model.empty()) {
    return InvalidArgument("name either a device or a model whose phones can all read it");
  }
  std::string name;
  if (!device.empty()) {
    ASSIGN_OR_RETURN(const DeviceName parsed, DeviceName::Parse(device));
    name = parsed.text();
  }
  RETURN_IF_ERROR(connection_
                      .Execute(kRecord, Parameters()
                                            .Int64(cluster_id_)
                                            .Text(name)
                                            .Text(model)
                                            .Bool(ability.sha512)
                                            .Bool(ability.version_1_1)
                                            .Text(actor))
                      .status());
  return AppendAudit(connection_, {.cluster_id = cluster_id_,
                                   .actor = std::string(actor),
                                   .action = "itl.reading",
                                   .subject = name.empty() ? fmt::format("model {}", model) : name,
                                   .detail = {{"sha512", ability.sha512 ? "yes" : "no"},
                                              {"signer_version_1_1", ability.version_1_1 ? "yes" : "no"}}});
}

absl::StatusOr<ReadingCount> PhoneReading::Count() {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kCount, Parameters().Int64(cluster_id_)));
  ReadingCount count;
  for (const Row row : result) {
    RETURN_IF_ERROR(row.Scan(count.devices, count.without_sha512, count.without_version_1_1));
  }
  return count;
}

absl::StatusOr<PhoneReads> PhoneReading::Of(std::string_view device) {
  ASSIGN_OR_RETURN(const Result result, connection_.Execute(kOf, Parameters().Int64(cluster_id_).Text(device)));
  PhoneReads ability;
  for (const Row row : result) RETURN_IF_ERROR(row.Scan(ability.sha512, ability.version_1_1));
  return ability;
}

absl::StatusOr<std::vector<std::string>> PhoneReading::Unable(DigestAlgorithm digest, FileVersion signer_version) {
  std::vector<std::string> devices;
  RETURN_IF_ERROR(connection_.ForEachRow(
      kUnable, Parameters().Int64(cluster_id_).Bool(NeedsSha512(digest)).Bool(NeedsVersion(signer_version)),
      [&](const Row& row) -> absl::Status {
        ASSIGN_OR_RETURN(devices.emplace_back(), row.Get<std::string>(0));
        return absl::OkStatus();
      }));
  return devices;
}

absl::Status PhoneReading::CheckAll(DigestAlgorithm digest, FileVersion signer_version) {
  const bool needs_sha512 = NeedsSha512(digest);
  const bool needs_version = NeedsVersion(signer_version);
  if (!needs_sha512 && !needs_version) return absl::OkStatus();
  ASSIGN_OR_RETURN(const ReadingCount count, Count());
  std::vector<std::string> what, options;
  const auto need = [&](bool needed, int64_t without, const char* form, const char* option) {
    if (!needed || without == 0) return;
    what.push_back(
        fmt::format("{} of {} devices in service are not recorded to read {}", without, count.devices, form));
    options.emplace_back(option);
  };
  need(needs_sha512, count.without_sha512, "SHA-512", "--sha512");
  need(needs_version, count.without_version_1_1, "signer version 1.1", "--signer-version-1.1");
  if (what.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<std::string> unable, Unable(digest, signer_version));
  const size_t all = unable.size();
  if (all > kNamed) unable.resize(kNamed);
  return FailedPrecondition(
      "{} ({}{}): phones that cannot would refuse the list and stay with the one they hold. Record what can (`trustctl "
      "itl able --model MODEL {}`), or give single devices a list of their own (`trustctl itl device set`)",
      absl::StrJoin(what, ", "), absl::StrJoin(unable, ", "),
      all > unable.size() ? fmt::format(" and {} more", all - unable.size()) : "", absl::StrJoin(options, " "));
}

}  // namespace trustline
