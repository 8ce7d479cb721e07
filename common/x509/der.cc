#include "common/x509/der.h"

#include "common/bytes/reader.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// A certificate needs nine levels; names and extensions of the strangest kind a few more.
constexpr int kMaxNesting = 32;

constexpr uint8_t kClassMask = 0xc0;
constexpr uint8_t kConstructed = 0x20;
constexpr uint8_t kTagMask = 0x1f;

enum class UniversalTag : uint8_t { kBoolean = 1, kInteger = 2, kBitString = 3, kSequence = 16, kSet = 17 };

absl::StatusOr<size_t> ReadLength(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint8_t first, reader.ReadU8("length"));
  if (first < 0x80) return first;
  if (first == 0x80) return InvalidArgument("indefinite length");
  const int count = first & 0x7f;
  if (count > 4) return InvalidArgument("length of {} bytes", count);
  size_t length = 0;
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const uint8_t byte, reader.ReadU8("length"));
    if (i == 0 && byte == 0) return InvalidArgument("length with a leading zero byte");
    length = length << 8 | byte;
  }
  if (length < 0x80) return InvalidArgument("length {} in the long form", length);
  return length;
}

absl::Status CheckPrimitive(UniversalTag tag, ByteView value) {
  switch (tag) {
    case UniversalTag::kBoolean:
      if (value.size() != 1 || (value[0] != 0 && value[0] != 0xff)) return InvalidArgument("boolean is not 00 or ff");
      break;
    case UniversalTag::kInteger:
      if (value.empty()) return InvalidArgument("integer without bytes");
      if (value.size() > 1 && ((value[0] == 0 && value[1] < 0x80) || (value[0] == 0xff && value[1] >= 0x80))) {
        return InvalidArgument("integer with a byte too many");
      }
      break;
    case UniversalTag::kBitString:
      if (value.empty() || value[0] > 7 || (value.size() == 1 && value[0] != 0)) {
        return InvalidArgument("bit string with a wrong count of unused bits");
      }
      if ((value.back() & ((1 << value[0]) - 1)) != 0 && value.size() > 1) {
        return InvalidArgument("bit string with unused bits set");
      }
      break;
    default:
      break;
  }
  return absl::OkStatus();
}

absl::Status CheckValue(ByteReader& reader, int nesting) {
  if (nesting > kMaxNesting) return InvalidArgument("more than {} levels of nesting", kMaxNesting);
  ASSIGN_OR_RETURN(const uint8_t identifier, reader.ReadU8("tag"));
  const uint8_t tag = identifier & kTagMask;
  if (tag == kTagMask) return InvalidArgument("tag number above 30");
  ASSIGN_OR_RETURN(const size_t length, ReadLength(reader));
  ASSIGN_OR_RETURN(const ByteView value, reader.ReadBytes("value", length));

  const bool constructed = (identifier & kConstructed) != 0;
  if ((identifier & kClassMask) == 0) {
    const auto universal = static_cast<UniversalTag>(tag);
    const bool must_be_constructed = universal == UniversalTag::kSequence || universal == UniversalTag::kSet;
    if (constructed != must_be_constructed) return InvalidArgument("universal type {} in the wrong form", tag);
    if (!constructed) RETURN_IF_ERROR(CheckPrimitive(universal, value));
  }
  if (!constructed) return absl::OkStatus();
  ByteReader inner("DER", value);
  while (!inner.empty()) RETURN_IF_ERROR(CheckValue(inner, nesting + 1));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDer(ByteView bytes) {
  ByteReader reader("DER", bytes);
  RETURN_IF_ERROR(CheckValue(reader, 0));
  return reader.AssertDone();
}

absl::StatusOr<ByteView> DerReader::Read(std::string_view field, uint8_t identifier) {
  if (!NextIs(identifier)) {
    return InvalidArgument("{}: {} is {}", structure_, field,
                           rest_.empty() ? "missing" : fmt::format("{:02x} instead of {:02x}", rest_[0], identifier));
  }
  ByteReader reader(structure_, rest_.subspan(1));
  absl::StatusOr<size_t> length = ReadLength(reader);
  if (!length.ok()) return Annotate(length.status(), fmt::format("{}: {}", structure_, field));
  ASSIGN_OR_RETURN(const ByteView content, reader.ReadBytes(field, *length));
  rest_ = rest_.last(reader.remaining());
  return content;
}

absl::StatusOr<ByteView> DerReader::ReadWhole(std::string_view field, uint8_t identifier) {
  const ByteView before = rest_;
  RETURN_IF_ERROR(Read(field, identifier).status());
  return before.first(before.size() - rest_.size());
}

absl::Status DerReader::AssertDone() const {
  if (rest_.empty()) return absl::OkStatus();
  return InvalidArgument("{}: {} bytes are left over", structure_, rest_.size());
}

std::string EncodeDer(uint8_t identifier, ByteView content) {
  std::string value(1, static_cast<char>(identifier));
  const size_t size = content.size();
  if (size < 0x80) {
    value.push_back(static_cast<char>(size));
  } else {
    int bytes = 1;
    while (size >> (8 * bytes) != 0) ++bytes;
    value.push_back(static_cast<char>(0x80 | bytes));
    for (int i = bytes - 1; i >= 0; --i) value.push_back(static_cast<char>(size >> (8 * i)));
  }
  return value.append(AsText(content));
}

}  // namespace trustline
