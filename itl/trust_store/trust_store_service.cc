#include "itl/trust_store/trust_store_service.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/trust_store/authority_editor.h"
#include "itl/trust_store/crl_editor.h"
#include "itl/trust_store/presenting_listeners.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_messages.h"
#include "itl/trust_store/trust_store_reader.h"

namespace trustline {
namespace {

constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1000;
// 200 certificates of the largest size are 3.2 MB, under gRPC's usual limit of a message.
constexpr int64_t kExportBatch = 200;
// Pages and single certificates are read as one state of the store.
constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};
constexpr PatientStreamWords kImportWords = {.beginning = "an import begins with its options",
                                             .ended = "the import was ended and nothing was added; begin it again",
                                             .gone = "nothing was added",
                                             .no_thread = "itld has no thread left for an import"};

TrustStoreCaller StoreCaller(const Caller& caller) { return {caller.cluster_id, caller.cluster, caller.actor()}; }

absl::StatusOr<ImportOptions> ReadOptions(const v1::AddRequest::Options& request) {
  ImportOptions options;
  ASSIGN_OR_RETURN(options.roles, RolesFromProto(request.roles()));
  if (request.has_ttl()) options.ttl = FromProtoDuration(request.ttl());
  options.anchor = request.anchor();
  options.listed = request.listed();
  return options;
}

// A page token is the last fingerprint of the page before, in hexadecimal.
absl::StatusOr<std::optional<Sha256Digest>> ReadPageToken(const std::string& token) {
  if (token.empty()) return std::optional<Sha256Digest>();
  const absl::StatusOr<std::string> bytes = FromHex(token);
  Sha256Digest digest;
  if (!bytes.ok() || bytes->size() != digest.size()) {
    return InvalidArgument("the page token is not one that a list has given: begin again without it");
  }
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return std::optional(digest);
}

// Why a certificate that loses these roles is better left: phones meet it at a listener. Empty when they do not.
absl::StatusOr<std::string> ObjectionTo(Connection& connection, int32_t cluster_id, const TrustEdit& edit,
                                        absl::Time now) {
  const auto loses = [&](CertificateRole role) { return std::ranges::find(edit.gone, role) != edit.gone.end(); };
  constexpr char kOverride[] = "--override --reason TEXT makes the change all the same";
  if (loses(CertificateRole::kTvs)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> nodes,
                     PresentingTvsNodes(connection, cluster_id, edit.certificate.sha256));
    if (!nodes.empty()) {
      return fmt::format(
          "nothing was changed, because the TVS of {0} presents it: phones would not reach that TVS any more. Put "
          "another certificate in its place (`trustctl plan rollover --signer tvs --node {1}`), or take the node away "
          "(`trustctl node remove {1}`); {2}",
          absl::StrJoin(nodes, ", "), nodes.front(), kOverride);
    }
  }
  if (loses(CertificateRole::kCapf)) {
    ASSIGN_OR_RETURN(const std::vector<CapfListenerName> listeners,
                     PresentingCapfListeners(connection, cluster_id, edit.certificate.sha256, now));
    if (!listeners.empty()) {
      return fmt::format(
          "nothing was changed, because capfd of {} presents it at {}: phones would refuse to enrol there. Put another "
          "certificate in its place (`trustctl plan rollover --signer capf`); {}",
          listeners.front().node, listeners.front().listener, kOverride);
    }
  }
  return std::string();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrustStoreService>> TrustStoreService::Create(Authorizer& authorizer, Pool& pool,
                                                                             Pool& import_pool, const Clock& clock,
                                                                             absl::Duration import_patience,
                                                                             ChangeGuard* guard) {
  const char* const service = v1::TrustStore::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy add, MethodPolicy::Find(service, "Add"));
  ASSIGN_OR_RETURN(MethodPolicy set, MethodPolicy::Find(service, "Set"));
  ASSIGN_OR_RETURN(MethodPolicy remove, MethodPolicy::Find(service, "Remove"));
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "List"));
  ASSIGN_OR_RETURN(MethodPolicy show, MethodPolicy::Find(service, "Show"));
  ASSIGN_OR_RETURN(MethodPolicy export_policy, MethodPolicy::Find(service, "Export"));
  ASSIGN_OR_RETURN(MethodPolicy add_crl, MethodPolicy::Find(service, "AddCrl"));
  ASSIGN_OR_RETURN(MethodPolicy remove_crl, MethodPolicy::Find(service, "RemoveCrl"));
  ASSIGN_OR_RETURN(MethodPolicy list_crls, MethodPolicy::Find(service, "ListCrls"));
  ASSIGN_OR_RETURN(MethodPolicy add_authority, MethodPolicy::Find(service, "AddAuthority"));
  ASSIGN_OR_RETURN(MethodPolicy remove_authority, MethodPolicy::Find(service, "RemoveAuthority"));
  return std::unique_ptr<TrustStoreService>(new TrustStoreService(
      authorizer, pool, import_pool, clock, import_patience, guard,
      Policies{std::move(add), std::move(set), std::move(remove), std::move(list), std::move(show),
               std::move(export_policy), std::move(add_crl), std::move(remove_crl), std::move(list_crls),
               std::move(add_authority), std::move(remove_authority)}));
}

template <typename Request, typename Response>
absl::Status TrustStoreService::MakeGuarded(const Caller& caller, const char* action, const std::string& subject,
                                            const Request& request, Response& response,
                                            const std::function<absl::Status(Connection&)>& body,
                                            const std::string* objection) {
  GuardedChange change = {.cluster_id = caller.cluster_id,
                          .actor = caller.actor(),
                          .action = action,
                          .subject = subject,
                          .objection = objection};
  ASSIGN_OR_RETURN(change.caution, FromProto(request.caution()));
  // A service that asks for nothing is told nothing.
  if (guard_ != nullptr && request.has_caution()) change.report = response.mutable_preflight();
  return RunGuarded(pool_, guard_, change, body);
}

template <typename Request, typename Response>
absl::Status TrustStoreService::EditGuarded(const Caller& caller, const char* action, const Request& request,
                                            Response& response, TrustEdit& edit,
                                            const std::function<absl::StatusOr<TrustEdit>(Connection&)>& body) {
  std::string objection;
  return MakeGuarded(
      caller, action, request.fingerprint_prefix(), request, response,
      [&](Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(edit, body(connection));
        ASSIGN_OR_RETURN(objection, ObjectionTo(connection, caller.cluster_id, edit, clock_.Now()));
        return absl::OkStatus();
      },
      &objection);
}

absl::StatusOr<ImportStream::Job> TrustStoreService::AdmitImport(const grpc::CallbackServerContext& context,
                                                                 const v1::AddRequest& first) {
  // The options come first and say which cluster it is about.
  ASSIGN_OR_RETURN(Caller caller, authorizer_.Authorize(context, policies_.add, first));
  if (!first.has_options()) return InvalidArgument("{}", kImportWords.beginning);
  ASSIGN_OR_RETURN(ImportOptions options, ReadOptions(first.options()));
  return [this, caller = std::move(caller), options = std::move(options),
          expected = first.options().expected_certificates()](ImportStream& stream) {
    return Import(caller, options, expected, stream);
  };
}

absl::Status TrustStoreService::Import(const Caller& caller, const ImportOptions& options, int64_t expected,
                                       ImportStream& stream) {
  // 1. The certificates, in a transaction that ends with this function unless it is committed.
  ASSIGN_OR_RETURN(const Pool::Lease lease, import_pool_.Acquire());
  ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*lease));
  ASSIGN_OR_RETURN(TrustImport import, TrustImport::Begin(*lease, StoreCaller(caller), options, clock_.Now()));
  RETURN_IF_ERROR(ReceiveBatches(stream, import));

  // 2. The end of the stream is also what a client that went away leaves behind.
  if (expected > 0 && import.received() != expected) {
    return Aborted("the import ended after {} of {} certificates: nothing was added", import.received(), expected);
  }
  v1::AddResponse response;
  ASSIGN_OR_RETURN(const ImportResult result, import.Finish());
  ASSIGN_OR_RETURN(const std::vector<TrustedCertificate> named,
                   TrustStoreReader(*lease, caller.cluster_id).Load(result.first, false));
  if (stream.IsCancelled()) return absl::CancelledError("the client went away: nothing was added");
  RETURN_IF_ERROR(transaction.Commit());

  // 3. The result.
  v1::AddResponse::Result& message = *response.mutable_result();
  message.set_commit(result.commit);
  message.set_certificates_added(result.added);
  message.set_certificates_unchanged(result.unchanged);
  for (const TrustedCertificate& certificate : named) *message.add_certificates() = ToProto(certificate);
  for (const std::string& warning : result.warnings) message.add_warnings(warning);
  // Whether it arrives or not, the import took place.
  stream.Write(response).IgnoreError();
  return absl::OkStatus();
}

absl::Status TrustStoreService::ReceiveBatches(ImportStream& stream, TrustImport& import) {
  v1::AddResponse progress;
  std::vector<ImportCandidate> batch;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<v1::AddRequest> request, stream.Read());
    if (!request) return absl::OkStatus();
    if (!request->has_batch()) return InvalidArgument("only batches of certificates follow the options of an import");
    batch.clear();
    for (v1::AddRequest::Certificate& certificate : *request->mutable_batch()->mutable_certificates()) {
      batch.push_back({std::move(*certificate.mutable_der()), std::move(*certificate.mutable_source())});
    }
    RETURN_IF_ERROR(import.AddBatch(batch));
    progress.mutable_progress()->set_certificates(import.received());
    RETURN_IF_ERROR(stream.Write(progress));
  }
}

absl::Status TrustStoreService::SetOne(grpc::ServerContext& context, const v1::SetRequest& request,
                                       v1::SetResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.set, request));
  ASSIGN_OR_RETURN(const FingerprintPrefix prefix, FingerprintPrefix::Parse(request.fingerprint_prefix()));
  TrustChange change;
  if (request.has_ttl()) change.ttl = FromProtoDuration(request.ttl());
  if (request.has_anchor()) change.anchor = request.anchor();
  if (request.has_listed()) change.listed = request.listed();
  ASSIGN_OR_RETURN(change.add_roles, RolesFromProto(request.add_roles()));
  ASSIGN_OR_RETURN(change.remove_roles, RolesFromProto(request.remove_roles()));
  TrustEdit edit;
  RETURN_IF_ERROR(EditGuarded(caller, "trust.set", request, response, edit, [&](Connection& connection) {
    return TrustEditor(connection, StoreCaller(caller)).Set(prefix, change);
  }));
  response.set_commit(edit.commit);
  *response.mutable_certificate() = ToProto(edit.certificate);
  return absl::OkStatus();
}

absl::Status TrustStoreService::RemoveOne(grpc::ServerContext& context, const v1::RemoveRequest& request,
                                          v1::RemoveResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.remove, request));
  ASSIGN_OR_RETURN(const FingerprintPrefix prefix, FingerprintPrefix::Parse(request.fingerprint_prefix()));
  TrustEdit edit;
  RETURN_IF_ERROR(EditGuarded(caller, "trust.remove", request, response, edit, [&](Connection& connection) {
    return TrustEditor(connection, StoreCaller(caller)).Remove(prefix);
  }));
  response.set_commit(edit.commit);
  *response.mutable_certificate() = ToProto(edit.certificate);
  return absl::OkStatus();
}

absl::Status TrustStoreService::ListPage(grpc::ServerContext& context, const v1::ListRequest& request,
                                         v1::ListResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list, request));
  if (request.page_size() < 0 || request.page_size() > kLargestPageSize) {
    return InvalidArgument("a page has 1 to {} certificates", kLargestPageSize);
  }
  const int32_t size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  TrustFilter filter;
  ASSIGN_OR_RETURN(filter.roles, RolesFromProto(request.roles()));
  filter.include_removed = request.include_removed();
  if (!request.fingerprint_prefix().empty()) {
    ASSIGN_OR_RETURN(filter.prefix, FingerprintPrefix::Parse(request.fingerprint_prefix()));
  }
  ASSIGN_OR_RETURN(const std::optional<Sha256Digest> after, ReadPageToken(request.page_token()));
  ASSIGN_OR_RETURN(const TrustPage page, RunInTransaction(pool_, kOneState, [&](Connection& connection) {
                     return TrustStoreReader(connection, caller.cluster_id).List(filter, after, size);
                   }));
  for (const TrustedCertificate& certificate : page.certificates) {
    *response.add_certificates() = ToProto(certificate);
  }
  if (page.last) response.set_next_page_token(ToHex(*page.last));
  return absl::OkStatus();
}

absl::Status TrustStoreService::ShowOne(grpc::ServerContext& context, const v1::ShowRequest& request,
                                        v1::ShowResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.show, request));
  ASSIGN_OR_RETURN(const FingerprintPrefix prefix, FingerprintPrefix::Parse(request.fingerprint_prefix()));
  return RunInTransaction(pool_, kOneState, [&](Connection& connection) -> absl::Status {
    TrustStoreReader reader(connection, caller.cluster_id);
    ASSIGN_OR_RETURN(const TrustedCertificate certificate, reader.Find(prefix, true));
    ASSIGN_OR_RETURN(*response.mutable_der(), reader.Der(certificate.sha256));
    *response.mutable_certificate() = ToProto(certificate);
    return absl::OkStatus();
  });
}

absl::Status TrustStoreService::ExportAll(grpc::ServerContext& context, const v1::ExportRequest& request,
                                          grpc::ServerWriter<v1::ExportResponse>& writer) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.export_, request));
  ASSIGN_OR_RETURN(const std::vector<CertificateRole> roles, RolesFromProto(request.roles()));
  std::optional<Sha256Digest> after;
  while (true) {
    // A slow client must not keep a connection: each batch takes its own.
    std::vector<ExportedCertificate> batch;
    {
      ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
      ASSIGN_OR_RETURN(batch, TrustStoreReader(*lease, caller.cluster_id).Export(roles, after, kExportBatch));
    }
    if (batch.empty()) return absl::OkStatus();
    after = batch.back().sha256;
    v1::ExportResponse response;
    for (ExportedCertificate& certificate : batch) response.add_certificates(std::move(certificate.der));
    if (!writer.Write(response)) return absl::CancelledError("the client went away");
  }
}

absl::Status TrustStoreService::AddOneCrl(grpc::ServerContext& context, const v1::AddCrlRequest& request,
                                          v1::AddCrlResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.add_crl, request));
  std::optional<CrlEdit> made;
  RETURN_IF_ERROR(MakeGuarded(
      caller, "trust.crl.add", caller.cluster, request, response, [&](Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(made, CrlEditor(connection, StoreCaller(caller)).Add(AsBytes(request.crl()), clock_.Now()));
        return absl::OkStatus();
      }));
  const CrlEdit& edit = *made;
  response.set_commit(edit.commit);
  *response.mutable_crl() = ToProto(edit.crl);
  for (const std::string& warning : edit.warnings) response.add_warnings(warning);
  return absl::OkStatus();
}

absl::Status TrustStoreService::RemoveOneCrl(grpc::ServerContext& context, const v1::RemoveCrlRequest& request,
                                             v1::RemoveCrlResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.remove_crl, request));
  ASSIGN_OR_RETURN(const FingerprintPrefix prefix, FingerprintPrefix::Parse(request.fingerprint_prefix()));
  ASSIGN_OR_RETURN(const CrlEdit edit, RunInTransaction(pool_, {}, [&](Connection& connection) {
                     return CrlEditor(connection, StoreCaller(caller)).Remove(prefix);
                   }));
  response.set_commit(edit.commit);
  *response.mutable_crl() = ToProto(edit.crl);
  return absl::OkStatus();
}

absl::Status TrustStoreService::ListAllCrls(grpc::ServerContext& context, const v1::ListCrlsRequest& request,
                                            v1::ListCrlsResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list_crls, request));
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool_.Acquire());
  ASSIGN_OR_RETURN(const std::vector<TrustedCrl> crls, TrustStoreReader(*lease, caller.cluster_id).ListCrls());
  for (const TrustedCrl& crl : crls) *response.add_crls() = ToProto(crl);
  return absl::OkStatus();
}

absl::Status TrustStoreService::AddOneAuthority(grpc::ServerContext& context, const v1::AddAuthorityRequest& request,
                                                v1::AddAuthorityResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.add_authority, request));
  ASSIGN_OR_RETURN(
      const int64_t commit, RunInTransaction(pool_, {}, [&](Connection& connection) {
        return AuthorityEditor(connection, StoreCaller(caller)).Add(AsBytes(request.certificate()), clock_.Now());
      }));
  response.set_commit(commit);
  return absl::OkStatus();
}

absl::Status TrustStoreService::RemoveOneAuthority(grpc::ServerContext& context,
                                                   const v1::RemoveAuthorityRequest& request,
                                                   v1::RemoveAuthorityResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.remove_authority, request));
  Sha256Digest sha256;
  if (request.sha256().size() != sha256.size()) {
    return InvalidArgument("sha256 has {} bytes: give the whole SHA-256 of the authority's certificate",
                           request.sha256().size());
  }
  std::ranges::copy(request.sha256(), sha256.begin());
  int64_t commit = 0;
  RETURN_IF_ERROR(MakeGuarded(
      caller, "trust.authority.remove", ToHex(sha256), request, response, [&](Connection& connection) -> absl::Status {
        ASSIGN_OR_RETURN(commit, AuthorityEditor(connection, StoreCaller(caller)).Remove(sha256));
        return absl::OkStatus();
      }));
  response.set_commit(commit);
  return absl::OkStatus();
}

grpc::ServerBidiReactor<v1::AddRequest, v1::AddResponse>* TrustStoreService::Add(grpc::CallbackServerContext* context) {
  // gRPC owns it: it deletes itself.
  return new ImportStream(*context, import_patience_, kImportWords,
                          [this, context](const v1::AddRequest& first) { return AdmitImport(*context, first); });
}
grpc::Status TrustStoreService::Set(grpc::ServerContext* context, const v1::SetRequest* request,
                                    v1::SetResponse* response) {
  return ToGrpc(SetOne(*context, *request, *response));
}
grpc::Status TrustStoreService::Remove(grpc::ServerContext* context, const v1::RemoveRequest* request,
                                       v1::RemoveResponse* response) {
  return ToGrpc(RemoveOne(*context, *request, *response));
}
grpc::Status TrustStoreService::List(grpc::ServerContext* context, const v1::ListRequest* request,
                                     v1::ListResponse* response) {
  return ToGrpc(ListPage(*context, *request, *response));
}
grpc::Status TrustStoreService::Show(grpc::ServerContext* context, const v1::ShowRequest* request,
                                     v1::ShowResponse* response) {
  return ToGrpc(ShowOne(*context, *request, *response));
}
grpc::Status TrustStoreService::Export(grpc::ServerContext* context, const v1::ExportRequest* request,
                                       grpc::ServerWriter<v1::ExportResponse>* writer) {
  return ToGrpc(ExportAll(*context, *request, *writer));
}
grpc::Status TrustStoreService::AddCrl(grpc::ServerContext* context, const v1::AddCrlRequest* request,
                                       v1::AddCrlResponse* response) {
  return ToGrpc(AddOneCrl(*context, *request, *response));
}
grpc::Status TrustStoreService::RemoveCrl(grpc::ServerContext* context, const v1::RemoveCrlRequest* request,
                                          v1::RemoveCrlResponse* response) {
  return ToGrpc(RemoveOneCrl(*context, *request, *response));
}
grpc::Status TrustStoreService::ListCrls(grpc::ServerContext* context, const v1::ListCrlsRequest* request,
                                         v1::ListCrlsResponse* response) {
  return ToGrpc(ListAllCrls(*context, *request, *response));
}
grpc::Status TrustStoreService::AddAuthority(grpc::ServerContext* context, const v1::AddAuthorityRequest* request,
                                             v1::AddAuthorityResponse* response) {
  return ToGrpc(AddOneAuthority(*context, *request, *response));
}
grpc::Status TrustStoreService::RemoveAuthority(grpc::ServerContext* context, const v1::RemoveAuthorityRequest* request,
                                                v1::RemoveAuthorityResponse* response) {
  return ToGrpc(RemoveOneAuthority(*context, *request, *response));
}

}  // namespace trustline
