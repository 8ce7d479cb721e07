#include "itl/preflight/preflight.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace trustline {
namespace {

constexpr std::array kListSigners = {CertificateRole::kSast};
constexpr std::array kFileSigners = {CertificateRole::kTftp, CertificateRole::kCcmTftp};

struct Judged {
  PhoneWay way = PhoneWay::kInStep;
  VerdictReason reason = VerdictReason::kNone;
};

// The TVS nodes: those of `nodes` that are not away, or all.
std::vector<ReachableTvs> Reachable(const TrustWorld& world, const std::set<std::string>* nodes) {
  std::vector<ReachableTvs> reachable;
  for (const auto& [node, certificates] : world.tvs_nodes) {
    if (nodes != nullptr && (!nodes->contains(node) || world.away_nodes.contains(node))) continue;
    for (const Sha256Digest& certificate : certificates) reachable.push_back({certificate, &world.vouched});
  }
  return reachable;
}

// What a group has of one world.
struct Surroundings {
  const TrustWorld& world;
  const std::vector<ReachableTvs>& all;
  std::vector<ReachableTvs> seen;
  PhoneReads reads;
  const PreFlightGuards& guards;

  Surroundings(const TrustWorld& of, const std::vector<ReachableTvs>& every, const PhoneGroup& group,
               const PreFlightGuards& checks)
      : world(of),
        all(every),
        seen(checks.proven_reach ? Reachable(of, &group.tvs_nodes) : every),
        reads(checks.reading ? group.reads : PhoneReads{.sha512 = true, .version_1_1 = true}),
        guards(checks) {}
};

VerdictReason ReasonOf(const PhoneStart& start) {
  for (const std::optional<PhoneDecision>& list : {start.ctl, start.itl}) {
    if (!list || list->accepted()) continue;
    switch (list->why) {
      case RefusedFor::kForm:
        return VerdictReason::kCannotRead;
      case RefusedFor::kTvsAnswer:
        return VerdictReason::kSignerNotVouched;
      case RefusedFor::kNoTvs:
      case RefusedFor::kNothing:
        return VerdictReason::kSignerUnknown;
    }
  }
  return start.file.accepted() ? VerdictReason::kNone : VerdictReason::kFileSigner;
}

bool UsesTvs(const PhoneStart& start) {
  const auto uses = [](const std::optional<PhoneDecision>& list) { return list && list->by == AcceptedBy::kTvs; };
  return uses(start.ctl) || uses(start.itl) || start.file.by == AcceptedBy::kTvs;
}

bool Follows(const PhoneStart& start, const PreFlightGuards& guards) {
  if (guards.file_signer) return start.follows();
  return (!start.ctl || start.ctl->accepted()) && (!start.itl || start.itl->accepted());
}

// Whether it would have all of the offer, were each list and the configuration signed with some key that is here.
bool IsRescued(PhoneHoldings holdings, const PhoneOffer& offer, const Surroundings& around) {
  const auto takes = [&](const PhoneList& list) {
    return DecideList(holdings, around.reads, list, around.all).accepted() ||
           std::any_of(around.world.signing_keys.begin(), around.world.signing_keys.end(),
                       [&](const Sha256Digest& key) {
                         return DecideListSignedBy(key, holdings, around.reads, list, around.all).accepted();
                       });
  };
  if (offer.ctl && !(holdings.ctl && (holdings.ctl == offer.ctl || *holdings.ctl == *offer.ctl))) {
    if (!takes(*offer.ctl)) return false;
    holdings.ctl = offer.ctl;
  }
  if (offer.itl && !(holdings.itl && (holdings.itl == offer.itl || *holdings.itl == *offer.itl))) {
    if (!takes(*offer.itl)) return false;
    holdings.itl = offer.itl;
  }
  return !around.guards.file_signer || DecideFile(holdings, offer.file_signer, around.all).accepted() ||
         std::any_of(around.world.signing_keys.begin(), around.world.signing_keys.end(),
                     [&](const Sha256Digest& key) { return DecideFile(holdings, key, around.all).accepted(); });
}

Judged JudgeOffer(const PhoneHoldings& holdings, const PhoneOffer& offered, const Surroundings& around) {
  if (!around.guards.ctl && !(offered.ctl == holdings.ctl)) {
    PhoneOffer offer = offered;
    offer.ctl = holdings.ctl;
    return JudgeOffer(holdings, offer, around);
  }
  // 1. With the TVS nodes that count for it.
  const PhoneStart start = StartPhone(holdings, around.reads, offered, around.seen);
  if (Follows(start, around.guards)) {
    if (UsesTvs(start)) return {.way = PhoneWay::kByTvs};
    return {.way = start.ctl || start.itl ? PhoneWay::kByList : PhoneWay::kInStep};
  }
  // 2. With any.
  const PhoneStart with_all = StartPhone(holdings, around.reads, offered, around.all);
  if (Follows(with_all, around.guards)) return {.way = PhoneWay::kNeedsReach, .reason = VerdictReason::kNoTvsSeen};
  // 3. With another key that is here.
  const bool is_rescued = IsRescued(holdings, offered, around);
  return {.way = is_rescued ? PhoneWay::kRescuedByKey : PhoneWay::kByHand, .reason = ReasonOf(with_all)};
}

bool Names(const std::shared_ptr<const PhoneList>& list, std::span<const CertificateRole> roles,
           const std::set<Sha256Digest>& keys) {
  return list && std::any_of(list->records.begin(), list->records.end(), [&](const PhoneListRecord& record) {
           return !record.blank && std::find(roles.begin(), roles.end(), record.role) != roles.end() &&
                  keys.contains(record.certificate);
         });
}

// Whether somebody here can sign a list that a phone with these takes, whatever becomes of every TVS.
bool HasNextKey(const PhoneHoldings& holdings, const TrustWorld& world) {
  return holdings.TakeAnything() || Names(holdings.ctl, kListSigners, world.signing_keys) ||
         Names(holdings.itl, kListSigners, world.signing_keys);
}

// The same for configuration files: those of now, or others.
bool HasFileKey(const PhoneHoldings& holdings, const ServedOffers* offers, const TrustWorld& world) {
  return offers == nullptr || DecideFile(holdings, offers->published.file_signer, {}).accepted() ||
         Names(holdings.ctl, kFileSigners, world.signing_keys) || Names(holdings.itl, kFileSigners, world.signing_keys);
}

// What it has when it follows.
PhoneHoldings Following(const PhoneHoldings& holdings, const ServedOffers* offers) {
  if (offers == nullptr) return holdings;
  const PhoneOffer& offer = offers->published;
  return {.ctl = offer.ctl ? offer.ctl : holdings.ctl, .itl = offer.itl ? offer.itl : holdings.itl};
}

// Whether a node that nobody saw asked, and that may have been the phone's only one, is none any more.
bool LosesUnseenNode(const PhoneHoldings& holdings, const PhoneGroup& group, const TrustWorld& before,
                     const TrustWorld& after) {
  if (!holdings.itl) return false;
  const auto answers = [&](const std::set<Sha256Digest>& certificates) {
    return std::any_of(certificates.begin(), certificates.end(), [&](const Sha256Digest& certificate) {
      return holdings.itl->Has(certificate, CertificateRole::kTvs);
    });
  };
  return std::any_of(before.tvs_nodes.begin(), before.tvs_nodes.end(), [&](const auto& node) {
    if (group.tvs_nodes.contains(node.first) || !answers(node.second)) return false;
    const auto found = after.tvs_nodes.find(node.first);
    return found == after.tvs_nodes.end() || !answers(found->second);
  });
}

PhoneVerdict SafeBy(PhoneWay way) {
  return way == PhoneWay::kByTvs ? PhoneVerdict::kSafeByTvs : PhoneVerdict::kSafeByList;
}

// The one that decides: locked, then unproven, then lost before, then the less certain of the safe.
int Weight(PhoneVerdict verdict) {
  switch (verdict) {
    case PhoneVerdict::kLocked:
      return 5;
    case PhoneVerdict::kUnproven:
      return 4;
    case PhoneVerdict::kLostBefore:
      return 3;
    case PhoneVerdict::kSafeByTvs:
      return 2;
    case PhoneVerdict::kSafeByList:
      return 1;
    case PhoneVerdict::kOutside:
      return 0;
  }
  return 0;
}

// Two changes of signers in a row, ITLRecovery among them, leave whoever sleeps through both nothing but TVS: one that
// has not followed the last one yet is waited for.
bool MissedTheLast(const PhoneHoldings& holdings, const PhoneOffer& before, const PhoneOffer& after, PhoneWay was,
                   PhoneWay is) {
  if (is != PhoneWay::kByTvs) return false;
  const auto changes = [](const std::shared_ptr<const PhoneList>& one, const std::shared_ptr<const PhoneList>& next) {
    return one && next && one->signer != next->signer;
  };
  const bool lists_change = changes(before.ctl, after.ctl) || changes(before.itl, after.itl);
  if (!lists_change && before.file_signer == after.file_signer) return false;
  return was == PhoneWay::kByTvs || (lists_change && !DecideFile(holdings, before.file_signer, {}).accepted());
}

// What waits is compared with what waited before where that is the same matter, and else with what is published: a
// change that makes lists wait is judged by what they will say, and not by what others let wait.
bool WaitsForSame(const PhoneOffer& before, const PhoneOffer& after) {
  const auto same_signer = [](const std::shared_ptr<const PhoneList>& a, const std::shared_ptr<const PhoneList>& b) {
    return a == b || (a && b && a->signer == b->signer);
  };
  return same_signer(before.ctl, after.ctl) && same_signer(before.itl, after.itl) &&
         before.file_signer == after.file_signer;
}

// A change, with what is the same for all groups.
class Comparison {
 public:
  Comparison(const TrustWorld& before, const TrustWorld& after, const PreFlightGuards& guards)
      : before_(before), after_(Believe(before, after, guards)), guards_(guards) {}

  GroupVerdict Judge(const PhoneGroup& group, bool takes_nothing_from_anybody) const;

 private:
  // Without guards TVS says what it said, and presents what it presented.
  const TrustWorld& Believe(const TrustWorld& before, const TrustWorld& after, const PreFlightGuards& guards) {
    if (guards.vouching && guards.tvs_certificates) return after;
    believed_ = after;
    if (!guards.vouching) believed_.vouched.insert(before.vouched.begin(), before.vouched.end());
    if (!guards.tvs_certificates) {
      for (const auto& [node, certificates] : before.tvs_nodes) {
        believed_.tvs_nodes[node].insert(certificates.begin(), certificates.end());
      }
    }
    return believed_;
  }

  struct Served {
    const ServedOffers* before = nullptr;  // null: it was served nothing
    const ServedOffers* after = nullptr;
  };
  // What the group may be served before, each with what that becomes.
  std::vector<Served> ServedOf(const PhoneGroup& group) const;
  GroupVerdict JudgeKnown(const PhoneGroup& group) const;
  GroupVerdict Compare(const PhoneHoldings& holdings, const PhoneGroup& group, const Judged& was,
                       const Judged& is) const;
  VerdictReason LosesNextKey(const PhoneHoldings& holdings, const Served& served) const;

  TrustWorld believed_;
  const TrustWorld& before_;
  const TrustWorld& after_;
  const PreFlightGuards guards_;
  const std::vector<ReachableTvs> all_before_ = Reachable(before_, nullptr);
  const std::vector<ReachableTvs> all_after_ = Reachable(after_, nullptr);
};

std::vector<Comparison::Served> Comparison::ServedOf(const PhoneGroup& group) const {
  const auto was = before_.ServedTo(group.served_as);
  const auto is = after_.ServedTo(group.served_as);
  std::vector<Served> all;
  for (const auto* before : was) {
    // Where it is any server's phone it stays with the one that it found, while that is there.
    const auto becomes = is.size() > 1 ? after_.ServedTo(before->first) : is;
    for (const auto* after : becomes) all.push_back({&before->second, &after->second});
    if (becomes.empty()) all.push_back({&before->second, nullptr});
  }
  if (was.empty()) {
    for (const auto* after : is) all.push_back({nullptr, &after->second});
  }
  return all;
}

GroupVerdict Comparison::Compare(const PhoneHoldings& holdings, const PhoneGroup& group, const Judged& was,
                                 const Judged& is) const {
  GroupVerdict verdict = {.reason = is.reason, .before = was.way, .after = is.way};
  if (is.way >= PhoneWay::kByTvs) {
    verdict.verdict = SafeBy(is.way);
    verdict.reason = VerdictReason::kNone;
  } else if (is.way < was.way) {
    verdict.verdict = is.way == PhoneWay::kNeedsReach ? PhoneVerdict::kUnproven : PhoneVerdict::kLocked;
  } else if (was.way > PhoneWay::kByHand && guards_.proven_reach && LosesUnseenNode(holdings, group, before_, after_)) {
    verdict.verdict = PhoneVerdict::kUnproven;
    verdict.reason = VerdictReason::kNoTvsSeen;
  } else {
    verdict.verdict = PhoneVerdict::kLostBefore;
  }
  return verdict;
}

// Time takes every TVS certificate away, and nobody can refuse that: what is held and what is published has to name a
// key that is here.
VerdictReason Comparison::LosesNextKey(const PhoneHoldings& holdings, const Served& served) const {
  const PhoneHoldings was = Following(holdings, served.before), is = Following(holdings, served.after);
  if ((HasNextKey(holdings, before_) && !HasNextKey(holdings, after_)) ||
      (HasNextKey(was, before_) && !HasNextKey(is, after_))) {
    return VerdictReason::kNoKeyHere;
  }
  if (guards_.file_signer && HasFileKey(was, served.before, before_) && !HasFileKey(is, served.after, after_)) {
    return VerdictReason::kFileSigner;
  }
  return VerdictReason::kNone;
}

GroupVerdict Comparison::JudgeKnown(const PhoneGroup& group) const {
  const Surroundings was(before_, all_before_, group, guards_), is(after_, all_after_, group, guards_);
  const std::vector<Served> all_served = ServedOf(group);
  std::optional<GroupVerdict> decides;
  const auto consider = [&](const GroupVerdict& verdict) {
    if (!decides || Weight(verdict.verdict) > Weight(decides->verdict)) decides = verdict;
  };
  for (const PhoneHoldings& holdings : group.may_hold) {
    // Nothing is served, before and after: it stays as it is.
    if (all_served.empty()) consider({.verdict = PhoneVerdict::kSafeByList, .before = {}, .after = PhoneWay::kInStep});
    for (const Served& served : all_served) {
      const Judged before = served.before == nullptr ? Judged{} : JudgeOffer(holdings, served.before->published, was);
      if (served.after == nullptr) {
        // What it is served next, and by whom, nothing here would watch over.
        consider({.verdict = PhoneVerdict::kLocked, .reason = VerdictReason::kNotServed, .before = before.way});
        continue;
      }
      const Judged after = JudgeOffer(holdings, served.after->published, is);
      consider(Compare(holdings, group, before, after));
      if (served.before != nullptr &&
          MissedTheLast(holdings, served.before->published, served.after->published, before.way, after.way)) {
        consider({.verdict = PhoneVerdict::kUnproven,
                  .reason = VerdictReason::kMissedTheLast,
                  .before = before.way,
                  .after = after.way});
      }
      const VerdictReason lost = guards_.next_key ? LosesNextKey(holdings, served) : VerdictReason::kNone;
      if (lost != VerdictReason::kNone) {
        consider({.verdict = PhoneVerdict::kLocked, .reason = lost, .before = before.way, .after = after.way});
      }
      if (!guards_.waiting_lists || served.before == nullptr) continue;
      const std::optional<PhoneOffer>&waited = served.before->waiting, &waits = served.after->waiting;
      if (!waits) continue;
      const bool is_same = waited && WaitsForSame(*waited, *waits);
      if (!is_same && !guards_.beginning_to_wait) continue;
      const PhoneOffer& had = is_same ? *waited : served.before->published;
      consider(Compare(holdings, group, JudgeOffer(holdings, had, was), JudgeOffer(holdings, *waits, is)));
    }
    if (!guards_.every_holding) break;
  }
  return decides.value_or(GroupVerdict{.verdict = PhoneVerdict::kUnproven, .reason = VerdictReason::kNeverSeen});
}

GroupVerdict Comparison::Judge(const PhoneGroup& group, bool takes_nothing_from_anybody) const {
  const bool takes_nothing_away =
      takes_nothing_from_anybody || TakesNothingAway(before_, after_, group.served_as, group.reads);
  const auto unproven = [&](VerdictReason reason) {
    if (takes_nothing_away) return GroupVerdict{.verdict = PhoneVerdict::kSafeByList, .after = PhoneWay::kByList};
    return GroupVerdict{.verdict = PhoneVerdict::kUnproven, .reason = reason};
  };
  switch (group.knowledge) {
    case PhoneKnowledge::kForeign:
    case PhoneKnowledge::kNoLists:
      return {.verdict = PhoneVerdict::kOutside};
    case PhoneKnowledge::kNeverSeen:
      return unproven(VerdictReason::kNeverSeen);
    case PhoneKnowledge::kOtherList:
      return unproven(VerdictReason::kOtherList);
    case PhoneKnowledge::kKnown:
      break;
  }
  GroupVerdict known = JudgeKnown(group);
  const bool is_certain = known.verdict == PhoneVerdict::kLocked || known.verdict == PhoneVerdict::kUnproven;
  if (group.is_silent && guards_.silent_phones && !is_certain && !takes_nothing_away) {
    known.verdict = PhoneVerdict::kUnproven;
    known.reason = VerdictReason::kSilent;
  }
  return known;
}

// By what is published; of several offers the worst.
PhoneWay WorstWay(const PhoneHoldings& holdings, const TrustWorld& world, const ServedAs& served_as,
                  const Surroundings& around) {
  PhoneWay worst = PhoneWay::kInStep;
  for (const ServedOffers* offers : world.OffersFor(served_as)) {
    worst = std::min(worst, JudgeOffer(holdings, offers->published, around).way);
  }
  return worst;
}

bool HasEverything(const PhoneHoldings& holdings, const TrustWorld& world, const ServedAs& served_as) {
  const auto has = [](const std::shared_ptr<const PhoneList>& held, const std::shared_ptr<const PhoneList>& offered) {
    return !offered || held == offered || (held && *held == *offered);
  };
  const std::vector<const ServedOffers*> all = world.OffersFor(served_as);
  return std::all_of(all.begin(), all.end(), [&](const ServedOffers* offers) {
    return has(holdings.ctl, offers->published.ctl) && has(holdings.itl, offers->published.itl);
  });
}

}  // namespace

PhoneWay WayOf(const PhoneHoldings& holdings, const PhoneGroup& group, const TrustWorld& world,
               const PreFlightGuards& guards) {
  const std::vector<ReachableTvs> all = Reachable(world, nullptr);
  return WorstWay(holdings, world, group.served_as, Surroundings(world, all, group, guards));
}

PhoneCure CureOf(const PhoneGroup& group, const TrustWorld& world) {
  switch (group.knowledge) {
    case PhoneKnowledge::kForeign:
      return PhoneCure::kForeign;
    case PhoneKnowledge::kNoLists:
      return PhoneCure::kNoLists;
    case PhoneKnowledge::kNeverSeen:
    case PhoneKnowledge::kOtherList:
      return PhoneCure::kUnknown;
    case PhoneKnowledge::kKnown:
      break;
  }
  if (group.may_hold.empty()) return PhoneCure::kUnknown;
  const PreFlightGuards guards;
  const std::vector<ReachableTvs> all = Reachable(world, nullptr);
  const Surroundings around(world, all, group, guards);
  PhoneWay worst = PhoneWay::kInStep;
  bool has_everything = true;
  for (const PhoneHoldings& holdings : group.may_hold) {
    worst = std::min(worst, WorstWay(holdings, world, group.served_as, around));
    has_everything = has_everything && HasEverything(holdings, world, group.served_as);
  }
  switch (worst) {
    case PhoneWay::kByHand:
      return PhoneCure::kByHand;
    case PhoneWay::kRescuedByKey:
      return PhoneCure::kPublishRecovery;
    case PhoneWay::kNeedsReach:
      return PhoneCure::kRestoreReach;
    case PhoneWay::kByTvs:
    case PhoneWay::kByList:
    case PhoneWay::kInStep:
      return has_everything ? PhoneCure::kNone : PhoneCure::kReset;
  }
  return PhoneCure::kUnknown;
}

GroupVerdict JudgeChange(const PhoneGroup& group, const TrustWorld& before, const TrustWorld& after,
                         bool takes_nothing_away, const PreFlightGuards& guards) {
  return Comparison(before, after, guards).Judge(group, takes_nothing_away);
}

PreFlightResult RunPreFlight(const std::vector<PhoneGroup>& groups, const TrustWorld& before, const TrustWorld& after,
                             const PreFlightGuards& guards) {
  const bool takes_nothing_away = TakesNothingAway(before, after);
  const Comparison comparison(before, after, guards);
  PreFlightResult result;
  result.verdicts.reserve(groups.size());
  for (const PhoneGroup& group : groups) {
    result.verdicts.push_back(comparison.Judge(group, takes_nothing_away));
    result.phones[result.verdicts.back().verdict] += group.phones;
  }
  return result;
}

}  // namespace trustline
