// Writes signed files: the header that trust lists, signed and encrypted files share, signed (docs/PROTOCOLS.md, trust
// lists). Shares no code with the reader, so that a mistake of one is found by the other.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/signed_file/signed_file.h"
#include "common/x509/certificate.h"
#include "common/x509/distinguished_name.h"
#include "common/x509/private_key.h"

namespace trustline {

// What is to stand in the header besides the signer.
struct SignedFileForm {
  FileVersion version = kSignedFileVersion;
  std::optional<FileVersion> signer_version;
  DigestAlgorithm digest = DigestAlgorithm::kSha1;
  NameForm name_form = NameForm::kComma;
  std::string file_name;        // the name that phones ask for, with its path
  absl::Time timestamp;         // whole seconds are written
  std::vector<ExtraTlv> extra;  // after the timestamp, in this order; no tags of the header's own
};

// The whole file: header and payload. The same arguments give the same bytes. FailedPrecondition when the key is not
// that of the certificate, is not RSA, or has a size that phones cannot read (over 2048 bits); InvalidArgument when
// something does not fit into the format: a name, the file name, the time, the length of the header.
absl::StatusOr<std::string> WriteSignedFile(const SignedFileForm& form, const Certificate& signer,
                                            const PrivateKey& key, ByteView payload);

// SHA-256 of the file as it would be without its signature and with time 0: equal for files with equal content,
// whenever they were made. InvalidArgument as above, except for the time.
absl::StatusOr<Sha256Digest> SignedFileContentDigest(const SignedFileForm& form, const Certificate& signer,
                                                     ByteView payload);

// A name as it stands in files, without the NUL. InvalidArgument for one that is too long or has a NUL in it.
absl::StatusOr<std::string> WriteName(const DistinguishedName& name, NameForm form);

// A serial number as it stands in files: at least one byte. InvalidArgument when it is too long.
absl::StatusOr<std::string> WriteSerial(const Certificate& certificate);

}  // namespace trustline
