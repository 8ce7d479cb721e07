// The current lists of a cluster, as itld has published them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "common/bytes/sha256.h"
#include "itl/trust_list/reader.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

struct PublishedList {
  v1::Generation generation;
  TrustList list;
};

struct PublishedLists {
  std::vector<PublishedList> lists;
  std::optional<Sha256Digest> recovery;  // fingerprint of ITLRecovery
};

// Lists of the kind, of both when it is unspecified, that have a current generation, those of devices too; of one TFTP
// server unless `tftp_server` is empty. Each is decoded; whether it verifies is for the caller.
absl::StatusOr<PublishedLists> FetchCurrentLists(Environment& environment, Client<v1::TrustLists>& client,
                                                 v1::TrustListKind kind, const std::string& tftp_server);

}  // namespace trustline
