// The elements of trust lists and signed files with their names and values, for print-outs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/bytes/bytes.h"
#include "itl/trust_list/reader.h"

namespace trustline {

struct NamedElement {
  TlvPlace place;
  std::string name;   // the vendor's, with its misspellings; "UNKNOWN" for what nobody has named
  std::string value;  // as people read it; safe for a terminal
};

// Those of a header, without padding, and those of a record.
std::vector<NamedElement> HeaderElements(const SignedFile& file);
std::vector<NamedElement> RecordElements(const TrustListRecord& record, ByteView whole);

// The bytes of an element's value; those that there are when the element says that it has more.
ByteView ValueOf(ByteView whole, const TlvPlace& place);

// "3C:F9:27".
std::string ColonHex(ByteView bytes);

// "System Administrator Security Token", "CCM+TFTP"; "unknown (99)" for a code that no role has.
std::string FunctionText(uint16_t role_code);

}  // namespace trustline
