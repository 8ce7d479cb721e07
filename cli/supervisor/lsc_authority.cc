#include "cli/supervisor/lsc_authority.h"

#include <algorithm>

#include "cli/supervisor/service_call.h"
#include "common/rpc/identity.h"
#include "common/status/status.h"
#include "proto/authority.grpc.pb.h"

namespace trustline {
namespace {

using Client = ServiceClient<v1::Authorities>;

absl::Status Activate(const Client& cad, int32_t authority_id) {
  v1::ActivateAuthorityRequest request;
  request.set_cluster(std::string(kSystemCluster));
  request.set_authority_id(authority_id);
  return cad.Call(&v1::Authorities::Stub::ActivateAuthority, request).status();
}

// One that a start that was ended half-way did not come to activate. Anything else is an administrator's doing.
const v1::AuthorityInfo* LeftPrepared(const v1::ListAuthoritiesResponse& known) {
  const v1::AuthorityInfo* prepared = nullptr;
  for (const v1::AuthorityInfo& authority : known.authorities()) {
    if (authority.state() == v1::AUTHORITY_STATE_REQUESTED) continue;
    if (authority.state() != v1::AUTHORITY_STATE_PREPARED) return nullptr;
    if (prepared == nullptr) prepared = &authority;
  }
  return prepared;
}

}  // namespace

absl::Status EnsureLscAuthority(const std::string& address, const IdentityFiles& administrator,
                                const std::function<void(std::string_view)>& progress) {
  ASSIGN_OR_RETURN(const Client cad, Client::Open("cad", address, administrator));
  v1::ListAuthoritiesRequest list;
  list.set_cluster(std::string(kSystemCluster));
  ASSIGN_OR_RETURN(const v1::ListAuthoritiesResponse known, cad.Call(&v1::Authorities::Stub::ListAuthorities, list));
  if (const v1::AuthorityInfo* prepared = LeftPrepared(known)) {
    progress("activating the LSC authority");
    return Activate(cad, prepared->authority_id());
  }
  if (!known.authorities().empty()) return absl::OkStatus();
  progress("making the LSC authority");
  v1::PrepareAuthorityRequest prepare;
  prepare.set_cluster(std::string(kSystemCluster));
  ASSIGN_OR_RETURN(const v1::PrepareAuthorityResponse made,
                   cad.Call(&v1::Authorities::Stub::PrepareAuthority, prepare));
  return Activate(cad, made.authority().authority_id());
}

}  // namespace trustline
