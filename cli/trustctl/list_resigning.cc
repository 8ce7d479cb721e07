#include "cli/trustctl/list_resigning.h"

#include <algorithm>
#include <vector>

#include "common/status/status.h"
#include "itl/trust_list/writer.h"

namespace trustline {
namespace {

// Phones accept no more.
constexpr size_t kMaxSastRecords = 2;

bool IsSastOf(const TrustListRecord& record, const Certificate& certificate) {
  return record.role() == CertificateRole::kSast && record.certificate == certificate;
}

// Where the signer's record is to stand.
struct SignerPlace {
  bool is_listed = false;
  std::optional<size_t> instead_of;  // record
  size_t behind = 0;                 // the last SAST record
};

absl::StatusOr<SignerPlace> PlaceOf(const TrustList& list, const Certificate& signer,
                                    const std::optional<Sha256Digest>& recovery) {
  std::vector<size_t> sasts;
  for (size_t i = 0; i < list.records.size(); ++i) {
    if (IsSastOf(list.records[i], signer)) return SignerPlace{.is_listed = true};
    if (list.records[i].role() == CertificateRole::kSast) sasts.push_back(i);
  }
  if (sasts.empty()) return FailedPrecondition("the list has no SAST record");
  if (sasts.size() > kMaxSastRecords) return FailedPrecondition("the list has {} SAST records", sasts.size());
  SignerPlace place{.behind = sasts.back()};
  if (sasts.size() < kMaxSastRecords) return place;
  const std::optional<Certificate>& second = list.records[sasts[1]].certificate;
  const bool second_is_recovery = recovery && second && second->sha256() == *recovery;
  place.instead_of = second_is_recovery ? sasts[0] : sasts[1];
  return place;
}

absl::StatusOr<std::string> WriteAgain(const TrustListRecord& record, NameForm form) {
  const std::optional<CertificateRole> role = record.role();
  if (!role) return FailedPrecondition("it has a role that is not known ({})", record.role_code);
  if (!record.extra.empty()) return FailedPrecondition("it has an element that is not known ({})", record.extra[0].tag);
  const std::string dns_name = record.dns_name.value_or("");
  const std::string ip_address = record.ip_address.value_or("");
  if (record.IsBlank()) return WriteBlankRecord(*role, dns_name, ip_address);
  if (!record.certificate) return FailedPrecondition("it has a hash instead of a certificate");
  return WriteRecord(
      {.certificate = *record.certificate, .role = *role, .dns_name = dns_name, .ip_address = ip_address}, form);
}

}  // namespace

absl::StatusOr<ResignedList> SignAnew(const TrustList& list, const CertifiedKey& signer,
                                      const std::optional<Sha256Digest>& recovery, absl::Time now) {
  const SignedFileHeader& header = list.header();
  ASSIGN_OR_RETURN(const SignerPlace place, PlaceOf(list, signer.certificate, recovery));
  ASSIGN_OR_RETURN(const std::string signer_record,
                   WriteRecord({.certificate = signer.certificate, .role = CertificateRole::kSast}, header.name_form));
  std::string records;
  std::optional<std::string> took_place_of;
  for (size_t i = 0; i < list.records.size(); ++i) {
    if (place.instead_of == i) {
      records += signer_record;
      took_place_of = list.records[i].subject;
      continue;
    }
    const absl::StatusOr<std::string> record = WriteAgain(list.records[i], header.name_form);
    if (!record.ok()) return Annotate(record.status(), fmt::format("record {}", i + 1));
    records += *record;
    if (!place.is_listed && !place.instead_of && place.behind == i) {
      records += signer_record;
      took_place_of = "";
    }
  }
  const SignedFileForm form = {.signer_version = header.signer_version,
                               .digest = header.digest,
                               .name_form = header.name_form,
                               .file_name = header.file_name,
                               .timestamp = now,
                               .extra = header.extra};
  ASSIGN_OR_RETURN(std::string file, WriteTrustList(records, form, signer.certificate, signer.key));
  // Read by what shares no code with the writer.
  ASSIGN_OR_RETURN(TrustList written, DecodeTrustList(AsBytes(file)));
  ASSIGN_OR_RETURN(const Certificate found, VerifyTrustList(written));
  if (found != signer.certificate) return Internal("the list that was signed names another signer");
  if (file.size() > kMaxTrustListSize) {
    return FailedPrecondition("the list would have {} bytes; phones fail to load more than {}", file.size(),
                              kMaxTrustListSize);
  }
  return ResignedList{std::move(file), std::move(written), std::move(took_place_of)};
}

}  // namespace trustline
