// What a cluster's own past trust lists say, brought into its trust store: so that TVS answers for what its phones
// know.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/trustctl/environment.h"
#include "common/device/certificate_role.h"
#include "common/x509/certificate.h"
#include "itl/trust_list/reader.h"

namespace trustline {

// One certificate of the lists, in all roles that they give it.
struct HistoryCertificate {
  Certificate certificate;
  std::vector<CertificateRole> roles;    // ascending
  std::string host;                      // that served the first list with it
  std::vector<CertificateRole> missing;  // of `roles`, those that the trust store is to get
  std::string left_out;                  // why it does not get all of them; else empty

  // What becomes of it in this role: "added", "there already", or "left out: " and why.
  std::string StateOf(CertificateRole role) const;
};

// The certificates of the list's records are added to `history`. Those that cannot be trusted say why: expired at
// `now`, a weak key, one that no trust store takes. Records without a certificate or a role that is known are passed
// over, and named in `notes`.
void AddToHistory(const TrustList& list, const std::string& host, absl::Time now,
                  std::vector<HistoryCertificate>& history, std::vector<std::string>& notes);

// Asks the trust store which of them it has, and what an administrator removed from it, which stays removed. Changes
// nothing.
absl::Status CompareWithTrustStore(Environment& environment, std::vector<HistoryCertificate>& history);

// Adds the missing roles, unlisted. Repeating it changes nothing.
absl::Status TrustHistory(Environment& environment, const std::vector<HistoryCertificate>& history);

}  // namespace trustline
