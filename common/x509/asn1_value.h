// ASN.1 values of certificates and CRLs as the system's own types.
#pragma once

#include <openssl/asn1.h>
#include <openssl/x509v3.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"

namespace trustline {

// UTCTime or GeneralizedTime, in UTC. InvalidArgument for anything that is neither.
absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time);

// The two's complement bytes, big-endian, without leading zero bytes; zero is empty.
absl::StatusOr<std::string> ToSerial(const ASN1_INTEGER* integer);

// The alternative names of one kind (GEN_DNS, GEN_URI) in their order.
std::vector<std::string> NamesOfKind(const GENERAL_NAMES* names, int kind);

inline ByteView StringBytes(const ASN1_STRING* string) {
  return string == nullptr ? ByteView()
                           : ByteView(ASN1_STRING_get0_data(string), static_cast<size_t>(ASN1_STRING_length(string)));
}

}  // namespace trustline
