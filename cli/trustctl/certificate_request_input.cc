#include "cli/trustctl/certificate_request_input.h"

#include <optional>

#include "cli/trustctl/certificate_input.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/pem.h"

namespace trustline {
namespace {

// Far more than cad takes: it is cad that refuses a request for its size, and records that.
constexpr size_t kMaxFileSize = 16 * 1024 * 1024;

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
  absl::StatusOr<std::string> content = ReadTextFile(path, kMaxFileSize);
  if (!content.ok()) return WithFileAdvice(content.status());
  if (content->empty()) return InvalidArgument("{}: the file is empty", path);
  if (!LooksLikePem(*content)) return content;
  absl::StatusOr<std::string> request = FromPem(*content);
  if (!request.ok()) return Annotate(request.status(), path);
  return request;
}

}  // namespace trustline
