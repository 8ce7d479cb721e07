#include "cli/trustctl/verdict_words.h"

namespace trustline {

std::string VerdictText(v1::Verdict verdict) {
  if (verdict == v1::VERDICT_UNSPECIFIED) return "no verdict";
  return verdict == v1::VERDICT_VALID ? "valid" : "invalid";
}

Cell ReasonCell(v1::InvalidReason reason) {
  switch (reason) {
    case v1::INVALID_REASON_UNKNOWN:
      return "unknown";
    case v1::INVALID_REASON_EXPIRED:
      return "expired";
    case v1::INVALID_REASON_NOT_YET_VALID:
      return "not yet valid";
    case v1::INVALID_REASON_REVOKED:
      return "revoked";
    case v1::INVALID_REASON_REMOVED:
      return "removed";
    case v1::INVALID_REASON_WRONG_ROLE:
      return "wrong role";
    case v1::INVALID_REASON_BROKEN_CHAIN:
      return "broken chain";
    case v1::INVALID_REASON_MALFORMED:
      return "malformed";
    case v1::INVALID_REASON_REVOCATION_UNKNOWN:
      return "revocation unknown";
    case v1::INVALID_REASON_NO_VERDICT:
      return "node cannot judge";
    default:
      return {};
  }
}

}  // namespace trustline
