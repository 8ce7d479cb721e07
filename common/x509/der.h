// Distinguished Encoding Rules (X.690, section 10) of structures as X.509 uses them.
#pragma once

#include "absl/status/status.h"
#include "common/bytes/bytes.h"

namespace trustline {

// InvalidArgument unless `bytes` are exactly one value in DER: definite and shortest lengths, strings in one piece,
// shortest integers, booleans of 00 or FF. Looks into constructed values, not into octet strings; defaults that are
// written out are let pass, as many issuers write them. OpenSSL's parser alone accepts BER.
absl::Status CheckDer(ByteView bytes);

}  // namespace trustline
