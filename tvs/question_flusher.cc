#include "tvs/question_flusher.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "tvs/verdict_messages.h"

namespace trustline {
namespace {

uint64_t RandomNumber() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

v1::QuestionCount ToProto(CountedQuestion question) {
  v1::QuestionCount count;
  count.set_device(std::move(question.device));
  count.set_kind(question.answer.is_query ? v1::QUESTION_KIND_QUERY : v1::QUESTION_KIND_VERIFY);
  count.set_subject(question.names->subject);
  count.set_issuer(question.names->issuer);
  count.set_serial(question.names->serial);
  count.set_verdict(question.answer.valid ? v1::VERDICT_VALID : v1::VERDICT_INVALID);
  count.set_reason(ToProto(question.answer.reason));
  count.set_count(question.count);
  *count.mutable_first_at() = ToProtoTime(absl::FromUnixMicros(question.first_us));
  *count.mutable_last_at() = ToProtoTime(absl::FromUnixMicros(question.last_us));
  count.set_address(std::move(question.address));
  return count;
}

// Sending it again would change nothing.
bool IsForGood(const absl::Status& status) { return absl::IsInvalidArgument(status); }

// As many as itld takes. One is usual, and two while listeners get another one by one.
constexpr size_t kMostPresented = 16;

}  // namespace

struct QuestionFlusher::Call {
  uint16_t cluster = 0;
  std::unique_ptr<v1::TvsQuestions::Stub> stub;
  grpc::ClientContext context;
  v1::CountQuestionsResponse response;
  grpc::Status status;
  bool done = false;  // under ending_
};

QuestionFlusher::QuestionFlusher(QuestionFlusherOptions options, QuestionCounter& counter, Log& log)
    : options_(std::move(options)),
      counter_(counter),
      log_(log),
      process_(RandomNumber()),
      table_(counter.clusters(), options_.limits),
      outboxes_(counter.clusters().size()) {}

QuestionFlusher::~QuestionFlusher() { Stop(); }

void QuestionFlusher::Start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void QuestionFlusher::Stop() {
  stopping_ = true;
  counter_.Wake();
  if (thread_.joinable()) thread_.join();
}

void QuestionFlusher::Run() {
  Time next_round = std::chrono::steady_clock::now();
  Time end = Time::max();  // once it stops
  bool in_round = false;
  while (true) {
    const Time now = std::chrono::steady_clock::now();
    const bool stops = stopping_;
    Collect();
    if (stops && end == Time::max()) end = now + options_.stop_patience;
    if (call_ && CallHasEnded()) EndCall();
    if (call_ && now >= end) call_->context.TryCancel();
    if (!in_round && (now >= next_round || stops)) {
      in_round = true;
      for (Outbox& outbox : outboxes_) outbox.failed = false;
    }
    if (in_round && !call_) {
      in_round = now < end && BeginCall(now, std::min(now + options_.call_deadline, end));
      if (!in_round) next_round = now + options_.interval;
    }
    if (stops && !in_round && !call_) break;
    const Time until = call_ ? (now < end ? end : Time::max()) : next_round;
    counter_.Wait(std::min<std::chrono::nanoseconds>(until - now, options_.interval));
  }
  MeasureWaiting();
  if (waiting_ > 0) {
    log_.Warning("TVS_QUESTIONS_LOST", "itld could not be told what phones asked last: it is not counted",
                 {{"questions", waiting_.load()}});
  }
}

void QuestionFlusher::Collect() {
  counter_.Collect([this](const AnsweredQuestion& question) { table_.Add(question); },
                   [this](const QuestionAnswer& answer, int64_t count) {
                     table_.AddNameless(answer, count, absl::ToUnixMicros(absl::Now()));
                   });
  MeasureWaiting();
}

void QuestionFlusher::MeasureWaiting() {
  uint64_t waiting = table_.size();
  for (const Outbox& outbox : outboxes_) waiting += static_cast<uint64_t>(outbox.batch.counts_size());
  waiting_.store(waiting, std::memory_order_relaxed);
}

std::vector<Sha256Digest> QuestionFlusher::PresentedTo(const std::string& cluster, Outbox& outbox) {
  std::vector<Sha256Digest> presented;
  if (options_.presented) presented = options_.presented(cluster);
  std::ranges::sort(presented);
  presented.erase(std::unique(presented.begin(), presented.end()), presented.end());
  if (presented.size() > kMostPresented) {
    if (!std::exchange(outbox.has_left_out, true)) {
      log_.Warning("TVS_CERTIFICATES_LEFT_OUT",
                   "the listeners of a cluster have more certificates than itld is told of: those that it is not told "
                   "of count as no way for phones to this node; let listeners share a certificate",
                   {{"cluster", cluster}, {"certificates", presented.size()}, {"told", kMostPresented}});
    }
    presented.resize(kMostPresented);
  }
  return presented;
}

bool QuestionFlusher::FillOutbox(uint16_t cluster, Time now) {
  Outbox& outbox = outboxes_[cluster];
  if (outbox.is_full) return true;
  const std::string& name = counter_.clusters()[cluster]->name();
  std::vector<CountedQuestion> questions = table_.Take(cluster, static_cast<size_t>(options_.batch_size));
  std::vector<Sha256Digest> presented = PresentedTo(name, outbox);
  const bool is_news = presented != outbox.said || (!presented.empty() && now >= outbox.say_again);
  if (questions.empty() && !is_news) return false;
  outbox.is_full = true;
  outbox.batch.set_cluster(name);
  outbox.batch.set_node(options_.node);
  outbox.batch.set_process(process_);
  outbox.batch.set_batch(outbox.next_number++);
  for (CountedQuestion& question : questions) *outbox.batch.add_counts() = ToProto(std::move(question));
  outbox.batch.clear_presented_certificates();
  for (const Sha256Digest& certificate : presented) {
    outbox.batch.add_presented_certificates(std::string(AsText(certificate)));
  }
  outbox.said = std::move(presented);
  outbox.say_again = now + options_.presented_again;
  return true;
}

bool QuestionFlusher::BeginCall(Time now, Time deadline) {
  uint16_t cluster = 0;
  while (cluster < outboxes_.size() && (outboxes_[cluster].failed || !FillOutbox(cluster, now))) ++cluster;
  if (cluster == outboxes_.size()) return false;
  if (!channel_) {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = OpenChannel(options_.itld, options_.identity, "itld");
    if (!channel.ok()) {
      Report(outboxes_[cluster], channel.status());
      return false;
    }
    channel_ = *std::move(channel);
  }
  call_ = std::make_unique<Call>();
  call_->cluster = cluster;
  call_->stub = v1::TvsQuestions::NewStub(channel_);
  call_->context.set_deadline(std::chrono::system_clock::now() +
                              std::chrono::duration_cast<std::chrono::system_clock::duration>(deadline - now));
  call_->stub->async()->CountQuestions(&call_->context, &outboxes_[cluster].batch, &call_->response,
                                       [this, call = call_.get()](grpc::Status status) {
                                         const std::lock_guard lock(ending_);
                                         call->status = std::move(status);
                                         call->done = true;
                                         counter_.Wake();
                                       });
  return true;
}

bool QuestionFlusher::CallHasEnded() {
  const std::lock_guard lock(ending_);
  return call_->done;
}

void QuestionFlusher::EndCall() {
  const std::unique_ptr<Call> call = std::move(call_);
  Outbox& outbox = outboxes_[call->cluster];
  const absl::Status status = ToAbsl(call->status, "itld", options_.itld);
  if (status.ok() || IsForGood(status)) {
    outbox.batch.clear_counts();
    outbox.is_full = false;
    if (!status.ok()) outbox.say_again = Time::min();
  }
  if (!status.ok()) {
    outbox.failed = true;
    channel_.reset();
  }
  Report(outbox, status);
}

void QuestionFlusher::Report(Outbox& outbox, const absl::Status& status) {
  if (status.ok()) {
    if (!outbox.failure.empty()) {
      log_.Info("TVS_QUESTIONS_PASSED_ON", "itld counts again what phones ask", {{"cluster", outbox.batch.cluster()}});
    }
    outbox.failure.clear();
    return;
  }
  const std::string reason(StatusMessage(status));
  if (reason == outbox.failure) return;
  outbox.failure = reason;
  if (IsForGood(status)) {
    log_.Error("TVS_QUESTIONS_REFUSED", "itld does not count what phones asked: these questions are left out",
               {{"cluster", outbox.batch.cluster()}, {"error", status}});
    return;
  }
  log_.Warning("TVS_QUESTIONS_WAIT",
               "itld was not told what phones ask: it is tried again, and phones are answered without",
               {{"cluster", outbox.batch.cluster()},
                {"error", status},
                {"retry_in", DurationText(absl::FromChrono(options_.interval))}});
}

}  // namespace trustline
