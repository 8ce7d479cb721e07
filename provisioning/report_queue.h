// Reports on their way to itld: bounded in number, and each of them answered in time.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/phone_trust.pb.h"
#include "provisioning/report_desk.h"

namespace trustline {

struct ReportQueueOptions {
  size_t most_evidence = 100'000;
  size_t most_claims = 5'000;  // apart, so that nobody's claims take the place of evidence
  std::chrono::milliseconds patience = std::chrono::seconds(10);
};

// Times are the steady clock's. For one thread at a time, whose part it is to call the answers, without a lock.
class ReportQueue {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Done = std::function<void(absl::Status)>;
  struct Answer {
    Done done;
    absl::Status status;
  };
  // What a request holds: evidence, and after it claims.
  struct Batch {
    size_t evidence = 0;
    size_t claims = 0;
    size_t size() const { return evidence + claims; }
  };

  explicit ReportQueue(ReportQueueOptions options) : options_(options) {}

  // False, and `done` stays as it is, when there is no room for a report of its kind.
  bool Add(const PhoneTrustReport& report, Done& done, Time now);

  // Moves the oldest ones into the request, at most `most`, evidence first: they are under way then. False when all
  // are.
  bool Take(size_t most, v1::ReportPhoneTrustRequest& request);
  size_t requests_under_way() const { return under_way_.size(); }
  // The oldest request that is under way, which there must be.
  const Batch& oldest() const { return under_way_.front(); }

  // The oldest request that is under way has got its answer. `refusals` are by index in it; the others are stored.
  std::vector<Answer> Settle(const std::map<size_t, absl::Status>& refusals);
  // What is under way is to be taken again: nobody knows whether it was stored, and storing twice does no harm.
  void TakeBack();

  // Those who have waited for the whole patience. Their reports stay.
  std::vector<Answer> Expire(Time now);
  // When the next one will have; Time::max() when nobody waits.
  Time NextExpiry() const;

  // Gives up everything; whoever still waits is told `status`.
  std::vector<Answer> Clear(const absl::Status& status);

  size_t evidence() const { return evidence_.entries.size(); }
  size_t claims() const { return claims_.entries.size(); }
  bool empty() const { return evidence() + claims() == 0; }

 private:
  struct Entry {
    v1::PhoneReport report;
    Done done;  // empty once it was told
    Time expires;
  };
  // In the order in which they came: first those under way; those that were told without being stored are a beginning
  // of it too.
  struct Lane {
    std::deque<Entry> entries;
    size_t under_way = 0;
    size_t told = 0;
  };
  static size_t TakeFrom(Lane& lane, size_t most, v1::ReportPhoneTrustRequest& request);
  static void SettleIn(Lane& lane, size_t count, size_t first_index, const std::map<size_t, absl::Status>& refusals,
                       std::vector<Answer>& answers);

  const ReportQueueOptions options_;
  Lane evidence_;
  Lane claims_;
  std::deque<Batch> under_way_;
};

}  // namespace trustline
