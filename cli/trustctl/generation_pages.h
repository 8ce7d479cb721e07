// Walks over the pages of published generations.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/response_pages.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

// Gives `visit` each generation that `request` asks for, the newest first; at most `limit` unless that is 0.
template <typename Visit>
absl::Status ForEachGeneration(Environment& environment, Client<v1::TrustLists>& client,
                               v1::ListGenerationsRequest request, int64_t limit, Visit visit) {
  return ForEachInPages(
      environment, client, &v1::TrustLists::Stub::ListGenerations, request, limit,
      [](const v1::ListGenerationsResponse& page) -> const auto& { return page.generations(); }, visit);
}

}  // namespace trustline
