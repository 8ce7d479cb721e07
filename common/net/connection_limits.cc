#include "common/net/connection_limits.h"

#include <algorithm>

namespace trustline {

ConnectionLimits::Slot::~Slot() {
  // Release: the accepting thread erases the counter once it has seen zero, after everything this thread did with it.
  if (of_address_ != nullptr) of_address_->fetch_sub(1, std::memory_order_release);
  if (total_ != nullptr) total_->fetch_sub(1, std::memory_order_relaxed);
}

ConnectionLimits::Verdict ConnectionLimits::Admit(const IpAddress& address, Slot& slot) {
  if (total_.load(std::memory_order_relaxed) >= total_cap_) return Verdict::kTotalCap;
  std::atomic<uint32_t>* of_address = nullptr;
  if (!IsExempt(address)) {
    SweepIfGrown();
    of_address = &addresses_[address.HostPrefix()];
    if (of_address->load(std::memory_order_relaxed) >= per_address_) return Verdict::kAddressCap;
    of_address->fetch_add(1, std::memory_order_relaxed);
  }
  total_.fetch_add(1, std::memory_order_relaxed);
  slot = Slot(of_address, &total_);
  return Verdict::kAdmitted;
}

bool ConnectionLimits::IsExempt(const IpAddress& address) const {
  return std::any_of(exempt_.begin(), exempt_.end(),
                     [&address](const IpNetwork& network) { return network.Contains(address); }) ||
         (is_exempt_ && is_exempt_(address));
}

void ConnectionLimits::SweepIfGrown() {
  if (addresses_.size() < sweep_at_) return;
  std::erase_if(addresses_, [](const auto& entry) { return entry.second.load(std::memory_order_acquire) == 0; });
  // Doubling keeps the cost of sweeping constant for each new address.
  sweep_at_ = std::max<size_t>(1'024, 2 * addresses_.size());
}

}  // namespace trustline
