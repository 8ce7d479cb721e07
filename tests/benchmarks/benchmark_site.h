// What the measurements work on: a trust store of 100,000 certificates in a real PostgreSQL, and real nodes.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/support/certificate_series.h"
#include "tests/support/scratch_database.h"
#include "tests/support/tvsd_process.h"

namespace trustline {

inline constexpr uint32_t kCertificates = 100'000;

// Servers that are compared, and their clients, each have a processor core of their own.
inline constexpr int kServerCore = 0;
inline constexpr int kClientCore = 1;

// Moves this thread, and those that it makes, to one core until destroyed.
class PinnedTo {
 public:
  explicit PinnedTo(int core);
  ~PinnedTo();
  PinnedTo(const PinnedTo&) = delete;
  PinnedTo& operator=(const PinnedTo&) = delete;

 private:
  std::string before_;  // the cores before, as a cpu_set_t
};

struct BenchmarkSite {
  std::unique_ptr<ScratchDatabase> database;
  CertificateSeries series;  // 0 to kCertificates - 1 are trusted
  std::unique_ptr<TvsdSite> nodes;

  static absl::StatusOr<std::unique_ptr<BenchmarkSite>> Create();

  // A node that is ready.
  absl::StatusOr<std::unique_ptr<TvsdProcess>> StartNode(const TvsdOptions& options) const;

  // The whole message that asks about a certificate, and the one that says that it is good.
  std::string VerifyRequest(std::string_view der) const;
  std::string ValidAnswer() const;
};

}  // namespace trustline
