#include "cli/trustctl/trust_list_records.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/trustctl/escaping.h"
#include "cli/trustctl/preflight_print.h"
#include "cli/trustctl/trust_list_elements.h"
#include "cli/trustctl/trust_list_words.h"
#include "cli/trustctl/trust_records.h"
#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "common/bytes/sha256.h"
#include "common/status/status.h"

namespace trustline {
namespace {

std::vector<std::string> ExtraTexts(const std::vector<ExtraTlv>& extra) {
  std::vector<std::string> texts;
  for (const ExtraTlv& element : extra) {
    texts.push_back(fmt::format("{}:{}", element.tag, ToHex(AsBytes(element.value))));
  }
  return texts;
}

Cell HexCell(const std::optional<std::string>& bytes) { return bytes ? Cell(ToHex(AsBytes(*bytes))) : Cell(); }

std::vector<Column> ListedColumns() {
  return {{"record", "RECORD"},
          {"role", "ROLE"},
          {"role_code", "CODE", false},
          {"subject", "SUBJECT"},
          {"issuer", "ISSUER"},
          {"serial", "SERIAL"},
          {"dns_name", "DNS NAME"},
          {"ip_address", "IP ADDRESS"},
          {"blank", "BLANK"},
          {"is_signer", "SIGNER"},
          {"record_length", "LENGTH"},
          {"certificate_sha256", "FINGERPRINT"},
          {"certificate_sha1", "SHA1", false},
          {"public_key", "KEY"},
          {"not_before", "VALID FROM"},
          {"not_after", "EXPIRES"},
          {"is_ca", "CA"},
          {"certificate_hash", "HASH"},
          {"hash_algorithm", "HASH ALGORITHM"},
          {"record_elements", "UNKNOWN ELEMENTS"}};
}

Row ListedRow(const TrustList& list, size_t index) {
  const TrustListRecord& record = list.records[index];
  const std::optional<CertificateRole> role = record.role();
  const std::optional<Certificate>& certificate = record.certificate;
  const auto of_certificate = [&certificate](auto cell_of) { return certificate ? cell_of(*certificate) : Cell(); };
  return {
      static_cast<int64_t>(index + 1),
      role ? Cell(std::string(CertificateRoleName(*role))) : Cell(),
      int64_t{record.role_code},
      TextCell(record.subject),
      TextCell(record.issuer),
      TextCell(ToHex(AsBytes(record.serial))),
      record.dns_name ? Cell(*record.dns_name) : Cell(),
      record.ip_address ? Cell(*record.ip_address) : Cell(),
      record.IsBlank(),
      role == CertificateRole::kSast && certificate && NamesAsSigner(list.header(), *certificate),
      int64_t{record.record_length},
      of_certificate([](const Certificate& known) { return Cell(Fingerprint{std::string(AsText(known.sha256()))}); }),
      of_certificate([](const Certificate& known) { return Cell(ToHex(Sha1(known.der()))); }),
      of_certificate([](const Certificate& known) { return Cell(known.public_key_kind()); }),
      of_certificate([](const Certificate& known) { return Cell(known.not_before()); }),
      of_certificate([](const Certificate& known) { return Cell(known.not_after()); }),
      of_certificate([](const Certificate& known) { return Cell(known.is_ca()); }),
      HexCell(record.certificate_hash),
      HexCell(record.hash_algorithm),
      ExtraTexts(record.extra)};
}

std::vector<Column> OutcomeColumns() {
  return {{"kind", "KIND"},       {"file_name", "FILE"},        {"tftp_server", "TFTP SERVER"},
          {"device", "DEVICE"},   {"outcome", "OUTCOME"},       {"generation", "GENERATION"},
          {"sha1", "SHA1"},       {"sha256", "SHA256"},         {"size", "SIZE"},
          {"records", "RECORDS"}, {"outcome_reason", "REASON"}, {"changes", "CHANGES"}};
}

bool IsHeldBack(const v1::PublishResponse::List& outcome) {
  return outcome.outcome() == v1::PublishResponse::OUTCOME_WAITS ||
         outcome.outcome() == v1::PublishResponse::OUTCOME_REFUSED;
}

// Of a list that is as it was, what an earlier candidate would change is not this outcome's.
std::vector<std::string> ChangesOf(const v1::PublishResponse::List& outcome) {
  const auto& changes = IsHeldBack(outcome) ? outcome.list().candidate().changes() : outcome.changes();
  return {changes.begin(), changes.end()};
}

Row OutcomeRow(const v1::PublishResponse::List& outcome) {
  const v1::TrustListInfo& list = outcome.list();
  const v1::Generation& current = list.current();
  const bool published = list.has_current();
  return {WordCell(kTrustListKinds, list.kind()),
          list.file_name(),
          TextCell(list.tftp_server()),
          TextCell(list.device()),
          WordCell(kOutcomes, outcome.outcome()),
          published ? Cell(current.number()) : Cell(),
          published ? Cell(Fingerprint{current.sha1()}) : Cell(),
          published ? Cell(Fingerprint{current.sha256()}) : Cell(),
          published ? Cell(current.size()) : Cell(),
          published ? Cell(int64_t{current.records()}) : Cell(),
          IsHeldBack(outcome) ? TextCell(list.candidate().reason()) : Cell(),
          ChangesOf(outcome)};
}

std::string OutcomeText(const v1::PublishResponse::List& outcome) {
  const v1::TrustListInfo& list = outcome.list();
  switch (outcome.outcome()) {
    case v1::PublishResponse::OUTCOME_UNCHANGED:
      return fmt::format("{} hash not changed", WordFor(kTrustListKinds, list.kind()));
    case v1::PublishResponse::OUTCOME_PUBLISHED:
      return fmt::format("generation {} published", list.current().number());
    case v1::PublishResponse::OUTCOME_WAITS:
      return fmt::format("waits: {}", list.candidate().reason());
    case v1::PublishResponse::OUTCOME_REFUSED:
      return fmt::format("refused: {}", list.candidate().reason());
    default:
      return WordFor(kOutcomes, outcome.outcome());
  }
}

}  // namespace

Cell TextCell(const std::string& text) { return text.empty() ? Cell() : Cell(text); }

Record TrustListRecordOf(const TrustList& list, const absl::Status& verified, Record of) {
  const SignedFileHeader& header = list.header();
  const ByteView whole = list.file.whole;
  Record record = std::move(of);
  record.Add("md5", "MD5", TextCell(ToHex(Md5(whole))))
      .Add("sha1", "SHA1", TextCell(ToHex(Sha1(whole))))
      .Add("sha256", "SHA256", ToHex(Sha256(whole)))
      .Add("size", "Size", static_cast<int64_t>(whole.size()))
      .Add("version", "Version", VersionText(header.version))
      .Add("header_length", "Header length", int64_t{header.header_length})
      .Add("signer_version", "Signer version",
           header.signer_version ? Cell(VersionText(*header.signer_version)) : Cell())
      .Add("signer_name", "Signer", header.signer_name)
      .Add("issuer_name", "Issuer of the signer", header.issuer_name)
      .Add("signer_serial", "Serial of the signer", ToHex(AsBytes(header.serial)))
      .Add("digest", "Digest", DigestText(header.digest))
      .Add("signature_algorithm", "Signature algorithm", int64_t{header.signature_algorithm})
      .Add("modulus_bits", "Modulus", int64_t{header.modulus_bits})
      .Add("signature", "Signature", ToHex(header.signature))
      .Add("file_name", "File name", header.file_name)
      .Add("timestamp", "Timestamp", header.timestamp)
      .Add("names", "Form of names", NameFormText(header.name_form))
      .Add("header_elements", "Unknown elements", ExtraTexts(header.extra))
      .Add("verified", "Verified", verified.ok())
      .Add("verification_reason", "Reason", TextCell(std::string(StatusMessage(verified))));
  record.list = {"records", ListedColumns(), {}};
  for (size_t i = 0; i < list.records.size(); ++i) record.list->rows.push_back(ListedRow(list, i));
  return record;
}

std::vector<Column> GenerationColumns(bool with_lists) {
  return {{"generation", "GENERATION"},
          {"is_current", "CURRENT"},
          {"tftp_server", "TFTP SERVER", with_lists},
          {"device", "DEVICE", with_lists},
          {"published_at", "PUBLISHED"},
          {"published_by", "BY"},
          {"reason", "REASON"},
          {"sha1", "SHA1"},
          {"size", "SIZE"},
          {"records", "RECORDS"},
          {"kind", "KIND", false},
          {"digest", "DIGEST", false},
          {"signer_version", "SIGNER VERSION", false},
          {"md5", "MD5", false},
          {"sha256", "SHA256", false},
          {"signer_sha256", "SIGNER", false}};
}

Row GenerationRow(const v1::Generation& generation) {
  return {generation.number(),
          generation.is_current(),
          TextCell(generation.tftp_server()),
          TextCell(generation.device()),
          TimestampCell(generation.published_at()),
          TextCell(generation.published_by()),
          TextCell(generation.reason()),
          Fingerprint{generation.sha1()},
          generation.size(),
          int64_t{generation.records()},
          WordCell(kTrustListKinds, generation.kind()),
          WordCell(kListDigests, generation.digest()),
          WordCell(kSignerVersions, generation.signer_version()),
          Fingerprint{generation.md5()},
          Fingerprint{generation.sha256()},
          Fingerprint{generation.signer_sha256()}};
}

Record SettingsRecord(const v1::TrustListPolicy& policy) {
  return Record()
      .Add("tftp_role", "Role of TFTP servers", RoleCell(policy.tftp_role()))
      .Add("recovery_years", "ITLRecovery is made for (years)", int64_t{policy.recovery_years()})
      .Add("digest", "Digest", WordCell(kListDigests, policy.digest()))
      .Add("signer_version", "Signer version", WordCell(kSignerVersions, policy.signer_version()))
      .Add("names", "Form of names", policy.vendor_names() ? "vendor" : "comma")
      .Add("organization", "Organization", TextCell(policy.organization()))
      .Add("organizational_unit", "Organizational unit", TextCell(policy.organizational_unit()));
}

void WriteNotices(Environment& environment, const Notices& notices) {
  if (environment.options().output != OutputFormat::kTable) return;
  environment.out().flush();
  for (const std::string& notice : notices) {
    environment.err() << "notice: " << EscapeForTerminal(notice) << std::endl;
  }
}

Cell NoticesCell(const Notices& notices) { return std::vector<std::string>(notices.begin(), notices.end()); }

void WriteOutcomes(Environment& environment, const v1::PublishResponse& response, Record record) {
  if (environment.options().output != OutputFormat::kTable) {
    record.Add("notices", "Notices", NoticesCell(response.notices()));
    AddPreFlight(record, environment.options().output, response.has_preflight() ? &response.preflight() : nullptr);
    record.list = {"lists", OutcomeColumns(), {}};
    for (const v1::PublishResponse::List& outcome : response.lists()) record.list->rows.push_back(OutcomeRow(outcome));
    WriteRecord(environment.out(), environment.options().output, record);
    return;
  }
  for (const v1::PublishResponse::List& outcome : response.lists()) {
    environment.out() << EscapeForTerminal(fmt::format("{}: {}", ListText(outcome.list()), OutcomeText(outcome)))
                      << "\n";
    for (const std::string& change : ChangesOf(outcome)) {
      environment.out() << "  " << EscapeForTerminal(change) << "\n";
    }
  }
  if (response.lists().empty()) environment.out() << "(no lists)\n";
  WritePreFlightLine(environment, response.preflight());
  WriteNotices(environment, response.notices());
}

int OutcomeExit(const v1::PublishResponse& response, bool may_wait) {
  const bool missed = std::ranges::any_of(response.lists(), [may_wait](const v1::PublishResponse::List& list) {
    return list.outcome() == v1::PublishResponse::OUTCOME_REFUSED ||
           (!may_wait && list.outcome() == v1::PublishResponse::OUTCOME_WAITS);
  });
  return missed ? kExitFailure : kExitSuccess;
}

std::string ListText(const v1::TrustListInfo& list) {
  const std::string name = list.file_name().empty() ? WordFor(kTrustListKinds, list.kind()) : list.file_name();
  return list.tftp_server().empty() ? name : fmt::format("{} of {}", name, list.tftp_server());
}

}  // namespace trustline
