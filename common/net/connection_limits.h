// How many connections one peer address (of IPv6: one /64 network), and all together, may hold at a listener.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "common/net/ip_address.h"

namespace trustline {

// Only the accepting thread calls Admit; slots are given back from any thread without a lock.
class ConnectionLimits {
 public:
  // The right to one connection; gives it back when destroyed. Must not outlive the limits.
  class Slot {
   public:
    Slot() = default;
    Slot(std::atomic<uint32_t>* of_address, std::atomic<uint32_t>* total) : of_address_(of_address), total_(total) {}
    Slot(Slot&& other) noexcept
        : of_address_(std::exchange(other.of_address_, nullptr)), total_(std::exchange(other.total_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(of_address_, other.of_address_);
      std::swap(total_, other.total_);
      return *this;
    }
    ~Slot();

   private:
    std::atomic<uint32_t>* of_address_ = nullptr;  // Null for exempt addresses.
    std::atomic<uint32_t>* total_ = nullptr;
  };

  enum class Verdict { kAdmitted, kAddressCap, kTotalCap };

  // IPv6 peers are counted by their /64: a host has all of its addresses. Addresses in `exempt`, and those of which
  // `is_exempt` (may be empty) says so, have no cap of their own; the total holds for them too.
  ConnectionLimits(uint32_t per_address, uint32_t total, std::vector<IpNetwork> exempt,
                   std::function<bool(const IpAddress&)> is_exempt = {})
      : per_address_(per_address), total_cap_(total), exempt_(std::move(exempt)), is_exempt_(std::move(is_exempt)) {}

  // Fills `slot` when admitted.
  Verdict Admit(const IpAddress& address, Slot& slot);

 private:
  bool IsExempt(const IpAddress& address) const;
  void SweepIfGrown();

  const uint32_t per_address_;
  const uint32_t total_cap_;
  const std::vector<IpNetwork> exempt_;
  const std::function<bool(const IpAddress&)> is_exempt_;

  std::atomic<uint32_t> total_{0};
  // By IpAddress::HostPrefix. Node-based: a counter stays in place while slots point to it, and is erased only at zero,
  // when none does.
  std::unordered_map<IpAddress, std::atomic<uint32_t>, absl::Hash<IpAddress>> addresses_;
  size_t sweep_at_ = 1'024;
};

}  // namespace trustline
