#include "common/x509/certificate_chain.h"

#include <algorithm>

#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/path_validation.h"

namespace trustline {

bool Issued(const Certificate& issuer, const Certificate& certificate) {
  const OpenSslErrorScope errors;
  EVP_PKEY* const key = X509_get0_pubkey(issuer.x509());
  return certificate.issuer().key() == issuer.subject().key() && key != nullptr &&
         X509_verify(certificate.x509(), key) == 1;
}

absl::StatusOr<std::vector<Certificate>> OrderChain(const Certificate& leaf, std::vector<Certificate> others,
                                                    absl::Time now) {
  std::vector<Certificate> chain;
  Certificate at = leaf;
  while (!Issued(at, at)) {
    const auto issuer =
        std::ranges::find_if(others, [&](const Certificate& candidate) { return Issued(candidate, at); });
    if (issuer == others.end()) {
      return FailedPrecondition(
          "the chain has a gap: the certificate of {}, which issued {}, is not in it; give all issuers up to the "
          "self-signed root",
          at.issuer().ToText(), at.subject().ToText());
    }
    at = *issuer;
    chain.push_back(at);
    others.erase(issuer);
  }
  if (!others.empty()) {
    return FailedPrecondition("{} does not belong to the chain: leave it out", others[0].subject().ToText());
  }
  if (chain.empty()) return chain;
  const AnchorSet root({chain.back()}, {chain.begin(), chain.end() - 1});
  if (const absl::Status valid = root.Validate(leaf, now).status(); !valid.ok()) {
    return Annotate(valid, "the chain does not hold");
  }
  return chain;
}

}  // namespace trustline
