// How a phone that holds a trust list decides about another one (docs/PROTOCOLS.md, what phones do with trust lists).
#pragma once

#include "absl/status/statusor.h"
#include "common/x509/certificate.h"
#include "itl/trust_list/reader.h"

namespace trustline {

// Its TVS and TFTP records are blanked. A list that never had such records is not blank: phones that hold it decide by
// its SAST records.
bool IsBlankList(const TrustList& list);

struct Acceptance {
  Certificate signer;
  bool because_blank = false;  // the signer is no SAST of what the phone holds
};

// As a phone decides that holds `held`, no other list that is not blank, and asks no TVS. NotFound when the signer of
// `list` is no SAST of `held`; else as VerifyTrustList.
absl::StatusOr<Acceptance> AcceptWhenHeld(const TrustList& held, const TrustList& list);

}  // namespace trustline
