// Models whose phones know no trust lists (table model_without_lists). The pre-flight leaves these phones out of every
// count, so that saying it of a model that knows lists would hide phones that can be locked out: audited. Works inside
// a transaction that the caller owns.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/connection.h"
#include "proto/phone_trust.pb.h"

namespace trustline {

class ModelLists {
 public:
  ModelLists(Connection& transaction, int32_t cluster_id, std::string actor)
      : connection_(transaction), cluster_id_(cluster_id), actor_(std::move(actor)) {}

  // Exactly as devices have the model; there need not be one yet. InvalidArgument for what cannot be a device's model.
  absl::StatusOr<v1::SetModelListsResponse> Set(const v1::SetModelListsRequest& request);

  absl::StatusOr<v1::ListModelListsResponse> List();

 private:
  absl::StatusOr<int64_t> Phones(const std::string& model);

  Connection& connection_;
  const int32_t cluster_id_;
  const std::string actor_;
};

}  // namespace trustline
