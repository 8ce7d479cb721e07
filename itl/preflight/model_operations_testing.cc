#include "itl/preflight/model_operations_testing.h"

#include <algorithm>
#include <functional>
#include <iterator>

namespace trustline {
namespace {

constexpr int kRecoveryYears = 20, kServerYears = 5;

class Doer {
 public:
  Doer(ModelCluster& cluster, uint32_t seed) : cluster_(cluster), random_(seed) {}

  std::string Do(OperationKind kind);

 private:
  size_t Below(size_t bound) { return random_() % bound; }
  std::string NameOf(int certificate) const { return cluster_.certificates[static_cast<size_t>(certificate)].name; }

  // Of the servers that are there, or not; empty: none.
  std::string AnyServer(bool is_there = true) {
    std::vector<std::string> names;
    for (const auto& [name, server] : cluster_.servers) {
      if (server.is_there == is_there) names.push_back(name);
    }
    return names.empty() ? "" : names[Below(names.size())];
  }
  template <typename Container>
  auto Any(Container& container) {
    return std::next(container.begin(), static_cast<std::ptrdiff_t>(Below(container.size())));
  }

  void Trust(int certificate, CertificateRole role, bool listed) {
    cluster_.trusted[{certificate, role}] = listed;
    cluster_.distrusted.erase({certificate, role});
  }
  int NewRecovery() {
    const int made = cluster_.Make("rec", kRecoveryYears);
    Trust(made, CertificateRole::kSast, false);
    cluster_.keys.insert(made);
    return made;
  }
  void UseRecovery(int certificate) {
    cluster_.recovery = certificate;
    cluster_.recoveries.push_back(certificate);
    Trust(certificate, CertificateRole::kSast, false);
  }
  int NewCallManager(const std::string& server) {
    const int made = cluster_.Make("cm-" + server, kServerYears);
    Trust(made, CertificateRole::kSast, false);
    Trust(made, cluster_.tftp_role, false);
    cluster_.keys.insert(made);
    return made;
  }
  int NewTvs(const std::string& node, bool listed) {
    const int made = cluster_.Make("tvs-" + node, kServerYears);
    Trust(made, CertificateRole::kTvs, listed);
    return made;
  }

  std::string Recovery(OperationKind kind);
  std::string Sign(OperationKind kind);
  std::string Tvs(OperationKind kind);
  std::string TrustStore(OperationKind kind);
  std::string Form(OperationKind kind);
  std::string Servers(OperationKind kind);
  std::string Keys(OperationKind kind);

  ModelCluster& cluster_;
  std::mt19937 random_;
};

std::string Doer::Recovery(OperationKind kind) {
  switch (kind) {
    case OperationKind::kNewRecovery:
      cluster_.overlap.reset();
      UseRecovery(NewRecovery());
      return "new ITLRecovery " + NameOf(cluster_.recovery);
    case OperationKind::kBeginOverlap:
      if (cluster_.overlap) return "";
      cluster_.overlap = NewRecovery();
      return "next ITLRecovery beside the present one: " + NameOf(*cluster_.overlap);
    case OperationKind::kFinishOverlap:
      if (!cluster_.overlap) return "";
      UseRecovery(*cluster_.overlap);
      cluster_.overlap.reset();
      return "the next ITLRecovery takes over: " + NameOf(cluster_.recovery);
    case OperationKind::kRestoreRecovery: {
      const int previous = *Any(cluster_.recoveries);
      if (previous == cluster_.recovery || !cluster_.keys.contains(previous) || !cluster_.IsValid(previous)) return "";
      UseRecovery(previous);
      return "ITLRecovery restored: " + NameOf(previous);
    }
    default:  // kImportRecovery
      if (!cluster_.IsValid(kPartnersRecovery)) return "";
      cluster_.keys.insert(kPartnersRecovery);
      UseRecovery(kPartnersRecovery);
      return "ITLRecovery imported: " + NameOf(kPartnersRecovery);
  }
}

std::string Doer::Sign(OperationKind kind) {
  const std::string name = AnyServer();
  if (name.empty()) return "";
  ModelServer& server = cluster_.servers[name];
  const int signer = kind == OperationKind::kSignLocally   ? server.call_manager
                     : kind == OperationKind::kSignOutside ? kPartnersRecovery
                                                           : cluster_.recovery;
  const bool is_outside = kind == OperationKind::kSignOutside;
  if (!is_outside && !cluster_.keys.contains(signer)) return "";
  for (const ServedAs& one : cluster_.AllItls()) {
    if (one.tftp_server != name || !cluster_.itls.contains(one)) continue;
    PhoneList list = *cluster_.itls[one];
    if (is_outside) {
      // Its SASTs are the first of the present ones, and its signer.
      bool is_first = true;
      std::erase_if(list.records, [&](const PhoneListRecord& record) {
        const bool goes = record.role == CertificateRole::kSast && !is_first;
        is_first = is_first && record.role != CertificateRole::kSast;
        return goes;
      });
      list.records.push_back({cluster_.DigestOf(signer), CertificateRole::kSast});
    } else if (!list.Has(cluster_.DigestOf(signer), CertificateRole::kSast)) {
      return "";
    }
    list.signer = cluster_.DigestOf(signer);
    cluster_.PublishAs(one, std::move(list));
  }
  server.local_signer = kind == OperationKind::kSignLocally;
  return "lists of " + name + " signed with " + NameOf(signer);
}

std::string Doer::Tvs(OperationKind kind) {
  if (kind == OperationKind::kAddNode) {
    const std::string name = "n" + std::to_string(Below(4) + 1);
    if (cluster_.nodes.contains(name)) return "";
    cluster_.nodes[name] = NewTvs(name, true);
    return "node " + name + " comes";
  }
  if (cluster_.nodes.empty()) return "";
  const auto node = Any(cluster_.nodes);
  if (kind == OperationKind::kRemoveNode) {
    const std::string name = node->first;
    const int certificate = node->second;
    cluster_.nodes.erase(node);
    cluster_.trusted.erase({certificate, CertificateRole::kTvs});
    return "node " + name + " is removed";
  }
  if (node->first == kPartnersNode) return "";
  if (kind == OperationKind::kTrustNextTvs) {
    const int made = NewTvs(node->first, true);
    return "the next TVS certificate of " + node->first + " is trusted: " + NameOf(made);
  }
  // One that waits for it, or a new one.
  int next = -1;
  const std::string prefix = "tvs-" + node->first + "#";
  for (const auto& [entry, listed] : cluster_.trusted) {
    if (entry.second == CertificateRole::kTvs && entry.first > node->second &&
        NameOf(entry.first).starts_with(prefix)) {
      next = entry.first;
    }
  }
  if (next < 0) next = NewTvs(node->first, true);
  node->second = next;
  return node->first + " presents " + NameOf(next);
}

std::string Doer::TrustStore(OperationKind kind) {
  const bool chooses = kind == OperationKind::kRemoveTrust || kind == OperationKind::kToggleListed;
  if (chooses && cluster_.trusted.empty()) return "";
  switch (kind) {
    case OperationKind::kRemoveTrust: {
      // Those that matter more often.
      auto entry = Any(cluster_.trusted);
      for (const auto& often :
           {std::pair(cluster_.recovery, CertificateRole::kSast), std::pair(kPartnersTvs, CertificateRole::kTvs)}) {
        const auto found = cluster_.trusted.find(often);
        if (found != cluster_.trusted.end() && Below(4) == 0) entry = found;
      }
      const auto key = entry->first;
      cluster_.distrusted.insert(*entry);
      cluster_.trusted.erase(entry);
      return "trust removed: " + NameOf(key.first) + " " + std::string(CertificateRoleName(key.second));
    }
    case OperationKind::kRestoreTrust: {
      if (cluster_.distrusted.empty()) return "";
      const auto [key, listed] = *Any(cluster_.distrusted);
      Trust(key.first, key.second, listed);
      return "trusted again: " + NameOf(key.first) + " " + std::string(CertificateRoleName(key.second));
    }
    case OperationKind::kRetireAuthority:
      for (auto entry = cluster_.trusted.begin(); entry != cluster_.trusted.end();) {
        if (entry->first.second != CertificateRole::kSast) {
          ++entry;
          continue;
        }
        cluster_.distrusted.insert(*entry);
        entry = cluster_.trusted.erase(entry);
      }
      return "the authority of all signers is retired";
    case OperationKind::kToggleListed: {
      const auto entry = Any(cluster_.trusted);
      if (entry->first.second != CertificateRole::kTvs && entry->first.second != CertificateRole::kCapf) return "";
      entry->second = !entry->second;
      return (entry->second ? "listed: " : "unlisted: ") + NameOf(entry->first.first);
    }
    case OperationKind::kListAnotherSast: {
      const int made = cluster_.Make("sast", kServerYears);
      Trust(made, CertificateRole::kSast, true);
      return "a third SAST is listed: " + NameOf(made);
    }
    default: {
      const int made = cluster_.Make("application", kServerYears);
      ModelCertificate& certificate = cluster_.certificates[static_cast<size_t>(made)];
      if (kind == OperationKind::kListLargeKey) certificate.rsa_bits = 4096;
      if (kind == OperationKind::kListLargeRecord) certificate.size = 64'000;
      Trust(made, CertificateRole::kAppServer, true);
      return (kind == OperationKind::kListLargeKey ? "a key of 4096 bits is listed: " : "a large record is listed: ") +
             NameOf(made);
    }
  }
}

std::string Doer::Form(OperationKind kind) {
  const auto toggle = [](bool& value, const std::string& what) {
    value = !value;
    return what + (value ? " on" : " off");
  };
  switch (kind) {
    case OperationKind::kToggleDigest:
      return toggle(cluster_.sha512, "SHA-512");
    case OperationKind::kToggleSignerVersion:
      return toggle(cluster_.version_1_1, "signer version 1.1");
    case OperationKind::kToggleBlank: {
      const std::string words = toggle(cluster_.blank, "blank lists");
      cluster_.PublishAll();
      return words;
    }
    case OperationKind::kToggleMixedMode: {
      const std::string words = toggle(cluster_.mixed_mode, "mixed mode");
      cluster_.has_ctl = true;
      cluster_.PublishCtl(cluster_.ComposeCtl());
      return words;
    }
    default: {  // kChangeTftpRole
      cluster_.tftp_role =
          cluster_.tftp_role == CertificateRole::kTftp ? CertificateRole::kCcmTftp : CertificateRole::kTftp;
      for (const auto& [name, server] : cluster_.servers) Trust(server.call_manager, cluster_.tftp_role, false);
      return "the role of TFTP servers is " + std::string(CertificateRoleName(cluster_.tftp_role));
    }
  }
}

std::string Doer::Servers(OperationKind kind) {
  switch (kind) {
    case OperationKind::kAddServer: {
      // One that was there keeps its certificate while that is good.
      const std::string name = AnyServer(false);
      if (name.empty()) return "";
      ModelServer& server = cluster_.servers[name];
      if (!cluster_.IsValid(server.call_manager)) server.call_manager = server.file_signer = NewCallManager(name);
      server.is_there = true;
      server.local_signer = false;
      cluster_.Publish({name, ""}, cluster_.ComposeItl({name, ""}));
      return "server " + name + " is added";
    }
    case OperationKind::kRemoveServer: {
      const std::string name = AnyServer();
      if (name.empty()) return "";
      cluster_.servers[name].is_there = false;
      cluster_.servers[name].was_removed = true;
      std::erase_if(cluster_.itls, [&](const auto& list) { return list.first.tftp_server == name; });
      std::erase_if(cluster_.device_lists, [&](const auto& list) { return list.first.tftp_server == name; });
      return "server " + name + " is removed";
    }
    case OperationKind::kSetDeviceList: {
      const std::string name = AnyServer();
      if (name.empty()) return "";
      const ServedAs own{name, "SEP" + std::to_string(Below(8))};
      cluster_.device_lists[own] = {.sha512 = Below(2) == 0, .version_1_1 = Below(2) == 0};
      cluster_.Publish(own, cluster_.ComposeItl(own));
      return own.device + " has a list of its own at " + name;
    }
    case OperationKind::kRemoveDeviceList: {
      if (cluster_.device_lists.empty()) return "";
      const ServedAs own = Any(cluster_.device_lists)->first;
      cluster_.device_lists.erase(own);
      cluster_.itls.erase(own);
      cluster_.history.push_back({.served_as = {own.tftp_server, ""}, .list = cluster_.itls[{own.tftp_server, ""}]});
      return own.device + " has the list of all phones of " + own.tftp_server;
    }
    case OperationKind::kNewCallManager: {
      const std::string name = AnyServer();
      if (name.empty()) return "";
      cluster_.servers[name].call_manager = NewCallManager(name);
      return "new CallManager certificate " + NameOf(cluster_.servers[name].call_manager);
    }
    default: {  // kSignFiles
      const std::string name = AnyServer();
      if (name.empty()) return "";
      ModelServer& server = cluster_.servers[name];
      if (server.file_signer == server.call_manager) return "";
      server.file_signer = server.call_manager;
      return "files of " + name + " are signed with " + NameOf(server.file_signer);
    }
  }
}

std::string Doer::Keys(OperationKind kind) {
  if (kind == OperationKind::kTakeKeyAway) {
    if (cluster_.keys.empty()) return "";
    // Old ones more often than those of now.
    const auto key = Below(2) == 0 ? cluster_.keys.begin() : Any(cluster_.keys);
    const std::string name = NameOf(*key);
    cluster_.keys.erase(key);
    return "the key of " + name + " is taken away";
  }
  const auto number = static_cast<int>(Below(cluster_.certificates.size()));
  const bool is_signer = cluster_.trusted.contains({number, CertificateRole::kSast}) && number != kPartnersRecovery;
  if (!is_signer || cluster_.keys.contains(number)) return "";
  cluster_.keys.insert(number);
  return "the key of " + NameOf(number) + " comes back";
}

std::string Doer::Do(OperationKind kind) {
  using Kind = OperationKind;
  switch (kind) {
    case Kind::kNothing:
      return "";
    case Kind::kPassTime: {
      const size_t days = Below(6) == 0 ? 30 + Below(900) : 1 + Below(12);
      cluster_.now += absl::Hours(24) * days;
      return std::to_string(days) + " days pass";
    }
    case Kind::kNewRecovery:
    case Kind::kBeginOverlap:
    case Kind::kFinishOverlap:
    case Kind::kRestoreRecovery:
    case Kind::kImportRecovery:
      return Recovery(kind);
    case Kind::kPublish: {
      const std::string server = Below(3) == 0 ? AnyServer() : "";
      cluster_.PublishAll(server);
      return "published" + (server.empty() ? "" : " of " + server);
    }
    case Kind::kApprove:
      cluster_.ApproveAll();
      return "approved";
    case Kind::kSignLocally:
    case Kind::kSignWithRecovery:
    case Kind::kSignOutside:
      return Sign(kind);
    case Kind::kReplaceTvs:
    case Kind::kTrustNextTvs:
    case Kind::kRemoveNode:
    case Kind::kAddNode:
      return Tvs(kind);
    case Kind::kRemoveTrust:
    case Kind::kRestoreTrust:
    case Kind::kRetireAuthority:
    case Kind::kToggleListed:
    case Kind::kListAnotherSast:
    case Kind::kListLargeKey:
    case Kind::kListLargeRecord:
      return TrustStore(kind);
    case Kind::kToggleDigest:
    case Kind::kToggleSignerVersion:
    case Kind::kToggleBlank:
    case Kind::kToggleMixedMode:
    case Kind::kChangeTftpRole:
      return Form(kind);
    case Kind::kAddServer:
    case Kind::kRemoveServer:
    case Kind::kSetDeviceList:
    case Kind::kRemoveDeviceList:
    case Kind::kNewCallManager:
    case Kind::kSignFiles:
      return Servers(kind);
    case Kind::kTakeKeyAway:
    case Kind::kBringKeyBack:
      return Keys(kind);
    case Kind::kTvsAndSigner: {
      const std::string tvs = Tvs(Kind::kReplaceTvs);
      const std::string signer = Recovery(Kind::kNewRecovery);
      cluster_.PublishAll();
      return tvs + ", " + signer + ", published";
    }
  }
  return "";
}

}  // namespace

std::string Apply(const Operation& operation, ModelCluster& cluster) {
  std::string words = Doer(cluster, operation.seed).Do(operation.kind);
  if (words.empty() || !operation.publishes || operation.kind == OperationKind::kPassTime) return words;
  cluster.PublishAll();
  return words + ", published";
}

Operation RandomOperation(std::mt19937& random, const std::vector<OperationKind>& kinds) {
  using Kind = OperationKind;
  static constexpr Kind kKinds[] = {
      Kind::kPassTime,       Kind::kPassTime,         Kind::kPassTime,         Kind::kPassTime,
      Kind::kNewRecovery,    Kind::kBeginOverlap,     Kind::kBeginOverlap,     Kind::kFinishOverlap,
      Kind::kFinishOverlap,  Kind::kRestoreRecovery,  Kind::kImportRecovery,   Kind::kNewCallManager,
      Kind::kNewCallManager, Kind::kSignFiles,        Kind::kSignFiles,        Kind::kPublish,
      Kind::kPublish,        Kind::kPublish,          Kind::kPublish,          Kind::kApprove,
      Kind::kSignLocally,    Kind::kSignWithRecovery, Kind::kSignOutside,      Kind::kReplaceTvs,
      Kind::kReplaceTvs,     Kind::kTrustNextTvs,     Kind::kTrustNextTvs,     Kind::kRemoveNode,
      Kind::kAddNode,        Kind::kAddNode,          Kind::kRemoveTrust,      Kind::kRemoveTrust,
      Kind::kRestoreTrust,   Kind::kToggleListed,     Kind::kToggleListed,     Kind::kListAnotherSast,
      Kind::kListLargeKey,   Kind::kListLargeRecord,  Kind::kToggleDigest,     Kind::kToggleSignerVersion,
      Kind::kToggleBlank,    Kind::kToggleMixedMode,  Kind::kChangeTftpRole,   Kind::kAddServer,
      Kind::kRemoveServer,   Kind::kSetDeviceList,    Kind::kRemoveDeviceList, Kind::kTakeKeyAway,
      Kind::kBringKeyBack,   Kind::kTvsAndSigner,     Kind::kRetireAuthority};
  const Kind kind = kinds.empty() ? kKinds[random() % std::size(kKinds)] : kinds[random() % kinds.size()];
  return {.kind = kind, .seed = static_cast<uint32_t>(random()), .publishes = random() % 4 == 0};
}

SharedList PartnersList(const ModelCluster& cluster, ListRegistry& registry) {
  PhoneList list{.signer = cluster.DigestOf(kPartnersRecovery), .size = 3'000};
  list.records = {{cluster.DigestOf(kPartnersRecovery), CertificateRole::kSast},
                  {cluster.DigestOf(kPartnersCallManager), CertificateRole::kSast},
                  {cluster.DigestOf(kPartnersCallManager), CertificateRole::kCcmTftp},
                  {cluster.DigestOf(kPartnersTvs), CertificateRole::kTvs}};
  return registry.Intern(std::move(list));
}

ModelCluster BeginCluster(const std::shared_ptr<ListRegistry>& registry, uint32_t seed, bool is_small) {
  ModelCluster cluster(registry);
  std::mt19937 random(seed);
  cluster.now = absl::FromUnixSeconds(1'700'000'000);
  cluster.Make("partner-rec", kRecoveryYears);
  cluster.Make("partner-cm", kServerYears);
  cluster.Make("partner-tvs", kServerYears);
  const auto trust = [&](int certificate, CertificateRole role, bool listed) {
    cluster.trusted[{certificate, role}] = listed;
  };
  trust(kPartnersRecovery, CertificateRole::kSast, false);
  trust(kPartnersTvs, CertificateRole::kTvs, false);
  cluster.nodes[kPartnersNode] = kPartnersTvs;
  cluster.recovery = cluster.Make("rec", kRecoveryYears);
  cluster.recoveries = {cluster.recovery};
  cluster.keys = {cluster.recovery};
  trust(cluster.recovery, CertificateRole::kSast, false);
  trust(cluster.Make("capf", kServerYears), CertificateRole::kCapf, true);
  for (const std::string node : {"n1", "n2"}) {
    if (is_small && node == "n2") continue;
    cluster.nodes[node] = cluster.Make("tvs-" + node, kServerYears);
    trust(cluster.nodes[node], CertificateRole::kTvs, true);
  }
  for (const std::string name : {"tftp1", "tftp2"}) {
    if (is_small && name == "tftp2") continue;
    ModelServer& server = cluster.servers[name];
    server.call_manager = server.file_signer = cluster.Make("cm-" + name, kServerYears);
    cluster.keys.insert(server.call_manager);
    trust(server.call_manager, CertificateRole::kSast, false);
    trust(server.call_manager, CertificateRole::kCcmTftp, false);
  }
  if (random() % 3 == 0) cluster.mixed_mode = cluster.has_ctl = true;
  cluster.PublishAll();
  // The partner's phones have come with the help of the partner's key, which signed the present lists elsewhere.
  if (random() % 2 == 0) {
    for (const ServedAs& one : cluster.AllItls()) {
      PhoneList list = *cluster.itls[one];
      list.signer = cluster.DigestOf(kPartnersRecovery);
      std::erase_if(list.records, [](const PhoneListRecord& record) { return record.role == CertificateRole::kSast; });
      list.records.push_back({cluster.DigestOf(cluster.recovery), CertificateRole::kSast});
      list.records.push_back({cluster.DigestOf(kPartnersRecovery), CertificateRole::kSast});
      cluster.PublishAs(one, std::move(list));
    }
  }
  return cluster;
}

}  // namespace trustline
