// trustctl itl verify, diff and those of ctl: whom a phone would believe, and what differs.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/trust_list_commands.h"
#include "cli/trustctl/trust_list_elements.h"
#include "cli/trustctl/trust_list_records.h"
#include "cli/trustctl/trust_list_words.h"
#include "common/bytes/checksums.h"
#include "common/status/status.h"
#include "common/x509/certificate_file.h"
#include "itl/trust_list/difference.h"

namespace trustline {
namespace {

// Phones accept no more SAST records.
constexpr int64_t kMaxSastRecords = 2;

struct VerifyArguments {
  std::string file;
  std::string held;
  std::string signer;
};

// By whom a list is vouched for, and how that was found out.
struct Voucher {
  Certificate signer;
  std::string how;
};

bool IsSast(const TrustListRecord& record) { return record.role() == CertificateRole::kSast; }

// TVS and TFTP records are blank or missing: a phone without a CTL then accepts anything.
bool IsBlankList(const TrustList& list) {
  return std::ranges::none_of(list.records, [](const TrustListRecord& record) {
    const std::optional<CertificateRole> role = record.role();
    return !record.IsBlank() && (role == CertificateRole::kTvs || role == CertificateRole::kTftp ||
                                 role == CertificateRole::kCcmTftp || role == CertificateRole::kCcm);
  });
}

absl::StatusOr<Voucher> VouchByHeld(const TrustList& list, const std::string& held_path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadListFile(held_path));
  ASSIGN_OR_RETURN(const TrustList held, DecodeList(bytes, held_path));
  absl::Status named = NotFound("the signer {} with serial {} is no SAST of {}", list.header().signer_name,
                                ColonHex(AsBytes(list.header().serial)), held_path);
  for (const TrustListRecord& record : held.records) {
    if (!IsSast(record) || !record.certificate || !NamesAsSigner(list.header(), *record.certificate)) continue;
    named = VerifyTrustListWith(list, *record.certificate);
    if (named.ok()) return Voucher{*record.certificate, fmt::format("a SAST of {}", held_path)};
  }
  if (!IsBlankList(held)) return named;
  ASSIGN_OR_RETURN(const Certificate signer, VerifyTrustList(list));
  return Voucher{
      signer,
      fmt::format("not a SAST of {}, which is blank: a phone that holds it and no CTL accepts any list", held_path)};
}

absl::StatusOr<Voucher> VouchBySigner(const TrustList& list, const std::string& path) {
  absl::StatusOr<std::vector<Certificate>> certificates = ReadCertificatePath(path);
  if (!certificates.ok()) return WithFileAdvice(certificates.status());
  if (certificates->size() != 1) {
    return UsageError(fmt::format("{} has {} certificates: --signer is one", path, certificates->size()));
  }
  RETURN_IF_ERROR(VerifyTrustListWith(list, certificates->front()));
  return Voucher{certificates->front(), fmt::format("the certificate in {}", path)};
}

absl::StatusOr<Voucher> Vouch(const TrustList& list, const VerifyArguments& arguments) {
  if (!arguments.held.empty()) return VouchByHeld(list, arguments.held);
  if (!arguments.signer.empty()) return VouchBySigner(list, arguments.signer);
  ASSIGN_OR_RETURN(const Certificate signer, VerifyTrustList(list));
  return Voucher{signer, "a SAST of the list itself"};
}

// What makes phones refuse a list whoever has signed it.
absl::Status CheckPhonesCanLoad(const TrustList& list) {
  const size_t size = list.file.whole.size();
  if (size > kMaxTrustListSize) {
    return FailedPrecondition("phones fail to load it: it has {} bytes in {} records, more than {}", size,
                              list.records.size(), kMaxTrustListSize);
  }
  const int64_t sasts = std::ranges::count_if(list.records, IsSast);
  if (sasts > kMaxSastRecords) {
    return FailedPrecondition("phones refuse it: it has {} SAST records, more than {}", sasts, kMaxSastRecords);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Verify(Environment& environment, const VerifyArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadListFile(arguments.file));
  ASSIGN_OR_RETURN(const TrustList list, DecodeList(bytes, arguments.file));
  const absl::StatusOr<Voucher> voucher = Vouch(list, arguments);
  if (IsUsageError(voucher.status())) return voucher.status();
  absl::Status verified = voucher.status();
  if (verified.ok()) verified = CheckPhonesCanLoad(list);
  const std::string digest = DigestText(list.header().digest);
  const std::string size = fmt::format("{} of at most {} bytes", list.file.whole.size(), kMaxTrustListSize);
  Record record;
  record.Add("file", "File", arguments.file)
      .Add("verified", "Verified", verified.ok())
      .Add("verification_reason", "Reason", TextCell(std::string(StatusMessage(verified))))
      .Add("signer", "Signer", voucher.ok() ? Cell(voucher->signer.subject().ToText()) : Cell())
      .Add("signer_sha256", "Fingerprint of the signer", voucher.ok() ? Cell(ToHex(voucher->signer.sha256())) : Cell())
      .Add("signer_is", "Signer is", voucher.ok() ? Cell(voucher->how) : Cell())
      .Add("signer_name", "Named as signer", list.header().signer_name)
      .Add("signer_serial", "Serial of the signer", ToHex(AsBytes(list.header().serial)))
      .Add("digest", "Digest", digest)
      .Add("size", "Size", static_cast<int64_t>(list.file.whole.size()))
      .Add("most_size", "Most", static_cast<int64_t>(kMaxTrustListSize))
      .Add("sha1", "SHA1", TextCell(ToHex(Sha1(list.file.whole))));
  const std::string sentence = verified.ok()
                                   ? fmt::format("verified: signed by {} ({}) with {}; {}",
                                                 voucher->signer.subject().ToText(), voucher->how, digest, size)
                                   : fmt::format("NOT verified: {}; {}, {}", StatusMessage(verified), digest, size);
  WriteResult(environment.out(), environment.options().output, sentence, record);
  return verified.ok() ? kExitSuccess : kExitFailure;
}

void AddVerifyCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<VerifyArguments>();
  CLI::App& command = AddCommand(
      line, lists.group, "verify",
      "Verify a trust list by itself, as a phone would that holds another one, or by a certificate; exit status 1 when "
      "it does not verify or phones cannot load it",
      fmt::format("  trustctl {0} verify {1}File.tlv\n"
                  "  trustctl {0} verify {1}File.tlv --held old-{1}File.tlv\n"
                  "  trustctl {0} verify {1}File.tlv --signer itlrecovery.pem",
                  lists.name(), KindText(lists.kind)),
      [arguments](Environment& environment) { return Verify(environment, *arguments); });
  AddFile(command, "FILE", arguments->file, "Trust list")->required();
  CLI::Option* const held =
      AddFile(command, "--held", arguments->held, "The list that the phone holds: the signer must be a SAST of it");
  AddFile(command, "--signer", arguments->signer, "The certificate that must have signed it")->excludes(held);
}

struct DiffArguments {
  std::string before;
  std::string after;
  ListChoice choice;
};

struct NamedList {
  TrustList list;
  std::string name;
};

// "3" and "current" are generations; anything else is a file.
absl::StatusOr<NamedList> ReadOrFetch(Environment& environment, const std::string& text, ListChoice choice) {
  int64_t number = 0;
  if (text != "current" && !(absl::SimpleAtoi(text, &number) && number > 0)) {
    ASSIGN_OR_RETURN(const std::string bytes, ReadListFile(text));
    ASSIGN_OR_RETURN(TrustList list, DecodeList(bytes, text));
    return NamedList{std::move(list), text};
  }
  if (number > 0) choice.generation = number;
  ASSIGN_OR_RETURN(const v1::FetchGenerationResponse response, FetchList(environment, choice));
  ASSIGN_OR_RETURN(TrustList list, DecodeList(response.file(), GenerationText(response.generation())));
  return NamedList{std::move(list), GenerationText(response.generation())};
}

absl::StatusOr<int> Diff(Environment& environment, const DiffArguments& arguments) {
  ASSIGN_OR_RETURN(const NamedList before, ReadOrFetch(environment, arguments.before, arguments.choice));
  ASSIGN_OR_RETURN(const NamedList after, ReadOrFetch(environment, arguments.after, arguments.choice));
  const std::vector<ListDifference> differences = DifferencesOf(before.list, after.list);
  const bool identical = std::ranges::equal(before.list.file.whole, after.list.file.whole);
  const int exit_status = differences.empty() ? kExitSuccess : kExitFailure;
  if (environment.options().output == OutputFormat::kTable) {
    if (identical) {
      environment.out() << "no difference: the files are the same\n";
    } else if (differences.empty()) {
      environment.out() << "no difference in content: only timestamp and signature differ\n";
    }
    for (const ListDifference& difference : differences) {
      environment.out() << EscapeForTerminal(DifferenceText(difference)) << "\n";
    }
    return exit_status;
  }
  Record record;
  record.Add("before", "Before", before.name)
      .Add("before_sha1", "SHA1 before", TextCell(ToHex(Sha1(before.list.file.whole))))
      .Add("after", "After", after.name)
      .Add("after_sha1", "SHA1 after", TextCell(ToHex(Sha1(after.list.file.whole))))
      .Add("same_bytes", "Same bytes", identical)
      .Add("same_content", "Same content", differences.empty());
  record.list = {"differences", {{"difference", "DIFFERENCE"}, {"was", "WAS"}, {"is", "IS"}}, {}};
  for (const ListDifference& difference : differences) {
    record.list->rows.push_back(
        {std::string(DifferenceWord(difference.kind)), TextCell(difference.before), TextCell(difference.after)});
  }
  WriteRecord(environment.out(), environment.options().output, record);
  return exit_status;
}

void AddDiffCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<DiffArguments>();
  arguments->choice.kind = lists.kind;
  CLI::App& command = AddCommand(
      line, lists.group, "diff",
      "Show what differs between two trust lists, certificate by certificate; exit status 0 when nothing does, 1 when "
      "something does",
      fmt::format("  trustctl {0} diff 3 current\n"
                  "  trustctl {0} diff old-{1}File.tlv {1}File.tlv\n"
                  "  trustctl {0} diff from-the-phone.tlv current --output json",
                  lists.name(), KindText(lists.kind)),
      [arguments](Environment& environment) { return Diff(environment, *arguments); });
  constexpr char kWhat[] = "File, number of a generation, or `current`; a file whose name is a number: ./3";
  AddFile(command, "A", arguments->before, kWhat)->required();
  AddFile(command, "B", arguments->after, kWhat)->required();
  AddListOptions(command, arguments->choice);
}

}  // namespace

void AddListComparisonCommands(CommandLine& line, const ListGroup& lists) {
  AddVerifyCommand(line, lists);
  AddDiffCommand(line, lists);
}

}  // namespace trustline
