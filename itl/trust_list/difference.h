// What differs between two trust lists, in the words of those who are to decide about it (docs/PROTOCOLS.md, trust
// lists).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "itl/trust_list/reader.h"

namespace trustline {

struct ListDifference {
  enum class Kind : uint8_t {
    kAdded,
    kRemoved,
    kRenewed,    // the same subject and role, another certificate
    kRole,       // the same certificate in another role
    kAddress,    // the same certificate and role, another DNS name or IP address
    kBlanked,    // the record has lost its certificate
    kUnblanked,  // and has one again
    kOrder,      // the same records, differently ordered
    kElements,   // elements that are not known, of the header or a record
    kSigner,
    kDigest,
    kVersion,  // of the signer
    kFileName,
    kNameForm,
  };
  Kind kind;
  std::string before;  // empty where there is nothing
  std::string after;

  bool operator==(const ListDifference&) const = default;
};

// "added", "signer-version".
std::string_view DifferenceWord(ListDifference::Kind kind);

// One line: "renewed: CAPF CN=capf,... 0123456789abcdef -> CAPF CN=capf,... fedcba9876543210".
std::string DifferenceText(const ListDifference& difference);

// Records first, in the order of `after` and then what only `before` has; then what the headers say. Empty when nothing
// but timestamp and signature differs, if anything does.
std::vector<ListDifference> DifferencesOf(const TrustList& before, const TrustList& after);

}  // namespace trustline
