// trustctl adopt list, show: the lists that were taken over, and one of them as administrators know it.
#include "cli/trustctl/adopted_list_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/trust_list_print.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/status/status.h"
#include "proto/adoption.grpc.pb.h"

namespace trustline {
namespace {

using Adopted = v1::ListAdoptedResponse::List;

// Of those that are named in an error.
constexpr size_t kMostNamed = 10;

struct ShowArguments {
  std::string origin;
  std::string sha1;  // bytes; instead of a host and a kind
  std::string host;
  bool ctl = false;
  std::string out;
  bool force = false;

  v1::TrustListKind kind() const { return ctl ? v1::TRUST_LIST_KIND_CTL : v1::TRUST_LIST_KIND_ITL; }
};

// Of all, or with a SHA-1 what has it.
absl::StatusOr<v1::ListAdoptedResponse> AskForAdopted(Environment& environment, const std::string& sha1 = "") {
  v1::ListAdoptedRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_sha1(sha1);
  ASSIGN_OR_RETURN(Client<v1::Adoption> client, environment.Connect<v1::Adoption>(kItld));
  return environment.Ask(client, &v1::Adoption::Stub::ListAdopted, request);
}

absl::StatusOr<int> List(Environment& environment) {
  ASSIGN_OR_RETURN(const v1::ListAdoptedResponse response, AskForAdopted(environment));
  ListWriter writer(environment.out(), environment.options().output,
                    {{"origin", "ORIGIN"},
                     {"own", "OWN"},
                     {"kind", "KIND"},
                     {"tftp_server", "TFTP SERVER"},
                     {"sha1", "SHA1"},
                     {"is_current", "CURRENT"},
                     {"phones", "PHONES"},
                     {"size", "SIZE"},
                     {"adopted_at", "ADOPTED"},
                     {"adopted_by", "BY"}},
                    "nothing was adopted");
  for (const Adopted& list : response.lists()) {
    writer.Add({list.origin(), list.own(), WordCell(kTrustListKinds, list.kind()), list.tftp_server(),
                ToHex(AsBytes(list.sha1())), list.is_current(), list.phones(), list.size(),
                TimestampCell(list.adopted_at()), list.adopted_by()});
  }
  writer.Finish();
  return kExitSuccess;
}

// "ITL of cucm1.example (berlin)".
std::string AdoptedText(const Adopted& list) {
  return fmt::format("{} of {} ({})", KindText(list.kind()), list.tftp_server(), list.origin());
}

// The current one that fits. Several hosts may serve the same file.
absl::StatusOr<Adopted> ChooseCurrent(const v1::ListAdoptedResponse& response, const ShowArguments& arguments) {
  std::vector<Adopted> fitting;
  for (const Adopted& list : response.lists()) {
    if (!list.is_current() || list.kind() != arguments.kind()) continue;
    if (!arguments.origin.empty() && list.origin() != arguments.origin) continue;
    if (!arguments.host.empty() && list.tftp_server() != absl::AsciiStrToLower(arguments.host)) continue;
    fitting.push_back(list);
  }
  if (fitting.empty()) {
    return NotFound("no such {} was adopted: `trustctl adopt list` shows what was", KindText(arguments.kind()));
  }
  if (std::ranges::any_of(fitting, [&](const Adopted& list) { return list.sha1() != fitting.front().sha1(); })) {
    std::vector<std::string> names;
    for (const Adopted& list : fitting) names.push_back(AdoptedText(list));
    const size_t more = names.size() - std::min(names.size(), kMostNamed);
    names.resize(names.size() - more);
    return UsageError(fmt::format("several lists fit: {}{}; name one of them: ORIGIN, --tftp HOST or --sha1 HASH",
                                  fmt::join(names, ", "), more == 0 ? "" : fmt::format(" and {} more", more)));
  }
  return std::move(fitting.front());
}

// With its content. DataLoss when the bytes are not those that were adopted.
absl::StatusOr<Adopted> FetchAdopted(Environment& environment, const ShowArguments& arguments) {
  Adopted wanted;
  wanted.set_sha1(arguments.sha1);
  wanted.set_origin(arguments.origin);
  if (arguments.sha1.empty()) {
    ASSIGN_OR_RETURN(const v1::ListAdoptedResponse all, AskForAdopted(environment));
    ASSIGN_OR_RETURN(wanted, ChooseCurrent(all, arguments));
  }
  ASSIGN_OR_RETURN(const v1::ListAdoptedResponse response, AskForAdopted(environment, wanted.sha1()));
  const auto found = std::ranges::find_if(response.lists(), [&](const Adopted& list) {
    if (!arguments.sha1.empty()) return arguments.origin.empty() || list.origin() == arguments.origin;
    return list.origin() == wanted.origin() && list.kind() == wanted.kind() &&
           list.tftp_server() == wanted.tftp_server();
  });
  if (found == response.lists().end()) {
    return NotFound("{} has no list with this SHA-1: `trustctl adopt list` shows what was adopted", wanted.origin());
  }
  Adopted list = *found;
  list.set_content(response.lists(0).content());
  if (const Sha1Digest sha1 = Sha1(AsBytes(list.content())); AsText(sha1) != list.sha1()) {
    return DataLoss("itld sent for {} what is not the file that was adopted: SHA-1 {} instead of {}", AdoptedText(list),
                    ToHex(sha1), ToHex(AsBytes(list.sha1())));
  }
  return list;
}

Record AdoptedRecord(const Adopted& list) {
  Record record;
  record.Add("kind", "Kind", KindText(list.kind()))
      .Add("origin", "Origin", list.origin())
      .Add("own", "Own", list.own())
      .Add("tftp_server", "TFTP server", list.tftp_server())
      .Add("is_current", "Current", list.is_current())
      .Add("phones", "Phones", list.phones())
      .Add("adopted_at", "Adopted", TimestampCell(list.adopted_at()))
      .Add("adopted_by", "By", list.adopted_by());
  return record;
}

absl::Status Write(Environment& environment, const ShowArguments& arguments, const Adopted& list) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  RETURN_IF_ERROR(file->Write(list.content()));
  RETURN_IF_ERROR(file->Commit());
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{}: {} bytes in {}", AdoptedText(list), list.content().size(), arguments.out),
              AdoptedRecord(list)
                  .Add("sha1", "SHA1", ToHex(AsBytes(list.sha1())))
                  .Add("size", "Size", list.size())
                  .Add("file", "File", arguments.out));
  return absl::OkStatus();
}

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  if (arguments.out.empty() && arguments.force) return UsageError("--force is about the file of --out");
  ASSIGN_OR_RETURN(const Adopted adopted, FetchAdopted(environment, arguments));
  if (!arguments.out.empty()) {
    RETURN_IF_ERROR(Write(environment, arguments, adopted));
    return kExitSuccess;
  }
  ASSIGN_OR_RETURN(const TrustList list, DecodeList(adopted.content(), AdoptedText(adopted)));
  const absl::Status verified = VerifyTrustList(list).status();
  if (environment.options().output == OutputFormat::kTable) {
    environment.out() << TrustListPrint(list, KindText(adopted.kind()), verified);
  } else {
    WriteRecord(environment.out(), environment.options().output,
                TrustListRecordOf(list, verified, AdoptedRecord(adopted)));
  }
  return kExitSuccess;
}

void AddShowCommand(CommandLine& line, CLI::App& adopt) {
  auto arguments = std::make_shared<ShowArguments>();
  CLI::App& command = AddCommand(
      line, adopt, "show",
      "Show an adopted trust list in the layout that administrators know: the current one, or that with a SHA-1",
      "  trustctl adopt show\n"
      "  trustctl adopt show berlin --tftp cucm1.example --ctl\n"
      "  trustctl adopt show --sha1 be50e5f3e28e6a8f5b0a5fa90364c839fcc8a3a0 --out ITLFile.tlv",
      [arguments](Environment& environment) { return Show(environment, *arguments); });
  command.add_option("ORIGIN", arguments->origin, "The adopted cluster's name; not needed when there is only one");
  CLI::Option* const sha1 =
      command
          .add_option_function<std::string>(
              "--sha1",
              [arguments](const std::string& text) {
                absl::StatusOr<std::string> bytes = FromHex(text);
                if (!bytes.ok() || bytes->size() != std::tuple_size_v<Sha1Digest>) {
                  throw CLI::ValidationError("show --sha1",
                                             fmt::format("'{}' is no SHA-1: give its 40 hexadecimal digits", text));
                }
                arguments->sha1 = *std::move(bytes);
              },
              "The list whose file has this SHA-1, as phones show it, current or not")
          ->type_name("HASH");
  command.add_option("--tftp", arguments->host, "The host that served it; not needed when there is only one")
      ->type_name("HOST")
      ->excludes(sha1);
  command.add_flag("--ctl", arguments->ctl, "The CTL instead of the ITL")->excludes(sha1);
  AddFile(command, "--out", arguments->out, "File to write the list to, as it was served, instead of showing it");
  command.add_flag("--force", arguments->force, "Replace the file when it exists");
}

}  // namespace

void AddAdoptedListCommands(CommandLine& line, CLI::App& adopt) {
  AddCommand(line, adopt, "list", "List the adopted trust lists and how many phones hold each", "  trustctl adopt list",
             List);
  AddShowCommand(line, adopt);
}

}  // namespace trustline
