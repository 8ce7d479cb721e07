#include "cli/trustctl/certificate_request_input.h"

#include <filesystem>
#include <optional>
#include <system_error>

#include "cli/trustctl/certificate_input.h"
#include "common/bytes/bytes.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

// A request of the largest size takes a third more in PEM; openssl writes its text before it.
constexpr size_t kMaxFileSize = 4 * kMaxCertificateRequestSize;

absl::Status TooLarge(const std::string& path) {
  return InvalidArgument("{} is larger than a certificate signing request may be ({} KB)", path,
                         kMaxCertificateRequestSize / 1024);
}

// The bytes of the only request among the blocks.
absl::StatusOr<std::string> FromPem(std::string_view text) {
  std::optional<std::string> request;
  std::string other_label;
  PemReader reader(text);
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<PemBlock> block, reader.Next());
    if (!block) break;
    if (block->label != "CERTIFICATE REQUEST" && block->label != "NEW CERTIFICATE REQUEST") {
      other_label = block->label;
      continue;
    }
    if (request) return InvalidArgument("there are several certificate signing requests in it: give one of them");
    ASSIGN_OR_RETURN(request, DecodePemBody(block->body));
  }
  if (!request) return InvalidArgument("there is no certificate signing request in it, only \"{}\"", other_label);
  return *std::move(request);
}

}  // namespace

absl::StatusOr<std::string> ReadCertificateRequest(const std::string& path) {
  std::error_code error;
  if (const auto size = std::filesystem::file_size(path, error); !error && size > kMaxFileSize) return TooLarge(path);
  absl::StatusOr<std::string> content = ReadTextFile(path, kMaxFileSize);
  if (!content.ok()) return WithFileAdvice(content.status());
  if (content->empty()) return InvalidArgument("{}: the file is empty", path);
  if (LooksLikePem(*content)) {
    content = FromPem(*content);
    if (!content.ok()) return Annotate(content.status(), path);
  }
  if (content->size() > kMaxCertificateRequestSize) return TooLarge(path);
  const absl::StatusOr<CertificateRequest> request = CertificateRequest::FromDer(AsBytes(*content));
  if (!request.ok()) return Annotate(request.status(), path);
  return content;
}

}  // namespace trustline
