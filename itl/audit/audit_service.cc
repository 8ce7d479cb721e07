#include "itl/audit/audit_service.h"

#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "common/bytes/bytes.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/audit/event_reader.h"
#include "itl/audit/retention.h"
#include "itl/audit/verifier.h"

namespace trustline {
namespace {

// Events on no cluster: denials before a cluster was known. They are listed with the cluster "default".
constexpr int64_t kNoCluster = 0;

v1::AuditEvent ToProto(const ListedAuditEvent& event) {
  v1::AuditEvent proto;
  proto.set_event_id(event.row.event_id);
  *proto.mutable_at() = ToProtoTime(event.row.at);
  *proto.mutable_occurred_at() = ToProtoTime(event.row.occurred_at);
  proto.set_cluster(event.cluster);
  proto.set_actor(event.row.actor);
  proto.set_action(event.row.action);
  proto.set_subject(event.row.subject);
  proto.set_outcome(event.row.outcome);
  proto.set_detail(event.row.detail);
  if (event.seal) {
    proto.set_seal_number(event.seal->number);
    proto.set_seal_hash(std::string(AsText(event.seal->hash)));
  }
  return proto;
}

absl::Status Busy() {
  return ResourceExhausted("the audit log is being verified or retired already: try again when that is done");
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditService>> AuditService::Create(Authorizer& authorizer, Pool& pool,
                                                                   Pool& retire_pool,
                                                                   const IdentityAuthority& authority,
                                                                   std::string seal_file) {
  const char* const service = v1::Audit::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "List"));
  ASSIGN_OR_RETURN(MethodPolicy verify, MethodPolicy::Find(service, "Verify"));
  ASSIGN_OR_RETURN(MethodPolicy retire, MethodPolicy::Find(service, "Retire"));
  return std::unique_ptr<AuditService>(
      new AuditService(authorizer, pool, retire_pool, authority, std::move(seal_file),
                       Policies{std::move(list), std::move(verify), std::move(retire)}));
}

absl::Status AuditService::ListEvents(grpc::ServerContext& context, const v1::ListAuditRequest& request,
                                      grpc::ServerWriter<v1::AuditEvent>& writer) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list, request));
  AuditFilter filter{.cluster_ids = {caller.cluster_id},
                     .actor = request.actor(),
                     .action = request.action(),
                     .limit = request.limit()};
  if (caller.cluster == kSystemCluster) filter.cluster_ids.push_back(kNoCluster);
  if (request.has_since()) filter.since = FromProtoTime(request.since());
  if (request.has_until()) filter.until = FromProtoTime(request.until());

  // A slow client must not keep a connection: each page takes its own.
  std::optional<AuditEventReader> reader;
  while (true) {
    std::vector<ListedAuditEvent> events;
    {
      ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
      if (!reader) {
        ASSIGN_OR_RETURN(AuditEventReader created, AuditEventReader::Create(*lease, filter));
        reader.emplace(std::move(created));
      }
      ASSIGN_OR_RETURN(events, reader->Next(*lease));
    }
    if (events.empty()) return absl::OkStatus();
    for (const ListedAuditEvent& event : events) {
      if (!writer.Write(ToProto(event))) return absl::CancelledError("the client went away");
    }
  }
}

absl::Status AuditService::VerifyChain(grpc::ServerContext& context, const v1::VerifyAuditRequest& request,
                                       grpc::ServerWriter<v1::VerifyAuditResponse>& writer) {
  RETURN_IF_ERROR(authorizer_.Authorize(context, policies_.verify, request).status());
  if (reading_all_.exchange(true)) return Busy();
  const absl::Cleanup done = [this] { reading_all_ = false; };
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  const auto progress = [&](int64_t events_checked) -> absl::Status {
    v1::VerifyAuditResponse message;
    message.set_events_checked(events_checked);
    return writer.Write(message) ? absl::OkStatus() : absl::CancelledError("the client went away");
  };
  ASSIGN_OR_RETURN(const AuditVerification report,
                   VerifyAuditChain(*lease, seal_file_, authority_.certificate(), progress));
  v1::VerifyAuditResponse message;
  message.set_events_checked(report.events_checked);
  message.set_finished(true);
  message.set_intact(report.intact());
  message.set_events_not_yet_sealed(report.events_not_yet_sealed);
  for (const std::string& finding : report.findings) message.add_findings(finding);
  message.set_last_number(report.last.number);
  message.set_last_hash(std::string(AsText(report.last.hash)));
  message.set_retired_rows(report.retired_rows);
  if (report.retired_before) *message.mutable_retired_before() = ToProtoTime(*report.retired_before);
  writer.Write(message);
  return absl::OkStatus();
}

absl::Status AuditService::RetireMonths(grpc::ServerContext& context, const v1::RetireAuditRequest& request,
                                        grpc::ServerWriter<v1::RetireAuditResponse>& writer) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.retire, request));
  if (!request.has_before()) return InvalidArgument("say before which time audit rows are retired");
  if (reading_all_.exchange(true)) return Busy();
  const absl::Cleanup done = [this] { reading_all_ = false; };
  ASSIGN_OR_RETURN(const Pool::Lease lease, retire_pool_.Acquire());
  const auto progress = [&](int64_t events_checked) -> absl::Status {
    v1::RetireAuditResponse message;
    message.set_events_checked(events_checked);
    return writer.Write(message) ? absl::OkStatus() : absl::CancelledError("the client went away: nothing was retired");
  };
  const AuditRetentionRequest retention{FromProtoTime(request.before()), caller.cluster_id, caller.actor()};
  ASSIGN_OR_RETURN(const AuditCheckpoint checkpoint,
                   RetireAuditRows(*lease, seal_file_, authority_, retention, progress));
  v1::RetireAuditResponse message;
  message.set_events_checked(checkpoint.removed_rows);
  message.set_finished(true);
  message.set_removed_rows(checkpoint.removed_rows);
  message.set_first_number(checkpoint.first_number);
  message.set_last_number(checkpoint.seal.number);
  message.set_last_hash(std::string(AsText(checkpoint.seal.hash)));
  *message.mutable_retired_before() = ToProtoTime(checkpoint.retired_before);
  writer.Write(message);
  return absl::OkStatus();
}

grpc::Status AuditService::List(grpc::ServerContext* context, const v1::ListAuditRequest* request,
                                grpc::ServerWriter<v1::AuditEvent>* writer) {
  return ToGrpc(ListEvents(*context, *request, *writer));
}
grpc::Status AuditService::Verify(grpc::ServerContext* context, const v1::VerifyAuditRequest* request,
                                  grpc::ServerWriter<v1::VerifyAuditResponse>* writer) {
  return ToGrpc(VerifyChain(*context, *request, *writer));
}
grpc::Status AuditService::Retire(grpc::ServerContext* context, const v1::RetireAuditRequest* request,
                                  grpc::ServerWriter<v1::RetireAuditResponse>* writer) {
  return ToGrpc(RetireMonths(*context, *request, *writer));
}

}  // namespace trustline
