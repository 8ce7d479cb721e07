// SubjectPublicKeyInfos, which a phone shows while it enrols, before anything is known of it.
#include <openssl/x509.h>

#include <cstdlib>
#include <cstring>

#include "ca/profile/key_policy.h"
#include "common/x509/public_key.h"

using namespace trustline;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto key = PublicKeyInfo::FromDer(ByteView(data, size));
  if (!key.ok()) return 0;
  // OpenSSL writes what was read as it came: a key has one form.
  unsigned char* again = nullptr;
  const int again_size = i2d_PUBKEY(key->key(), &again);
  const OpenSslBytesPtr owner(again);
  if (again_size < 0 || static_cast<size_t>(again_size) != size || std::memcmp(again, data, size) != 0) std::abort();
  (void)CheckDeviceKey(*key, {.allow_rsa_1024 = true, .allow_exponent_3 = true});
  return 0;
}
