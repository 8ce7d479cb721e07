#include "common/net/stream_server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "common/net/connection.h"
#include "common/net/connection_limits.h"
#include "common/net/ip_address.h"
#include "common/net/listening_socket.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Connections accepted in a row before another listener has its turn.
constexpr int kAcceptsPerTurn = 128;

// Rest after running out of descriptors or memory; connections that end meanwhile free some.
constexpr std::chrono::milliseconds kAcceptPause{100};

// How often the ticket keys are looked at; cheap, because nothing happens until the interval is over.
constexpr std::chrono::seconds kTicketKeyCheck{1};

bool IsShortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

std::string_view ConnectionEventName(ConnectionEvent::Kind kind) {
  switch (kind) {
    case ConnectionEvent::Kind::kRefusedByAddressCap:
      return "refused_by_address_cap";
    case ConnectionEvent::Kind::kRefusedByTotalCap:
      return "refused_by_total_cap";
    case ConnectionEvent::Kind::kAcceptPaused:
      return "accept_paused";
    case ConnectionEvent::Kind::kHandshakeFailed:
      return "handshake_failed";
    case ConnectionEvent::Kind::kHandshakeDeadline:
      return "handshake_deadline";
    case ConnectionEvent::Kind::kExchangeDeadline:
      return "exchange_deadline";
    case ConnectionEvent::Kind::kClosedMidMessage:
      return "closed_mid_message";
  }
  return "unknown";
}

std::string Peer::ToText() const { return EndpointText(address, port); }

class StreamServer::Impl {
 public:
  Impl(IoWorkers& workers, StreamServerOptions options, SessionFactory factory, UniqueFd listener,
       std::vector<IpNetwork> exempt)
      : workers_(workers),
        options_(std::move(options)),
        factory_(std::move(factory)),
        tls_(options_.tls.get()),
        port_(LocalPort(listener.get())),
        limits_(options_.connections_per_address, options_.connections_total, std::move(exempt), options_.is_exempt),
        listener_(workers.acceptor().context(), listener.Release()),
        pause_(workers.acceptor().context()),
        ticket_key_check_(workers.acceptor().context()) {
    for (size_t index = 0; index < workers.size(); ++index) {
      shards_.push_back(std::make_unique<ListenerShard>(workers.worker(index), options_, tls_, factory_, statistics_));
    }
  }

  void Start() {
    boost::asio::post(workers_.acceptor().context(), [this] {
      WaitForConnections();
      if (options_.tls != nullptr) CheckTicketKeys();
    });
  }

  void UseTls(std::shared_ptr<TlsContext> tls) {
    const std::lock_guard lock(later_contexts_mutex_);
    TlsContext* const next = tls.get();
    if (std::ranges::find(later_contexts_, tls) == later_contexts_.end()) later_contexts_.push_back(std::move(tls));
    tls_.store(next, std::memory_order_release);
  }

  void Stop() {
    std::call_once(stopped_once_, [this] {
      workers_.acceptor().RunAndSettle([this] {
        stopped_ = true;
        boost::system::error_code ignored;
        listener_.close(ignored);
        pause_.cancel();
        ticket_key_check_.cancel();
      });
      // Nothing is enqueued any more.
      for (size_t index = 0; index < shards_.size(); ++index) {
        workers_.worker(index)->RunAndSettle([this, index] { shards_[index]->Stop(); });
      }
    });
  }

  uint16_t port() const { return port_; }
  const StreamServerOptions& options() const { return options_; }
  const ListenerStatistics& statistics() const { return statistics_; }

 private:
  void WaitForConnections() {
    listener_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [this](const boost::system::error_code& error) {
                           if (!error && !stopped_) AcceptWaiting();
                         });
  }

  void AcceptWaiting() {
    for (int accepts = 0; accepts < kAcceptsPerTurn; ++accepts) {
      sockaddr_storage address{};
      socklen_t size = sizeof(address);
      UniqueFd fd(accept4(listener_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.valid()) {
        Dispatch(std::move(fd), address);
        continue;
      }
      const int error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) break;
      if (IsShortage(error)) {
        PauseAccepting(error);
        return;
      }
      // What is left are errors of the connection that was to be accepted (accept(2)): the next may be well.
    }
    WaitForConnections();
  }

  void Dispatch(UniqueFd fd, const sockaddr_storage& sockaddr) {
    const IpAddress address = IpAddress::FromSockaddr(sockaddr);
    const size_t index = next_worker_;
    Peer peer{.address = address.ToText(), .port = SockaddrPort(sockaddr), .listener = options_.name, .worker = index};
    ConnectionLimits::Slot slot;
    switch (limits_.Admit(address, slot)) {
      case ConnectionLimits::Verdict::kAddressCap:
        statistics_.refused_by_address_cap.fetch_add(1, std::memory_order_relaxed);
        Report(ConnectionEvent::Kind::kRefusedByAddressCap, peer,
               "the address (of IPv6: its /64 network) has as many connections as one may have");
        return;
      case ConnectionLimits::Verdict::kTotalCap:
        statistics_.refused_by_total_cap.fetch_add(1, std::memory_order_relaxed);
        Report(ConnectionEvent::Kind::kRefusedByTotalCap, peer, "the listener has as many connections as it may have");
        return;
      case ConnectionLimits::Verdict::kAdmitted:
        break;
    }
    statistics_.accepted.fetch_add(1, std::memory_order_relaxed);
    next_worker_ = (index + 1) % shards_.size();
    shards_[index]->Enqueue({.fd = std::move(fd),
                             .peer = std::move(peer),
                             .is_v4 = sockaddr.ss_family == AF_INET,
                             .slot = std::move(slot)});
  }

  void PauseAccepting(int error) {
    statistics_.accept_pauses.fetch_add(1, std::memory_order_relaxed);
    Report(ConnectionEvent::Kind::kAcceptPaused, Peer{.listener = options_.name},
           fmt::format("accepting rests for {} ms: {}; raise the limit of open files (LimitNOFILE=, ulimit -n)",
                       kAcceptPause.count(), std::strerror(error)));
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled && !stopped_) AcceptWaiting();
    });
  }

  void CheckTicketKeys() {
    tls_.load(std::memory_order_acquire)->RotateTicketKeysIfDue();
    ticket_key_check_.expires_after(kTicketKeyCheck);
    ticket_key_check_.async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled && !stopped_) CheckTicketKeys();
    });
  }

  void Report(ConnectionEvent::Kind kind, const Peer& peer, std::string_view detail) const {
    if (options_.on_event) options_.on_event({kind, peer, detail});
  }

  IoWorkers& workers_;
  const StreamServerOptions options_;
  const SessionFactory factory_;
  // What UseTls was given. Connections use their context's ticket keys to the end, and workers read the pointer without
  // a lock: so none is given up before they are.
  std::mutex later_contexts_mutex_;
  std::vector<std::shared_ptr<TlsContext>> later_contexts_;
  std::atomic<TlsContext*> tls_;
  const uint16_t port_;
  ListenerStatistics statistics_;
  std::once_flag stopped_once_;

  // Touched by the accepting thread only.
  ConnectionLimits limits_;
  boost::asio::posix::stream_descriptor listener_;
  boost::asio::steady_timer pause_;
  boost::asio::steady_timer ticket_key_check_;
  size_t next_worker_ = 0;
  bool stopped_ = false;

  std::vector<std::unique_ptr<ListenerShard>> shards_;  // One a worker, each touched by its thread only.
};

absl::StatusOr<std::unique_ptr<StreamServer>> StreamServer::Start(IoWorkers& workers, StreamServerOptions options,
                                                                  SessionFactory factory) {
  std::vector<IpNetwork> exempt;
  for (const std::string& text : options.exempt_networks) {
    auto network = IpNetwork::Parse(text);
    if (!network.ok()) return Annotate(network.status(), fmt::format("listener {}, exempt networks", options.name));
    exempt.push_back(*network);
  }
  auto listener = ListenOn(options.address, options.port, options.interface);
  if (!listener.ok()) return Annotate(listener.status(), fmt::format("listener {}", options.name));
  std::unique_ptr<Impl> impl;
  try {
    impl = std::make_unique<Impl>(workers, std::move(options), std::move(factory), *std::move(listener),
                                  std::move(exempt));
  } catch (const boost::system::system_error& error) {
    return Unavailable("cannot watch the listening socket: {}", error.what());
  }
  impl->Start();
  return std::unique_ptr<StreamServer>(new StreamServer(std::move(impl)));
}

StreamServer::StreamServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StreamServer::~StreamServer() { Stop(); }

uint16_t StreamServer::port() const { return impl_->port(); }
const StreamServerOptions& StreamServer::options() const { return impl_->options(); }
const ListenerStatistics& StreamServer::statistics() const { return impl_->statistics(); }
void StreamServer::UseTls(std::shared_ptr<TlsContext> tls) { impl_->UseTls(std::move(tls)); }
void StreamServer::Stop() { impl_->Stop(); }

}  // namespace trustline
