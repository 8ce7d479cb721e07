#include "capf/crl_cache.h"

#include <algorithm>
#include <utility>

#include "common/status/status.h"

namespace trustline {

absl::StatusOr<std::shared_ptr<const Revocations>> CrlCache::Get(
    ByteView sha256, const std::function<absl::StatusOr<std::string>()>& read) {
  if (std::shared_ptr<const Revocations> known = Find(AsText(sha256))) return known;
  // Two at once may both read it, which is better than to wait for each other.
  ASSIGN_OR_RETURN(const std::string der, read());
  const absl::StatusOr<CertificateRevocationList> crl = CertificateRevocationList::FromBytes(AsBytes(der));
  ++parsed_;
  if (!crl.ok()) return Internal("{}", crl.status().message());
  if (AsText(crl->sha256()) != AsText(sha256)) return Internal("it is not that of its SHA-256");
  const auto revocations = std::make_shared<Revocations>();
  revocations->reserve(crl->revoked_count());
  crl->ForEachRevoked([&](const RevokedCertificate& revoked) {
    revocations->insert_or_assign(std::string(AsText(revoked.serial)), Revocation{revoked.revoked_at, revoked.reason});
  });
  Keep({std::string(AsText(sha256)), revocations});
  return revocations;
}

std::shared_ptr<const Revocations> CrlCache::Find(std::string_view sha256) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(entries_, sha256, &Entry::sha256);
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return found->revocations;
}

void CrlCache::Keep(Entry entry) {
  std::list<Entry> forgotten;  // freed without the lock
  const std::lock_guard lock(mutex_);
  // Somebody else may have read it meanwhile.
  const auto same = std::ranges::find(entries_, entry.sha256, &Entry::sha256);
  if (same != entries_.end()) forgotten.splice(forgotten.begin(), entries_, same);
  entries_.push_front(std::move(entry));
  size_t crls = 0, revocations = entries_.front().revocations->size();
  const auto first_too_many = std::find_if(std::next(entries_.begin()), entries_.end(), [&](const Entry& kept) {
    revocations += kept.revocations->size();
    return ++crls >= options_.most_crls || revocations > options_.most_revocations;
  });
  forgotten.splice(forgotten.begin(), entries_, first_too_many, entries_.end());
}

}  // namespace trustline
