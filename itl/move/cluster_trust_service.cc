#include "itl/move/cluster_trust_service.h"

#include <string>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/postgres/transaction.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/channel.h"
#include "common/service/audit.h"
#include "common/service/json.h"
#include "common/status/status.h"
#include "itl/move/cluster_trust.h"
#include "itl/move/cluster_trust_store.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};
constexpr size_t kLongestReason = 200;

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterTrustService>> ClusterTrustService::Create(Authorizer& authorizer, Pool& pool,
                                                                                 const Clock& clock) {
  constexpr auto kService = &v1::ClusterTrust::service_full_name;
  ASSIGN_OR_RETURN(MethodPolicy export_trust, MethodPolicy::Find(kService(), "ExportTrust"));
  ASSIGN_OR_RETURN(MethodPolicy import_trust, MethodPolicy::Find(kService(), "ImportTrust"));
  return std::unique_ptr<ClusterTrustService>(
      new ClusterTrustService(authorizer, pool, clock, {std::move(export_trust), std::move(import_trust)}));
}

absl::Status ClusterTrustService::Export(const Caller& caller, v1::ExportTrustResponse& response) {
  ASSIGN_OR_RETURN(const ClusterTrust trust, RunInTransaction(pool_, kOneState, [&](Connection& connection) {
                     return ReadClusterTrust(connection, caller.cluster_id, caller.cluster);
                   }));
  response.set_file(EncodeClusterTrust(trust));
  // What nobody could read is not handed out.
  RETURN_IF_ERROR(DecodeClusterTrust(response.file()).status());
  response.set_sha256(std::string(AsText(Sha256(AsBytes(response.file())))));
  response.set_certificates(static_cast<int32_t>(trust.certificates.size()));
  response.set_tftp_servers(static_cast<int32_t>(trust.servers.size()));
  return absl::OkStatus();
}

absl::Status ClusterTrustService::Import(const Caller& caller, const v1::ImportTrustRequest& request,
                                         v1::ImportTrustResponse& response) {
  if (request.reason().size() > kLongestReason || PrintableText(request.reason()) != request.reason()) {
    return InvalidArgument("a reason is one line of up to {} bytes", kLongestReason);
  }
  const Sha256Digest sha256 = Sha256(AsBytes(request.file()));
  if (request.sha256() != AsText(sha256)) {
    return FailedPrecondition(
        "nothing was imported: the file has the SHA-256 {}, and not the one that was given. It is another file, or "
        "somebody has changed it on its way: export it again",
        ToHex(sha256));
  }
  ASSIGN_OR_RETURN(const ClusterTrust trust, DecodeClusterTrust(request.file()));
  ASSIGN_OR_RETURN(
      const MoveImport moved, RunInTransaction(pool_, {}, [&](Connection& connection) -> absl::StatusOr<MoveImport> {
        RETURN_IF_ERROR(CheckIsOther(connection, caller.cluster_id, caller.cluster, trust));
        ASSIGN_OR_RETURN(
            MoveImport imported,
            ImportClusterTrust(connection, {caller.cluster_id, caller.cluster, caller.actor()}, trust, clock_.Now()));
        RETURN_IF_ERROR(AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                                 .actor = caller.actor(),
                                                 .action = "cluster.import",
                                                 .subject = trust.cluster,
                                                 .detail = {{"sha256", ToHex(sha256)},
                                                            {"added", fmt::format("{}", imported.added)},
                                                            {"reason", request.reason()}}}));
        return imported;
      }));
  response.set_from_cluster(trust.cluster);
  response.set_added(moved.added);
  response.set_unchanged(moved.unchanged);
  for (const std::string& warning : moved.warnings) response.add_warnings(warning);
  for (const MovedCertificate& one : trust.certificates) {
    v1::ExportedTrust::Certificate& certificate = *response.add_certificates();
    certificate.set_der(std::string(AsText(one.certificate.der())));
    for (const CertificateRole role : one.roles) certificate.add_roles(ToProto(role));
    certificate.set_of(one.of);
  }
  return absl::OkStatus();
}

grpc::Status ClusterTrustService::ExportTrust(grpc::ServerContext* context, const v1::ExportTrustRequest* request,
                                              v1::ExportTrustResponse* response) {
  const absl::StatusOr<Caller> caller = authorizer_.Authorize(*context, policies_.export_trust, *request);
  return ToGrpc(caller.ok() ? Export(*caller, *response) : caller.status());
}

grpc::Status ClusterTrustService::ImportTrust(grpc::ServerContext* context, const v1::ImportTrustRequest* request,
                                              v1::ImportTrustResponse* response) {
  const absl::StatusOr<Caller> caller = authorizer_.Authorize(*context, policies_.import_trust, *request);
  return ToGrpc(caller.ok() ? Import(*caller, *request, *response) : caller.status());
}

}  // namespace trustline
