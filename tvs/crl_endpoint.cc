#include "tvs/crl_endpoint.h"

#include <algorithm>
#include <optional>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kPrefix = "/crl/";
constexpr std::string_view kSuffix = ".crl";
constexpr size_t kKeyNameDigits = 16;
constexpr std::chrono::seconds kRetryAfter{10};

// Empty for a path that is not that of a CRL.
std::optional<std::string> KeyNameIn(std::string_view path) {
  if (path.size() != kPrefix.size() + kKeyNameDigits + kSuffix.size() || !path.starts_with(kPrefix) ||
      !path.ends_with(kSuffix)) {
    return std::nullopt;
  }
  const std::string_view name = path.substr(kPrefix.size(), kKeyNameDigits);
  const bool digits =
      std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return digits ? std::optional<std::string>(name) : std::nullopt;
}

HttpResponse Respond(const absl::StatusOr<CrlDownload>& found, const CrlDownloadCounters& counters) {
  if (found.ok()) {
    (found->database_away ? counters.served_away : counters.served).Add();
    return {.content_type = "application/pkix-crl", .shared_body = found->der, .etag = ToHex(found->sha256)};
  }
  // The same words for every path and name: who asks learns nothing of which authorities there are.
  if (absl::IsNotFound(found.status())) {
    counters.not_found.Add();
    return {.status = 404, .body = "there is no such CRL\n"};
  }
  counters.unavailable.Add();
  return {
      .status = 503,
      .body = fmt::format("the CRL cannot be read now: try again in {} s, or ask another node\n", kRetryAfter.count()),
      .retry_after = kRetryAfter};
}

Counter& CounterOf(Metrics& metrics, const char* result) {
  return metrics.GetCounter("trustline_crl_downloads_total", "Requests for CRLs, by what became of them.",
                            {{"result", result}});
}

}  // namespace

CrlDownloadCounters::CrlDownloadCounters(Metrics& metrics)
    : served(CounterOf(metrics, "served")),
      served_away(CounterOf(metrics, "served_away")),
      not_found(CounterOf(metrics, "not_found")),
      unavailable(CounterOf(metrics, "unavailable")) {}

absl::StatusOr<std::unique_ptr<CrlEndpoint>> CrlEndpoint::Start(const CrlListenerConfig& config,
                                                                CrlDownloads& downloads,
                                                                const CrlDownloadCounters& counters) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<HttpServer> server,
      HttpServer::StartDeferred({.address = config.address,
                                 .port = config.port,
                                 .max_connections = config.connections,
                                 .max_connections_per_address = config.connections_per_address},
                                [counters, &downloads](std::string_view path, const HttpServer::Answer& answer) {
                                  std::optional<std::string> key_name = KeyNameIn(path);
                                  if (!key_name) {
                                    answer(Respond(absl::NotFoundError(""), counters));
                                    return;
                                  }
                                  downloads.Find(*std::move(key_name),
                                                 [counters, answer](const absl::StatusOr<CrlDownload>& found) {
                                                   answer(Respond(found, counters));
                                                 });
                                }));
  return std::unique_ptr<CrlEndpoint>(new CrlEndpoint(std::move(server)));
}

void CrlEndpoint::Stop() { server_->Stop(); }

}  // namespace trustline
