// The identities that the supervisor makes: its identity authority, those of the daemons but tvsd, the administrator's,
// and the phone-facing certificate of tvsd.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "ca/profile/phone_facing.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/system_user.h"
#include "common/bytes/secret_bytes.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"

namespace trustline {

inline constexpr char kLocalNode[] = "node1";
inline constexpr char kAdministrator[] = "admin";

// The file `passphrase` of a directory, which its encrypted keys need. A new one; to be called as the user whom it
// shall belong to.
std::string PassphraseFileIn(const std::string& directory);
absl::StatusOr<SecretBytes> WriteNewPassphrase(const std::string& directory);

// itld's directory with the identity authority (made here, the key never leaves this directory), its own identity, the
// passphrase and the database password; whole or not at all. Nothing happens when it is there.
absl::Status EnsureItldDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// cad's directory with its identity, from the authority in itld's directory, a folder for the keys of its authorities,
// the passphrase and the database password; whole or not at all. Nothing happens when it is there.
absl::Status EnsureCadDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// What capfd needs besides the CAPF certificate, in its directory, which has that already: its identity, from the
// authority in itld's directory, and the database password; each unless it is there.
absl::Status CompleteCapfdDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// The same in provisiond's directory, which has its listener's certificate already.
absl::Status CompleteProvisiondDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// The administrator's identity, from the authority in itld's directory; made unless it is there.
absl::Status EnsureAdminDirectory(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// Issues the identities of the administrator and itld again when less than a third of their life is left: daemons renew
// theirs while they run, but nobody does for the administrator or after a long rest. FailedPrecondition for a directory
// that holds another identity, or one of another authority. tvsd's is not issued here: it renews at itld, or joins
// again.
absl::Status RenewDueIdentities(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// The same for each of these, apart: phones are served without them.
absl::Status RenewDueCadIdentity(const DataPaths& paths, const SystemUsers& users, absl::Time now);
absl::Status RenewDueCapfdIdentity(const DataPaths& paths, const SystemUsers& users, absl::Time now);
absl::Status RenewDueProvisiondIdentity(const DataPaths& paths, const SystemUsers& users, absl::Time now);

// Whether the identity in the directory, which belongs to `owner`, is past its end.
absl::StatusOr<bool> IdentityHasEnded(const std::string& directory, const std::optional<SystemUser>& owner,
                                      absl::Time now);

absl::StatusOr<Certificate> ReadTvsCertificate(const std::string& directory, const std::optional<SystemUser>& owner);

// Writes tvs.crt, tvs.key and passphrase for phones into `directory`. To be called as the user whom they shall belong
// to.
absl::StatusOr<Certificate> MakeTvsCertificate(const std::string& directory, const PhoneFacingSubject& subject,
                                               absl::Time now);

}  // namespace trustline
