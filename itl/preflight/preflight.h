// The pre-flight: a change of trust played against every phone before it is made (docs/ARCHITECTURE.md, the
// pre-flight). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "common/phone_model/phone_model.h"
#include "itl/preflight/phone_group.h"
#include "itl/preflight/trust_world.h"

namespace trustline {

// How a phone that starts now comes to what is offered; the worst first.
enum class PhoneWay : uint8_t {
  kByHand,        // not at all: somebody must clear its lists
  kRescuedByKey,  // it refuses what is offered, and would take the same signed with another key that is here
  kNeedsReach,    // a TVS would have to tell it, and it is not known to reach one
  kByTvs,         // a TVS tells it
  kByList,        // its own lists say so, or it takes anything
  kInStep,        // it has everything
};

// What a phone is to do, or an administrator for it, to have what is published.
enum class PhoneCure : uint8_t {
  kNone,             // in step
  kReset,            // follows at its next start
  kRestoreReach,     // restore its way to a TVS, then reset
  kPublishRecovery,  // publish the lists signed with another key, then reset
  kByHand,
  kForeign,  // not ours to cure
  kNoLists,
  kUnknown,  // nothing is known to judge by
};

// Which checks are made. All, but for a test that shows that each of them matters.
struct PreFlightGuards {
  bool every_holding = true;     // whatever a phone may have taken, not only what it was seen to hold
  bool proven_reach = true;      // a TVS counts only where it was seen to be asked
  bool tvs_certificates = true;  // only TVS certificates that stay trusted count
  bool vouching = true;          // TVS says what it will say after the change
  bool reading = true;           // lists that a phone cannot read are refused by it
  bool file_signer = true;       // configuration files must be accepted too
  bool silent_phones = true;     // those that said nothing for long are unproven
  bool waiting_lists = true;     // what waits to be published is judged too
  bool ctl = true;               // the CTL comes before the ITL
  // What only begins to wait is judged at once, and again when it is published: an early refusal, on which nothing
  // depends.
  bool beginning_to_wait = true;
  bool next_key = true;  // lists, those published and those held, must go on naming a signer whose key is here
};

// What of `world` a phone with these lists makes, starting now; the worst of all offers.
PhoneWay WayOf(const PhoneHoldings& holdings, const PhoneGroup& group, const TrustWorld& world,
               const PreFlightGuards& guards = {});

// By what is published; of several that it may hold the worst.
PhoneCure CureOf(const PhoneGroup& group, const TrustWorld& world);

enum class PhoneVerdict : uint8_t {
  kSafeByList,
  kSafeByTvs,
  kUnproven,
  kLocked,      // it would lose its last way but a rescue, or even that
  kLostBefore,  // it needs a rescue, or somebody's hand, already
  kOutside,     // foreign, or without lists
};

// Why a phone is unproven or locked.
enum class VerdictReason : uint8_t {
  kNone,
  kNeverSeen,
  kOtherList,  // holds a list whose content is not known
  kSilent,
  kNoTvsSeen,         // a TVS would have to tell it, and none was seen to be asked from its site
  kCannotRead,        // digest, signer version, size or key
  kSignerUnknown,     // its lists do not know the signer, and no TVS that they name is left to ask
  kSignerNotVouched,  // its TVS does not answer for the signer
  kFileSigner,        // it would refuse configuration files
  kNotServed,         // no list would be made for it any more
  kNoKeyHere,         // its lists would name no signer whose key is here
  kMissedTheLast,     // it has not followed the last change of signers yet, and only TVS could tell it of this one
};

struct GroupVerdict {
  PhoneVerdict verdict = PhoneVerdict::kUnproven;
  VerdictReason reason = VerdictReason::kNone;
  PhoneWay before = PhoneWay::kByHand;  // of the holding that decides
  PhoneWay after = PhoneWay::kByHand;

  bool operator==(const GroupVerdict&) const = default;
};

// What a change means for one group. `takes_nothing_away` is TakesNothingAway(before, after).
GroupVerdict JudgeChange(const PhoneGroup& group, const TrustWorld& before, const TrustWorld& after,
                         bool takes_nothing_away, const PreFlightGuards& guards = {});

struct PreFlightResult {
  std::vector<GroupVerdict> verdicts;      // in the order of the groups
  std::map<PhoneVerdict, int64_t> phones;  // numbers

  int64_t Count(PhoneVerdict verdict) const {
    const auto found = phones.find(verdict);
    return found == phones.end() ? 0 : found->second;
  }
};

PreFlightResult RunPreFlight(const std::vector<PhoneGroup>& groups, const TrustWorld& before, const TrustWorld& after,
                             const PreFlightGuards& guards = {});

// In words, for an administrator.
std::string_view ReasonText(VerdictReason reason);
// What would make such phones safe.
std::string_view RemedyText(VerdictReason reason);
std::string_view CureText(PhoneCure cure);

}  // namespace trustline
