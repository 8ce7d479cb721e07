// The trust lists of another system's TFTP servers, fetched, read and verified.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "itl/trust_list/reader.h"
#include "proto/trust_list.pb.h"

namespace trustline {

struct ListFetchOrder {
  std::vector<std::string> hosts;
  bool http = false;
  std::optional<int64_t> port;  // the usual one unless given
  bool unverified = false;      // lists that do not verify are taken too
};

struct FetchedList {
  v1::TrustListKind kind = v1::TRUST_LIST_KIND_ITL;
  std::string host;  // in lower case
  TrustList list;
  absl::Status verified;  // by the signer's certificate in the list
  std::string signer;     // its subject

  std::string Name() const;      // "ITL of 192.0.2.10"
  std::string Sha1Text() const;  // of the file, as phones report it
};

// CTL and ITL of all phones of each host; lists of single devices are not asked for. A file that a host does not have
// is in `notes`. NotFound, with the next step, when a host has neither; else as FetchListFile, DecodeTrustList and
// VerifyTrustList, which name the file.
absl::StatusOr<std::vector<FetchedList>> FetchLists(const ListFetchOrder& order, std::vector<std::string>& notes);

}  // namespace trustline
