// Walks over the pages of what capfd lists.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "common/status/status.h"
#include "proto/enrolment.grpc.pb.h"

namespace trustline {

// Gives `visit` what `items_of` finds in each page of the answers to `request`; at most `limit` of it unless that is 0.
template <typename Request, typename Response, typename ItemsOf, typename Visit>
absl::Status ForEachOnPages(Environment& environment, Client<v1::Enrolment>& client,
                            grpc::Status (v1::Enrolment::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                        Response*),
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
