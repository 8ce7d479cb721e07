// Lists and keys of tests/vectors, for tests that run no program.
#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include "common/x509/certificate.h"
#include "common/x509/pkcs12.h"
#include "common/x509/private_key.h"
#include "itl/trust_list/reader.h"

namespace trustline {

inline std::string ReadVectorFile(const std::string& name) {
  std::ifstream file(TRUSTLINE_SOURCE_DIR "/tests/vectors/" + name, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline TrustList VectorList(const std::string& name) { return *DecodeTrustList(AsBytes(ReadVectorFile(name))); }

inline CertifiedKey VectorKey(const std::string& name) {
  const std::string pem = ReadVectorFile(name);
  return {*Certificate::FromPem(pem), *PrivateKey::FromPem(pem, nullptr)};
}

}  // namespace trustline
