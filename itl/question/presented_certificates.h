// The certificates that a node says it presents to phones, as requests have them.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/bytes/sha256.h"

namespace trustline {

// Each once, in order. InvalidArgument for more than 16 and what is no SHA-256.
absl::StatusOr<std::vector<Sha256Digest>> ReadPresented(const google::protobuf::RepeatedPtrField<std::string>& sha256s);

}  // namespace trustline
