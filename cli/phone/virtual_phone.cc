#include "cli/phone/virtual_phone.h"

#include <utility>

#include "cli/phone/list_report.h"
#include "common/bytes/checksums.h"
#include "common/status/status.h"
#include "itl/trust_list/phone_list.h"

namespace trustline {
namespace {

std::string_view AcceptedByText(AcceptedBy by) {
  switch (by) {
    case AcceptedBy::kNothing:
      break;
    case AcceptedBy::kFirstUse:
      return "the phone holds no list";
    case AcceptedBy::kCtl:
      return "its CTL names the signer";
    case AcceptedBy::kItl:
      return "its ITL names the signer";
    case AcceptedBy::kBlank:
      return "its lists are blank";
    case AcceptedBy::kTvs:
      return "a TVS says that the signer is valid";
  }
  return "";
}

std::string_view RefusedForText(RefusedFor why) {
  switch (why) {
    case RefusedFor::kNothing:
      break;
    case RefusedFor::kForm:
      return "the phone cannot read it: its digest, its signer version, its size, a key or the number of SAST records";
    case RefusedFor::kNoTvs:
      return "its lists do not name the signer, and no TVS that its ITL names has answered";
    case RefusedFor::kTvsAnswer:
      return "its lists do not name the signer, and the TVS says that it is not valid for this";
  }
  return "";
}

void PutInWords(ServedDecision& decided) {
  decided.words =
      decided.decision.accepted() ? AcceptedByText(decided.decision.by) : RefusedForText(decided.decision.why);
}

ServedDecision Unreadable(const absl::Status& status) {
  ServedDecision decided;
  decided.served = ServedDecision::Served::kAnother;
  decided.decision.why = RefusedFor::kForm;
  decided.words = StatusMessage(status);
  return decided;
}

NamedSigner SignerIn(const SignedFileHeader& header) {
  return {.subject = header.signer_name, .issuer = header.issuer_name, .serial = header.serial};
}

TvsPhoneOptions TvsOptionsOf(const VirtualPhoneOptions& options) {
  TvsPhoneOptions tvs = options.tvs;
  tvs.device_name = fmt::format("CP-{}-{}", options.model, options.device.text());
  return tvs;
}

}  // namespace

VirtualPhone::VirtualPhone(VirtualPhoneOptions options, ListServer& lists)
    : options_(std::move(options)), folder_(options_.folder), lists_(lists) {}

absl::StatusOr<PhoneStartResult> VirtualPhone::Start() {
  PhoneStartResult result;
  // 1. What it remembers.
  ASSIGN_OR_RETURN(result.held, folder_.Load());
  // 2. The CTL first: one that is taken decides about the ITL.
  ASSIGN_OR_RETURN(result.ctl, StartList(PhoneListKind::kCtl, result.held));
  ASSIGN_OR_RETURN(result.itl, StartList(PhoneListKind::kItl, result.held));
  // 3. The configuration, by the lists as they are then.
  if (options_.file_signer) result.file = DecideOnFile(result.held);
  // 4. The report, whatever was decided.
  if (options_.report_to) {
    result.reported = SendListReport(*options_.report_to, ListReport::Of(options_.device, options_.model, result.held),
                                     options_.report_timeout);
  }
  return result;
}

absl::StatusOr<ServedDecision> VirtualPhone::StartList(PhoneListKind kind, HeldLists& held) {
  absl::StatusOr<std::optional<ServedList>> served = lists_.Fetch(kind, options_.device);
  if (!served.ok()) {
    return Annotate(served.status(), fmt::format("the {} of {}", PhoneListName(kind), options_.device.text()));
  }
  ServedDecision decided;
  if (!*served) return decided;
  const std::string& file = (*served)->file;
  std::optional<HeldList>& own = held.Of(kind);
  if (own && *own->list.bytes == file) {
    decided.served = ServedDecision::Served::kWhatItHolds;
    decided.words = "the phone holds it already";
    decided.sha1 = ToHex(Sha1(AsBytes(file)));
    return decided;
  }
  const absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(file));
  decided = DecideOnList(held, list);
  decided.sha1 = ToHex(Sha1(AsBytes(file)));
  if (decided.decision.accepted()) {
    HeldList taken{.list = *list, .server = (*served)->server};
    RETURN_IF_ERROR(folder_.Keep(kind, taken));
    own = std::move(taken);
  }
  return decided;
}

ServedDecision VirtualPhone::DecideOnList(const HeldLists& held, const absl::StatusOr<TrustList>& list) const {
  if (!list.ok()) return Unreadable(list.status());
  ServedDecision result;
  result.served = ServedDecision::Served::kAnother;
  const PhoneHoldings holdings = held.Holdings();
  absl::StatusOr<Certificate> signer = FindSigner(held, *list);
  const auto decide = [&](const std::vector<ReachableTvs>& reachable) {
    const PhoneList offered = ToPhoneList(*list, signer.ok() ? std::optional(signer->sha256()) : std::nullopt);
    result.decision = DecideList(holdings, options_.reads, offered, reachable);
  };
  decide({});
  // A TVS is asked when nothing else is left.
  if (result.decision.why == RefusedFor::kNoTvs) {
    const SignerAnswer answer = Ask(holdings, SignerIn(list->header()));
    result.asked = answer.attempts;
    // The list may not have its own signer; what it has in its place must not count.
    if (!signer.ok() && answer.signer && VerifyTrustListWith(*list, *answer.signer).ok()) signer = *answer.signer;
    decide(answer.Reachable());
  }
  // Also one that takes any list takes none whose signature is not by its signer.
  if (result.decision.accepted() && !signer.ok()) return Unreadable(signer.status());
  if (signer.ok()) result.signer = signer->subject().ToText();
  PutInWords(result);
  if (!result.decision.accepted() && !signer.ok()) result.words += fmt::format("; {}", StatusMessage(signer.status()));
  return result;
}

ServedDecision VirtualPhone::DecideOnFile(const HeldLists& held) const {
  const Certificate& signer = *options_.file_signer;
  const PhoneHoldings holdings = held.Holdings();
  ServedDecision result;
  result.served = ServedDecision::Served::kAnother;
  result.signer = signer.subject().ToText();
  result.decision = DecideFile(holdings, signer.sha256(), {});
  if (result.decision.why == RefusedFor::kNoTvs) {
    const SignerAnswer answer = Ask(holdings, {.subject = PhoneNameText(signer.subject()),
                                               .issuer = PhoneNameText(signer.issuer()),
                                               .serial = std::string(AsText(signer.serial()))});
    result.asked = answer.attempts;
    result.decision = DecideFile(holdings, signer.sha256(), answer.Reachable());
  }
  PutInWords(result);
  return result;
}

SignerAnswer VirtualPhone::Ask(const PhoneHoldings& holdings, const NamedSigner& signer) const {
  return AskForSigner(options_.tvs_servers, TvsOptionsOf(options_), holdings.itl, signer);
}

}  // namespace trustline
