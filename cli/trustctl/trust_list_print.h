// The print-out of a trust list that administrators know from their call manager ("show itl").
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "itl/trust_list/reader.h"

namespace trustline {

// Byte for byte the vendor's layout, misspellings and all; times are in UTC. `kind` is "ITL" or "CTL"; `verified` is
// what became of verifying the list. Elements that the vendor's print-out does not know stand where they are in the
// file, with their bytes. Safe for a terminal.
std::string TrustListPrint(const TrustList& list, std::string_view kind, const absl::Status& verified);

}  // namespace trustline
