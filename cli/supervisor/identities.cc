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

// Only what this site's authority issued for `expected` is issued again: whoever can write into the directory could
// otherwise have a name of its choice signed.
absl::Status RenewIfDue(const IdentityAuthority& authority, const std::string& directory, const Identity& expected,
                        const std::optional<SystemUser>& owner, absl::Time now) {
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const LoadedIdentity loaded, LoadIdentity(IdentityFilesIn(directory)));
  if (loaded.identity != expected || loaded.authority != authority.certificate()) {
    return FailedPrecondition(
        "{} holds the identity {} of the authority {}, not {} of this site's authority: restore it from a backup of "
        "the data directory",
        directory, loaded.identity.ToUri(), ToHex(loaded.authority.sha256()), expected.ToUri());
  }
  const absl::Duration life = loaded.certificate.not_after() - loaded.certificate.not_before();
  if (loaded.certificate.not_after() - now > life / 3) return absl::OkStatus();
  return IssueInto(authority, directory, expected, now);
}

absl::StatusOr<Identity> ItldIdentity() { return Identity::Create(kSystemCluster, "itld", kLocalNode); }
absl::StatusOr<Identity> AdministratorIdentity() {
  return Identity::Create(kSystemCluster, kPersonKind, kAdministrator);
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
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/database.pgpass", NewPasswordFile("trustline_itld").ExposeSecret()));
    ASSIGN_OR_RETURN(const IdentityAuthority authority, IdentityAuthority::Create(now));
    RETURN_IF_ERROR(authority.Save(AuthorityCertificate(unfinished), AuthorityKey(unfinished), Passphrase(unfinished)));
    ASSIGN_OR_RETURN(const Identity identity, ItldIdentity());
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
  ASSIGN_OR_RETURN(const Identity identity, AdministratorIdentity());
  RETURN_IF_ERROR(IssueInto(authority, unfinished, identity, now));
  return RenameDurably(unfinished, paths.admin());
}

absl::Status RenewDueIdentities(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  ASSIGN_OR_RETURN(const IdentityAuthority authority, LoadAuthority(paths, users));
  ASSIGN_OR_RETURN(const Identity administrator, AdministratorIdentity());
  ASSIGN_OR_RETURN(const Identity itld, ItldIdentity());
  RETURN_IF_ERROR(RenewIfDue(authority, paths.admin(), administrator, {}, now));
  return RenewIfDue(authority, paths.itld(), itld, users.itld, now);
}

absl::StatusOr<bool> IdentityHasEnded(const std::string& directory, const std::optional<SystemUser>& owner,
                                      absl::Time now) {
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(const LoadedIdentity loaded, LoadIdentity(IdentityFilesIn(directory)));
  return loaded.certificate.not_after() < now;
}

absl::StatusOr<Certificate> ReadTvsCertificate(const std::string& directory, const std::optional<SystemUser>& owner) {
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  const std::string path = directory + "/tvs.crt";
  ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path));
  absl::StatusOr<Certificate> certificate = Certificate::FromPem(text);
  if (!certificate.ok()) return Annotate(certificate.status(), path);
  return certificate;
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
