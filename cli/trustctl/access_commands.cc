// trustctl access ...: people, their roles and their identities.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/rpc/identity.h"
#include "common/rpc/identity_store.h"
#include "common/rpc/method_policy.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"
#include "proto/access.grpc.pb.h"

namespace trustline {
namespace {

struct GrantArguments {
  std::string person;
  v1::AccessRole role = v1::ACCESS_ROLE_UNSPECIFIED;
};

void AddGrantArguments(CLI::App& command, GrantArguments& arguments) {
  command.add_option("PERSON", arguments.person, "Name of the person")->required()->type_name("NAME");
  command
      .add_option_function<std::string>(
          "ROLE",
          [&arguments](const std::string& name) {
            const absl::StatusOr<v1::AccessRole> role = ParseAccessRole(name);
            if (!role.ok()) throw CLI::ValidationError("ROLE", std::string(StatusMessage(role.status())));
            arguments.role = *role;
          },
          "viewer, operator, administrator or auditor")
      ->required()
      ->type_name(std::string(kAccessRoleType));
}

void WriteChange(Environment& environment, std::string_view sentence, bool changed, const std::string& cluster,
                 const GrantArguments& arguments) {
  WriteResult(environment.out(), environment.options().output, sentence,
              Record()
                  .Add("changed", "CHANGED", changed)
                  .Add("cluster", "CLUSTER", cluster)
                  .Add("person", "PERSON", arguments.person)
                  .Add("role", "ROLE", std::string(AccessRoleText(arguments.role))));
}

absl::StatusOr<int> Grant(Environment& environment, const GrantArguments& arguments) {
  v1::GrantRequest request;
  ASSIGN_OR_RETURN(const std::string cluster, environment.cluster());
  request.set_cluster(cluster);
  request.set_person(arguments.person);
  request.set_role(arguments.role);
  ASSIGN_OR_RETURN(Client<v1::Access> client, environment.Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::GrantResponse response, (environment.Ask(client, &v1::Access::Stub::Grant, request)));
  WriteChange(environment,
              fmt::format("{} {} {} of cluster {}{}", arguments.person, response.changed() ? "is now" : "is already",
                          AccessRoleText(arguments.role), cluster, response.changed() ? "" : ", nothing changed"),
              response.changed(), cluster, arguments);
  return kExitSuccess;
}

absl::StatusOr<int> Revoke(Environment& environment, const GrantArguments& arguments) {
  v1::RevokeRequest request;
  ASSIGN_OR_RETURN(const std::string cluster, environment.cluster());
  request.set_cluster(cluster);
  request.set_person(arguments.person);
  request.set_role(arguments.role);
  ASSIGN_OR_RETURN(Client<v1::Access> client, environment.Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::RevokeResponse response, (environment.Ask(client, &v1::Access::Stub::Revoke, request)));
  WriteChange(environment,
              fmt::format("{} {} {} of cluster {}{}", arguments.person, response.changed() ? "is no longer" : "is not",
                          AccessRoleText(arguments.role), cluster, response.changed() ? "" : ", nothing changed"),
              response.changed(), cluster, arguments);
  return kExitSuccess;
}

absl::StatusOr<int> List(Environment& environment) {
  v1::ListGrantsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Access> client, environment.Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::ListGrantsResponse response,
                   (environment.Ask(client, &v1::Access::Stub::ListGrants, request)));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"cluster", "CLUSTER"},
                     {"person", "PERSON"},
                     {"role", "ROLE"},
                     {"granted_by", "GRANTED BY"},
                     {"granted_at", "GRANTED"}},
                    "no roles");
  for (const v1::AccessGrant& grant : response.grants()) {
    writer.Add({grant.cluster(), grant.person(), std::string(AccessRoleText(grant.role())), grant.granted_by(),
                TimestampCell(grant.granted_at())});
  }
  writer.Finish();
  return kExitSuccess;
}

struct IdentityArguments {
  std::string person;
  std::string out;
};

// Writes the folder beside its place and renames it, so that it appears whole or not at all.
absl::Status WriteContextFolder(const std::string& folder, const std::string& context_text, const PrivateKey& key,
                                const Certificate& certificate, const Certificate& authority) {
  const std::string temporary = fmt::format("{}.new-{}", folder, getpid());
  std::error_code error;
  const auto write = [&]() -> absl::Status {
    std::filesystem::create_directories(temporary, error);
    if (!error) {
      std::filesystem::permissions(temporary, std::filesystem::perms::owner_all, error);
    }
    if (error) return FailedPrecondition("cannot create the folder {}: {}", folder, error.message());
    RETURN_IF_ERROR(
        WriteIdentity({temporary + "/identity.crt", temporary + "/identity.key", temporary + "/authority.crt"}, key,
                      certificate, authority));
    RETURN_IF_ERROR(WriteFileAtomically(temporary + "/context.toml", context_text, 0600));
    if (std::rename(temporary.c_str(), folder.c_str()) != 0) {
      return FailedPrecondition("cannot create the folder {}: {}", folder, strerror(errno));
    }
    return absl::OkStatus();
  };
  absl::Status written = write();
  if (!written.ok()) std::filesystem::remove_all(temporary, error);
  return written;
}

absl::StatusOr<int> IssueIdentity(Environment& environment, const IdentityArguments& arguments) {
  std::string folder = arguments.out;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  std::error_code error;
  if (std::filesystem::exists(folder, error) && !std::filesystem::is_empty(folder, error)) {
    return AlreadyExists("{} exists already: choose a new folder with --out", folder);
  }
  ASSIGN_OR_RETURN(const Identity identity, Identity::Create(kSystemCluster, kPersonKind, arguments.person));
  ASSIGN_OR_RETURN(const Context* context, environment.context());
  ASSIGN_OR_RETURN(const std::string cluster, environment.cluster());

  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
  ASSIGN_OR_RETURN(const CertificateRequest certificate_request, CertificateRequest::Build(key, identity.ToUri()));
  v1::IssuePersonIdentityRequest request;
  request.set_person(arguments.person);
  request.set_certificate_request(std::string(AsText(certificate_request.der())));
  ASSIGN_OR_RETURN(Client<v1::Access> client, environment.Connect<v1::Access>(kItld));
  ASSIGN_OR_RETURN(const v1::IssuePersonIdentityResponse response,
                   (environment.Ask(client, &v1::Access::Stub::IssuePersonIdentity, request)));
  ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(response.certificate())));
  ASSIGN_OR_RETURN(const Certificate authority, Certificate::FromDer(AsBytes(response.authority())));
  if (!key.MatchesCertificate(certificate)) {
    return DataLoss("itld issued a certificate for another key than the one just made: nothing was written");
  }
  RETURN_IF_ERROR(WriteContextFolder(folder, ContextFileText(cluster, context->services), key, certificate, authority));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("identity of {} written to {}; hand the folder over safely, and grant a role: trustctl "
                          "access grant {} operator",
                          arguments.person, folder, arguments.person),
              Record()
                  .Add("person", "PERSON", arguments.person)
                  .Add("identity", "IDENTITY", identity.ToUri())
                  .Add("context", "CONTEXT", folder + "/context.toml")
                  .Add("expires_at", "EXPIRES", certificate.not_after()));
  return kExitSuccess;
}

}  // namespace

void AddAccessCommands(CommandLine& line) {
  CLI::App& access = AddGroup(line.app, "access", "People, their roles and their identities",
                              "  trustctl access identity anna --out anna\n"
                              "  trustctl access grant anna operator");
  auto granted = std::make_shared<GrantArguments>();
  CLI::App& grant = AddCommand(line, access, "grant", "Give a person a role on the cluster",
                               "  trustctl access grant anna operator\n"
                               "  trustctl --cluster berlin access grant anna administrator",
                               [granted](Environment& environment) { return Grant(environment, *granted); });
  AddGrantArguments(grant, *granted);

  auto revoked = std::make_shared<GrantArguments>();
  CLI::App& revoke = AddCommand(line, access, "revoke", "Take a role on the cluster from a person",
                                "  trustctl access revoke anna operator",
                                [revoked](Environment& environment) { return Revoke(environment, *revoked); });
  AddGrantArguments(revoke, *revoked);

  AddCommand(line, access, "list", "List who has which role on the cluster", "  trustctl access list --output csv",
             List);

  auto identity = std::make_shared<IdentityArguments>();
  CLI::App& issue =
      AddCommand(line, access, "identity",
                 "Make an identity for a person: a key made here, its certificate, and a context file in a new folder",
                 "  trustctl access identity anna --out anna\n"
                 "  trustctl --context anna/context.toml trust list",
                 [identity](Environment& environment) { return IssueIdentity(environment, *identity); });
  issue.add_option("NAME", identity->person, "Name of the person")->required()->type_name("NAME");
  issue.add_option("--out", identity->out, "Folder to make")->required()->type_name(std::string(kDirectoryType));
}

}  // namespace trustline
