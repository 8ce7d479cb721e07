// The identities that the supervisor makes: its identity authority, itld's, the administrator's, and the phone-facing
// certificate of tvsd.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/system_user.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"

namespace trustline {

inline constexpr char kLocalNode[] = "node1";
inline constexpr char kAdministrator[] = "admin";

// identity.crt, identity.key and authority.crt of a directory.
IdentityFiles IdentityFilesIn(const std::string& directory);

// itld's directory with the identity authority (made here, the key never leaves this directory), its own identity, the
// passphrase and the database password; whole or not at all. Nothing happens when it is there.
absl::Status EnsureItldDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// The administrator's identity, from the authority in itld's directory; made unless it is there.
absl::Status EnsureAdminDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// Issues the administrator's and itld's identity again when less than a third of its life is left: itld does so itself
// while it runs, but nobody does for the administrator or after a long rest. FailedPrecondition for a directory that
// holds another identity, or one of another authority. tvsd's is not issued here: it renews at itld, or joins again.
absl::Status RenewDueIdentities(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// Whether the identity in the directory, which belongs to `owner`, is past its end.
absl::StatusOr<bool> IdentityHasEnded(const std::string& directory, const std::optional<SystemUser>& owner,
                                      absl::Time now);

absl::StatusOr<Certificate> ReadTvsCertificate(const std::string& directory, const std::optional<SystemUser>& owner);

// Writes tvs.crt, tvs.key and passphrase for phones into `directory`: RSA 2048, self-signed. To be called as the user
// whom they shall belong to.
absl::StatusOr<Certificate> MakeTvsCertificate(const std::string& directory, const std::string& node, absl::Time now);

}  // namespace trustline
