// The trust store of one cluster as a TVS node answers from it: immutable, complete, in memory.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/device/certificate_role.h"
#include "common/x509/path_validation.h"
#include "tvs/digest_index.h"

namespace trustline {

// The roles of a certificate, and "none" for an anchor that gives no role.
class CertificateRoleSet {
 public:
  static constexpr size_t kSlots = kAllCertificateRoles.size() + 1;
  static constexpr size_t kNoRoleSlot = kSlots - 1;
  // The database's code of "no role".
  static constexpr int kNoRoleCode = -1;

  // Empty for a code that nothing has.
  static std::optional<size_t> SlotOfCode(int code);

  bool empty() const { return bits_ == 0; }
  // Whether there is a role, not only "none".
  bool HasAnyRole() const { return (bits_ & ~(1u << kNoRoleSlot)) != 0; }
  bool Has(size_t slot) const { return bits_ >> slot & 1; }
  bool HasRole(CertificateRole role) const { return Has(*SlotOfCode(static_cast<int>(role))); }
  void Add(size_t slot) { bits_ = static_cast<uint8_t>(bits_ | 1u << slot); }
  void Remove(size_t slot) { bits_ = static_cast<uint8_t>(bits_ & ~(1u << slot)); }
  void AddAll(CertificateRoleSet other) { bits_ |= other.bits_; }

  // Without "none", ascending by code.
  std::vector<CertificateRole> Roles() const;

  bool operator==(const CertificateRoleSet&) const = default;

 private:
  uint8_t bits_ = 0;
};

// SHA-256 over the key of an issuer's name (DistinguishedName::key) and a serial number without leading zero bytes.
Sha256Digest IssuerSerialKey(const Sha256Digest& issuer_key, ByteView serial);

// What the trust store knows of one certificate. Times are seconds since 1970.
struct TrustRecord {
  static constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

  Sha256Digest sha256;
  Sha256Digest issuer_serial;  // IssuerSerialKey
  Sha256Digest issuer_key;
  std::array<uint8_t, 20> authority_key_id{};  // all zero: none
  const uint8_t* der = nullptr;                // owned by the snapshot
  uint32_t der_size = 0;
  int64_t not_before = 0;
  int64_t not_after = 0;  // the last valid second
  // The next update of the CRL that decides about it; kForever when no CRL of its issuer was imported.
  int64_t revocation_known_until = kForever;
  bool revoked = false;
  bool is_intermediate = false;  // a CA that another one issued: a path may lead through it
  CertificateRoleSet live;
  CertificateRoleSet anchor;  // among the live ones
  CertificateRoleSet removed;
  std::array<uint32_t, CertificateRoleSet::kSlots> ttl_seconds{};

  ByteView Der() const { return ByteView(der, der_size); }
};

// A certificate's facts as the database has them, for a record to be made.
struct CertificateFacts {
  Sha256Digest sha256;
  std::string der;
  Sha256Digest subject_key;
  Sha256Digest issuer_key;
  std::string serial;
  std::string authority_key_id;
  int64_t not_before = 0;
  int64_t not_after = 0;
  bool is_ca = false;
};

// An imported CRL in the form that answers "is it revoked?".
struct SnapshotCrl {
  Sha256Digest issuer_key;
  std::array<uint8_t, 20> authority_key_id{};
  Sha256Digest sha256;
  std::string issuer;
  int64_t next_update = TrustRecord::kForever;
  absl::flat_hash_set<Sha256Digest> revoked;  // IssuerSerialKey

  // Whether it speaks for certificates of this issuer: the same name and, when both are given, the same key.
  bool AppliesTo(const Sha256Digest& name_key, const std::array<uint8_t, 20>& key_id) const;
};

// A key identifier in 20 bytes: padded with zero bytes, or the beginning of its SHA-256 when it is longer.
std::array<uint8_t, 20> FixedKeyIdentifier(ByteView key_identifier);

class TrustSnapshot {
 public:
  // Null when the trust store has never had this certificate.
  const TrustRecord* FindBySha256(const Sha256Digest& sha256) const;
  // A record with live entries when there is one; among several the one that is valid at `now` (seconds since 1970).
  const TrustRecord* FindByIssuerSerial(const Sha256Digest& issuer_serial, int64_t now) const;

  // The revocation state of any certificate by its issuer.
  struct Revocation {
    bool revoked = false;
    int64_t known_until = TrustRecord::kForever;
  };
  Revocation FindRevocation(const Sha256Digest& issuer_key, const std::array<uint8_t, 20>& authority_key_id,
                            const Sha256Digest& issuer_serial) const;

  const AnchorSet& anchors() const { return anchors_; }
  const std::vector<std::shared_ptr<const SnapshotCrl>>& crls() const { return crls_; }
  int64_t commit() const { return commit_; }
  size_t certificate_count() const { return count_; }

  // A digest over all entries and CRLs, the same as TrustReader's query computes in the database.
  struct Digest {
    int64_t entries = 0;
    int64_t mixed = 0;
    bool operator==(const Digest&) const = default;
  };
  Digest ComputeDigest() const;

 private:
  friend class TrustSnapshotBuilder;
  static constexpr size_t kRecordsPerChunk = 512;
  using Chunk = std::vector<TrustRecord>;

  const TrustRecord& Record(uint32_t number) const {
    return (*chunks_[number / kRecordsPerChunk])[number % kRecordsPerChunk];
  }

  int64_t commit_ = 0;
  size_t count_ = 0;
  std::vector<std::shared_ptr<Chunk>> chunks_;  // shared between snapshots until one of its records changes
  std::vector<std::shared_ptr<const std::string>> der_storage_;
  DigestIndex by_sha256_;
  DigestIndex by_issuer_serial_;
  std::vector<std::shared_ptr<const SnapshotCrl>> crls_;
  AnchorSet anchors_{{}, {}};
};

// Makes the next snapshot from the previous one and what has changed since.
class TrustSnapshotBuilder {
 public:
  // `previous` may be null, and need not outlive the builder.
  explicit TrustSnapshotBuilder(const TrustSnapshot* previous);

  bool HasCertificate(const Sha256Digest& sha256) const;
  void AddCertificate(const CertificateFacts& facts);

  // InvalidArgument for an entry whose certificate is missing or whose role code is unknown.
  absl::Status SetEntry(const Sha256Digest& sha256, int role_code, uint32_t ttl_seconds, bool anchor, bool removed);

  // Replaces the CRL of the same issuer and key.
  void SetCrl(std::shared_ptr<const SnapshotCrl> crl);
  void RemoveCrl(const Sha256Digest& issuer_key, const std::array<uint8_t, 20>& authority_key_id);

  // Errors only when an anchor's bytes cannot be read as a certificate.
  absl::StatusOr<std::unique_ptr<const TrustSnapshot>> Build(int64_t commit) &&;

 private:
  TrustRecord* MutableRecord(const Sha256Digest& sha256);
  TrustRecord& MutableRecordAt(uint32_t number);
  void ApplyCrls();
  absl::Status RebuildAnchors();

  std::unique_ptr<TrustSnapshot> next_;
  std::vector<bool> chunk_is_own_;
  void SealDerBlock();

  // The bytes of new certificates until the block is full, and the records that they belong to.
  struct PendingDer {
    uint32_t record;
    size_t offset;
  };
  std::string der_block_;
  std::vector<PendingDer> pending_der_;
  bool anchors_changed_ = false;
  bool crls_changed_ = false;
};

}  // namespace trustline
