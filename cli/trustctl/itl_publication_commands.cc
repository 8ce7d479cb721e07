// trustctl itl list, history, generate, publish and those of ctl: what was published and what waits.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/caution_arguments.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/generation_pages.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/publication_arguments.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

struct ListArguments {
  std::string tftp_server;
  bool with_devices = false;
};

void AddStates(Record& record, const v1::TrustListPolicy& policy) {
  record.Add("mixed_mode", "Mixed mode", policy.mixed_mode())
      .Add("blank", "Blank", policy.blank())
      .Add("blank_since", "Blank since", TimestampCell(policy.blank_since()))
      .Add("blank_by", "Blanked by", TextCell(policy.blank_by()));
}

Record::List ServerList(const v1::ListTrustListsResponse& response) {
  Record::List list = {"tftp_servers",
                       {{"server", "TFTP SERVER"}, {"host", "HOST"}, {"added_by", "ADDED BY"}, {"added_at", "ADDED"}},
                       {}};
  for (const v1::TftpServer& server : response.tftp_servers()) {
    list.rows.push_back({server.name(), server.host(), server.added_by(), TimestampCell(server.added_at())});
  }
  return list;
}

Record::List SignerList(const v1::ListTrustListsResponse& response) {
  Record::List list = {"signers",
                       {{"signer", "SIGNER"},
                        {"signer_sha256", "FINGERPRINT"},
                        {"signer_subject", "SUBJECT"},
                        {"signer_not_after", "EXPIRES"},
                        {"signer_since", "SINCE"},
                        {"signer_reason", "REASON"}},
                       {}};
  for (const v1::ListSigner& signer : response.signers()) {
    const v1::CertificateSummary& certificate = signer.certificate();
    list.rows.push_back({signer.tftp_server().empty() ? "ITLRecovery" : signer.tftp_server(),
                         Fingerprint{certificate.sha256()}, certificate.subject(),
                         TimestampCell(certificate.not_after()), TimestampCell(signer.created_at()),
                         TextCell(signer.reason())});
  }
  return list;
}

// "ITLRecovery", the TFTP server whose CallManager key it is, or the fingerprint of one that is not itld's.
std::string SignerText(const v1::ListTrustListsResponse& response, const std::string& sha256) {
  for (const v1::ListSigner& signer : response.signers()) {
    if (signer.certificate().sha256() != sha256) continue;
    return signer.tftp_server().empty() ? "ITLRecovery" : signer.tftp_server();
  }
  return fmt::format("another one, {}", ToHex(AsBytes(sha256)).substr(0, 16));
}

Record::List ListsOf(const v1::ListTrustListsResponse& response) {
  Record::List lists = {"lists",
                        {{"file_name", "FILE"},
                         {"tftp_server", "OF"},
                         {"generation", "GENERATION"},
                         {"sha1", "SHA1"},
                         {"size", "SIZE"},
                         {"records", "RECORDS"},
                         {"published_at", "PUBLISHED"},
                         {"published_by", "BY"},
                         {"signed_by", "SIGNED BY"},
                         {"candidate", "CANDIDATE"},
                         {"local_signer", "LOCAL SIGNER", false},
                         {"kind", "KIND", false},
                         {"device", "DEVICE", false},
                         {"sha256", "SHA256", false},
                         {"md5", "MD5", false},
                         {"list_digest", "DIGEST", false},
                         {"list_signer_version", "SIGNER VERSION", false},
                         {"candidate_reason", "CANDIDATE REASON", false},
                         {"candidate_since", "CANDIDATE SINCE", false},
                         {"candidate_changes", "CHANGES", false}},
                        {}};
  for (const v1::TrustListInfo& list : response.lists()) {
    const v1::Generation& current = list.current();
    const v1::Candidate& candidate = list.candidate();
    const auto of_current = [&list](Cell cell) { return list.has_current() ? std::move(cell) : Cell(); };
    lists.rows.push_back({list.file_name(),
                          TextCell(list.tftp_server()),
                          of_current(current.number()),
                          of_current(Fingerprint{current.sha1()}),
                          of_current(current.size()),
                          of_current(int64_t{current.records()}),
                          TimestampCell(current.published_at()),
                          TextCell(current.published_by()),
                          of_current(SignerText(response, current.signer_sha256())),
                          WordCell(kCandidateStates, candidate.state()),
                          list.local_signer(),
                          WordCell(kTrustListKinds, list.kind()),
                          TextCell(list.device()),
                          of_current(Fingerprint{current.sha256()}),
                          of_current(Fingerprint{current.md5()}),
                          WordCell(kListDigests, current.digest()),
                          WordCell(kSignerVersions, current.signer_version()),
                          TextCell(candidate.reason()),
                          TimestampCell(candidate.since()),
                          std::vector<std::string>(candidate.changes().begin(), candidate.changes().end())});
  }
  return lists;
}

// What waits, a paragraph a list.
void WriteCandidates(std::ostream& out, const v1::ListTrustListsResponse& response) {
  for (const v1::TrustListInfo& list : response.lists()) {
    if (!list.has_candidate()) continue;
    const v1::Candidate& candidate = list.candidate();
    out << "\n"
        << EscapeForTerminal(fmt::format("{}: {}: {}", ListText(list), WordFor(kCandidateStates, candidate.state()),
                                         candidate.reason()))
        << "\n";
    for (const std::string& change : candidate.changes()) out << "  " << EscapeForTerminal(change) << "\n";
  }
}

absl::StatusOr<int> List(Environment& environment, v1::TrustListKind kind, const ListArguments& arguments) {
  v1::ListTrustListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(kind);
  request.set_tftp_server(arguments.tftp_server);
  request.set_with_devices(arguments.with_devices);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ListTrustLists, request)));
  const bool as_table = environment.options().output == OutputFormat::kTable;
  if (as_table && !response.has_policy()) {
    environment.out() << "the cluster has no trust lists yet; the first: trustctl itl server add NAME\n";
    WriteNotices(environment, response.notices());
    return kExitSuccess;
  }
  Record record = SettingsRecord(response.policy());
  AddStates(record, response.policy());
  if (!as_table) record.Add("notices", "Notices", NoticesCell(response.notices()));
  record.list = ServerList(response);
  record.more_lists = {SignerList(response), ListsOf(response)};
  WriteRecord(environment.out(), environment.options().output, record);
  if (as_table) WriteCandidates(environment.out(), response);
  WriteNotices(environment, response.notices());
  return kExitSuccess;
}

void AddListCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<ListArguments>();
  const bool is_itl = lists.kind == v1::TRUST_LIST_KIND_ITL;
  const std::string more = is_itl ? "\n  trustctl itl list --devices --output json" : "";
  CLI::App& command = AddCommand(
      line, lists.group, "list",
      "Show how the cluster's lists are made, who signs them, each list and what waits for an administrator",
      fmt::format("  trustctl {} list{}", lists.name(), more),
      [arguments, kind = lists.kind](Environment& environment) { return List(environment, kind, *arguments); });
  if (!is_itl) return;
  command.add_option("--tftp-server", arguments->tftp_server, "Only the lists of this one")->type_name("NAME");
  command.add_flag("--devices", arguments->with_devices, "The lists of single devices too");
}

struct HistoryArguments {
  ListChoice choice;
  int64_t limit = 0;
};

absl::StatusOr<int> History(Environment& environment, const HistoryArguments& arguments) {
  v1::ListGenerationsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(arguments.choice.kind);
  request.set_tftp_server(arguments.choice.tftp_server);
  request.set_device(arguments.choice.device);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  const bool is_itl = arguments.choice.kind == v1::TRUST_LIST_KIND_ITL;
  ListWriter writer(environment.out(), environment.options().output, GenerationColumns(is_itl),
                    "nothing was published");
  RETURN_IF_ERROR(
      ForEachGeneration(environment, client, request, arguments.limit,
                        [&writer](const v1::Generation& generation) { writer.Add(GenerationRow(generation)); }));
  writer.Finish();
  return kExitSuccess;
}

void AddHistoryCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<HistoryArguments>();
  arguments->choice.kind = lists.kind;
  CLI::App& command =
      AddCommand(line, lists.group, "history", "List what was published, list by list, the newest first",
                 fmt::format("  trustctl {0} history\n"
                             "  trustctl {0} history --limit 10 --output json",
                             lists.name()),
                 [arguments](Environment& environment) { return History(environment, *arguments); });
  if (lists.kind == v1::TRUST_LIST_KIND_ITL) {
    command.add_option("--tftp-server", arguments->choice.tftp_server, "Only of this one; of all unless given")
        ->type_name("NAME");
    AddDeviceName(command, "--device", arguments->choice.device, "Only of the list of this device");
  }
  AddCount(command, "--limit", arguments->limit, "The first so many; 0 for all");
}

absl::StatusOr<int> Generate(Environment& environment, const ListChoice& choice) {
  v1::GenerateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(choice.kind);
  request.set_tftp_server(choice.tftp_server);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const v1::PublishResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::Generate, request)));
  WriteOutcomes(environment, response, Record());
  return OutcomeExit(response, /*may_wait=*/true);
}

struct PublishArguments {
  ListChoice choice;
  PublicationArguments publication;
  CautionArguments caution;
  bool yes = false;
};

// Shows what waits, asks, and puts what was shown into the request. False when nothing waits. For a plan nobody is
// asked.
absl::StatusOr<bool> ShowAndConfirm(Environment& environment, Client<v1::TrustLists>& client,
                                    const PublishArguments& arguments, v1::PublishRequest& publish) {
  v1::ListTrustListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(arguments.choice.kind);
  request.set_tftp_server(arguments.choice.tftp_server);
  request.set_with_devices(true);
  ASSIGN_OR_RETURN(const v1::ListTrustListsResponse response,
                   (environment.Ask(client, &v1::TrustLists::Stub::ListTrustLists, request)));
  int waiting = 0;
  std::string text;
  for (const v1::TrustListInfo& list : response.lists()) {
    if (!list.has_candidate()) continue;
    ++waiting;
    publish.add_contents(list.candidate().content_sha256());
    text += EscapeForTerminal(fmt::format("{}: {}", ListText(list), list.candidate().reason())) + "\n";
    for (const std::string& change : list.candidate().changes()) text += "  " + EscapeForTerminal(change) + "\n";
  }
  if (waiting == 0) return false;
  if (arguments.caution.plan) return true;
  if (!arguments.yes) environment.err() << text << std::flush;
  RETURN_IF_ERROR(Confirm(environment, arguments.yes,
                          fmt::format("Publish {}? Phones load what is published when they start next.",
                                      waiting == 1 ? "this list" : fmt::format("these {} lists", waiting))));
  return true;
}

absl::StatusOr<int> Publish(Environment& environment, const PublishArguments& arguments) {
  v1::PublishRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_kind(arguments.choice.kind);
  request.set_tftp_server(arguments.choice.tftp_server);
  FillPublication(arguments.publication, request);
  ASSIGN_OR_RETURN(Client<v1::TrustLists> client, environment.Connect<v1::TrustLists>(kItld));
  ASSIGN_OR_RETURN(const bool waits, ShowAndConfirm(environment, client, arguments, request));
  if (!waits && environment.options().output == OutputFormat::kTable) {
    environment.out() << "nothing waits to be published\n";
    return kExitSuccess;
  }
  if (!waits && arguments.caution.plan) return WritePlans(environment, {});
  v1::PublishResponse response;
  if (waits) {
    RETURN_IF_ERROR(FillCaution(environment, arguments.caution, request));
    ASSIGN_OR_RETURN(response, (environment.Ask(client, &v1::TrustLists::Stub::Publish, request)));
    if (arguments.caution.plan) return WritePlanned(environment, response);
  }
  WriteOutcomes(environment, response, Record());
  return OutcomeExit(response, /*may_wait=*/false);
}

void AddPublishCommands(CommandLine& line, const ListGroup& lists) {
  const std::string kind = KindText(lists.kind);
  const bool is_itl = lists.kind == v1::TRUST_LIST_KIND_ITL;
  auto generated = std::make_shared<ListChoice>();
  generated->kind = lists.kind;
  CLI::App& generate = AddCommand(
      line, lists.group, "generate",
      fmt::format("Make the {} now, without the quiet time; what needs no administrator is published, the rest waits",
                  is_itl ? "ITLs" : "CTL"),
      fmt::format("  trustctl {} generate", lists.name()),
      [generated](Environment& environment) { return Generate(environment, *generated); });
  auto published = std::make_shared<PublishArguments>();
  published->choice.kind = lists.kind;
  CLI::App& publish =
      AddCommand(line, lists.group, "publish",
                 fmt::format("Publish what waits of the {}, after showing it; exit status 1 when something still waits",
                             is_itl ? "ITLs" : "CTL"),
                 fmt::format("  trustctl {0} publish --plan\n"
                             "  trustctl {0} publish --reason 'the node in Berlin is new'\n"
                             "  trustctl {0} publish --yes --without-node branch1",
                             lists.name()),
                 [published](Environment& environment) { return Publish(environment, *published); });
  if (is_itl) {
    generate.add_option("--tftp-server", generated->tftp_server, "Only of this one; all unless given")
        ->type_name("NAME");
    publish.add_option("--tftp-server", published->choice.tftp_server, "Only of this one; all unless given")
        ->type_name("NAME");
  }
  AddReason(publish, published->publication, /*required=*/false);
  AddWithoutNodes(publish, published->publication);
  AddYes(publish, published->yes);
  AddCaution(publish, published->caution);
}

}  // namespace

void AddListPublicationCommands(CommandLine& line, const ListGroup& lists) {
  AddListCommand(line, lists);
  AddHistoryCommand(line, lists);
  AddPublishCommands(line, lists);
}

}  // namespace trustline
