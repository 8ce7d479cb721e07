// trustctl adopt ...: what a call manager that runs already serves and knows, taken over without touching it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include "cli/trustctl/adopted_history.h"
#include "cli/trustctl/adopted_list_commands.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/device_arguments.h"
#include "cli/trustctl/device_import.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/fetched_lists.h"
#include "cli/trustctl/phone_export.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/service/text_file.h"
#include "common/status/status.h"
#include "proto/adoption.grpc.pb.h"

namespace trustline {
namespace {

constexpr size_t kLongestOrigin = 63;

struct AdoptArguments {
  ListFetchOrder fetch;
  std::string name;
  bool own = false;
  bool dry_run = false;
  std::string phones;
  std::string statuses;
  std::optional<std::string> reason;

  // The name of the adopted cluster.
  const std::string& origin() const { return name.empty() ? fetch.hosts.front() : name; }
};

// What there is to take over.
struct Material {
  std::vector<FetchedList> lists;
  std::vector<HistoryCertificate> history;  // with --own
  PhoneExport phones;
  StatusExport statuses;

  int64_t bad_lines() const { return std::ssize(phones.bad_lines) + std::ssize(statuses.bad_lines); }
};

struct Outcome {
  v1::AdoptListsResponse lists;
  ImportTotals devices;
  SeedTotals seeds;
};

absl::StatusOr<std::string> ReadExport(const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path, kMaxPhoneExportSize);
  if (!text.ok()) return WithFileAdvice(text.status());
  return text;
}

// When the file was written: the age of what stands in it without a time of its own.
absl::Time WrittenAt(const std::string& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  return error ? absl::Now() : absl::FromChrono(std::chrono::file_clock::to_sys(written));
}

absl::Status ReadExports(Environment& environment, const AdoptArguments& arguments, Material& material) {
  if (!arguments.phones.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadExport(arguments.phones));
    absl::StatusOr<PhoneExport> phones = ReadPhoneExport(text);
    if (!phones.ok()) return Annotate(phones.status(), arguments.phones);
    material.phones = *std::move(phones);
    WriteColumnsPassedOver(environment, arguments.phones, material.phones.columns_passed_over);
    WriteBadLines(environment, arguments.phones, material.phones.bad_lines);
  }
  if (!arguments.statuses.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadExport(arguments.statuses));
    absl::StatusOr<StatusExport> statuses = ReadStatusExport(text, WrittenAt(arguments.statuses));
    if (!statuses.ok()) return Annotate(statuses.status(), arguments.statuses);
    material.statuses = *std::move(statuses);
    WriteColumnsPassedOver(environment, arguments.statuses, material.statuses.columns_passed_over);
    WriteBadLines(environment, arguments.statuses, material.statuses.bad_lines);
  }
  return absl::OkStatus();
}

absl::Status SendLists(Environment& environment, const AdoptArguments& arguments, const Material& material,
                       v1::AdoptListsResponse& adopted) {
  v1::AdoptListsRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_origin(arguments.origin());
  request.set_own(arguments.own);
  request.set_reason(arguments.reason.value_or(""));
  for (const FetchedList& list : material.lists) {
    v1::AdoptListsRequest::File& file = *request.add_files();
    file.set_kind(list.kind);
    file.set_tftp_server(list.host);
    file.set_content(*list.list.bytes);
  }
  ASSIGN_OR_RETURN(Client<v1::Adoption> client, environment.Connect<v1::Adoption>(kItld));
  // A list that very many phones hold changes as many rows.
  Call call(environment, Call::Length::kLong);
  RETURN_IF_ERROR(call.End(client.stub->AdoptLists(call.context(), request, &adopted), client));
  if (adopted.lists_size() != std::ssize(material.lists)) {
    return Internal("itld answered for {} lists instead of {}: look at its log", adopted.lists_size(),
                    material.lists.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<Outcome> TakeOver(Environment& environment, const AdoptArguments& arguments, const Material& material) {
  Outcome outcome;
  if (!material.lists.empty()) RETURN_IF_ERROR(SendLists(environment, arguments, material, outcome.lists));
  RETURN_IF_ERROR(TrustHistory(environment, material.history));
  if (!material.phones.rows.empty()) {
    ASSIGN_OR_RETURN(outcome.devices, SendDevices(environment, material.phones.rows));
  }
  if (!material.statuses.lines.empty()) {
    ASSIGN_OR_RETURN(outcome.seeds, SendHoldings(environment, material.statuses.lines));
    WriteBadLines(environment, arguments.statuses, outcome.seeds.problems);
  }
  return outcome;
}

Record::List ListRows(const Material& material, const Outcome& outcome) {
  Record::List list = {"lists",
                       {{"kind", "KIND"},
                        {"tftp_server", "TFTP SERVER"},
                        {"sha1", "SHA1"},
                        {"size", "SIZE"},
                        {"record_count", "RECORDS"},
                        {"signer", "SIGNER"},
                        {"verified", "VERIFIED"},
                        {"new", "NEW"},
                        {"unverified_reason", "REASON"}},
                       {}};
  for (size_t i = 0; i < material.lists.size(); ++i) {
    const FetchedList& fetched = material.lists[i];
    const bool answered = std::cmp_less(i, outcome.lists.lists_size());
    list.rows.push_back({WordCell(kTrustListKinds, fetched.kind), fetched.host, fetched.Sha1Text(),
                         static_cast<int64_t>(fetched.list.bytes->size()), std::ssize(fetched.list.records),
                         fetched.signer, fetched.verified.ok(),
                         answered ? Cell(outcome.lists.lists(static_cast<int>(i)).added()) : Cell(),
                         TextCell(std::string(StatusMessage(fetched.verified)))});
  }
  return list;
}

Record::List RecordRows(const Material& material, bool own) {
  Record::List list = {"records",
                       {{"list", "LIST"},
                        {"record", "RECORD"},
                        {"role", "ROLE"},
                        {"subject", "SUBJECT"},
                        {"not_after", "EXPIRES"},
                        {"certificate_sha256", "FINGERPRINT"},
                        {"in_trust_store", "TRUST STORE", own}},
                       {}};
  for (const FetchedList& fetched : material.lists) {
    for (size_t i = 0; i < fetched.list.records.size(); ++i) {
      const TrustListRecord& record = fetched.list.records[i];
      const auto known = std::ranges::find_if(material.history, [&](const HistoryCertificate& history) {
        return record.certificate && history.certificate == *record.certificate;
      });
      list.rows.push_back(
          {fetched.Name(), static_cast<int64_t>(i + 1),
           record.role() ? Cell(std::string(CertificateRoleName(*record.role()))) : Cell(), TextCell(record.subject),
           record.certificate ? Cell(record.certificate->not_after()) : Cell(),
           record.certificate ? Cell(Fingerprint{std::string(AsText(record.certificate->sha256()))}) : Cell(),
           known == material.history.end() || !record.role() ? Cell() : Cell(known->StateOf(*record.role()))});
    }
  }
  return list;
}

std::string CountText(int64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

int64_t Trusted(const Material& material) {
  return std::ranges::count_if(material.history, [](const HistoryCertificate& one) { return !one.missing.empty(); });
}

std::string Sentence(const AdoptArguments& arguments, const Material& material, const Outcome& outcome) {
  std::vector<std::string> parts;
  const auto lists = std::ssize(material.lists);
  const auto added = std::ranges::count_if(outcome.lists.lists(), [](const auto& list) { return list.added(); });
  if (lists > 0) {
    const std::string what = fmt::format("{} of {}", CountText(lists, "list", "lists"), arguments.origin());
    parts.push_back(arguments.dry_run ? what : fmt::format("{}, {} of them new", what, added));
  }
  if (arguments.own) {
    parts.push_back(
        fmt::format("{} {} trusted", CertificateCountText(Trusted(material)), arguments.dry_run ? "to be" : "newly"));
  }
  if (!arguments.phones.empty()) {
    const std::string devices = CountText(std::ssize(material.phones.rows), "device", "devices");
    parts.push_back(arguments.dry_run ? devices
                                      : fmt::format("{}: {} added, {} changed, {} unchanged, {} left alone", devices,
                                                    outcome.devices.added, outcome.devices.changed,
                                                    outcome.devices.unchanged, outcome.devices.left_alone.size()));
  }
  if (!arguments.statuses.empty()) {
    const std::string statuses = CountText(std::ssize(material.statuses.lines), "status", "statuses");
    parts.push_back(arguments.dry_run
                        ? statuses
                        : fmt::format("{}: {} taken over, {} older than what is known, {} of devices "
                                      "that are not known",
                                      statuses, outcome.seeds.seeded, outcome.seeds.older, outcome.seeds.not_known));
  }
  if (material.bad_lines() > 0) {
    parts.push_back(fmt::format("{} passed over", CountText(material.bad_lines(), "bad line", "bad lines")));
  }
  return fmt::format("{}{}", arguments.dry_run ? "would be adopted: " : "adopted: ", fmt::join(parts, "; "));
}

void Write(Environment& environment, const AdoptArguments& arguments, const Material& material, Outcome outcome) {
  Record record;
  record.Add("origin", "ORIGIN", material.lists.empty() ? Cell() : Cell(arguments.origin()))
      .Add("own", "OWN", arguments.own)
      .Add("dry_run", "DRY RUN", arguments.dry_run)
      .Add("certificates_trusted", "CERTIFICATES TRUSTED", Trusted(material))
      .Add("devices_added", "DEVICES ADDED", outcome.devices.added)
      .Add("devices_changed", "DEVICES CHANGED", outcome.devices.changed)
      .Add("devices_unchanged", "DEVICES UNCHANGED", outcome.devices.unchanged)
      .Add("statuses_taken_over", "STATUSES", outcome.seeds.seeded)
      .Add("statuses_older", "OLDER STATUSES", outcome.seeds.older)
      .Add("devices_not_known", "NOT KNOWN", outcome.seeds.not_known)
      .Add("bad_lines", "BAD LINES", material.bad_lines());
  record.list = ListRows(material, outcome);
  record.more_lists = {
      RecordRows(material, arguments.own),
      {"left_alone", {{"name", "LEFT ALONE"}, {"left_alone_reason", "REASON"}}, std::move(outcome.devices.left_alone)}};
  WriteResult(environment.out(), environment.options().output, Sentence(arguments, material, outcome), record);
}

absl::StatusOr<int> Adopt(Environment& environment, const AdoptArguments& arguments) {
  if (arguments.fetch.hosts.empty() && (arguments.phones.empty() && arguments.statuses.empty())) {
    return UsageError("nothing to adopt: give --tftp, --phones or --itl-status");
  }
  if (arguments.fetch.hosts.empty() && arguments.own) {
    return UsageError("--own is about lists: say where they are served (--tftp)");
  }
  if (arguments.fetch.hosts.size() > 1 && arguments.name.empty()) {
    return UsageError("several hosts serve one cluster: name it (--name)");
  }
  // 1. Everything that can be wrong, before anything is changed.
  Material material;
  RETURN_IF_ERROR(ReadExports(environment, arguments, material));
  std::vector<std::string> notes;
  ASSIGN_OR_RETURN(material.lists, FetchLists(arguments.fetch, notes));
  if (arguments.own) {
    for (const FetchedList& list : material.lists) {
      AddToHistory(list.list, list.host, absl::Now(), material.history, notes);
    }
    RETURN_IF_ERROR(CompareWithTrustStore(environment, material.history));
  }
  for (const std::string& note : notes) {
    environment.err() << EscapeForTerminal("trustctl: note: " + note) << std::endl;
  }

  // 2. What it changes.
  Outcome outcome;
  if (!arguments.dry_run) {
    ASSIGN_OR_RETURN(outcome, TakeOver(environment, arguments, material));
  }
  const bool all_used = material.bad_lines() == 0 && outcome.seeds.problems.empty() && outcome.seeds.not_known == 0;
  Write(environment, arguments, material, std::move(outcome));
  return all_used ? kExitSuccess : kExitFailure;
}

}  // namespace

void AddAdoptCommands(CommandLine& line) {
  auto arguments = std::make_shared<AdoptArguments>();
  const CommandAction action = [arguments](Environment& environment) { return Adopt(environment, *arguments); };
  CLI::App& adopt = AddCommand(
      line, line.app, "adopt",
      "Take over what a call manager that runs already serves and knows: its trust lists, its phones, and which list "
      "each phone holds. Only reads there; no phone is touched",
      "  trustctl adopt --tftp 192.0.2.10 --dry-run\n"
      "  trustctl adopt --tftp cucm1.example --tftp cucm2.example --name berlin --phones bat.csv --itl-status itl.csv\n"
      "  trustctl adopt --tftp 192.0.2.10 --http --own --reason 'moving to Trustline'\n"
      "  trustctl adopt list\n"
      "  trustctl adopt show berlin --tftp cucm1.example",
      action);
  // The callback of a command runs after those of the commands below it.
  adopt.callback([&line, &adopt, action] {
    if (adopt.get_subcommands().empty()) line.chosen = action;
  });
  adopt
      .add_option("--tftp", arguments->fetch.hosts,
                  "A host that serves ITLFile.tlv and CTLFile.tlv, without a port; several times for several")
      ->type_name("HOST")
      ->allow_extra_args(false);
  adopt.add_flag("--http", arguments->fetch.http, "Fetch over HTTP (port 6970) instead of TFTP");
  AddNumber(adopt, "--port", "PORT", 1, 65'535, arguments->fetch.port, "Another port than 69, or 6970 with --http");
  adopt.add_option("--name", arguments->name, "What the adopted cluster is called here; the host unless given")
      ->type_name("NAME")
      ->check([](const std::string& name) {
        const absl::Status checked = CheckText(name, kLongestOrigin);
        return name.empty() ? std::string("the name is empty") : std::string(StatusMessage(checked));
      });
  CLI::Option* const own = adopt.add_flag(
      "--own", arguments->own,
      "The lists are this cluster's own past: what they name is added to its trust store, unlisted, so that TVS "
      "answers for it. Look at them with --dry-run first: whoever answers in that host's place would be trusted");
  adopt
      .add_flag("--unverified", arguments->fetch.unverified,
                "Keep lists whose signature does not fit too; otherwise they are refused")
      ->excludes(own);
  adopt.add_flag("--dry-run", arguments->dry_run, "Only show what would be done");
  AddFile(adopt, "--phones", arguments->phones,
          "The call manager's phone export (BAT), as for `trustctl device import`");
  AddFile(adopt, "--itl-status", arguments->statuses,
          "CSV with the columns Device Name, ITL Hash (SHA-1 or \"Not Installed\") and, where there are, TFTP Server, "
          "CTL Hash, CTL TFTP Server, Timestamp (without a zone in UTC; else the file's time)");
  AddText(adopt, "--reason", kMaxDeviceText, arguments->reason, "Why; kept in the audit log");
  AddAdoptedListCommands(line, adopt);
}

}  // namespace trustline
