#include "tests/support/tvs_form.h"

#include "ca/profile/phone_facing.h"

namespace trustline {

CertificateTemplate TvsForm(std::string_view host, absl::Time now) {
  return *PhoneFacingTemplate(
      NewPhoneFacingProfile(
          PhoneFacingKind::kTvs,
          {.node = "node1", .host = std::string(host), .organization = "Example", .organizational_unit = "Phones"}),
      now);
}

}  // namespace trustline
