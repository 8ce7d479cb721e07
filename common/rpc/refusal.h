// What a service refuses to do, in the audit log.
#pragma once

#include <grpcpp/server_context.h>

#include <string_view>

#include "absl/status/status.h"
#include "common/rpc/authorization.h"
#include "common/service/audit.h"

namespace trustline {

// Appends a denied `action` with its reason, unless the reason is that something failed by itself (the database, this
// machine) or that the client went away.
void AuditRefusal(AuditQueue& audit, const grpc::ServerContextBase& context, const Caller& caller,
                  std::string_view action, std::string_view subject, const absl::Status& reason);

}  // namespace trustline
