// What the tests of signed files and trust lists share.
#pragma once

#include <openssl/rsa.h>

#include <string>
#include <string_view>

#include "common/bytes/bytes.h"
#include "common/bytes/writer.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/x509_testing.h"

namespace trustline {

// Certificate and key of a vector: "itlrecovery.pem".
inline Party ReadParty(std::string_view name) {
  const std::string pem = ReadVector(name);
  return {.key = *PrivateKey::FromPem(pem, nullptr), .certificate = *Certificate::FromPem(pem)};
}

inline PrivateKey RsaKey(unsigned bits) {
  const EvpPkeyPtr key(EVP_RSA_gen(bits));
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key.get(), &der);
  const OpenSslBytesPtr owner(der);
  return *PrivateKey::FromDer(ByteView(der, static_cast<size_t>(size)));
}

inline Party SelfSignedWith(PrivateKey key, const DistinguishedName& subject) {
  CertificateTemplate form = AuthorityForm("any");
  form.subject = subject;
  Certificate certificate = *BuildSelfSigned(form, key);
  return {.key = std::move(key), .certificate = std::move(certificate)};
}
inline Party SelfSignedWith(PrivateKey key, std::string_view common_name) {
  return SelfSignedWith(std::move(key), *DistinguishedName::FromAttributes({{"CN", common_name}}));
}

// With a key that the builder of certificates refuses as too weak.
inline Party WeakSelfSigned(PrivateKey key, std::string_view common_name) {
  const X509Ptr x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3'600);
  const X509NamePtr name = *DistinguishedName::FromAttributes({{"CN", common_name}})->ToX509Name();
  X509_set_subject_name(x509.get(), name.get());
  X509_set_issuer_name(x509.get(), name.get());
  X509_set_pubkey(x509.get(), key.get());
  EXPECT_NE(X509_sign(x509.get(), key.get(), EVP_sha256()), 0);
  Certificate certificate = *Certificate::FromX509(x509.get());
  return {.key = std::move(key), .certificate = std::move(certificate)};
}

// An element, written by neither the writer nor the reader under test.
inline std::string Tlv(int tag, std::string_view value) {
  return ByteWriter()
      .U8(static_cast<uint8_t>(tag))
      .U16(static_cast<uint16_t>(value.size()))
      .Bytes(AsBytes(value))
      .Take();
}
inline std::string TextTlv(int tag, std::string_view text) { return Tlv(tag, std::string(text) + '\0'); }

// `file` with the value of the header's signature replaced by that of `key` over the rest, for files that are well
// signed and wrong otherwise. The signature's element is at `offset` and has 256 bytes of value.
inline std::string SignedAgain(std::string file, size_t offset, const PrivateKey& key, const EVP_MD* digest) {
  const std::string rest = file.substr(0, offset) + file.substr(offset + 3 + 256);
  const EvpMdCtxPtr context(EVP_MD_CTX_new());
  std::string signature(256, '\0');
  size_t size = signature.size();
  EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key.get()), 1);
  EXPECT_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                           reinterpret_cast<const unsigned char*>(rest.data()), rest.size()),
            1);
  return file.replace(offset + 3, 256, signature);
}

}  // namespace trustline
