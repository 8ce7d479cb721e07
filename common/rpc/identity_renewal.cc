#include "common/rpc/identity_renewal.h"

#include <grpcpp/client_context.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/rpc/channel.h"
#include "common/rpc/identity_store.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "proto/node.grpc.pb.h"

namespace trustline {
namespace {

constexpr std::chrono::seconds kCallDeadline(10);

absl::Time RenewalTime(const Certificate& certificate) {
  return certificate.not_before() + (certificate.not_after() - certificate.not_before()) * 2 / 3;
}

}  // namespace

IdentitySigner RenewThroughService(std::string address, IdentityFiles files) {
  return [address = std::move(address),
          files = std::move(files)](const CertificateRequest& request) -> absl::StatusOr<Certificate> {
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel = OpenChannel(address, files, "itld");
    RETURN_IF_ERROR(channel.status());
    const std::unique_ptr<v1::Node::Stub> stub = v1::Node::NewStub(*channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
    v1::RenewIdentityRequest call;
    call.set_certificate_request(std::string(AsText(request.der())));
    v1::RenewIdentityResponse answer;
    const grpc::Status status = stub->RenewIdentity(&context, call, &answer);
    if (!status.ok()) return ToAbsl(status, "itld", address);
    return Certificate::FromDer(AsBytes(answer.certificate()));
  };
}

class IdentityRenewal::Impl {
 public:
  Impl(IdentityRenewalOptions options, IdentitySigner signer, const Clock& clock, Log& log, Metrics& metrics)
      : options_(std::move(options)),
        signer_(std::move(signer)),
        clock_(clock),
        log_(log),
        expiry_(metrics.GetGauge("trustline_identity_expiry_seconds",
                                 "When the identity of this process for gRPC ends, in Unix time.")),
        renewed_(metrics.GetCounter("trustline_identity_renewals_total", "Renewals of the identity.",
                                    {{"outcome", "done"}})),
        failed_(metrics.GetCounter("trustline_identity_renewals_total", "Renewals of the identity.",
                                   {{"outcome", "failed"}})) {}
  ~Impl() { Stop(); }

  void Start() {
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  absl::Status RenewNow() {
    std::lock_guard lock(renewal_mutex_);
    const absl::Status status = Renew();
    (status.ok() ? renewed_ : failed_).Add();
    return status;
  }

 private:
  void Run() {
    absl::Duration retry = options_.first_retry;
    while (true) {
      absl::Duration wait = options_.longest_wait;
      const absl::Status status = RenewIfDue(wait);
      if (status.ok()) {
        retry = options_.first_retry;
      } else {
        log_.Error("IDENTITY_RENEWAL_FAILED", "the identity for gRPC could not be renewed: it will be tried again",
                   {{"error", status}, {"retry_in", DurationText(retry)}, {"certificate", options_.files.certificate}});
        wait = retry;
        retry = std::min(retry * 2, options_.longest_wait);
      }
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, absl::ToChronoMilliseconds(wait), [this] { return stopping_; });
      if (stopping_) return;
    }
  }

  // Sets `wait` to the time until the next look.
  absl::Status RenewIfDue(absl::Duration& wait) {
    absl::Time due;
    {
      ASSIGN_OR_RETURN(const LoadedIdentity current, LoadIdentity(options_.files));
      expiry_.Set(absl::ToDoubleSeconds(current.certificate.not_after() - absl::UnixEpoch()));
      due = RenewalTime(current.certificate);
    }
    const absl::Time now = clock_.Now();
    if (now < due) {
      wait = std::min(wait, due - now);
      return absl::OkStatus();
    }
    return RenewNow();
  }

  absl::Status Renew() {
    // 1. A new key, and a request for the identity that this process has.
    ASSIGN_OR_RETURN(const LoadedIdentity current, LoadIdentity(options_.files));
    ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
    ASSIGN_OR_RETURN(const CertificateRequest request, CertificateRequest::Build(key, current.identity.ToUri()));
    // 2. Signed by the authority.
    ASSIGN_OR_RETURN(const Certificate certificate, signer_(request));
    // 3. Checked before it replaces what works.
    RETURN_IF_ERROR(CheckIssuedBy(certificate, current.authority));
    ASSIGN_OR_RETURN(const Identity identity, IdentityOf(certificate));
    if (identity != current.identity) {
      return FailedPrecondition("the renewed certificate is for {} instead of {}", identity.ToUri(),
                                current.identity.ToUri());
    }
    if (certificate.not_after() <= clock_.Now()) return FailedPrecondition("the renewed certificate has expired");
    // 4. Written; credentials take it from the files.
    RETURN_IF_ERROR(WriteIdentity(options_.files, key, certificate, current.authority));
    expiry_.Set(absl::ToDoubleSeconds(certificate.not_after() - absl::UnixEpoch()));
    log_.Info("IDENTITY_RENEWED", "the identity for gRPC was renewed",
              {{"identity", identity.ToUri()}, {"until", TimeTextSeconds(certificate.not_after())}});
    return absl::OkStatus();
  }

  const IdentityRenewalOptions options_;
  const IdentitySigner signer_;
  const Clock& clock_;
  Log& log_;
  Gauge& expiry_;
  Counter& renewed_;
  Counter& failed_;
  std::mutex renewal_mutex_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

IdentityRenewal::IdentityRenewal(IdentityRenewalOptions options, IdentitySigner signer, const Clock& clock, Log& log,
                                 Metrics& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(signer), clock, log, metrics)) {}
IdentityRenewal::~IdentityRenewal() = default;
void IdentityRenewal::Start() { impl_->Start(); }
void IdentityRenewal::Stop() { impl_->Stop(); }
absl::Status IdentityRenewal::RenewNow() { return impl_->RenewNow(); }

}  // namespace trustline
