#include "common/net/udp_server.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <vector>

#include "common/net/datagram_socket.h"
#include "common/net/ip_address.h"
#include "common/net/listening_socket.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Datagrams in a row before connections of the same worker have their turn.
constexpr int kDatagramsPerTurn = 64;

// UDP's length field has 16 bits (RFC 768).
constexpr size_t kLargestDatagram = 65'535;

// What replies keep, which may outlive the server.
class AnswerSocket {
 public:
  explicit AnswerSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  void Send(const DatagramPath& to, std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    if (!fd_.valid()) return;
    const bool sent = SendDatagram(fd_.get(), to, bytes);
    (sent ? statistics_.sent : statistics_.not_sent).fetch_add(1, std::memory_order_relaxed);
  }

  void Close() {
    const std::lock_guard lock(mutex_);
    fd_.Reset();
  }

  // Valid until Close, which the reader calls itself.
  int fd() const { return fd_.get(); }
  DatagramStatistics& statistics() { return statistics_; }

 private:
  std::mutex mutex_;
  UniqueFd fd_;
  DatagramStatistics statistics_;
};

}  // namespace

class UdpServer::Impl {
 public:
  Impl(IoWorkers& workers, UdpServerOptions options, DatagramHandler handler, UniqueFd fd)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        port_(LocalPort(fd.get())),
        worker_(*workers.worker(port_ % workers.size())),  // Several listeners use several workers.
        socket_(std::make_shared<AnswerSocket>(std::move(fd))),
        room_(options_.largest_datagram),
        readable_(worker_.context(), socket_->fd()) {}

  void Start() {
    boost::asio::post(worker_.context(), [this] { WaitForDatagrams(); });
  }

  void Stop() {
    std::call_once(stopped_once_, [this] {
      worker_.RunAndSettle([this] {
        stopped_ = true;
        readable_.release();  // The descriptor is the socket's to close.
      });
      socket_->Close();
    });
  }

  uint16_t port() const { return port_; }
  const UdpServerOptions& options() const { return options_; }
  const DatagramStatistics& statistics() const { return socket_->statistics(); }

 private:
  void WaitForDatagrams() {
    if (stopped_) return;
    readable_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](const boost::system::error_code& error) {
                           if (!error) TakeTurn();
                         });
  }

  void TakeTurn() {
    if (stopped_) return;
    for (int count = 0; count < kDatagramsPerTurn; ++count) {
      const ReceivedDatagram datagram = ReceiveDatagram(socket_->fd(), room_);
      switch (datagram.outcome) {
        case ReceiveOutcome::kNothing:
          WaitForDatagrams();
          return;
        case ReceiveOutcome::kTruncated:
          socket_->statistics().truncated.fetch_add(1, std::memory_order_relaxed);
          break;
        case ReceiveOutcome::kReceived:
          socket_->statistics().received.fetch_add(1, std::memory_order_relaxed);
          HandOver(datagram);
          break;
      }
    }
    boost::asio::post(worker_.context(), [this] { TakeTurn(); });
  }

  void HandOver(const ReceivedDatagram& datagram) {
    const sockaddr_storage& from = datagram.path.peer;
    const Peer peer{.address = IpAddress::FromSockaddr(from).ToText(),
                    .port = SockaddrPort(from),
                    .listener = options_.name,
                    .worker = worker_.index()};
    handler_(peer, ByteView(room_.data(), datagram.size),
             [socket = socket_, path = datagram.path](const std::string& bytes) { socket->Send(path, bytes); });
  }

  const UdpServerOptions options_;
  const DatagramHandler handler_;
  const uint16_t port_;
  IoWorker& worker_;
  const std::shared_ptr<AnswerSocket> socket_;
  std::once_flag stopped_once_;

  // Touched by the worker's thread only.
  std::vector<uint8_t> room_;
  boost::asio::posix::stream_descriptor readable_;
  bool stopped_ = false;
};

absl::StatusOr<std::unique_ptr<UdpServer>> UdpServer::Start(IoWorkers& workers, UdpServerOptions options,
                                                            DatagramHandler handler) {
  if (options.largest_datagram == 0 || options.largest_datagram > kLargestDatagram) {
    return InvalidArgument("listener {}: the largest datagram has 1 to {} bytes", options.name, kLargestDatagram);
  }
  auto fd = ReceiveDatagramsOn(options.address, options.port, options.interface);
  if (!fd.ok()) return Annotate(fd.status(), fmt::format("listener {}", options.name));
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(workers, std::move(options), std::move(handler), *std::move(fd));
  } catch (const boost::system::system_error& error) {
    return Unavailable("cannot watch the listening socket: {}", error.what());
  }
  impl->Start();
  return std::unique_ptr<UdpServer>(new UdpServer(std::move(impl)));
}

UdpServer::UdpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

UdpServer::~UdpServer() { Stop(); }

uint16_t UdpServer::port() const { return impl_->port(); }
const UdpServerOptions& UdpServer::options() const { return impl_->options(); }
const DatagramStatistics& UdpServer::statistics() const { return impl_->statistics(); }
void UdpServer::Stop() { impl_->Stop(); }

}  // namespace trustline
