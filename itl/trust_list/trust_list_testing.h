// What the tests of trust lists share.
#pragma once

#include <string>

#include "common/signed_file/signed_file_testing.h"
#include "itl/trust_list/reader.h"
#include "itl/trust_list/writer.h"

namespace trustline {

inline const char* const kTrustListVectors[] = {"ITLFile-sha1.tlv", "ITLFile-sha512.tlv", "ITLFile-vendor-form.tlv",
                                                "ITLFile-blank.tlv", "ITLFile-unknown-tlv.tlv"};

inline bool IsAcceptedTrustList(std::string_view bytes) {
  const auto list = DecodeTrustList(AsBytes(bytes));
  return list.ok() && VerifyTrustList(*list).ok();
}

// What the writer has to be told to write this header again.
inline SignedFileForm FormOfHeader(const SignedFileHeader& header) {
  return {.version = header.version,
          .signer_version = header.signer_version,
          .digest = header.digest,
          .name_form = header.name_form,
          .file_name = header.file_name,
          .timestamp = header.timestamp,
          .extra = header.extra};
}

inline absl::StatusOr<std::string> WriteRecordAgain(const TrustListRecord& record, NameForm form) {
  const std::string dns_name = record.dns_name.value_or("");
  const std::string ip_address = record.ip_address.value_or("");
  if (record.IsBlank()) return WriteBlankRecord(*record.role(), dns_name, ip_address);
  return WriteRecord({*record.certificate, *record.role(), dns_name, ip_address}, form);
}

}  // namespace trustline
