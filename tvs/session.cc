#include "tvs/session.h"

#include "common/x509/distinguished_name.h"

namespace trustline {
namespace {

// Phones ask one question at a time. Whoever sends many small queries at once and reads nothing would make the node
// hold a large answer for each of its connections.
constexpr size_t kMaxAnswersTogether = size_t{64} * 1024;

}  // namespace

std::unique_ptr<PhoneSession> TvsEndpoint::NewSession(const Peer& peer) {
  return std::make_unique<TvsSession>(*this, peer);
}

SessionActions TvsSession::OnBytes(ByteView bytes) {
  if (buffer_.empty()) return AnswerAll(bytes, false);
  buffer_.append(AsText(bytes));
  const std::string whole = std::exchange(buffer_, {});
  return AnswerAll(AsBytes(whole), false);
}

SessionActions TvsSession::OnWaitDone() {
  const absl::Status confirmation = *std::exchange(confirmation_, nullptr);
  if (!confirmation.ok()) {
    SilentAway(StatusMessage(confirmation));
    return {.close = true};
  }
  const std::string whole = std::exchange(buffer_, {});
  return AnswerAll(AsBytes(whole), true);
}

SessionActions TvsSession::AnswerAll(ByteView bytes, bool confirmed) {
  SessionActions actions;
  while (!bytes.empty()) {
    size_t used = 0;
    const Next next = AnswerFirst(bytes, confirmed, actions, used);
    if (next == Next::kClose) {
      actions.close = true;
      return actions;
    }
    if (next != Next::kAnswered) {
      buffer_.assign(AsText(bytes));
      return actions;
    }
    if (actions.send.size() > kMaxAnswersTogether) {
      Malformed(InvalidArgument("too many requests at once: their answers exceed {} bytes", kMaxAnswersTogether));
      actions.close = true;
      return actions;
    }
    bytes = bytes.subspan(used);
    confirmed = false;  // it was about the first message only
  }
  return actions;
}

TvsSession::Next TvsSession::AnswerFirst(ByteView bytes, bool confirmed, SessionActions& actions, size_t& used) {
  if (bytes.size() < kTvsHeaderSize) return Next::kReadOn;
  const absl::StatusOr<TvsHeader> header = DecodeTvsHeader(bytes.first(kTvsHeaderSize));
  if (!header.ok()) return Malformed(header.status());
  if (header->body_length > kMaxTvsRequestBody) {
    return Malformed(InvalidArgument("TVS header: a body of {} bytes is longer than the maximum of {}",
                                     header->body_length, kMaxTvsRequestBody));
  }
  bytes = bytes.subspan(kTvsHeaderSize);
  if (bytes.size() < header->body_length) return Next::kReadOn;
  const absl::StatusOr<TvsRequest> request = DecodeTvsRequest(header->command, bytes.first(header->body_length));
  if (!request.ok()) return Malformed(request.status());
  used = kTvsHeaderSize + header->body_length;
  return Answer(*header, *request, confirmed, actions);
}

TvsSession::Next TvsSession::Answer(const TvsHeader& header, const TvsRequest& request, bool confirmed,
                                    SessionActions& actions) {
  const std::chrono::nanoseconds age = endpoint_.cluster_.Age();
  const Freshness freshness = FreshnessOf(age, endpoint_.policy_);
  if (freshness == Freshness::kStale) {
    endpoint_.statistics_.silent_stale.fetch_add(1, std::memory_order_relaxed);
    endpoint_.log_.Warning(
        "TVS_SILENT_STALE",
        "connection closed without a verdict: this node has not reached the database for longer than "
        "its age limit",
        {{"peer", peer_.ToText()}});
    return Next::kClose;
  }

  const auto snapshot = endpoint_.cluster_.Snapshot();
  const absl::Time now = endpoint_.clock_.Now();
  const auto* verify = std::get_if<TvsVerifyRequest>(&request);
  const auto* query = std::get_if<TvsQueryRequest>(&request);
  Sha256Digest key{};
  TrustVerdict verdict;
  if (verify != nullptr) {
    key = Sha256(verify->certificate);
    verdict = JudgeCertificate(*snapshot, verify->certificate, key, now);
  } else {
    // A name that cannot be read here is nobody's: the verdict stays "unknown", and another node may read it.
    const absl::StatusOr<DistinguishedName> issuer = DistinguishedName::FromText(query->issuer);
    if (issuer.ok()) {
      key = IssuerSerialKey(issuer->key(), query->serial_number);
      verdict = JudgeSigner(*snapshot, key, now);
    }
  }

  // What the store does not know is asked for once more before a phone is told invalid.
  const bool needs_confirmation = !verdict.valid && !verdict.known && verdict.reason != InvalidReason::kMalformed;
  if (needs_confirmation && !confirmed) {
    if (freshness == Freshness::kAway) {
      SilentAway("the database has not answered for a while");
      return Next::kClose;
    }
    const auto steady_now = std::chrono::steady_clock::now();
    if (!endpoint_.unknown_[peer_.worker].Contains(key, snapshot->commit(), steady_now)) {
      endpoint_.statistics_.misses.fetch_add(1, std::memory_order_relaxed);
      confirmation_ = std::make_shared<absl::Status>();
      actions.wait_for = [&endpoint = endpoint_, result = confirmation_](std::function<void()> done) {
        endpoint.follower_.Confirm(endpoint.cluster_, [result, done = std::move(done)](absl::Status status) {
          *result = std::move(status);
          done();
        });
      };
      return Next::kWait;
    }
  }
  if (needs_confirmation && confirmed) {
    endpoint_.unknown_[peer_.worker].Insert(key, snapshot->commit(), std::chrono::steady_clock::now());
  }

  TvsResponse response{.valid = verdict.ValidForPhones()};
  if (response.valid) {
    response.roles = verdict.roles.Roles();
    response.ttl_seconds = TtlAtAge(verdict.ttl_seconds, age, endpoint_.policy_);
    if (query != nullptr) response.certificate = AsText(verdict.record->Der());
  }
  Count(header.command, verify ? verify->device_name : query->device_name, verdict);
  CountQuestion(request, key, verdict, now);
  if (verify != nullptr) {
    actions.send += EncodeTvsVerifyResponse(header.session_id, response);
  } else {
    absl::StatusOr<std::string> message = EncodeTvsQueryResponse(header.session_id, response);
    if (!message.ok()) return Malformed(message.status());
    actions.send += *message;
  }
  return Next::kAnswered;
}

void TvsSession::SilentAway(std::string_view reason) {
  endpoint_.statistics_.silent_away.fetch_add(1, std::memory_order_relaxed);
  endpoint_.log_.Info("TVS_SILENT_AWAY",
                      "connection closed without a verdict: the database could not be asked about an unknown "
                      "certificate, the phone asks its next TVS",
                      {{"peer", peer_.ToText()}, {"reason", reason}});
}

TvsSession::Next TvsSession::Malformed(const absl::Status& status) {
  endpoint_.statistics_.malformed.fetch_add(1, std::memory_order_relaxed);
  endpoint_.log_.Warning("TVS_MALFORMED_REQUEST", "connection closed: the request cannot be read",
                         {{"peer", peer_.ToText()}, {"listener", peer_.listener}, {"reason", status}});
  return Next::kClose;
}

void TvsSession::CountQuestion(const TvsRequest& request, const Sha256Digest& key, const TrustVerdict& verdict,
                               absl::Time now) {
  if (endpoint_.questions_ == nullptr) return;
  const auto* verify = std::get_if<TvsVerifyRequest>(&request);
  const auto* query = std::get_if<TvsQueryRequest>(&request);
  AnsweredQuestion question;
  question.answer = {.cluster = endpoint_.cluster_number_,
                     .is_query = query != nullptr,
                     .valid = verdict.ValidForPhones(),
                     .reason = verdict.reason};
  question.at_us = absl::ToUnixMicros(now);
  question.signer = key;
  question.device = verify != nullptr ? verify->device_name : query->device_name;
  question.address = peer_.address;
  // What the trust store knows is looked up there later.
  if (verdict.record == nullptr && verify != nullptr) question.certificate = verify->certificate;
  if (verdict.record == nullptr && query != nullptr) {
    question.subject = query->subject;
    question.issuer = query->issuer;
    question.serial = query->serial_number;
  }
  endpoint_.questions_->Count(peer_.worker, question);
}

void TvsSession::Count(TvsCommand command, std::string_view device, const TrustVerdict& verdict) {
  TvsStatistics::Answers& answers =
      command == TvsCommand::kVerifyRequest ? endpoint_.statistics_.verify : endpoint_.statistics_.query;
  if (verdict.ValidForPhones()) {
    answers.valid.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  answers.invalid[static_cast<size_t>(verdict.reason)].fetch_add(1, std::memory_order_relaxed);
  if (!endpoint_.log_.Enabled(LogLevel::kInfo)) return;
  endpoint_.log_.Info("TVS_INVALID", "a phone was told invalid",
                      {{"peer", peer_.ToText()},
                       {"device", device},
                       {"question", command == TvsCommand::kVerifyRequest ? "verify" : "query"},
                       {"reason", InvalidReasonName(verdict.reason)}});
}

}  // namespace trustline
