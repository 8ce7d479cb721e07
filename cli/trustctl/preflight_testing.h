// Pre-flights for tests.
#pragma once

#include <string>
#include <vector>

#include "proto/preflight.pb.h"

namespace trustline {

inline void AddCount(v1::PreFlight& preflight, v1::PhoneVerdict verdict, int64_t phones, const std::string& reason = "",
                     const std::string& remedy = "") {
  v1::PreFlight::Count& count = *preflight.add_counts();
  count.set_verdict(verdict);
  count.set_phones(phones);
  count.set_reason(reason);
  count.set_remedy(remedy);
  preflight.set_phones(preflight.phones() + phones);
}

inline void AddNamed(v1::PreFlight& preflight, v1::PhoneVerdict verdict, const std::string& reason,
                     const std::vector<std::string>& devices) {
  for (const std::string& device : devices) {
    v1::PreFlight::Named& named = *preflight.add_named();
    named.set_device(device);
    named.set_verdict(verdict);
    named.set_reason(reason);
  }
}

// One locked and two unproven phones: a change that would be refused.
inline v1::PreFlight LockingPreFlight() {
  v1::PreFlight preflight;
  AddCount(preflight, v1::PHONE_VERDICT_LOCKED, 1, "no TVS that it names is left", "keep its TVS certificate");
  AddCount(preflight, v1::PHONE_VERDICT_UNPROVEN, 2, "it was never seen", "reset it\x1b[2J");
  AddCount(preflight, v1::PHONE_VERDICT_SAFE_BY_LIST, 9'938);
  AddCount(preflight, v1::PHONE_VERDICT_SAFE_BY_TVS, 31);
  AddCount(preflight, v1::PHONE_VERDICT_OUTSIDE, 12, "its model knows no trust lists");
  AddNamed(preflight, v1::PHONE_VERDICT_LOCKED, "no TVS that it names is left", {"SEP000000000001"});
  AddNamed(preflight, v1::PHONE_VERDICT_UNPROVEN, "it was never seen", {"SEP000000000002", "SEP000000000003"});
  preflight.set_refusal("1 phone would be locked out: make it safe, or --override --reason");
  return preflight;
}

// Safe for all that it concerns.
inline v1::PreFlight SafePreFlight() {
  v1::PreFlight preflight;
  AddCount(preflight, v1::PHONE_VERDICT_SAFE_BY_LIST, 9'938);
  AddCount(preflight, v1::PHONE_VERDICT_SAFE_BY_TVS, 31);
  AddCount(preflight, v1::PHONE_VERDICT_OUTSIDE, 12);
  return preflight;
}

}  // namespace trustline
