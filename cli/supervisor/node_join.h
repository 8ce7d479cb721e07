// How a node joins the system: with a single-use token, over gRPC, whether it stands beside itld or far away.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/supervisor/site_settings.h"
#include "cli/supervisor/system_user.h"
#include "common/rpc/join_token.h"
#include "common/service/identity_files.h"
#include "common/x509/certificate.h"

namespace trustline {

struct JoinRequestOptions {
  std::string server;     // itld, "HOST:PORT"
  std::string node;       // the name for which the token was made
  std::string directory;  // where the node's files are written
  std::optional<SystemUser> owner;
  // What phones know the node by already; its files stay. None: one is made.
  std::optional<Certificate> tvs_certificate = std::nullopt;
  // Of the TVS certificate that is made.
  std::string organization = kDefaultOrganization;
  std::string organizational_unit = kDefaultOrganizationalUnit;
};

// Checks that the server's identity authority is the token's, makes the identity key and the TVS certificate in the
// directory, which exists, and has itld sign and trust them. The token is used up when itld says yes.
absl::Status JoinNode(const JoinRequestOptions& options, const JoinToken& token, absl::Time now);

// As an administrator: FailedPrecondition unless the node is part of the system, with this TVS certificate.
absl::Status CheckIsMember(const std::string& server, const IdentityFiles& administrator, const std::string& node,
                           const Certificate& tvs_certificate);

// As an administrator: approves the node if it is there, joined with this TVS certificate and was never approved. What
// an administrator did to it since stays: one that was removed, or whose certificate was taken off the trust lists.
absl::Status ApproveNewNode(const std::string& server, const IdentityFiles& administrator, const std::string& node,
                            const Certificate& tvs_certificate, const std::function<void(std::string_view)>& progress);

// As an administrator: a token for the node. A node of that name that is there already is removed first, because a
// token is only asked for here when its files are not complete or its identity is past its end.
absl::StatusOr<JoinToken> CreateLocalToken(const std::string& server, const IdentityFiles& administrator,
                                           const std::string& node);

}  // namespace trustline
