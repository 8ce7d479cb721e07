// Asks TVS about the certificates that peers show on the SIP listener.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"
#include "common/service/identity_files.h"
#include "common/service/log.h"
#include "common/service/metrics.h"
#include "common/x509/certificate.h"
#include "proto/verification.grpc.pb.h"
#include "provisioning/report_desk.h"

namespace trustline {

struct TvsJudgeOptions {
  std::string tvsd;  // "host:port"
  IdentityFiles identity;
  std::string cluster;
  std::chrono::milliseconds patience = std::chrono::seconds(3);
  size_t most_asked_at_once = 256;  // certificates; beyond, none is valid
  size_t most_remembered = 4'096;
  // A verdict is remembered as long as tvsd says, and not longer than this: what is revoked must end to be evidence.
  std::chrono::milliseconds longest_memory = std::chrono::seconds(60);
  // Of a certificate that is not valid, for which tvsd says nothing. Whoever has just been trusted is let in soon.
  std::chrono::milliseconds memory_of_invalid = std::chrono::seconds(2);
};

// For one cluster. A certificate of which tvsd does not say in time that it is valid is not. All who ask about the same
// certificate at the same time share one call. Metric: trustline_certificate_judgements_total{cluster,outcome}. Log
// events: SIP_TVSD_AWAY, SIP_TVSD_BACK.
class TvsJudge final : public CertificateJudge {
 public:
  // Connects at the first call. The references must outlive it.
  static absl::StatusOr<std::unique_ptr<TvsJudge>> Create(TvsJudgeOptions options, Log& log, Metrics& metrics);
  ~TvsJudge() override;

  // Ends the calls that are under way, whose askers are told that nothing is valid, and waits until all that they hold
  // is gone: an asker's `done` must not end this object. Idempotent.
  void Stop();

  // Whether a certificate may be presented to phones by this daemon. FailedPrecondition with tvsd's reason and the next
  // step; Unavailable when tvsd cannot be asked. Waits for it.
  absl::Status CheckIsAppServer(const Certificate& certificate) const;

  void Judge(std::shared_ptr<const std::string> der, std::function<void(CertificateStanding)> done) override;

 private:
  struct Question;
  using Steady = std::chrono::steady_clock;
  using Done = std::function<void(CertificateStanding)>;
  struct Known {
    CertificateStanding standing;
    Steady::time_point until;
  };

  TvsJudge(TvsJudgeOptions options, std::shared_ptr<grpc::Channel> channel, Log& log, Metrics& metrics);

  void OnAnswer(const Sha256Digest& sha256, Question& question, const grpc::Status& status);
  void Remember(const Sha256Digest& sha256, const CertificateStanding& standing, Steady::duration time);
  void ReportAway(const absl::Status& failure);

  const TvsJudgeOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Verification::Stub> stub_;
  Log& log_;
  Counter& valid_;
  Counter& invalid_;
  Counter& unknown_;     // tvsd did not say
  Counter& remembered_;  // without a call

  std::mutex mutex_;
  std::condition_variable answered_;
  bool stopping_ = false;
  std::map<Sha256Digest, std::unique_ptr<Question>> asked_;
  size_t calls_ = 0;  // that gRPC has not done with
  std::map<Sha256Digest, Known> known_;
  std::deque<std::pair<Steady::time_point, Sha256Digest>> known_order_;  // in the order in which they were remembered
  std::string reported_failure_;
};

}  // namespace trustline
