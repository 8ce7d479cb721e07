// A PhoneTrust service that keeps what it is sent, and somebody who waits for a desk's answers.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/phone_trust.grpc.pb.h"
#include "provisioning/report_desk.h"

namespace trustline {

inline constexpr std::chrono::seconds kTestPatience{30};

class KeepingPhoneTrust final : public v1::PhoneTrust::Service {
 public:
  // What becomes of a request before it is stored: an error ends the stream. Called in gRPC's threads.
  using Judge =
      std::function<grpc::Status(const v1::ReportPhoneTrustRequest& request, v1::ReportPhoneTrustResponse& response)>;

  grpc::Status ReportPhoneTrust(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::ReportPhoneTrustResponse, v1::ReportPhoneTrustRequest>* stream) override {
    v1::ReportPhoneTrustRequest request;
    while (stream->Read(&request)) {
      v1::ReportPhoneTrustResponse response;
      std::unique_lock lock(mutex_);
      arrived_.push_back(request);
      changed_.notify_all();
      // gRPC tells a call that waits nothing of its end.
      while (is_held_ && !context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(10));
      if (const grpc::Status status = judge_ ? judge_(request, response) : grpc::Status::OK; !status.ok())
        return status;
      stored_.push_back(request);
      changed_.notify_all();
      const bool ends = ends_each_stream_;
      lock.unlock();
      stream->Write(response);
      if (ends) return grpc::Status::OK;
    }
    return grpc::Status::OK;
  }

  void SetJudge(Judge judge) {
    const std::lock_guard lock(mutex_);
    judge_ = std::move(judge);
  }
  // Nothing is stored or answered while it is held, unless its call was ended.
  void Hold(bool held) {
    const std::lock_guard lock(mutex_);
    is_held_ = held;
    changed_.notify_all();
  }
  void EndEachStreamAfterItsFirstAnswer() {
    const std::lock_guard lock(mutex_);
    ends_each_stream_ = true;
  }

  size_t arrivals() const {
    const std::lock_guard lock(mutex_);
    return arrived_.size();
  }
  bool WaitForArrivals(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTestPatience, [&] { return arrived_.size() >= count; });
  }
  // Until so many different devices are stored.
  bool WaitForDevices(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTestPatience, [&] { return DevicesIn(stored_).size() >= count; });
  }
  std::vector<v1::ReportPhoneTrustRequest> stored() const {
    const std::lock_guard lock(mutex_);
    return stored_;
  }
  // In alphabetical order, each once.
  std::vector<std::string> Devices() const {
    const std::lock_guard lock(mutex_);
    return DevicesIn(stored_);
  }

 private:
  static std::vector<std::string> DevicesIn(const std::vector<v1::ReportPhoneTrustRequest>& requests) {
    std::vector<std::string> devices;
    for (const auto& request : requests) {
      for (const v1::PhoneReport& report : request.reports()) devices.push_back(report.device());
    }
    std::ranges::sort(devices);
    devices.erase(std::unique(devices.begin(), devices.end()), devices.end());
    return devices;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Judge judge_;
  bool is_held_ = false;
  bool ends_each_stream_ = false;
  std::vector<v1::ReportPhoneTrustRequest> arrived_;
  std::vector<v1::ReportPhoneTrustRequest> stored_;
};

// Takes answers in the order in which they come.
class AnswerCollector {
 public:
  std::function<void(absl::Status)> For(std::string device) {
    return [this, device = std::move(device)](const absl::Status& status) {
      const std::lock_guard lock(mutex_);
      answers_.emplace_back(device, status);
      changed_.notify_all();
    };
  }
  bool WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kTestPatience, [&] { return answers_.size() >= count; });
  }
  std::vector<std::pair<std::string, absl::Status>> answers() const {
    const std::lock_guard lock(mutex_);
    return answers_;
  }
  size_t CountOf(absl::StatusCode code) const {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(
        std::ranges::count_if(answers_, [code](const auto& answer) { return answer.second.code() == code; }));
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::string, absl::Status>> answers_;
};

inline PhoneTrustReport EvidenceOf(std::string device) {
  return {.device = std::move(device), .basis = ReportBasis::kForwarder, .source = "192.0.2.1"};
}
inline PhoneTrustReport ClaimOf(std::string device) {
  return {.device = std::move(device), .basis = ReportBasis::kNone, .source = "203.0.113.9"};
}

}  // namespace trustline
