// Ctrl-C: the call that is under way is cancelled, and the command says what that means.
#pragma once

#include <grpcpp/client_context.h>

#include <atomic>
#include <mutex>
#include <thread>

namespace trustline {

// Takes SIGINT and SIGTERM over for the whole process; to be made before any other thread. The first signal cancels the
// call under way; without one, or at the second signal, the signal ends the process.
class CallInterrupt {
 public:
  CallInterrupt();
  ~CallInterrupt();
  CallInterrupt(const CallInterrupt&) = delete;
  CallInterrupt& operator=(const CallInterrupt&) = delete;

  bool requested() const { return requested_; }

  // The call that a signal is to cancel, at once when there was one; null for none. Returns the one before.
  grpc::ClientContext* SetCall(grpc::ClientContext* call);

 private:
  void Watch();
  void OnSignal(int signal);

  std::atomic<bool> requested_ = false;
  std::mutex mutex_;
  grpc::ClientContext* call_ = nullptr;  // guarded by mutex_
  int signal_descriptor_ = -1;
  int stop_descriptor_ = -1;
  std::thread watcher_;
};

}  // namespace trustline
