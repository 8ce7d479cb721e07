// How a node joins the system: with a single-use token, over gRPC, whether it stands beside itld or far away.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/supervisor/system_user.h"
#include "common/rpc/join_token.h"
#include "common/service/identity_files.h"

namespace trustline {

struct JoinRequestOptions {
  std::string server;     // itld, "HOST:PORT"
  std::string node;       // the name for which the token was made
  std::string directory;  // where the node's files are written
  std::optional<SystemUser> owner;
};

// Checks that the server's identity authority is the token's, makes the identity key and the TVS certificate in the
// directory, which exists, and has itld sign and trust them. The token is used up when itld says yes.
absl::Status JoinNode(const JoinRequestOptions& options, const JoinToken& token, absl::Time now);

// As an administrator: a token for the node. A node of that name that is there already is removed first, because a
// token is only asked for here when its files are not complete.
absl::StatusOr<JoinToken> CreateLocalToken(const std::string& server, const IdentityFiles& administrator,
                                           const std::string& node);

}  // namespace trustline
