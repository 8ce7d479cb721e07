// itld's service of phones: it answers what a test has put there, and keeps what it was asked. The tests look at it
// between calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "proto/phone_trust.grpc.pb.h"

namespace trustline {

class FakePhoneTrust final : public v1::PhoneTrust::Service {
 public:
  grpc::Status ListPhones(grpc::ServerContext*, const v1::ListPhonesRequest* request,
                          v1::ListPhonesResponse* response) override {
    listed.push_back(*request);
    if (listed.size() > pages_before_failure) return {grpc::StatusCode::UNAVAILABLE, "the database is away"};
    AddPage(*request, phones, *response->mutable_phones(), *response->mutable_next_page_token());
    return status;
  }
  grpc::Status SummarizePhones(grpc::ServerContext*, const v1::SummarizePhonesRequest* request,
                               v1::SummarizePhonesResponse* response) override {
    return Keep(*request, summarized, *response, summary);
  }
  grpc::Status ShowPhone(grpc::ServerContext*, const v1::ShowPhoneRequest* request,
                         v1::ShowPhoneResponse* response) override {
    return Keep(*request, shown, *response, shown_phone);
  }
  grpc::Status ListPhoneHistory(grpc::ServerContext*, const v1::ListPhoneHistoryRequest* request,
                                v1::ListPhoneHistoryResponse* response) override {
    history_listed.push_back(*request);
    AddPage(*request, events, *response->mutable_events(), *response->mutable_next_page_token());
    return status;
  }
  grpc::Status ListAdoption(grpc::ServerContext*, const v1::ListAdoptionRequest* request,
                            v1::ListAdoptionResponse* response) override {
    return Keep(*request, adoption_listed, *response, adoption);
  }
  grpc::Status ForecastExpiry(grpc::ServerContext*, const v1::ForecastExpiryRequest* request,
                              v1::ForecastExpiryResponse* response) override {
    return Keep(*request, forecast_asked, *response, forecast);
  }
  grpc::Status ExplainPhone(grpc::ServerContext*, const v1::ExplainPhoneRequest* request,
                            v1::ExplainPhoneResponse* response) override {
    return Keep(*request, explained, *response, explanation);
  }
  // Gives all of `watched_events`; then, unless it is to end, waits until the caller has enough.
  grpc::Status WatchPhones(grpc::ServerContext* context, const v1::WatchPhonesRequest* request,
                           grpc::ServerWriter<v1::WatchPhonesResponse>* stream) override {
    watched = *request;
    for (const v1::WatchPhonesResponse& event : watched_events) stream->Write(event);
    std::unique_lock lock(mutex_);
    while (!watch_ends && !context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(10));
    cancelled = context->IsCancelled();
    return status;
  }
  grpc::Status ListForwarders(grpc::ServerContext*, const v1::ListForwardersRequest* request,
                              v1::ListForwardersResponse* response) override {
    return Keep(*request, forwarders_listed, *response, forwarders);
  }
  grpc::Status PutForwarder(grpc::ServerContext*, const v1::PutForwarderRequest* request,
                            v1::PutForwarderResponse* response) override {
    return Keep(*request, forwarder_put, *response, put);
  }
  grpc::Status RemoveForwarder(grpc::ServerContext*, const v1::RemoveForwarderRequest* request,
                               v1::RemoveForwarderResponse*) override {
    forwarder_removed = *request;
    return status;
  }
  grpc::Status SetClaimPolicy(grpc::ServerContext*, const v1::SetClaimPolicyRequest* request,
                              v1::SetClaimPolicyResponse* response) override {
    return Keep(*request, claim_policy, *response, claim_policy_set);
  }
  grpc::Status ListServerNames(grpc::ServerContext*, const v1::ListServerNamesRequest* request,
                               v1::ListServerNamesResponse* response) override {
    return Keep(*request, names_listed, *response, server_names);
  }
  grpc::Status ChangeServerNames(grpc::ServerContext*, const v1::ChangeServerNamesRequest* request,
                                 v1::ChangeServerNamesResponse* response) override {
    return Keep(*request, names_changed, *response, changed_names);
  }

  grpc::Status SetModelLists(grpc::ServerContext*, const v1::SetModelListsRequest* request,
                             v1::SetModelListsResponse* response) override {
    return Keep(*request, model_lists_set, *response, set_model_lists);
  }
  grpc::Status ListModelLists(grpc::ServerContext*, const v1::ListModelListsRequest* request,
                              v1::ListModelListsResponse* response) override {
    return Keep(*request, model_lists_listed, *response, model_lists);
  }

  grpc::Status status;  // of every call
  std::vector<v1::Phone> phones;
  size_t pages_before_failure = SIZE_MAX;
  v1::SummarizePhonesResponse summary;
  v1::ShowPhoneResponse shown_phone;
  std::vector<v1::PhoneEvent> events;
  v1::ListAdoptionResponse adoption;
  v1::ExplainPhoneResponse explanation;
  v1::ForecastExpiryResponse forecast;
  std::vector<v1::WatchPhonesResponse> watched_events;
  bool watch_ends = false;
  v1::ListForwardersResponse forwarders;
  v1::PutForwarderResponse put;
  v1::SetClaimPolicyResponse claim_policy_set;
  v1::SetModelListsResponse set_model_lists;
  v1::ListModelListsResponse model_lists;
  v1::ListServerNamesResponse server_names;
  v1::ChangeServerNamesResponse changed_names;

  std::vector<v1::ListPhonesRequest> listed;
  v1::SummarizePhonesRequest summarized;
  v1::ShowPhoneRequest shown;
  std::vector<v1::ListPhoneHistoryRequest> history_listed;
  v1::ListAdoptionRequest adoption_listed;
  v1::ExplainPhoneRequest explained;
  v1::ForecastExpiryRequest forecast_asked;
  v1::WatchPhonesRequest watched;
  bool cancelled = false;
  v1::ListForwardersRequest forwarders_listed;
  v1::PutForwarderRequest forwarder_put;
  v1::RemoveForwarderRequest forwarder_removed;
  v1::SetClaimPolicyRequest claim_policy;
  v1::SetModelListsRequest model_lists_set;
  v1::ListModelListsRequest model_lists_listed;
  v1::ListServerNamesRequest names_listed;
  v1::ChangeServerNamesRequest names_changed;

 private:
  // The tokens are the places where the pages begin.
  template <typename Request, typename Item, typename Items>
  static void AddPage(const Request& request, const std::vector<Item>& all, Items& page, std::string& next_token) {
    const size_t begin = request.page_token().empty() ? 0 : std::stoul(request.page_token());
    const size_t end = std::min(all.size(), begin + static_cast<size_t>(request.page_size()));
    for (size_t i = begin; i < end; ++i) *page.Add() = all[i];
    if (end < all.size()) next_token = std::to_string(end);
  }

  template <typename Request, typename Response>
  grpc::Status Keep(const Request& request, Request& kept, Response& response, const Response& answer) const {
    kept = request;
    response = answer;
    return status;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace trustline
