#include "cli/supervisor/identities.h"

#include "cli/supervisor/private_file.h"
#include "cli/supervisor/private_postgres.h"
#include "common/bytes/bytes.h"
#include "common/rpc/identity.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"

namespace trustline {
namespace {

std::string AuthorityCertificate(const std::string& itld) { return itld + "/identity-authority.crt"; }
std::string AuthorityKey(const std::string& itld) { return itld + "/identity-authority.key"; }
std::string ListKeys(const std::string& itld) { return itld + "/list-keys"; }

absl::StatusOr<IdentityAuthority> LoadAuthority(const DataPaths& paths, const SystemUsers& users) {
  const ActAs scope(users.itld);
  RETURN_IF_ERROR(scope.status());
  return IdentityAuthority::Load(AuthorityCertificate(paths.itld()), AuthorityKey(paths.itld()),
                                 PassphraseFileIn(paths.itld()));
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
absl::StatusOr<Identity> CadIdentity() { return Identity::Create(kSystemCluster, "cad", kLocalNode); }
absl::StatusOr<Identity> AdministratorIdentity() {
  return Identity::Create(kSystemCluster, kPersonKind, kAdministrator);
}

// Identity and database password of the daemon `kind`, each unless it is there.
absl::Status CompleteDirectory(const DataPaths& paths, const SystemUsers& users, const std::string& directory,
                               const std::optional<SystemUser>& owner, std::string_view kind, absl::Time now) {
  const std::string password_file = directory + "/database.pgpass";
  // The key is written before the certificate that it is for, which reading it completes.
  const bool has_identity = FileExists(IdentityFilesIn(directory).key);
  if (has_identity && FileExists(password_file)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const IdentityAuthority authority, LoadAuthority(paths, users));
  const ActAs scope(owner);
  RETURN_IF_ERROR(scope.status());
  if (!FileExists(password_file)) {
    RETURN_IF_ERROR(WriteFileWhole(password_file, NewPasswordFile(fmt::format("trustline_{}", kind)).ExposeSecret()));
  }
  if (has_identity) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, kind, kLocalNode));
  return IssueInto(authority, directory, identity, now);
}

absl::Status RenewDueIdentity(const DataPaths& paths, const SystemUsers& users, const std::string& directory,
                              const std::optional<SystemUser>& owner, std::string_view kind, absl::Time now) {
  ASSIGN_OR_RETURN(const IdentityAuthority authority, LoadAuthority(paths, users));
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, kind, kLocalNode));
  return RenewIfDue(authority, directory, identity, owner, now);
}

}  // namespace

std::string PassphraseFileIn(const std::string& directory) { return directory + "/passphrase"; }

absl::StatusOr<SecretBytes> WriteNewPassphrase(const std::string& directory) {
  const SecretBytes random = SecretBytes::Random(32);
  RETURN_IF_ERROR(WriteFileWhole(PassphraseFileIn(directory), ToHex(AsBytes(random.ExposeSecret())) + "\n"));
  return ReadPassphraseFile(PassphraseFileIn(directory));
}

absl::Status EnsureItldDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  if (FileExists(paths.itld())) {
    // A version without trust lists has made a directory without it.
    return EnsureDirectory(ListKeys(paths.itld()), 0700, users.itld);
  }
  const std::string unfinished = paths.itld() + ".new";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  RETURN_IF_ERROR(EnsureDirectory(unfinished, 0700, users.itld));
  {
    const ActAs scope(users.itld);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(EnsureDirectory(ListKeys(unfinished), 0700));
    RETURN_IF_ERROR(WriteNewPassphrase(unfinished).status());
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/database.pgpass", NewPasswordFile("trustline_itld").ExposeSecret()));
    ASSIGN_OR_RETURN(const IdentityAuthority authority, IdentityAuthority::Create(now));
    RETURN_IF_ERROR(
        authority.Save(AuthorityCertificate(unfinished), AuthorityKey(unfinished), PassphraseFileIn(unfinished)));
    ASSIGN_OR_RETURN(const Identity identity, ItldIdentity());
    RETURN_IF_ERROR(IssueInto(authority, unfinished, identity, now));
  }
  return RenameDurably(unfinished, paths.itld());
}

absl::Status EnsureCadDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  if (FileExists(paths.cad())) return absl::OkStatus();
  ASSIGN_OR_RETURN(const IdentityAuthority authority, LoadAuthority(paths, users));
  const std::string unfinished = paths.cad() + ".new";
  RETURN_IF_ERROR(RemoveTree(unfinished));
  RETURN_IF_ERROR(EnsureDirectory(unfinished, 0700, users.cad));
  {
    const ActAs scope(users.cad);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(EnsureDirectory(unfinished + "/keys", 0700));
    RETURN_IF_ERROR(WriteNewPassphrase(unfinished).status());
    RETURN_IF_ERROR(WriteFileWhole(unfinished + "/database.pgpass", NewPasswordFile("trustline_cad").ExposeSecret()));
    ASSIGN_OR_RETURN(const Identity identity, CadIdentity());
    RETURN_IF_ERROR(IssueInto(authority, unfinished, identity, now));
  }
  return RenameDurably(unfinished, paths.cad());
}

absl::Status CompleteCapfdDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  return CompleteDirectory(paths, users, paths.capfd(), users.capfd, "capfd", now);
}

absl::Status CompleteProvisiondDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  return CompleteDirectory(paths, users, paths.provisiond(), users.provisiond, "provisiond", now);
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

absl::Status RenewDueCadIdentity(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  return RenewDueIdentity(paths, users, paths.cad(), users.cad, "cad", now);
}

absl::Status RenewDueCapfdIdentity(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  return RenewDueIdentity(paths, users, paths.capfd(), users.capfd, "capfd", now);
}

absl::Status RenewDueProvisiondIdentity(const DataPaths& paths, const SystemUsers& users, absl::Time now) {
  return RenewDueIdentity(paths, users, paths.provisiond(), users.provisiond, "provisiond", now);
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

absl::StatusOr<Certificate> MakeTvsCertificate(const std::string& directory, const PhoneFacingSubject& subject,
                                               absl::Time now) {
  ASSIGN_OR_RETURN(const SecretBytes passphrase, WriteNewPassphrase(directory));
  return WriteNewPhoneFacing(NewPhoneFacingProfile(PhoneFacingKind::kTvs, subject), directory, "tvs", passphrase, now);
}

}  // namespace trustline
