// Lists and worlds for tests of the pre-flight: certificates are the SHA-256 of their names.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "itl/preflight/phone_group.h"
#include "itl/preflight/trust_world.h"

namespace trustline {

using SharedList = std::shared_ptr<const PhoneList>;

inline Sha256Digest Named(std::string_view name) { return Sha256(AsBytes(name)); }

inline std::set<Sha256Digest> NamedAll(const std::vector<std::string>& names) {
  std::set<Sha256Digest> all;
  for (const std::string& name : names) all.insert(Named(name));
  return all;
}

// In one line: the signer, the SASTs, the TFTP server, the TVS certificates.
inline PhoneList ItlOf(const std::string& signer, const std::vector<std::string>& sasts, const std::string& tftp,
                       const std::vector<std::string>& tvs) {
  PhoneList list{.signer = Named(signer), .size = 4'000};
  for (const std::string& sast : sasts) list.records.push_back({Named(sast), CertificateRole::kSast});
  list.records.push_back({Named(tftp), CertificateRole::kCcmTftp});
  for (const std::string& one : tvs) list.records.push_back({Named(one), CertificateRole::kTvs});
  return list;
}

inline PhoneList CtlOf(const std::string& signer, const std::string& sast) {
  return {.signer = Named(signer),
          .records = {{Named(sast), CertificateRole::kSast}, {Named("capf"), CertificateRole::kCapf}},
          .size = 2'000};
}

inline SharedList Share(PhoneList list) { return std::make_shared<const PhoneList>(std::move(list)); }

}  // namespace trustline
