// trustctl ca client-authority and block-keys: whose phones are believed, and which keys get no certificate.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/trustctl/blocked_key_input.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/enumeration_words.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/clock.h"
#include "common/status/status.h"
#include "proto/authority.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kBatchKeys = 10'000;  // BlockKeysRequest.public_key_sha256
constexpr size_t kMaxSource = 200;

std::vector<Column> ClientAuthorityColumns() {
  return {{"purpose", "PURPOSE"},
          {"sha256", "FINGERPRINT"},
          {"not_after", "EXPIRES"},
          {"subject", "SUBJECT"},
          {"issuer", "ISSUER", false},
          {"serial", "SERIAL", false},
          {"not_before", "VALID FROM", false},
          {"public_key", "KEY", false},
          {"added_by", "ADDED BY", false},
          {"added_at", "ADDED", false}};
}

Row ClientAuthorityRow(const v1::ClientAuthority& authority) {
  const v1::CertificateSummary& certificate = authority.certificate();
  return {WordCell(kClientAuthorityPurposes, authority.purpose()),
          Fingerprint{certificate.sha256()},
          TimestampCell(certificate.not_after()),
          certificate.subject(),
          certificate.issuer(),
          certificate.serial(),
          TimestampCell(certificate.not_before()),
          certificate.public_key(),
          authority.added_by(),
          TimestampCell(authority.added_at())};
}

CLI::Option* AddPurpose(CLI::App& command, v1::ClientAuthorityPurpose& purpose) {
  return AddWord(command, "--purpose", kPurposeType, kClientAuthorityPurposes, purpose,
                 "What its certificates prove: manufacturing (a phone as it left the factory) or small-business (the "
                 "same for small-business phones)")
      ->required();
}

struct AddArguments {
  v1::ClientAuthorityPurpose purpose = v1::CLIENT_AUTHORITY_PURPOSE_UNSPECIFIED;
  std::vector<std::string> files;
};

absl::StatusOr<int> Add(Environment& environment, const AddArguments& arguments) {
  v1::AddClientAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_purpose(arguments.purpose);
  ASSIGN_OR_RETURN(const std::vector<InputCertificate> certificates, ReadInputCertificates(arguments.files));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  const CallSeries series(environment);
  int64_t added = 0;
  Record record;
  record.list = {"client_authorities", ClientAuthorityColumns(), {}};
  for (const InputCertificate& certificate : certificates) {
    request.set_certificate(certificate.der);
    const absl::StatusOr<v1::AddClientAuthorityResponse> response =
        environment.Ask(client, &v1::Authorities::Stub::AddClientAuthority, request);
    if (!response.ok()) {
      const std::string before =
          fmt::format("{} added before, then {}", CertificateCountText(added), certificate.source);
      return Annotate(response.status(), added == 0 ? certificate.source : before);
    }
    if (response->changed()) ++added;
    record.list->rows.push_back(ClientAuthorityRow(response->authority()));
  }
  const int64_t unchanged = std::ssize(certificates) - added;
  record.Add("added", "ADDED", added).Add("unchanged", "UNCHANGED", unchanged);
  std::string sentence =
      fmt::format("added {} for {}", CertificateCountText(added), WordFor(kClientAuthorityPurposes, arguments.purpose));
  if (unchanged > 0) sentence += fmt::format("; {} there already", CertificateCountText(unchanged));
  WriteResult(environment.out(), environment.options().output, sentence, record);
  return kExitSuccess;
}

absl::StatusOr<int> List(Environment& environment) {
  v1::ListClientAuthoritiesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::ListClientAuthoritiesResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::ListClientAuthorities, request)));
  ListWriter writer(environment.out(), environment.options().output, ClientAuthorityColumns(), "no authorities");
  for (const v1::ClientAuthority& authority : response.authorities()) writer.Add(ClientAuthorityRow(authority));
  writer.Finish();
  return kExitSuccess;
}

struct RemoveArguments {
  v1::ClientAuthorityPurpose purpose = v1::CLIENT_AUTHORITY_PURPOSE_UNSPECIFIED;
  std::string prefix;
};

absl::StatusOr<int> Remove(Environment& environment, const RemoveArguments& arguments) {
  v1::RemoveClientAuthorityRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_purpose(arguments.purpose);
  request.set_fingerprint_prefix(arguments.prefix);
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::RemoveClientAuthorityResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::RemoveClientAuthority, request)));
  Record record;
  record.Add("removed", "REMOVED", true);
  record.list = {"client_authorities", ClientAuthorityColumns(), {ClientAuthorityRow(response.authority())}};
  WriteResult(environment.out(), environment.options().output,
              fmt::format("removed {} for {}", CertificateText(response.authority().certificate()),
                          WordFor(kClientAuthorityPurposes, response.authority().purpose())),
              record);
  return kExitSuccess;
}

void AddClientAuthorityCommands(CommandLine& line, CLI::App& ca) {
  CLI::App& group =
      AddGroup(ca, "client-authority", "Outside authorities whose certificates prove a phone: its manufacturer's",
               "  trustctl ca client-authority add --purpose manufacturing manufacturing-ca.pem\n"
               "  trustctl ca client-authority list");
  auto added = std::make_shared<AddArguments>();
  CLI::App& add = AddCommand(line, group, "add", "Believe the certificates that an outside authority issued to phones",
                             "  trustctl ca client-authority add --purpose manufacturing manufacturing-ca.pem",
                             [added](Environment& environment) { return Add(environment, *added); });
  AddPurpose(add, added->purpose);
  AddCertificateFiles(add, added->files);

  AddCommand(line, group, "list", "List the outside authorities", "  trustctl ca client-authority list --output csv",
             List);

  auto removed = std::make_shared<RemoveArguments>();
  CLI::App& remove = AddCommand(line, group, "remove", "Stop believing an outside authority's certificates",
                                "  trustctl ca client-authority remove --purpose manufacturing 8be1f04d",
                                [removed](Environment& environment) { return Remove(environment, *removed); });
  AddPurpose(remove, removed->purpose);
  AddFingerprintPrefix(remove, removed->prefix);
}

struct BlockArguments {
  std::string path;
  std::optional<std::string> source;
};

absl::StatusOr<int> BlockKeys(Environment& environment, const BlockArguments& arguments) {
  ASSIGN_OR_RETURN(const std::vector<std::string> hashes, ReadBlockedKeys(arguments.path));
  v1::BlockKeysRequest request;
  request.set_source(arguments.source.value_or(""));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "keys", std::ssize(hashes), clock);
  const CallSeries series(environment);
  int64_t added = 0;
  int64_t total = 0;
  for (size_t sent = 0; sent < hashes.size();) {
    request.clear_public_key_sha256();
    const size_t end = std::min(hashes.size(), sent + kBatchKeys);
    for (size_t i = sent; i < end; ++i) request.add_public_key_sha256(hashes[i]);
    Call call(environment, Call::Length::kLong);
    v1::BlockKeysResponse response;
    const absl::Status status = call.End(client.stub->BlockKeys(call.context(), request, &response), client);
    if (!status.ok()) {
      progress.Finish();
      return Annotate(status, fmt::format("{} of {} keys are blocked and stay so, the same command again goes on; then",
                                          sent, hashes.size()));
    }
    added += response.added();
    total = response.total();
    sent = end;
    progress.Update(static_cast<int64_t>(sent));
  }
  progress.Finish();
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{} of {} keys are newly blocked; {} are blocked in all", added, hashes.size(), total),
              Record()
                  .Add("read", "READ", int64_t{std::ssize(hashes)})
                  .Add("added", "ADDED", added)
                  .Add("total", "TOTAL", total));
  return kExitSuccess;
}

void AddBlockKeysCommand(CommandLine& line, CLI::App& ca) {
  auto arguments = std::make_shared<BlockArguments>();
  CLI::App& command =
      AddCommand(line, ca, "block-keys",
                 "Issue nothing for these keys, on any cluster, because they are known to be public or weak",
                 "  trustctl ca block-keys weak-keys.txt --source 'vendor advisory of 2026-11'\n"
                 "  trustctl ca block-keys leaked.key --source 'found in a firmware image'",
                 [arguments](Environment& environment) { return BlockKeys(environment, *arguments); });
  AddFile(command, "FILE", arguments->path,
          "The keys (private or public), certificates or requests in PEM or DER; or on each line the SHA-256 of a "
          "SubjectPublicKeyInfo, hexadecimal, '#' begins a comment")
      ->required();
  AddText(command, "--source", kMaxSource, arguments->source, "Where the file comes from; kept with the keys")
      ->required()
      ->check([](const std::string& text) { return text.empty() ? std::string("say where") : std::string(); });
}

}  // namespace

void AddKeyAdmissionCommands(CommandLine& line, CLI::App& ca) {
  AddClientAuthorityCommands(line, ca);
  AddBlockKeysCommand(line, ca);
}

}  // namespace trustline
