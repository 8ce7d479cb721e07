// Walks over the pages of what a service lists.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "common/status/status.h"

namespace trustline {

// Gives `visit` what `items_of` finds in each page of the answers to `request`; at most `limit` of it unless that is 0.
// Stops with the error of a page that does not come.
template <typename Service, typename Stub, typename Request, typename Response, typename ItemsOf, typename Visit>
absl::Status ForEachInPages(Environment& environment, Client<Service>& client,
                            grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                            Request request, int64_t limit, ItemsOf items_of, Visit visit) {
  constexpr int64_t kPageSize = 500;
  int64_t visited = 0;
  while (true) {
    request.set_page_size(static_cast<int32_t>(limit == 0 ? kPageSize : std::min(kPageSize, limit - visited)));
    ASSIGN_OR_RETURN(const Response page, (environment.Ask(client, method, request)));
    for (const auto& item : items_of(page)) {
      if (limit != 0 && visited == limit) return absl::OkStatus();
      ++visited;
      visit(item);
    }
    if (page.next_page_token().empty() || (limit != 0 && visited == limit)) return absl::OkStatus();
    request.set_page_token(page.next_page_token());
  }
}

}  // namespace trustline
