// Writes trust lists, ITL and CTL (docs/PROTOCOLS.md, trust lists). Shares no code with the reader. Enforces the format
// only: how large a list may be and which records it needs is decided by its caller.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/device/certificate_role.h"
#include "common/signed_file/signed_file.h"
#include "common/signed_file/writer.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"

namespace trustline {

// What becomes one record. A certificate with two roles is listed twice.
struct ListedCertificate {
  Certificate certificate;
  CertificateRole role;
  std::string dns_name;    // empty: none, which the vendor's form writes as an empty one
  std::string ip_address;  // text, "192.0.2.10" or IPv6; empty: none
};

// InvalidArgument when the certificate's key is neither RSA nor on a curve with an uncompressed point, when an address
// is none, and when something does not fit into a record's 65,535 bytes.
absl::StatusOr<std::string> WriteRecord(const ListedCertificate& listed, NameForm form);

// A record without certificate and names, for a rollback: its length, the DNS name (without even a NUL when empty), the
// role and the address (left out when empty). InvalidArgument as above.
absl::StatusOr<std::string> WriteBlankRecord(CertificateRole role, std::string_view dns_name,
                                             std::string_view ip_address);

// The whole file from records that follow each other. `form` says everything of the header but the version, which is
// that of trust lists whatever `form` says. Errors as WriteSignedFile; InvalidArgument when there are no records.
absl::StatusOr<std::string> WriteTrustList(std::string_view records, const SignedFileForm& form,
                                           const Certificate& signer, const PrivateKey& key);

}  // namespace trustline
