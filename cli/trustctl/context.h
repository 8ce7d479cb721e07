// The administrator's context file: who one is, and where the services are.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/service/identity_files.h"

namespace trustline {

struct Context {
  std::string path;     // of the file, for errors
  std::string cluster;  // that commands work on unless told otherwise
  IdentityFiles identity;
  std::map<std::string, std::string> services;  // "itld" to "host:port"
};

// TOML:
//   cluster = "default"
//   [identity]
//   certificate = "identity.crt"
//   key = "identity.key"
//   authority = "authority.crt"
//   [services]
//   itld = "127.0.0.1:9442"
//   tvsd = "127.0.0.1:9441"
//   cad = "127.0.0.1:9443"
//   capfd = "127.0.0.1:9444"
//   provisiond = "127.0.0.1:9445"
// Paths are relative to the file. Errors name file, line and key; unknown keys are refused.
absl::StatusOr<Context> LoadContext(const std::string& path);

// The text of a context file whose identity files stand beside it under the names above.
std::string ContextFileText(std::string_view cluster, const std::map<std::string, std::string>& services);

// "host:port" of the service, or FailedPrecondition saying which key the file lacks.
absl::StatusOr<std::string> ServiceAddress(const Context& context, std::string_view service);

}  // namespace trustline
