// Walks over the pages of published generations.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "common/status/status.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

// Gives `visit` each generation that `request` asks for, the newest first; at most `limit` unless that is 0.
template <typename Visit>
absl::Status ForEachGeneration(Environment& environment, Client<v1::TrustLists>& client,
                               v1::ListGenerationsRequest request, int64_t limit, Visit visit) {
  constexpr int64_t kPageSize = 500;
  int64_t visited = 0;
  while (true) {
    request.set_page_size(static_cast<int32_t>(limit == 0 ? kPageSize : std::min(kPageSize, limit - visited)));
    ASSIGN_OR_RETURN(const v1::ListGenerationsResponse page,
                     (environment.Ask(client, &v1::TrustLists::Stub::ListGenerations, request)));
    for (const v1::Generation& generation : page.generations()) {
      if (limit != 0 && visited == limit) return absl::OkStatus();
      ++visited;
      visit(generation);
    }
    if (page.next_page_token().empty() || (limit != 0 && visited == limit)) return absl::OkStatus();
    request.set_page_token(page.next_page_token());
  }
}

}  // namespace trustline
