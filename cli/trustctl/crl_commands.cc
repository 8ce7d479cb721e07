// trustctl trust crl ...: certificate revocation lists of trusted authorities.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kMaxCrlFile = 16 * 1024 * 1024;  // AddCrlRequest.crl

std::vector<Column> CrlColumns() {
  return {{"sha256", "FINGERPRINT"},       {"number", "NUMBER"},        {"this_update", "THIS UPDATE"},
          {"next_update", "NEXT UPDATE"},  {"revoked", "REVOKED"},      {"issuer", "ISSUER"},
          {"added_by", "ADDED BY", false}, {"added_at", "ADDED", false}};
}

Row CrlRow(const v1::Crl& crl) {
  return {Fingerprint{crl.sha256()},
          crl.number(),
          TimestampCell(crl.this_update()),
          TimestampCell(crl.next_update()),
          crl.revoked(),
          crl.issuer(),
          crl.added_by(),
          TimestampCell(crl.added_at())};
}

Record ChangeRecord(int64_t commit, const v1::Crl& crl) {
  Record record;
  record.Add("commit", "COMMIT", commit);
  record.Add("changed", "CHANGED", commit != 0);
  record.list = {"crls", CrlColumns(), {CrlRow(crl)}};
  return record;
}

struct AddArguments {
  std::string path;
  CautionArguments caution;
};

absl::StatusOr<int> AddCrl(Environment& environment, const AddArguments& arguments) {
  v1::AddCrlRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  absl::StatusOr<std::string> crl = ReadTextFile(arguments.path, kMaxCrlFile);
  if (!crl.ok()) return WithFileAdvice(crl.status());
  request.set_crl(*std::move(crl));
  RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::AddCrlResponse response,
                   (environment.Ask(client, &v1::TrustStore::Stub::AddCrl, request)));
  for (const std::string& warning : response.warnings()) environment.Warn(warning);
  if (arguments.caution.plan) return WritePlanned(environment, response);
  WriteChangeResult(environment,
                    response.commit() == 0
                        ? fmt::format("this CRL of {} is there already, nothing changed", response.crl().issuer())
                        : fmt::format("added the CRL of {} (commit {})", response.crl().issuer(), response.commit()),
                    ChangeRecord(response.commit(), response.crl()), response);
  return kExitSuccess;
}

absl::StatusOr<int> ListCrls(Environment& environment) {
  v1::ListCrlsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::ListCrlsResponse response,
                   (environment.Ask(client, &v1::TrustStore::Stub::ListCrls, request)));
  ListWriter writer(environment.out(), environment.options().output, CrlColumns(), "no CRLs");
  for (const v1::Crl& crl : response.crls()) writer.Add(CrlRow(crl));
  writer.Finish();
  return kExitSuccess;
}

absl::StatusOr<int> RemoveCrl(Environment& environment, const std::string& prefix) {
  v1::RemoveCrlRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_fingerprint_prefix(prefix);
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  ASSIGN_OR_RETURN(const v1::RemoveCrlResponse response,
                   (environment.Ask(client, &v1::TrustStore::Stub::RemoveCrl, request)));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("removed the CRL of {} (commit {})", response.crl().issuer(), response.commit()),
              ChangeRecord(response.commit(), response.crl()));
  return kExitSuccess;
}

}  // namespace

void AddCrlCommands(CommandLine& line, CLI::App& trust) {
  CLI::App& crl = AddGroup(trust, "crl", "Certificate revocation lists of trusted authorities",
                           "  trustctl trust crl add authority.crl\n"
                           "  trustctl trust crl list");
  auto arguments = std::make_shared<AddArguments>();
  CLI::App& add = AddCommand(line, crl, "add", "Add a CRL; its issuer must be trusted",
                             "  trustctl trust crl add authority.crl\n"
                             "  trustctl trust crl add authority.crl --plan",
                             [arguments](Environment& environment) { return AddCrl(environment, *arguments); });
  AddFile(add, "FILE", arguments->path, "CRL in PEM or DER, up to 16 MB")->required();
  AddCaution(add, arguments->caution);

  AddCommand(line, crl, "list", "List CRLs", "  trustctl trust crl list --output json", ListCrls);

  auto prefix = std::make_shared<std::string>();
  CLI::App& remove =
      AddCommand(line, crl, "remove", "Remove a CRL, named by its fingerprint", "  trustctl trust crl remove 8be1f04d",
                 [prefix](Environment& environment) { return RemoveCrl(environment, *prefix); });
  AddFingerprintPrefix(remove, *prefix);
}

}  // namespace trustline
