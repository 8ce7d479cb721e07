// capfd's service: it answers what a test has put there, and keeps what it was asked. The tests look at it between
// calls only.
#pragma once

#include <fmt/format.h>
#include <grpcpp/server_context.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "proto/enrolment.grpc.pb.h"

namespace trustline {

class FakeEnrolment final : public v1::Enrolment::Service {
 public:
  using ScheduleStream = grpc::ServerReaderWriter<v1::ScheduleOperationsResponse, v1::ScheduleOperationsRequest>;

  // Schedules batch by batch, or everything at the end when it is all or nothing; `refused` is refused, `known` is not
  // added, `with_nothing_pending` has nothing to take back. The batch with the number `hold_at` (from 0, of all calls)
  // waits for Release, or what is all or nothing does; the batch with `fail_at` fails.
  grpc::Status ScheduleOperations(grpc::ServerContext* context, ScheduleStream* stream) override {
    v1::ScheduleOperationsRequest request;
    if (!stream->Read(&request) || !request.has_options()) return {grpc::StatusCode::INVALID_ARGUMENT, "no options"};
    options = request.options();
    if (!schedule_status.ok()) return schedule_status;
    std::vector<v1::ScheduleOperationsRequest::Devices> waiting;
    while (stream->Read(&request)) {
      if (options.all_or_nothing()) {
        batches.push_back(request.devices());
        waiting.push_back(request.devices());
        continue;
      }
      if (!Take(request.devices())) return {grpc::StatusCode::UNAVAILABLE, "the database is away\x1b[2J"};
      stream->Write(Schedule(request.devices()));
      if (batches.size() - 1 == end_early_at) return grpc::Status::OK;
    }
    if (options.all_or_nothing() && hold_at != SIZE_MAX) Hold();
    if (context->IsCancelled()) return grpc::Status::CANCELLED;
    ended_by_client = true;
    if (options.all_or_nothing() && WriteRefusals(waiting, *stream)) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "a device was refused: nothing was scheduled"};
    }
    for (size_t i = 0; i < waiting.size(); ++i) {
      stream->Write(Schedule(waiting[i]));
      if (i == end_early_at) return {grpc::StatusCode::UNAVAILABLE, "capfd ends"};
    }
    return grpc::Status::OK;
  }

  void WaitUntilHeld() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return held_; });
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

  // Pages of at most `largest_page`.
  grpc::Status ListOperations(grpc::ServerContext*, const v1::ListOperationsRequest* request,
                              v1::ListOperationsResponse* response) override {
    listed = *request;
    response->set_next_page_token(Page(*request, operations, *response->mutable_operations()));
    return grpc::Status::OK;
  }
  grpc::Status ShowEnrolment(grpc::ServerContext*, const v1::ShowEnrolmentRequest* request,
                             v1::ShowEnrolmentResponse* response) override {
    if (shown.device() != request->device()) return {grpc::StatusCode::NOT_FOUND, "there is no such device\x1b[2J"};
    *response = shown;
    return grpc::Status::OK;
  }
  grpc::Status ReportEnrolment(grpc::ServerContext*, const v1::ReportEnrolmentRequest* request,
                               v1::ReportEnrolmentResponse* response) override {
    reported = *request;
    response->set_next_page_token(Page(*request, rows, *response->mutable_rows()));
    return grpc::Status::OK;
  }
  grpc::Status ListStaleCertificates(grpc::ServerContext*, const v1::ListStaleCertificatesRequest* request,
                                     v1::ListStaleCertificatesResponse* response) override {
    response->set_next_page_token(Page(*request, stale, *response->mutable_certificates()));
    return grpc::Status::OK;
  }
  grpc::Status UnlockDevice(grpc::ServerContext*, const v1::UnlockDeviceRequest* request,
                            v1::UnlockDeviceResponse* response) override {
    unlocked = *request;
    response->set_locks(locks);
    return grpc::Status::OK;
  }
  grpc::Status GetEnrolmentPolicy(grpc::ServerContext*, const v1::GetEnrolmentPolicyRequest*,
                                  v1::GetEnrolmentPolicyResponse* response) override {
    *response->mutable_policy() = policy;
    return grpc::Status::OK;
  }
  grpc::Status SetEnrolmentPolicy(grpc::ServerContext*, const v1::SetEnrolmentPolicyRequest* request,
                                  v1::SetEnrolmentPolicyResponse* response) override {
    policy_set = *request;
    *response->mutable_policy() = policy;
    return grpc::Status::OK;
  }
  grpc::Status CreateCampaign(grpc::ServerContext*, const v1::CreateCampaignRequest* request,
                              v1::CreateCampaignResponse* response) override {
    created = *request;
    *response->mutable_campaign() = campaign;
    return grpc::Status::OK;
  }
  grpc::Status StartCampaign(grpc::ServerContext*, const v1::StartCampaignRequest* request,
                             v1::StartCampaignResponse* response) override {
    *response->mutable_campaign() = InState(request->campaign_id(), v1::CAMPAIGN_STATE_RUNNING);
    return grpc::Status::OK;
  }
  grpc::Status PauseCampaign(grpc::ServerContext*, const v1::PauseCampaignRequest* request,
                             v1::PauseCampaignResponse* response) override {
    *response->mutable_campaign() = InState(request->campaign_id(), v1::CAMPAIGN_STATE_PAUSED);
    return grpc::Status::OK;
  }
  grpc::Status ListCampaigns(grpc::ServerContext*, const v1::ListCampaignsRequest*,
                             v1::ListCampaignsResponse* response) override {
    if (campaign.campaign_id() != 0) *response->add_campaigns() = campaign;
    return grpc::Status::OK;
  }
  grpc::Status ShowCampaign(grpc::ServerContext*, const v1::ShowCampaignRequest* request,
                            v1::ShowCampaignResponse* response) override {
    if (request->campaign_id() != campaign.campaign_id()) return {grpc::StatusCode::NOT_FOUND, "no such campaign"};
    *response->mutable_campaign() = campaign;
    return grpc::Status::OK;
  }

  // Of ScheduleOperations.
  v1::ScheduleOperationsRequest::Options options;
  std::vector<v1::ScheduleOperationsRequest::Devices> batches;
  std::map<std::string, std::string> strings;  // of the newest operation of each device
  std::set<std::string> known;
  std::set<std::string> refused;
  std::set<std::string> with_nothing_pending;
  grpc::Status schedule_status;
  size_t hold_at = SIZE_MAX;
  size_t fail_at = SIZE_MAX;
  size_t end_early_at = SIZE_MAX;
  bool out_of_order = false;
  bool ended_by_client = false;

  int64_t largest_page = 1000;
  std::vector<v1::OperationInfo> operations;
  v1::ListOperationsRequest listed;
  v1::ShowEnrolmentResponse shown;
  std::vector<v1::ReportEnrolmentResponse::Row> rows;
  v1::ReportEnrolmentRequest reported;
  std::vector<v1::ListStaleCertificatesResponse::Stale> stale;
  v1::UnlockDeviceRequest unlocked;
  int32_t locks = 0;
  v1::EnrolmentPolicy policy;
  v1::SetEnrolmentPolicyRequest policy_set;
  v1::Campaign campaign;
  v1::CreateCampaignRequest created;

 private:
  // False for a batch that fails.
  bool Take(const v1::ScheduleOperationsRequest::Devices& devices) {
    const size_t number = batches.size();
    if (number == fail_at) return false;
    if (number == hold_at) Hold();
    batches.push_back(devices);
    return true;
  }

  // True when there are any.
  bool WriteRefusals(const std::vector<v1::ScheduleOperationsRequest::Devices>& batches_of_call,
                     ScheduleStream& stream) const {
    v1::ScheduleOperationsResponse response;
    for (const v1::ScheduleOperationsRequest::Devices& devices : batches_of_call) {
      for (const std::string& device : devices.names()) {
        if (!refused.contains(device)) continue;
        response.add_outcomes()->set_device(device);
        response.mutable_outcomes()->rbegin()->set_refusal("it is retired\x1b[2J");
      }
    }
    return response.outcomes_size() > 0 && stream.Write(response);
  }

  void Hold() {
    std::unique_lock lock(mutex_);
    held_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
  }

  v1::ScheduleOperationsResponse Schedule(const v1::ScheduleOperationsRequest::Devices& devices) {
    v1::ScheduleOperationsResponse response;
    response.mutable_deadline()->set_seconds(1'795'377'060);
    for (const std::string& device : devices.names()) {
      v1::ScheduleOperationsResponse::Outcome& outcome = *response.add_outcomes();
      outcome.set_device(device);
      if (refused.contains(device)) {
        outcome.set_refusal("it is retired\x1b[2J");
        continue;
      }
      if (with_nothing_pending.contains(device)) continue;
      outcome.set_operation_id(++last_operation_);
      outcome.set_replaced(strings.contains(device));
      if (options.operation() == v1::CERTIFICATE_OPERATION_NONE) continue;
      outcome.set_device_added(!known.contains(device));
      if (options.authentication() == v1::ENROLMENT_AUTHENTICATION_STRING) {
        outcome.set_authentication_string(fmt::format("{:08}", last_operation_));
        strings[device] = outcome.authentication_string();
      }
    }
    if (out_of_order) std::reverse(response.mutable_outcomes()->begin(), response.mutable_outcomes()->end());
    return response;
  }

  // Adds a page to `page`; the result is the next one's token.
  template <typename Request, typename Item>
  std::string Page(const Request& request, const std::vector<Item>& items,
                   google::protobuf::RepeatedPtrField<Item>& page) const {
    const size_t begin = request.page_token().empty() ? 0 : std::stoul(request.page_token());
    const size_t size = static_cast<size_t>(std::min<int64_t>(request.page_size(), largest_page));
    const size_t end = std::min(items.size(), begin + size);
    for (size_t i = begin; i < end; ++i) *page.Add() = items[i];
    return end < items.size() ? std::to_string(end) : "";
  }

  v1::Campaign InState(int32_t id, v1::CampaignState state) const {
    v1::Campaign changed = campaign;
    changed.set_campaign_id(id);
    changed.set_state(state);
    return changed;
  }

  int64_t last_operation_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool released_ = false;
};

}  // namespace trustline
