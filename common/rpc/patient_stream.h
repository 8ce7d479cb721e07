// The server's end of a call with a stream in each direction, with a limit to waiting: gRPC's own stream waits for a
// message for ever.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {

// What its clients are told. String literals.
struct PatientStreamWords {
  std::string_view beginning;  // "an import begins with its options"
  std::string_view ended;      // "the import was ended and nothing was added; begin it again": after a stall
  std::string_view gone;       // "nothing was added": with a client that went away
  std::string_view no_thread;  // "itld has no thread left for an import"
};

// One call. Made with new and given to gRPC; deletes itself when the call has ended.
template <typename Request, typename Response>
class PatientStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  // Runs on a thread of its own, and may wait; its status is the call's.
  using Job = std::function<absl::Status(PatientStream& stream)>;
  // Decides over the first request on a thread of gRPC: must not wait. An error ends the call, so that only callers
  // whom it admits cost a thread.
  using Admission = std::function<absl::StatusOr<Job>(const Request& first)>;

  // `patience` is how long the client may neither send nor receive once it was admitted.
  PatientStream(grpc::CallbackServerContext& context, absl::Duration patience, PatientStreamWords words,
                Admission admission)
      : context_(context), patience_(patience), words_(words), admission_(std::move(admission)) {
    this->StartRead(&request_);
  }

  // For the job. The next request; nothing at the end, which is also what a client that went away leaves behind.
  // Aborted when nothing has come for the whole patience.
  absl::StatusOr<std::optional<Request>> Read() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, absl::ToChronoMilliseconds(patience_), [this] { return read_.has_value(); })) {
      return Aborted("nothing was received for {}: {}", DurationText(patience_), words_.ended);
    }
    // It stays so: nothing is read after the end.
    if (!*read_) return std::optional<Request>();
    read_.reset();
    std::optional<Request> request(std::move(request_));
    request_.Clear();
    lock.unlock();
    this->StartRead(&request_);
    return request;
  }

  // Cancelled when the client went away, or has received nothing for the whole patience. No copy of the response stays.
  absl::Status Write(const Response& response) {
    this->StartWrite(&response);
    std::unique_lock lock(mutex_);
    const auto is_written = [this] { return written_.has_value(); };
    const bool in_time = changed_.wait_for(lock, absl::ToChronoMilliseconds(patience_), is_written);
    if (!in_time) {
      // Who does not receive will not receive words about it either. The response is gRPC's until the write has ended.
      lock.unlock();
      context_.TryCancel();
      lock.lock();
      changed_.wait(lock, is_written);
    }
    const bool ok = *written_ && in_time;
    written_.reset();
    if (ok) return absl::OkStatus();
    return absl::CancelledError(
        fmt::format("the client {}: {}", in_time ? "went away" : "does not receive", words_.gone));
  }

  bool IsCancelled() const { return context_.IsCancelled(); }

 private:
  void OnReadDone(bool ok) override {
    if (!begun_) {
      begun_ = true;
      Begin(ok);
      return;
    }
    const std::lock_guard lock(mutex_);
    read_ = ok;
    changed_.notify_all();
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    written_ = ok;
    changed_.notify_all();
  }
  void OnCancel() override {}  // what is being read or written ends by itself then
  void OnDone() override { delete this; }

  void Begin(bool ok) {
    absl::StatusOr<Job> job = ok ? admission_(request_) : absl::StatusOr<Job>(InvalidArgument("{}", words_.beginning));
    if (!job.ok()) {
      this->Finish(ToGrpc(job.status()));
      return;
    }
    job_ = *std::move(job);
    this->StartRead(&request_);
    try {
      // The call's end may delete this object: nothing of it is touched after Finish.
      std::thread([this] { this->Finish(ToGrpc(job_(*this))); }).detach();
    } catch (const std::system_error&) {
      this->Finish(ToGrpc(ResourceExhausted("{}: try again later", words_.no_thread)));
    }
  }

  grpc::CallbackServerContext& context_;
  const absl::Duration patience_;
  const PatientStreamWords words_;
  const Admission admission_;
  Job job_;
  bool begun_ = false;  // the first request was read; of gRPC's thread

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> read_;     // how the read ended; nothing while it lasts
  std::optional<bool> written_;  // the same of the write
  Request request_;              // gRPC's while it reads
};

}  // namespace trustline
