#include "cli/trustctl/list_file.h"

#include <utility>

#include "cli/trustctl/certificate_input.h"
#include "common/service/text_file.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kWhatListsAre =
    "lists are the .tlv files that phones load, as `trustctl itl export` and `trustctl ctl export` write them";
constexpr std::string_view kPemBegin = "-----BEGIN ";
// The element with the version of trust lists, which all begin with.
constexpr std::string_view kTrustListBegin("\x01\x00\x02\x01\x02", 5);

absl::Status NoListIn(std::string_view bytes, std::string_view path, std::string_view wanted, const absl::Status& why) {
  if (bytes.empty()) return InvalidArgument("{} is empty: copy it here again; {}", path, kWhatListsAre);
  if (bytes.starts_with(kPemBegin)) {
    return InvalidArgument("{} is PEM, not {}: certificates are for `trustctl verify {}`; {}", path, wanted, path,
                           kWhatListsAre);
  }
  if (bytes.starts_with(kTrustListBegin)) {
    return InvalidArgument(
        "{}: {}: it begins as a trust list, but was cut off or changed: copy it here again, byte "
        "for byte (TFTP: mode octet); {}",
        path, StatusMessage(why), kWhatListsAre);
  }
  return InvalidArgument("{} is not {}: {}; {}", path, wanted, StatusMessage(why), kWhatListsAre);
}

absl::StatusOr<std::string> ReadBytes(const std::string& path) {
  absl::StatusOr<std::string> bytes = ReadTextFile(path, kMaxReadableTrustListSize);
  if (absl::IsInvalidArgument(bytes.status())) {
    return InvalidArgument("{}; {}", StatusMessage(bytes.status()), kWhatListsAre);
  }
  if (!bytes.ok()) return WithFileAdvice(bytes.status());
  return bytes;
}

}  // namespace

absl::StatusOr<DecodedFile> ReadAnySignedFile(const std::string& path) {
  constexpr std::string_view kWanted = "a trust list, signed or encrypted file";
  DecodedFile decoded;
  {
    ASSIGN_OR_RETURN(std::string bytes, ReadBytes(path));
    decoded.bytes = std::make_shared<const std::string>(std::move(bytes));
  }
  absl::StatusOr<SignedFile> file = ReadSignedFile(AsBytes(*decoded.bytes));
  if (!file.ok()) return NoListIn(*decoded.bytes, path, kWanted, file.status());
  decoded.file = *std::move(file);
  if (decoded.file.header.version != kTrustListVersion) return decoded;
  absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(*decoded.bytes));
  if (!list.ok()) return NoListIn(*decoded.bytes, path, kWanted, list.status());
  decoded.records = std::move(list->records);
  return decoded;
}

absl::StatusOr<TrustList> ReadListFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadBytes(path));
  absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(bytes));
  if (list.ok()) return list;
  const absl::StatusOr<SignedFile> other = ReadSignedFile(AsBytes(bytes));
  if (other.ok() && other->header.version != kTrustListVersion) {
    return InvalidArgument("{} is a signed or encrypted file, not a trust list: `trustctl itl decode {}` shows it; {}",
                           path, path, kWhatListsAre);
  }
  return NoListIn(bytes, path, "a trust list", list.status());
}

absl::Status WithVerificationAdvice(const absl::Status& status, std::string_view path, std::string_view group) {
  if (status.ok()) return status;
  const auto advise = [&status](std::string_view step) {
    return absl::Status(status.code(), fmt::format("{}; {}", StatusMessage(status), step));
  };
  if (absl::IsDataLoss(status)) {
    return advise(
        fmt::format("`trustctl {0} diff {1} current` shows what differs from the published list, which "
                    "`trustctl {0} export` writes",
                    group, path));
  }
  return advise(
      fmt::format("`trustctl {0} decode {1}` shows whom it names as its signer, `trustctl {0} list` who signs "
                  "the published lists",
                  group, path));
}

}  // namespace trustline
