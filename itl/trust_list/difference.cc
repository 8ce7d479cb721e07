#include "itl/trust_list/difference.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "common/bytes/bytes.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using Kind = ListDifference::Kind;

constexpr size_t kFingerprintDigits = 16;

std::string VersionText(const std::optional<FileVersion>& version) {
  return version ? fmt::format("{}.{}", version->major, version->minor) : "none";
}

std::string DigestText(DigestAlgorithm digest) { return digest == DigestAlgorithm::kSha1 ? "SHA-1" : "SHA-512"; }

std::string NameFormText(NameForm form) { return form == NameForm::kComma ? "comma" : "vendor"; }

std::string RoleName(const TrustListRecord& record) {
  const std::optional<CertificateRole> role = record.role();
  return role ? std::string(CertificateRoleName(*role)) : fmt::format("unknown role {}", record.role_code);
}

std::string AddressOf(const TrustListRecord& record) {
  const std::string dns_name = record.dns_name.value_or("");
  const std::string ip_address = record.ip_address.value_or("");
  return dns_name.empty() || ip_address.empty() ? dns_name + ip_address : dns_name + " " + ip_address;
}

// "CAPF CN=capf,O=Example 0123456789abcdef".
std::string RecordName(const TrustListRecord& record) {
  if (record.IsBlank()) {
    const std::string address = AddressOf(record);
    return fmt::format("{} (blank{}{})", RoleName(record), address.empty() ? "" : ", ", address);
  }
  const std::string fingerprint = record.certificate
                                      ? ToHex(record.certificate->sha256()).substr(0, kFingerprintDigits)
                                      : fmt::format("hash {}", ToHex(AsBytes(record.certificate_hash.value_or(""))));
  const std::string subject = record.certificate ? record.certificate->subject().ToText() : record.subject;
  return fmt::format("{} {} {}", RoleName(record), subject, fingerprint);
}

// A record may have an empty DNS name, which says no more than none.
bool SameAddress(const TrustListRecord& a, const TrustListRecord& b) {
  return a.dns_name.value_or("") == b.dns_name.value_or("") && a.ip_address.value_or("") == b.ip_address.value_or("");
}

bool SameCertificate(const TrustListRecord& a, const TrustListRecord& b) {
  return !a.IsBlank() && !b.IsBlank() && a.certificate == b.certificate && a.certificate_hash == b.certificate_hash &&
         a.hash_algorithm == b.hash_algorithm;
}

bool SameRole(const TrustListRecord& a, const TrustListRecord& b) { return a.role_code == b.role_code; }

bool SameSubject(const TrustListRecord& a, const TrustListRecord& b) {
  if (a.certificate && b.certificate) return a.certificate->subject().key() == b.certificate->subject().key();
  return !a.subject.empty() && a.subject == b.subject;
}

bool Same(const TrustListRecord& a, const TrustListRecord& b) {
  const bool same_content = a.IsBlank() ? b.IsBlank() : SameCertificate(a, b);
  return same_content && SameRole(a, b) && SameAddress(a, b);
}

using Records = std::vector<const TrustListRecord*>;
using Alike = std::function<bool(const TrustListRecord& before, const TrustListRecord& after)>;

Records PointersTo(const std::vector<TrustListRecord>& records) {
  Records pointers;
  for (const TrustListRecord& record : records) pointers.push_back(&record);
  return pointers;
}

// Takes pairs that are alike out of both, each record once, in the order of `after`.
std::vector<std::pair<const TrustListRecord*, const TrustListRecord*>> TakePairs(Records& before, Records& after,
                                                                                 const Alike& alike) {
  std::vector<std::pair<const TrustListRecord*, const TrustListRecord*>> pairs;
  std::erase_if(after, [&](const TrustListRecord* record) {
    const auto found =
        std::ranges::find_if(before, [&](const TrustListRecord* other) { return alike(*other, *record); });
    if (found == before.end()) return false;
    pairs.emplace_back(*found, record);
    before.erase(found);
    return true;
  });
  return pairs;
}

std::string ExtraText(const std::vector<ExtraTlv>& extra) {
  std::string text;
  for (const ExtraTlv& element : extra) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", element.tag, ToHex(AsBytes(element.value)));
  }
  return text.empty() ? "none" : text;
}

void AddRecordDifferences(const TrustList& before, const TrustList& after, std::vector<ListDifference>& differences) {
  Records old_records = PointersTo(before.records);
  Records new_records = PointersTo(after.records);
  const bool same_order = std::ranges::equal(before.records, after.records, Same);
  for (const auto& [was, is] : TakePairs(old_records, new_records, Same)) {
    if (was->extra == is->extra) continue;
    differences.push_back({Kind::kElements, fmt::format("{}: {}", RecordName(*was), ExtraText(was->extra)),
                           fmt::format("{}: {}", RecordName(*is), ExtraText(is->extra))});
  }
  const bool only_order = old_records.empty() && new_records.empty();
  // The closest likeness first.
  const std::pair<Kind, Alike> likenesses[] = {
      {Kind::kAddress, [](const auto& was, const auto& is) { return SameCertificate(was, is) && SameRole(was, is); }},
      {Kind::kBlanked,
       [](const auto& was, const auto& is) {
         return !was.IsBlank() && is.IsBlank() && SameRole(was, is) && SameAddress(was, is);
       }},
      {Kind::kUnblanked,
       [](const auto& was, const auto& is) {
         return was.IsBlank() && !is.IsBlank() && SameRole(was, is) && SameAddress(was, is);
       }},
      {Kind::kBlanked,
       [](const auto& was, const auto& is) { return !was.IsBlank() && is.IsBlank() && SameRole(was, is); }},
      {Kind::kUnblanked,
       [](const auto& was, const auto& is) { return was.IsBlank() && !is.IsBlank() && SameRole(was, is); }},
      {Kind::kRole, SameCertificate},
      {Kind::kRenewed, [](const auto& was, const auto& is) { return SameSubject(was, is) && SameRole(was, is); }},
  };
  for (const auto& [kind, alike] : likenesses) {
    for (const auto& [was, is] : TakePairs(old_records, new_records, alike)) {
      const bool with_address = kind == Kind::kAddress;
      differences.push_back({kind, RecordName(*was) + (with_address ? " " + AddressOf(*was) : ""),
                             RecordName(*is) + (with_address ? " " + AddressOf(*is) : "")});
    }
  }
  for (const TrustListRecord* record : new_records) differences.push_back({Kind::kAdded, "", RecordName(*record)});
  for (const TrustListRecord* record : old_records) differences.push_back({Kind::kRemoved, RecordName(*record), ""});
  if (only_order && !same_order) differences.push_back({Kind::kOrder, "", "the same records in another order"});
}

// The SAST record that the header names; else the names in the header alone.
std::string SignerName(const TrustList& list) {
  for (const TrustListRecord& record : list.records) {
    if (record.role() == CertificateRole::kSast && record.certificate &&
        NamesAsSigner(list.header(), *record.certificate)) {
      return fmt::format("{} {}", record.certificate->subject().ToText(),
                         ToHex(record.certificate->sha256()).substr(0, kFingerprintDigits));
    }
  }
  return fmt::format("{} serial {}, which is no SAST record", list.header().signer_name,
                     ToHex(AsBytes(list.header().serial)));
}

}  // namespace

std::string_view DifferenceWord(ListDifference::Kind kind) {
  switch (kind) {
    case Kind::kAdded:
      return "added";
    case Kind::kRemoved:
      return "removed";
    case Kind::kRenewed:
      return "renewed";
    case Kind::kRole:
      return "role";
    case Kind::kAddress:
      return "address";
    case Kind::kBlanked:
      return "blanked";
    case Kind::kUnblanked:
      return "unblanked";
    case Kind::kOrder:
      return "order";
    case Kind::kElements:
      return "elements";
    case Kind::kSigner:
      return "signer";
    case Kind::kDigest:
      return "digest";
    case Kind::kVersion:
      return "signer-version";
    case Kind::kFileName:
      return "file-name";
    case Kind::kNameForm:
      return "name-form";
  }
  return "";
}

std::string DifferenceText(const ListDifference& difference) {
  const bool both = !difference.before.empty() && !difference.after.empty();
  return fmt::format("{}: {}{}{}", DifferenceWord(difference.kind), difference.before, both ? " -> " : "",
                     difference.after);
}

std::vector<ListDifference> DifferencesOf(const TrustList& before, const TrustList& after) {
  std::vector<ListDifference> differences;
  AddRecordDifferences(before, after, differences);
  const auto add = [&differences](Kind kind, std::string was, std::string is) {
    if (was != is) differences.push_back({kind, std::move(was), std::move(is)});
  };
  const SignedFileHeader& was = before.header();
  const SignedFileHeader& is = after.header();
  add(Kind::kSigner, SignerName(before), SignerName(after));
  add(Kind::kDigest, DigestText(was.digest), DigestText(is.digest));
  add(Kind::kVersion, VersionText(was.signer_version), VersionText(is.signer_version));
  add(Kind::kFileName, was.file_name, is.file_name);
  add(Kind::kNameForm, NameFormText(was.name_form), NameFormText(is.name_form));
  add(Kind::kElements, ExtraText(was.extra), ExtraText(is.extra));
  return differences;
}

}  // namespace trustline
