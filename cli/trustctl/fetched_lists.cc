#include "cli/trustctl/fetched_lists.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "cli/trustctl/list_choice.h"
#include "cli/trustctl/list_fetch.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/status/status.h"

namespace trustline {
namespace {

struct ListFile {
  v1::TrustListKind kind;
  std::string_view name;
};
constexpr ListFile kListFiles[] = {{v1::TRUST_LIST_KIND_ITL, "ITLFile.tlv"}, {v1::TRUST_LIST_KIND_CTL, "CTLFile.tlv"}};

absl::StatusOr<FetchedList> ReadFetched(const ListSource& source, const ListFile& file, const std::string& bytes,
                                        const ListFetchOrder& order, std::vector<std::string>& notes) {
  const std::string url = source.Url(file.name);
  FetchedList fetched{.kind = file.kind, .host = absl::AsciiStrToLower(source.host)};
  ASSIGN_OR_RETURN(fetched.list, DecodeList(bytes, url));
  const absl::StatusOr<Certificate> signer = VerifyTrustList(fetched.list);
  fetched.verified = signer.status();
  fetched.signer = signer.ok() ? signer->subject().ToText() : fetched.list.header().signer_name;
  if (!signer.ok() && !order.unverified) {
    return Annotate(absl::Status(signer.status().code(),
                                 fmt::format("{}; fetch it once more, and when it stays so look at it (`trustctl {} "
                                             "decode`): --unverified keeps it all the same",
                                             StatusMessage(signer.status()), GroupName(file.kind))),
                    url);
  }
  if (bytes.size() > kMaxTrustListSize) {
    notes.push_back(fmt::format("{}: {} bytes are more than phones load ({})", url, bytes.size(), kMaxTrustListSize));
  }
  return fetched;
}

}  // namespace

std::string FetchedList::Name() const { return fmt::format("{} of {}", KindText(kind), host); }

std::string FetchedList::Sha1Text() const { return ToHex(Sha1(AsBytes(*list.bytes))); }

absl::StatusOr<std::vector<FetchedList>> FetchLists(const ListFetchOrder& order, std::vector<std::string>& notes) {
  std::vector<FetchedList> lists;
  for (const std::string& host : order.hosts) {
    const ListSource source = {.host = host, .http = order.http, .port = static_cast<uint16_t>(order.port.value_or(0))};
    const size_t before = lists.size();
    std::vector<std::string> missing;
    for (const ListFile& file : kListFiles) {
      const absl::StatusOr<std::string> bytes = FetchListFile(source, file.name);
      if (absl::IsNotFound(bytes.status())) {
        missing.push_back(fmt::format("{} has no {}", host, file.name));
        if (file.kind == v1::TRUST_LIST_KIND_CTL) missing.back() += ", so that its cluster is not in mixed mode";
        continue;
      }
      RETURN_IF_ERROR(bytes.status());
      ASSIGN_OR_RETURN(FetchedList fetched, ReadFetched(source, file, *bytes, order, notes));
      lists.push_back(std::move(fetched));
    }
    if (lists.size() == before) {
      return NotFound(
          "{} serves neither {} nor {}: name the host that the phones have as their TFTP server (option 150), or try "
          "{}",
          host, source.Url(kListFiles[0].name), kListFiles[1].name, order.http ? "without --http" : "--http");
    }
    notes.insert(notes.end(), missing.begin(), missing.end());
  }
  return lists;
}

}  // namespace trustline
