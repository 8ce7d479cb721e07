// Which trust list, and which generation of it, a command is about; and how it is fetched.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/trustctl/environment.h"
#include "itl/trust_list/reader.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

struct ListChoice {
  v1::TrustListKind kind = v1::TRUST_LIST_KIND_ITL;
  std::string tftp_server;            // empty: the only one
  std::string device;                 // empty: the list of all phones
  std::optional<int64_t> generation;  // the current one unless given
  std::string hash;                   // bytes; instead of all of these
};

// "ITL" or "CTL".
std::string KindText(v1::TrustListKind kind);
// Of the commands about it: "itl" or "ctl".
std::string_view GroupName(v1::TrustListKind kind);

// --tftp-server and --device: of ITLs only, since a cluster has one CTL.
void AddListOptions(CLI::App& command, ListChoice& choice);
// --generation and --hash.
void AddGenerationOptions(CLI::App& command, ListChoice& choice);

// The one that is chosen. DataLoss when the bytes are not those that were published.
absl::StatusOr<v1::FetchGenerationResponse> FetchList(Environment& environment, const ListChoice& choice);
absl::StatusOr<v1::FetchGenerationResponse> FetchList(Environment& environment, Client<v1::TrustLists>& client,
                                                      const ListChoice& choice);

// Errors name `source`.
absl::StatusOr<TrustList> DecodeList(std::string_view bytes, std::string_view source);

// "ITLFile.tlv of tftp1, generation 3".
std::string GenerationText(const v1::Generation& generation);

}  // namespace trustline
