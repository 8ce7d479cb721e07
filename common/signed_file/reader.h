// Reads and verifies signed files: the header that trust lists, signed and encrypted files share (docs/PROTOCOLS.md,
// trust lists). Shares no code with the writer, so that a mistake of one is found by the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/bytes/bytes.h"
#include "common/signed_file/signed_file.h"
#include "common/x509/certificate.h"

namespace trustline {

// An element as it stands in the file, for print-outs.
struct TlvPlace {
  uint8_t tag = 0;
  uint16_t length = 0;  // of the value
  size_t offset = 0;    // of the tag, from the start of the file

  bool operator==(const TlvPlace&) const = default;
};

struct SignedFileHeader {
  FileVersion version;
  uint16_t header_length = 0;  // bytes before the payload
  std::optional<FileVersion> signer_version;
  std::string signer_name;  // as written, without the NUL
  std::string issuer_name;
  std::string serial;  // bytes as written
  DigestAlgorithm digest = DigestAlgorithm::kSha1;
  uint8_t signature_algorithm = 0;  // 0: RSA, the only one
  uint8_t modulus_code = 0;
  uint16_t modulus_bits = 0;    // what the code says
  ByteView signature;           // borrowed from the file
  size_t signature_offset = 0;  // of the signature's element, which is cut out for signing: tag, length and value
  size_t signature_size = 0;
  std::string file_name;
  absl::Time timestamp;
  NameForm name_form = NameForm::kComma;
  std::vector<ExtraTlv> extra;  // encryption and unknown elements, in their order
  size_t padding = 0;           // bytes
  // Every element in its order, those inside of others too, without padding.
  std::vector<TlvPlace> places;
};

// Borrows the bytes that it was read from.
struct SignedFile {
  SignedFileHeader header;
  ByteView whole;
  ByteView payload;
};

// Reads the header; the payload is not looked into and any version is read. Unknown elements at the end of the header
// are kept in `extra`. InvalidArgument names what is wrong: an element that is missing, stands twice or out of order, a
// length that does not fit, a text without its NUL or with another one inside.
absl::StatusOr<SignedFile> ReadSignedFile(ByteView bytes);

// The header names this certificate as the signer, and the signature over the whole file without the signature's own
// element is by its key. FailedPrecondition when the header names another signer or the certificate's key is not RSA of
// the size that the header says; DataLoss when the signature does not fit, because the file was changed or was signed
// by another key.
absl::Status VerifySignature(const SignedFile& file, const Certificate& signer);

// The header names this certificate by issuer and serial number, as a reader of trust lists looks for the signer.
bool NamesAsSigner(const SignedFileHeader& header, const Certificate& certificate);

// The text names the same as `name`, in either form of names (DistinguishedName::key()).
bool NamesTheSame(std::string_view text, const DistinguishedName& name);

}  // namespace trustline
