#include "common/rpc/credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <cstdlib>

#include "common/rpc/identity.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kCipherSuitesVariable[] = "GRPC_SSL_CIPHER_SUITES";
// OpenSSL refuses an empty list for TLS 1.2, so one suite stays. It needs a pre-shared key (RFC 5487), which gRPC has
// no way to give, so that neither side offers or takes it. TLS 1.3 suites come from a list of their own.
constexpr char kNoTls12Suite[] = "PSK-AES256-GCM-SHA384";

// Takes the peer's certificate, whose chain OpenSSL has checked, for a service of one kind.
class ServiceKindVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit ServiceKindVerifier(std::string kind) : kind_(std::move(kind)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* sync_status) override {
    const std::vector<grpc::string_ref> names = request->uri_names();
    *sync_status = Check(names);
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  grpc::Status Check(const std::vector<grpc::string_ref>& names) const {
    if (names.size() == 1) {
      const absl::StatusOr<Identity> identity =
          Identity::Parse(std::string_view(names.front().data(), names.front().size()));
      if (identity.ok() && identity->kind == kind_) return grpc::Status::OK;
      if (identity.ok()) {
        return grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                            fmt::format("the peer is {}, not a service of kind {}", identity->ToUri(), kind_));
      }
    }
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the peer's certificate names no identity of the system");
  }

  const std::string kind_;
};

std::shared_ptr<grpc::experimental::CertificateProviderInterface> WatchFiles(const IdentityFiles& files) {
  return std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      files.key, files.certificate, files.authority, static_cast<unsigned int>(absl::ToInt64Seconds(kIdentityReload)));
}

}  // namespace

absl::Status RequireTls13() {
  // gRPC reads the variable at its first TLS context; a value set once is kept, so that every caller after the first
  // finds the environment as it is.
  static const absl::Status status = []() -> absl::Status {
    const char* const present = std::getenv(kCipherSuitesVariable);
    if (present != nullptr && std::string_view(present) != kNoTls12Suite) {
      return FailedPrecondition("the environment variable {} is set, which could allow TLS 1.2: unset it",
                                kCipherSuitesVariable);
    }
    if (setenv(kCipherSuitesVariable, kNoTls12Suite, 1) != 0) return Internal("cannot set {}", kCipherSuitesVariable);
    return absl::OkStatus();
  }();
  return status;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const IdentityFiles& files,
                                                                               ClientCertificate client_certificate) {
  RETURN_IF_ERROR(RequireTls13());
  RETURN_IF_ERROR(LoadIdentity(files).status());
  grpc::experimental::TlsServerCredentialsOptions options(WatchFiles(files));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(client_certificate == ClientCertificate::kRequired
                                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const IdentityFiles& files,
                                                                                 std::string_view service_kind) {
  RETURN_IF_ERROR(RequireTls13());
  if (!IsServiceKind(service_kind)) return InvalidArgument("'{}' is not a service of the system", service_kind);
  grpc::experimental::TlsChannelCredentialsOptions options;
  if (files.certificate.empty()) {
    options.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
        files.authority, static_cast<unsigned int>(absl::ToInt64Seconds(kIdentityReload))));
  } else {
    RETURN_IF_ERROR(LoadIdentity(files).status());
    options.set_certificate_provider(WatchFiles(files));
    options.watch_identity_key_cert_pairs();
  }
  options.watch_root_certs();
  options.set_verify_server_certs(true);
  // Services are known by their identity, wherever they listen.
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<ServiceKindVerifier>(std::string(service_kind)));
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace trustline
