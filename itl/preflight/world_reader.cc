#include "itl/preflight/world_reader.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"
#include "itl/list/list_content.h"
#include "itl/trust_store/presenting_listeners.h"

namespace trustline {
namespace {

constexpr Statement kTrustedAsTvs = {
    "preflight_trusted_as_tvs",
    "SELECT sha256 FROM trust_entry WHERE cluster_id = $1 AND removed_at IS NULL AND role = $3 AND sha256 = ANY($2)"};
constexpr Statement kVouched = {
    "preflight_vouched",
    "SELECT e.sha256, e.role FROM trust_entry e JOIN certificate c USING (sha256) WHERE e.cluster_id = $1 AND "
    "e.removed_at IS NULL AND e.role >= 0 AND c.not_after > $3 AND e.sha256 = ANY($2)"};
constexpr Statement kCrls = {"preflight_crls",
                             "SELECT DISTINCT t.der FROM trust_crl t JOIN certificate c ON c.issuer_key = t.issuer_key "
                             "WHERE t.cluster_id = $1 AND "
                             "t.removed_at IS NULL AND c.sha256 = ANY($2)"};
constexpr Statement kSerials = {"preflight_serials",
                                "SELECT sha256, serial, issuer_key FROM certificate WHERE sha256 = ANY($1)"};
constexpr Statement kEnds = {"preflight_ends",
                             "SELECT sha256, not_after, issuer_key FROM certificate WHERE sha256 = ANY($1)"};

std::vector<std::string> Texts(const std::set<Sha256Digest>& digests) {
  std::vector<std::string> texts;
  for (const Sha256Digest& digest : digests) texts.emplace_back(AsText(digest));
  return texts;
}

// A new CallManager certificate signs configuration files from the list on that names it.
Sha256Digest FileSigner(const SharedPhoneList& itl, const Sha256Digest& present) {
  if (!itl || itl->Has(present, CertificateRole::kTftp) || itl->Has(present, CertificateRole::kCcmTftp)) return present;
  for (const PhoneListRecord& record : itl->records) {
    const bool signs = record.role == CertificateRole::kTftp || record.role == CertificateRole::kCcmTftp;
    if (signs && !record.blank) return record.certificate;
  }
  return present;
}

void AddSigners(const PhoneOffer& offer, std::set<Sha256Digest>& signers) {
  if (offer.ctl) signers.insert(offer.ctl->signer);
  if (offer.itl) signers.insert(offer.itl->signer);
  if (offer.file_signer) signers.insert(*offer.file_signer);
}

}  // namespace

absl::StatusOr<TrustWorld> WorldReader::Read(const WorldMoment& moment) {
  return ReadAll(moment, /*with_waiting=*/true);
}

absl::StatusOr<TrustWorld> WorldReader::ReadPublished(const WorldMoment& moment) {
  return ReadAll(moment, /*with_waiting=*/false);
}

absl::StatusOr<TrustWorld> WorldReader::ReadAll(const WorldMoment& moment, bool with_waiting) {
  world_ = {};
  RETURN_IF_ERROR(ReadServed(with_waiting));
  RETURN_IF_ERROR(ReadNodes(moment.now));
  RETURN_IF_ERROR(ReadVouched(moment.certificates_at));
  RETURN_IF_ERROR(DropRevoked(moment.crls_at));
  // A node counts with what is trusted as TVS.
  for (auto& [node, certificates] : world_.tvs_nodes) {
    std::erase_if(certificates, [&](const Sha256Digest& certificate) {
      return !world_.vouched.contains({certificate, CertificateRole::kTvs});
    });
  }
  RETURN_IF_ERROR(ReadKeys());
  return world_;
}

absl::Status WorldReader::ReadServed(bool with_waiting) {
  ASSIGN_OR_RETURN(const std::vector<StoredList> lists, store_.Lists({}));
  std::vector<Sha256Digest> files;
  for (const StoredList& list : lists) {
    if (list.current) files.push_back(list.current->sha256);
  }
  ASSIGN_OR_RETURN(const auto read, memory_.Generations(connection_, cluster_id_, files));
  const auto content = [&](const StoredList& list) -> SharedPhoneList {
    const auto found = list.current ? read.find(list.current->sha256) : read.end();
    return found == read.end() ? nullptr : found->second;
  };
  SharedPhoneList ctl;
  for (const StoredList& list : lists) {
    if (list.form.kind == ListKind::kCtl) ctl = content(list);
  }
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> signers, store_.Signers());
  std::map<std::string, Sha256Digest> file_signers;  // by server
  for (const StoredSigner& signer : signers) file_signers[signer.tftp_server] = signer.certificate.sha256();
  for (const StoredList& list : lists) {
    if (list.form.kind == ListKind::kCtl || !list.current) continue;
    const SharedPhoneList itl = content(list);
    const Sha256Digest present = file_signers[list.form.tftp_server];
    world_.served[{list.form.tftp_server, list.form.device}].published = {
        .ctl = ctl, .itl = itl, .file_signer = FileSigner(itl, present)};
  }
  return with_waiting ? ReadWaiting(lists) : absl::OkStatus();
}

absl::Status WorldReader::ReadWaiting(const std::vector<StoredList>& lists) {
  ASSIGN_OR_RETURN(const std::optional<StoredPolicy> policy, store_.ReadPolicy());
  if (!policy) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> signers, store_.Signers());
  ASSIGN_OR_RETURN(ListMaterial material, store_.Material(policy->policy, signers));
  const ListComposer composer(std::move(material));
  std::map<std::string, Sha256Digest> file_signers;
  for (const TftpServerCertificate& server : composer.material().servers) {
    file_signers[server.server] = server.call_manager.sha256();
  }
  // Null when it says already what it should; or when it cannot be made, so that nothing can be published either.
  const auto composed = [&](const StoredList& list) -> SharedPhoneList {
    const absl::StatusOr<ListContent> content = composer.Compose(list.form);
    if (!content.ok() || !list.current || content->digest == list.current->content_sha256) return nullptr;
    return std::make_shared<const PhoneList>(ToPhoneList(*content));
  };
  SharedPhoneList ctl;
  for (const StoredList& list : lists) {
    if (list.form.kind == ListKind::kCtl) ctl = composed(list);
  }
  for (const StoredList& list : lists) {
    if (list.form.kind == ListKind::kCtl || !list.current) continue;
    ServedOffers& offers = world_.served[{list.form.tftp_server, list.form.device}];
    const SharedPhoneList itl = composed(list);
    if (!itl && !ctl) continue;
    offers.waiting = offers.published;
    offers.waiting->file_signer = file_signers[list.form.tftp_server];
    if (itl) offers.waiting->itl = itl;
    if (ctl) offers.waiting->ctl = ctl;
  }
  return absl::OkStatus();
}

absl::Status WorldReader::ReadNodes(absl::Time now) {
  ASSIGN_OR_RETURN(const std::vector<TvsNodeCertificate> presented, TvsNodeCertificates(connection_, cluster_id_));
  for (const TvsNodeCertificate& one : presented) {
    world_.tvs_nodes[one.node].insert(one.sha256);
    if (one.said_at && *one.said_at < now - kNodeSilence) world_.away_nodes.insert(one.node);
  }
  presented_ = world_.tvs_nodes;
  return absl::OkStatus();
}

absl::Status WorldReader::ReadVouched(absl::Time at) {
  std::set<Sha256Digest> asked;
  for (const auto& [served_as, offers] : world_.served) {
    AddSigners(offers.published, asked);
    if (offers.waiting) AddSigners(*offers.waiting, asked);
  }
  for (const auto& [node, certificates] : world_.tvs_nodes) asked.insert(certificates.begin(), certificates.end());
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(kVouched, Parameters().Int64(cluster_id_).BytesArray(Texts(asked)).Time(at)));
  for (const Row row : rows) {
    Sha256Digest certificate;
    int64_t code = 0;
    RETURN_IF_ERROR(row.Scan(certificate, code));
    const std::optional<CertificateRole> role = CertificateRoleFromCode(static_cast<int>(code));
    if (role) world_.vouched.emplace(certificate, *role);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CertificateRevocationList>> WorldReader::ReadCrls(
    const std::vector<std::string>& certificates) {
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(kCrls, Parameters().Int64(cluster_id_).BytesArray(certificates)));
  std::vector<CertificateRevocationList> crls;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const std::string der, row.Get<std::string>(0));
    ASSIGN_OR_RETURN(CertificateRevocationList crl, CertificateRevocationList::FromBytes(AsBytes(der)));
    crls.push_back(std::move(crl));
  }
  return crls;
}

absl::Status WorldReader::DropRevoked(absl::Time at) {
  std::set<Sha256Digest> certificates;
  for (const auto& [certificate, role] : world_.vouched) certificates.insert(certificate);
  const std::vector<std::string> texts = Texts(certificates);
  ASSIGN_OR_RETURN(const std::vector<CertificateRevocationList> crls, ReadCrls(texts));
  if (crls.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kSerials, Parameters().BytesArray(texts)));
  std::map<std::pair<std::string, std::string>, Sha256Digest> by_serial;  // by issuer and serial
  for (const Row row : rows) {
    Sha256Digest certificate;
    std::string serial, issuer_key;
    RETURN_IF_ERROR(row.Scan(certificate, serial, issuer_key));
    by_serial[{issuer_key, serial}] = certificate;
  }
  for (const CertificateRevocationList& crl : crls) {
    const std::string issuer_key(AsText(crl.issuer().key()));
    if (crl.next_update() && *crl.next_update() <= at) {
      // Nobody says any more what is revoked, so that all of its issuer's certificates are invalid.
      for (const auto& [name, certificate] : by_serial) {
        if (name.first != issuer_key) continue;
        std::erase_if(world_.vouched, [&gone = certificate](const auto& entry) { return entry.first == gone; });
      }
      continue;
    }
    crl.ForEachRevoked([&](const RevokedCertificate& revoked) {
      const auto found = by_serial.find({issuer_key, std::string(AsText(revoked.serial))});
      if (found == by_serial.end()) return;
      std::erase_if(world_.vouched, [&](const auto& entry) { return entry.first == found->second; });
    });
  }
  return absl::OkStatus();
}

// Those alone that a command or a plan can sign with: what signs now, what overlaps, and the ITLRecovery key before.
absl::Status WorldReader::ReadKeys() {
  if (keys_ == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<StoredSigner> signers, store_.Signers());
  ASSIGN_OR_RETURN(const std::vector<StoredSigner> overlapping, store_.OverlappingSigners());
  signers.insert(signers.end(), overlapping.begin(), overlapping.end());
  ASSIGN_OR_RETURN(const std::optional<StoredSigner> previous, store_.PreviousRecovery());
  if (previous) signers.push_back(*previous);
  for (const StoredSigner& signer : signers) {
    if (keys_->Find(signer.key_name).ok()) world_.signing_keys.insert(signer.certificate.sha256());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::set<Sha256Digest>> WorldReader::TrustedAsTvs() {
  std::set<Sha256Digest> presented, trusted;
  for (const auto& [node, certificates] : presented_) presented.insert(certificates.begin(), certificates.end());
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(
          kTrustedAsTvs,
          Parameters().Int64(cluster_id_).BytesArray(Texts(presented)).Int64(static_cast<int>(CertificateRole::kTvs))));
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const Sha256Digest sha256, row.Get<Sha256Digest>(0));
    trusted.insert(sha256);
  }
  return trusted;
}

absl::StatusOr<std::vector<StandingCertificate>> WorldReader::ReadStanding(const TrustWorld& world) {
  std::map<Sha256Digest, std::set<std::string>> standings;
  for (const auto& [served_as, offers] : world.served) {
    if (!served_as.device.empty()) continue;
    const PhoneOffer& offer = offers.published;
    if (offer.itl) standings[offer.itl->signer].insert(fmt::format("signs the ITL of {}", served_as.tftp_server));
    if (offer.ctl) standings[offer.ctl->signer].insert("signs the CTL");
    if (offer.file_signer) {
      standings[*offer.file_signer].insert(fmt::format("signs configuration files of {}", served_as.tftp_server));
    }
  }
  ASSIGN_OR_RETURN(const std::set<Sha256Digest> trusted, TrustedAsTvs());
  for (const auto& [node, certificates] : presented_) {
    for (const Sha256Digest& certificate : certificates) {
      if (trusted.contains(certificate)) standings[certificate].insert(fmt::format("TVS of {}", node));
    }
  }
  std::set<Sha256Digest> all;
  for (const auto& [certificate, standing] : standings) all.insert(certificate);
  const std::vector<std::string> texts = Texts(all);
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kEnds, Parameters().BytesArray(texts)));
  ASSIGN_OR_RETURN(const std::vector<CertificateRevocationList> crls, ReadCrls(texts));
  std::vector<StandingCertificate> ends;
  for (const Row row : rows) {
    StandingCertificate one;
    std::string issuer_key;
    RETURN_IF_ERROR(row.Scan(one.sha256, one.ends_at, issuer_key));
    one.standing = absl::StrJoin(standings[one.sha256], ", ");
    ends.push_back(one);
    one.standing += ", by a CRL that ends then";
    for (const CertificateRevocationList& crl : crls) {
      if (!crl.next_update() || AsText(crl.issuer().key()) != issuer_key || *crl.next_update() >= one.ends_at) continue;
      one.ends_at = *crl.next_update();
      ends.push_back(one);
    }
  }
  std::sort(ends.begin(), ends.end(),
            [](const StandingCertificate& a, const StandingCertificate& b) { return a.ends_at < b.ends_at; });
  return ends;
}

}  // namespace trustline
