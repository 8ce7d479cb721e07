#include "cli/trustctl/context.h"

#include <fmt/format.h>

#include "common/service/config.h"
#include "common/status/status.h"

namespace trustline {

absl::StatusOr<Context> LoadContext(const std::string& path) {
  ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::Load(path));
  ConfigTable root = file.root();
  Context context{.path = path};
  ASSIGN_OR_RETURN(context.cluster, root.TextOr("cluster", "default"));
  ASSIGN_OR_RETURN(ConfigTable identity, root.Table("identity"));
  ASSIGN_OR_RETURN(context.identity, ReadIdentityFiles(identity));
  ASSIGN_OR_RETURN(ConfigTable services, root.Table("services"));
  for (const std::string& service : services.Keys()) {
    ASSIGN_OR_RETURN(context.services[service], services.Text(service));
  }
  RETURN_IF_ERROR(file.RefuseUnknownKeys());
  return context;
}

std::string ContextFileText(std::string_view cluster, const std::map<std::string, std::string>& services) {
  std::string text = fmt::format(
      "# Who you are and where the services are, for trustctl --context FILE or TRUSTLINE_CONTEXT.\n"
      "cluster = \"{}\"\n\n"
      "[identity]\n"
      "certificate = \"identity.crt\"\n"
      "key = \"identity.key\"\n"
      "authority = \"authority.crt\"\n\n"
      "[services]\n",
      cluster);
  for (const auto& [service, address] : services) text += fmt::format("{} = \"{}\"\n", service, address);
  return text;
}

absl::StatusOr<std::string> ServiceAddress(const Context& context, std::string_view service) {
  const auto found = context.services.find(std::string(service));
  if (found == context.services.end()) {
    return FailedPrecondition("{} has no address of {}: add `{} = \"HOST:PORT\"` to its table [services]", context.path,
                              service, service);
  }
  return found->second;
}

}  // namespace trustline
