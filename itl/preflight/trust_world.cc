#include "itl/preflight/trust_world.h"

#include <algorithm>

namespace trustline {
namespace {

// A record too many can make a list that nobody reads.
bool StaysReadable(const PhoneList& before, const PhoneList& after) {
  const PhoneReads all = {.sha512 = true, .version_1_1 = true};
  return before.digest == after.digest && before.signer_version == after.signer_version &&
         (CanRead(all, after) || !CanRead(all, before));
}

bool KeepsAll(const std::shared_ptr<const PhoneList>& before, const std::shared_ptr<const PhoneList>& after) {
  if (before == after) return true;
  if (!before || !after) return false;
  return before->signer == after->signer && StaysReadable(*before, *after) &&
         std::all_of(before->records.begin(), before->records.end(), [&](const PhoneListRecord& record) {
           return std::find(after->records.begin(), after->records.end(), record) != after->records.end();
         });
}

bool KeepsAll(const PhoneOffer& before, const PhoneOffer& after) {
  return KeepsAll(before.ctl, after.ctl) && KeepsAll(before.itl, after.itl) && before.file_signer == after.file_signer;
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
  std::set<Sha256Digest> asked;  // signers that phones may have to ask about after it
  for (const auto& [key, offers] : after.served) {
    AddSigners(offers.published, asked);
    if (offers.waiting) AddSigners(*offers.waiting, asked);
  }
  for (const auto& [key, offers] : before.served) {
    const auto found = after.served.find(key);
    if (found == after.served.end() || !KeepsAll(offers.published, found->second.published)) return false;
    if (!found->second.waiting || KeepsAll(offers.published, *found->second.waiting)) continue;
    // What waited before is not of this change's making.
    if (!offers.waiting || !KeepsAll(*offers.waiting, *found->second.waiting)) return false;
  }
  // A device that gets lists of its own had those of all phones.
  for (const auto& [key, offers] : after.served) {
    if (key.device.empty() || before.served.contains(key)) continue;
    for (const ServedOffers* had : before.OffersFor(key)) {
      if (!KeepsAll(had->published, offers.published)) return false;
    }
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

}  // namespace trustline
