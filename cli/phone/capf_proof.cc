#include "cli/phone/capf_proof.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <array>

#include "common/bytes/writer.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"

namespace trustline {

std::string SignedDataContent(std::string_view device_name, ByteView certificate) {
  return ByteWriter().Bytes(AsBytes(device_name)).U8(0).Bytes(certificate).Take();
}

std::string SudiDataContent(uint32_t session_id, ByteView certificate) {
  ByteWriter writer;
  for (int shift = 0; shift < 32; shift += 8) writer.U8(static_cast<uint8_t>(session_id >> shift));
  return writer.Bytes(certificate).Take();
}

absl::StatusOr<std::string> SignBareHash(const PrivateKey& key, CapfDigest digest, std::string_view content) {
  const OpenSslErrorScope errors;
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash;
  unsigned int hash_size = 0;
  if (EVP_Digest(content.data(), content.size(), hash.data(), &hash_size,
                 digest == CapfDigest::kSha1 ? EVP_sha1() : EVP_sha512(), nullptr) != 1) {
    return OpenSslInternal("hashing what is to be signed");
  }
  const EvpPkeyCtxPtr context(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1) {
    return OpenSslInvalidArgument("the phone's key cannot sign");
  }
  // Without a digest set, the hash goes into the padding as it is.
  if (EVP_PKEY_is_a(key.get(), "RSA") == 1 && EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1) {
    return OpenSslInvalidArgument("the phone's key cannot sign");
  }
  size_t size = 0;
  if (EVP_PKEY_sign(context.get(), nullptr, &size, hash.data(), hash_size) != 1) {
    return OpenSslInvalidArgument("the phone's key cannot sign");
  }
  std::string signature(size, '\0');
  if (EVP_PKEY_sign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, hash.data(), hash_size) !=
      1) {
    return OpenSslInvalidArgument("the phone's key cannot sign");
  }
  signature.resize(size);
  return signature;
}

absl::Status AddSignedData(const PhoneCertificate& proof, CapfElements& response) {
  if (!response.device_name) return InvalidArgument("a proof covers the device name, and there is none");
  const std::string content = SignedDataContent(*response.device_name, proof.certificate.der());
  ASSIGN_OR_RETURN(response.signed_data, SignBareHash(*proof.key, CapfDigest::kSha1, content));
  CapfSignature sha2;
  ASSIGN_OR_RETURN(sha2.signature, SignBareHash(*proof.key, CapfDigest::kSha512, content));
  response.sha2_signed_data = std::move(sha2);
  response.certificate = CapfCertificate{proof.type, std::string(AsText(proof.certificate.der()))};
  return absl::OkStatus();
}

absl::StatusOr<CapfSudiData> MakeSudiData(const PhoneCertificate& proof, uint32_t session_id) {
  const std::string content = SudiDataContent(session_id, proof.certificate.der());
  CapfSudiData sudi{.certificate = std::string(AsText(proof.certificate.der()))};
  ASSIGN_OR_RETURN(sudi.sha1_signature, SignBareHash(*proof.key, CapfDigest::kSha1, content));
  ASSIGN_OR_RETURN(sudi.sha512_signature, SignBareHash(*proof.key, CapfDigest::kSha512, content));
  return sudi;
}

}  // namespace trustline
