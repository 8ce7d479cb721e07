#include "common/x509/certificate_file.h"

#include <fcntl.h>
#include <openssl/pkcs7.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "common/status/status.h"
#include "common/x509/file_content.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;

// DER that is long enough to be a certificate begins with SEQUENCE and a length of more than one byte (or BER's
// indefinite one); no text does.
bool LooksLikeDer(ByteView bytes) { return bytes.size() >= 2 && bytes[0] == 0x30 && bytes[1] >= 0x80; }

// Where the content of what LooksLikeDer begins; it may lie beyond the end.
size_t ContentOffset(ByteView bytes) { return 2 + (bytes[1] & 0x7f); }

// Inside a certificate's SEQUENCE stands another one, inside PKCS#7's an object identifier.
bool LooksLikePkcs7(ByteView bytes) {
  constexpr uint8_t kObjectIdentifier = 6;
  const size_t content = ContentOffset(bytes);
  return bytes.size() > content && bytes[content] == kObjectIdentifier;
}

// A PFX begins with INTEGER 3, its version (RFC 7292, section 4).
bool LooksLikePkcs12(ByteView bytes) {
  constexpr uint8_t kVersion[] = {2, 1, 3};
  const size_t content = ContentOffset(bytes);
  return bytes.size() >= content + sizeof(kVersion) &&
         std::ranges::equal(kVersion, bytes.subspan(content, sizeof(kVersion)));
}

absl::Status AppendPkcs7(ByteView bytes, std::vector<Certificate>& certificates) {
  const OpenSslErrorScope errors;
  const unsigned char* at = bytes.data();
  const Pkcs7Ptr pkcs7(d2i_PKCS7(nullptr, &at, static_cast<long>(bytes.size())));
  if (pkcs7 == nullptr) return OpenSslInvalidArgument("damaged PKCS#7");
  if (at != bytes.data() + bytes.size()) return InvalidArgument("bytes are left over after the PKCS#7 structure");
  if (!PKCS7_type_is_signed(pkcs7.get()) || pkcs7->d.sign == nullptr) {
    return InvalidArgument("PKCS#7 of another kind than SignedData, which is the one that carries certificates");
  }
  const STACK_OF(X509)* const inside = pkcs7->d.sign->cert;
  const int count = inside == nullptr ? 0 : sk_X509_num(inside);
  if (count == 0) return InvalidArgument("PKCS#7 without certificates");
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<Certificate> certificate = Certificate::FromX509(sk_X509_value(inside, i));
    if (!certificate.ok()) return Annotate(certificate.status(), fmt::format("certificate {} in PKCS#7", i + 1));
    certificates.push_back(*std::move(certificate));
  }
  return absl::OkStatus();
}

absl::Status AppendBlock(const PemBlock& block, std::vector<Certificate>& certificates) {
  if (block.label == "TRUSTED CERTIFICATE") {
    return InvalidArgument(
        "OpenSSL's own TRUSTED CERTIFICATE form is not read; convert it with: openssl x509 -in FILE -out NEW");
  }
  const bool pkcs7 = block.label == "PKCS7" || block.label == "CMS" || block.label == "PKCS #7 SIGNED DATA";
  if (!pkcs7 && !IsCertificateLabel(block.label)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string der, DecodePemBody(block.body));
  if (pkcs7) return AppendPkcs7(AsBytes(der), certificates);
  ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
  certificates.push_back(std::move(certificate));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Certificate>> ReadPem(std::string_view text) {
  std::vector<Certificate> certificates;
  bool private_key_seen = false;
  std::string other_label;
  PemReader reader(text);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<PemBlock> block, reader.Next());
    if (!block) break;
    if (absl::Status status = AppendBlock(*block, certificates); !status.ok()) {
      return Annotate(status, fmt::format("PEM block {} ({})", block->number, block->label));
    }
    private_key_seen |= block->label.ends_with("PRIVATE KEY");
    other_label = block->label;
  }
  if (!certificates.empty()) return certificates;
  if (private_key_seen) return InvalidArgument("there is only a private key in it: give the certificate's file");
  return InvalidArgument("there is no certificate in it, only \"{}\"", other_label);
}

absl::StatusOr<std::vector<Certificate>> ReadAnyForm(ByteView bytes) {
  if (bytes.empty()) return InvalidArgument("the file is empty");
  if (bytes.size() > kMaxCertificateFileSize) {
    return InvalidArgument("the file of {} bytes is larger than the maximum of {}", bytes.size(),
                           kMaxCertificateFileSize);
  }
  if (LooksLikeDer(bytes)) {
    if (LooksLikePkcs12(bytes)) {
      return InvalidArgument(
          "PKCS#12 file; extract the certificate with `openssl pkcs12 -in FILE -nokeys -out FILE.pem`");
    }
    std::vector<Certificate> certificates;
    if (LooksLikePkcs7(bytes)) {
      RETURN_IF_ERROR(AppendPkcs7(bytes, certificates));
    } else {
      ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(bytes));
      certificates.push_back(std::move(certificate));
    }
    return certificates;
  }
  if (LooksLikePem(AsText(bytes))) return ReadPem(AsText(bytes));
  return InvalidArgument("neither PEM nor DER nor PKCS#7: not a certificate file");
}

absl::StatusOr<std::vector<Certificate>> ReadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.valid()) return FileError("open", path, errno);
  ASSIGN_OR_RETURN(const std::string bytes, ReadAll(file, path, kMaxCertificateFileSize));
  return ReadCertificates(AsBytes(bytes), path);
}

}  // namespace

absl::StatusOr<std::vector<Certificate>> ReadCertificates(ByteView bytes, std::string_view name) {
  absl::StatusOr<std::vector<Certificate>> certificates = ReadAnyForm(bytes);
  if (!certificates.ok()) return Annotate(certificates.status(), name);
  return certificates;
}

absl::StatusOr<std::vector<Certificate>> ReadCertificatePath(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return ReadFile(path);

  std::vector<fs::path> files;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (!entry->path().filename().string().starts_with('.')) files.push_back(entry->path());
  }
  if (error) return FileError("read the folder", path, error.value());
  if (files.empty()) return InvalidArgument("{}: there are no files in this folder", path);
  std::sort(files.begin(), files.end());

  std::vector<Certificate> certificates;
  for (const fs::path& file : files) {
    if (!fs::is_regular_file(file, error)) {
      return InvalidArgument("{}: not a file; name the folders and files to read one by one", file.string());
    }
    ASSIGN_OR_RETURN(std::vector<Certificate> more, ReadFile(file.string()));
    certificates.insert(certificates.end(), more.begin(), more.end());
  }
  return certificates;
}

}  // namespace trustline
