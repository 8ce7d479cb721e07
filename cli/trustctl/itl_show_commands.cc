// trustctl itl show, export and those of ctl: a list as administrators know it, and its bytes.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/environment.h"
#include "cli/trustctl/export_file.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/list_file.h"
#include "cli/trustctl/terminal_questions.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_print.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_records.h"
#include "common/status/status.h"

namespace trustline {
namespace {

struct ShowArguments {
  std::string file;
  ListChoice choice;
};

absl::StatusOr<int> Show(Environment& environment, const ShowArguments& arguments) {
  TrustList list;
  v1::Generation generation;
  const bool from_server = arguments.file.empty();
  if (from_server) {
    ASSIGN_OR_RETURN(const v1::FetchGenerationResponse response, FetchList(environment, arguments.choice));
    generation = response.generation();
    ASSIGN_OR_RETURN(list, DecodeList(response.file(), GenerationText(generation)));
  } else {
    ASSIGN_OR_RETURN(list, ReadListFile(arguments.file));
  }
  absl::Status verified = VerifyTrustList(list).status();
  if (!from_server) {
    verified = WithVerificationAdvice(verified, arguments.file, GroupName(arguments.choice.kind));
  }
  if (environment.options().output == OutputFormat::kTable) {
    environment.out() << TrustListPrint(list, KindText(arguments.choice.kind), verified);
    return kExitSuccess;
  }
  Record of;
  of.Add("kind", "Kind", KindText(from_server ? generation.kind() : arguments.choice.kind))
      .Add("file", "File", TextCell(arguments.file))
      .Add("tftp_server", "TFTP server", TextCell(generation.tftp_server()))
      .Add("device", "Device", TextCell(generation.device()))
      .Add("generation", "Generation", from_server ? Cell(generation.number()) : Cell())
      .Add("is_current", "Current", from_server ? Cell(generation.is_current()) : Cell())
      .Add("published_at", "Published", TimestampCell(generation.published_at()))
      .Add("published_by", "By", TextCell(generation.published_by()))
      .Add("reason", "Reason", TextCell(generation.reason()));
  WriteRecord(environment.out(), environment.options().output, TrustListRecordOf(list, verified, std::move(of)));
  return kExitSuccess;
}

void AddShowCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<ShowArguments>();
  arguments->choice.kind = lists.kind;
  const std::string kind = KindText(lists.kind);
  CLI::App& command = AddCommand(
      line, lists.group, "show",
      fmt::format("Show the {} that is current, or another one, in the layout that administrators know", kind),
      fmt::format("  trustctl {0} show\n"
                  "  trustctl {0} show {1}File.tlv\n"
                  "  trustctl {0} show --generation 3\n"
                  "  trustctl {0} show --hash be50e5f3e28e6a8f5b0a5fa90364c839fcc8a3a0 --output json",
                  lists.name(), kind),
      [arguments](Environment& environment) { return Show(environment, *arguments); });
  CLI::Option* const file =
      AddFile(command, "FILE", arguments->file, "A file instead of what was published; no service is asked");
  AddListOptions(command, arguments->choice);
  AddGenerationOptions(command, arguments->choice);
  for (const char* const name : {"--tftp-server", "--device", "--generation", "--hash"}) {
    if (CLI::Option* const other = command.get_option_no_throw(name); other != nullptr) file->excludes(other);
  }
}

struct ExportArguments {
  ListChoice choice;
  std::string out;
  bool force = false;
};

absl::StatusOr<int> Export(Environment& environment, const ExportArguments& arguments) {
  const bool to_file = !arguments.out.empty();
  if (!to_file && StandardOutputIsTerminal()) {
    return UsageError("the file is no text for a terminal: give --out FILE, or send the output elsewhere");
  }
  if (!to_file && environment.options().output != OutputFormat::kTable) {
    return UsageError("the standard output gets the file itself: give --out FILE with --output");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<ExportFile> file,
                   ExportFile::Create(arguments.out, arguments.force, environment.out()));
  const CallSeries series(environment);
  ASSIGN_OR_RETURN(const v1::FetchGenerationResponse response, FetchList(environment, arguments.choice));
  RETURN_IF_ERROR(file->Write(response.file()));
  RETURN_IF_ERROR(file->Commit());
  if (!to_file) return kExitSuccess;
  const v1::Generation& generation = response.generation();
  Record record;
  const std::vector<Column> columns = GenerationColumns(true);
  Row row = GenerationRow(generation);
  record.Add("file", "File", arguments.out);
  for (size_t i = 0; i < columns.size(); ++i) record.Add(columns[i].key, columns[i].title, std::move(row[i]));
  WriteResult(environment.out(), environment.options().output,
              fmt::format("{}: {} bytes in {}; phones ask for it as {}", GenerationText(generation),
                          response.file().size(), arguments.out, response.file_name()),
              record.Add("file_name", "Name for phones", response.file_name()));
  return kExitSuccess;
}

void AddExportCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<ExportArguments>();
  arguments->choice.kind = lists.kind;
  const std::string kind = KindText(lists.kind);
  CLI::App& command = AddCommand(line, lists.group, "export", "Write the file of a list as phones get it",
                                 fmt::format("  trustctl {0} export --out {1}File.tlv\n"
                                             "  trustctl {0} export --generation 3 | sha1sum",
                                             lists.name(), kind),
                                 [arguments](Environment& environment) { return Export(environment, *arguments); });
  AddListOptions(command, arguments->choice);
  AddGenerationOptions(command, arguments->choice);
  AddFile(command, "--out", arguments->out, "File to write; the standard output unless given");
  command.add_flag("--force", arguments->force, "Replace the file when it exists");
}

}  // namespace

void AddListShowCommands(CommandLine& line, const ListGroup& lists) {
  AddShowCommand(line, lists);
  AddExportCommand(line, lists);
}

}  // namespace trustline
