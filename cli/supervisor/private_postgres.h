// The PostgreSQL that `trustline up` makes and owns: reachable over a Unix socket only, a password for every role.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/supervisor/child_process.h"
#include "cli/supervisor/data_directory.h"
#include "cli/supervisor/system_user.h"
#include "common/bytes/secret_bytes.h"
#include "common/postgres/connection.h"

namespace trustline {

inline constexpr char kDatabaseName[] = "trustline";

class PrivatePostgres {
 public:
  PrivatePostgres(DataPaths paths, std::string bin_dir, SystemUsers users);

  // Where its socket is: a short path, because the name of a Unix socket is limited to 107 bytes. In /run for root;
  // else in the user's runtime directory or /tmp.
  const std::string& socket_directory() const { return socket_directory_; }

  // Makes the database cluster unless it is there; whole or not at all. `progress` gets a sentence before long work.
  absl::Status CreateCluster(const std::function<void(std::string_view)>& progress) const;

  // Before each start: configuration, socket directory, what a crash left behind.
  absl::Status PrepareStart() const;

  // After the end of the server.
  void RemoveSocketDirectory() const;

  // The server; SIGINT ends it cleanly and fast, also when this process dies.
  ChildCommand ServerCommand() const;

  // Whether it accepts connections; an error when it never will.
  absl::StatusOr<bool> Answers() const;

  // Connection strings: of the superuser, who is nobody's but the supervisor's, and of a role with its password file.
  std::string SuperuserConnection(std::string_view database) const;
  std::string RoleConnection(std::string_view role, const std::string& password_file) const;

  // Once it answers: the database (unless it exists; the others are closed to everybody), its migrations, and each
  // role's password as in its file.
  absl::Status CreateDatabase() const;
  absl::Status ApplyMigrations(const std::string& directory,
                               const std::function<void(std::string_view)>& progress) const;
  absl::Status SetPassword(std::string_view role, const std::string& password_file,
                           const std::optional<SystemUser>& owner) const;
  // The person "admin" becomes administrator and auditor of the cluster "default", if nobody has a role there yet.
  absl::Status GrantFirstAdministrator() const;

 private:
  absl::StatusOr<Connection> Connect(std::string_view database) const;
  absl::Status RunInitdb(const std::string& directory) const;
  absl::Status WriteConfiguration() const;
  absl::Status RemoveStalePostmasterFile() const;

  DataPaths paths_;
  std::string bin_dir_;
  SystemUsers users_;
  std::string socket_directory_;
};

// A new password and the line of libpq's password file for it (PostgreSQL 15 manual, chapter 34.16).
SecretBytes NewPasswordFile(std::string_view role);

// The password in such a file. DataLoss for anything else.
absl::StatusOr<SecretBytes> PasswordOf(const SecretBytes& content);

}  // namespace trustline
