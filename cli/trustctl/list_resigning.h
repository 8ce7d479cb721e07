// A trust list's content signed anew with a key that only the administrator has.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/sha256.h"
#include "common/x509/pkcs12.h"
#include "itl/trust_list/reader.h"

namespace trustline {

struct ResignedList {
  std::string file;
  TrustList list;  // the same, read again and verified
  // Unless the signer stood in the list as SAST: whose SAST record it has taken ("CN=..."), empty when it was added as
  // another one.
  std::optional<std::string> took_place_of;
};

// The content of `list` signed with the key of `signer`: the same records (blank ones stay blank), digest, signer
// version, file name and form of names; the time is `now`. A signer that is no SAST of the list becomes one: the
// second, or instead of the one that is not `recovery`, the fingerprint of ITLRecovery when it is known.
// FailedPrecondition for a list that cannot be written again as it is: unknown roles, elements or hashes instead of
// certificates, and for a key that phones cannot read.
absl::StatusOr<ResignedList> SignAnew(const TrustList& list, const CertifiedKey& signer,
                                      const std::optional<Sha256Digest>& recovery, absl::Time now);

}  // namespace trustline
