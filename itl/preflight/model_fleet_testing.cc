#include "itl/preflight/model_fleet_testing.h"

#include <algorithm>
#include <utility>

#include "itl/preflight/model_operations_testing.h"

namespace trustline {
namespace {

constexpr absl::Duration kDay = absl::Hours(24);
constexpr size_t kOwnLists = 8;  // phones that may get a list of their own
constexpr size_t kSites = 5;

bool NamesKeyHere(const PhoneHoldings& holdings, const ModelCluster& cluster) {
  const auto names = [&](const SharedList& list) {
    return list && std::any_of(cluster.keys.begin(), cluster.keys.end(),
                               [&](int key) { return list->Has(cluster.DigestOf(key), CertificateRole::kSast); });
  };
  return names(holdings.ctl) || names(holdings.itl);
}

TvsAnswers AnswersOf(const ModelCluster& cluster) {
  TvsAnswers answers;
  for (const auto& [entry, listed] : cluster.trusted) {
    if (cluster.IsValid(entry.first)) answers.insert({cluster.DigestOf(entry.first), entry.second});
  }
  return answers;
}

}  // namespace

PhoneOffer OfferTo(const ModelPhone& phone, const ModelCluster& cluster) {
  const auto own = cluster.itls.find({phone.server, phone.device});
  const auto common = own == cluster.itls.end() ? cluster.itls.find({phone.server, ""}) : own;
  const auto any = common == cluster.itls.end()
                       ? std::find_if(cluster.itls.begin(), cluster.itls.end(),
                                      [](const auto& list) { return list.first.device.empty(); })
                       : common;
  // Without a server it keeps everything, and its last configuration.
  if (any == cluster.itls.end()) return {};
  return {.ctl = cluster.ctl,
          .itl = any->second,
          .file_signer = cluster.DigestOf(cluster.servers.at(any->first.tftp_server).file_signer)};
}

ModelFleet::ModelFleet(const FleetOptions& options, uint32_t seed, const ModelCluster& cluster, ListRegistry& registry)
    : options_(options) {
  std::mt19937 random(seed);
  // 1. Sites: two reach all, one a single node, one the partner's alone, one none.
  std::set<std::string> all;
  for (const auto& [node, certificate] : cluster.nodes) all.insert(node);
  sites.resize(kSites);
  sites[0].nodes = sites[1].nodes = all;
  sites[2].nodes = {"n1", "n3"};
  sites[3].nodes = {kPartnersNode};
  // 2. Phones.
  const SharedList partners = PartnersList(cluster, registry);
  const bool all_read = random() % 3 == 0;
  std::vector<std::string> servers;
  for (const auto& [name, server] : cluster.servers) servers.push_back(name);
  phones.resize(options.phones);
  for (size_t i = 0; i < phones.size(); ++i) {
    ModelPhone& phone = phones[i];
    phone.served = static_cast<uint32_t>(random() % servers.size());
    phone.server = servers[phone.served];
    if (i < kOwnLists) {
      phone.device = "SEP" + std::to_string(i);
      phone.served += static_cast<uint32_t>((i + 1) * servers.size());
    }
    phone.site = random() % kSites;
    if (all_read || random() % 2 == 0) phone.reads = {.sha512 = true, .version_1_1 = random() % 2 == 0 || all_read};
    if (all_read || random() % 2 == 0) phone.recorded = phone.reads;
    const auto kind = random() % 10;
    if (kind == 0) continue;  // fresh from the box
    if (kind <= 2) {
      phone.holdings.itl = partners;
      phone.came_keyless = true;
      if (kind == 1) phone.is_foreign = random() % 2 == 0;
    } else {
      phone.holdings = {.ctl = cluster.ctl, .itl = cluster.itls.at({phone.server, ""})};
    }
    if (random() % 20 != 0) Report(phone, cluster);
    // A third is off, some of it for months or years, some to the end.
    if (random() % 3 == 0) {
      const auto sleep = random() % 4;
      phone.asleep_until = sleep == 0   ? absl::InfiniteFuture()
                           : sleep == 1 ? cluster.now + kDay * (100 + random() % 2'000)
                                        : cluster.now + kDay * (random() % 100);
    }
  }
  // What they have asked before.
  for (const ModelPhone& phone : phones) Ask(phone, phone.holdings, cluster);
  Review(cluster, [](size_t) {});
}

std::vector<ReachableTvs> ModelFleet::Reach(const ModelPhone& phone, const TvsAnswers& answers,
                                            const ModelCluster& cluster) const {
  std::vector<ReachableTvs> reach;
  for (const std::string& name : sites[phone.site].nodes) {
    const auto node = cluster.nodes.find(name);
    if (node == cluster.nodes.end()) continue;
    const Sha256Digest& certificate = cluster.DigestOf(node->second);
    if (answers.contains({certificate, CertificateRole::kTvs})) reach.push_back({certificate, &answers});
  }
  return reach;
}

TrueState ModelFleet::StateOf(const ModelPhone& phone, const ModelCluster& cluster, StateMemory& memory) const {
  const auto [found, is_new] =
      memory.try_emplace({phone.holdings.ctl.get(), phone.holdings.itl.get(), phone.served, phone.site, phone.reads});
  if (!is_new) return found->second;
  found->second = TrueState::kFollows;
  if (cluster.itls.empty()) return found->second;
  const TvsAnswers answers = AnswersOf(cluster);
  const std::vector<ReachableTvs> reach = Reach(phone, answers, cluster);
  const PhoneOffer offer = OfferTo(phone, cluster);
  PhoneStart start = StartPhone(phone.holdings, phone.reads, offer, reach);
  if (start.follows()) return found->second;
  // Every list that any key that is here could sign: the CTL first, and the ITL by what the phone has then.
  const auto signed_by = [&](const SharedList& list, int key) {
    PhoneList copy = *list;
    copy.signer = cluster.DigestOf(key);
    return Share(std::move(copy));
  };
  for (const int key : cluster.keys) {
    if (!start.ctl || start.ctl->accepted()) break;
    start = StartPhone(phone.holdings, phone.reads, {signed_by(offer.ctl, key), offer.itl, offer.file_signer}, reach);
  }
  if (!start.ctl || start.ctl->accepted()) {
    const PhoneHoldings with_ctl = {start.holdings.ctl, phone.holdings.itl};
    for (const int key : cluster.keys) {
      if (!start.itl || start.itl->accepted()) break;
      start = StartPhone(with_ctl, phone.reads, {nullptr, signed_by(offer.itl, key), offer.file_signer}, reach);
    }
  }
  // And every configuration file.
  const bool has_lists = (!start.ctl || start.ctl->accepted()) && (!start.itl || start.itl->accepted());
  const PhoneHoldings with_lists = start.holdings;
  for (const int key : cluster.keys) {
    if (!has_lists || start.follows()) break;
    start = StartPhone(with_lists, phone.reads, {nullptr, nullptr, cluster.DigestOf(key)}, reach);
  }
  return found->second = start.follows() ? TrueState::kRescuedByKey : TrueState::kByHand;
}

void ModelFleet::Report(ModelPhone& phone, const ModelCluster& cluster) {
  phone.knowledge = phone.is_foreign ? PhoneKnowledge::kForeign : PhoneKnowledge::kKnown;
  phone.seen = phone.holdings;
  phone.since = cluster.history.size();
  phone.seen_at = cluster.now;
}

// Phones ask TVS about much else than lists: the first that theirs names.
void ModelFleet::Ask(const ModelPhone& phone, const PhoneHoldings& held, const ModelCluster& cluster) {
  ModelSite& site = sites[phone.site];
  for (const std::string& node : site.nodes) {
    const auto presents = cluster.nodes.find(node);
    if (presents == cluster.nodes.end() || !held.itl ||
        !held.itl->Has(cluster.DigestOf(presents->second), CertificateRole::kTvs)) {
      continue;
    }
    site.last_asked[node] = cluster.now;
    return;
  }
}

void ModelFleet::Start(size_t number, const ModelCluster& cluster, bool reports) {
  ModelPhone& phone = phones[number];
  const TvsAnswers answers = AnswersOf(cluster);
  const PhoneHoldings held = phone.holdings;
  const PhoneStart start = StartPhone(held, phone.reads, OfferTo(phone, cluster), Reach(phone, answers, cluster));
  phone.holdings = start.holdings;
  Ask(phone, held, cluster);
  if (!cluster.itls.empty() && start.follows()) {
    phone.is_accepted = false;
    if (start.itl && NamesKeyHere(phone.holdings, cluster)) phone.came_keyless = false;
  }
  if (reports) Report(phone, cluster);
}

std::vector<size_t> ModelFleet::Live(const ModelCluster& cluster, std::mt19937& random, ListRegistry& registry) {
  std::vector<size_t> lost;
  StateMemory memory;
  const SharedList partners = PartnersList(cluster, registry);
  const uint64_t starting = 2 + random() % 20;  // one in so many
  for (size_t i = 0; i < phones.size(); ++i) {
    ModelPhone& phone = phones[i];
    if (phone.asleep_until > cluster.now) {
      // Whoever leaves is stored for half a year before it comes to another cluster.
      if (random() % 500 == 0 && cluster.now - phone.seen_at > kSilence && !phone.is_foreign) {
        phone.holdings = {.ctl = nullptr, .itl = partners};
        phone.came_keyless = true;
        phone.state = StateOf(phone, cluster, memory);
      }
      continue;
    }
    if (random() % starting != 0) {
      if (random() % 8 == 0 && !phone.is_foreign) Ask(phone, phone.holdings, cluster);
      if (random() % options_.falls_asleep == 0) {
        phone.asleep_until = cluster.now + kDay * (random() % 4 == 0 ? 100 + random() % 1'500 : random() % 60);
      }
      continue;
    }
    const auto kind = random() % 200;
    if (phone.is_foreign && kind < 40) phone.is_foreign = false;  // it comes to us
    if (phone.is_foreign) continue;
    if (phone.state == TrueState::kByHand && kind < 100) {
      // Somebody clears its lists, and sees that it comes back.
      phone.holdings = {};
      phone.came_keyless = false;
      Start(i, cluster, /*reports=*/true);
    } else if (kind == 199) {
      phone.site = random() % sites.size();  // it is carried elsewhere, and told so at its start
      Start(i, cluster, true);
    } else {
      const TrueState before = phone.state;
      Start(i, cluster, random() % 100 >= options_.unheard);
      phone.state = StateOf(phone, cluster, memory);
      if (before != TrueState::kByHand && phone.state == TrueState::kByHand) lost.push_back(i);
    }
    phone.state = StateOf(phone, cluster, memory);
  }
  // Forged claims: that somebody holds what another one holds.
  if (!phones.empty()) {
    for (int i = 0; i < 3; ++i) {
      ModelPhone& victim = phones[random() % phones.size()];
      const ModelPhone& other = phones[random() % phones.size()];
      if (!options_.believe_claims) continue;
      victim.knowledge = PhoneKnowledge::kKnown;
      victim.seen = other.holdings;
      victim.since = cluster.history.size();
      victim.seen_at = cluster.now;
    }
  }
  return lost;
}

const std::vector<PhoneHoldings>& ModelFleet::MayHoldOf(const ModelPhone& phone, const ModelCluster& cluster) {
  auto& [publications, may_hold] = may_hold_[{phone.served, phone.seen.ctl.get(), phone.seen.itl.get(), phone.since}];
  if (!may_hold.empty() && publications == cluster.history.size()) return may_hold;
  publications = cluster.history.size();
  // What it may have been served: as long as its server may have been away, anything.
  const ModelServer& server = cluster.servers.at(phone.server);
  const bool any_server = !server.is_there || server.was_removed;
  std::map<ServedAs, SharedList> before;
  SharedList ctl_before;
  std::vector<SharedList> ctls, itls;
  for (size_t i = 0; i < cluster.history.size(); ++i) {
    const Publication& one = cluster.history[i];
    const bool is_ours = one.is_ctl || ((any_server || one.served_as.tftp_server == phone.server) &&
                                        (one.served_as.device.empty() || one.served_as.device == phone.device));
    if (!is_ours) continue;
    if (i >= phone.since) {
      (one.is_ctl ? ctls : itls).push_back(one.list);
    } else if (one.is_ctl) {
      ctl_before = one.list;
    } else {
      before[one.served_as] = one.list;
    }
  }
  for (const auto& [served_as, list] : before) itls.push_back(list);
  ctls.push_back(ctl_before);
  return may_hold = MayHold(phone.seen, ctls, itls);
}

std::vector<PhoneGroup> ModelFleet::Groups(const ModelCluster& cluster, std::vector<size_t>& places) {
  using GroupKey =
      std::tuple<PhoneKnowledge, uint32_t, size_t, PhoneReads, const PhoneList*, const PhoneList*, size_t, bool>;
  std::map<GroupKey, size_t> found;
  std::vector<PhoneGroup> groups;
  places.resize(phones.size());
  for (size_t i = 0; i < phones.size(); ++i) {
    const ModelPhone& phone = phones[i];
    const bool is_silent = cluster.now - phone.seen_at > kSilence;
    const bool is_known = phone.knowledge == PhoneKnowledge::kKnown;
    const auto [place, is_new] =
        found.try_emplace({phone.knowledge, phone.served, phone.site, phone.recorded, phone.seen.ctl.get(),
                           phone.seen.itl.get(), is_known ? phone.since : 0, is_silent},
                          groups.size());
    places[i] = place->second;
    if (!is_new) {
      ++groups[place->second].phones;
      continue;
    }
    PhoneGroup& group = groups.emplace_back();
    group = {.knowledge = phone.knowledge,
             .served_as = {phone.server, phone.device},
             .may_hold = {},
             .reads = phone.recorded,
             .tvs_nodes = {},
             .is_silent = is_silent,
             .phones = 1};
    if (is_known) group.may_hold = MayHoldOf(phone, cluster);
    for (const auto& [node, asked] : sites[phone.site].last_asked) {
      if (cluster.now - asked < kTvsReach) group.tvs_nodes.insert(node);
    }
  }
  return groups;
}

}  // namespace trustline
