#include "cli/trustctl/call_interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string_view>
#include <utility>

namespace trustline {

CallInterrupt::CallInterrupt() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal_descriptor_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  stop_descriptor_ = eventfd(0, EFD_CLOEXEC);
  if (signal_descriptor_ < 0 || stop_descriptor_ < 0) {
    // Without descriptors the signals keep their ordinary effect.
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    return;
  }
  watcher_ = std::thread([this] { Watch(); });
}

CallInterrupt::~CallInterrupt() {
  if (watcher_.joinable()) {
    eventfd_write(stop_descriptor_, 1);
    watcher_.join();
  }
  if (signal_descriptor_ >= 0) close(signal_descriptor_);
  if (stop_descriptor_ >= 0) close(stop_descriptor_);
}

grpc::ClientContext* CallInterrupt::SetCall(grpc::ClientContext* call) {
  const std::lock_guard lock(mutex_);
  grpc::ClientContext* const before = std::exchange(call_, call);
  if (call_ != nullptr && requested_) call_->TryCancel();
  return before;
}

void CallInterrupt::Watch() {
  pollfd descriptors[] = {{signal_descriptor_, POLLIN, 0}, {stop_descriptor_, POLLIN, 0}};
  while (true) {
    if (poll(descriptors, 2, -1) < 0) continue;
    if (descriptors[1].revents != 0) return;
    signalfd_siginfo info;
    if (read(signal_descriptor_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info)))
      OnSignal(static_cast<int>(info.ssi_signo));
  }
}

void CallInterrupt::OnSignal(int signal) {
  const std::lock_guard lock(mutex_);
  if (call_ == nullptr || requested_) {
    constexpr std::string_view kMessage = "trustctl: interrupted\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage.data(), kMessage.size());
    // Its ordinary effect: this thread lets it through again.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, signal);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    raise(signal);
    return;
  }
  requested_ = true;
  call_->TryCancel();
}

}  // namespace trustline
