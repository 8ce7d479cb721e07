#include "itl/preflight/model_cluster_testing.h"

#include <algorithm>
#include <functional>
#include <string_view>

namespace trustline {
namespace {

constexpr size_t kListHeader = 500;

size_t HashOf(const PhoneList& list) {
  std::string bytes(AsText(list.signer));
  for (const PhoneListRecord& record : list.records) {
    bytes.append(AsText(record.certificate));
    bytes.push_back(static_cast<char>(record.role));
  }
  return std::hash<std::string>()(bytes);
}

bool IsServerRole(CertificateRole role) {
  return role == CertificateRole::kTftp || role == CertificateRole::kCcmTftp || role == CertificateRole::kCcm;
}

}  // namespace

SharedList ListRegistry::Intern(PhoneList list) {
  std::vector<SharedList>& same_hash = lists_[HashOf(list)];
  for (const SharedList& one : same_hash) {
    if (*one == list) return one;
  }
  return same_hash.emplace_back(Share(std::move(list)));
}

int ModelCluster::Make(const std::string& name, int years) {
  const auto number = static_cast<int>(certificates.size());
  const std::string full = name + "#" + std::to_string(number);
  certificates.push_back({.name = full, .sha256 = Named(full), .not_after = now + absl::Hours(24 * 365) * years});
  return number;
}

void ModelCluster::Append(int certificate, CertificateRole role, PhoneList& list) const {
  const ModelCertificate& one = certificates[static_cast<size_t>(certificate)];
  list.size += one.size;
  if (blank && (role == CertificateRole::kTvs || IsServerRole(role))) {
    list.records.push_back({.role = role, .blank = true});
    return;
  }
  list.records.push_back({.certificate = one.sha256, .role = role});
  list.largest_rsa_bits = std::max(list.largest_rsa_bits, one.rsa_bits);
}

void ModelCluster::AppendListed(bool is_itl, PhoneList& list) const {
  for (const auto& [entry, listed] : trusted) {
    const auto& [certificate, role] = entry;
    if (!listed) continue;
    if (!is_itl && (role == CertificateRole::kTvs || (!mixed_mode && role != CertificateRole::kCapf))) continue;
    Append(certificate, role, list);
  }
}

SharedList ModelCluster::Finish(PhoneList list) const { return registry_->Intern(std::move(list)); }

SharedList ModelCluster::ComposeItl(const ServedAs& served_as) const {
  const ModelServer& server = servers.at(served_as.tftp_server);
  const auto form = device_lists.find(served_as);
  const bool own = form != device_lists.end();
  PhoneList list{
      .signer = DigestOf(server.local_signer ? server.call_manager : recovery),
      .digest = sha512 || (own && form->second.sha512) ? DigestAlgorithm::kSha512 : DigestAlgorithm::kSha1,
      .signer_version = version_1_1 || (own && form->second.version_1_1) ? kSignerVersionWithEc : kSignerVersion,
      .size = kListHeader};
  Append(recovery, CertificateRole::kSast, list);
  Append(server.call_manager, tftp_role, list);
  // Two SASTs: the next ITLRecovery takes the CallManager's place while both overlap.
  Append(overlap && !server.local_signer ? *overlap : server.call_manager, CertificateRole::kSast, list);
  AppendListed(/*is_itl=*/true, list);
  return Finish(std::move(list));
}

SharedList ModelCluster::ComposeCtl() const {
  PhoneList list{.signer = DigestOf(recovery),
                 .digest = sha512 ? DigestAlgorithm::kSha512 : DigestAlgorithm::kSha1,
                 .signer_version = version_1_1 ? kSignerVersionWithEc : kSignerVersion,
                 .size = kListHeader};
  Append(recovery, CertificateRole::kSast, list);
  if (overlap) Append(*overlap, CertificateRole::kSast, list);
  if (mixed_mode) {
    for (const auto& [name, server] : servers) {
      if (server.is_there) Append(server.call_manager, tftp_role, list);
    }
  }
  AppendListed(/*is_itl=*/false, list);
  return Finish(std::move(list));
}

std::vector<ServedAs> ModelCluster::AllItls() const {
  std::vector<ServedAs> all;
  for (const auto& [name, server] : servers) {
    if (server.is_there) all.push_back({name, ""});
  }
  for (const auto& [served_as, form] : device_lists) {
    if (servers.at(served_as.tftp_server).is_there) all.push_back(served_as);
  }
  return all;
}

void ModelCluster::Publish(const ServedAs& served_as, const SharedList& itl) {
  SharedList& published = itls[served_as];
  if (published == itl) return;
  published = itl;
  history.push_back({.served_as = served_as, .is_ctl = false, .list = itl});
}

void ModelCluster::PublishCtl(const SharedList& list) {
  if (ctl == list) return;
  ctl = list;
  history.push_back({.served_as = {}, .is_ctl = true, .list = list});
}

void ModelCluster::PublishAll(const std::string& server) {
  if (has_ctl && server.empty()) PublishCtl(ComposeCtl());
  for (const ServedAs& one : AllItls()) {
    if (!server.empty() && one.tftp_server != server) continue;
    Publish(one, ComposeItl(one));
  }
  approved.clear();
  approved_ctl.reset();
}

void ModelCluster::ApproveAll() {
  if (has_ctl) approved_ctl = ComposeCtl();
  for (const ServedAs& one : AllItls()) approved[one] = ComposeItl(one);
}

bool ModelCluster::PublishApproved() {
  const bool is_same = (!has_ctl || approved_ctl == ComposeCtl()) &&
                       std::all_of(approved.begin(), approved.end(), [&](const auto& list) {
                         return itls.contains(list.first) && list.second == ComposeItl(list.first);
                       });
  const size_t published = history.size();
  if (is_same) {
    if (approved_ctl) PublishCtl(approved_ctl);
    for (const auto& [served_as, list] : approved) Publish(served_as, list);
  }
  approved.clear();
  approved_ctl.reset();
  return history.size() != published;
}

TrustWorld ModelCluster::World() const {
  TrustWorld world;
  const SharedList composed_ctl = has_ctl ? ComposeCtl() : nullptr;
  for (const auto& [served_as, itl] : itls) {
    ServedOffers& offers = world.served[served_as];
    const int file_signer = servers.at(served_as.tftp_server).file_signer;
    offers.published = {.ctl = ctl, .itl = itl, .file_signer = DigestOf(file_signer)};
    const SharedList composed = ComposeItl(served_as);
    if (composed == itl && composed_ctl == ctl) continue;
    offers.waiting = {.ctl = composed_ctl, .itl = composed, .file_signer = DigestOf(file_signer)};
  }
  for (const auto& [entry, listed] : trusted) {
    if (IsValid(entry.first)) world.vouched.insert({DigestOf(entry.first), entry.second});
  }
  for (const auto& [node, certificate] : nodes) {
    std::set<Sha256Digest>& presents = world.tvs_nodes[node];
    if (trusted.contains({certificate, CertificateRole::kTvs}) && IsValid(certificate)) {
      presents.insert(DigestOf(certificate));
    }
  }
  for (const int key : keys) world.signing_keys.insert(DigestOf(key));
  return world;
}

}  // namespace trustline
