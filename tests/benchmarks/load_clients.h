// Clients that ask one question a connection, as fast as the server answers.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace trustline {

struct Load {
  uint16_t port = 0;                 // On 127.0.0.1.
  int max_version = TLS1_3_VERSION;  // TLS1_2_VERSION or TLS1_3_VERSION
  bool resume = false;               // Resume by ticket after the first connection.
  size_t clients = 16;               // Threads, each with one connection at a time.
  size_t request_size = 900;
  size_t answer_size = 30;
  std::chrono::milliseconds duration{1'000};
};

struct LoadResult {
  uint64_t answers = 0;
  uint64_t resumed = 0;
  uint64_t failures = 0;
  double seconds = 0;
  double rate() const { return static_cast<double>(answers) / seconds; }
};

// Runs the clients on this thread's processor cores.
LoadResult RunLoad(const Load& load);

}  // namespace trustline
