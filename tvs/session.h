// The phones' TVS protocol as a session: requests in, verdicts out (docs/PROTOCOLS.md, "TVS").
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/net/session.h"
#include "common/service/clock.h"
#include "common/service/log.h"
#include "tvs/freshness.h"
#include "tvs/message.h"
#include "tvs/question_counter.h"
#include "tvs/trust_follower.h"
#include "tvs/unknown_cache.h"
#include "tvs/verdict.h"

namespace trustline {

// Relaxed counters of one listener, read at any time.
struct TvsStatistics {
  struct Answers {
    std::atomic<uint64_t> valid{0};
    std::array<std::atomic<uint64_t>, kInvalidReasons> invalid{};  // by InvalidReason; kNone: valid without a role
  };
  Answers verify;
  Answers query;
  std::atomic<uint64_t> malformed{0};
  std::atomic<uint64_t> misses{0};        // questions that asked the database once more
  std::atomic<uint64_t> silent_away{0};   // closed without an answer: unknown while the database is away
  std::atomic<uint64_t> silent_stale{0};  // closed without an answer: the node is over its age limit
};

// What the sessions of one listener share. Outlives them.
class TvsEndpoint {
 public:
  // `questions` takes what phones ask, of as many workers; null: nobody wants it.
  TvsEndpoint(FollowedCluster& cluster, TrustFollower& follower, FreshnessPolicy policy, size_t workers,
              const Clock& clock, Log& log, QuestionCounter* questions = nullptr)
      : cluster_(cluster),
        follower_(follower),
        policy_(policy),
        clock_(clock),
        log_(log),
        questions_(questions),
        cluster_number_(questions == nullptr ? uint16_t{0} : questions->ClusterNumber(cluster)),
        unknown_(workers) {}

  // A SessionFactory.
  std::unique_ptr<PhoneSession> NewSession(const Peer& peer);

  const TvsStatistics& statistics() const { return statistics_; }

 private:
  friend class TvsSession;
  FollowedCluster& cluster_;
  TrustFollower& follower_;
  const FreshnessPolicy policy_;
  const Clock& clock_;
  Log& log_;
  QuestionCounter* const questions_;
  const uint16_t cluster_number_;
  std::vector<UnknownCache> unknown_;  // one a worker
  TvsStatistics statistics_;
};

// One connection: awaits a header, its body, or the database's confirmation that a certificate is unknown.
class TvsSession final : public PhoneSession {
 public:
  TvsSession(TvsEndpoint& endpoint, const Peer& peer) : endpoint_(endpoint), peer_(peer) {}

  SessionActions OnBytes(ByteView bytes) override;
  SessionActions OnWaitDone() override;

 private:
  enum class Next : uint8_t { kReadOn, kAnswered, kWait, kClose };
  // Answers the message at the beginning of `bytes` when it is there whole; `used` is its size then.
  Next AnswerFirst(ByteView bytes, bool confirmed, SessionActions& actions, size_t& used);
  Next Answer(const TvsHeader& header, const TvsRequest& request, bool confirmed, SessionActions& actions);
  Next Malformed(const absl::Status& status);
  void SilentAway(std::string_view reason);
  SessionActions AnswerAll(ByteView bytes, bool confirmed);
  void Count(TvsCommand command, std::string_view device, const TrustVerdict& verdict);
  void CountQuestion(const TvsRequest& request, const Sha256Digest& key, const TrustVerdict& verdict, absl::Time now);

  TvsEndpoint& endpoint_;
  const Peer peer_;
  std::string buffer_;  // what does not make a whole message yet, or waits for the confirmation
  std::shared_ptr<absl::Status> confirmation_;
};

}  // namespace trustline
