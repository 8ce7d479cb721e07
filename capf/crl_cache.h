// What manufacturers' CRLs revoke, parsed once: some have a hundred thousand entries, and phones wait meanwhile.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/x509/crl.h"

namespace trustline {

struct Revocation {
  absl::Time revoked_at;
  RevocationReason reason = RevocationReason::kUnspecified;
};
using Revocations = std::unordered_map<std::string, Revocation>;  // by serial number

struct CrlCacheOptions {
  size_t most_crls = 64;
  size_t most_revocations = 2'000'000;  // of all of them; a longer CRL is kept alone
};

// Thread-safe. Whoever asks names the CRL by what the database has at that moment: one that was replaced is not asked
// for any more, and is the first to be forgotten.
class CrlCache {
 public:
  explicit CrlCache(const CrlCacheOptions& options = {}) : options_(options) {}

  // Of the CRL with that SHA-256. `read` gives its bytes when they are needed. Internal when they are another's, or no
  // CRL.
  absl::StatusOr<std::shared_ptr<const Revocations>> Get(ByteView sha256,
                                                         const std::function<absl::StatusOr<std::string>()>& read);

  int64_t parsed() const { return parsed_; }

 private:
  struct Entry {
    std::string sha256;
    std::shared_ptr<const Revocations> revocations;
  };
  std::shared_ptr<const Revocations> Find(std::string_view sha256);
  void Keep(Entry entry);

  const CrlCacheOptions options_;
  std::atomic<int64_t> parsed_ = 0;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the one that was used last is the first
};

}  // namespace trustline
