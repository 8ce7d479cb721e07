// One blocking HTTP GET, for readiness checks.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/net/http_server.h"

namespace trustline {

// `address` is an IPv4 or IPv6 address; `timeout` covers everything. Any HTTP status is a response; Unavailable when
// nobody answers, DeadlineExceeded when the answer is not complete in time. Answers are limited to 16 MB.
absl::StatusOr<HttpResponse> HttpGet(const std::string& address, uint16_t port, std::string_view path,
                                     std::chrono::milliseconds timeout);

}  // namespace trustline
