#include "ca/trust_store_client.h"

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// Off the path of calls; one may have many megabytes.
constexpr absl::Duration kCrlPatience = absl::Seconds(15);
constexpr std::string_view kItld = "itld";

template <typename Request, typename Response>
absl::Status Call(v1::TrustStore::Stub& stub,
                  grpc::Status (v1::TrustStore::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, std::string_view address, absl::Duration patience, Response& response) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
  context.set_wait_for_ready(true);
  const absl::Status status = ToAbsl((stub.*method)(&context, request, &response), kItld, address);
  // The caller of cad has a deadline of its own, which this is not.
  if (absl::IsDeadlineExceeded(status)) {
    return Unavailable("itld at {} did not answer cad in time: look at its log", address);
  }
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrustStoreClient>> TrustStoreClient::Create(const std::string& address,
                                                                           const IdentityFiles& identity,
                                                                           absl::Duration patience) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(address, identity, kItld));
  return std::unique_ptr<TrustStoreClient>(new TrustStoreClient(address, v1::TrustStore::NewStub(channel), patience));
}

absl::Status TrustStoreClient::AddAuthority(std::string_view cluster, const Certificate& certificate) {
  v1::AddAuthorityRequest request;
  request.set_cluster(std::string(cluster));
  request.set_certificate(std::string(AsText(certificate.der())));
  v1::AddAuthorityResponse response;
  return Call(*stub_, &v1::TrustStore::Stub::AddAuthority, request, address_, patience_, response);
}

absl::Status TrustStoreClient::RemoveAuthority(std::string_view cluster, const Certificate& certificate) {
  return RemoveAuthority(cluster, certificate, v1::Caution()).status();
}

absl::StatusOr<v1::PreFlight> TrustStoreClient::RemoveAuthority(std::string_view cluster,
                                                                const Certificate& certificate,
                                                                const v1::Caution& caution) {
  v1::RemoveAuthorityRequest request;
  request.set_cluster(std::string(cluster));
  request.set_sha256(std::string(AsText(certificate.sha256())));
  *request.mutable_caution() = caution;
  v1::RemoveAuthorityResponse response;
  RETURN_IF_ERROR(Call(*stub_, &v1::TrustStore::Stub::RemoveAuthority, request, address_, patience_, response));
  return std::move(*response.mutable_preflight());
}

absl::Status TrustStoreClient::AddCrl(std::string_view cluster, std::string_view der) {
  v1::AddCrlRequest request;
  request.set_cluster(std::string(cluster));
  request.set_crl(std::string(der));
  v1::AddCrlResponse response;
  return Call(*stub_, &v1::TrustStore::Stub::AddCrl, request, address_, kCrlPatience, response);
}

}  // namespace trustline
