// Attribute types of names: their texts and OIDs (RFC 4519, RFC 4514 section 3, RFC 5280 appendix A).
#pragma once

#include <openssl/asn1.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace trustline {

// The dotted OID of a type name in any case ("cn", "emailAddress", "E") or of a dotted OID with or without the prefix
// "OID."; empty for anything else.
std::optional<std::string> AttributeTypeOid(std::string_view type);

// The name that is written for an OID; the OID itself when it has none.
std::string_view AttributeTypeName(std::string_view oid);

absl::StatusOr<std::string> DottedOid(const ASN1_OBJECT* object);

}  // namespace trustline
