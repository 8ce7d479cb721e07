#include "cli/phone/list_holdings.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "common/service/text_file.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr mode_t kPublicFile = 0644;
constexpr size_t kMaxServerName = 1024;

std::string ListPath(const std::string& folder, PhoneListKind kind) {
  return fmt::format("{}/{}", folder, kind == PhoneListKind::kCtl ? "CTLFile.tlv" : "ITLFile.tlv");
}
// Where the list came from stands beside it.
std::string ServerPath(const std::string& list_path) { return list_path + ".server"; }

void CountKey(const Certificate& certificate, PhoneList& list) {
  EVP_PKEY* const key = X509_get0_pubkey(certificate.x509());
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) return;
  list.largest_rsa_bits = std::max(list.largest_rsa_bits, EVP_PKEY_get_bits(key));
}

std::shared_ptr<const PhoneList> ModelOf(const std::optional<HeldList>& held) {
  if (!held) return nullptr;
  const absl::StatusOr<Certificate> signer = VerifyTrustList(held->list);
  return std::make_shared<const PhoneList>(
      ModelOf(held->list, signer.ok() ? std::optional(signer->sha256()) : std::nullopt));
}

}  // namespace

std::string_view PhoneListName(PhoneListKind kind) { return kind == PhoneListKind::kCtl ? "CTL" : "ITL"; }

PhoneHoldings HeldLists::Holdings() const { return {.ctl = ModelOf(ctl), .itl = ModelOf(itl)}; }

PhoneList ModelOf(const TrustList& list, const std::optional<Sha256Digest>& signer) {
  PhoneList model{.signer = signer.value_or(Sha256Digest{}),
                  .digest = list.header().digest,
                  .signer_version = list.header().signer_version.value_or(kSignerVersion),
                  .size = list.bytes->size(),
                  .largest_rsa_bits = 0};
  for (const TrustListRecord& record : list.records) {
    const std::optional<CertificateRole> role = record.role();
    if (!role) continue;
    PhoneListRecord& kept = model.records.emplace_back();
    kept.role = *role;
    kept.blank = record.IsBlank();
    if (record.certificate) {
      kept.certificate = record.certificate->sha256();
      CountKey(*record.certificate, model);
    } else if (record.certificate_hash) {
      // Of whatever algorithm: a name that no certificate has.
      kept.certificate = Sha256(AsBytes(*record.certificate_hash));
    }
  }
  return model;
}

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
