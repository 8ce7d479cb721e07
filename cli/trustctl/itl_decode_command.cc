// trustctl itl decode, ctl decode: every element of a trust list or signed file.
#include <fmt/format.h>

#include <memory>

#include "cli/trustctl/environment.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/list_file.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_elements.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kShownCharacters = 64;

// What the version says that a file is.
std::string FormatOf(FileVersion version) {
  if (version == kTrustListVersion) return "trust list";
  if (version == kSignedFileVersion) return "signed file";
  if (version == kEncryptedFileVersion) return "encrypted file";
  return "unknown";
}

// Values are whole in data; tables show the beginning of long ones.
Row ElementRow(const std::string& part, const NamedElement& element, bool whole) {
  std::string value = element.value;
  if (!whole && value.size() > kShownCharacters) value = value.substr(0, kShownCharacters) + "...";
  return {part,
          int64_t{element.place.tag},
          element.name,
          static_cast<int64_t>(element.place.offset),
          int64_t{element.place.length},
          TextCell(value)};
}

absl::StatusOr<int> Decode(Environment& environment, const std::string& path) {
  ASSIGN_OR_RETURN(const DecodedFile decoded, ReadAnySignedFile(path));
  const SignedFile& file = decoded.file;
  const SignedFileHeader& header = file.header;
  const std::vector<TrustListRecord>& records = decoded.records;
  const bool whole = environment.options().output != OutputFormat::kTable;
  Record record;
  record.Add("file", "File", path)
      .Add("format", "Format", FormatOf(header.version))
      .Add("version", "Version", VersionText(header.version))
      .Add("size", "Size", static_cast<int64_t>(file.whole.size()))
      .Add("header_length", "Header length", int64_t{header.header_length})
      .Add("padding", "Padding", static_cast<int64_t>(header.padding))
      .Add("payload_size", "Payload", static_cast<int64_t>(file.payload.size()))
      .Add("records", "Records",
           header.version == kTrustListVersion ? Cell(static_cast<int64_t>(records.size())) : Cell());
  record.list = {"elements",
                 {{"part", "PART"},
                  {"tag", "TAG"},
                  {"name", "NAME"},
                  {"offset", "OFFSET"},
                  {"length", "LENGTH"},
                  {"value", "VALUE"}},
                 {}};
  for (const NamedElement& element : HeaderElements(file)) {
    record.list->rows.push_back(ElementRow("header", element, whole));
  }
  for (size_t i = 0; i < records.size(); ++i) {
    for (const NamedElement& element : RecordElements(records[i], file.whole)) {
      record.list->rows.push_back(ElementRow(fmt::format("record {}", i + 1), element, whole));
    }
  }
  WriteRecord(environment.out(), environment.options().output, record);
  return kExitSuccess;
}

}  // namespace

void AddListDecodeCommand(CommandLine& line, const ListGroup& lists) {
  auto path = std::make_shared<std::string>();
  CLI::App& command = AddCommand(
      line, lists.group, "decode",
      "Show every element of a file, also those that nobody knows, without asking whether it verifies. Of signed and "
      "encrypted files (.sgn, .enc.sgn) the header",
      fmt::format("  trustctl {0} decode {1}File.tlv\n"
                  "  trustctl {0} decode SEP001122334455.cnf.xml.enc.sgn --output json",
                  lists.name(), KindText(lists.kind)),
      [path](Environment& environment) { return Decode(environment, *path); });
  AddFile(command, "FILE", *path, "Trust list, signed or encrypted file")->required();
}

}  // namespace trustline
