// One accepted connection, from its first byte to its end, and what the connections of a listener share on one worker.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "common/net/connection_limits.h"
#include "common/net/deadline_list.h"
#include "common/net/io_workers.h"
#include "common/net/session.h"
#include "common/net/stream_server.h"
#include "common/net/transport.h"
#include "common/posix/unique_fd.h"

namespace trustline {

class StreamConnection;

// A socket that was just accepted. The slot is given back when the connection closes.
struct AcceptedSocket {
  UniqueFd fd;
  Peer peer;
  bool is_v4 = false;
  ConnectionLimits::Slot slot;
};

// The connections of one listener on one worker. Everything but the constructor, destructor and Enqueue runs in its
// thread.
class ListenerShard {
 public:
  // `options`, `tls`, whatever it ever points to, `factory` and `statistics` must outlive the shard.
  ListenerShard(std::shared_ptr<IoWorker> worker, const StreamServerOptions& options,
                const std::atomic<TlsContext*>& tls, const SessionFactory& factory, ListenerStatistics& statistics);
  ~ListenerShard();

  // Takes over a socket, from any thread. The worker adopts a few at a time, so that a flood of new connections does
  // not hold up those that are in the middle of a handshake or a request.
  void Enqueue(AcceptedSocket socket);

  // Closes all connections. Handlers already queued refer to the shard: run the worker once more before destroying it.
  // Nothing may be enqueued any more.
  void Stop();

 private:
  friend class StreamConnection;

  void AdoptWaiting();
  void Adopt(AcceptedSocket socket);
  void Report(ConnectionEvent::Kind kind, const Peer& peer, std::string_view detail) const;

  std::mutex waiting_mutex_;
  std::deque<AcceptedSocket> waiting_;
  bool adoption_queued_ = false;

  const std::shared_ptr<IoWorker> worker_;
  const StreamServerOptions& options_;
  const std::atomic<TlsContext*>& tls_;  // of new handshakes; null: plain TCP
  const SessionFactory& factory_;
  ListenerStatistics& statistics_;
  DeadlineList handshake_deadlines_;
  DeadlineList exchange_deadlines_;
  DeadlineList patient_deadlines_;
  DeadlineList linger_deadlines_;
  std::unordered_set<std::shared_ptr<StreamConnection>> connections_;
};

// A state machine over a non-blocking socket; the states are named for what they await:
//   first bytes -> handshake -> request -> (answer to leave) -> (outside work) -> request ... -> last bytes -> closed.
// Until the first bytes come it has no transport and no session, so that silent connections cost a few hundred bytes.
class StreamConnection final : public DeadlineEntry, public std::enable_shared_from_this<StreamConnection> {
 public:
  StreamConnection(ListenerShard& shard, Peer peer, ConnectionLimits::Slot slot);
  ~StreamConnection() override;

  void Start(UniqueFd fd, bool is_v4);
  void Close();

 private:
  using WaitType = boost::asio::ip::tcp::socket::wait_type;
  enum class State { kFirstBytes, kHandshake, kRequest, kAnswerToLeave, kOutsideWork, kLastBytes, kClosed };

  void OnDeadline() override;

  void Wait(WaitType type);
  void OnReady();
  void BeginTransport();
  void ContinueHandshake();
  void BeginSession();
  void ReadRequests();
  void OnNothingToRead(Transport::Outcome why);
  bool Drain();
  void RestartExchangeDeadline();
  bool SendAnswer();
  bool FinishActions();
  void StartOutsideWork();
  void OnOutsideWorkDone(uint64_t number);

  void WaitFor(Transport::Outcome wanted);
  // Lets what was sent arrive: a close with unread input would reset the connection and destroy the answer on its way.
  void CloseAfterLastBytes();
  void DiscardLastBytes();
  void CloseMidMessage(std::string_view detail);

  ListenerShard& shard_;
  Peer peer_;
  ConnectionLimits::Slot slot_;
  boost::asio::ip::tcp::socket socket_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<PhoneSession> session_;
  SessionActions actions_;            // What the session asked for and is not yet done.
  uint64_t outside_work_number_ = 0;  // Tells a late or repeated `done` from the current one.
  uint32_t discarded_ = 0;            // Bytes thrown away while awaiting the end.
  State state_ = State::kFirstBytes;
  bool message_begun_ = false;  // Bytes came since the last answer or renewal.
  bool drain_due_ = false;      // Bytes came since the last OnDrained.
  bool is_patient_ = false;
};

}  // namespace trustline
