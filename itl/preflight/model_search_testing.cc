#include "itl/preflight/model_search_testing.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"

namespace trustline {
namespace {

std::string NamesOf(const SharedList& list, const ModelCluster& cluster) {
  if (!list) return "none";
  const auto name = [&](const Sha256Digest& digest) {
    for (const ModelCertificate& one : cluster.certificates) {
      if (one.sha256 == digest) return one.name;
    }
    return std::string("nobody");
  };
  std::string text = "signed by " + name(list->signer) + " with";
  for (const PhoneListRecord& record : list->records) {
    text +=
        " " + std::string(CertificateRoleName(record.role)) + ":" + (record.blank ? "blank" : name(record.certificate));
  }
  if (list->digest == DigestAlgorithm::kSha512) text += " SHA-512";
  return text;
}

}  // namespace

ModelRun::ModelRun(const SearchOptions& options)
    : options_(options),
      cluster_(BeginCluster(registry_, options.seed, options.is_small)),
      fleet_(options.fleet, options.seed + 1, cluster_, *registry_),
      began_(cluster_.now) {}

void ModelRun::Lose(size_t number, const std::string& what) {
  if (result_.found()) return;
  const ModelPhone& phone = fleet_.phones[number];
  const PhoneOffer offer = OfferTo(phone, cluster_);
  std::string keys, nodes;
  for (const int key : cluster_.keys) keys += " " + cluster_.certificates[static_cast<size_t>(key)].name;
  for (const std::string& node : fleet_.sites[phone.site].nodes) nodes += " " + node;
  result_.story = absl::StrJoin(told_, "\n") + "\nlocks phone " + std::to_string(number) + " out: " + what +
                  "\n  holds CTL " + NamesOf(phone.holdings.ctl, cluster_) + "\n  holds ITL " +
                  NamesOf(phone.holdings.itl, cluster_) + "\n  is known to hold " + NamesOf(phone.seen.itl, cluster_) +
                  "\n  is offered CTL " + NamesOf(offer.ctl, cluster_) + "\n  is offered ITL " +
                  NamesOf(offer.itl, cluster_) + "\n  reaches" + nodes + "; keys here:" + keys;
}

void ModelRun::Review(const std::string& what, bool is_time) {
  fleet_.Review(cluster_, [&](size_t number) {
    const ModelPhone& phone = fleet_.phones[number];
    if (phone.is_foreign || phone.is_accepted || phone.knowledge == PhoneKnowledge::kForeign) return;
    // What comes from elsewhere, and names no key that is here, has but its TVS, and nobody can refuse time.
    if (is_time && phone.came_keyless) {
      ++result_.lost_to_time;
      return;
    }
    Lose(number, what);
  });
}

bool ModelRun::Passes(const ModelCluster& judged, const Operation& operation) {
  std::vector<size_t> places;
  const std::vector<PhoneGroup> groups = fleet_.Groups(cluster_, places);
  const PreFlightResult preflight = RunPreFlight(groups, cluster_.World(), judged.World(), options_.guards);
  auto& [accepted, refused] = result_.of_kind[operation.kind];
  if (preflight.Count(PhoneVerdict::kLocked) > 0) {
    ++result_.locked;
    ++refused;
    return false;
  }
  const int64_t unproven = preflight.Count(PhoneVerdict::kUnproven);
  if (unproven > 0 && operation.seed % 2 == 0) {
    ++result_.unproven;
    ++refused;
    return false;
  }
  ++result_.done;
  ++accepted;
  result_.accepted_unproven += static_cast<size_t>(unproven);
  for (size_t i = 0; i < fleet_.phones.size(); ++i) {
    ModelPhone& phone = fleet_.phones[i];
    const GroupVerdict& verdict = preflight.verdicts[places[i]];
    // Of the silent only those are harmed that have been elsewhere meanwhile, and a second change of signers leaves a
    // phone its TVS.
    const bool is_harmed = verdict.reason != VerdictReason::kMissedTheLast &&
                           (verdict.reason != VerdictReason::kSilent || phone.came_keyless);
    if (verdict.verdict == PhoneVerdict::kUnproven && is_harmed) phone.is_accepted = true;
  }
  return true;
}

bool ModelRun::Do(const Operation& operation, bool lives) {
  // 1. The operation, judged as that which will come of it.
  ModelCluster next = cluster_;
  const std::string words = Apply(operation, next);
  const bool is_time = operation.kind == OperationKind::kPassTime;
  if (!words.empty()) {
    ModelCluster judged = next;
    if (operation.kind == OperationKind::kApprove) judged.PublishAll();
    if (is_time || Passes(judged, operation)) {
      cluster_ = std::move(next);
      told_.push_back(words);
      result_.passed = cluster_.now - began_;
      Review(words, is_time);
    }
  }
  if (result_.found()) return false;
  if (!lives) return true;
  // 2. What was approved goes out by itself; an approval does not outlive what it was given for.
  std::mt19937 random(operation.seed ^ 0x5eed);
  if (is_time) {
    cluster_.approved.clear();
    cluster_.approved_ctl.reset();
  } else if (random() % 6 == 0 && cluster_.PublishApproved()) {
    told_.emplace_back("what was approved goes out");
    Review(told_.back(), false);
  }
  // 3. Phones live.
  for (const size_t number : fleet_.Live(cluster_, random, *registry_)) {
    const ModelPhone& phone = fleet_.phones[number];
    if (!phone.is_accepted && !phone.came_keyless) Lose(number, "its own start");
  }
  return !result_.found();
}

bool ModelRun::Start(size_t phone, bool reports) {
  fleet_.Start(phone, cluster_, reports);
  told_.push_back("phone " + std::to_string(phone) + (reports ? " starts and reports" : " starts"));
  Review(told_.back(), false);
  return !result_.found();
}

bool ModelRun::WakeAll() {
  for (size_t i = 0; i < fleet_.phones.size(); ++i) {
    ModelPhone& phone = fleet_.phones[i];
    if (phone.asleep_until <= cluster_.now) continue;
    if (phone.asleep_until == absl::InfiniteFuture() && !phone.came_keyless && !phone.is_foreign) {
      ++result_.slept;
      result_.slept_follow += phone.state == TrueState::kFollows ? 1 : 0;
      result_.slept_rescued += phone.state == TrueState::kRescuedByKey ? 1 : 0;
      result_.slept_accepted += phone.state == TrueState::kByHand && phone.is_accepted ? 1 : 0;
    }
    fleet_.Start(i, cluster_, true);
  }
  told_.emplace_back("everybody wakes");
  Review(told_.back(), false);
  return !result_.found();
}

std::vector<Operation> RandomOperations(const SearchOptions& options) {
  std::mt19937 random(options.seed + 2);
  std::vector<Operation> operations(options.operations);
  for (Operation& operation : operations) operation = RandomOperation(random, options.kinds);
  return operations;
}

SearchResult Search(const SearchOptions& options, const std::vector<Operation>& operations) {
  ModelRun run(options);
  for (const Operation& operation : operations) {
    if (!run.Do(operation)) return run.result();
  }
  run.WakeAll();
  return run.result();
}

std::vector<Operation> Shorten(const SearchOptions& options, std::vector<Operation> operations) {
  constexpr int kMostTries = 400;
  int tries = 0;
  for (size_t size = operations.size() / 2; size > 0; size /= 2) {
    for (size_t first = 0; first + size <= operations.size() && tries < kMostTries; ++tries) {
      std::vector<Operation> fewer(operations.begin(), operations.begin() + static_cast<std::ptrdiff_t>(first));
      fewer.insert(fewer.end(), operations.begin() + static_cast<std::ptrdiff_t>(first + size), operations.end());
      if (Search(options, fewer).found()) {
        operations = std::move(fewer);
      } else {
        first += size;
      }
    }
  }
  return operations;
}

namespace {

// With fixed choices, so that each kind is one operation.
std::vector<Operation> FewOperations() {
  using Kind = OperationKind;
  std::vector<Operation> all;
  for (const Kind kind : {Kind::kNewRecovery, Kind::kBeginOverlap, Kind::kFinishOverlap, Kind::kNewCallManager,
                          Kind::kSignFiles, Kind::kPublish, Kind::kSignLocally, Kind::kSignOutside, Kind::kReplaceTvs,
                          Kind::kToggleDigest, Kind::kToggleMixedMode, Kind::kRetireAuthority, Kind::kTvsAndSigner}) {
    all.push_back({.kind = kind, .seed = 1});
  }
  // Of those that choose, each choice that is there at the beginning.
  for (uint32_t seed = 1; seed < 9; seed += 2) {
    all.push_back({.kind = Kind::kRemoveNode, .seed = seed});
    all.push_back({.kind = Kind::kTakeKeyAway, .seed = seed});
  }
  return all;
}

bool Continue(const ModelRun& run, const std::vector<Operation>& operations, size_t depth, size_t& sequences,
              SearchResult& found) {
  if (depth == 0) return true;
  for (const Operation& operation : operations) {
    ModelRun next = run;
    const size_t done = next.result().done;
    ++sequences;
    if (!next.Do(operation, /*lives=*/false)) {
      found = next.result();
      return false;
    }
    // What changed nothing leads nowhere else.
    if (next.result().done == done && operation.kind != OperationKind::kPassTime) continue;
    if (!Continue(next, operations, depth - 1, sequences, found)) return false;
  }
  ModelRun next = run;
  for (size_t phone = 0; phone < next.fleet().phones.size(); ++phone) {
    ModelRun starts = run;
    ++sequences;
    if (!starts.Start(phone, /*reports=*/phone % 2 == 0)) {
      found = starts.result();
      return false;
    }
    if (!Continue(starts, operations, depth - 1, sequences, found)) return false;
  }
  return true;
}

}  // namespace

SearchResult SearchAll(const SearchOptions& options, size_t depth, size_t& sequences) {
  SearchResult found;
  sequences = 0;
  Continue(ModelRun(options), FewOperations(), depth, sequences, found);
  return found;
}

}  // namespace trustline
