// What verdicts and cures say in words.
#include "itl/preflight/preflight.h"

namespace trustline {

std::string_view ReasonText(VerdictReason reason) {
  switch (reason) {
    case VerdictReason::kNone:
      return "";
    case VerdictReason::kNeverSeen:
      return "nobody whose word counts has ever said what it holds";
    case VerdictReason::kOtherList:
      return "it holds a list whose content is not known here";
    case VerdictReason::kSilent:
      return "it has said nothing for over 180 days";
    case VerdictReason::kNoTvsSeen:
      return "its lists do not know the signer, and no TVS that answers was asked from its site in the last 30 days";
    case VerdictReason::kCannotRead:
      return "it cannot read such a list";
    case VerdictReason::kSignerUnknown:
      return "its lists do not know the signer, and no TVS that they name would be left to ask";
    case VerdictReason::kSignerNotVouched:
      return "its lists do not know the signer, and TVS would not answer for it";
    case VerdictReason::kFileSigner:
      return "it would refuse the configuration files of its TFTP server";
    case VerdictReason::kNotServed:
      return "no TFTP server would make lists any more, and what phones know would not be kept";
    case VerdictReason::kNoKeyHere:
      return "its lists would name no signer whose key is here, so that nobody could sign the next one";
    case VerdictReason::kMissedTheLast:
      return "it has not followed the last change of signers yet, and this one more would leave it TVS as its only way";
  }
  return "";
}

std::string_view RemedyText(VerdictReason reason) {
  switch (reason) {
    case VerdictReason::kNone:
      return "";
    case VerdictReason::kNeverSeen:
      return "reset it, so that it reports what it holds";
    case VerdictReason::kOtherList:
      return "adopt the lists of the system that it comes from (trustctl adopt)";
    case VerdictReason::kSilent:
      return "see whether it still is there, and reset it; or retire the device";
    case VerdictReason::kNoTvsSeen:
      return "restore its way to a TVS, or let it take the present list first: reset it";
    case VerdictReason::kCannotRead:
      return "keep a form that it reads, or give it a list of its own (trustctl itl device set)";
    case VerdictReason::kSignerUnknown:
      return "let it take the present list first: reset it, and wait for its report; or keep, or replace in time, its "
             "TVS certificate (trustctl plan rollover --signer tvs)";
    case VerdictReason::kSignerNotVouched:
      return "keep the signer in the trust store as SAST until it has taken the list";
    case VerdictReason::kFileSigner:
      return "let it take a list that names the new signer of files first: reset it";
    case VerdictReason::kNotServed:
      return "add the TFTP server that takes its place first";
    case VerdictReason::kNoKeyHere:
      return "bring the key here first (trustctl itl recovery import)";
    case VerdictReason::kMissedTheLast:
      return "let it take the present list first: reset it, or wait until it starts";
  }
  return "";
}

std::string_view CureText(PhoneCure cure) {
  switch (cure) {
    case PhoneCure::kNone:
      return "none";
    case PhoneCure::kReset:
      return "reset";
    case PhoneCure::kRestoreReach:
      return "restore its way to a TVS, then reset";
    case PhoneCure::kPublishRecovery:
      return "publish the recovery list, then reset";
    case PhoneCure::kByHand:
      return "by hand";
    case PhoneCure::kForeign:
      return "foreign";
    case PhoneCure::kNoLists:
      return "no lists";
    case PhoneCure::kUnknown:
      return "unknown";
  }
  return "";
}

}  // namespace trustline
