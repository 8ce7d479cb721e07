// The server's end of TrustStore.Add, with a limit to waiting: gRPC's own stream waits for a message for ever.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {

// One call. Made with new and given to gRPC; deletes itself when the call has ended.
class ImportStream final : public grpc::ServerBidiReactor<v1::AddRequest, v1::AddResponse> {
 public:
  // Runs on a thread of its own, and may wait; its status is the call's.
  using Job = std::function<absl::Status(ImportStream& stream)>;
  // Decides over the first request on a thread of gRPC: must not wait. An error ends the call, so that only callers
  // who may import cost a thread.
  using Admission = std::function<absl::StatusOr<Job>(const v1::AddRequest& first)>;

  // `patience` is how long the client may neither send nor receive once it was admitted.
  ImportStream(grpc::CallbackServerContext& context, absl::Duration patience, Admission admission);

  // For the job. The next request; nothing at the end, which is also what a client that went away leaves behind.
  // Aborted when nothing has come for the whole patience.
  absl::StatusOr<std::optional<v1::AddRequest>> Read();
  // Cancelled when the client went away, or has received nothing for the whole patience.
  absl::Status Write(const v1::AddResponse& response);
  bool IsCancelled() const { return context_.IsCancelled(); }

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override {}  // what is being read or written ends by itself then
  void OnDone() override { delete this; }
  void Begin(bool ok);

  grpc::CallbackServerContext& context_;
  const absl::Duration patience_;
  const Admission admission_;
  Job job_;
  bool begun_ = false;  // the first request was read; of gRPC's thread

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> read_;     // how the read ended; nothing while it lasts
  std::optional<bool> written_;  // the same of the write
  v1::AddRequest request_;       // gRPC's while it reads
  v1::AddResponse response_;     // gRPC's while it writes
};

}  // namespace trustline
