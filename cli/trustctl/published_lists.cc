#include "cli/trustctl/published_lists.h"

#include <algorithm>

#include "cli/trustctl/list_choice.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<PublishedLists> FetchCurrentLists(Environment& environment, Client<v1::TrustLists>& client,
                                                 v1::TrustListKind kind, const std::string& tftp_server) {
  v1::ListTrustListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(kind);
  request.set_tftp_server(tftp_server);
  request.set_with_devices(true);
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ListTrustLists, request)));
  PublishedLists published;
  for (const v1::ListSigner& signer : response.signers()) {
    const std::string& sha256 = signer.certificate().sha256();
    if (!signer.tftp_server().empty() || sha256.size() != Sha256Digest().size()) continue;
    published.recovery.emplace();
    std::ranges::copy(AsBytes(sha256), published.recovery->begin());
  }
  for (const v1::TrustListInfo& info : response.lists()) {
    if (!info.has_current()) continue;
    const ListChoice choice = {.kind = info.kind(),
                               .tftp_server = info.tftp_server(),
                               .device = info.device(),
                               .generation = info.current().number()};
    ASSIGN_OR_RETURN(const v1::FetchGenerationResponse fetched, FetchList(environment, client, choice));
    ASSIGN_OR_RETURN(TrustList list, DecodeList(fetched.file(), GenerationText(fetched.generation())));
    published.lists.push_back({fetched.generation(), std::move(list)});
  }
  return published;
}

}  // namespace trustline
