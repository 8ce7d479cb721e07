#include "common/phone_model/phone_model.h"

#include <algorithm>
#include <array>

namespace trustline {
namespace {

constexpr size_t kMaxListSize = 65'536;
constexpr int kLargestRsaBits = 2048;
constexpr std::ptrdiff_t kMostSasts = 2;

constexpr std::array kListSigners = {CertificateRole::kSast};
constexpr std::array kFileSigners = {CertificateRole::kTftp, CertificateRole::kCcmTftp};

bool HasAny(const std::shared_ptr<const PhoneList>& list, const Sha256Digest& signer,
            std::span<const CertificateRole> roles) {
  return list && std::any_of(roles.begin(), roles.end(), [&](CertificateRole role) { return list->Has(signer, role); });
}

bool IsFirstUse(const PhoneHoldings& holdings) { return !holdings.ctl && !holdings.itl; }

bool IsBlank(const PhoneHoldings& holdings) {
  return holdings.itl && holdings.itl->IsBlank() && (!holdings.ctl || holdings.ctl->IsBlank());
}

// The rules in their order. The first TVS that answers and that the ITL names decides: failing over is for connections.
PhoneDecision DecideSigner(const PhoneHoldings& holdings, const Sha256Digest& signer,
                           std::span<const CertificateRole> roles, std::span<const ReachableTvs> reachable) {
  if (IsFirstUse(holdings)) return {.by = AcceptedBy::kFirstUse};
  if (HasAny(holdings.ctl, signer, roles)) return {.by = AcceptedBy::kCtl};
  if (HasAny(holdings.itl, signer, roles)) return {.by = AcceptedBy::kItl};
  if (IsBlank(holdings)) return {.by = AcceptedBy::kBlank};
  for (const ReachableTvs& tvs : reachable) {
    if (!holdings.itl || !holdings.itl->Has(tvs.certificate, CertificateRole::kTvs)) continue;
    const bool is_valid = std::any_of(roles.begin(), roles.end(), [&](CertificateRole role) {
      return tvs.answers->contains({signer, role});
    });
    return is_valid ? PhoneDecision{.by = AcceptedBy::kTvs} : PhoneDecision{.why = RefusedFor::kTvsAnswer};
  }
  return {.why = RefusedFor::kNoTvs};
}

bool SameList(const std::shared_ptr<const PhoneList>& a, const std::shared_ptr<const PhoneList>& b) {
  return a == b || (a && b && *a == *b);
}

}  // namespace

bool PhoneList::Has(const Sha256Digest& certificate, CertificateRole role) const {
  return std::any_of(records.begin(), records.end(), [&](const PhoneListRecord& record) {
    return !record.blank && record.role == role && record.certificate == certificate;
  });
}

bool PhoneList::IsBlank() const {
  return std::none_of(records.begin(), records.end(), [](const PhoneListRecord& record) {
    return !record.blank && (record.role == CertificateRole::kTvs || record.role == CertificateRole::kTftp ||
                             record.role == CertificateRole::kCcmTftp);
  });
}

bool PhoneHoldings::TakeAnything() const { return IsFirstUse(*this) || ::trustline::IsBlank(*this); }

bool PhoneHoldings::operator==(const PhoneHoldings& other) const {
  return SameList(ctl, other.ctl) && SameList(itl, other.itl);
}

bool PhoneOffer::operator==(const PhoneOffer& other) const {
  return SameList(ctl, other.ctl) && SameList(itl, other.itl) && file_signer == other.file_signer;
}

bool CanRead(const PhoneReads& reads, const PhoneList& list) {
  const auto sasts = std::count_if(list.records.begin(), list.records.end(),
                                   [](const PhoneListRecord& record) { return record.role == CertificateRole::kSast; });
  return (list.digest == DigestAlgorithm::kSha1 || reads.sha512) &&
         (list.signer_version == kSignerVersion || reads.version_1_1) && list.size <= kMaxListSize &&
         list.largest_rsa_bits <= kLargestRsaBits && sasts <= kMostSasts;
}

PhoneDecision DecideList(const PhoneHoldings& holdings, const PhoneReads& reads, const PhoneList& offered,
                         std::span<const ReachableTvs> reachable) {
  return DecideListSignedBy(offered.signer, holdings, reads, offered, reachable);
}

PhoneDecision DecideListSignedBy(const Sha256Digest& signer, const PhoneHoldings& holdings, const PhoneReads& reads,
                                 const PhoneList& offered, std::span<const ReachableTvs> reachable) {
  if (!CanRead(reads, offered)) return {.why = RefusedFor::kForm};
  return DecideSigner(holdings, signer, kListSigners, reachable);
}

PhoneDecision DecideFile(const PhoneHoldings& holdings, const std::optional<Sha256Digest>& signer,
                         std::span<const ReachableTvs> reachable) {
  if (signer) return DecideSigner(holdings, *signer, kFileSigners, reachable);
  if (IsFirstUse(holdings)) return {.by = AcceptedBy::kFirstUse};
  if (IsBlank(holdings)) return {.by = AcceptedBy::kBlank};
  return {.why = RefusedFor::kNoTvs};
}

PhoneStart StartPhone(const PhoneHoldings& holdings, const PhoneReads& reads, const PhoneOffer& offer,
                      std::span<const ReachableTvs> reachable) {
  PhoneStart start{.ctl = {}, .itl = {}, .file = {}, .holdings = holdings};
  if (offer.ctl && !SameList(offer.ctl, holdings.ctl)) {
    start.ctl = DecideList(start.holdings, reads, *offer.ctl, reachable);
    if (start.ctl->accepted()) start.holdings.ctl = offer.ctl;
  }
  if (offer.itl && !SameList(offer.itl, holdings.itl)) {
    start.itl = DecideList(start.holdings, reads, *offer.itl, reachable);
    if (start.itl->accepted()) start.holdings.itl = offer.itl;
  }
  start.file = DecideFile(start.holdings, offer.file_signer, reachable);
  return start;
}

}  // namespace trustline
