// The gRPC service TrustStore (proto/trust_store.proto).
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/rpc/patient_stream.h"
#include "common/service/clock.h"
#include "itl/list/change_guard.h"
#include "itl/trust_store/trust_editor.h"
#include "itl/trust_store/trust_import.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {

// The server's end of TrustStore.Add.
using ImportStream = PatientStream<v1::AddRequest, v1::AddResponse>;
inline constexpr absl::Duration kImportPatience = absl::Seconds(60);

// Thread-safe. The references must outlive it. `import_pool` is for imports, each of which keeps a connection for as
// long as its client sends: its size is how many can run at once, and its statements may take minutes. A client that
// sends nothing for `import_patience` loses it. `guard` watches over what takes trust away; null in tests without
// phones.
class TrustStoreService final : public v1::TrustStore::WithCallbackMethod_Add<v1::TrustStore::Service> {
 public:
  static absl::StatusOr<std::unique_ptr<TrustStoreService>> Create(Authorizer& authorizer, Pool& pool,
                                                                   Pool& import_pool, const Clock& clock,
                                                                   absl::Duration import_patience = kImportPatience,
                                                                   ChangeGuard* guard = nullptr);

  grpc::ServerBidiReactor<v1::AddRequest, v1::AddResponse>* Add(grpc::CallbackServerContext* context) override;
  grpc::Status Set(grpc::ServerContext* context, const v1::SetRequest* request, v1::SetResponse* response) override;
  grpc::Status Remove(grpc::ServerContext* context, const v1::RemoveRequest* request,
                      v1::RemoveResponse* response) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListRequest* request, v1::ListResponse* response) override;
  grpc::Status Show(grpc::ServerContext* context, const v1::ShowRequest* request, v1::ShowResponse* response) override;
  grpc::Status Export(grpc::ServerContext* context, const v1::ExportRequest* request,
                      grpc::ServerWriter<v1::ExportResponse>* writer) override;
  grpc::Status AddCrl(grpc::ServerContext* context, const v1::AddCrlRequest* request,
                      v1::AddCrlResponse* response) override;
  grpc::Status RemoveCrl(grpc::ServerContext* context, const v1::RemoveCrlRequest* request,
                         v1::RemoveCrlResponse* response) override;
  grpc::Status ListCrls(grpc::ServerContext* context, const v1::ListCrlsRequest* request,
                        v1::ListCrlsResponse* response) override;
  grpc::Status AddAuthority(grpc::ServerContext* context, const v1::AddAuthorityRequest* request,
                            v1::AddAuthorityResponse* response) override;
  grpc::Status RemoveAuthority(grpc::ServerContext* context, const v1::RemoveAuthorityRequest* request,
                               v1::RemoveAuthorityResponse* response) override;

 private:
  struct Policies {
    MethodPolicy add, set, remove, list, show, export_, add_crl, remove_crl, list_crls, add_authority, remove_authority;
  };
  TrustStoreService(Authorizer& authorizer, Pool& pool, Pool& import_pool, const Clock& clock,
                    absl::Duration import_patience, ChangeGuard* guard, Policies policies)
      : authorizer_(authorizer),
        pool_(pool),
        import_pool_(import_pool),
        clock_(clock),
        import_patience_(import_patience),
        guard_(guard),
        policies_(std::move(policies)) {}

  // A change under the guard, on the terms of the request; the response gets the pre-flight when there is a guard.
  // `objection`: GuardedChange.
  template <typename Request, typename Response>
  absl::Status MakeGuarded(const Caller& caller, const char* action, const std::string& subject, const Request& request,
                           Response& response, const std::function<absl::Status(Connection&)>& body,
                           const std::string* objection = nullptr);
  // One of a certificate, which is not taken from phones by mistake while a listener presents it.
  template <typename Request, typename Response>
  absl::Status EditGuarded(const Caller& caller, const char* action, const Request& request, Response& response,
                           TrustEdit& edit, const std::function<absl::StatusOr<TrustEdit>(Connection&)>& body);
  absl::StatusOr<ImportStream::Job> AdmitImport(const grpc::CallbackServerContext& context,
                                                const v1::AddRequest& first);
  absl::Status Import(const Caller& caller, const ImportOptions& options, int64_t expected, ImportStream& stream);
  absl::Status ReceiveBatches(ImportStream& stream, TrustImport& import);
  absl::Status SetOne(grpc::ServerContext& context, const v1::SetRequest& request, v1::SetResponse& response);
  absl::Status RemoveOne(grpc::ServerContext& context, const v1::RemoveRequest& request, v1::RemoveResponse& response);
  absl::Status ListPage(grpc::ServerContext& context, const v1::ListRequest& request, v1::ListResponse& response);
  absl::Status ShowOne(grpc::ServerContext& context, const v1::ShowRequest& request, v1::ShowResponse& response);
  absl::Status ExportAll(grpc::ServerContext& context, const v1::ExportRequest& request,
                         grpc::ServerWriter<v1::ExportResponse>& writer);
  absl::Status AddOneCrl(grpc::ServerContext& context, const v1::AddCrlRequest& request, v1::AddCrlResponse& response);
  absl::Status RemoveOneCrl(grpc::ServerContext& context, const v1::RemoveCrlRequest& request,
                            v1::RemoveCrlResponse& response);
  absl::Status ListAllCrls(grpc::ServerContext& context, const v1::ListCrlsRequest& request,
                           v1::ListCrlsResponse& response);
  absl::Status AddOneAuthority(grpc::ServerContext& context, const v1::AddAuthorityRequest& request,
                               v1::AddAuthorityResponse& response);
  absl::Status RemoveOneAuthority(grpc::ServerContext& context, const v1::RemoveAuthorityRequest& request,
                                  v1::RemoveAuthorityResponse& response);

  Authorizer& authorizer_;
  Pool& pool_;
  Pool& import_pool_;
  const Clock& clock_;
  const absl::Duration import_patience_;
  ChangeGuard* const guard_;
  const Policies policies_;
};

}  // namespace trustline
