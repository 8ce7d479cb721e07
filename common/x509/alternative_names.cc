#include "common/x509/alternative_names.h"

#include <algorithm>
#include <string_view>

#include "common/status/status.h"
#include "common/x509/openssl_error.h"

namespace trustline {
namespace {

constexpr size_t kMaxDnsNameSize = 253;  // RFC 1035, section 2.3.4, without the root's dot
constexpr size_t kMaxUriSize = 512;      // far above trustline:<cluster>/<kind>/<name>

bool IsDnsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxDnsNameSize && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  });
}

bool IsUri(std::string_view uri) {
  return !uri.empty() && uri.size() <= kMaxUriSize &&
         std::all_of(uri.begin(), uri.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

absl::Status Append(int kind, const std::string& text, GENERAL_NAMES* names) {
  GeneralNamePtr name(GENERAL_NAME_new());
  Asn1StringPtr value(ASN1_STRING_type_new(V_ASN1_IA5STRING));
  if (name == nullptr || value == nullptr ||
      ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) != 1) {
    return OpenSslInternal("an alternative name cannot be made");
  }
  GENERAL_NAME_set0_value(name.get(), kind, value.release());
  if (sk_GENERAL_NAME_push(names, name.get()) <= 0) return OpenSslInternal("an alternative name cannot be made");
  (void)name.release();  // the stack owns it now
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GeneralNamesPtr> MakeAlternativeNames(const std::vector<std::string>& dns_names,
                                                     const std::vector<std::string>& uri_names) {
  GeneralNamesPtr names(GENERAL_NAMES_new());
  if (names == nullptr) return OpenSslInternal("an alternative name cannot be made");
  for (const std::string& name : dns_names) {
    if (!IsDnsName(name)) return InvalidArgument("\"{}\" is not a DNS name", name);
    RETURN_IF_ERROR(Append(GEN_DNS, name, names.get()));
  }
  for (const std::string& uri : uri_names) {
    if (!IsUri(uri)) return InvalidArgument("\"{}\" is not a URI of at most {} bytes", uri, kMaxUriSize);
    RETURN_IF_ERROR(Append(GEN_URI, uri, names.get()));
  }
  return names;
}

}  // namespace trustline
