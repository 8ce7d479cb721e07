// The gRPC service Adoption (proto/adoption.proto).
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "itl/phone/holding_store.h"
#include "itl/phone/report_store.h"
#include "proto/adoption.grpc.pb.h"

namespace trustline {

struct AdoptionServiceParts {
  Authorizer& authorizer;
  Pool& pool;
  Pool& import_pool;  // its statements may take minutes: a list that a million phones hold changes as many rows
  Pool& report_pool;
  HoldingStore& holdings;
  const Clock& clock;
};

// Thread-safe. What the parts refer to must outlive it.
class AdoptionService final : public v1::Adoption::Service {
 public:
  static absl::StatusOr<std::unique_ptr<AdoptionService>> Create(const AdoptionServiceParts& parts);

  grpc::Status AdoptLists(grpc::ServerContext* context, const v1::AdoptListsRequest* request,
                          v1::AdoptListsResponse* response) override;
  grpc::Status SeedHoldings(grpc::ServerContext* context, const v1::SeedHoldingsRequest* request,
                            v1::SeedHoldingsResponse* response) override;
  grpc::Status ListAdopted(grpc::ServerContext* context, const v1::ListAdoptedRequest* request,
                           v1::ListAdoptedResponse* response) override;

 private:
  struct Policies {
    MethodPolicy adopt_lists, seed_holdings, list_adopted;
  };
  AdoptionService(const AdoptionServiceParts& parts, Policies policies)
      : parts_(parts), policies_(std::move(policies)), reports_(parts.report_pool, parts.holdings) {}

  absl::Status Adopt(const Caller& caller, const v1::AdoptListsRequest& request, v1::AdoptListsResponse& response);
  absl::Status Seed(const Caller& caller, const v1::SeedHoldingsRequest& request, v1::SeedHoldingsResponse& response);
  absl::Status List(const Caller& caller, const v1::ListAdoptedRequest& request, v1::ListAdoptedResponse& response);

  const AdoptionServiceParts parts_;
  const Policies policies_;
  ReportStore reports_;
};

}  // namespace trustline
