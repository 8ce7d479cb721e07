#include "cli/trustctl/trust_list_print.h"

#include <fmt/format.h>

#include "absl/time/time.h"
#include "cli/trustctl/escaping.h"
#include "cli/trustctl/trust_list_elements.h"
#include "cli/trustctl/trust_list_words.h"
#include "common/bytes/checksums.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kTabStop = 8;
constexpr size_t kLengthColumn = 24;
constexpr size_t kBytesInRow = 8;

// Those that are not printed as bytes.
enum class HeaderTag : uint8_t {
  kVersion = 1,
  kHeaderLength = 2,
  kSignerInfo = 3,
  kSignerName = 4,
  kSerial = 5,
  kIssuerName = 6,
  kSignatureInfo = 7,
  kDigest = 8,
  kSignatureAlgorithmInfo = 9,
  kSignatureAlgorithm = 10,
  kModulus = 11,
  kSignature = 12,
  kFileName = 14,
  kTimestamp = 15,
  kSignerVersion = 28,
};
enum class RecordTag : uint8_t {
  kRecordLength = 1,
  kDnsName = 2,
  kSubject = 3,
  kRole = 4,
  kIssuer = 5,
  kSerial = 6,
  kPublicKey = 7,
  kSignature = 8,
  kCertificate = 9,
  kIpAddress = 10,
  kCertificateHash = 11,
};

constexpr std::string_view kTableHead =
    "BYTEPOS TAG             LENGTH  VALUE\n"
    "------- ---             ------  -----\n";

// Blanks up to the next tab stop, at least up to `column`.
void PadTo(std::string& line, size_t column) {
  do {
    line.append(kTabStop - line.size() % kTabStop, ' ');
  } while (line.size() < column);
}

// "4       SIGNERNAME      56      CN=..."; nothing after the length when there is no value.
std::string Line(const NamedElement& element, std::string_view length, std::string_view value) {
  std::string line = std::to_string(element.place.tag);
  PadTo(line, 0);
  line += element.name;
  PadTo(line, kLengthColumn);
  line += length;
  if (!value.empty()) {
    PadTo(line, 0);
    line += value;
  }
  return line + "\n";
}

std::string Line(const NamedElement& element, std::string_view value) {
  return Line(element, std::to_string(element.place.length), value);
}

// What covers other elements has the length of its length in the column LENGTH, and what it covers as its value.
std::string CoveringLine(const NamedElement& element) {
  return Line(element, "2", std::to_string(element.place.length));
}

// "19 8F 07".
std::string BlankHex(ByteView bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{}{:02X}", text.empty() ? "" : " ", byte);
  return text;
}

std::string SignatureRows(ByteView signature) {
  std::string rows;
  for (size_t i = 0; i < signature.size(); ++i) {
    const bool begins = i % kBytesInRow == 0;
    const bool ends = i % kBytesInRow == kBytesInRow - 1 || i + 1 == signature.size();
    rows += fmt::format("{}{:x}{}", begins ? std::string(kLengthColumn, ' ') : "  ", signature[i], ends ? "\n" : "");
  }
  return rows;
}

std::string HeaderLine(const NamedElement& element, ByteView value) {
  switch (static_cast<HeaderTag>(element.place.tag)) {
    case HeaderTag::kVersion:
    case HeaderTag::kHeaderLength:  // they stand above the table
      return "";
    case HeaderTag::kSignerInfo:
    case HeaderTag::kSignatureInfo:
    case HeaderTag::kSignatureAlgorithmInfo:
      return CoveringLine(element);
    case HeaderTag::kSignerName:
    case HeaderTag::kSerial:
    case HeaderTag::kIssuerName:
    case HeaderTag::kSignerVersion:
      return Line(element, element.value);
    case HeaderTag::kSignature:
      return Line(element, "") + SignatureRows(value);
    case HeaderTag::kDigest:
    case HeaderTag::kSignatureAlgorithm:
    case HeaderTag::kModulus:
    case HeaderTag::kFileName:
    case HeaderTag::kTimestamp:
      return Line(element, "");
  }
  return Line(element, BlankHex(value));
}

std::string RecordLine(const NamedElement& element, ByteView value) {
  switch (static_cast<RecordTag>(element.place.tag)) {
    case RecordTag::kRecordLength:
    case RecordTag::kDnsName:
    case RecordTag::kSubject:
    case RecordTag::kRole:
    case RecordTag::kIssuer:
    case RecordTag::kSerial:
      return Line(element, element.value);
    case RecordTag::kPublicKey:
    case RecordTag::kSignature:
    case RecordTag::kIpAddress:
      return Line(element, "");
    case RecordTag::kCertificate:
      return Line(element, BlankHex(Sha1(value)) + " (SHA1 Hash HEX)");
    case RecordTag::kCertificateHash:
      return Line(element, BlankHex(value) + " (Certificate Hash HEX)");
  }
  return Line(element, BlankHex(value));
}

std::string RecordText(const TrustList& list, size_t index, std::string_view kind) {
  const TrustListRecord& record = list.records[index];
  std::string text = fmt::format("        {} Record #:{}\n                  ----\n{}", kind, index + 1, kTableHead);
  for (const NamedElement& element : RecordElements(record, list.file.whole)) {
    text += RecordLine(element, ValueOf(list.file.whole, element.place));
  }
  if (record.role() == CertificateRole::kSast) {
    const bool signed_it = record.certificate && NamesAsSigner(list.header(), *record.certificate);
    text += fmt::format("This etoken was {} to sign the {} file.\n", signed_it ? "used" : "not used", kind);
  }
  return text + "\n";
}

}  // namespace

std::string TrustListPrint(const TrustList& list, std::string_view kind, const absl::Status& verified) {
  const SignedFileHeader& header = list.header();
  const ByteView whole = list.file.whole;
  std::string text = fmt::format(
      "The checksum value of the {0} file:\n"
      "{1}(MD5)\n"
      "{2}(SHA1)\n"
      "\n"
      "Length of {0} file: {3}\n"
      "The {0} File was last modified on {4}\n"
      "\n"
      "        Parse {0} File\n"
      "        ----------------\n"
      "\n"
      "Version:        {5}\n"
      "HeaderLength:   {6} (BYTES)\n"
      "\n{7}",
      kind, ToHex(Md5(whole)), ToHex(Sha1(whole)), whole.size(),
      absl::FormatTime("%a %b %d %H:%M:%S UTC %E4Y", header.timestamp, absl::UTCTimeZone()),
      VersionText(header.version), header.header_length, kTableHead);
  for (const NamedElement& element : HeaderElements(list.file)) {
    text += HeaderLine(element, ValueOf(whole, element.place));
  }
  text += "\n";
  for (size_t i = 0; i < list.records.size(); ++i) text += RecordText(list, i, kind);
  if (verified.ok()) return text + fmt::format("The {} file was verified successfully.\n", kind);
  return text +
         fmt::format("The {} file could not be verified: {}\n", kind, EscapeForTerminal(StatusMessage(verified)));
}

}  // namespace trustline
