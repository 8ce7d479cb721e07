#include "cli/supervisor/identities.h"

#include <unistd.h>

#include <climits>

#include "cli/supervisor/private_file.h"
#include "cli/supervisor/private_postgres.h"
#include "common/bytes/secret_bytes.h"
#include "common/rpc/identity.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

std::string AuthorityCertificate(const std::string& itld) { return itld + "/identity-authority.crt"; }
std::string AuthorityKey(const std::string& itld) { return itld + "/identity-authority.key"; }
std::string Passphrase(const std::string& directory) { return directory + "/passphrase"; }

absl::Status WriteNewPassphrase(const std::string& path) {
  const SecretBytes random = SecretBytes::Random(32);
  return WriteFileWhole(path, ToHex(AsBytes(random.ExposeSecret())) + "\n");
}

absl::StatusOr<IdentityAuthority> LoadAuthority(const DataPaths& paths, const SystemUsers& users) {
  const ActAs scope(users.itld);
  RETURN_IF_ERROR(scope.status());
  return IdentityAuthority::Load(AuthorityCertificate(paths.itld()), AuthorityKey(paths.itld()),
                                 Passphrase(paths.itld()));
}

// As whoever the files shall belong to; the authority is in memory already.
absl::Status IssueInto(const IdentityAuthority& authority, const std::string& directory, const Identity& identity,
                       absl::Time now) {
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSIGN_OR_RETURN(const Certificate certificate, authority.IssueIdentity(key, identity, now));
  return WriteIdentity(IdentityFilesIn(directory), key, certificate, authority.certificate());
}

absl::Status RenewIfDue(const IdentityAuthority& authority, const std::string& directory,
                        const std::optional<SystemUser>& owner, absl::Time now) {
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const LoadedIdentity loaded, LoadIdentity(IdentityFilesIn(directory)));
  const absl::Duration life = loaded.certificate.not_after() - loaded.certificate.not_before();
  if (loaded.certificate.not_after() - now > life / 3) return absl::OkStatus();
  return IssueInto(authority, directory, loaded.identity, now);
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = "";
  if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "localhost";
  std::string text(name);
  for (char& c : text) {
    const bool fits =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!fits) c = '-';
  }
  return text;
}

}  // namespace

IdentityFiles IdentityFilesIn(const std::string& directory) {
  return {.certificate = directory + "/identity.crt",
          .key = directory + "/identity.key",
          .authority = directory + "/authority.crt"};
}

absl::Status EnsureItldDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  if (FileExists(paths.itld())) return absl::OkStatus();
  const std::string unfinished = paths.itld() + ".new";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  RETURN_IF_ERROR(EnsureDirectory(unfinished, 0700, users.itld));
  {
    const ActAs scope(users.itld);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(WriteNewPassphrase(Passphrase(unfinished)));
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/database.pgpass", NewPasswordFile("trustline_itld")));
    ASSIGN_OR_RETURN(const IdentityAuthority authority, IdentityAuthority::Create(now));
    RETURN_IF_ERROR(authority.Save(AuthorityCertificate(unfinished), AuthorityKey(unfinished), Passphrase(unfinished)));
    ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, "itld", kLocalNode));
    RETURN_IF_ERROR(IssueInto(authority, unfinished, identity, now));
  }
  return RenameDurably(unfinished, paths.itld());
}

absl::Status EnsureAdminDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  if (FileExists(paths.admin())) return absl::OkStatus();
  ASSIGN_OR_RETURN(const IdentityAuthority authority, LoadAuthority(paths, users));
  const std::string unfinished = paths.admin() + ".new";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  RETURN_IF_ERROR(EnsureDirectory(unfinished, 0700));
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, kPersonKind, kAdministrator));
  RETURN_IF_ERROR(IssueInto(authority, unfinished, identity, now));
  return RenameDurably(unfinished, paths.admin());
}

absl::Status RenewDueIdentities(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  ASSIGN_OR_RETURN(const IdentityAuthority authority, LoadAuthority(paths, users));
  RETURN_IF_ERROR(RenewIfDue(authority, paths.admin(), {}, now));
  RETURN_IF_ERROR(RenewIfDue(authority, paths.itld(), users.itld, now));
  if (!FileExists(paths.tvsd())) return absl::OkStatus();
  return RenewIfDue(authority, paths.tvsd(), users.tvsd, now);
}

absl::StatusOr<Certificate> MakeTvsCertificate(const std::string& directory, const std::string& node, absl::Time now) {
  RETURN_IF_ERROR(WriteNewPassphrase(Passphrase(directory)));
  ASSIGN_OR_RETURN(const SecretBytes passphrase, ReadPassphraseFile(Passphrase(directory)));
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kRsa2048));
  const std::string host = HostName();
  // The common name is limited to 64 characters (RFC 5280, appendix A.1).
  ASSIGN_OR_RETURN(
      const CertificateTemplate form,
      PhoneFacingTemplate(fmt::format("TVS-{}-{}", node, host).substr(0, 64), "Trustline", "TVS", host, now));
  ASSIGN_OR_RETURN(Certificate certificate, BuildSelfSigned(form, key));
  RETURN_IF_ERROR(key.WriteKeyFile(directory + "/tvs.key", &passphrase));
  RETURN_IF_ERROR(WriteFileWhole(directory + "/tvs.crt", certificate.ToPem(), 0644));
  return certificate;
}

}  // namespace trustline
