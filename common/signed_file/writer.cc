#include "common/signed_file/writer.h"

#include <utility>

#include "common/bytes/writer.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {
namespace {

constexpr size_t kElementOverhead = 3;  // tag and length
constexpr size_t kMaxElement = 0xffff;
constexpr size_t kAlignment = 4;
constexpr uint8_t kPadding = 0x0d;

void Append(ByteWriter& writer, uint8_t tag, ByteView value) {
  writer.U8(tag).U16(static_cast<uint16_t>(value.size())).Bytes(value);
}
void AppendText(ByteWriter& writer, uint8_t tag, std::string_view text) {
  writer.U8(tag).U16(static_cast<uint16_t>(text.size() + 1)).Bytes(AsBytes(text)).U8(0);
}
void AppendU8(ByteWriter& writer, uint8_t tag, uint8_t value) { writer.U8(tag).U16(1).U8(value); }
void AppendVersion(ByteWriter& writer, uint8_t tag, FileVersion version) {
  writer.U8(tag).U16(2).U8(version.major).U8(version.minor);
}

// What the format says of the signing key.
struct ModulusForm {
  uint8_t code;
  uint16_t signature_size;
};

absl::StatusOr<ModulusForm> ModulusOf(const Certificate& signer) {
  const OpenSslErrorScope errors;
  const EVP_PKEY* const key = X509_get0_pubkey(signer.x509());
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
    return FailedPrecondition(
        "phones cannot read files that are signed with a key that is {}: it has to be RSA 2048 (the certificate is {})",
        signer.public_key_kind(), signer.subject().ToText());
  }
  const int bits = EVP_PKEY_get_bits(key);
  if (bits > 2048) {
    return FailedPrecondition(
        "phones cannot read files that are signed with RSA {}: the key has to have 2048 bits at most (the certificate "
        "is {})",
        bits, signer.subject().ToText());
  }
  // 512 bits have a code too, but anybody can find such a key's private part within hours.
  if (bits == 2048) return ModulusForm{.code = 2, .signature_size = 256};
  if (bits == 1024) return ModulusForm{.code = 1, .signature_size = 128};
  return FailedPrecondition(
      "phones cannot read files that are signed with RSA {}: the key has to have 2048 or 1024 bits (the certificate is "
      "{})",
      bits, signer.subject().ToText());
}

// The header without the signature's element, which goes between the two.
struct HeaderParts {
  std::string before;
  std::string after;
};

absl::StatusOr<std::string> SignerInfo(const Certificate& signer, NameForm form) {
  ASSIGN_OR_RETURN(const std::string subject, WriteName(signer.subject(), form));
  ASSIGN_OR_RETURN(const std::string issuer, WriteName(signer.issuer(), form));
  ASSIGN_OR_RETURN(const std::string serial, WriteSerial(signer));
  ByteWriter info;
  AppendText(info, 4, subject);
  if (form == NameForm::kVendor) Append(info, 5, AsBytes(serial));
  AppendText(info, 6, issuer);
  if (form == NameForm::kComma) Append(info, 5, AsBytes(serial));
  return info.Take();
}

std::string SignatureInfo(DigestAlgorithm digest, uint8_t modulus_code) {
  ByteWriter algorithm;
  AppendU8(algorithm, 10, 0);  // RSA
  AppendU8(algorithm, 11, modulus_code);
  ByteWriter info;
  AppendU8(info, 8, static_cast<uint8_t>(digest));
  Append(info, 9, AsBytes(algorithm.Take()));
  return info.Take();
}

absl::Status CheckExtra(const std::vector<ExtraTlv>& extra) {
  for (size_t i = 0; i < extra.size(); ++i) {
    const uint8_t tag = extra[i].tag;
    if (tag < 16 || tag == 28) return InvalidArgument("tag {} is one of the header's own", tag);
    for (size_t j = 0; j < i; ++j) {
      if (tag < 28 && extra[j].tag == tag) return InvalidArgument("tag {} would stand twice in the header", tag);
    }
    if (extra[i].value.size() > kMaxElement) {
      return InvalidArgument("an element with tag {} of {} bytes does not fit into a header", tag,
                             extra[i].value.size());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<HeaderParts> WriteHeader(const SignedFileForm& form, const Certificate& signer, ModulusForm modulus,
                                        uint32_t timestamp) {
  // 1. What can be refused.
  if (form.file_name.empty() || form.file_name.size() > kMaxSignedFileName ||
      form.file_name.find('\0') != std::string::npos) {
    return InvalidArgument("the file name in a header has 1 to {} bytes and no NUL", kMaxSignedFileName);
  }
  RETURN_IF_ERROR(CheckExtra(form.extra));
  ASSIGN_OR_RETURN(const std::string signer_info, SignerInfo(signer, form.name_form));

  // 2. Everything after the header length, which is known only then.
  ByteWriter rest;
  if (form.signer_version) AppendVersion(rest, 28, *form.signer_version);
  Append(rest, 3, AsBytes(signer_info));
  Append(rest, 7, AsBytes(SignatureInfo(form.digest, modulus.code)));
  ByteWriter after;
  AppendText(after, 14, form.file_name);
  after.U8(15).U16(4).U32(timestamp);
  for (const ExtraTlv& extra : form.extra) Append(after, extra.tag, AsBytes(extra.value));
  size_t length = 2 * (kElementOverhead + 2) + rest.size() + kElementOverhead + modulus.signature_size + after.size();
  for (; length % kAlignment != 0; ++length) after.U8(kPadding);
  if (length > kMaxSignedFileHeader) {
    return InvalidArgument("a header of {} bytes is longer than the maximum of {}", length, kMaxSignedFileHeader);
  }

  // 3. The whole.
  ByteWriter before;
  AppendVersion(before, 1, form.version);
  before.U8(2).U16(2).U16(static_cast<uint16_t>(length)).Bytes(AsBytes(rest.Take()));
  return HeaderParts{.before = before.Take(), .after = after.Take()};
}

absl::StatusOr<uint32_t> WriteTimestamp(absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  if (seconds < 0 || seconds > int64_t{0xffff'ffff}) {
    return InvalidArgument("the time {} does not fit into a header: it can be of the years 1970 to 2106",
                           absl::FormatTime(time, absl::UTCTimeZone()));
  }
  return static_cast<uint32_t>(seconds);
}

absl::StatusOr<std::string> Sign(const HeaderParts& header, ByteView payload, DigestAlgorithm digest,
                                 const PrivateKey& key) {
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // belongs to `context`
  size_t size = 0;
  std::string signature;
  const bool begun =
      context != nullptr &&
      EVP_DigestSignInit(context.get(), &parameters, digest == DigestAlgorithm::kSha512 ? EVP_sha512() : EVP_sha1(),
                         nullptr, key.get()) == 1 &&
      EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PADDING) == 1 &&
      EVP_DigestSignUpdate(context.get(), header.before.data(), header.before.size()) == 1 &&
      EVP_DigestSignUpdate(context.get(), header.after.data(), header.after.size()) == 1 &&
      EVP_DigestSignUpdate(context.get(), payload.data(), payload.size()) == 1 &&
      EVP_DigestSignFinal(context.get(), nullptr, &size) == 1;
  if (!begun) return OpenSslInternal("a file cannot be signed");
  signature.resize(size);
  if (EVP_DigestSignFinal(context.get(), reinterpret_cast<uint8_t*>(signature.data()), &size) != 1) {
    return OpenSslInternal("a file cannot be signed");
  }
  signature.resize(size);
  return signature;
}

}  // namespace

absl::StatusOr<std::string> WriteSignedFile(const SignedFileForm& form, const Certificate& signer,
                                            const PrivateKey& key, ByteView payload) {
  ASSIGN_OR_RETURN(const ModulusForm modulus, ModulusOf(signer));
  if (!key.MatchesCertificate(signer)) {
    return FailedPrecondition("the signing key ({}) is not the key of the certificate {}", key.kind_text(),
                              signer.subject().ToText());
  }
  ASSIGN_OR_RETURN(const uint32_t timestamp, WriteTimestamp(form.timestamp));
  ASSIGN_OR_RETURN(const HeaderParts header, WriteHeader(form, signer, modulus, timestamp));
  ASSIGN_OR_RETURN(const std::string signature, Sign(header, payload, form.digest, key));
  if (signature.size() != modulus.signature_size) {
    return Internal("a signature of {} bytes where {} were expected", signature.size(), modulus.signature_size);
  }
  ByteWriter file(header.before.size() + kElementOverhead + signature.size() + header.after.size() + payload.size());
  file.Bytes(AsBytes(header.before));
  Append(file, 12, AsBytes(signature));
  return file.Bytes(AsBytes(header.after)).Bytes(payload).Take();
}

absl::StatusOr<Sha256Digest> SignedFileContentDigest(const SignedFileForm& form, const Certificate& signer,
                                                     ByteView payload) {
  ASSIGN_OR_RETURN(const ModulusForm modulus, ModulusOf(signer));
  ASSIGN_OR_RETURN(const HeaderParts header, WriteHeader(form, signer, modulus, 0));
  return Sha256(AsBytes(ByteWriter().Bytes(AsBytes(header.before)).Bytes(AsBytes(header.after)).Bytes(payload).Take()));
}

absl::StatusOr<std::string> WriteName(const DistinguishedName& name, NameForm form) {
  if (name.HasEmbeddedNul()) return InvalidArgument("the name {} has a NUL in it", name.ToText());
  const std::string text = name.ToText();
  if (text.size() > kMaxSignerNameText) {
    return InvalidArgument("a name of {} bytes is longer than the maximum of {}", text.size(), kMaxSignerNameText);
  }
  if (form == NameForm::kComma) return text;
  // RFC 4514 escapes every ',' that is part of a value.
  std::string vendor;
  vendor.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      vendor.append(text, i++, 2);
    } else {
      vendor.push_back(text[i] == ',' ? ';' : text[i]);
    }
  }
  return vendor;
}

absl::StatusOr<std::string> WriteSerial(const Certificate& certificate) {
  const ByteView serial = certificate.serial();
  if (serial.size() > kMaxSignerSerial) {
    return InvalidArgument("a serial number of {} bytes is longer than the maximum of {}", serial.size(),
                           kMaxSignerSerial);
  }
  return serial.empty() ? std::string(1, '\0') : std::string(AsText(serial));
}

}  // namespace trustline
