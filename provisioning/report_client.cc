#include "provisioning/report_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kItld = "itld";
constexpr std::chrono::milliseconds kFirstRetry{200};
constexpr std::chrono::milliseconds kLongestRetry{2'000};
// A single stream that ends is an itld that starts anew.
constexpr int kFailuresBeforeWarning = 2;
constexpr std::chrono::seconds kRefusalInterval{60};

// Of what the request says, so that it would be refused each time.
bool IsRefusal(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::INVALID_ARGUMENT ||
         status.error_code() == grpc::StatusCode::OUT_OF_RANGE;
}

std::chrono::milliseconds RetryAfter(int failures) {
  std::chrono::milliseconds wait = kFirstRetry;
  for (int i = 1; i < failures && wait < kLongestRetry; ++i) wait *= 2;
  return std::min(wait, kLongestRetry);
}

}  // namespace

// One call. What gRPC's threads find out stands under the client's mutex; only the client's thread acts.
class ReportClient::Stream final
    : public grpc::ClientBidiReactor<v1::ReportPhoneTrustRequest, v1::ReportPhoneTrustResponse> {
 public:
  explicit Stream(ReportClient& owner) : owner_(owner) {}

  // Without the mutex.
  void Begin() {
    owner_.stub_->async()->ReportPhoneTrust(&context_, this);
    AddHold();  // for writes, which begin outside of gRPC's calls
    StartRead(&response_);
    StartCall();
  }
  void Write() { StartWrite(&request); }
  void Release() { RemoveHold(); }
  void Cancel() { context_.TryCancel(); }

  // With the mutex.
  v1::ReportPhoneTrustRequest request;  // gRPC's while it is written
  bool writing = false;
  bool broken = false;    // nothing more is read or written
  bool released = false;  // and nothing more will be begun
  std::vector<v1::ReportPhoneTrustResponse> responses;
  std::optional<grpc::Status> ended;  // then gRPC has done with this object

 private:
  void OnReadDone(bool ok) override {
    {
      const std::lock_guard lock(owner_.mutex_);
      if (ok) {
        responses.push_back(std::move(response_));
        response_.Clear();
      } else {
        broken = true;
      }
      WakeOwner();
    }
    if (ok) StartRead(&response_);
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(owner_.mutex_);
    writing = false;
    broken = broken || !ok;
    WakeOwner();
  }
  void OnDone(const grpc::Status& status) override {
    // This object may be deleted once the mutex is free.
    ReportClient& owner = owner_;
    const std::lock_guard lock(owner.mutex_);
    ended = status;
    WakeOwner();
  }
  void WakeOwner() {
    owner_.woken_ = true;
    owner_.wake_.notify_all();
  }

  ReportClient& owner_;
  grpc::ClientContext context_;
  v1::ReportPhoneTrustResponse response_;  // gRPC's while it is read
};

absl::StatusOr<std::unique_ptr<ReportClient>> ReportClient::Create(ReportClientOptions options, Log& log,
                                                                   Metrics& metrics) {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, OpenChannel(options.itld, options.identity, kItld));
  return std::unique_ptr<ReportClient>(new ReportClient(std::move(options), std::move(channel), log, metrics));
}

ReportClient::ReportClient(ReportClientOptions options, std::shared_ptr<grpc::Channel> channel, Log& log,
                           Metrics& metrics)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      stub_(v1::PhoneTrust::NewStub(channel_)),
      log_(log),
      queue_(options_.queue),
      request_size_(options_.reports_in_request) {
  const auto with = [this](const char* key, const char* value) {
    return MetricLabels{{"cluster", options_.cluster}, {key, value}};
  };
  const MetricLabels labels = {{"cluster", options_.cluster}};
  registrations_.push_back(metrics.AddGaugeCallback(
      "trustline_phone_reports_waiting", "Reports that itld has not stored.", with("kind", "evidence"), [this] {
        const std::lock_guard lock(mutex_);
        return static_cast<double>(queue_.evidence());
      }));
  registrations_.push_back(metrics.AddGaugeCallback("trustline_phone_reports_waiting",
                                                    "Reports that itld has not stored.", with("kind", "claim"), [this] {
                                                      const std::lock_guard lock(mutex_);
                                                      return static_cast<double>(queue_.claims());
                                                    }));
  const auto counter = [&](const char* name, const char* help, const MetricLabels& of,
                           const std::atomic<uint64_t>& value) {
    registrations_.push_back(metrics.AddCounterCallback(name, help, of, value));
  };
  counter("trustline_phone_reports_stored_total", "Reports that itld has stored.", labels, stored_);
  counter("trustline_phone_reports_unavailable_total", "Reports whose sender was told to come again.", labels,
          unavailable_);
  counter("trustline_phone_reports_dropped_total", "Reports for which there was no room.", with("kind", "evidence"),
          dropped_evidence_);
  counter("trustline_phone_reports_dropped_total", "Reports for which there was no room.", with("kind", "claim"),
          dropped_claims_);
  counter("trustline_phone_reports_refused_total", "Reports that itld cannot use.", labels, refused_);
}

ReportClient::~ReportClient() { Stop(); }

void ReportClient::Start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void ReportClient::Stop() {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_) give_up_at_ = Steady::now() + options_.stop_patience;
    stopping_ = true;
    woken_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  std::vector<ReportQueue::Answer> answers;
  size_t evidence = 0, claims = 0;
  {
    const std::lock_guard lock(mutex_);
    evidence = queue_.evidence();
    claims = queue_.claims();
    answers = queue_.Clear(Unavailable("provisiond is stopping"));
    unavailable_ += answers.size();
  }
  for (ReportQueue::Answer& answer : answers) answer.done(std::move(answer.status));
  if (evidence + claims > 0) {
    log_.Warning("REPORTS_LOST", "reports were not stored before the end: their phones or forwarders send them again",
                 {{"cluster", options_.cluster}, {"evidence", evidence}, {"claims", claims}});
  }
}

void ReportClient::Submit(PhoneTrustReport report, std::function<void(absl::Status)> done) {
  const bool is_claim = report.basis == ReportBasis::kNone;
  absl::Status refused;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      refused = Unavailable("provisiond is stopping");
    } else if (queue_.Add(report, done, Steady::now())) {
      woken_ = true;
      wake_.notify_all();
      return;
    } else {
      refused = Unavailable("too many reports wait for itld");
      ++(is_claim ? dropped_claims_ : dropped_evidence_);
    }
    ++unavailable_;
  }
  done(refused);
}

absl::Status ReportClient::Reachable() const {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok()) return failure_;
  }
  switch (channel_->GetState(/*try_to_connect=*/true)) {
    case GRPC_CHANNEL_READY:
      return absl::OkStatus();
    case GRPC_CHANNEL_TRANSIENT_FAILURE:
    case GRPC_CHANNEL_SHUTDOWN:
      return Unavailable("itld at {} does not answer: is it running, and is the address right?", options_.itld);
    case GRPC_CHANNEL_IDLE:
    case GRPC_CHANNEL_CONNECTING:
      break;
  }
  return Unavailable("the connection to itld at {} is being made", options_.itld);
}

void ReportClient::Run() {
  for (bool is_over = false; !is_over;) {
    Step step;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, NextRound(), [this] { return woken_; });
      woken_ = false;
      step = NextStep(Steady::now());
    }
    // gRPC may call back at once, and so may whoever is told.
    if (step.begin) step.stream->Begin();
    if (step.write) step.stream->Write();
    if (step.release) {
      step.stream->Cancel();
      step.stream->Release();
    }
    for (ReportQueue::Answer& answer : step.answers) answer.done(std::move(answer.status));
    ReportAway(step.failure);
    ReportRefusals(step.is_over);
    is_over = step.is_over;
  }
}

ReportClient::Step ReportClient::NextStep(Steady::time_point now) {
  Step step;
  // 1. What has come.
  if (stream_) {
    for (const v1::ReportPhoneTrustResponse& response : std::exchange(stream_->responses, {})) {
      Settle(response, step.answers);
    }
    if (stream_->ended) {
      AfterEnd(*stream_->ended, now, step.answers);
      stream_.reset();
    }
  }
  std::vector<ReportQueue::Answer> expired = queue_.Expire(now);
  unavailable_ += expired.size();
  std::ranges::move(expired, std::back_inserter(step.answers));
  if (failure_.ok() || failures_ >= kFailuresBeforeWarning) step.failure = failure_;

  // 2. What is to be sent.
  const bool gives_up = stopping_ && (queue_.empty() || now >= give_up_at_);
  step.is_over = gives_up && !stream_;
  if (!stream_ && !gives_up && !queue_.empty() && now >= next_attempt_) {
    stream_ = std::make_unique<Stream>(*this);
    step.begin = true;
  }
  if (!stream_ || stream_->released) return step;
  step.stream = stream_.get();
  if (stream_->broken || gives_up) {
    stream_->released = true;
    step.release = true;
    return step;
  }
  // While a report that itld refuses is looked for, it is clear which request an end is about.
  const size_t most_under_way = request_size_ < options_.reports_in_request ? 1 : options_.requests_under_way;
  if (stream_->writing || queue_.requests_under_way() >= most_under_way) return step;
  stream_->request.Clear();
  stream_->request.set_cluster(options_.cluster);
  step.write = queue_.Take(request_size_, stream_->request);
  stream_->writing = step.write;
  return step;
}

void ReportClient::Settle(const v1::ReportPhoneTrustResponse& response, std::vector<ReportQueue::Answer>& answers) {
  if (queue_.requests_under_way() == 0) return;  // more responses than requests: nothing that they could be about
  std::map<size_t, absl::Status> refusals;
  for (const auto& problem : response.problems()) {
    if (problem.index() < 0 || static_cast<size_t>(problem.index()) >= queue_.oldest().size()) continue;
    refusal_ = problem.reason();
    refusals.emplace(static_cast<size_t>(problem.index()), InvalidArgument("{}", problem.reason()));
  }
  refused_ += refusals.size();
  stored_ += queue_.oldest().size() - refusals.size();
  request_size_ = std::min(request_size_ * 2, options_.reports_in_request);
  failures_ = 0;
  failure_ = absl::OkStatus();
  std::ranges::move(queue_.Settle(refusals), std::back_inserter(answers));
}

void ReportClient::AfterEnd(const grpc::Status& ended, Steady::time_point now,
                            std::vector<ReportQueue::Answer>& answers) {
  // One that has rested for long may be ended by itld.
  if (queue_.requests_under_way() == 0) return;
  const size_t size = queue_.oldest().size();
  if (IsRefusal(ended)) {
    failures_ = 0;
    failure_ = absl::OkStatus();
    if (size == 1) {
      ++refused_;
      refusal_ = ended.error_message();
      std::ranges::move(queue_.Settle({{0, ToAbsl(ended)}}), std::back_inserter(answers));
    }
    request_size_ = std::max<size_t>(size / 2, 1);
  } else {
    ++failures_;
    failure_ = ended.ok() ? Unavailable("itld at {} ends the stream of reports without an answer", options_.itld)
                          : ToAbsl(ended, kItld, options_.itld);
    next_attempt_ = now + RetryAfter(failures_);
  }
  queue_.TakeBack();
}

ReportClient::Steady::time_point ReportClient::NextRound() const {
  Steady::time_point next = std::min(Steady::now() + kRefusalInterval, queue_.NextExpiry());
  if (!stream_ && !queue_.empty()) next = std::min(next, next_attempt_);
  // Once it is over only the stream's end is waited for.
  if (stopping_ && Steady::now() < give_up_at_) next = std::min(next, give_up_at_);
  return next;
}

void ReportClient::ReportAway(const absl::Status& failure) {
  const std::string reason(StatusMessage(failure));
  if (reason == reported_failure_) return;
  reported_failure_ = reason;
  if (failure.ok()) {
    log_.Info("REPORTS_ITLD_BACK", "itld stores reports again", {{"cluster", options_.cluster}});
  } else {
    log_.Warning("REPORTS_ITLD_AWAY", "itld stores no reports: they wait, and their senders are told to come again",
                 {{"cluster", options_.cluster}, {"error", failure}});
  }
}

void ReportClient::ReportRefusals(bool at_once) {
  const uint64_t refused = refused_;
  if (refused == reported_refusals_ || (Steady::now() < next_refusal_report_ && !at_once)) return;
  std::string example;
  {
    const std::lock_guard lock(mutex_);
    example = refusal_;
  }
  log_.Warning("REPORTS_REFUSED", "itld cannot use reports that were sent here",
               {{"cluster", options_.cluster}, {"reports", refused - reported_refusals_}, {"the_last", example}});
  reported_refusals_ = refused;
  next_refusal_report_ = Steady::now() + kRefusalInterval;
}

}  // namespace trustline
