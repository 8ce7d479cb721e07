#include "common/service/audit.h"

#include "common/postgres/connection.h"
#include "common/service/json.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// What comes from a peer must not make rows of any size.
constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxDetailBytes = 4096;

constexpr Statement kAppend = {"audit_append", "SELECT audit_append($1::integer, $2, $3, $4, $5, $6, $7)"};

}  // namespace

std::string_view AuditOutcomeText(AuditOutcome outcome) {
  switch (outcome) {
    case AuditOutcome::kDone:
      return "done";
    case AuditOutcome::kDenied:
      return "denied";
    case AuditOutcome::kFailed:
      return "failed";
  }
  return "failed";
}

std::string AuditDetailJson(const AuditEvent& event) {
  std::string json = "{";
  for (const auto& [key, value] : event.detail) {
    if (json.size() > 1) json.push_back(',');
    AppendJsonString(json, key, kMaxNameBytes);
    json.push_back(':');
    AppendJsonString(json, value, kMaxDetailBytes);
  }
  json.push_back('}');
  return json;
}

absl::Status AppendAudit(Connection& connection, const AuditEvent& event) {
  Parameters parameters;
  parameters.Int64(event.cluster_id)
      .Time(event.occurred_at)
      .Text(PrintableText(event.actor, kMaxNameBytes))
      .Text(PrintableText(event.action, kMaxNameBytes))
      .Text(PrintableText(event.subject, kMaxNameBytes))
      .Text(AuditOutcomeText(event.outcome))
      .Text(AuditDetailJson(event));
  if (!connection.InTransaction()) return connection.Execute(kAppend, parameters).status();
  connection.ExecuteWithNext(kAppend, std::move(parameters));
  return absl::OkStatus();
}

}  // namespace trustline
