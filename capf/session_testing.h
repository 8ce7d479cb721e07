// What the tests of the CAPF session share: a desk that answers as it is told and keeps what it was asked, an executor
// that waits to be told, and the part of the socket layer.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "capf/enrolment_desk.h"
#include "capf/message.h"
#include "capf/session.h"
#include "capf/session_pace.h"
#include "capf/work_queue.h"
#include "common/net/session.h"
#include "common/service/log.h"
#include "tests/support/fake_clock.h"

namespace trustline {

// The desk is the boundary of the session. Thread-safe where it records.
class ToldDesk final : public EnrolmentDesk {
 public:
  absl::StatusOr<Admission> Admit(const CapfElements& response, uint32_t session_id,
                                  std::string_view address) override {
    Record(fmt::format("Admit {} '{}' {} {}", response.device_name.value_or("-"),
                       response.password ? response.password->ExposeSecret() : "-", session_id, address));
    has_proof = response.certificate && response.signed_data && response.sha2_signed_data;
    if (!admit_error.ok()) return admit_error;
    return admission;
  }
  absl::StatusOr<std::string> Issue(const OperationClaim& claim, std::string_view key) override {
    public_key = key;
    RETURN_IF_ERROR(Record("Issue", claim));
    return certificate;
  }
  absl::Status Acknowledge(const OperationClaim& claim) override { return Record("Acknowledge", claim); }
  void Told(const OperationClaim& claim) override {
    EXPECT_EQ(claim.claim, admission.claim.claim);
    ++told;
  }
  void LeftUntold(const OperationClaim& claim) override {
    EXPECT_EQ(claim.claim, admission.claim.claim);
    ++left_untold;
  }
  absl::Status StoreFetched(const OperationClaim& claim, const CapfCertificate& shown) override {
    fetched = shown;
    return Record("StoreFetched", claim);
  }
  absl::Status Deleted(const OperationClaim& claim) override { return Record("Deleted", claim); }
  absl::Status Fail(const OperationClaim& claim, std::string_view reason) override {
    return Record("Fail", claim, fmt::format(": {}", reason));
  }
  absl::Status Release(const OperationClaim& claim) override {
    const absl::Status ignored = Record("Release", claim);
    return release_error;
  }

  std::vector<std::string> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  size_t CallsOf(std::string_view name) const {
    const std::vector<std::string> all = calls();
    return static_cast<size_t>(
        std::ranges::count_if(all, [&](const std::string& call) { return call.starts_with(name); }));
  }

  Admission admission;  // the answer to Admit
  absl::Status admit_error;
  absl::Status error;  // the answer to every other call but Release
  absl::Status release_error;
  std::string certificate = "a certificate";          // the answer to Issue
  std::function<void(std::string_view call)> during;  // called within each call

  std::atomic<int> told = 0;         // calls of Told
  std::atomic<int> left_untold = 0;  // and of LeftUntold
  bool has_proof = false;
  std::string public_key;
  CapfCertificate fetched;

 private:
  absl::Status Record(std::string_view call, const OperationClaim& claim, std::string_view more = "") {
    EXPECT_EQ(claim.claim, admission.claim.claim);
    EXPECT_EQ(claim.operation_id, admission.claim.operation_id);
    Record(fmt::format("{}{}", call, more));
    return error;
  }
  void Record(std::string call) {
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(call);
    }
    if (during) during(call);
  }

  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
};

// Does its work when it is told to, in the thread that tells it.
class ToldExecutor final : public Executor {
 public:
  bool Post(std::function<void()> work) override { return !is_full && PostAlways(std::move(work)); }
  bool PostAlways(std::function<void()> work) override {
    if (is_stopped) return false;
    waiting_.push_back(std::move(work));
    return true;
  }

  size_t waiting() const { return waiting_.size(); }
  bool RunOne() {
    if (waiting_.empty()) return false;
    const std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    work();
    return true;
  }
  void RunAll() {
    while (RunOne()) {
    }
  }

  bool is_full = false;
  bool is_stopped = false;

 private:
  std::deque<std::function<void()>> waiting_;
};

// Plays the socket layer for one session, and holds the session to the contract.
class PlayedConnection {
 public:
  PlayedConnection(CapfEndpoint& endpoint, ToldExecutor& executor, const Peer& peer = {.address = "192.0.2.7"})
      : executor_(executor), session_(endpoint.NewSession(peer)) {}

  // All that the executor has to do is done between the steps of the conversation.
  void Connect() {
    Begin();
    Settle();
  }
  void Receive(std::string_view bytes, size_t piece = 16'384) {
    for (size_t at = 0; at < bytes.size() && !closed(); at += piece) {
      Deliver(bytes.substr(at, piece));
      Settle();
    }
  }

  // The same in single steps.
  void Begin() { Perform(session_->OnConnected()); }
  void Deliver(std::string_view bytes) {
    ASSERT_FALSE(is_waiting_) << "no bytes are delivered while it waits";
    Perform(session_->OnBytes(AsBytes(bytes)));
  }
  // True when the session waited, and what it waited for is done.
  bool GoOn() {
    if (!is_waiting_ || !*is_done_) return false;
    is_waiting_ = false;
    Perform(session_->OnWaitDone());
    return true;
  }
  void Break() { session_.reset(); }

  const std::vector<std::string>& sent() const { return sent_; }
  std::string all_sent() const {
    std::string all;
    for (const std::string& message : sent_) all += message;
    return all;
  }
  bool closed() const { return closed_; }
  bool is_waiting() const { return is_waiting_; }
  bool patient = false;
  int renewals = 0;

 private:
  void Settle() {
    do executor_.RunAll();
    while (session_ && GoOn());
  }
  void Perform(SessionActions actions) {
    EXPECT_FALSE(closed_) << "nothing is asked for after the end";
    patient |= actions.patient;
    renewals += actions.renew_deadline ? 1 : 0;
    if (!actions.send.empty()) {
      const auto header = DecodeCapfHeader(AsBytes(actions.send).first(kCapfHeaderSize));
      ASSERT_TRUE(header.ok()) << header.status();
      EXPECT_EQ(kCapfHeaderSize + header->body_length, actions.send.size()) << "not one message";
      sent_.push_back(actions.send);
    }
    closed_ = actions.close;
    if (closed_ || !actions.wait_for) return;
    is_waiting_ = true;
    is_done_ = std::make_shared<bool>(false);
    const auto start = std::move(actions.wait_for);
    actions = {};
    start([done = is_done_] { *done = true; });
  }

  ToldExecutor& executor_;
  std::unique_ptr<PhoneSession> session_;
  std::vector<std::string> sent_;
  bool closed_ = false;
  bool is_waiting_ = false;
  std::shared_ptr<bool> is_done_;
};

inline constexpr uint32_t kTestSession = 0x01020304;

inline std::string Message(CapfCommand command, const CapfElements& elements = {}, uint32_t session = kTestSession) {
  const auto message = EncodeCapfMessage(command, session, elements);
  EXPECT_TRUE(message.ok()) << message.status();
  return message.value_or("");
}
inline std::string EndSession(CapfReason reason) {
  return Message(CapfCommand::kEndSession, {.reason = static_cast<uint8_t>(reason)});
}
// What a phone sends that does as it is asked.
inline std::string AuthenticationResponse(std::string_view password = "13579") {
  CapfElements elements{.reason = 1, .version = kCapfVersion, .device_name = "SEP001122334455"};
  elements.password = SecretBytes(password);
  return Message(CapfCommand::kAuthenticationResponse, elements);
}
inline std::string KeyGenerateResponse() {
  return Message(CapfCommand::kKeyGenerateResponse, {.public_key = "a public key"});
}
inline std::string StoreResponse(uint8_t reason = 1) {
  return Message(CapfCommand::kStoreCertificateResponse, {.reason = reason});
}
inline std::string FetchResponse() {
  return Message(CapfCommand::kFetchCertificateResponse,
                 {.reason = 1, .certificate = CapfCertificate{.type = CapfCertificateType::kMic, .der = "its MIC"}});
}
inline std::string DeleteResponse(uint8_t reason = 1) {
  return Message(CapfCommand::kDeleteCertificateResponse, {.reason = reason});
}
inline std::string InProgress() { return Message(CapfCommand::kRequestInProgress); }

class CapfSessionTest : public testing::Test {
 protected:
  void Schedule(CapfOperation operation, std::vector<KeyRequest> keys = {{}}) {
    desk_.admission = {.verdict = Admission::Verdict::kAdmitted,
                       .claim = {.operation_id = 7,
                                 .claim = "0123456789abcdef",
                                 .device = "SEP001122334455",
                                 .operation = operation,
                                 .keys = std::move(keys)}};
  }
  // Whose sessions have the id of the messages above.
  CapfEndpoint MakeEndpoint(CapfEndpointOptions options = {}) {
    if (!options.new_session_id) options.new_session_id = [] { return kTestSession; };
    return CapfEndpoint(std::move(options), desk_, executor_, pace_, clock_, log_);
  }
  std::string LogText() {
    log_.Flush();
    const std::lock_guard lock(log_mutex_);
    return log_text_;
  }

  std::string log_text_;
  std::mutex log_mutex_;
  Log log_{{.service = "test",
            .level = LogLevel::kDebug,
            .form = LogOptions::Form::kJson,
            .max_events_per_second = 100'000,
            .sink = [this](auto line) {
              const std::lock_guard lock(log_mutex_);
              log_text_ += line;
            }}};
  FakeClock clock_{absl::FromUnixSeconds(1'800'000'000)};
  SessionPace pace_{{.most_of_device = 1'000}, clock_};  // the pace has tests of its own
  ToldDesk desk_;
  ToldExecutor executor_;
};

}  // namespace trustline
