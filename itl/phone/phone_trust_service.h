// The gRPC service PhoneTrust (proto/phone_trust.proto).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/channel.h"
#include "common/rpc/method_policy.h"
#include "common/rpc/patient_stream.h"
#include "common/service/clock.h"
#include "common/service/metrics.h"
#include "itl/phone/phone_reader.h"
#include "itl/phone/phone_watch.h"
#include "itl/phone/report_store.h"
#include "itl/preflight/list_memory.h"
#include "itl/preflight/phone_cures.h"
#include "proto/phone_trust.grpc.pb.h"

namespace trustline {

struct PhoneTrustServiceParts {
  Authorizer& authorizer;
  Pool& pool;         // of questions and changes
  Pool& report_pool;  // of reports, which must not wait for a long question
  HoldingStore& holdings;
  const Clock& clock;
  Metrics& metrics;
  ListMemory& lists;
  KeyFolder* keys = nullptr;  // that sign lists; null where none are made
};

using ReportStream = PatientStream<v1::ReportPhoneTrustRequest, v1::ReportPhoneTrustResponse>;

// Thread-safe. What the parts refer to must outlive it. Metrics: trustline_phone_reports_total{kind}.
class PhoneTrustService final : public v1::PhoneTrust::WithCallbackMethod_ReportPhoneTrust<v1::PhoneTrust::Service> {
 public:
  static absl::StatusOr<std::unique_ptr<PhoneTrustService>> Create(const PhoneTrustServiceParts& parts);

  // Ends the streams of those who watch.
  void Stop() { watch_.Stop(); }

  grpc::ServerBidiReactor<v1::ReportPhoneTrustRequest, v1::ReportPhoneTrustResponse>* ReportPhoneTrust(
      grpc::CallbackServerContext* context) override;
  grpc::Status ListPhones(grpc::ServerContext* context, const v1::ListPhonesRequest* request,
                          v1::ListPhonesResponse* response) override;
  grpc::Status SummarizePhones(grpc::ServerContext* context, const v1::SummarizePhonesRequest* request,
                               v1::SummarizePhonesResponse* response) override;
  grpc::Status ShowPhone(grpc::ServerContext* context, const v1::ShowPhoneRequest* request,
                         v1::ShowPhoneResponse* response) override;
  grpc::Status ListPhoneHistory(grpc::ServerContext* context, const v1::ListPhoneHistoryRequest* request,
                                v1::ListPhoneHistoryResponse* response) override;
  grpc::Status ListAdoption(grpc::ServerContext* context, const v1::ListAdoptionRequest* request,
                            v1::ListAdoptionResponse* response) override;
  grpc::Status WatchPhones(grpc::ServerContext* context, const v1::WatchPhonesRequest* request,
                           grpc::ServerWriter<v1::WatchPhonesResponse>* writer) override;
  grpc::Status ExplainPhone(grpc::ServerContext* context, const v1::ExplainPhoneRequest* request,
                            v1::ExplainPhoneResponse* response) override;
  grpc::Status ForecastExpiry(grpc::ServerContext* context, const v1::ForecastExpiryRequest* request,
                              v1::ForecastExpiryResponse* response) override;
  grpc::Status ListForwarders(grpc::ServerContext* context, const v1::ListForwardersRequest* request,
                              v1::ListForwardersResponse* response) override;
  grpc::Status PutForwarder(grpc::ServerContext* context, const v1::PutForwarderRequest* request,
                            v1::PutForwarderResponse* response) override;
  grpc::Status RemoveForwarder(grpc::ServerContext* context, const v1::RemoveForwarderRequest* request,
                               v1::RemoveForwarderResponse* response) override;
  grpc::Status SetClaimPolicy(grpc::ServerContext* context, const v1::SetClaimPolicyRequest* request,
                              v1::SetClaimPolicyResponse* response) override;
  grpc::Status SetModelLists(grpc::ServerContext* context, const v1::SetModelListsRequest* request,
                             v1::SetModelListsResponse* response) override;
  grpc::Status ListModelLists(grpc::ServerContext* context, const v1::ListModelListsRequest* request,
                              v1::ListModelListsResponse* response) override;
  grpc::Status ListServerNames(grpc::ServerContext* context, const v1::ListServerNamesRequest* request,
                               v1::ListServerNamesResponse* response) override;
  grpc::Status ChangeServerNames(grpc::ServerContext* context, const v1::ChangeServerNamesRequest* request,
                                 v1::ChangeServerNamesResponse* response) override;

 private:
  explicit PhoneTrustService(const PhoneTrustServiceParts& parts);

  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context, const char* method,
                               const google::protobuf::Message& request);
  // What `work` says within one state of the database, if the caller may call.
  using Work = std::function<absl::Status(Connection& connection, const Caller& caller)>;
  grpc::Status Answer(grpc::ServerContext& context, const char* method, const google::protobuf::Message& request,
                      const Work& work);
  // The same for a change.
  grpc::Status Change(grpc::ServerContext& context, const char* method, const google::protobuf::Message& request,
                      const Work& work);

  absl::StatusOr<ReportStream::Job> AdmitReports(const grpc::CallbackServerContext& context,
                                                 const v1::ReportPhoneTrustRequest& first);
  absl::StatusOr<v1::ReportPhoneTrustResponse> StoreReports(const Caller& caller,
                                                            const v1::ReportPhoneTrustRequest& request);
  void CountReports(const StoredReports& stored, int problems);

  absl::Status ListPage(Connection& connection, const Caller& caller, const v1::ListPhonesRequest& request,
                        v1::ListPhonesResponse& response);
  // Phones whose cure is one of `cures` (v1::PhoneCure); a page may end before it is full.
  absl::Status ListByCure(Connection& connection, const Caller& caller, const PhoneFilter& filter,
                          const std::set<int>& cures, std::string after, int32_t page_size,
                          v1::ListPhonesResponse& response);
  absl::Status Summarize(Connection& connection, const Caller& caller, const v1::SummarizePhonesRequest& request,
                         v1::SummarizePhonesResponse& response);
  absl::Status ShowOne(Connection& connection, const Caller& caller, const v1::ShowPhoneRequest& request,
                       v1::ShowPhoneResponse& response);
  // Says what brings each of them to what is published; of claims that is not known.
  absl::Status AddCures(Connection& connection, const Caller& caller, const std::vector<v1::Phone*>& phones);
  absl::Status ListEvents(Connection& connection, const Caller& caller, const v1::ListPhoneHistoryRequest& request,
                          v1::ListPhoneHistoryResponse& response) const;
  absl::Status ListCurve(Connection& connection, const Caller& caller, const v1::ListAdoptionRequest& request,
                         v1::ListAdoptionResponse& response) const;
  absl::Status Watch(grpc::ServerContext& context, const Caller& caller, const v1::WatchPhonesRequest& request,
                     grpc::ServerWriter<v1::WatchPhonesResponse>& writer);
  absl::Status WriteEvents(const Caller& caller, const PhoneFilter& filter, const PhoneWatch::Batch& batch,
                           grpc::ServerWriter<v1::WatchPhonesResponse>& writer) const;

  const PhoneTrustServiceParts parts_;
  ReportStore reports_;
  PhoneCures cures_;
  PhoneWatch watch_;
  std::atomic<int> watchers_ = 0;
  std::map<std::string, MethodPolicy, std::less<>> policies_;  // by method
  Counter& evidence_;
  Counter& claims_;
  Counter& dropped_;
  Counter& unreadable_;
  Counter& unusable_;
};

}  // namespace trustline
