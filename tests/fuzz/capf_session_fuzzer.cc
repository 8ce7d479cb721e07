// A CAPF session, spoken to by phones and liars. The input is a script: five bytes say how the desk answers, where the
// connection breaks and what the session's id is; then come pieces of bytes, each after its length in two bytes. An
// empty piece lets ten minutes pass.
#include <cstdlib>
#include <deque>

#include "capf/session.h"
#include "common/bytes/reader.h"
#include "tests/support/fake_clock.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

struct Script {
  uint8_t admission = 0;  // bits 0-2: the verdict, admitted from 4 on; 3 and 4: the operation; 5 and 6: the keys
  uint8_t errors = 0;     // of the calls, a bit each
  uint8_t break_at = 0;   // the point at which the connection ends; 255: none
  uint8_t executor = 0;   // bit 0: full; bit 1: done within Post
  uint8_t session_id = 0;
};

// Answers as the script says, and sees that it is used as EnrolmentDesk says.
class WatchingDesk final : public EnrolmentDesk {
 public:
  WatchingDesk(const Script& script, std::function<void()> reach) : script_(script), reach_(std::move(reach)) {}

  absl::StatusOr<Admission> Admit(const CapfElements& response, uint32_t session_id, std::string_view) override {
    const Call call(*this);
    Check(!is_asked_);
    is_asked_ = true;
    Check(session_id == script_.session_id);
    Check(response.device_name && response.version == kCapfVersion && response.reason == 1);
    if ((script_.errors & 1) != 0) return Unavailable("no database");
    Admission admission{.verdict = Verdict()};
    if (admission.verdict != Admission::Verdict::kAdmitted) return admission;
    is_admitted_ = true;
    operation_ = static_cast<CapfOperation>(((script_.admission >> 3) & 3) % 3);
    const KeyRequest ec{.type = CapfKeyType::kEc, .curve = CapfCurve::kSecp384r1};
    const std::vector<KeyRequest> keys[] = {{{}}, {ec}, {ec, {}}, {}};
    admission.claim = {
        .operation_id = 1, .claim = "claim", .operation = operation_, .keys = keys[(script_.admission >> 5) & 3]};
    return admission;
  }
  absl::StatusOr<std::string> Issue(const OperationClaim& claim, std::string_view public_key) override {
    const Call call(*this);
    CheckHeld(claim, CapfOperation::kInstall);
    Check(!public_key.empty() && !was_issued_);
    if ((script_.errors & 2) != 0) return Aborted("lost");
    if ((script_.errors & 4) != 0) {
      has_ended_ = true;
      return InvalidArgument("refused");
    }
    was_issued_ = true;
    return "certificate";
  }
  absl::Status Acknowledge(const OperationClaim& claim) override {
    Check(was_issued_);
    return End(claim, 8, CapfOperation::kInstall);
  }
  void Told(const OperationClaim& claim) override {
    Check(claim.operation_id == 1 && claim.claim == "claim" && has_ended_ && !std::exchange(is_told_, true));
  }
  void LeftUntold(const OperationClaim& claim) override {
    Check(claim.operation_id == 1 && claim.claim == "claim" && has_ended_ && !std::exchange(is_told_, true));
  }
  absl::Status StoreFetched(const OperationClaim& claim, const CapfCertificate& certificate) override {
    Check(!certificate.der.empty());
    if ((script_.errors & 4) == 0) return End(claim, 16, CapfOperation::kFetch);
    RETURN_IF_ERROR(End(claim, 16, CapfOperation::kFetch));
    return InvalidArgument("refused");
  }
  absl::Status Deleted(const OperationClaim& claim) override { return End(claim, 32, CapfOperation::kDelete); }
  absl::Status Fail(const OperationClaim& claim, std::string_view reason) override {
    Check(!reason.empty());
    return End(claim, 64, operation_);
  }
  absl::Status Release(const OperationClaim& claim) override {
    const Call call(*this);
    CheckHeld(claim, operation_);
    is_released_ = true;
    return (script_.errors & 128) != 0 ? Unavailable("no database") : absl::OkStatus();
  }

  // All work is done: what was admitted has ended, or was given back.
  void CheckSettled() const { Check(is_admitted_ == (has_ended_ || is_released_)); }

 private:
  // One at a time.
  class Call {
   public:
    explicit Call(WatchingDesk& desk) : desk_(desk) {
      Check(!std::exchange(desk_.is_called_, true));
      desk_.reach_();
    }
    ~Call() { desk_.is_called_ = false; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    WatchingDesk& desk_;
  };

  Admission::Verdict Verdict() const {
    using enum Admission::Verdict;
    constexpr Admission::Verdict kOthers[] = {kNothingScheduled, kRefused, kUnknownDevice, kBusy};
    return (script_.admission & 4) != 0 ? kAdmitted : kOthers[script_.admission & 3];
  }
  void CheckHeld(const OperationClaim& claim, CapfOperation operation) const {
    Check(claim.operation_id == 1 && claim.claim == "claim" && operation == operation_);
    Check(is_admitted_ && !has_ended_ && !is_released_);
  }
  absl::Status End(const OperationClaim& claim, uint8_t error, CapfOperation operation) {
    const Call call(*this);
    CheckHeld(claim, operation);
    Check(!std::exchange(was_to_end_, true));
    if ((script_.errors & error) != 0) return Unavailable("no database");
    has_ended_ = true;
    return absl::OkStatus();
  }

  const Script& script_;
  const std::function<void()> reach_;
  CapfOperation operation_ = CapfOperation::kInstall;
  bool is_called_ = false;
  bool is_asked_ = false;
  bool is_admitted_ = false;
  bool was_issued_ = false;
  bool was_to_end_ = false;
  bool has_ended_ = false;
  bool is_told_ = false;
  bool is_released_ = false;
};

class ScriptedExecutor final : public Executor {
 public:
  explicit ScriptedExecutor(const Script& script) : script_(script) {}
  bool Post(std::function<void()> work) override { return (script_.executor & 1) == 0 && PostAlways(std::move(work)); }
  bool PostAlways(std::function<void()> work) override {
    if ((script_.executor & 2) != 0) {
      work();
    } else {
      waiting_.push_back(std::move(work));
    }
    return true;
  }
  void RunAll() {
    while (!waiting_.empty()) {
      const std::function<void()> work = std::move(waiting_.front());
      waiting_.pop_front();
      work();
    }
  }

 private:
  const Script& script_;
  std::deque<std::function<void()>> waiting_;
};

// What a server says, and nothing else.
void CheckMessage(const Script& script, std::string_view bytes) {
  const auto header = DecodeCapfHeader(AsBytes(bytes).first(kCapfHeaderSize));
  Check(header.ok() && header->session_id == script.session_id);
  Check(bytes.size() == kCapfHeaderSize + header->body_length);
  Check(DecodeCapfBody(header->command, AsBytes(bytes).subspan(kCapfHeaderSize)).ok());
  constexpr CapfCommand kOfTheServer[] = {CapfCommand::kAuthenticationRequest,
                                          CapfCommand::kKeyGenerateRequest,
                                          CapfCommand::kStoreCertificateRequest,
                                          CapfCommand::kFetchCertificateRequest,
                                          CapfCommand::kDeleteCertificateRequest,
                                          CapfCommand::kEndSession,
                                          CapfCommand::kRetryLater};
  Check(std::ranges::find(kOfTheServer, header->command) != std::end(kOfTheServer));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Log log(
      {.service = "fuzzer", .level = LogLevel::kDebug, .form = LogOptions::Form::kJson, .sink = [](auto) {}});
  Script script;
  ByteReader reader("script", ByteView(data, size));
  for (uint8_t* field : {&script.admission, &script.errors, &script.break_at, &script.executor, &script.session_id}) {
    *field = reader.ReadU8("field").value_or(0);
  }

  FakeClock clock(absl::UnixEpoch());
  SessionPace pace({}, clock);
  ScriptedExecutor executor(script);
  std::unique_ptr<PhoneSession> session;
  bool is_closed = false;
  bool is_inside = false;  // a call of the session, which is destroyed between them only
  unsigned point = 0;
  const auto reach = [&] {
    if (!is_inside && point++ == script.break_at && script.break_at != 255) session.reset();
  };
  const auto ask = [&](const auto& call) {
    is_inside = true;
    SessionActions actions = call(*session);
    is_inside = false;
    return actions;
  };
  WatchingDesk desk(script, reach);
  CapfEndpoint endpoint({.new_session_id = [&] { return uint32_t{script.session_id}; }}, desk, executor, pace, clock,
                        log);
  session = endpoint.NewSession({});

  // As the socket layer does it.
  const auto perform = [&](SessionActions actions) {
    while (session) {
      if (!actions.send.empty()) CheckMessage(script, actions.send);
      is_closed = actions.close;
      reach();
      if (is_closed || !actions.wait_for || !session) return;
      bool is_done = false;
      actions.wait_for([&is_done] { is_done = true; });
      reach();
      executor.RunAll();
      Check(is_done);
      reach();
      if (session) actions = ask([](PhoneSession& s) { return s.OnWaitDone(); });
    }
  };
  perform(ask([](PhoneSession& s) { return s.OnConnected(); }));
  while (session && !is_closed && reader.remaining() > 2) {
    const uint16_t wanted = reader.ReadU16("length").value_or(0);
    const size_t length = std::min<size_t>(wanted, reader.remaining());
    if (length == 0) {
      clock.Advance(absl::Minutes(10));
    } else {
      const ByteView piece = *reader.ReadBytes("piece", length);
      perform(ask([piece](PhoneSession& s) { return s.OnBytes(piece); }));
    }
  }
  // The end of the connection may come long after the session's.
  executor.RunAll();
  if (is_closed) desk.CheckSettled();
  session.reset();
  executor.RunAll();
  desk.CheckSettled();
  return 0;
}
