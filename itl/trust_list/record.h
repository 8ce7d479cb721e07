// One record of a trust list, as it was read (docs/PROTOCOLS.md, trust lists).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/device/certificate_role.h"
#include "common/signed_file/reader.h"
#include "common/signed_file/signed_file.h"
#include "common/x509/certificate.h"

namespace trustline {

// A certificate in one role; or a blanked record, which has neither certificate nor names. Owns all of it.
struct TrustListRecord {
  uint16_t record_length = 0;           // bytes, those of the length itself included
  std::optional<std::string> dns_name;  // without the NUL; a record may have an empty one
  uint16_t role_code = 0;
  std::optional<std::string> ip_address;  // as text, "192.0.2.10"

  // Empty in a blanked record.
  std::string subject;  // as written, without the NUL
  std::string issuer;
  std::string serial;      // bytes as written
  std::string public_key;  // RSA: RSAPublicKey in DER (RFC 8017); EC: the point. May be empty beside a hash.
  std::string signature;   // the certificate's own. May be empty beside a hash.

  // One of these, except in a blanked record.
  std::optional<Certificate> certificate;
  std::optional<std::string> certificate_hash;
  std::optional<std::string> hash_algorithm;  // bytes as written, beside a hash only

  std::vector<ExtraTlv> extra;   // unknown elements at the end, in their order
  std::vector<TlvPlace> places;  // every element in its order; offsets from the start of the file

  // Empty for a code that no role has.
  std::optional<CertificateRole> role() const { return CertificateRoleFromCode(role_code); }
  bool IsBlank() const { return !certificate && !certificate_hash; }
};

}  // namespace trustline
