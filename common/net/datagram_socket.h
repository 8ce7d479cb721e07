// A UDP socket whose answers leave from the address that the question was sent to.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "common/posix/unique_fd.h"

namespace trustline {

// Where a datagram came from, and the address of this machine that it came to.
struct DatagramPath {
  sockaddr_storage peer{};
  socklen_t peer_size = 0;
  // As the kernel said it; nothing when it did not: the kernel then chooses the address of an answer.
  std::variant<std::monostate, in_pktinfo, in6_pktinfo> local;
};

enum class ReceiveOutcome {
  kReceived,
  kTruncated,  // It was larger than the room for it.
  kNothing,    // No more for now.
};

struct ReceivedDatagram {
  ReceiveOutcome outcome;
  size_t size = 0;
  DatagramPath path;
};

// From a socket of ReceiveDatagramsOn.
ReceivedDatagram ReceiveDatagram(int fd, std::span<uint8_t> room);

// False when the network does not take it.
bool SendDatagram(int fd, const DatagramPath& to, std::string_view bytes);

}  // namespace trustline
