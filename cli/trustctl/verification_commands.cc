// trustctl verify, query and tvs: what the Trust Verification Service answers.
#include <fmt/format.h>

#include <memory>
#include <thread>

#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/trust_records.h"
#include "cli/trustctl/verdict_words.h"
#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"
#include "common/x509/distinguished_name.h"
#include "proto/verification.grpc.pb.h"

namespace trustline {
namespace {

struct VerifyArguments {
  std::vector<std::string> files;
  std::vector<CertificateRole> role;
};

std::string SubjectOf(const std::string& der) {
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(der));
  return certificate.ok() ? certificate->subject().ToText() : "";
}

Row VerdictRow(const InputCertificate& input, const v1::VerifyResponse& response) {
  std::vector<std::string> chain;
  for (const v1::CertificateSummary& certificate : response.chain()) chain.push_back(certificate.subject());
  return {input.source,
          VerdictText(response.verdict()),
          RolesCell(response.roles()),
          DurationCell(response.has_ttl(), response.ttl()),
          ReasonCell(response.reason()),
          Fingerprint{response.sha256()},
          SubjectOf(input.der),
          response.phones_are_told_invalid(),
          chain,
          response.explanation()};
}

absl::StatusOr<int> Verify(Environment& environment, const VerifyArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string cluster, environment.cluster());
  ASSIGN_OR_RETURN(const std::vector<InputCertificate> input, ReadInputCertificates(arguments.files));
  ASSIGN_OR_RETURN(Client<v1::Verification> client, environment.Connect<v1::Verification>(kTvsd));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"source", "SOURCE"},
                     {"verdict", "VERDICT"},
                     {"roles", "ROLES"},
                     {"ttl_seconds", "TTL"},
                     {"reason", "REASON"},
                     {"sha256", "FINGERPRINT"},
                     {"subject", "SUBJECT"},
                     {"phones_are_told_invalid", "PHONES ARE TOLD INVALID", false},
                     {"chain", "CHAIN", false},
                     {"explanation", "EXPLANATION"}});
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->VerifyBatch(call.context());
  std::thread sender([&] {
    v1::VerifyRequest request;
    request.set_cluster(cluster);
    if (!arguments.role.empty()) request.set_role(ToProto(arguments.role.front()));
    for (size_t i = 0; i < input.size(); ++i) {
      request.set_certificate(input[i].der);
      request.set_number(i);
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
  });
  bool all_valid = true;
  size_t answered = 0;
  v1::VerifyResponse response;
  bool in_order = true;
  while (stream->Read(&response)) {
    in_order = answered < input.size() && response.number() == answered;
    if (!in_order) {
      call.context()->TryCancel();
      break;
    }
    all_valid = all_valid && response.verdict() == v1::VERDICT_VALID;
    writer.Add(VerdictRow(input[answered], response));
    ++answered;
  }
  sender.join();
  absl::Status status = call.End(stream->Finish(), client);
  if (!in_order) status = Internal("tvsd answered out of order: look at its log");
  const bool complete = answered == input.size();
  if (status.ok() && !complete) status = Internal("tvsd ended before it had answered everything: look at its log");
  // Each answer stands for itself, whatever became of the next question.
  if (status.ok() || answered > 0) writer.Finish();
  if (!status.ok()) {
    if (answered == 0 || complete) return status;
    return Annotate(
        status, fmt::format("{} of {} certificates answered, then {}", answered, input.size(), input[answered].source));
  }
  return all_valid ? kExitSuccess : kExitFailure;
}

void AddVerifyCommand(CommandLine& line) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App& command =
      AddCommand(line, line.app, "verify", "Ask whether certificates are valid; exit status 1 when one is not",
                 "  trustctl verify cert.pem\n"
                 "  trustctl verify --role APP-SERVER --output json cert.pem",
                 [arguments](Environment& environment) { return Verify(environment, *arguments); });
  AddRoles(command, "--role", arguments->role, "The role that the certificate must have")->expected(1);
  AddCertificateFiles(command, arguments->files);
}

struct QueryArguments {
  std::string issuer;
  std::string serial;
  bool pem = false;
};

absl::StatusOr<int> Query(Environment& environment, const QueryArguments& arguments) {
  v1::QueryRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_issuer(arguments.issuer);
  ASSIGN_OR_RETURN(*request.mutable_serial(), FromHex(arguments.serial));
  ASSIGN_OR_RETURN(Client<v1::Verification> client, environment.Connect<v1::Verification>(kTvsd));
  ASSIGN_OR_RETURN(const v1::QueryResponse response,
                   (environment.Ask(client, &v1::Verification::Stub::Query, request)));
  const bool valid = response.verdict() == v1::VERDICT_VALID;
  if (arguments.pem && valid) {
    ASSIGN_OR_RETURN(const std::string pem, DerToPem(response.certificate()));
    environment.out() << pem;
    return kExitSuccess;
  }
  Record record;
  record.Add("verdict", "Verdict", VerdictText(response.verdict()))
      .Add("roles", "Roles", RolesCell(response.roles()))
      .Add("ttl_seconds", "TTL", DurationCell(response.has_ttl(), response.ttl()))
      .Add("reason", "Reason", ReasonCell(response.reason()))
      .Add("explanation", "Explanation", response.explanation());
  if (valid) {
    ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(response.certificate())));
    record.Add("sha256", "Fingerprint (SHA-256)", ToHex(certificate.sha256()))
        .Add("subject", "Subject", certificate.subject().ToText());
  } else {
    record.Add("sha256", "Fingerprint (SHA-256)", {}).Add("subject", "Subject", {});
  }
  WriteRecord(environment.out(), environment.options().output, record);
  return valid ? kExitSuccess : kExitFailure;
}

void AddQueryCommand(CommandLine& line) {
  auto arguments = std::make_shared<QueryArguments>();
  CLI::App& command = AddCommand(
      line, line.app, "query",
      "Ask for a signer's certificate by issuer and serial number, as phones do; exit status 1 when it is not found",
      "  trustctl query --issuer 'CN=ucm-pub.example;O=Example' --serial d58dca0ab46b5075\n"
      "  trustctl query --issuer 'CN=ucm-pub.example,O=Example' --serial d5:8d:ca --pem > signer.pem",
      [arguments](Environment& environment) { return Query(environment, *arguments); });
  command.add_option("--issuer", arguments->issuer, "Issuer's name; ',' or ';' between attributes")
      ->required()
      ->type_name("NAME")
      ->check([](const std::string& text) {
        const absl::StatusOr<DistinguishedName> name = DistinguishedName::FromText(text);
        return name.ok() ? std::string() : std::string(StatusMessage(name.status()));
      });
  command.add_option("--serial", arguments->serial, "Serial number, hexadecimal")
      ->required()
      ->type_name("HEX")
      ->check([](const std::string& text) {
        const absl::StatusOr<std::string> bytes = FromHex(text);
        return bytes.ok() ? std::string() : std::string(StatusMessage(bytes.status()));
      });
  command.add_flag("--pem", arguments->pem, "Print the certificate itself, in PEM");
}

absl::StatusOr<int> Status(Environment& environment) {
  ASSIGN_OR_RETURN(Client<v1::Verification> client, environment.Connect<v1::Verification>(kTvsd));
  ASSIGN_OR_RETURN(const v1::GetNodeStatusResponse response,
                   (environment.Ask(client, &v1::Verification::Stub::GetNodeStatus, v1::GetNodeStatusRequest())));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"node", "NODE"},
                     {"version", "VERSION"},
                     {"cluster", "CLUSTER"},
                     {"commit", "COMMIT"},
                     {"certificates", "CERTIFICATES"},
                     {"anchors", "ANCHORS"},
                     {"crls", "CRLS"},
                     {"last_confirmed", "LAST CONFIRMED"},
                     {"stale", "STALE"}},
                    "no clusters");
  for (const v1::GetNodeStatusResponse::Cluster& cluster : response.clusters()) {
    if (!environment.options().cluster.empty() && cluster.name() != environment.options().cluster) continue;
    writer.Add({response.node(), response.version(), cluster.name(), cluster.commit(), cluster.certificates(),
                cluster.anchors(), cluster.crls(), TimestampCell(cluster.last_confirmed()), cluster.stale()});
  }
  writer.Finish();
  return kExitSuccess;
}

}  // namespace

void AddVerificationCommands(CommandLine& line) {
  AddVerifyCommand(line);
  AddQueryCommand(line);
  CLI::App& tvs = AddGroup(line.app, "tvs", "The Trust Verification Service, and what phones ask it",
                           "  trustctl tvs status\n"
                           "  trustctl tvs questions --unknown");
  AddCommand(line, tvs, "status", "Show how fresh this node's answers are, for each cluster",
             "  trustctl tvs status --output json", Status);
  AddTvsQuestionCommands(line, tvs);
}

}  // namespace trustline
