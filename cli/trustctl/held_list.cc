#include "cli/trustctl/held_list.h"

#include <algorithm>
#include <optional>

#include "common/status/status.h"

namespace trustline {
namespace {

// Blanked where lists are blank.
bool NamesServer(const TrustListRecord& record) {
  const std::optional<CertificateRole> role = record.role();
  return role == CertificateRole::kTvs || role == CertificateRole::kTftp || role == CertificateRole::kCcmTftp ||
         role == CertificateRole::kCcm;
}

}  // namespace

bool IsBlankList(const TrustList& list) {
  bool has_blanked = false;
  for (const TrustListRecord& record : list.records) {
    if (!NamesServer(record)) continue;
    if (!record.IsBlank()) return false;
    has_blanked = true;
  }
  return has_blanked;
}

absl::StatusOr<Acceptance> AcceptWhenHeld(const TrustList& held, const TrustList& list) {
  absl::Status reason = NotFound("no SAST of the list that is held is the signer {} with serial number {}",
                                 list.header().signer_name, ToHex(AsBytes(list.header().serial)));
  for (const TrustListRecord& record : held.records) {
    if (record.role() != CertificateRole::kSast || !record.certificate) continue;
    if (!NamesAsSigner(list.header(), *record.certificate)) continue;
    reason = VerifyTrustListWith(list, *record.certificate);
    if (reason.ok()) return Acceptance{.signer = *record.certificate};
  }
  if (!IsBlankList(held)) return reason;
  ASSIGN_OR_RETURN(const Certificate signer, VerifyTrustList(list));
  return Acceptance{.signer = signer, .because_blank = true};
}

}  // namespace trustline
