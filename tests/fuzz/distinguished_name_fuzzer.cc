// Names as phones write them: what is read must be found again under its own text.
#include <cstdlib>

#include "common/x509/distinguished_name.h"

using namespace trustline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto name = DistinguishedName::FromText(AsText(ByteView(data, size)));
  if (!name.ok()) return 0;
  const std::string text = name->ToText();
  if (text.size() > DistinguishedName::kMaxTextSize) return 0;
  const auto again = DistinguishedName::FromText(text);
  if (!again.ok() || again->key() != name->key()) std::abort();
  (void)name->ToX509Name();
  return 0;
}
