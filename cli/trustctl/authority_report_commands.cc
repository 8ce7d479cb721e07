// trustctl ca crl and audit: what can be seen of what the authorities did.
#include <fmt/format.h>

#include <limits>
#include <memory>

#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/clock.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/crl.h"
#include "common/x509/pem.h"
#include "proto/authority.grpc.pb.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {
namespace {

struct CrlArguments {
  std::optional<int64_t> id;
  std::string out;
  bool force = false;
  bool der = false;
};

absl::StatusOr<int> ShowCrl(Environment& environment, const CrlArguments& arguments) {
  const bool to_file = !arguments.out.empty();
  const bool as_record = environment.options().output != OutputFormat::kTable;
  if (arguments.der && as_record && !to_file) {
    return UsageError("ca crl prints the CRL or a record of it: leave --output out, or name a file with --out");
  }
  v1::GetCrlRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_authority_id(static_cast<int32_t>(arguments.id.value_or(0)));
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  ASSIGN_OR_RETURN(Client<v1::Authorities> client, environment.Connect<v1::Authorities>(kCad));
  ASSIGN_OR_RETURN(const v1::GetCrlResponse response,
                   (environment.Ask(client, &v1::Authorities::Stub::GetCrl, request)));
  const absl::StatusOr<CertificateRevocationList> crl = CertificateRevocationList::FromBytes(AsBytes(response.crl()));
  if (!crl.ok()) return DataLoss("cad sent what is not a CRL: {}", StatusMessage(crl.status()));
  if (to_file || !as_record) {
    RETURN_IF_ERROR(file->Write(arguments.der ? response.crl() : EncodePem("X509 CRL", response.crl())));
    RETURN_IF_ERROR(file->Commit());
  }
  if (to_file || as_record) {
    WriteResult(environment.out(), environment.options().output,
                fmt::format("CRL {} of {} written to {}: {} revoked, next update {}", response.crl_number(),
                            crl->issuer().ToText(), arguments.out, response.revoked(),
                            TimeTextSeconds(absl::FromUnixSeconds(response.next_update().seconds()))),
                Record()
                    .Add("issuer", "ISSUER", crl->issuer().ToText())
                    .Add("crl_number", "NUMBER", response.crl_number())
                    .Add("this_update", "THIS UPDATE", TimestampCell(response.this_update()))
                    .Add("next_update", "NEXT UPDATE", TimestampCell(response.next_update()))
                    .Add("revoked", "REVOKED", response.revoked())
                    .Add("sha256", "FINGERPRINT", Fingerprint{std::string(AsText(crl->sha256()))}));
  }
  return kExitSuccess;
}

absl::StatusOr<int> Audit(Environment& environment, const std::optional<std::string>& since) {
  v1::AuditCertificatesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  if (since) {
    ASSIGN_OR_RETURN(const absl::Time time, environment.ResolveTime(*since));
    *request.mutable_since() = TimeToProto(time);
  }
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "certificates checked", /*total=*/0, clock);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->AuditCertificates(call.context(), request);
  bool finished = false;
  int64_t checked = 0;
  int64_t left_out = 0;
  Record::List findings{"findings", {{"finding", "FINDING"}}, {}};
  v1::AuditCertificatesResponse response;
  while (stream->Read(&response)) {
    checked = response.certificates_checked();
    left_out = response.findings_left_out();
    finished = response.finished();
    for (const std::string& finding : response.findings()) findings.rows.push_back({finding});
    progress.Update(checked);
  }
  progress.Finish();
  RETURN_IF_ERROR(call.End(stream->Finish(), client));
  if (!finished) return Internal("cad ended the check without a result: look at its log");

  const bool clean = findings.rows.empty() && left_out == 0;
  Record record;
  record.Add("clean", "Clean", clean)
      .Add("certificates_checked", "Certificates checked", checked)
      .Add("findings_left_out", "Findings left out", left_out);
  record.list = std::move(findings);
  WriteRecord(environment.out(), environment.options().output, record);
  return clean ? kExitSuccess : kExitFailure;
}

}  // namespace

void AddAuthorityReportCommands(CommandLine& line, CLI::App& ca) {
  auto arguments = std::make_shared<CrlArguments>();
  CLI::App& crl = AddCommand(line, ca, "crl", "Print an authority's newest CRL, in PEM",
                             "  trustctl ca crl | openssl crl -noout -text\n"
                             "  trustctl ca crl 2 --der --out phones.crl\n"
                             "  trustctl ca crl --output json",
                             [arguments](Environment& environment) { return ShowCrl(environment, *arguments); });
  AddNumber(crl, "ID", "ID", 1, std::numeric_limits<int32_t>::max(), arguments->id,
            "Number of the authority; the one that issues unless given");
  AddFile(crl, "--out", arguments->out, "File to write; the standard output unless given");
  crl.add_flag("--force", arguments->force, "Replace the file when it exists");
  crl.add_flag("--der", arguments->der, "In DER");

  auto since = std::make_shared<std::optional<std::string>>();
  CLI::App& audit = AddCommand(line, ca, "audit",
                               "Verify again what was issued: against what was intended, the profile, the chain and "
                               "the audit log; exit status 1 when something does not fit",
                               "  trustctl ca audit\n"
                               "  trustctl ca audit --since 24h --output json",
                               [since](Environment& environment) { return Audit(environment, *since); });
  AddTime(audit, "--since", *since,
          "What was issued from this time on (RFC 3339), or so long before now (24h); everything unless given");
}

}  // namespace trustline
