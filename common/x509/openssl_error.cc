#include "common/x509/openssl_error.h"

#include <openssl/err.h>

#include "common/status/status.h"

namespace trustline {

std::string DrainOpenSslErrors() {
  std::string text;
  const char* data = nullptr;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
    const char* reason = ERR_SYSTEM_ERROR(code) ? nullptr : ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? std::string(reason) : fmt::format("error {:#x}", code);
    if ((flags & ERR_TXT_STRING) != 0 && data != nullptr && *data != '\0') text += fmt::format(" ({})", data);
  }
  return text.empty() ? "unknown reason" : text;
}

absl::Status OpenSslInvalidArgument(std::string_view context) {
  return InvalidArgument("{}: {}", context, DrainOpenSslErrors());
}

absl::Status OpenSslInternal(std::string_view context) { return Internal("{}: {}", context, DrainOpenSslErrors()); }

OpenSslErrorScope::OpenSslErrorScope() { ERR_clear_error(); }
OpenSslErrorScope::~OpenSslErrorScope() { ERR_clear_error(); }

}  // namespace trustline
