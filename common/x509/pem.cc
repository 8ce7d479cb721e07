#include "common/x509/pem.h"

#include <openssl/evp.h>

#include "common/status/status.h"

namespace trustline {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";
// "TRUSTED CERTIFICATE", "ENCRYPTED PRIVATE KEY": real labels are shorter.
constexpr size_t kMaxLabelSize = 64;

// The offset of `boundary` at the start of a line.
size_t FindAtLineStart(std::string_view text, std::string_view boundary) {
  for (size_t at = text.find(boundary); at != std::string_view::npos; at = text.find(boundary, at + 1)) {
    if (at == 0 || text[at - 1] == '\n' || text[at - 1] == '\r') return at;
    // A UTF-8 byte order mark, as Windows editors put it before the first line.
    if (at == 3 && text.substr(0, 3) == "\xef\xbb\xbf") return at;
  }
  return std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::optional<PemBlock>> PemReader::Next() {
  const size_t begin = FindAtLineStart(rest_, kBegin);
  if (begin == std::string_view::npos) {
    rest_ = {};
    return std::nullopt;
  }
  const std::string_view from_begin = rest_.substr(begin);
  PemBlock block;
  block.number = ++count_;
  const size_t label_end = from_begin.substr(0, kBegin.size() + kMaxLabelSize).find(kDashes, kBegin.size());
  if (label_end == std::string_view::npos)
    return InvalidArgument("PEM block {} has a damaged BEGIN line", block.number);
  block.label = from_begin.substr(kBegin.size(), label_end - kBegin.size());

  const std::string_view after_label = from_begin.substr(label_end + kDashes.size());
  const size_t end = FindAtLineStart(after_label, kDashes);
  const std::string end_line = fmt::format("{}{}{}", kEnd, block.label, kDashes);
  if (end == std::string_view::npos || after_label.substr(end, end_line.size()) != end_line) {
    return InvalidArgument("PEM block {} ({}) has no END line: the file is cut short or damaged", block.number,
                           block.label);
  }
  block.body = after_label.substr(0, end);
  block.whole = from_begin.substr(0, label_end + kDashes.size() + end + end_line.size());
  rest_ = after_label.substr(end + end_line.size());
  return block;
}

bool LooksLikePem(std::string_view text) { return FindAtLineStart(text, kBegin) != std::string_view::npos; }

bool IsCertificateLabel(std::string_view label) { return label == "CERTIFICATE" || label == "X509 CERTIFICATE"; }

absl::StatusOr<std::string> DecodePemBody(std::string_view body) {
  std::string base64;
  base64.reserve(body.size());
  for (const char c : body) {
    if (c == '\n' || c == '\r' || c == ' ' || c == '\t') continue;
    base64.push_back(c);
  }
  if (base64.empty() || base64.size() % 4 != 0) {
    return InvalidArgument("{} base64 characters are not a whole number of groups of four", base64.size());
  }
  // EVP_DecodeBlock counts padding as data and lets it stand anywhere.
  const size_t padding = base64.ends_with("==") ? 2 : base64.ends_with('=') ? 1 : 0;
  if (base64.find('=') < base64.size() - padding) return InvalidArgument("base64 padding in the middle");
  std::string bytes(base64.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(base64.data()), static_cast<int>(base64.size()));
  if (size != static_cast<int>(bytes.size())) return InvalidArgument("not base64");
  bytes.erase(bytes.size() - padding);
  return bytes;
}

std::string EncodePem(std::string_view label, std::string_view bytes) {
  constexpr size_t kBytesPerLine = 48;  // 64 characters
  std::string text = fmt::format("{}{}{}\n", kBegin, label, kDashes);
  unsigned char line[kBytesPerLine / 3 * 4 + 1];
  for (size_t at = 0; at < bytes.size(); at += kBytesPerLine) {
    const std::string_view part = bytes.substr(at, kBytesPerLine);
    const int size =
        EVP_EncodeBlock(line, reinterpret_cast<const unsigned char*>(part.data()), static_cast<int>(part.size()));
    text.append(reinterpret_cast<const char*>(line), static_cast<size_t>(size));
    text.push_back('\n');
  }
  return text + fmt::format("{}{}{}\n", kEnd, label, kDashes);
}

}  // namespace trustline
