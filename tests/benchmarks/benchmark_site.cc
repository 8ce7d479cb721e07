#include "tests/benchmarks/benchmark_site.h"

#include <sched.h>

#include <cstdio>
#include <cstring>

#include "common/status/status.h"
#include "tvs/message.h"

namespace trustline {
namespace {

constexpr uint32_t kSessionId = 1001;

}  // namespace

PinnedTo::PinnedTo(int core) : before_(sizeof(cpu_set_t), '\0') {
  cpu_set_t set;
  sched_getaffinity(0, sizeof(set), &set);
  std::memcpy(before_.data(), &set, sizeof(set));
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) std::perror("sched_setaffinity");
}

PinnedTo::~PinnedTo() {
  cpu_set_t set;
  std::memcpy(&set, before_.data(), sizeof(set));
  sched_setaffinity(0, sizeof(set), &set);
}

absl::StatusOr<std::unique_ptr<BenchmarkSite>> BenchmarkSite::Create() {
  ASSIGN_OR_RETURN(std::unique_ptr<ScratchDatabase> database, ScratchDatabase::Create());
  ASSIGN_OR_RETURN(CertificateSeries series, CertificateSeries::Create());
  ASSIGN_OR_RETURN(Connection connection, database->Connect());
  RETURN_IF_ERROR(connection.SetQueryTimeout(absl::Minutes(2)));
  RETURN_IF_ERROR(series.AddToTrustStore(connection, kCertificates));
  // As autovacuum does a minute after an import.
  RETURN_IF_ERROR(connection.ExecuteScript("ANALYZE"));
  ASSIGN_OR_RETURN(std::unique_ptr<TvsdSite> nodes, TvsdSite::Create(database->Conninfo("trustline_tvsd")));
  return std::unique_ptr<BenchmarkSite>(new BenchmarkSite{std::move(database), std::move(series), std::move(nodes)});
}

absl::StatusOr<std::unique_ptr<TvsdProcess>> BenchmarkSite::StartNode(const TvsdOptions& options) const {
  ASSIGN_OR_RETURN(std::unique_ptr<TvsdProcess> node, TvsdProcess::Start(*nodes, options));
  RETURN_IF_ERROR(node->WaitUntilReady());
  return node;
}

std::string BenchmarkSite::VerifyRequest(std::string_view der) const {
  return EncodeTvsVerifyRequest(kSessionId, "CP-8841-SEP001122334455", AsBytes(der)).value_or("");
}

std::string BenchmarkSite::ValidAnswer() const {
  return EncodeTvsVerifyResponse(kSessionId,
                                 {.valid = true, .roles = {CertificateRole::kAppServer}, .ttl_seconds = 24 * 60 * 60});
}

}  // namespace trustline
