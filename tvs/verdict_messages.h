// Reasons of verdicts as they stand in gRPC messages.
#pragma once

#include "proto/verification.pb.h"
#include "tvs/verdict.h"

namespace trustline {

inline v1::InvalidReason ToProto(InvalidReason reason) {
  switch (reason) {
    case InvalidReason::kNone:
      return v1::INVALID_REASON_UNSPECIFIED;
    case InvalidReason::kUnknown:
      return v1::INVALID_REASON_UNKNOWN;
    case InvalidReason::kExpired:
      return v1::INVALID_REASON_EXPIRED;
    case InvalidReason::kNotYetValid:
      return v1::INVALID_REASON_NOT_YET_VALID;
    case InvalidReason::kRevoked:
      return v1::INVALID_REASON_REVOKED;
    case InvalidReason::kRemoved:
      return v1::INVALID_REASON_REMOVED;
    case InvalidReason::kWrongRole:
      return v1::INVALID_REASON_WRONG_ROLE;
    case InvalidReason::kBrokenChain:
      return v1::INVALID_REASON_BROKEN_CHAIN;
    case InvalidReason::kMalformed:
      return v1::INVALID_REASON_MALFORMED;
    case InvalidReason::kRevocationUnknown:
      return v1::INVALID_REASON_REVOCATION_UNKNOWN;
  }
  return v1::INVALID_REASON_UNSPECIFIED;
}

}  // namespace trustline
