#include "tests/support/test_identities.h"

#include <sys/stat.h>

#include <fstream>

#include "absl/time/clock.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"

namespace trustline {
namespace fs = std::filesystem;

absl::Status WritePrivateFile(const fs::path& path, std::string_view content) {
  std::ofstream stream(path, std::ios::binary);
  stream << content;
  stream.close();
  if (!stream || chmod(path.c_str(), 0600) != 0) return Internal("cannot write {}", path.string());
  return absl::OkStatus();
}

absl::StatusOr<IdentityFiles> TestIdentities::For(std::string_view uri) const {
  ASSIGN_OR_RETURN(const Identity identity, Identity::Parse(uri));
  const fs::path folder =
      directory_.path() / fmt::format("identity-{}-{}-{}", identity.cluster, identity.kind, identity.name);
  RETURN_IF_ERROR(IssueInto(folder, identity));
  return IdentityFilesIn(folder.string());
}

absl::Status TestIdentities::IssueInto(const fs::path& folder, const Identity& identity) const {
  if (fs::exists(folder)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSIGN_OR_RETURN(const Certificate certificate, authority_.IssueIdentity(key, identity, absl::Now()));
  fs::create_directories(folder);
  return WriteIdentity(IdentityFilesIn(folder.string()), key, certificate, authority_.certificate());
}

}  // namespace trustline
