// Passes on to itld what phones asked, and the certificates that they were shown.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "common/bytes/sha256.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "proto/tvs_question.grpc.pb.h"
#include "tvs/question_counter.h"
#include "tvs/question_table.h"

namespace trustline {

struct QuestionFlusherOptions {
  std::string itld;  // "HOST:PORT"
  IdentityFiles identity;
  std::string node;
  std::chrono::milliseconds interval{10'000};
  std::chrono::milliseconds call_deadline{20'000};
  std::chrono::milliseconds stop_patience{2'000};  // for the last of it
  int batch_size = 1'000;
  QuestionTableLimits limits;
  // The certificates that a cluster's phones are shown now. Called by the flusher's thread; empty: there are none to
  // say.
  std::function<std::vector<Sha256Digest>(const std::string& cluster)> presented;
  std::chrono::milliseconds presented_again{300'000};  // when they have not changed since they were said
};

// A thread of its own, which nobody waits for: phones are answered whether itld is there or not. Each batch has a
// number and is sent until itld has taken it, so that it counts once although an answer was lost; what comes meanwhile
// waits within the table's limits. A failure is one line of the log for each reason, however often it is tried.
// Certificates go with every batch, and in one without counts at the start, when they have changed, and after an hour:
// a database that was restored knows them again.
class QuestionFlusher {
 public:
  // The references must outlive it.
  QuestionFlusher(QuestionFlusherOptions options, QuestionCounter& counter, Log& log);
  ~QuestionFlusher();

  void Start();
  // Sends what there is, if itld takes it within the patience. To be called when nobody counts any more. Idempotent.
  void Stop();

  // Of the metrics, from any thread.
  uint64_t without_room() const { return counter_.nameless() + table_.without_room(); }
  uint64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Call;
  // What is on its way of one cluster.
  struct Outbox {
    v1::CountQuestionsRequest batch;
    bool is_full = false;  // until itld has taken it, or never will
    int64_t next_number = 0;
    std::vector<Sha256Digest> said;  // certificates, in order, with the last batch
    Time say_again = Time::min();
    bool has_left_out = false;  // certificates, ever
    bool failed = false;        // in this round
    std::string failure;        // that was logged last, since then without a success
  };

  void Run();
  void Collect();
  void MeasureWaiting();
  // Begins a call if there is something to send; false when this round is over.
  bool BeginCall(Time now, Time deadline);
  bool FillOutbox(uint16_t cluster, Time now);
  std::vector<Sha256Digest> PresentedTo(const std::string& cluster, Outbox& outbox);
  bool CallHasEnded();
  void EndCall();
  void Report(Outbox& outbox, const absl::Status& status);

  const QuestionFlusherOptions options_;
  QuestionCounter& counter_;
  Log& log_;
  std::atomic<bool> stopping_ = false;
  std::atomic<uint64_t> waiting_ = 0;
  std::mutex ending_;  // of a call: as long as gRPC holds it, the call and the counter are needed

  // Of the thread.
  const uint64_t process_;  // a random number
  QuestionTable table_;
  std::vector<Outbox> outboxes_;  // by cluster
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Call> call_;  // under way
  std::thread thread_;
};

}  // namespace trustline
