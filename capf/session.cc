#include "capf/session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "capf/operation.h"
#include "common/bytes/secret_bytes.h"
#include "common/status/status.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

uint32_t RandomSessionId() {
  const SecretBytes random = SecretBytes::Random(sizeof(uint32_t));
  uint32_t id = 0;
  std::memcpy(&id, random.ExposeSecret().data(), sizeof(id));
  return id;
}

bool Succeeded(const CapfElements& response) { return response.reason == static_cast<uint8_t>(CapfReason::kSuccess); }

// "the phone could not do it (reason 7: its own words)"
std::string InWords(std::string_view what, const CapfElements& response) {
  std::string words(what);
  if (!response.reason) return words;
  words += fmt::format(" (reason {}", *response.reason);
  if (response.reason_information && !response.reason_information->empty()) {
    words += fmt::format(": {}", *response.reason_information);
  }
  return words + ")";
}

// What kind of key it is, when it is another than was asked for or a smaller one. What cannot be read is left to who
// certifies it, and has words for it.
std::string OtherKindThan(const KeyRequest& asked, std::string_view public_key) {
  const absl::StatusOr<PublicKeyInfo> read = PublicKeyInfo::FromDer(AsBytes(public_key));
  if (!read.ok()) return "";
  EVP_PKEY* const key = read->key();
  const std::string kind = PublicKeyKindText(key);
  const bool fits = asked.type == CapfKeyType::kRsa
                        ? EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= asked.rsa_bits
                        : kind == fmt::format("EC {}", CapfCurveName(asked.curve));
  return fits ? "" : kind;
}

}  // namespace

CapfEndpoint::CapfEndpoint(CapfEndpointOptions options, EnrolmentDesk& desk, Executor& executor, SessionPace& pace,
                           const Clock& clock, Log& log)
    : options_(std::move(options)),
      pace_(pace),
      clock_(clock),
      log_(log),
      work_parts_{.desk = desk,
                  .executor = executor,
                  .issuance = options_.issuance == nullptr ? executor : *options_.issuance,
                  .statistics = statistics_,
                  .log = log} {}

std::unique_ptr<PhoneSession> CapfEndpoint::NewSession(const Peer& peer) {
  return std::make_unique<CapfSession>(*this, peer);
}

CapfSession::CapfSession(CapfEndpoint& endpoint, const Peer& peer)
    : endpoint_(endpoint),
      peer_(peer),
      session_id_(endpoint.options_.new_session_id ? endpoint.options_.new_session_id() : RandomSessionId()),
      begun_(endpoint.clock_.Now()),
      reader_(session_id_),
      work_(std::make_shared<OperationWork>(endpoint.work_parts_, peer)) {
  Count(endpoint_.statistics_.sessions);
}

CapfSession::~CapfSession() { work_->Leave("the connection ended"); }

SessionActions CapfSession::OnConnected() {
  SessionActions actions;
  Send(CapfCommand::kAuthenticationRequest, {.version = kCapfVersion, .authentication_type = 0},
       State::kAuthenticationResponse, actions);
  return actions;
}

SessionActions CapfSession::OnBytes(ByteView bytes) {
  SessionActions actions;
  if (state_ == State::kEnd) {
    actions.close = true;
    return actions;
  }
  reader_.Add(bytes);
  ReadOn(actions);
  return actions;
}

SessionActions CapfSession::OnWaitDone() {
  SessionActions actions;
  if (state_ == State::kAdmission) {
    OnAdmission(actions);
  } else if (state_ == State::kCertificate) {
    OnCertificate(actions);
  } else if (state_ == State::kRecord) {
    OnRecord(actions);
  } else if (state_ == State::kTold) {
    work_->Told();
    Close(actions);
  }
  ReadOn(actions);
  return actions;
}

void CapfSession::ReadOn(SessionActions& actions) {
  while (actions.send.empty() && !actions.close && !actions.wait_for) {
    absl::StatusOr<std::optional<CapfMessage>> message = NextMessage();
    if (!message.ok()) {
      Malformed(message.status(), actions);
    } else if (*message) {
      Answer(*std::move(*message), actions);
    } else {
      return;
    }
  }
  // Phones read a message only when it comes in a write of its own: what is left waits until this one has left.
  if (!actions.close && !actions.wait_for && !reader_.empty()) {
    actions.wait_for = [](const std::function<void()>& done) { done(); };
  }
}

absl::StatusOr<std::optional<CapfMessage>> CapfSession::NextMessage() {
  switch (state_) {
    case State::kAuthenticationResponse:
      return reader_.Next({CapfCommand::kAuthenticationResponse});
    case State::kKey:
      return reader_.Next({CapfCommand::kKeyGenerateResponse, CapfCommand::kRequestInProgress});
    case State::kStoreResponse:
      return reader_.Next({CapfCommand::kStoreCertificateResponse, CapfCommand::kRequestInProgress});
    case State::kFetchedCertificate:
      return reader_.Next({CapfCommand::kFetchCertificateResponse, CapfCommand::kRequestInProgress});
    case State::kDeleteResponse:
      return reader_.Next({CapfCommand::kDeleteCertificateResponse, CapfCommand::kRequestInProgress});
    case State::kAdmission:
    case State::kCertificate:
    case State::kRecord:
    case State::kTold:
    case State::kEnd:
      break;
  }
  return std::nullopt;
}

void CapfSession::Answer(CapfMessage message, SessionActions& actions) {
  if (message.command == CapfCommand::kRequestInProgress) {
    OnStillAtWork(actions);
  } else if (state_ == State::kAuthenticationResponse) {
    OnAuthenticationResponse(std::move(message.elements), actions);
  } else if (state_ == State::kKey) {
    OnKey(std::move(message.elements), actions);
  } else if (state_ == State::kStoreResponse) {
    OnStoreResponse(message.elements, actions);
  } else if (state_ == State::kFetchedCertificate) {
    OnFetchedCertificate(std::move(message.elements), actions);
  } else {
    OnDeleteResponse(message.elements, actions);
  }
}

void CapfSession::OnAuthenticationResponse(CapfElements response, SessionActions& actions) {
  device_ = response.device_name.value_or("");
  if (!Succeeded(response)) {
    Malformed(InvalidArgument("{}", InWords("the phone did not authenticate itself", response)), actions);
    return;
  }
  SessionPace::Answer pace = endpoint_.pace_.Ask(device_, peer_.address);
  if (!pace.turn) {
    Count(endpoint_.statistics_.over_pace);
    if (pace.is_first_refusal) {
      endpoint_.log_.Warning("CAPF_OVER_PACE",
                             "a phone was told to come later: it comes too often; more of that in the next seconds is "
                             "counted only",
                             {{"device", device_}, {"peer", peer_.ToText()}, {"reason", pace.reason}});
    }
    RetryLater(actions);
    return;
  }
  WaitFor(work_->Admit(std::move(response), session_id_, *std::move(pace.turn)), State::kAdmission, actions);
}

void CapfSession::OnAdmission(SessionActions& actions) {
  if (work_->was_dropped()) {
    Count(endpoint_.statistics_.over_rate);
    endpoint_.log_.Warning("CAPF_OVER_RATE", "a phone was told to come later: the system is over its rate",
                           {{"device", device_}, {"peer", peer_.ToText()}, {"reason", work_->status()}});
    RetryLater(actions);
    return;
  }
  if (!work_->status().ok()) {
    CloseUnavailable(work_->status(), actions);
    return;
  }
  CapfStatistics& statistics = endpoint_.statistics_;
  Log& log = endpoint_.log_;
  const Admission& admission = work_->admission();
  switch (admission.verdict) {
    case Admission::Verdict::kAdmitted:
      BeginOperation(actions);
      return;
    case Admission::Verdict::kNothingScheduled:
      Count(statistics.nothing_scheduled);
      log.Info("CAPF_NOTHING_SCHEDULED", "a phone asked although nothing is scheduled for it",
               {{"device", device_}, {"peer", peer_.ToText()}, {"reason", admission.reason}});
      EndSession(CapfReason::kNoAction, actions);
      return;
    case Admission::Verdict::kRefused:
      Count(statistics.refused);
      log.Warning("CAPF_REFUSED", "a phone was refused: it did not prove that it is the one that is to be enrolled",
                  {{"device", device_}, {"peer", peer_.ToText()}, {"reason", admission.reason}});
      EndSession(CapfReason::kInvalidElement, actions);
      return;
    case Admission::Verdict::kUnknownDevice:
      Count(statistics.unknown_device);
      log.Warning("CAPF_REFUSED", "a phone was refused: it is not known, or not in service",
                  {{"device", device_}, {"peer", peer_.ToText()}, {"reason", admission.reason}});
      EndSession(CapfReason::kUnknownDevice, actions);
      return;
    case Admission::Verdict::kBusy:
      Count(statistics.busy);
      log.Info("CAPF_BUSY", "a phone was told to come later: another session of it is open",
               {{"device", device_}, {"peer", peer_.ToText()}, {"reason", admission.reason}});
      RetryLater(actions);
      return;
    case Admission::Verdict::kOverRate:
      Count(statistics.over_rate);
      log.Warning("CAPF_OVER_RATE", "a phone was told to come later: the system is over its rate",
                  {{"device", device_}, {"peer", peer_.ToText()}, {"reason", admission.reason}});
      RetryLater(actions);
      return;
  }
}

void CapfSession::BeginOperation(SessionActions& actions) {
  actions.patient = true;
  switch (work_->admission().claim.operation) {
    case CapfOperation::kInstall:
      AskForKey(actions);
      return;
    case CapfOperation::kFetch:
      Send(CapfCommand::kFetchCertificateRequest, {}, State::kFetchedCertificate, actions);
      return;
    case CapfOperation::kDelete:
      Send(CapfCommand::kDeleteCertificateRequest, {}, State::kDeleteResponse, actions);
      return;
  }
}

void CapfSession::OnStillAtWork(SessionActions& actions) {
  if (endpoint_.clock_.Now() - begun_ < endpoint_.options_.longest_session) {
    actions.renew_deadline = true;
    return;
  }
  work_->Leave(
      fmt::format("the phone is still at work after {}", absl::FormatDuration(endpoint_.options_.longest_session)));
  Close(actions);
}

void CapfSession::AskForAnotherKey(std::string_view reason, SessionActions& actions) {
  endpoint_.log_.Info("CAPF_NO_KEY", "a phone has not made the key that it was asked for",
                      {{"device", device_}, {"peer", peer_.ToText()}, {"reason", reason}});
  key_failures_ += fmt::format("{}{}", key_failures_.empty() ? "" : "; then ", reason);
  AskForKey(actions);
}

void CapfSession::AskForKey(SessionActions& actions) {
  const std::vector<KeyRequest>& keys = work_->admission().claim.keys;
  if (next_key_ == keys.size()) {
    Record(work_->Fail(keys.empty() ? "the operation names no key" : key_failures_), CapfReason::kNoAction, actions);
    return;
  }
  const KeyRequest& key = keys[next_key_++];
  CapfElements elements{.key_type = key.type};
  if (key.type == CapfKeyType::kRsa) {
    elements.key_size = key.rsa_bits;
  } else {
    elements.curve = key.curve;
  }
  Send(CapfCommand::kKeyGenerateRequest, elements, State::kKey, actions);
}

void CapfSession::OnKey(CapfElements response, SessionActions& actions) {
  if (response.public_key && (!response.reason || Succeeded(response))) {
    const std::string other = OtherKindThan(work_->admission().claim.keys[next_key_ - 1], *response.public_key);
    if (!other.empty()) {
      AskForAnotherKey(fmt::format("the phone made another key than it was asked for: {}", other), actions);
      return;
    }
    WaitFor(work_->Issue(*std::move(response.public_key)), State::kCertificate, actions);
  } else {
    AskForAnotherKey(InWords("the phone could not make its key", response), actions);
  }
}

void CapfSession::OnCertificate(SessionActions& actions) {
  if (!work_->status().ok()) {
    EndAfterError(actions);
  } else {
    Send(CapfCommand::kStoreCertificateRequest,
         {.certificate_type = CapfCertificateType::kLsc,
          .certificate = CapfCertificate{.type = CapfCertificateType::kLsc, .der = work_->certificate()}},
         State::kStoreResponse, actions);
  }
}

void CapfSession::OnStoreResponse(const CapfElements& response, SessionActions& actions) {
  if (Succeeded(response)) {
    Record(work_->Acknowledge(), CapfReason::kSuccess, actions);
  } else {
    Fail("the phone could not store its certificate", response, actions);
  }
}

void CapfSession::OnFetchedCertificate(CapfElements response, SessionActions& actions) {
  if (Succeeded(response) && response.certificate) {
    Record(work_->StoreFetched(*std::move(response.certificate)), CapfReason::kNoAction, actions);
  } else {
    Fail("the phone did not show its certificate", response, actions);
  }
}

void CapfSession::OnDeleteResponse(const CapfElements& response, SessionActions& actions) {
  if (Succeeded(response)) {
    Record(work_->Deleted(), CapfReason::kSuccess, actions);
  } else {
    Fail("the phone could not delete its certificate", response, actions);
  }
}

void CapfSession::Fail(std::string_view what, const CapfElements& response, SessionActions& actions) {
  Record(work_->Fail(InWords(what, response)), CapfReason::kNoAction, actions);
}

void CapfSession::Record(OperationWork::Work work, CapfReason outcome, SessionActions& actions) {
  outcome_ = outcome;
  WaitFor(std::move(work), State::kRecord, actions);
}

void CapfSession::OnRecord(SessionActions& actions) {
  if (work_->status().ok()) {
    Send(CapfCommand::kEndSession, {.reason = static_cast<uint8_t>(outcome_)}, State::kTold, actions);
    // Goes on once it has left.
    if (state_ == State::kTold) actions.wait_for = [](const std::function<void()>& done) { done(); };
  } else {
    EndAfterError(actions);
  }
}

void CapfSession::EndAfterError(SessionActions& actions) {
  if (work_->was_refused()) {
    EndSession(CapfReason::kInvalidElement, actions);
  } else {
    CloseUnavailable(work_->status(), actions);
  }
}

void CapfSession::Send(CapfCommand command, const CapfElements& elements, State next, SessionActions& actions) {
  absl::StatusOr<std::string> message = EncodeCapfMessage(command, session_id_, elements);
  if (!message.ok()) {
    CloseUnavailable(message.status(), actions);
    return;
  }
  actions.send = *std::move(message);
  state_ = next;
}

void CapfSession::WaitFor(OperationWork::Work work, State next, SessionActions& actions) {
  actions.wait_for = std::move(work);
  state_ = next;
}

void CapfSession::EndSession(CapfReason reason, SessionActions& actions) {
  Send(CapfCommand::kEndSession, {.reason = static_cast<uint8_t>(reason)}, State::kEnd, actions);
  Close(actions);
}

void CapfSession::RetryLater(SessionActions& actions) {
  const int64_t seconds = std::clamp<int64_t>(absl::ToInt64Seconds(endpoint_.options_.retry_delay), 1, UINT32_MAX);
  Send(CapfCommand::kRetryLater, {.retry_delay = static_cast<uint32_t>(seconds)}, State::kEnd, actions);
  Close(actions);
}

void CapfSession::Malformed(const absl::Status& status, SessionActions& actions) {
  Count(endpoint_.statistics_.malformed);
  endpoint_.log_.Warning("CAPF_MALFORMED", "session ended: what the phone sent cannot be used",
                         {{"device", device_}, {"peer", peer_.ToText()}, {"reason", status}});
  EndSession(CapfReason::kInvalidElement, actions);
}

void CapfSession::CloseUnavailable(const absl::Status& status, SessionActions& actions) {
  Count(endpoint_.statistics_.unavailable);
  endpoint_.log_.Warning("CAPF_UNAVAILABLE", "connection closed without an answer, so that the phone tries again",
                         {{"device", device_}, {"peer", peer_.ToText()}, {"reason", status}});
  Close(actions);
}

// At once, because the connection may take its time to end: an operation that has not is pending again.
void CapfSession::Close(SessionActions& actions) {
  work_->Leave("");
  state_ = State::kEnd;
  actions.close = true;
}

}  // namespace trustline
