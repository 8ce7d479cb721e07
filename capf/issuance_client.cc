#include "capf/issuance_client.h"

#include <unordered_set>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kCad = "cad";

// What somebody waits for: a phone for its certificate, an administrator for devices.
constexpr absl::Duration kPatience = absl::Seconds(8);
// What can be told again later, while a phone waits for its answer.
constexpr absl::Duration kBriefPatience = absl::Seconds(2);

// A cad that cannot be reached is waited for by administrators only: phones come again by themselves.
enum class WhileAway : uint8_t { kWait, kFail };

template <typename Stub, typename Request, typename Response>
absl::Status Call(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request, Response& response, WhileAway while_away, absl::Duration patience,
                  std::string_view address) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + patience));
  context.set_wait_for_ready(while_away == WhileAway::kWait);
  const absl::Status status = ToAbsl((stub.*method)(&context, request, &response), kCad, address);
  if (absl::IsDeadlineExceeded(status)) {
    return Unavailable("cad at {} did not answer capfd in time: look at its log", address);
  }
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<IssuanceClient>> IssuanceClient::Create(const std::string& address,
                                                                       const IdentityFiles& identity) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, OpenChannel(address, identity, kCad));
  return std::unique_ptr<IssuanceClient>(
      new IssuanceClient(address, v1::Issuance::NewStub(channel), v1::Devices::NewStub(channel)));
}

absl::StatusOr<IssuedForDevice> IssuanceClient::IssueForKey(std::string_view cluster, std::string_view device,
                                                            std::string_view public_key_info,
                                                            std::string_view request_id) {
  v1::IssueForKeyRequest request;
  request.set_cluster(std::string(cluster));
  request.set_device(std::string(device));
  request.set_subject_public_key_info(std::string(public_key_info));
  request.set_request_id(std::string(request_id));
  v1::IssueResponse response;
  RETURN_IF_ERROR(
      Call(*issuance_, &v1::Issuance::Stub::IssueForKey, request, response, WhileAway::kFail, kPatience, address_));
  return IssuedForDevice{.issuance_id = response.certificate().issuance_id(),
                         .serial = response.certificate().serial(),
                         .der = std::move(*response.mutable_der())};
}

absl::StatusOr<std::map<int64_t, std::string>> IssuanceClient::Confirm(std::string_view cluster,
                                                                       std::span<const int64_t> issuances) {
  v1::ConfirmDeliveriesRequest request;
  request.set_cluster(std::string(cluster));
  request.mutable_issuance_ids()->Add(issuances.begin(), issuances.end());
  v1::ConfirmDeliveriesResponse response;
  RETURN_IF_ERROR(Call(*issuance_, &v1::Issuance::Stub::ConfirmDeliveries, request, response, WhileAway::kFail,
                       kBriefPatience, address_));
  std::map<int64_t, std::string> refusals;
  for (auto& refusal : *response.mutable_refusals()) {
    refusals.emplace(refusal.issuance_id(), std::move(*refusal.mutable_reason()));
  }
  return refusals;
}

absl::Status IssuanceClient::Revoke(std::string_view cluster, std::string_view serial) {
  v1::RevokeCertificateRequest request;
  request.set_cluster(std::string(cluster));
  request.set_serial(std::string(serial));
  request.set_reason(v1::CERTIFICATE_REVOCATION_REASON_CESSATION_OF_OPERATION);
  v1::RevokeCertificateResponse response;
  return Call(*issuance_, &v1::Issuance::Stub::RevokeCertificate, request, response, WhileAway::kFail, kBriefPatience,
              address_);
}

absl::StatusOr<std::vector<std::string>> IssuanceClient::AddDevices(std::string_view cluster,
                                                                    const std::vector<std::string>& names) {
  v1::ImportDevicesRequest request;
  request.set_cluster(std::string(cluster));
  for (const std::string& name : names) request.add_rows()->set_name(name);
  v1::ImportDevicesResponse response;
  RETURN_IF_ERROR(
      Call(*devices_, &v1::Devices::Stub::ImportDevices, request, response, WhileAway::kWait, kPatience, address_));
  // Only how many were added is said. Of devices that somebody else added at the same moment both say that they did.
  if (response.added() == 0) return std::vector<std::string>();
  std::unordered_set<std::string> left_alone;
  for (const auto& device : response.left_alone()) left_alone.insert(device.name());
  std::vector<std::string> added;
  for (const std::string& name : names) {
    if (!left_alone.contains(name)) added.push_back(name);
  }
  return added;
}

}  // namespace trustline
