// The proof by an existing certificate, as a phone makes it (docs/PROTOCOLS.md, "CAPF", proof by an existing
// certificate).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capf/message.h"
#include "common/bytes/bytes.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"

namespace trustline {

// A certificate that a phone has, with its key.
struct PhoneCertificate {
  Certificate certificate;
  std::shared_ptr<const PrivateKey> key;
  CapfCertificateType type = CapfCertificateType::kLsc;
};

// What signed data and SHA-2 signed data cover: device name, NUL, certificate.
std::string SignedDataContent(std::string_view device_name, ByteView certificate);
// What SUDI data covers: the session id as 4 bytes little-endian, certificate.
std::string SudiDataContent(uint32_t session_id, ByteView certificate);

// The private-key operation over the bare hash of `content`: PKCS#1 type 1 padding without DigestInfo for RSA, plain
// ECDSA for EC. InvalidArgument for a key that cannot do it.
absl::StatusOr<std::string> SignBareHash(const PrivateKey& key, CapfDigest digest, std::string_view content);

// Adds certificate, signed data and SHA-2 signed data to an authentication response that has its device name.
absl::Status AddSignedData(const PhoneCertificate& proof, CapfElements& response);

// For element 16 of a response in this session.
absl::StatusOr<CapfSudiData> MakeSudiData(const PhoneCertificate& proof, uint32_t session_id);

}  // namespace trustline
