// SubjectPublicKeyInfos, which a phone shows while it enrols, before anything is known of it.
#include <cstdlib>

#include "ca/profile/key_policy.h"
#include "common/x509/public_key.h"

using namespace trustline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto key = ReadPublicKeyInfo(ByteView(data, size));
  if (!key.ok()) return 0;
  // What was read is written as it came.
  const auto again = EncodePublicKeyInfo(key->get());
  if (!again.ok() || AsBytes(*again).size() != size) std::abort();
  (void)CheckDeviceKey(key->get(), {.allow_rsa_1024 = true, .allow_exponent_3 = true});
  return 0;
}
