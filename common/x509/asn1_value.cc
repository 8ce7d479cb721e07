#include "common/x509/asn1_value.h"

#include "common/x509/certificate.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm fields = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &fields) != 1) return OpenSslInvalidArgument("a time cannot be read");
  return absl::FromTM(fields, absl::UTCTimeZone());
}

absl::StatusOr<std::string> ToSerial(const ASN1_INTEGER* integer) {
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_INTEGER(integer, &der);
  if (size < 0) return OpenSslInvalidArgument("a serial number cannot be read");
  const OpenSslBytesPtr owner(der);
  const unsigned char* at = der;
  long length = 0;
  int tag = 0;
  int tag_class = 0;
  if ((ASN1_get_object(&at, &length, &tag, &tag_class, size) & 0x80) != 0) {
    return OpenSslInvalidArgument("a serial number cannot be read");
  }
  return std::string(AsText(CanonicalSerial(ByteView(at, static_cast<size_t>(length)))));
}

std::vector<std::string> NamesOfKind(const GENERAL_NAMES* names, int kind) {
  std::vector<std::string> result;
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names);
  for (int i = 0; i < count; ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    if (type == kind) result.emplace_back(AsText(StringBytes(static_cast<const ASN1_STRING*>(value))));
  }
  return result;
}

}  // namespace trustline
