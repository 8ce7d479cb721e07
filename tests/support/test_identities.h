// Identities of a system's parties for tests, in files as the daemons read them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/rpc/identity_authority.h"
#include "common/service/identity_files.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

// A file that only its owner may read.
absl::Status WritePrivateFile(const std::filesystem::path& path, std::string_view content);

// An identity authority and the folders of those that it named. Not for several threads at once.
class TestIdentities {
 public:
  explicit TestIdentities(IdentityAuthority authority) : authority_(std::move(authority)) {}

  const IdentityAuthority& authority() const { return authority_; }
  const std::filesystem::path& path() const { return directory_.path(); }

  // The files of an identity such as "trustline:default/person/admin", made at the first call.
  absl::StatusOr<IdentityFiles> For(std::string_view uri) const;
  // The same in a folder of its own name; one that is there keeps its identity.
  absl::Status IssueInto(const std::filesystem::path& folder, const Identity& identity) const;

 private:
  const IdentityAuthority authority_;
  const TemporaryDirectory directory_;
};

}  // namespace trustline
