// The form of a TVS certificate, as the system makes it.
#pragma once

#include <string_view>

#include "absl/time/time.h"
#include "common/x509/certificate_builder.h"

namespace trustline {

// To be used with an RSA 2048 key, as the real ones, or any other.
CertificateTemplate TvsForm(std::string_view host, absl::Time now);

}  // namespace trustline
