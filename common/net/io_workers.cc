#include "common/net/io_workers.h"

#include <pthread.h>
#include <sched.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <future>
#include <system_error>

#include "common/status/status.h"

namespace trustline {
namespace {

size_t UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<size_t>(CPU_COUNT(&set));
}

}  // namespace

IoWorker::IoWorker(size_t index, std::string thread_name) : index_(index), thread_name_(std::move(thread_name)) {}

absl::Status IoWorker::Start() {
  // A new thread inherits the mask of the one that makes it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  absl::Status status;
  try {
    thread_ = std::thread([this] { context_.run(); });
    pthread_setname_np(thread_.native_handle(), thread_name_.substr(0, 15).c_str());
  } catch (const std::system_error& error) {
    status = Unavailable("cannot start a network thread: {}", error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return status;
}

void IoWorker::YieldToOthers() {
  const sched_param parameters{};
  pthread_setschedparam(thread_.native_handle(), SCHED_BATCH, &parameters);
}

void IoWorker::RunAndSettle(const std::function<void()>& work) {
  std::promise<void> settled;
  boost::asio::post(context_, [&] {
    work();
    // Operations that `work` cancelled are queued now; the next handler comes after them.
    boost::asio::post(context_, [&] { settled.set_value(); });
  });
  settled.get_future().wait();
}

void IoWorker::Join() {
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::unique_ptr<IoWorkers>> IoWorkers::Start(size_t count) {
  if (count == 0) count = UsableCores();
  std::unique_ptr<IoWorkers> workers(new IoWorkers);
  try {
    for (size_t index = 0; index < count; ++index) {
      workers->workers_.push_back(std::make_shared<IoWorker>(index, fmt::format("io-{}", index)));
    }
    workers->acceptor_ = std::make_unique<IoWorker>(count, "io-accept");
  } catch (const std::system_error& error) {
    return Unavailable("cannot make an event loop: {}; raise the limit of open files (ulimit -n)", error.what());
  }
  for (const auto& worker : workers->workers_) RETURN_IF_ERROR(worker->Start());
  RETURN_IF_ERROR(workers->acceptor_->Start());
  workers->acceptor_->YieldToOthers();
  return workers;
}

IoWorkers::~IoWorkers() {
  if (acceptor_ != nullptr) acceptor_->Join();
  for (const auto& worker : workers_) worker->Join();
}

}  // namespace trustline
