// Reads and verifies trust lists, ITL and CTL (docs/PROTOCOLS.md, trust lists). Shares no code with the writer, so that
// what is published was read by something that does not share its mistakes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/bytes/bytes.h"
#include "common/signed_file/reader.h"
#include "common/x509/certificate.h"
#include "itl/trust_list/record.h"

namespace trustline {

// Phones fail to load a larger list, in bytes.
inline constexpr size_t kMaxTrustListSize = 65'536;
// What is read all the same, so that a list that is too large can be told from one that is broken.
inline constexpr size_t kMaxReadableTrustListSize = 2048 * 1024;

// A list as it was read: well-formed, not yet verified. Copies share the bytes.
struct TrustList {
  std::shared_ptr<const std::string> bytes;  // the whole file; `file` borrows from it
  SignedFile file;
  std::vector<TrustListRecord> records;  // at least one

  const SignedFileHeader& header() const { return file.header; }
};

// InvalidArgument names the record (the first is 1) and what is wrong: its version, what ReadSignedFile refuses, an
// element that is missing or stands twice, a length that does not fit, a certificate that cannot be read. Records may
// have roles that are not known and elements that are not known at their end; the size may be over kMaxTrustListSize.
absl::StatusOr<TrustList> DecodeTrustList(ByteView bytes);

// The signer: the SAST record of the list itself that the header names by issuer and serial number. Its key must have
// made the signature, and each record must say what its own certificate says. NotFound when no SAST record is the
// signer's; DataLoss and FailedPrecondition as VerifySignature, and DataLoss for a record that contradicts its
// certificate. That the signer is one that a phone knows is for the caller to find out.
absl::StatusOr<Certificate> VerifyTrustList(const TrustList& list);

// The same for a signer that is known from elsewhere: another list or a TVS.
absl::Status VerifyTrustListWith(const TrustList& list, const Certificate& signer);

}  // namespace trustline
