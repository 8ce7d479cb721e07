// Trust lists: records cover the payload, verifying does not crash, and what decodes and is written again decodes to
// the same records.
#include <cstdlib>

#include "itl/trust_list/reader.h"
#include "itl/trust_list/writer.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// Empty for a record that the writer does not write: with a hash, a role that is not known, or a key or name that is
// refused.
absl::StatusOr<std::string> WriteAgain(const TrustListRecord& record, NameForm form) {
  if (!record.role()) return absl::UnimplementedError("role");
  const std::string dns_name = record.dns_name.value_or("");
  const std::string ip_address = record.ip_address.value_or("");
  if (record.IsBlank()) return WriteBlankRecord(*record.role(), dns_name, ip_address);
  if (!record.certificate) return absl::UnimplementedError("hash");
  return WriteRecord({*record.certificate, *record.role(), dns_name, ip_address}, form);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto list = DecodeTrustList(ByteView(data, size));
  if (!list.ok()) return 0;
  size_t offset = list->header().header_length;
  const std::string header = list->bytes->substr(0, offset);
  for (const TrustListRecord& record : list->records) {
    for (const TlvPlace& place : record.places) {
      Check(place.offset >= offset && place.offset + 3 + place.length <= offset + record.record_length);
    }
    offset += record.record_length;

    const auto written = WriteAgain(record, list->header().name_form);
    if (!written.ok()) continue;
    const auto again = DecodeTrustList(AsBytes(header + *written));
    Check(again.ok() && again->records.size() == 1);
    const TrustListRecord& read = again->records[0];
    Check(read.role_code == record.role_code);
    Check(read.ip_address == record.ip_address);
    Check(read.dns_name.value_or("") == record.dns_name.value_or(""));
    Check(read.certificate == record.certificate);
  }
  Check(offset == size);

  // The signature hardly ever fits, so that the records are compared with a signer that is given, too.
  VerifyTrustList(*list).status().IgnoreError();
  for (const TrustListRecord& record : list->records) {
    if (record.certificate) VerifyTrustListWith(*list, *record.certificate).IgnoreError();
  }
  return 0;
}
