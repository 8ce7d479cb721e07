// The gRPC service TrustLists (proto/trust_list.proto).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/channel.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "common/service/key_folder.h"
#include "common/status/status.h"
#include "common/x509/pkcs12.h"
#include "itl/list/change_guard.h"
#include "itl/list/list_publisher.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

struct TrustListServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  ListPublisher* publisher;  // null, like the keys, when this itld has no [trust_lists]: changes are refused then
  KeyFolder* keys;
  const Clock& clock;
  ChangeGuard* guard = nullptr;  // of every change; the publisher has it too. Null in tests that have no phones
};

// Thread-safe. What the parts refer to must outlive it.
class TrustListService final : public v1::TrustLists::Service {
 public:
  static absl::StatusOr<std::unique_ptr<TrustListService>> Create(const TrustListServiceParts& parts);

  grpc::Status ListTrustLists(grpc::ServerContext* context, const v1::ListTrustListsRequest* request,
                              v1::ListTrustListsResponse* response) override;
  grpc::Status ListGenerations(grpc::ServerContext* context, const v1::ListGenerationsRequest* request,
                               v1::ListGenerationsResponse* response) override;
  grpc::Status FetchGeneration(grpc::ServerContext* context, const v1::FetchGenerationRequest* request,
                               v1::FetchGenerationResponse* response) override;
  grpc::Status AddTftpServer(grpc::ServerContext* context, const v1::AddTftpServerRequest* request,
                             v1::AddTftpServerResponse* response) override;
  grpc::Status RemoveTftpServer(grpc::ServerContext* context, const v1::RemoveTftpServerRequest* request,
                                v1::RemoveTftpServerResponse* response) override;
  grpc::Status ChangeTrustListPolicy(grpc::ServerContext* context, const v1::ChangeTrustListPolicyRequest* request,
                                     v1::ChangeTrustListPolicyResponse* response) override;
  grpc::Status RecordReading(grpc::ServerContext* context, const v1::RecordReadingRequest* request,
                             v1::RecordReadingResponse* response) override;
  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        v1::PublishResponse* response) override;
  grpc::Status SetDeviceList(grpc::ServerContext* context, const v1::SetDeviceListRequest* request,
                             v1::PublishResponse* response) override;
  grpc::Status Publish(grpc::ServerContext* context, const v1::PublishRequest* request,
                       v1::PublishResponse* response) override;
  grpc::Status SetMixedMode(grpc::ServerContext* context, const v1::SetMixedModeRequest* request,
                            v1::PublishResponse* response) override;
  grpc::Status SetBlank(grpc::ServerContext* context, const v1::SetBlankRequest* request,
                        v1::PublishResponse* response) override;
  grpc::Status ResetWithLocalKey(grpc::ServerContext* context, const v1::ResetWithLocalKeyRequest* request,
                                 v1::PublishResponse* response) override;
  grpc::Status PublishSigned(grpc::ServerContext* context, const v1::PublishSignedRequest* request,
                             v1::PublishResponse* response) override;
  grpc::Status ExportRecovery(grpc::ServerContext* context, const v1::ExportRecoveryRequest* request,
                              v1::ExportRecoveryResponse* response) override;
  grpc::Status ReplaceRecovery(grpc::ServerContext* context, const v1::ReplaceRecoveryRequest* request,
                               v1::ReplaceRecoveryResponse* response) override;

 private:
  explicit TrustListService(const TrustListServiceParts& parts) : parts_(parts) {}

  // Who calls the method of this name.
  absl::StatusOr<Caller> Admit(grpc::ServerContext& context, const char* method,
                               const google::protobuf::Message& request);
  // The same for what changes something.
  absl::StatusOr<Caller> AdmitChange(grpc::ServerContext& context, const char* method,
                                     const google::protobuf::Message& request);

  absl::Status ListAll(const Caller& caller, const v1::ListTrustListsRequest& request,
                       v1::ListTrustListsResponse& response);
  absl::Status ListPast(const Caller& caller, const v1::ListGenerationsRequest& request,
                        v1::ListGenerationsResponse& response);
  absl::Status FetchOne(const Caller& caller, const v1::FetchGenerationRequest& request,
                        v1::FetchGenerationResponse& response);
  absl::Status AddServer(const Caller& caller, const v1::AddTftpServerRequest& request,
                         v1::AddTftpServerResponse& response);
  absl::Status RemoveServer(const Caller& caller, const v1::RemoveTftpServerRequest& request,
                            v1::RemoveTftpServerResponse& response);
  absl::Status ChangePolicy(const Caller& caller, const v1::ChangeTrustListPolicyRequest& request,
                            v1::ChangeTrustListPolicyResponse& response);
  absl::Status RecordOne(const Caller& caller, const v1::RecordReadingRequest& request,
                         v1::RecordReadingResponse& response);
  absl::StatusOr<PublishResult> SetDevice(const Caller& caller, const v1::SetDeviceListRequest& request,
                                          v1::PreFlight& preflight);
  absl::StatusOr<PublishResult> PublishWaiting(const Caller& caller, const v1::PublishRequest& request,
                                               v1::PreFlight& preflight);
  absl::StatusOr<PublishResult> SetMixed(const Caller& caller, const v1::SetMixedModeRequest& request,
                                         v1::PreFlight& preflight);
  absl::StatusOr<PublishResult> Blank(const Caller& caller, const v1::SetBlankRequest& request,
                                      v1::PreFlight& preflight);
  absl::StatusOr<PublishResult> Reset(const Caller& caller, const v1::ResetWithLocalKeyRequest& request,
                                      v1::PreFlight& preflight);
  absl::StatusOr<PublishResult> TakeSigned(const Caller& caller, const v1::PublishSignedRequest& request,
                                           v1::PreFlight& preflight);
  absl::StatusOr<PublishResult> GenerateNow(const Caller& caller, const v1::GenerateRequest& request);
  absl::Status Export(const Caller& caller, const v1::ExportRecoveryRequest& request,
                      v1::ExportRecoveryResponse& response);
  absl::Status Replace(const Caller& caller, const v1::ReplaceRecoveryRequest& request,
                       v1::ReplaceRecoveryResponse& response);
  // For a file with the key of the present ITLRecovery certificate, which this itld has lost.
  absl::Status BringBackKey(Connection& connection, const Caller& caller, const StoredSigner& recovery,
                            CertifiedKey imported, const v1::ReplaceRecoveryRequest& request);
  absl::Status ChooseServer(const Caller& caller, const std::string& named, PublishOrder& order);
  static absl::Status PutLists(const absl::StatusOr<PublishResult>& result, v1::PublishResponse& response);
  static absl::Status CheckReason(const std::string& reason);

  // What `change` answers to the caller, if it may call.
  template <typename Change>
  grpc::Status AnswerChange(grpc::ServerContext& context, const char* method, const google::protobuf::Message& request,
                            const Change& change) {
    const absl::StatusOr<Caller> caller = AdmitChange(context, method, request);
    return ToGrpc(caller.ok() ? change(*caller) : caller.status());
  }

  // The same for changes of lists, with the pre-flight of the answer.
  template <typename Request, typename Change>
  grpc::Status AnswerLists(grpc::ServerContext& context, const char* method, const Request& request,
                           v1::PublishResponse& response, const Change& change) {
    return AnswerChange(context, method, request, [&](const Caller& caller) -> absl::Status {
      v1::PreFlight preflight;
      RETURN_IF_ERROR(PutLists(change(caller, preflight), response));
      if (parts_.guard != nullptr) response.mutable_preflight()->Swap(&preflight);
      return absl::OkStatus();
    });
  }

  // The TFTP server that a request means; the only one when it names none. InvalidArgument when there are several.
  absl::StatusOr<std::string> ServerOf(ListStore& store, const std::string& named);

  const TrustListServiceParts parts_;
  std::map<std::string, MethodPolicy, std::less<>> policies_;  // by method
};

}  // namespace trustline
