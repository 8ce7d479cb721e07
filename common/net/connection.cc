#include "common/net/connection.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "common/net/socket_bio.h"
#include "common/net/tls_context.h"

namespace trustline {
namespace {

using boost::asio::ip::tcp;

// Reads in a row before other connections have their turn.
constexpr int kReadsPerTurn = 4;

// New connections in a row before the others have their turn.
constexpr int kAdoptionsPerTurn = 32;

// How long, and for how many bytes, a closing connection waits for the peer to stop sending.
constexpr std::chrono::seconds kLingerTime{1};
constexpr uint32_t kLingerBytes = 256 * 1024;

void Count(std::atomic<uint64_t>& counter, uint64_t by = 1) { counter.fetch_add(by, std::memory_order_relaxed); }

}  // namespace

ListenerShard::ListenerShard(std::shared_ptr<IoWorker> worker, const TlsServerOptions& options,
                             const std::atomic<TlsContext*>& tls, const SessionFactory& factory,
                             ListenerStatistics& statistics)
    : worker_(std::move(worker)),
      options_(options),
      tls_(tls),
      factory_(factory),
      statistics_(statistics),
      handshake_deadlines_(worker_->context(), options.handshake_deadline),
      exchange_deadlines_(worker_->context(), options.exchange_deadline),
      patient_deadlines_(worker_->context(), options.patient_deadline),
      linger_deadlines_(worker_->context(), kLingerTime) {}

ListenerShard::~ListenerShard() = default;

void ListenerShard::Enqueue(AcceptedSocket socket) {
  {
    const std::lock_guard lock(waiting_mutex_);
    waiting_.push_back(std::move(socket));
    if (std::exchange(adoption_queued_, true)) return;
  }
  boost::asio::post(worker_->context(), [this] { AdoptWaiting(); });
}

void ListenerShard::AdoptWaiting() {
  for (int adopted = 0; adopted < kAdoptionsPerTurn; ++adopted) {
    AcceptedSocket socket;
    {
      const std::lock_guard lock(waiting_mutex_);
      if (waiting_.empty()) {
        adoption_queued_ = false;
        return;
      }
      socket = std::move(waiting_.front());
      waiting_.pop_front();
    }
    Adopt(std::move(socket));
  }
  boost::asio::post(worker_->context(), [this] { AdoptWaiting(); });
}

void ListenerShard::Adopt(AcceptedSocket socket) {
  auto connection = std::make_shared<TlsConnection>(*this, std::move(socket.peer), std::move(socket.slot));
  connections_.insert(connection);
  statistics_.open_connections.fetch_add(1, std::memory_order_relaxed);
  connection->Start(std::move(socket.fd), socket.is_v4);
}

void ListenerShard::Stop() {
  {
    const std::lock_guard lock(waiting_mutex_);
    waiting_.clear();
  }
  while (!connections_.empty()) (*connections_.begin())->Close();
  handshake_deadlines_.Stop();
  exchange_deadlines_.Stop();
  patient_deadlines_.Stop();
  linger_deadlines_.Stop();
}

void ListenerShard::Report(ConnectionEvent::Kind kind, const Peer& peer, std::string_view detail) const {
  if (options_.on_event) options_.on_event({kind, peer, detail});
}

TlsConnection::TlsConnection(ListenerShard& shard, Peer peer, ConnectionLimits::Slot slot)
    : shard_(shard), peer_(std::move(peer)), slot_(std::move(slot)), socket_(shard.worker_->context()) {}

TlsConnection::~TlsConnection() = default;

void TlsConnection::Start(UniqueFd fd, bool is_v4) {
  boost::system::error_code error;
  socket_.assign(is_v4 ? tcp::v4() : tcp::v6(), fd.get(), error);
  if (error) {
    Close();
    return;
  }
  fd.Release();  // The socket owns it now.
  shard_.handshake_deadlines_.Restart(*this);
  Wait(WaitType::wait_read);
}

void TlsConnection::Close() {
  if (state_ == State::kClosed) return;
  const std::shared_ptr<TlsConnection> self = shared_from_this();
  state_ = State::kClosed;
  unlink();
  session_.reset();
  actions_ = {};
  ssl_.reset();
  boost::system::error_code ignored;
  socket_.close(ignored);
  slot_ = {};
  shard_.statistics_.open_connections.fetch_sub(1, std::memory_order_relaxed);
  shard_.connections_.erase(self);
}

void TlsConnection::OnDeadline() {
  switch (state_) {
    case State::kFirstBytes:
    case State::kHandshake:
      Count(shard_.statistics_.handshake_deadlines);
      shard_.Report(ConnectionEvent::Kind::kHandshakeDeadline, peer_,
                    state_ == State::kFirstBytes ? "the peer sent nothing" : "the peer did not finish the handshake");
      break;
    case State::kRequest:
    case State::kAnswerToLeave:
    case State::kOutsideWork:
      Count(shard_.statistics_.exchange_deadlines);
      shard_.Report(ConnectionEvent::Kind::kExchangeDeadline, peer_,
                    state_ == State::kAnswerToLeave ? "the peer did not take the answer"
                    : state_ == State::kOutsideWork ? "the answer was not ready in time"
                    : message_begun_                ? "the peer did not finish its request"
                                                    : "the peer sent no request");
      break;
    case State::kLastBytes:
    case State::kClosed:
      break;
  }
  Close();
}

void TlsConnection::Wait(WaitType type) {
  socket_.async_wait(type, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->OnReady();
  });
}

void TlsConnection::OnReady() {
  switch (state_) {
    case State::kFirstBytes:
      BeginTls();
      break;
    case State::kHandshake:
      ContinueHandshake();
      break;
    case State::kRequest:
      ReadRequests();
      break;
    case State::kAnswerToLeave:
      if (SendAnswer()) ReadRequests();
      break;
    case State::kLastBytes:
      DiscardLastBytes();
      break;
    case State::kOutsideWork:
    case State::kClosed:
      break;
  }
}

void TlsConnection::BeginTls() {
  ssl_.reset(SSL_new(shard_.tls_.load(std::memory_order_acquire)->ssl_ctx()));
  if (ssl_ == nullptr || !AttachSocket(ssl_.get(), socket_.native_handle())) {
    ERR_clear_error();
    Count(shard_.statistics_.handshakes_failed);
    shard_.Report(ConnectionEvent::Kind::kHandshakeFailed, peer_, "out of memory");
    Close();
    return;
  }
  SSL_set_accept_state(ssl_.get());
  state_ = State::kHandshake;
  ContinueHandshake();
}

void TlsConnection::ContinueHandshake() {
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    Count(SSL_session_reused(ssl_.get()) ? shard_.statistics_.handshakes_resumed : shard_.statistics_.handshakes_full);
    session_ = shard_.factory_(peer_);
    state_ = State::kRequest;
    RestartExchangeDeadline();
    actions_ = session_->OnConnected();
    if (SendAnswer()) ReadRequests();
    return;
  }
  const int error_number = errno;
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) {
    Wait(WaitType::wait_read);
  } else if (error == SSL_ERROR_WANT_WRITE) {
    Wait(WaitType::wait_write);
  } else {
    Count(shard_.statistics_.handshakes_failed);
    shard_.Report(ConnectionEvent::Kind::kHandshakeFailed, peer_, TlsFailureReason(ssl_.get(), error, error_number));
    CloseAfterLastBytes();  // The alert tells the peer why.
  }
}

void TlsConnection::ReadRequests() {
  auto& buffer = shard_.worker_->read_buffer();
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    ERR_clear_error();
    errno = 0;
    const int count = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (count <= 0) {
      OnReadFailure(count);
      return;
    }
    Count(shard_.statistics_.bytes_in, static_cast<uint64_t>(count));
    message_begun_ = true;
    actions_ = session_->OnBytes(ByteView(buffer.data(), static_cast<size_t>(count)));
    // It may have been an authentication string. Sessions keep what they need.
    OPENSSL_cleanse(buffer.data(), static_cast<size_t>(count));
    if (!SendAnswer()) return;
  }
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->OnReady(); });
}

void TlsConnection::OnReadFailure(int result) {
  const int error_number = errno;
  const int error = SSL_get_error(ssl_.get(), result);
  switch (error) {
    case SSL_ERROR_WANT_READ:
      Wait(WaitType::wait_read);
      return;
    case SSL_ERROR_WANT_WRITE:
      Wait(WaitType::wait_write);
      return;
    case SSL_ERROR_ZERO_RETURN:
      if (message_begun_) {
        CloseMidMessage("the peer closed the connection before its request was complete");
        return;
      }
      SSL_shutdown(ssl_.get());
      ERR_clear_error();
      CloseAfterLastBytes();
      return;
    default:
      if (message_begun_) {
        CloseMidMessage(TlsFailureReason(ssl_.get(), error, error_number));
        return;
      }
      ERR_clear_error();
      Close();
  }
}

void TlsConnection::RestartExchangeDeadline() {
  (is_patient_ ? shard_.patient_deadlines_ : shard_.exchange_deadlines_).Restart(*this);
}

// Sends what `actions_` asks for and does the rest of it. True when the connection is ready to read on.
bool TlsConnection::SendAnswer() {
  // Once, though a `send` that does not leave at once comes here again.
  const bool becomes_patient = std::exchange(actions_.patient, false) && !std::exchange(is_patient_, true);
  const bool renews = std::exchange(actions_.renew_deadline, false);
  if (renews) message_begun_ = false;
  if (renews || becomes_patient) RestartExchangeDeadline();
  if (actions_.send.empty()) return FinishActions();
  ERR_clear_error();
  errno = 0;
  const int sent = SSL_write(ssl_.get(), actions_.send.data(), static_cast<int>(actions_.send.size()));
  if (sent > 0) {
    Count(shard_.statistics_.bytes_out, static_cast<uint64_t>(sent));
    message_begun_ = false;
    if (!actions_.close) RestartExchangeDeadline();
    return FinishActions();
  }
  const int error_number = errno;
  const int error = SSL_get_error(ssl_.get(), sent);
  if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
    state_ = State::kAnswerToLeave;
    Wait(error == SSL_ERROR_WANT_WRITE ? WaitType::wait_write : WaitType::wait_read);
    return false;
  }
  CloseMidMessage(fmt::format("the answer could not leave: {}", TlsFailureReason(ssl_.get(), error, error_number)));
  return false;
}

bool TlsConnection::FinishActions() {
  state_ = State::kRequest;
  if (actions_.close) {
    SSL_shutdown(ssl_.get());
    ERR_clear_error();
    CloseAfterLastBytes();
    return false;
  }
  if (actions_.wait_for) {
    StartOutsideWork();
    return false;
  }
  return true;
}

void TlsConnection::StartOutsideWork() {
  state_ = State::kOutsideWork;
  const auto work = std::move(actions_.wait_for);
  actions_ = {};
  // `done` keeps the worker's event loop, not the connection: it may come after the end of both.
  work([worker = shard_.worker_, connection = weak_from_this(), number = ++outside_work_number_] {
    boost::asio::post(worker->context(), [connection, number] {
      if (const auto self = connection.lock()) self->OnOutsideWorkDone(number);
    });
  });
}

void TlsConnection::OnOutsideWorkDone(uint64_t number) {
  if (state_ != State::kOutsideWork || number != outside_work_number_) return;
  actions_ = session_->OnWaitDone();
  if (SendAnswer()) ReadRequests();
}

void TlsConnection::CloseMidMessage(std::string_view detail) {
  Count(shard_.statistics_.closed_mid_message);
  shard_.Report(ConnectionEvent::Kind::kClosedMidMessage, peer_, detail);
  Close();
}

void TlsConnection::CloseAfterLastBytes() {
  int unread = 0;
  if (ioctl(socket_.native_handle(), FIONREAD, &unread) != 0 || unread == 0) {
    Close();
    return;
  }
  session_.reset();
  ssl_.reset();
  shutdown(socket_.native_handle(), SHUT_WR);
  state_ = State::kLastBytes;
  shard_.linger_deadlines_.Restart(*this);
  DiscardLastBytes();
}

void TlsConnection::DiscardLastBytes() {
  auto& buffer = shard_.worker_->read_buffer();
  while (discarded_ < kLingerBytes) {
    const ssize_t count = recv(socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      Wait(WaitType::wait_read);
      return;
    }
    if (count <= 0) break;
    discarded_ += static_cast<uint32_t>(count);
  }
  Close();
}

}  // namespace trustline
