// Wakes a thread that waits in a database call, from another thread.
#pragma once

#include <atomic>

namespace trustline {

// Once raised, every wait of the connections that were given this interrupt ends with Cancelled, now and later, until
// Clear(). Safe from any thread; must outlive those connections.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  void Raise();
  void Clear();
  bool raised() const { return raised_; }

  // Readable while raised.
  int fd() const { return fd_; }

 private:
  std::atomic<bool> raised_ = false;
  int fd_;
};

}  // namespace trustline
