#include "capf/session_pace.h"

#include "common/device/device_name.h"

namespace trustline {

SessionPace::Answer SessionPace::Ask(std::string_view device, std::string_view address) {
  const absl::StatusOr<IpAddress> parsed = IpAddress::Parse(address);
  const IpAddress host = parsed.ok() ? parsed->HostPrefix() : IpAddress();
  const absl::StatusOr<DeviceName> name = DeviceName::Parse(device);
  // No name is empty.
  const Device nameless("", host);
  const Device key = name.ok() ? Device(name->text(), host) : nameless;

  const std::lock_guard lock(mutex_);
  // First, so that an address over its number has no other device's window forgotten by the names that it makes up.
  const auto of_address = at_work_by_address_.find(host);
  if (of_address != at_work_by_address_.end() && of_address->second >= options_.most_at_once_of_address) {
    return Refuse(WindowOf(nameless), "too many sessions from its address are being admitted");
  }
  Window& window = WindowOf(key);
  if (at_work_.contains(key)) return Refuse(window, "another session of it is being admitted");
  if (window.admissions >= options_.most_of_device) return Refuse(window, "it has begun too many sessions");
  ++window.admissions;
  at_work_.insert(key);
  ++at_work_by_address_[host];
  return {.turn = Turn(*this, key), .is_first_refusal = false};
}

SessionPace::Window& SessionPace::WindowOf(const Device& device) {
  const absl::Time now = clock_.Now();
  const auto known = windows_by_device_.find(device);
  if (known != windows_by_device_.end()) {
    Window& window = *known->second;
    // One from the future was begun before the clock was set back.
    if (window.began <= now && now < window.began + options_.window) return window;
    window = {.device = device, .began = now};
    windows_.splice(windows_.end(), windows_, known->second);
    return window;
  }
  if (windows_.size() >= options_.most_remembered) {
    windows_by_device_.erase(windows_.front().device);
    windows_.pop_front();
  }
  windows_.push_back({.device = device, .began = now});
  windows_by_device_[device] = std::prev(windows_.end());
  return windows_.back();
}

SessionPace::Answer SessionPace::Refuse(Window& window, std::string_view reason) {
  return {.turn = std::nullopt, .reason = reason, .is_first_refusal = !std::exchange(window.has_refused, true)};
}

void SessionPace::End(const Device& device) {
  const std::lock_guard lock(mutex_);
  at_work_.erase(device);
  const auto of_address = at_work_by_address_.find(device.second);
  if (--of_address->second == 0) at_work_by_address_.erase(of_address);
}

size_t SessionPace::remembered() const {
  const std::lock_guard lock(mutex_);
  return windows_.size();
}

}  // namespace trustline
