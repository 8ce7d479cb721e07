#include "cli/phone/list_holdings.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "common/service/text_file.h"
#include "common/status/status.h"
#include "itl/trust_list/phone_list.h"

namespace trustline {
namespace {

constexpr mode_t kPublicFile = 0644;
constexpr size_t kMaxServerName = 1024;

std::string ListPath(const std::string& folder, PhoneListKind kind) {
  return fmt::format("{}/{}", folder, kind == PhoneListKind::kCtl ? "CTLFile.tlv" : "ITLFile.tlv");
}
// Where the list came from stands beside it.
std::string ServerPath(const std::string& list_path) { return list_path + ".server"; }

std::shared_ptr<const PhoneList> ModelOf(const std::optional<HeldList>& held) {
  if (!held) return nullptr;
  const absl::StatusOr<Certificate> signer = VerifyTrustList(held->list);
  return std::make_shared<const PhoneList>(
      ToPhoneList(held->list, signer.ok() ? std::optional(signer->sha256()) : std::nullopt));
}

}  // namespace

std::string_view PhoneListName(PhoneListKind kind) { return kind == PhoneListKind::kCtl ? "CTL" : "ITL"; }

PhoneHoldings HeldLists::Holdings() const { return {.ctl = ModelOf(ctl), .itl = ModelOf(itl)}; }

absl::StatusOr<Certificate> FindSigner(const HeldLists& held, const TrustList& list) {
  for (const std::optional<HeldList>* own : {&held.ctl, &held.itl}) {
    if (!*own) continue;
    for (const TrustListRecord& record : (*own)->list.records) {
      if (record.role() != CertificateRole::kSast || !record.certificate) continue;
      if (!NamesAsSigner(list.header(), *record.certificate)) continue;
      if (VerifyTrustListWith(list, *record.certificate).ok()) return *record.certificate;
    }
  }
  return VerifyTrustList(list);
}

absl::StatusOr<HeldLists> ListFolder::Load() const {
  HeldLists held;
  ASSIGN_OR_RETURN(held.ctl, LoadOne(PhoneListKind::kCtl));
  ASSIGN_OR_RETURN(held.itl, LoadOne(PhoneListKind::kItl));
  return held;
}

absl::StatusOr<std::optional<HeldList>> ListFolder::LoadOne(PhoneListKind kind) const {
  const std::string path = ListPath(path_, kind);
  const absl::StatusOr<std::string> file = ReadTextFile(path, kMaxReadableTrustListSize);
  if (absl::IsNotFound(file.status())) return std::nullopt;
  RETURN_IF_ERROR(file.status());
  const absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(*file));
  if (!list.ok()) {
    return DataLoss("{} is no trust list: {}; without it the phone holds none", path, StatusMessage(list.status()));
  }
  const absl::StatusOr<std::string> server = ReadTextFile(ServerPath(path), kMaxServerName);
  if (!server.ok() && !absl::IsNotFound(server.status())) return server.status();
  return HeldList{.list = *list, .server = server.ok() ? *server : ""};
}

absl::Status ListFolder::Keep(PhoneListKind kind, const HeldList& list) const {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) return FailedPrecondition("{} cannot be made: {}", path_, error.message());
  const std::string path = ListPath(path_, kind);
  RETURN_IF_ERROR(WriteFileAtomically(path, *list.list.bytes, kPublicFile));
  return WriteFileAtomically(ServerPath(path), list.server, kPublicFile);
}

}  // namespace trustline
