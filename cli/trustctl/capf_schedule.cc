#include "cli/trustctl/capf_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "cli/trustctl/progress.h"
#include "common/service/clock.h"
#include "common/status/status.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kBatchDevices = 1000;  // ScheduleOperationsRequest.Devices
constexpr std::chrono::milliseconds kLookForInterrupt{100};

using Request = v1::ScheduleOperationsRequest;
using Response = v1::ScheduleOperationsResponse;
using Stream = grpc::ClientReaderWriter<Request, Response>;

// The outcomes must be those of the devices from `first` on.
absl::Status CheckOrder(const Response& response, const std::vector<std::string>& devices, size_t first, size_t sent) {
  for (const Response::Outcome& outcome : response.outcomes()) {
    if (first == sent) return Internal("capfd answered for more devices than it was sent: look at its log");
    if (outcome.device() != devices[first]) {
      return Internal("capfd answered out of order, for {} instead of {}: look at its log", outcome.device(),
                      devices[first]);
    }
    ++first;
  }
  return absl::OkStatus();
}

absl::Status EndedEarly() { return Internal("capfd ended before it had answered for everything: look at its log"); }

// The next batch, from `begin` on; the result is its end.
size_t FillBatch(const std::vector<std::string>& devices, size_t begin, Request& request) {
  const size_t end = std::min(devices.size(), begin + kBatchDevices);
  request.mutable_devices()->clear_names();
  for (size_t i = begin; i < end; ++i) request.mutable_devices()->add_names(devices[i]);
  return end;
}

class BatchedCall {
 public:
  BatchedCall(Environment& environment, Client<v1::Enrolment>& client, const std::vector<std::string>& devices,
              const TakeOutcomes& take)
      : environment_(environment),
        client_(client),
        devices_(devices),
        take_(take),
        progress_(environment.err(), environment.err_is_terminal(), "devices", static_cast<int64_t>(devices.size()),
                  clock_),
        call_(environment, Call::Length::kLong),
        // Ctrl-C is not to cancel the batch under way.
        series_(environment),
        stream_(client.stub->ScheduleOperations(call_.context())) {}

  ScheduleEnd Run(const Request::Options& options) {
    Request request;
    *request.mutable_options() = options;
    bool open = stream_->Write(request);
    while (open && answered_ < devices_.size() && !environment_.interrupt().requested()) {
      sent_ = FillBatch(devices_, answered_, request);
      open = stream_->Write(request) && TakeAnswers();
    }
    if (open && taken_.ok()) {
      stream_->WritesDone();
      Response response;
      if (ReadAnswer(response)) taken_ = Internal("capfd answered for more devices than it was sent: look at its log");
    }
    if (!taken_.ok()) call_.context()->TryCancel();
    absl::Status status = call_.End(stream_->Finish(), client_);
    progress_.Finish();
    if (!taken_.ok()) {
      status = taken_;
    } else if (status.ok() && answered_ < devices_.size()) {
      status = environment_.interrupt().requested() ? Aborted("interrupted") : EndedEarly();
    }
    return {std::move(status), answered_, sent_ > answered_};
  }

 private:
  // Until the batch that was sent is answered; false when the stream has ended, or an answer could not be taken.
  bool TakeAnswers() {
    while (answered_ < sent_) {
      Response response;
      if (!ReadAnswer(response)) return false;
      taken_ = CheckOrder(response, devices_, answered_, sent_);
      if (taken_.ok()) taken_ = take_(response);
      if (!taken_.ok()) return false;
      answered_ += static_cast<size_t>(response.outcomes_size());
      progress_.Update(static_cast<int64_t>(answered_));
    }
    return true;
  }

  // False at the end of the stream.
  bool ReadAnswer(Response& response) {
    std::future<bool> read = std::async(std::launch::async, [&] { return stream_->Read(&response); });
    while (read.wait_for(kLookForInterrupt) != std::future_status::ready) {
      if (!environment_.interrupt().requested() || told_) continue;
      told_ = true;
      progress_.Finish();
      environment_.err() << "trustctl: stopping as soon as capfd has answered for the devices that it has; again ends "
                            "at once"
                         << std::endl;
    }
    return read.get();
  }

  Environment& environment_;
  Client<v1::Enrolment>& client_;
  const std::vector<std::string>& devices_;
  const TakeOutcomes& take_;
  const SystemClock clock_;
  Progress progress_;
  Call call_;
  const CallSeries series_;
  const std::unique_ptr<Stream> stream_;
  absl::Status taken_;
  size_t sent_ = 0;
  size_t answered_ = 0;
  bool told_ = false;  // that it stops
};

// How one transaction for all devices has ended. The answers come after the last device only.
struct WholeAnswer {
  std::vector<Response> responses;  // of the devices that were refused alone when those refused all
  absl::Status status;
  bool in_doubt = false;  // capfd may have committed whatever the status is
};

WholeAnswer AskForAll(Environment& environment, Client<v1::Enrolment>& client, const Request::Options& options,
                      const std::vector<std::string>& devices) {
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "devices sent",
                    static_cast<int64_t>(devices.size()), clock);
  WholeAnswer answer;
  Call call(environment, Call::Length::kLong);
  const std::unique_ptr<Stream> stream = client.stub->ScheduleOperations(call.context());
  std::future<void> reader = std::async(std::launch::async, [&] {
    for (Response response; stream->Read(&response);) answer.responses.push_back(std::move(response));
  });
  Request request;
  *request.mutable_options() = options;
  bool open = stream->Write(request);
  for (size_t sent = 0; open && sent < devices.size();) {
    sent = FillBatch(devices, sent, request);
    open = stream->Write(request);
    progress.Update(static_cast<int64_t>(sent));
  }
  // Without the half-close capfd cannot have committed. One that fails may have reached it.
  answer.in_doubt = open && !environment.interrupt().requested();
  if (answer.in_doubt) stream->WritesDone();
  reader.get();
  answer.status = call.End(stream->Finish(), client);
  return answer;
}

// Why nothing was answered for the one transaction, in words.
absl::Status UnansweredText(Environment& environment, const WholeAnswer& answer) {
  if (environment.interrupt().requested()) {
    return answer.in_doubt ? Aborted(
                                 "interrupted while capfd was scheduling: either everything is scheduled or "
                                 "nothing; the same command again schedules everything anew")
                           : Aborted("interrupted: nothing was scheduled");
  }
  if (answer.in_doubt && (absl::IsUnavailable(answer.status) || absl::IsDeadlineExceeded(answer.status))) {
    return Annotate(answer.status,
                    "either everything is scheduled or nothing, the same command again schedules it anew");
  }
  return answer.status;
}

ScheduleEnd ScheduleAsOne(Environment& environment, Client<v1::Enrolment>& client, const Request::Options& options,
                          const std::vector<std::string>& devices, const TakeOutcomes& take) {
  const WholeAnswer answer = AskForAll(environment, client, options, devices);
  bool committed = answer.status.ok();
  for (const Response& response : answer.responses) {
    committed = committed || std::ranges::any_of(response.outcomes(), [](const Response::Outcome& outcome) {
                  return outcome.refusal().empty();
                });
  }
  ScheduleEnd end;
  for (const Response& response : answer.responses) {
    if (committed) end.status = CheckOrder(response, devices, end.answered, devices.size());
    if (end.status.ok()) end.status = take(response);
    if (!end.status.ok()) return end;
    end.answered += static_cast<size_t>(response.outcomes_size());
  }
  if (!committed) {
    end.status = UnansweredText(environment, answer);
  } else if (end.answered < devices.size()) {
    end.status = Annotate(
        answer.status.ok() ? EndedEarly() : answer.status,
        fmt::format("everything is scheduled, but only {} of {} answers have come", end.answered, devices.size()));
  }
  return end;
}

}  // namespace

ScheduleEnd ScheduleOperations(Environment& environment, const v1::ScheduleOperationsRequest::Options& options,
                               const std::vector<std::string>& devices, const TakeOutcomes& take) {
  absl::StatusOr<Client<v1::Enrolment>> client = environment.Connect<v1::Enrolment>(kCapfd);
  if (!client.ok()) return {.status = client.status()};
  if (options.all_or_nothing()) return ScheduleAsOne(environment, *client, options, devices, take);
  return BatchedCall(environment, *client, devices, take).Run(options);
}

}  // namespace trustline
