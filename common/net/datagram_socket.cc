#include "common/net/datagram_socket.h"

#include <cerrno>
#include <cstring>

namespace trustline {
namespace {

// Room for one control message that carries the larger of the two addresses.
constexpr size_t kControlSize = CMSG_SPACE(sizeof(in6_pktinfo));

template <typename Info>
Info ReadInfo(cmsghdr* control) {
  Info info;
  std::memcpy(&info, CMSG_DATA(control), sizeof(info));
  return info;
}

void ReadLocalAddress(msghdr& message, DatagramPath& path) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr; control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO &&
        control->cmsg_len >= CMSG_LEN(sizeof(in_pktinfo))) {
      auto info = ReadInfo<in_pktinfo>(control);
      info.ipi_ifindex = 0;  // The answer goes where the routes lead, which need not be where the question came in.
      path.local = info;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO &&
               control->cmsg_len >= CMSG_LEN(sizeof(in6_pktinfo))) {
      auto info = ReadInfo<in6_pktinfo>(control);
      // A link-local address means nothing without its interface (RFC 4007, section 6).
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      path.local = info;
    }
  }
}

template <typename Info>
void WriteInfo(msghdr& message, std::span<char> room, int level, int type, const Info& info) {
  message.msg_control = room.data();
  message.msg_controllen = CMSG_SPACE(sizeof(info));
  cmsghdr* const control = CMSG_FIRSTHDR(&message);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(sizeof(info));
  std::memcpy(CMSG_DATA(control), &info, sizeof(info));
}

}  // namespace

ReceivedDatagram ReceiveDatagram(int fd, std::span<uint8_t> room) {
  ReceivedDatagram result{.outcome = ReceiveOutcome::kNothing};
  alignas(cmsghdr) char control[kControlSize];
  iovec bytes{room.data(), room.size()};
  msghdr message{};
  message.msg_name = &result.path.peer;
  message.msg_namelen = sizeof(result.path.peer);
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size = recvmsg(fd, &message, 0);
  if (size < 0) return result;
  result.outcome = (message.msg_flags & MSG_TRUNC) != 0 ? ReceiveOutcome::kTruncated : ReceiveOutcome::kReceived;
  result.size = static_cast<size_t>(size);
  result.path.peer_size = message.msg_namelen;
  ReadLocalAddress(message, result.path);
  return result;
}

bool SendDatagram(int fd, const DatagramPath& to, std::string_view bytes) {
  alignas(cmsghdr) char control[kControlSize] = {};
  iovec content{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_name = const_cast<sockaddr_storage*>(&to.peer);
  message.msg_namelen = to.peer_size;
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  if (const auto* v4 = std::get_if<in_pktinfo>(&to.local)) {
    WriteInfo(message, control, IPPROTO_IP, IP_PKTINFO, *v4);
  } else if (const auto* v6 = std::get_if<in6_pktinfo>(&to.local)) {
    WriteInfo(message, control, IPPROTO_IPV6, IPV6_PKTINFO, *v6);
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace trustline
