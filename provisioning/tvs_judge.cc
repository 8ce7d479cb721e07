#include "provisioning/tvs_judge.h"

#include <grpcpp/client_context.h>

#include <algorithm>

#include "common/bytes/bytes.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

// The only common name of the subject: of several nobody could say which one is meant.
std::string OnlyCommonName(const std::string& der) {
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
  if (!certificate.ok()) return "";
  const DistinguishedName& subject = certificate->subject();
  const auto is_common_name = [](const NameAttribute& attribute) { return attribute.oid == "2.5.4.3"; };
  if (std::ranges::count_if(subject.attributes(), is_common_name) != 1 || subject.HasEmbeddedNul()) return "";
  const NameAttribute& name = *std::ranges::find_if(subject.attributes(), is_common_name);
  return name.is_text ? name.value : "";
}

Counter& CounterOf(Metrics& metrics, const std::string& cluster, const char* outcome) {
  return metrics.GetCounter("trustline_certificate_judgements_total", "Client certificates judged, by outcome.",
                            {{"cluster", cluster}, {"outcome", outcome}});
}

}  // namespace

// Whoever asks about one certificate, and the call about it.
struct TvsJudge::Question {
  std::shared_ptr<const std::string> der;
  std::vector<Done> waiting;
  grpc::ClientContext context;
  v1::VerifyRequest request;
  v1::VerifyResponse response;
};

absl::StatusOr<std::unique_ptr<TvsJudge>> TvsJudge::Create(TvsJudgeOptions options, Log& log, Metrics& metrics) {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, OpenChannel(options.tvsd, options.identity, "tvsd"));
  return std::unique_ptr<TvsJudge>(new TvsJudge(std::move(options), std::move(channel), log, metrics));
}

TvsJudge::TvsJudge(TvsJudgeOptions options, std::shared_ptr<grpc::Channel> channel, Log& log, Metrics& metrics)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      stub_(v1::Verification::NewStub(channel_)),
      log_(log),
      valid_(CounterOf(metrics, options_.cluster, "valid")),
      invalid_(CounterOf(metrics, options_.cluster, "invalid")),
      unknown_(CounterOf(metrics, options_.cluster, "unavailable")),
      remembered_(CounterOf(metrics, options_.cluster, "remembered")) {}

TvsJudge::~TvsJudge() { Stop(); }

void TvsJudge::Stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  for (const auto& [sha256, question] : asked_) question->context.TryCancel();
  answered_.wait(lock, [this] { return calls_ == 0; });
}

absl::Status TvsJudge::CheckIsAppServer(const Certificate& certificate) const {
  v1::VerifyRequest request;
  request.set_cluster(options_.cluster);
  request.set_certificate(std::string(AsText(certificate.der())));
  request.set_role(v1::CERTIFICATE_ROLE_APP_SERVER);
  v1::VerifyResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + options_.patience);
  const std::string subject = certificate.subject().ToText();
  const absl::Status asked = ToAbsl(stub_->Verify(&context, request, &response), "tvsd", options_.tvsd);
  if (!asked.ok()) return Unavailable("tvsd cannot be asked whether {} is trusted: {}", subject, asked.message());
  if (response.verdict() == v1::VERDICT_VALID) return absl::OkStatus();
  return FailedPrecondition(
      "{} is not trusted with role APP-SERVER on the cluster {} yet ({}): `trustctl trust add --role APP-SERVER FILE`, "
      "then again",
      subject, options_.cluster, response.explanation());
}

void TvsJudge::Judge(std::shared_ptr<const std::string> der, std::function<void(CertificateStanding)> done) {
  const Sha256Digest sha256 = Sha256(AsBytes(*der));
  CertificateStanding standing;
  Question* question = nullptr;
  {
    const std::lock_guard lock(mutex_);
    const auto known = known_.find(sha256);
    if (known != known_.end() && Steady::now() < known->second.until) {
      standing = known->second.standing;
      remembered_.Add();
    } else if (const auto asked = asked_.find(sha256); asked != asked_.end()) {
      asked->second->waiting.push_back(std::move(done));
      return;
    } else if (!stopping_ && asked_.size() < options_.most_asked_at_once) {
      question = (asked_[sha256] = std::make_unique<Question>()).get();
      question->waiting.push_back(done);
      ++calls_;
    } else {
      unknown_.Add();
    }
  }
  if (question == nullptr) {
    done(standing);
    return;
  }
  question->request.set_cluster(options_.cluster);
  question->request.set_certificate(*der);
  question->der = std::move(der);
  question->context.set_deadline(std::chrono::system_clock::now() + options_.patience);
  stub_->async()->Verify(&question->context, &question->request, &question->response,
                         [this, sha256, question](const grpc::Status& status) { OnAnswer(sha256, *question, status); });
}

void TvsJudge::OnAnswer(const Sha256Digest& sha256, Question& question, const grpc::Status& status) {
  CertificateStanding standing;
  if (status.ok() && question.response.verdict() == v1::VERDICT_VALID) {
    standing = {
        .valid = true, .has_role = !question.response.roles().empty(), .common_name = OnlyCommonName(*question.der)};
  }
  const bool is_verdict = status.ok() && question.response.verdict() != v1::VERDICT_UNSPECIFIED;
  (!is_verdict ? unknown_ : standing.valid ? valid_ : invalid_).Add();
  std::unique_ptr<Question> answered;
  {
    const std::lock_guard lock(mutex_);
    if (is_verdict) {
      const auto ttl = absl::ToChronoMilliseconds(FromProtoDuration(question.response.ttl()));
      Remember(sha256, standing, standing.valid ? std::min(ttl, options_.longest_memory) : options_.memory_of_invalid);
    }
    if (!stopping_) ReportAway(is_verdict ? absl::OkStatus() : ToAbsl(status, "tvsd", options_.tvsd));
    const auto asked = asked_.find(sha256);
    answered = std::move(asked->second);
    asked_.erase(asked);
  }
  for (const Done& done : answered->waiting) done(standing);
  // Before Stop can return: its context holds the channel, which none of gRPC's own threads may be the last to let go.
  answered.reset();
  const std::lock_guard lock(mutex_);
  --calls_;
  answered_.notify_all();
}

void TvsJudge::Remember(const Sha256Digest& sha256, const CertificateStanding& standing, Steady::duration time) {
  while (known_order_.size() >= options_.most_remembered) {
    const auto& [until, oldest] = known_order_.front();
    // One that was remembered again stands further back too.
    if (const auto known = known_.find(oldest); known != known_.end() && known->second.until == until) {
      known_.erase(known);
    }
    known_order_.pop_front();
  }
  const Steady::time_point until = Steady::now() + time;
  known_[sha256] = {standing, until};
  known_order_.emplace_back(until, sha256);
}

void TvsJudge::ReportAway(const absl::Status& failure) {
  const std::string reason(StatusMessage(failure));
  if (reason == reported_failure_) return;
  reported_failure_ = reason;
  if (failure.ok()) {
    log_.Info("SIP_TVSD_BACK", "client certificates are judged again", {{"tvsd", options_.tvsd}});
  } else {
    log_.Warning("SIP_TVSD_AWAY", "no client certificate counts until tvsd judges it: what they send is a claim",
                 {{"tvsd", options_.tvsd}, {"error", failure}});
  }
}

}  // namespace trustline
