#include "itl/list/ctl_signers.h"

#include <algorithm>

#include "common/status/status.h"
#include "itl/trust_list/reader.h"

namespace trustline {

absl::Status CtlSigners::Load() {
  if (is_loaded_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<StoredList> ctls, store_.Lists({.kind = ListKind::kCtl}));
  std::vector<int64_t> list_ids;
  for (const StoredList& ctl : ctls) list_ids.push_back(ctl.list_id);
  ASSIGN_OR_RETURN(const auto files, store_.CurrentFiles(list_ids));
  for (const auto& [list_id, file] : files) {
    ASSIGN_OR_RETURN(const TrustList list, DecodeTrustList(AsBytes(file)));
    std::vector<Sha256Digest>& sasts = sasts_.emplace();
    for (const TrustListRecord& record : list.records) {
      if (record.role() == CertificateRole::kSast && record.certificate) sasts.push_back(record.certificate->sha256());
    }
  }
  is_loaded_ = true;
  return absl::OkStatus();
}

absl::StatusOr<bool> CtlSigners::Knows(const Certificate& signer) {
  RETURN_IF_ERROR(Load());
  return !sasts_ || std::find(sasts_->begin(), sasts_->end(), signer.sha256()) != sasts_->end();
}

void CtlSigners::Publish(const ListContent& ctl) {
  is_loaded_ = true;
  std::vector<Sha256Digest>& sasts = sasts_.emplace();
  for (const ListRecord& listed : ctl.listed) {
    if (listed.role == CertificateRole::kSast) sasts.push_back(listed.certificate.sha256());
  }
}

}  // namespace trustline
