#include "itl/list/list_content.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/public_key.h"
#include "itl/trust_list/reader.h"

namespace trustline {
namespace {

constexpr size_t kMostSasts = 2;
constexpr int kLargestKeyBits = 2048;
constexpr size_t kNamedRecords = 10;
constexpr char kRenewOwn[] =
    "make a new one (a TFTP server's: `trustctl itl server remove NAME`, then `add` it again; ITLRecovery's: `trustctl "
    "itl recovery regenerate`)";

// "CN=a (1a2b3c4d5e6f7081)": what an administrator gives to trustctl.
std::string CertificateText(const Certificate& certificate) {
  return fmt::format("{} ({})", certificate.subject().ToText(), ToHex(certificate.sha256()).substr(0, 16));
}

std::string Unlist(const Certificate& certificate) {
  return fmt::format("`trustctl trust set {} --unlisted`", ToHex(certificate.sha256()).substr(0, 16));
}

bool IsServerRole(CertificateRole role) {
  return role == CertificateRole::kTftp || role == CertificateRole::kCcmTftp || role == CertificateRole::kCcm;
}

// What phones can also ask TVS about, so that the record may go.
bool IsSpareable(CertificateRole role) {
  return role == CertificateRole::kCapf || role == CertificateRole::kAppServer || role == CertificateRole::kCcm;
}

absl::Status CheckSize(const ListContent& content, size_t size) {
  if (size <= kMaxTrustListSize) return absl::OkStatus();
  const size_t too_much = size - kMaxTrustListSize;
  std::vector<const ListRecord*> spareable;
  for (const ListRecord& listed : content.listed) {
    if (IsSpareable(listed.role) && !listed.is_own) spareable.push_back(&listed);
  }
  // Phones enrol with the CAPF that their list names: others first. The largest of them are the fewest.
  std::stable_sort(spareable.begin(), spareable.end(), [](const ListRecord* a, const ListRecord* b) {
    const bool a_is_capf = a->role == CertificateRole::kCapf;
    return a_is_capf != (b->role == CertificateRole::kCapf) ? !a_is_capf : a->size > b->size;
  });
  std::vector<std::string> names;
  size_t count = 0;
  for (size_t taken = 0; taken < too_much && count < spareable.size(); ++count) {
    const ListRecord& listed = *spareable[count];
    taken += listed.size;
    if (count >= kNamedRecords) continue;
    names.push_back(fmt::format("{} {} with {} bytes, by {}", CertificateRoleName(listed.role),
                                listed.certificate.subject().ToText(), listed.size, Unlist(listed.certificate)));
  }
  if (count > kNamedRecords) names.push_back(fmt::format("{} more of them", count - kNamedRecords));
  return FailedPrecondition(
      "the list would have {} bytes with {} records, and phones read at most {}: take {} bytes out. TVS can vouch for "
      "{}",
      size, content.count, kMaxTrustListSize, too_much,
      names.empty() ? "certificates of TFTP servers and TVS nodes that are not in use any more; unlist those"
                    : absl::StrJoin(names, "; for "));
}

absl::Status CheckNoneTwice(const ListContent& content) {
  std::set<std::pair<CertificateRole, Sha256Digest>> seen;
  for (const ListRecord& listed : content.listed) {
    if (seen.emplace(listed.role, listed.certificate.sha256()).second) continue;
    return FailedPrecondition(
        "{} would stand twice in the list with role {}: itld lists its own certificates by itself, so unlist the entry "
        "of the trust store ({})",
        CertificateText(listed.certificate), CertificateRoleName(listed.role), Unlist(listed.certificate));
  }
  return absl::OkStatus();
}

absl::Status CheckSigners(const ListContent& content) {
  std::vector<std::string> sasts, added;
  bool signer_is_listed = false;
  for (const ListRecord& listed : content.listed) {
    if (listed.role != CertificateRole::kSast) continue;
    sasts.push_back(CertificateText(listed.certificate));
    if (!listed.is_own) added.push_back(Unlist(listed.certificate));
    signer_is_listed = signer_is_listed || listed.certificate == content.signer;
  }
  if (sasts.size() > kMostSasts) {
    return FailedPrecondition(
        "the list would have {} SAST records, and phones accept no more than {}: {}. Unlist what was added: {}",
        sasts.size(), kMostSasts, absl::StrJoin(sasts, "; "), absl::StrJoin(added, ", "));
  }
  if (!signer_is_listed) {
    return FailedPrecondition(
        "the signer {} has no SAST record in the list, so that no phone could verify the next one; its SAST records "
        "are "
        "{}",
        CertificateText(content.signer), absl::StrJoin(sasts, "; "));
  }
  return absl::OkStatus();
}

absl::Status CheckKey(const ListRecord& listed) {
  EVP_PKEY* const key = X509_get0_pubkey(listed.certificate.x509());
  const std::string kind = listed.certificate.public_key_kind();
  if (kind.starts_with("EC ") && !CheckKeyStrength(key).ok()) {
    return FailedPrecondition(
        "the key of {} is {}, and phones know secp256r1, secp384r1 and secp521r1: unlist it ({}) and leave it to TVS",
        CertificateText(listed.certificate), kind, Unlist(listed.certificate));
  }
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) return absl::OkStatus();
  const int bits = EVP_PKEY_get_bits(key);
  if (bits <= kLargestKeyBits) return absl::OkStatus();
  return FailedPrecondition(
      "the key of {} has {} bits, and phones read trust lists with keys of at most {}: unlist it ({}) and leave it to "
      "TVS, or use a certificate with an RSA 2048 key",
      CertificateText(listed.certificate), bits, kLargestKeyBits, Unlist(listed.certificate));
}

}  // namespace

std::string_view ListKindName(ListKind kind) { return kind == ListKind::kItl ? "ITL" : "CTL"; }

std::string ListFileName(ListKind kind, std::string_view device) {
  return device.empty() ? fmt::format("{}File.tlv", ListKindName(kind))
                        : fmt::format("{}{}.tlv", ListKindName(kind), device);
}

ListComposer::ListComposer(ListMaterial material) : material_(std::move(material)) {
  // One that cannot stand in a list is the matter of those that would have it.
  for (const ListedEntry& entry : material_.listed) listed_records_.push_back(RecordOf(entry));
}

absl::StatusOr<std::string> ListComposer::RecordOf(const ListedEntry& entry) const {
  if (IsBlanked(entry.role)) return WriteBlankRecord(entry.role, "", "");
  absl::StatusOr<std::string> record =
      WriteRecord({.certificate = entry.certificate, .role = entry.role, .dns_name = "", .ip_address = ""},
                  material_.policy.name_form);
  if (record.ok()) return record;
  return FailedPrecondition("{} cannot stand in a trust list: {}. Unlist it: {}", CertificateText(entry.certificate),
                            record.status().message(), Unlist(entry.certificate));
}

bool ListComposer::IsBlanked(CertificateRole role) const {
  return material_.policy.blank && (role == CertificateRole::kTvs || IsServerRole(role));
}

absl::Status ListComposer::Append(const ListedCertificate& listed, ListContent& content) const {
  ASSIGN_OR_RETURN(const std::string record, IsBlanked(listed.role)
                                                 ? WriteBlankRecord(listed.role, listed.dns_name, listed.ip_address)
                                                 : WriteRecord(listed, material_.policy.name_form));
  content.records += record;
  content.listed.push_back({listed.certificate, listed.role, IsBlanked(listed.role), listed.dns_name, /*is_own=*/true});
  ++content.count;
  return absl::OkStatus();
}

absl::StatusOr<ListContent> ListComposer::Compose(const ListForm& form) const {
  const ListPolicy& policy = material_.policy;
  const TftpServerCertificate* own = nullptr;
  for (const TftpServerCertificate& server : material_.servers) {
    if (server.server == form.tftp_server) own = &server;
  }
  const bool is_itl = form.kind == ListKind::kItl;
  if (is_itl && own == nullptr) {
    return NotFound("no TFTP server {} is there: `trustctl itl server list` shows them", form.tftp_server);
  }

  // 1. Those whose keys itld holds.
  ListContent content{.form = {.signer_version = form.signer_version.value_or(policy.signer_version),
                               .digest = form.digest.value_or(policy.digest),
                               .name_form = policy.name_form,
                               // A device's own list says the name of the common one.
                               .file_name = ListFileName(form.kind, "")},
                      .signer = form.local_signer && own != nullptr ? own->call_manager : material_.recovery};
  const auto append = [&](const Certificate& certificate, CertificateRole role, const std::string& host) {
    // The vendor's form has a DNS name in each record.
    const std::string dns_name = policy.name_form == NameForm::kVendor ? host : "";
    return Append({.certificate = certificate, .role = role, .dns_name = dns_name, .ip_address = ""}, content);
  };
  RETURN_IF_ERROR(append(material_.recovery, CertificateRole::kSast, ""));
  const std::optional<Certificate>& other_recovery = material_.overlapping_recovery;
  if (other_recovery) RETURN_IF_ERROR(append(*other_recovery, CertificateRole::kSast, ""));
  for (const TftpServerCertificate& server : material_.servers) {
    if (is_itl ? &server != own : !policy.mixed_mode) continue;
    RETURN_IF_ERROR(append(server.call_manager, policy.tftp_role, server.host));
    if (is_itl && !other_recovery) RETURN_IF_ERROR(append(server.call_manager, CertificateRole::kSast, server.host));
    if (server.overlapping) RETURN_IF_ERROR(append(*server.overlapping, policy.tftp_role, server.host));
  }

  // 2. Those of the trust store. Phones look for TVS in the ITL only.
  for (size_t i = 0; i < material_.listed.size(); ++i) {
    const ListedEntry& entry = material_.listed[i];
    if (!is_itl &&
        (entry.role == CertificateRole::kTvs || (!policy.mixed_mode && entry.role != CertificateRole::kCapf))) {
      continue;
    }
    RETURN_IF_ERROR(listed_records_[i].status());
    content.records += *listed_records_[i];
    content.listed.push_back(
        {entry.certificate, entry.role, IsBlanked(entry.role), "", /*is_own=*/false, listed_records_[i]->size()});
    ++content.count;
  }
  const bool has_capf = std::any_of(content.listed.begin(), content.listed.end(),
                                    [](const ListRecord& record) { return record.role == CertificateRole::kCapf; });
  if (!is_itl && !policy.mixed_mode && !has_capf) {
    return FailedPrecondition(
        "a CTL without mixed mode says who the CAPF is, and no CAPF certificate is listed: list it first (`trustctl "
        "trust "
        "list --role CAPF`, `trustctl trust set FINGERPRINT --listed`)");
  }
  ASSIGN_OR_RETURN(content.digest, SignedFileContentDigest(content.form, content.signer, AsBytes(content.records)));
  return content;
}

std::vector<std::string> ListedWarnings(const Certificate& certificate, FileVersion signer_version, absl::Time now) {
  std::vector<std::string> warnings;
  EVP_PKEY* const key = X509_get0_pubkey(certificate.x509());
  if (certificate.not_after() < now) {
    warnings.push_back(fmt::format("{} has expired ({}); it stays in the lists that have it already",
                                   CertificateText(certificate), TimeTextSeconds(certificate.not_after())));
  }
  if (certificate.public_key_kind().starts_with("EC ") && signer_version == kSignerVersion) {
    warnings.push_back(fmt::format("{} has an EC key, which phones pass over in a list with signer version 1.0",
                                   CertificateText(certificate)));
  }
  if (key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) < kLargestKeyBits) {
    warnings.push_back(fmt::format("{} has an RSA key of {} bits; phones are known to take {}",
                                   CertificateText(certificate), EVP_PKEY_get_bits(key), kLargestKeyBits));
  }
  return warnings;
}

absl::Status CheckListContent(const ListContent& content, size_t size, const std::vector<Sha256Digest>& before,
                              absl::Time now, std::vector<std::string>& warnings) {
  RETURN_IF_ERROR(CheckSize(content, size));
  RETURN_IF_ERROR(CheckNoneTwice(content));
  RETURN_IF_ERROR(CheckSigners(content));
  for (const ListRecord& listed : content.listed) {
    if (listed.blank) continue;
    RETURN_IF_ERROR(CheckKey(listed));
    for (std::string& warning :
         ListedWarnings(listed.certificate, content.form.signer_version.value_or(kSignerVersion), now)) {
      warnings.push_back(std::move(warning));
    }
    if (listed.certificate.not_after() >= now) continue;
    if (std::find(before.begin(), before.end(), listed.certificate.sha256()) == before.end()) {
      return FailedPrecondition("{} has expired ({}) and would be new in the list: {}",
                                CertificateText(listed.certificate), TimeTextSeconds(listed.certificate.not_after()),
                                listed.is_own ? std::string(kRenewOwn)
                                              : fmt::format("renew it, or unlist it ({})", Unlist(listed.certificate)));
    }
  }
  return absl::OkStatus();
}

}  // namespace trustline
