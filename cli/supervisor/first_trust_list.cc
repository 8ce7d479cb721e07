#include "cli/supervisor/first_trust_list.h"

#include "cli/supervisor/service_call.h"
#include "common/bytes/bytes.h"
#include "common/device/certificate_role.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {
namespace {

using Client = ServiceClient<v1::TrustLists>;

// Whether there is nothing to do: somebody made lists, and that of this server, if it has one, is published.
absl::StatusOr<bool> IsMade(const Client& itld, const std::string& server) {
  v1::ListTrustListsRequest request;
  request.set_cluster(std::string(kSystemCluster));
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse known, itld.Call(&v1::TrustLists::Stub::ListTrustLists, request));
  if (!known.has_policy()) return false;
  for (const v1::TrustListInfo& list : known.lists()) {
    if (list.kind() == v1::TRUST_LIST_KIND_ITL && list.tftp_server() == server) return list.has_current();
  }
  return true;
}

}  // namespace

absl::Status EnsureFirstTrustList(const PhoneFacingSubject& subject, const SiteSettings& settings,
                                  const std::string& itld, const IdentityFiles& administrator,
                                  const std::function<void(std::string_view)>& progress) {
  ASSIGN_OR_RETURN(const Client client, Client::Open("itld", itld, administrator));
  ASSIGN_OR_RETURN(const bool is_made, IsMade(client, subject.node));
  if (is_made) return absl::OkStatus();
  progress("making the first trust list");
  v1::AddTftpServerRequest request;
  request.set_cluster(std::string(kSystemCluster));
  request.set_name(subject.node);
  request.set_host(subject.host);
  request.set_organization(subject.organization);
  request.set_organizational_unit(subject.organizational_unit);
  ASSIGN_OR_RETURN(const CertificateRole role, ParseCertificateRole(settings.tftp_role));
  request.set_tftp_role(ToProto(role));
  request.set_recovery_years(std::stoi(settings.recovery_years));
  ASSIGN_OR_RETURN(const v1::AddTftpServerResponse added, client.Call(&v1::TrustLists::Stub::AddTftpServer, request));
  for (const v1::PublishResponse::List& list : added.published().lists()) {
    if (list.list().has_current()) continue;
    return FailedPrecondition("the first trust list is not published: {}", list.list().candidate().reason());
  }
  return absl::OkStatus();
}

}  // namespace trustline
