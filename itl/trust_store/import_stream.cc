#include "itl/trust_store/import_stream.h"

#include <system_error>
#include <thread>
#include <utility>

#include "common/rpc/channel.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {

ImportStream::ImportStream(grpc::CallbackServerContext& context, absl::Duration patience, Admission admission)
    : context_(context), patience_(patience), admission_(std::move(admission)) {
  StartRead(&request_);
}

void ImportStream::OnReadDone(bool ok) {
  if (!begun_) {
    begun_ = true;
    Begin(ok);
    return;
  }
  const std::lock_guard lock(mutex_);
  read_ = ok;
  changed_.notify_all();
}

void ImportStream::Begin(bool ok) {
  absl::StatusOr<Job> job =
      ok ? admission_(request_) : absl::StatusOr<Job>(InvalidArgument("an import begins with its options"));
  if (!job.ok()) {
    Finish(ToGrpc(job.status()));
    return;
  }
  job_ = *std::move(job);
  StartRead(&request_);
  try {
    // The call's end may delete this object: nothing of it is touched after Finish.
    std::thread([this] { Finish(ToGrpc(job_(*this))); }).detach();
  } catch (const std::system_error&) {
    Finish(ToGrpc(ResourceExhausted("itld has no thread left for an import: try again later")));
  }
}

void ImportStream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  written_ = ok;
  changed_.notify_all();
}

absl::StatusOr<std::optional<v1::AddRequest>> ImportStream::Read() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, absl::ToChronoMilliseconds(patience_), [this] { return read_.has_value(); })) {
    return Aborted("nothing was received for {}: the import was ended and nothing was added; begin it again",
                   DurationText(patience_));
  }
  // It stays so: nothing is read after the end.
  if (!*read_) return std::optional<v1::AddRequest>();
  read_.reset();
  std::optional<v1::AddRequest> request(std::move(request_));
  request_.Clear();
  lock.unlock();
  StartRead(&request_);
  return request;
}

absl::Status ImportStream::Write(const v1::AddResponse& response) {
  response_ = response;
  StartWrite(&response_);
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, absl::ToChronoMilliseconds(patience_), [this] { return written_.has_value(); })) {
    // Who does not receive will not receive words about it either.
    lock.unlock();
    context_.TryCancel();
    return absl::CancelledError("the client does not receive: nothing was added");
  }
  const bool ok = *written_;
  written_.reset();
  return ok ? absl::OkStatus() : absl::CancelledError("the client went away: nothing was added");
}

}  // namespace trustline
