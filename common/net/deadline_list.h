// Deadlines of one fixed duration: the order of entry is the order of expiry, so a list and one timer serve any number.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <chrono>

namespace trustline {

// How many entries expire at once, and the pause before the next ones do. Thousands of peers that came together would
// otherwise hold up a worker for the time it takes to close them all, and come back together.
inline constexpr int kExpiriesPerTurn = 64;
inline constexpr std::chrono::milliseconds kExpiryPause{5};

// Something with at most one running deadline. Leaves its list when destroyed.
class DeadlineEntry
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~DeadlineEntry() = default;

 protected:
  // The deadline has passed; the entry is in no list any more and may be destroyed by this call.
  virtual void OnDeadline() = 0;

 private:
  friend class DeadlineList;
  std::chrono::steady_clock::time_point due_;
};

// For one thread: that of `context`. Stop() before the destructor, and run the context once more between them.
class DeadlineList {
 public:
  DeadlineList(boost::asio::io_context& context, std::chrono::steady_clock::duration duration)
      : duration_(duration), timer_(context) {}

  // Starts the entry's deadline anew; it leaves the list, of whatever duration, that it was in.
  void Restart(DeadlineEntry& entry);

  void Stop();

 private:
  void Arm(std::chrono::steady_clock::time_point due);
  void OnTimer();

  const std::chrono::steady_clock::duration duration_;
  boost::asio::steady_timer timer_;
  bool armed_ = false;
  bool stopped_ = false;
  boost::intrusive::list<DeadlineEntry, boost::intrusive::constant_time_size<false>> entries_;
};

}  // namespace trustline
