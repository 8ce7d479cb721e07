// What is known of phones, for judging a change: those that the phone model cannot tell apart are one group.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/phone_model/phone_model.h"
#include "itl/preflight/trust_world.h"

namespace trustline {

enum class PhoneKnowledge : uint8_t {
  kKnown,      // by evidence
  kNeverSeen,  // nobody whose word counts has ever said what it holds
  kOtherList,  // it holds a list whose content is not known here
  kForeign,    // its list names a TFTP server that is not ours
  kNoLists,    // a model or load that knows no trust lists
};

struct PhoneGroup {
  PhoneKnowledge knowledge = PhoneKnowledge::kNeverSeen;
  ServedAs served_as;
  // Everything that it may hold: what it was seen to hold, and what it may have taken since. Empty unless kKnown.
  std::vector<PhoneHoldings> may_hold;
  PhoneReads reads;
  std::set<std::string> tvs_nodes;  // that it, or another phone of its site, was seen to ask lately
  bool is_silent = false;           // over kSilence
  int64_t phones = 0;
};

// Evidence that is older proves a phone no more.
inline constexpr absl::Duration kSilence = absl::Hours(24 * 180);
// So long after somebody of its site asked it a node counts as a way.
inline constexpr absl::Duration kTvsReach = absl::Hours(24 * 30);

// What a phone may hold that held `seen` when the lists that are published since came: each one that it could have
// taken from something it may have held then; `seen` first, each once. That a TVS told it so is assumed, because nobody
// can say, and that it reads more than is on record. `ctls` and `itls` begin with what was published when it was seen.
std::vector<PhoneHoldings> MayHold(const PhoneHoldings& seen, const std::vector<std::shared_ptr<const PhoneList>>& ctls,
                                   const std::vector<std::shared_ptr<const PhoneList>>& itls);

}  // namespace trustline
