#include "itl/preflight/phone_group.h"

#include <algorithm>
#include <utility>

namespace trustline {
namespace {

using Lists = std::vector<std::shared_ptr<const PhoneList>>;

// By its lists, or because some TVS that its ITL names may have told it anything.
bool MayTake(const PhoneHoldings& holdings, const PhoneList& offered) {
  const PhoneDecision decision = DecideList(holdings, {.sha512 = true, .version_1_1 = true}, offered, {});
  if (decision.accepted() || decision.why == RefusedFor::kForm) return decision.accepted();
  return holdings.itl &&
         std::any_of(holdings.itl->records.begin(), holdings.itl->records.end(), [](const PhoneListRecord& record) {
           return record.role == CertificateRole::kTvs && !record.blank;
         });
}

// Each content once.
Lists Distinct(const Lists& published) {
  Lists all;
  for (const std::shared_ptr<const PhoneList>& list : published) {
    if (!list) continue;
    const bool is_there = std::any_of(all.begin(), all.end(), [&](const std::shared_ptr<const PhoneList>& one) {
      return one == list || *one == *list;
    });
    if (!is_there) all.push_back(list);
  }
  return all;
}

// Where `seen` is among `all`, after adding it where it is not.
size_t PlaceOf(const std::shared_ptr<const PhoneList>& seen, Lists& all) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const std::shared_ptr<const PhoneList>& one) {
    return one == seen || (one && seen && *one == *seen);
  });
  const auto place = static_cast<size_t>(found - all.begin());
  if (found == all.end()) all.push_back(seen);
  return place;
}

}  // namespace

std::vector<PhoneHoldings> MayHold(const PhoneHoldings& seen, const Lists& ctls, const Lists& itls) {
  const Lists offered_ctls = Distinct(ctls), offered_itls = Distinct(itls);
  Lists all_ctls = offered_ctls, all_itls = offered_itls;
  const size_t seen_ctl = PlaceOf(seen.ctl, all_ctls), seen_itl = PlaceOf(seen.itl, all_itls);
  std::vector<bool> is_there(all_ctls.size() * all_itls.size());
  std::vector<PhoneHoldings> all;
  std::vector<std::pair<size_t, size_t>> places;  // of `all`, in all_ctls and all_itls
  const auto add = [&](size_t ctl, size_t itl) {
    if (is_there[ctl * all_itls.size() + itl]) return;
    is_there[ctl * all_itls.size() + itl] = true;
    all.push_back({all_ctls[ctl], all_itls[itl]});
    places.emplace_back(ctl, itl);
  };
  add(seen_ctl, seen_itl);
  // What it takes may let it take what came before or after that: until nothing new comes.
  for (size_t i = 0; i < all.size() && all.size() < is_there.size(); ++i) {
    const PhoneHoldings from = all[i];
    const auto [from_ctl, from_itl] = places[i];
    for (size_t ctl = 0; ctl < offered_ctls.size(); ++ctl) {
      if (ctl != from_ctl && MayTake(from, *offered_ctls[ctl])) add(ctl, from_itl);
    }
    for (size_t itl = 0; itl < offered_itls.size(); ++itl) {
      if (itl != from_itl && MayTake(from, *offered_itls[itl])) add(from_ctl, itl);
    }
  }
  return all;
}

}  // namespace trustline
