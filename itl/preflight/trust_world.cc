#include "itl/preflight/trust_world.h"

#include <algorithm>

namespace trustline {
namespace {

// For whoever read the first one, or, given what it reads, for that phone. A record too many can make a list that
// nobody reads.
bool StaysReadable(const PhoneList& before, const PhoneList& after, const PhoneReads* reads) {
  const PhoneReads all = {.sha512 = true, .version_1_1 = true};
  const bool same_form = before.digest == after.digest && before.signer_version == after.signer_version;
  if (!same_form && (reads == nullptr || !CanRead(*reads, after))) return false;
  return CanRead(all, after) || !CanRead(all, before);
}

bool KeepsAll(const std::shared_ptr<const PhoneList>& before, const std::shared_ptr<const PhoneList>& after,
              const PhoneReads* reads) {
  if (before == after) return true;
  if (!before || !after) return false;
  return before->signer == after->signer && StaysReadable(*before, *after, reads) &&
         std::all_of(before->records.begin(), before->records.end(), [&](const PhoneListRecord& record) {
           return std::find(after->records.begin(), after->records.end(), record) != after->records.end();
         });
}

bool KeepsAll(const PhoneOffer& before, const PhoneOffer& after, const PhoneReads* reads) {
  return KeepsAll(before.ctl, after.ctl, reads) && KeepsAll(before.itl, after.itl, reads) &&
         before.file_signer == after.file_signer;
}

// Published and waiting; what waited before is not of this change's making.
bool KeepsAll(const ServedOffers& before, const ServedOffers& after, const PhoneReads* reads) {
  if (!KeepsAll(before.published, after.published, reads)) return false;
  if (!after.waiting || KeepsAll(before.published, *after.waiting, reads)) return true;
  return before.waiting && KeepsAll(*before.waiting, *after.waiting, reads);
}

void AddSigners(const PhoneOffer& offer, std::set<Sha256Digest>& signers) {
  if (offer.ctl) signers.insert(offer.ctl->signer);
  if (offer.itl) signers.insert(offer.itl->signer);
  if (offer.file_signer) signers.insert(*offer.file_signer);
}

template <typename Set>
bool Includes(const Set& all, const Set& some) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

// Whether TVS says what it said of everybody whom phones may have to ask about, and nodes and keys are there.
bool StaysReached(const TrustWorld& before, const TrustWorld& after) {
  std::set<Sha256Digest> asked;
  for (const auto& [key, offers] : after.served) {
    AddSigners(offers.published, asked);
    if (offers.waiting) AddSigners(*offers.waiting, asked);
  }
  for (const auto& [node, certificates] : before.tvs_nodes) {
    const auto found = after.tvs_nodes.find(node);
    if (found == after.tvs_nodes.end() || !Includes(found->second, certificates)) return false;
  }
  const bool vouches = std::all_of(before.vouched.begin(), before.vouched.end(), [&](const auto& entry) {
    return !asked.contains(entry.first) || after.vouched.contains(entry);
  });
  return vouches && Includes(after.signing_keys, before.signing_keys);
}

}  // namespace

std::vector<const std::pair<const ServedAs, ServedOffers>*> TrustWorld::ServedTo(const ServedAs& served_as) const {
  for (const ServedAs& key : {served_as, ServedAs{served_as.tftp_server, ""}}) {
    const auto found = served.find(key);
    if (found != served.end()) return {&*found};
  }
  std::vector<const std::pair<const ServedAs, ServedOffers>*> left;
  for (const auto& entry : served) {
    if (entry.first.device.empty()) left.push_back(&entry);
  }
  return left;
}

std::vector<const ServedOffers*> TrustWorld::OffersFor(const ServedAs& served_as) const {
  std::vector<const ServedOffers*> offers;
  for (const auto* entry : ServedTo(served_as)) offers.push_back(&entry->second);
  return offers;
}

bool TakesNothingAway(const TrustWorld& before, const TrustWorld& after) {
  for (const auto& [key, offers] : before.served) {
    const auto found = after.served.find(key);
    if (found == after.served.end() || !KeepsAll(offers, found->second, nullptr)) return false;
  }
  // A device that gets lists of its own had those of all phones.
  for (const auto& [key, offers] : after.served) {
    if (key.device.empty() || before.served.contains(key)) continue;
    for (const ServedOffers* had : before.OffersFor(key)) {
      if (!KeepsAll(had->published, offers.published, nullptr)) return false;
    }
  }
  return StaysReached(before, after);
}

bool TakesNothingAway(const TrustWorld& before, const TrustWorld& after, const ServedAs& served_as,
                      const PhoneReads& reads) {
  const auto is = after.ServedTo(served_as);
  for (const auto* was : before.ServedTo(served_as)) {
    // Where it is any server's phone it stays with the one that it found, while that is there.
    const auto becomes = is.size() > 1 ? after.ServedTo(was->first) : is;
    for (const auto* offers : becomes) {
      if (!KeepsAll(was->second, offers->second, &reads)) return false;
    }
  }
  return StaysReached(before, after);
}

}  // namespace trustline
