#include "capf/forgery_testing.h"

#include "capf/proof.h"
#include "common/bytes/bytes.h"
#include "tests/support/status_matchers.h"

namespace trustline {

void ExpectRefused(const ProvingParty& party, const std::vector<Forgery>& forgeries) {
  CapfElements response = MakeSessionProof(party, kForgedDevice, kForgedSession);
  for (const Place& place : kPlaces) {
    std::string& signature = place.of(response);
    Target target{party, place, place.Message(party.certificate), "", signature, signature.size()};
    target.hash = HashOf(DigestOf(place.digest), target.message);
    for (const Forgery& forgery : forgeries) {
      signature = forgery.make(target);
      EXPECT_THAT(CheckPossession(response, kForgedSession),
                  StatusIs(absl::StatusCode::kPermissionDenied,
                           ::testing::AllOf(::testing::HasSubstr(place.name), ::testing::HasSubstr(forgery.reason))))
          << forgery.name << " in " << place.name << ", " << party.certificate.public_key_kind();
    }
    signature = target.good;
    EXPECT_OK(CheckPossession(response, kForgedSession));
  }
}

std::string NumberBytes(const BIGNUM* value, size_t size) {
  std::string bytes(size, '\0');
  const int written = BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size));
  return written < 0 ? "" : bytes;
}

}  // namespace trustline
