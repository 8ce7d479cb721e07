#include "tvs/trust_snapshot.h"

#include <algorithm>
#include <cstring>

#include "common/bytes/writer.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Bytes of many certificates share one allocation of this size.
constexpr size_t kDerBlockSize = 1 << 20;

}  // namespace

std::optional<size_t> CertificateRoleSet::SlotOfCode(int code) {
  if (code == kNoRoleCode) return kNoRoleSlot;
  for (size_t slot = 0; slot < kAllCertificateRoles.size(); ++slot) {
    if (static_cast<int>(kAllCertificateRoles[slot]) == code) return slot;
  }
  return std::nullopt;
}

std::vector<CertificateRole> CertificateRoleSet::Roles() const {
  std::vector<CertificateRole> roles;
  for (size_t slot = 0; slot < kAllCertificateRoles.size(); ++slot) {
    if (Has(slot)) roles.push_back(kAllCertificateRoles[slot]);
  }
  return roles;
}

Sha256Digest IssuerSerialKey(const Sha256Digest& issuer_key, ByteView serial) {
  return Sha256(AsBytes(ByteWriter(64).Bytes(issuer_key).Bytes(serial).Take()));
}

std::array<uint8_t, 20> FixedKeyIdentifier(ByteView key_identifier) {
  std::array<uint8_t, 20> fixed{};
  if (key_identifier.size() <= fixed.size()) {
    std::ranges::copy(key_identifier, fixed.begin());
  } else {
    std::copy_n(Sha256(key_identifier).begin(), fixed.size(), fixed.begin());
  }
  return fixed;
}

bool SnapshotCrl::AppliesTo(const Sha256Digest& name_key, const std::array<uint8_t, 20>& key_id) const {
  static constexpr std::array<uint8_t, 20> kNone{};
  return issuer_key == name_key && (authority_key_id == kNone || key_id == kNone || authority_key_id == key_id);
}

const TrustRecord* TrustSnapshot::FindBySha256(const Sha256Digest& sha256) const {
  const TrustRecord* found = nullptr;
  by_sha256_.Find(sha256, [&](uint32_t number) {
    const TrustRecord& record = Record(number);
    if (record.sha256 != sha256) return false;
    found = &record;
    return true;
  });
  return found;
}

const TrustRecord* TrustSnapshot::FindByIssuerSerial(const Sha256Digest& issuer_serial, int64_t now) const {
  const TrustRecord* best = nullptr;
  by_issuer_serial_.Find(issuer_serial, [&](uint32_t number) {
    const TrustRecord& record = Record(number);
    if (record.issuer_serial != issuer_serial) return false;
    const bool valid = !record.live.empty() && record.not_before <= now && now <= record.not_after;
    if (best == nullptr || valid || (best->live.empty() && !record.live.empty())) best = &record;
    return valid;
  });
  return best;
}

TrustSnapshot::Revocation TrustSnapshot::FindRevocation(const Sha256Digest& issuer_key,
                                                        const std::array<uint8_t, 20>& authority_key_id,
                                                        const Sha256Digest& issuer_serial) const {
  Revocation revocation;
  for (const auto& crl : crls_) {
    if (!crl->AppliesTo(issuer_key, authority_key_id)) continue;
    revocation.known_until = std::min(revocation.known_until, crl->next_update);
    if (crl->revoked.contains(issuer_serial)) revocation.revoked = true;
  }
  return revocation;
}

TrustSnapshot::Digest TrustSnapshot::ComputeDigest() const {
  Digest digest;
  const auto mix = [&digest](const Sha256Digest& hash) {
    ++digest.entries;
    uint64_t first = 0;
    for (size_t i = 0; i < 8; ++i) first = first << 8 | hash[i];
    digest.mixed ^= static_cast<int64_t>(first);
  };
  for (const auto& chunk : chunks_) {
    for (const TrustRecord& record : *chunk) {
      for (size_t slot = 0; slot < CertificateRoleSet::kSlots; ++slot) {
        if (!record.live.Has(slot) && !record.removed.Has(slot)) continue;
        const int code = slot == CertificateRoleSet::kNoRoleSlot ? CertificateRoleSet::kNoRoleCode
                                                                 : static_cast<int>(kAllCertificateRoles[slot]);
        mix(Sha256(AsBytes(ByteWriter(40)
                               .Bytes(record.sha256)
                               .U16(static_cast<uint16_t>(code))
                               .U32(record.ttl_seconds[slot])
                               .U8(record.anchor.Has(slot))
                               .U8(record.removed.Has(slot))
                               .Take())));
      }
    }
  }
  for (const auto& crl : crls_) mix(crl->sha256);
  return digest;
}

TrustSnapshotBuilder::TrustSnapshotBuilder(const TrustSnapshot* previous)
    : next_(previous ? std::make_unique<TrustSnapshot>(*previous) : std::make_unique<TrustSnapshot>()),
      chunk_is_own_(next_->chunks_.size(), false) {}

bool TrustSnapshotBuilder::HasCertificate(const Sha256Digest& sha256) const {
  return next_->FindBySha256(sha256) != nullptr;
}

TrustRecord& TrustSnapshotBuilder::MutableRecordAt(uint32_t number) {
  const size_t chunk = number / TrustSnapshot::kRecordsPerChunk;
  if (!chunk_is_own_[chunk]) {
    auto copy = std::make_shared<TrustSnapshot::Chunk>();
    copy->reserve(TrustSnapshot::kRecordsPerChunk);
    *copy = *next_->chunks_[chunk];
    next_->chunks_[chunk] = std::move(copy);
    chunk_is_own_[chunk] = true;
  }
  return (*next_->chunks_[chunk])[number % TrustSnapshot::kRecordsPerChunk];
}

TrustRecord* TrustSnapshotBuilder::MutableRecord(const Sha256Digest& sha256) {
  TrustRecord* found = nullptr;
  next_->by_sha256_.Find(sha256, [&](uint32_t number) {
    if (next_->Record(number).sha256 != sha256) return false;
    found = &MutableRecordAt(number);
    return true;
  });
  return found;
}

void TrustSnapshotBuilder::AddCertificate(const CertificateFacts& facts) {
  if (HasCertificate(facts.sha256)) return;
  TrustRecord record;
  record.sha256 = facts.sha256;
  record.issuer_key = facts.issuer_key;
  record.issuer_serial = IssuerSerialKey(facts.issuer_key, AsBytes(facts.serial));
  record.authority_key_id = FixedKeyIdentifier(AsBytes(facts.authority_key_id));
  record.der_size = static_cast<uint32_t>(facts.der.size());
  record.not_before = facts.not_before;
  record.not_after = facts.not_after;
  record.is_intermediate = facts.is_ca && facts.subject_key != facts.issuer_key;
  const TrustSnapshot::Revocation revocation =
      next_->FindRevocation(record.issuer_key, record.authority_key_id, record.issuer_serial);
  record.revoked = revocation.revoked;
  record.revocation_known_until = revocation.known_until;

  const uint32_t number = static_cast<uint32_t>(next_->count_++);
  if (number % TrustSnapshot::kRecordsPerChunk == 0) {
    auto chunk = std::make_shared<TrustSnapshot::Chunk>();
    chunk->reserve(TrustSnapshot::kRecordsPerChunk);
    next_->chunks_.push_back(std::move(chunk));
    chunk_is_own_.push_back(true);
  } else {
    MutableRecordAt(number - 1);  // makes the last chunk our own
  }
  next_->chunks_.back()->push_back(record);
  next_->by_sha256_.Insert(record.sha256, number);
  next_->by_issuer_serial_.Insert(record.issuer_serial, number);

  pending_der_.push_back({number, der_block_.size()});
  der_block_.append(facts.der);
  if (der_block_.size() >= kDerBlockSize) SealDerBlock();
}

void TrustSnapshotBuilder::SealDerBlock() {
  if (pending_der_.empty()) return;
  const auto block = std::make_shared<const std::string>(der_block_);
  for (const PendingDer& pending : pending_der_) {
    MutableRecordAt(pending.record).der = reinterpret_cast<const uint8_t*>(block->data()) + pending.offset;
  }
  next_->der_storage_.push_back(block);
  der_block_.clear();
  pending_der_.clear();
}

absl::Status TrustSnapshotBuilder::SetEntry(const Sha256Digest& sha256, int role_code, uint32_t ttl_seconds,
                                            bool anchor, bool removed) {
  const std::optional<size_t> slot = CertificateRoleSet::SlotOfCode(role_code);
  if (!slot) return InvalidArgument("trust store: unknown role code {}", role_code);
  TrustRecord* record = MutableRecord(sha256);
  if (record == nullptr) return InvalidArgument("trust store: an entry without its certificate {}", ToHex(sha256));
  if (record->is_intermediate || anchor || !record->anchor.empty()) anchors_changed_ = true;
  record->live.Remove(*slot);
  record->anchor.Remove(*slot);
  record->removed.Remove(*slot);
  record->ttl_seconds[*slot] = ttl_seconds;
  if (removed) {
    record->removed.Add(*slot);
  } else {
    record->live.Add(*slot);
  }
  if (anchor) record->anchor.Add(*slot);
  return absl::OkStatus();
}

void TrustSnapshotBuilder::SetCrl(std::shared_ptr<const SnapshotCrl> crl) {
  RemoveCrl(crl->issuer_key, crl->authority_key_id);
  next_->crls_.push_back(std::move(crl));
  crls_changed_ = true;
}

void TrustSnapshotBuilder::RemoveCrl(const Sha256Digest& issuer_key, const std::array<uint8_t, 20>& authority_key_id) {
  const size_t erased = std::erase_if(next_->crls_, [&](const auto& crl) {
    return crl->issuer_key == issuer_key && crl->authority_key_id == authority_key_id;
  });
  if (erased != 0) crls_changed_ = true;
}

void TrustSnapshotBuilder::ApplyCrls() {
  for (uint32_t number = 0; number < next_->count_; ++number) {
    const TrustRecord& record = next_->Record(number);
    const TrustSnapshot::Revocation now =
        next_->FindRevocation(record.issuer_key, record.authority_key_id, record.issuer_serial);
    if (record.revoked == now.revoked && record.revocation_known_until == now.known_until) continue;
    TrustRecord& changed = MutableRecordAt(number);
    changed.revoked = now.revoked;
    changed.revocation_known_until = now.known_until;
  }
}

absl::Status TrustSnapshotBuilder::RebuildAnchors() {
  std::vector<Certificate> anchors;
  std::vector<Certificate> intermediates;
  for (uint32_t number = 0; number < next_->count_; ++number) {
    const TrustRecord& record = next_->Record(number);
    bool is_anchor = false;
    for (size_t slot = 0; slot < CertificateRoleSet::kSlots; ++slot) {
      if (record.anchor.Has(slot) && record.live.Has(slot)) is_anchor = true;
    }
    if (!is_anchor && (!record.is_intermediate || record.live.empty())) continue;
    absl::StatusOr<Certificate> certificate = Certificate::FromDer(record.Der());
    if (!certificate.ok()) return Annotate(certificate.status(), "trust store: anchor " + ToHex(record.sha256));
    (is_anchor ? anchors : intermediates).push_back(*std::move(certificate));
  }
  next_->anchors_ = AnchorSet(anchors, intermediates);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<const TrustSnapshot>> TrustSnapshotBuilder::Build(int64_t commit) && {
  SealDerBlock();
  if (crls_changed_) ApplyCrls();
  if (anchors_changed_) RETURN_IF_ERROR(RebuildAnchors());
  next_->commit_ = commit;
  return std::unique_ptr<const TrustSnapshot>(std::move(next_));
}

}  // namespace trustline
