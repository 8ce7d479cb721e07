#include "common/service/certificate_of_key.h"

#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate_file.h"

namespace trustline {
namespace {

constexpr size_t kMaxChainFile = 256 * 1024;

bool BelongsTo(const PrivateKey& key, const absl::StatusOr<std::vector<Certificate>>& chain) {
  return chain.ok() && key.MatchesCertificate(chain->front());
}

}  // namespace

std::string PendingCertificatePath(const std::string& certificate_path) { return certificate_path + ".next"; }

absl::StatusOr<std::vector<Certificate>> ReadChainFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxChainFile));
  return ReadCertificates(AsBytes(text), path);
}

absl::StatusOr<std::vector<Certificate>> ReadCertificatesOfKey(const PrivateKey& key, const std::string& key_path,
                                                               const std::string& certificate_path,
                                                               std::string_view cure) {
  absl::StatusOr<std::vector<Certificate>> chain = ReadChainFile(certificate_path);
  if (BelongsTo(key, chain)) return chain;
  absl::StatusOr<std::vector<Certificate>> pending = ReadChainFile(PendingCertificatePath(certificate_path));
  if (BelongsTo(key, pending)) {
    RETURN_IF_ERROR(RenameFile(PendingCertificatePath(certificate_path), certificate_path));
    return pending;
  }
  RETURN_IF_ERROR(chain.status());
  return FailedPrecondition("{} is not the key of {}: {}", key_path, certificate_path, cure);
}

}  // namespace trustline
