#include "common/net/connection.h"

#include <openssl/crypto.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "common/status/status.h"

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

ListenerShard::ListenerShard(std::shared_ptr<IoWorker> worker, const StreamServerOptions& options,
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
  auto connection = std::make_shared<StreamConnection>(*this, std::move(socket.peer), std::move(socket.slot));
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

StreamConnection::StreamConnection(ListenerShard& shard, Peer peer, ConnectionLimits::Slot slot)
    : shard_(shard), peer_(std::move(peer)), slot_(std::move(slot)), socket_(shard.worker_->context()) {}

StreamConnection::~StreamConnection() = default;

void StreamConnection::Start(UniqueFd fd, bool is_v4) {
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

void StreamConnection::Close() {
  if (state_ == State::kClosed) return;
  const std::shared_ptr<StreamConnection> self = shared_from_this();
  state_ = State::kClosed;
  unlink();
  session_.reset();
  actions_ = {};
  transport_.reset();
  boost::system::error_code ignored;
  socket_.close(ignored);
  slot_ = {};
  shard_.statistics_.open_connections.fetch_sub(1, std::memory_order_relaxed);
  shard_.connections_.erase(self);
}

void StreamConnection::OnDeadline() {
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

void StreamConnection::Wait(WaitType type) {
  socket_.async_wait(type, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->OnReady();
  });
}

void StreamConnection::OnReady() {
  switch (state_) {
    case State::kFirstBytes:
      BeginTransport();
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

void StreamConnection::WaitFor(Transport::Outcome wanted) {
  Wait(wanted == Transport::Outcome::kWantWrite ? WaitType::wait_write : WaitType::wait_read);
}

void StreamConnection::BeginTransport() {
  const TlsContext* const tls = shard_.tls_.load(std::memory_order_acquire);
  const int fd = socket_.native_handle();
  transport_ = tls == nullptr ? MakePlainTransport(fd) : MakeTlsTransport(*tls, fd);
  if (transport_ == nullptr) {
    Count(shard_.statistics_.handshakes_failed);
    shard_.Report(ConnectionEvent::Kind::kHandshakeFailed, peer_, "out of memory");
    Close();
    return;
  }
  state_ = State::kHandshake;
  ContinueHandshake();
}

void StreamConnection::ContinueHandshake() {
  const Transport::Outcome outcome = transport_->ShakeHands();
  switch (outcome) {
    case Transport::Outcome::kDone:
      BeginSession();
      break;
    case Transport::Outcome::kWantRead:
    case Transport::Outcome::kWantWrite:
      WaitFor(outcome);
      break;
    case Transport::Outcome::kEnd:
    case Transport::Outcome::kFailed:
      Count(shard_.statistics_.handshakes_failed);
      shard_.Report(ConnectionEvent::Kind::kHandshakeFailed, peer_, transport_->failure());
      CloseAfterLastBytes();  // The alert tells the peer why.
      break;
  }
}

void StreamConnection::BeginSession() {
  switch (transport_->handshake()) {
    case Transport::Handshake::kNone:
      break;
    case Transport::Handshake::kFull:
      Count(shard_.statistics_.handshakes_full);
      break;
    case Transport::Handshake::kResumed:
      Count(shard_.statistics_.handshakes_resumed);
      break;
  }
  peer_.certificate = transport_->peer_certificate();
  session_ = shard_.factory_(peer_);
  state_ = State::kRequest;
  RestartExchangeDeadline();
  actions_ = session_->OnConnected();
  if (SendAnswer()) ReadRequests();
}

void StreamConnection::ReadRequests() {
  auto& buffer = shard_.worker_->read_buffer();
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    const auto [outcome, count] = transport_->Read(buffer);
    if (outcome != Transport::Outcome::kDone) {
      OnNothingToRead(outcome);
      return;
    }
    Count(shard_.statistics_.bytes_in, count);
    message_begun_ = true;
    drain_due_ = true;
    actions_ = session_->OnBytes(ByteView(buffer.data(), count));
    // It may have been an authentication string. Sessions keep what they need.
    OPENSSL_cleanse(buffer.data(), count);
    if (!SendAnswer()) return;
  }
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->OnReady(); });
}

// A peer that has said its last word (kEnd) still gets the answers that it waits for. The transport says kEnd again
// after each of them, until nothing is left to do.
void StreamConnection::OnNothingToRead(Transport::Outcome why) {
  switch (why) {
    case Transport::Outcome::kDone:
      break;
    case Transport::Outcome::kWantRead:
    case Transport::Outcome::kWantWrite:
      if (Drain()) WaitFor(why);
      break;
    case Transport::Outcome::kEnd:
      if (!Drain()) return;
      if (message_begun_) {
        CloseMidMessage("the peer closed the connection before its request was complete");
        return;
      }
      transport_->SayEnd();
      CloseAfterLastBytes();
      break;
    case Transport::Outcome::kFailed:
      if (message_begun_) {
        CloseMidMessage(transport_->failure());
        return;
      }
      Close();
      break;
  }
}

// Tells the session, if bytes have come, that there are no more. True when nothing is left to be done before the next.
bool StreamConnection::Drain() {
  if (!std::exchange(drain_due_, false)) return true;
  actions_ = session_->OnDrained();
  return SendAnswer();
}

void StreamConnection::RestartExchangeDeadline() {
  (is_patient_ ? shard_.patient_deadlines_ : shard_.exchange_deadlines_).Restart(*this);
}

// Sends what `actions_` asks for and does the rest of it. True when the connection is ready to read on.
bool StreamConnection::SendAnswer() {
  // Once, though a `send` that does not leave at once comes here again.
  const bool becomes_patient = std::exchange(actions_.patient, false) && !std::exchange(is_patient_, true);
  const bool renews = std::exchange(actions_.renew_deadline, false);
  if (renews) message_begun_ = false;
  if (renews || becomes_patient) RestartExchangeDeadline();
  if (actions_.send.empty()) return FinishActions();
  const Transport::Outcome outcome = transport_->Write(AsBytes(actions_.send));
  switch (outcome) {
    case Transport::Outcome::kDone:
      Count(shard_.statistics_.bytes_out, actions_.send.size());
      message_begun_ = false;
      if (!actions_.close) RestartExchangeDeadline();
      return FinishActions();
    case Transport::Outcome::kWantRead:
    case Transport::Outcome::kWantWrite:
      state_ = State::kAnswerToLeave;
      WaitFor(outcome);
      return false;
    case Transport::Outcome::kEnd:
    case Transport::Outcome::kFailed:
      CloseMidMessage(fmt::format("the answer could not leave: {}", transport_->failure()));
      break;
  }
  return false;
}

bool StreamConnection::FinishActions() {
  state_ = State::kRequest;
  if (actions_.close) {
    transport_->SayEnd();
    CloseAfterLastBytes();
    return false;
  }
  if (actions_.wait_for) {
    StartOutsideWork();
    return false;
  }
  return true;
}

void StreamConnection::StartOutsideWork() {
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

void StreamConnection::OnOutsideWorkDone(uint64_t number) {
  if (state_ != State::kOutsideWork || number != outside_work_number_) return;
  actions_ = session_->OnWaitDone();
  if (SendAnswer()) ReadRequests();
}

void StreamConnection::CloseMidMessage(std::string_view detail) {
  Count(shard_.statistics_.closed_mid_message);
  shard_.Report(ConnectionEvent::Kind::kClosedMidMessage, peer_, detail);
  Close();
}

void StreamConnection::CloseAfterLastBytes() {
  int unread = 0;
  if (ioctl(socket_.native_handle(), FIONREAD, &unread) != 0 || unread == 0) {
    Close();
    return;
  }
  session_.reset();
  transport_.reset();
  shutdown(socket_.native_handle(), SHUT_WR);
  state_ = State::kLastBytes;
  shard_.linger_deadlines_.Restart(*this);
  DiscardLastBytes();
}

void StreamConnection::DiscardLastBytes() {
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
