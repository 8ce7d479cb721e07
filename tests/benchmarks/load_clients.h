// Clients that ask one question a connection, as fast as the server answers or at a given pace.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trustline {

struct Load {
  uint16_t port = 0;                 // On 127.0.0.1.
  int max_version = TLS1_3_VERSION;  // TLS1_2_VERSION or TLS1_3_VERSION
  bool resume = false;               // Resume by ticket after the first connection.
  size_t clients = 16;               // Threads, each with one connection at a time.
  std::string request;
  std::string answer;  // Any other is a failure.
  std::chrono::milliseconds duration{1'000};
  // Between two questions of one client; zero: as fast as it is answered.
  std::chrono::microseconds interval{0};
};

struct LoadResult {
  uint64_t answers = 0;
  uint64_t resumed = 0;
  uint64_t failures = 0;
  double seconds = 0;
  // Milliseconds from the moment when a question was due to its answer.
  std::vector<double> latencies;
  double rate() const { return static_cast<double>(answers) / seconds; }
};

// Runs the clients on this thread's processor cores.
LoadResult RunLoad(const Load& load);

}  // namespace trustline
