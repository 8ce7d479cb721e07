// How often one device, and one address, may ask to be enrolled: who hammers waits for itself, and slows nobody else.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/time/time.h"
#include "common/net/ip_address.h"
#include "common/service/clock.h"

namespace trustline {

// A device is a name and the address that it comes from (of IPv6: the network of 64 bits), so that nobody elsewhere
// can use a device's pace up. What no device can be called is one device an address.
struct SessionPaceOptions {
  int most_of_device = 20;  // admissions in a window, which the first of them begins
  absl::Duration window = absl::Seconds(10);
  // Admissions of an address, whatever names it uses, that wait or are worked on at a time. Thousands of phones may be
  // behind one address, and one device has one such admission at most.
  size_t most_at_once_of_address = 250;
  size_t most_remembered = 16'384;  // windows; the oldest is forgotten first
};

// Thread-safe.
class SessionPace {
 public:
  // The right to one admission, given back when this is destroyed. Must not outlive the pace.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : pace_(std::exchange(other.pace_, nullptr)), device_(std::move(other.device_)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (pace_ != nullptr) pace_->End(device_);
    }

   private:
    friend class SessionPace;
    using Device = std::pair<std::string, IpAddress>;
    Turn(SessionPace& pace, Device device) : pace_(&pace), device_(std::move(device)) {}

    SessionPace* pace_;
    Device device_;
  };

  struct Answer {
    std::optional<Turn> turn;      // without one the phone is to come later
    std::string_view reason;       // of that
    bool is_first_refusal = true;  // of the window: the others need not be logged
  };

  SessionPace(const SessionPaceOptions& options, const Clock& clock) : options_(options), clock_(clock) {}

  // For a session from `address`, a phone that calls itself `device`.
  Answer Ask(std::string_view device, std::string_view address);

  size_t remembered() const;

 private:
  using Device = Turn::Device;
  struct Window {
    Device device;
    absl::Time began;
    int admissions = 0;
    bool has_refused = false;
  };

  // That of now. With the mutex held.
  Window& WindowOf(const Device& device);
  static Answer Refuse(Window& window, std::string_view reason);
  void End(const Device& device);

  const SessionPaceOptions options_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::list<Window> windows_;  // the oldest first
  std::unordered_map<Device, std::list<Window>::iterator, absl::Hash<Device>> windows_by_device_;
  std::unordered_set<Device, absl::Hash<Device>> at_work_;
  std::unordered_map<IpAddress, size_t, absl::Hash<IpAddress>> at_work_by_address_;
};

}  // namespace trustline
