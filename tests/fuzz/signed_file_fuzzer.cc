// The header of signed files: what is read keeps within its bytes, and cut out of what follows it reads the same.
#include <cstdlib>

#include "common/signed_file/reader.h"

using namespace trustline;

namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(data, size);
  const auto file = ReadSignedFile(bytes);
  if (!file.ok()) return 0;
  const SignedFileHeader& header = file->header;
  Check(header.header_length + file->payload.size() == size);
  Check(header.signature.size() == header.modulus_bits / 8u);
  Check(header.signature_offset + header.signature_size + header.padding <= header.header_length);
  Check(header.signature.data() == data + header.signature_offset + 3);
  for (const std::string& text : {header.signer_name, header.issuer_name, header.file_name}) {
    Check(text.find('\0') == std::string::npos);
  }
  for (const TlvPlace& place : header.places) {
    Check(place.offset + 3 + place.length <= header.header_length);
    Check(data[place.offset] == place.tag);
  }

  const auto again = ReadSignedFile(bytes.first(header.header_length));
  Check(again.ok() && again->payload.empty());
  Check(again->header.places == header.places);
  Check(again->header.extra == header.extra);
  Check(again->header.signer_name == header.signer_name);
  Check(again->header.timestamp == header.timestamp);
  return 0;
}
