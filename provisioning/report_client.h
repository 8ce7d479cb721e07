// Passes reports on to itld, which stores them.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "proto/phone_trust.grpc.pb.h"
#include "provisioning/report_desk.h"
#include "provisioning/report_queue.h"

namespace trustline {

struct ReportClientOptions {
  std::string itld;  // "host:port"
  IdentityFiles identity;
  std::string cluster;
  ReportQueueOptions queue;
  size_t reports_in_request = 1'000;  // itld takes no more
  size_t requests_under_way = 2;
  // How long Stop() goes on trying.
  std::chrono::milliseconds stop_patience = std::chrono::seconds(3);
};

// One cluster's reports, on one stream to itld and with a thread of its own. Whoever is told Unavailable because itld
// did not answer in time may say it again: the report is stored once itld is back all the same, and twice does no harm.
// What itld cannot use is found out by ever smaller requests and given up, with InvalidArgument.
// Metrics: trustline_phone_reports_{waiting,stored_total,unavailable_total,dropped_total,refused_total}{cluster}.
// Log events: REPORTS_ITLD_AWAY, REPORTS_ITLD_BACK, REPORTS_REFUSED, REPORTS_LOST.
class ReportClient final : public ReportDesk {
 public:
  // Connects once started. The references must outlive it.
  static absl::StatusOr<std::unique_ptr<ReportClient>> Create(ReportClientOptions options, Log& log, Metrics& metrics);
  ~ReportClient() override;

  void Start();
  // Tries to have stored what waits, for a while; tells the others Unavailable. Idempotent.
  void Stop();

  // `done` is called by the client's thread, or within the call when there is no room or nothing is taken any more.
  void Submit(PhoneTrustReport report, std::function<void(absl::Status)> done) override;

  // Whether reports reach itld; else why not.
  absl::Status Reachable() const;

 private:
  class Stream;
  using Steady = std::chrono::steady_clock;

  ReportClient(ReportClientOptions options, std::shared_ptr<grpc::Channel> channel, Log& log, Metrics& metrics);

  // What the thread does next, without the mutex.
  struct Step {
    std::vector<ReportQueue::Answer> answers;
    Stream* stream = nullptr;
    bool begin = false;
    bool write = false;
    bool release = false;
    absl::Status failure;  // worth a line of the log
    bool is_over = false;
  };

  void Run();
  // With the mutex.
  Step NextStep(Steady::time_point now);
  void Settle(const v1::ReportPhoneTrustResponse& response, std::vector<ReportQueue::Answer>& answers);
  void AfterEnd(const grpc::Status& ended, Steady::time_point now, std::vector<ReportQueue::Answer>& answers);
  Steady::time_point NextRound() const;
  // Without.
  void ReportAway(const absl::Status& failure);
  void ReportRefusals(bool at_once);

  const ReportClientOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::PhoneTrust::Stub> stub_;
  Log& log_;

  std::atomic<uint64_t> stored_ = 0, unavailable_ = 0, dropped_evidence_ = 0, dropped_claims_ = 0, refused_ = 0;
  std::vector<Metrics::Registration> registrations_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  bool stopping_ = false;
  Steady::time_point give_up_at_;  // once stopping
  ReportQueue queue_;
  std::unique_ptr<Stream> stream_;
  size_t request_size_;  // smaller while a report that itld refuses is looked for
  int failures_ = 0;     // streams that ended without an answer, in a row
  Steady::time_point next_attempt_;
  absl::Status failure_;  // why the last stream ended; OK since itld has answered
  std::string refusal_;   // an example

  // Of the thread.
  std::string reported_failure_;
  uint64_t reported_refusals_ = 0;
  Steady::time_point next_refusal_report_;
  std::thread thread_;
};

}  // namespace trustline
