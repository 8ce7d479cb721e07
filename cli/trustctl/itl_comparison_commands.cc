// trustctl itl verify, diff and those of ctl: whom a phone would believe, and what differs.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "absl/strings/numbers.h"
#include "cli/trustctl/certificate_input.h"
#include "cli/trustctl/environment.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/held_list.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/list_file.h"
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
constexpr std::string_view kUnlist = "take out what phones can do without: `trustctl trust set PREFIX --unlisted`";

struct VerifyArguments {
  v1::TrustListKind kind = v1::TRUST_LIST_KIND_ITL;
  std::string file;
  std::string held;
  std::string signer;
};

// As diff(1) has them, whose 2 is what a usage error has too.
constexpr int kExitDiffers = 1;
constexpr int kExitNotCompared = 2;

// By whom a list is vouched for, and how that was found out.
struct Voucher {
  Certificate signer;
  std::string how;
};

// Whom the list has to come from, as the options say. A file at fault is a mistake, not an answer.
struct Belief {
  std::optional<TrustList> held;
  std::optional<Certificate> signer;
};

absl::StatusOr<Belief> ReadBelief(const VerifyArguments& arguments) {
  Belief belief;
  if (!arguments.held.empty()) {
    ASSIGN_OR_RETURN(belief.held, ReadListFile(arguments.held));
  }
  if (arguments.signer.empty()) return belief;
  const absl::StatusOr<std::vector<Certificate>> certificates = ReadCertificatePath(arguments.signer);
  if (absl::IsInvalidArgument(certificates.status())) {
    return InvalidArgument("{}; --signer takes a file with one certificate, --held a list",
                           StatusMessage(certificates.status()));
  }
  if (!certificates.ok()) return WithFileAdvice(certificates.status());
  if (certificates->size() != 1) {
    return UsageError(fmt::format("{} has {} certificates: --signer is one", arguments.signer, certificates->size()));
  }
  belief.signer = certificates->front();
  return belief;
}

absl::Status NotHeld(const TrustList& list, const VerifyArguments& arguments) {
  return NotFound(
      "the signer {} with serial number {} is no SAST of {}: a phone that holds that takes the list only when a TVS "
      "vouches for the signer (`trustctl trust add --role SAST`); `trustctl {} reset` signs with a key that it knows",
      list.header().signer_name, ToHex(AsBytes(list.header().serial)), arguments.held, GroupName(arguments.kind));
}

absl::StatusOr<Voucher> VouchByHeld(const TrustList& list, const TrustList& held, const VerifyArguments& arguments) {
  absl::StatusOr<Acceptance> accepted = AcceptWhenHeld(held, list);
  RETURN_IF_ERROR(accepted.status());
  std::string how = accepted->because_blank
                        ? fmt::format(
                              "not a SAST of {}, which is blank: a phone that holds it, and no list besides "
                              "that is not blank, accepts any list",
                              arguments.held)
                        : fmt::format("a SAST of {}", arguments.held);
  return Voucher{std::move(accepted->signer), std::move(how)};
}

absl::StatusOr<Voucher> Vouch(const TrustList& list, const Belief& belief, const VerifyArguments& arguments) {
  if (belief.held) return VouchByHeld(list, *belief.held, arguments);
  if (belief.signer) {
    RETURN_IF_ERROR(VerifyTrustListWith(list, *belief.signer));
    return Voucher{*belief.signer, fmt::format("the certificate in {}", arguments.signer)};
  }
  ASSIGN_OR_RETURN(const Certificate signer, VerifyTrustList(list));
  return Voucher{signer, "a SAST of the list itself"};
}

// What makes phones refuse a list whoever has signed it.
absl::Status CheckPhonesCanLoad(const TrustList& list) {
  const size_t size = list.file.whole.size();
  if (size > kMaxTrustListSize) {
    return FailedPrecondition("phones fail to load it: it has {} bytes in {} records, more than {}; {}", size,
                              list.records.size(), kMaxTrustListSize, kUnlist);
  }
  const int64_t sasts = std::ranges::count(list.records, CertificateRole::kSast, &TrustListRecord::role);
  if (sasts > kMaxSastRecords) {
    return FailedPrecondition("phones refuse it: it has {} SAST records, more than {}; {}", sasts, kMaxSastRecords,
                              kUnlist);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Verify(Environment& environment, const VerifyArguments& arguments) {
  ASSIGN_OR_RETURN(const TrustList list, ReadListFile(arguments.file));
  ASSIGN_OR_RETURN(const Belief belief, ReadBelief(arguments));
  const absl::StatusOr<Voucher> voucher = Vouch(list, belief, arguments);
  absl::Status verified = voucher.status();
  if (belief.held && absl::IsNotFound(verified)) {
    verified = NotHeld(list, arguments);
  } else {
    verified = WithVerificationAdvice(verified, arguments.file, GroupName(arguments.kind));
  }
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
  arguments->kind = lists.kind;
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
    ASSIGN_OR_RETURN(TrustList list, ReadListFile(text));
    return NamedList{std::move(list), text};
  }
  if (number > 0) choice.generation = number;
  ASSIGN_OR_RETURN(const v1::FetchGenerationResponse response, FetchList(environment, choice));
  ASSIGN_OR_RETURN(TrustList list, DecodeList(response.file(), GenerationText(response.generation())));
  return NamedList{std::move(list), GenerationText(response.generation())};
}

void WriteDifferences(Environment& environment, const NamedList& before, const NamedList& after,
                      const std::vector<ListDifference>& differences) {
  const bool identical = std::ranges::equal(before.list.file.whole, after.list.file.whole);
  if (environment.options().output == OutputFormat::kTable) {
    if (identical) {
      environment.out() << "no difference: the files are the same\n";
    } else if (differences.empty()) {
      environment.out() << "no difference in content: only timestamp and signature differ\n";
    }
    for (const ListDifference& difference : differences) {
      environment.out() << EscapeForTerminal(DifferenceText(difference)) << "\n";
    }
    return;
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
}

absl::StatusOr<int> Diff(Environment& environment, const DiffArguments& arguments) {
  ASSIGN_OR_RETURN(const NamedList before, ReadOrFetch(environment, arguments.before, arguments.choice));
  ASSIGN_OR_RETURN(const NamedList after, ReadOrFetch(environment, arguments.after, arguments.choice));
  const std::vector<ListDifference> differences = DifferencesOf(before.list, after.list);
  WriteDifferences(environment, before, after, differences);
  // Checked here already: exit status 1 would say that they differ.
  environment.out().flush();
  if (!environment.out()) return DataLoss("cannot write to the standard output: is the disk full?");
  return differences.empty() ? kExitSuccess : kExitDiffers;
}

void AddDiffCommand(CommandLine& line, const ListGroup& lists) {
  auto arguments = std::make_shared<DiffArguments>();
  arguments->choice.kind = lists.kind;
  CLI::App& command = AddCommand(
      line, lists.group, "diff",
      "Show what differs between two trust lists, certificate by certificate; exit status 0 when nothing does, 1 when "
      "something does, 2 when they could not be compared",
      fmt::format("  trustctl {0} diff 3 current\n"
                  "  trustctl {0} diff old-{1}File.tlv {1}File.tlv\n"
                  "  trustctl {0} diff from-the-phone.tlv current --output json",
                  lists.name(), KindText(lists.kind)),
      [arguments](Environment& environment) -> absl::StatusOr<int> {
        absl::StatusOr<int> compared = Diff(environment, *arguments);
        if (!compared.ok()) return WithExitStatus(compared.status(), kExitNotCompared);
        return compared;
      });
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
