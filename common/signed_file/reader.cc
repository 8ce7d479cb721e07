#include "common/signed_file/reader.h"

#include <algorithm>

#include "common/bytes/reader.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

constexpr std::string_view kMessage = "signed file header";
constexpr size_t kVersionAndLengthSize = 2 * (3 + 2);
constexpr uint8_t kPaddingByte = 0x0d;
constexpr uint8_t kRsaAlgorithm = 0;
constexpr uint8_t kMaxModulusCode = 3;
constexpr uint16_t kSmallestModulusBits = 512;

// Tags of the header that stand in a place of their own; 16 to 27 belong to encryption, others are not known.
enum class Tag : uint8_t {
  kVersion = 1,
  kHeaderLength = 2,
  kSignerInfo = 3,
  kSignerName = 4,
  kSerialNumber = 5,
  kIssuerName = 6,
  kSignatureInfo = 7,
  kDigestAlgorithm = 8,
  kSignatureAlgorithmInfo = 9,
  kSignatureAlgorithm = 10,
  kModulus = 11,
  kSignature = 12,
  kFileName = 14,
  kTimestamp = 15,
  kLastOfEncryption = 27,
  kSignerVersion = 28,
};

// Walks over elements and notes where each stands.
class Elements {
 public:
  // `base` is the offset of `bytes` in the file.
  Elements(ByteView bytes, size_t base, std::vector<TlvPlace>& places)
      : reader_(kMessage, bytes), bytes_(bytes), base_(base), places_(places) {}

  size_t offset() const { return base_ + position(); }
  bool empty() const { return reader_.empty(); }
  bool NextIs(Tag tag) const { return !empty() && next() == static_cast<uint8_t>(tag); }
  uint8_t next() const { return bytes_[position()]; }
  ByteView rest() const { return bytes_.subspan(position()); }

  absl::StatusOr<ByteView> Any(std::string_view field, size_t maximum) {
    TlvPlace place = {.offset = offset()};
    ASSIGN_OR_RETURN(place.tag, reader_.ReadU8("tag"));
    ASSIGN_OR_RETURN(const ByteView value, reader_.ReadBytesWithU16Length(field, maximum));
    place.length = static_cast<uint16_t>(value.size());
    places_.push_back(place);
    return value;
  }

  absl::StatusOr<ByteView> Expect(Tag tag, std::string_view field, size_t minimum, size_t maximum) {
    if (empty()) return InvalidArgument("{}: no {} (tag {})", kMessage, field, static_cast<int>(tag));
    if (!NextIs(tag)) {
      return InvalidArgument("{}: tag {} at offset {}, where {} (tag {}) has its place", kMessage, next(), offset(),
                             field, static_cast<int>(tag));
    }
    ASSIGN_OR_RETURN(const ByteView value, Any(field, maximum));
    if (value.size() < minimum) {
      return InvalidArgument("{}: {} of {} bytes is too short", kMessage, field, value.size());
    }
    return value;
  }

  absl::StatusOr<uint8_t> ExpectU8(Tag tag, std::string_view field) {
    ASSIGN_OR_RETURN(const ByteView value, Expect(tag, field, 1, 1));
    return value[0];
  }

  absl::StatusOr<FileVersion> ExpectVersion(Tag tag, std::string_view field) {
    ASSIGN_OR_RETURN(const ByteView value, Expect(tag, field, 2, 2));
    return FileVersion{.major = value[0], .minor = value[1]};
  }

  absl::StatusOr<std::string> ExpectText(Tag tag, std::string_view field, size_t maximum) {
    ASSIGN_OR_RETURN(const ByteView value, Expect(tag, field, 1, maximum + 1));
    std::string_view text = AsText(value);
    if (!text.ends_with('\0')) return InvalidArgument("{}: {} does not end with a NUL", kMessage, field);
    text.remove_suffix(1);
    if (text.find('\0') != std::string_view::npos) return InvalidArgument("{}: NUL inside {}", kMessage, field);
    return std::string(text);
  }

  // An element whose value is elements again.
  absl::StatusOr<Elements> ExpectInner(Tag tag, std::string_view field) {
    const size_t inner_base = offset() + 3;
    ASSIGN_OR_RETURN(const ByteView value, Expect(tag, field, 0, kMaxSignedFileHeader));
    return Elements(value, inner_base, places_);
  }

  absl::Status AssertDone(std::string_view field) const {
    if (empty()) return absl::OkStatus();
    return InvalidArgument("{}: {} covers {} bytes more than its elements", kMessage, field, reader_.remaining());
  }

 private:
  size_t position() const { return bytes_.size() - reader_.remaining(); }

  ByteReader reader_;
  ByteView bytes_;
  size_t base_;
  std::vector<TlvPlace>& places_;
};

absl::Status ReadSigner(Elements& elements, SignedFileHeader& header) {
  ASSIGN_OR_RETURN(Elements inner, elements.ExpectInner(Tag::kSignerInfo, "signer info"));
  ASSIGN_OR_RETURN(header.signer_name, inner.ExpectText(Tag::kSignerName, "signer name", kMaxSignerNameText));
  // The vendor's files have the serial number first.
  header.name_form = inner.NextIs(Tag::kSerialNumber) ? NameForm::kVendor : NameForm::kComma;
  const auto read_serial = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const ByteView serial, inner.Expect(Tag::kSerialNumber, "serial number", 1, kMaxSignerSerial));
    header.serial = AsText(serial);
    return absl::OkStatus();
  };
  if (header.name_form == NameForm::kVendor) RETURN_IF_ERROR(read_serial());
  ASSIGN_OR_RETURN(header.issuer_name, inner.ExpectText(Tag::kIssuerName, "issuer name", kMaxSignerNameText));
  if (header.name_form == NameForm::kComma) RETURN_IF_ERROR(read_serial());
  return inner.AssertDone("signer info");
}

absl::Status ReadSignatureInfo(Elements& elements, SignedFileHeader& header) {
  ASSIGN_OR_RETURN(Elements info, elements.ExpectInner(Tag::kSignatureInfo, "signature info"));
  ASSIGN_OR_RETURN(const uint8_t digest, info.ExpectU8(Tag::kDigestAlgorithm, "digest algorithm"));
  if (digest != static_cast<uint8_t>(DigestAlgorithm::kSha1) &&
      digest != static_cast<uint8_t>(DigestAlgorithm::kSha512)) {
    return InvalidArgument("{}: unknown digest algorithm {}; known are 1 (SHA-1) and 3 (SHA-512)", kMessage, digest);
  }
  header.digest = static_cast<DigestAlgorithm>(digest);
  ASSIGN_OR_RETURN(Elements algorithm, info.ExpectInner(Tag::kSignatureAlgorithmInfo, "signature algorithm info"));
  ASSIGN_OR_RETURN(header.signature_algorithm, algorithm.ExpectU8(Tag::kSignatureAlgorithm, "signature algorithm"));
  if (header.signature_algorithm != kRsaAlgorithm) {
    return InvalidArgument("{}: unknown signature algorithm {}; known is 0 (RSA)", kMessage,
                           header.signature_algorithm);
  }
  ASSIGN_OR_RETURN(header.modulus_code, algorithm.ExpectU8(Tag::kModulus, "signature modulus"));
  if (header.modulus_code > kMaxModulusCode) {
    return InvalidArgument("{}: unknown signature modulus {}", kMessage, header.modulus_code);
  }
  header.modulus_bits = static_cast<uint16_t>(kSmallestModulusBits << header.modulus_code);
  RETURN_IF_ERROR(algorithm.AssertDone("signature algorithm info"));
  return info.AssertDone("signature info");
}

// The signature's element is the only one that is not signed, its place included: were it read anywhere, the same
// signature would fit many files.
absl::Status ReadSignature(Elements& elements, SignedFileHeader& header) {
  header.signature_offset = elements.offset();
  ASSIGN_OR_RETURN(header.signature, elements.Expect(Tag::kSignature, "signature", 0, kMaxSignedFileHeader));
  if (header.signature.size() != header.modulus_bits / 8u) {
    return InvalidArgument("{}: a signature of {} bytes, where a key of {} bits makes one of {}", kMessage,
                           header.signature.size(), header.modulus_bits, header.modulus_bits / 8);
  }
  header.signature_size = elements.offset() - header.signature_offset;
  return absl::OkStatus();
}

// Encryption and unknown elements, then padding.
absl::Status ReadTail(Elements& elements, SignedFileHeader& header) {
  while (!elements.empty() && elements.next() != kPaddingByte) {
    const uint8_t tag = elements.next();
    const bool known = tag <= static_cast<uint8_t>(Tag::kSignerVersion);
    const bool of_encryption =
        tag > static_cast<uint8_t>(Tag::kTimestamp) && tag <= static_cast<uint8_t>(Tag::kLastOfEncryption);
    const bool again = std::ranges::any_of(header.extra, [&](const ExtraTlv& other) { return other.tag == tag; });
    if (known && (!of_encryption || again)) {
      return InvalidArgument("{}: tag {} at offset {} stands twice or out of its order", kMessage, tag,
                             elements.offset());
    }
    ASSIGN_OR_RETURN(const ByteView value, elements.Any("element", kMaxSignedFileHeader));
    header.extra.push_back({.tag = tag, .value = std::string(AsText(value))});
  }
  for (const uint8_t byte : elements.rest()) {
    if (byte != kPaddingByte) return InvalidArgument("{}: other bytes than 0x0d after its padding", kMessage);
  }
  header.padding = elements.rest().size();
  return absl::OkStatus();
}

absl::Status CheckSigner(const SignedFileHeader& header, const Certificate& signer) {
  if (AsText(CanonicalSerial(AsBytes(header.serial))) != AsText(signer.serial())) {
    return FailedPrecondition("the file was signed by the certificate with serial number {}, not by {} with {}",
                              ToHex(AsBytes(header.serial)), signer.subject().ToText(), ToHex(signer.serial()));
  }
  if (!NamesTheSame(header.issuer_name, signer.issuer())) {
    return FailedPrecondition("the file names another issuer of its signer than {}", signer.issuer().ToText());
  }
  if (!NamesTheSame(header.signer_name, signer.subject())) {
    return FailedPrecondition("the file names another signer than {}", signer.subject().ToText());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SignedFile> ReadSignedFile(ByteView bytes) {
  SignedFile file = {.header = {}, .whole = bytes, .payload = {}};
  SignedFileHeader& header = file.header;

  // 1. How long the header is.
  Elements begin(bytes.first(std::min(bytes.size(), kVersionAndLengthSize)), 0, header.places);
  ASSIGN_OR_RETURN(header.version, begin.ExpectVersion(Tag::kVersion, "version"));
  ASSIGN_OR_RETURN(const ByteView length, begin.Expect(Tag::kHeaderLength, "header length", 2, 2));
  ASSIGN_OR_RETURN(header.header_length, ByteReader(kMessage, length).ReadU16("header length"));
  if (header.header_length < kVersionAndLengthSize || header.header_length > kMaxSignedFileHeader) {
    return InvalidArgument("{}: a header length of {}; {} to {} can be", kMessage, header.header_length,
                           kVersionAndLengthSize, kMaxSignedFileHeader);
  }
  if (header.header_length > bytes.size()) {
    return InvalidArgument("{}: a header of {} bytes in a file of {}: the file is cut off", kMessage,
                           header.header_length, bytes.size());
  }
  file.payload = bytes.subspan(header.header_length);

  // 2. The elements in the order of the format.
  Elements elements(bytes.first(header.header_length).subspan(kVersionAndLengthSize), kVersionAndLengthSize,
                    header.places);
  if (elements.NextIs(Tag::kSignerVersion)) {
    ASSIGN_OR_RETURN(header.signer_version, elements.ExpectVersion(Tag::kSignerVersion, "signer version"));
  }
  RETURN_IF_ERROR(ReadSigner(elements, header));
  RETURN_IF_ERROR(ReadSignatureInfo(elements, header));
  RETURN_IF_ERROR(ReadSignature(elements, header));
  ASSIGN_OR_RETURN(header.file_name, elements.ExpectText(Tag::kFileName, "file name", kMaxSignedFileName));
  ASSIGN_OR_RETURN(const ByteView seconds, elements.Expect(Tag::kTimestamp, "timestamp", 4, 4));
  ASSIGN_OR_RETURN(const uint32_t timestamp, ByteReader(kMessage, seconds).ReadU32("timestamp"));
  header.timestamp = absl::FromUnixSeconds(timestamp);
  RETURN_IF_ERROR(ReadTail(elements, header));
  return file;
}

absl::Status VerifySignature(const SignedFile& file, const Certificate& signer) {
  const SignedFileHeader& header = file.header;
  RETURN_IF_ERROR(CheckSigner(header, signer));

  const OpenSslErrorScope errors;
  EVP_PKEY* const key = X509_get0_pubkey(signer.x509());
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
      EVP_PKEY_get_bits(key) != static_cast<int>(header.modulus_bits)) {
    return FailedPrecondition("the file says it was signed with RSA {}, but the key of {} is {}", header.modulus_bits,
                              signer.subject().ToText(), signer.public_key_kind());
  }
  const EVP_MD* const digest = header.digest == DigestAlgorithm::kSha1 ? EVP_sha1() : EVP_sha512();
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // belongs to `context`
  const ByteView before = file.whole.first(header.signature_offset);
  const ByteView after = file.whole.subspan(header.signature_offset + header.signature_size);
  if (context == nullptr || EVP_DigestVerifyInit(context.get(), &parameters, digest, nullptr, key) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PADDING) != 1 ||
      EVP_DigestVerifyUpdate(context.get(), before.data(), before.size()) != 1 ||
      EVP_DigestVerifyUpdate(context.get(), after.data(), after.size()) != 1) {
    return OpenSslInternal("a signature cannot be verified");
  }
  if (EVP_DigestVerifyFinal(context.get(), header.signature.data(), header.signature.size()) != 1) {
    return DataLoss(
        "the signature is not that of {} over this file: the file was changed after signing, or another key signed it",
        signer.subject().ToText());
  }
  return absl::OkStatus();
}

bool NamesAsSigner(const SignedFileHeader& header, const Certificate& certificate) {
  return AsText(CanonicalSerial(AsBytes(header.serial))) == AsText(certificate.serial()) &&
         NamesTheSame(header.issuer_name, certificate.issuer());
}

bool NamesTheSame(std::string_view text, const DistinguishedName& name) {
  if (text == name.ToText()) return true;
  const auto read = DistinguishedName::FromText(text);
  return read.ok() && read->key() == name.key();
}

}  // namespace trustline
