// What the tests of living phones share: lists as a test wants them, a server for them, and a TVS that trusts what it
// is told to.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/phone/list_server.h"
#include "cli/phone/scripted_tvs.h"
#include "itl/trust_list/trust_list_testing.h"

namespace trustline {

// Hands out what the test gives it.
class TestLists final : public ListServer {
 public:
  explicit TestLists(std::string server = "tftp1") : server_(std::move(server)) {}

  absl::StatusOr<std::optional<ServedList>> Fetch(PhoneListKind kind, const DeviceName&) override {
    const std::lock_guard lock(mutex_);
    if (!status_.ok()) return status_;
    const auto found = files_.find(kind);
    if (found == files_.end()) return std::nullopt;
    return ServedList{.file = found->second, .server = server_};
  }

  void Serve(PhoneListKind kind, std::string file) {
    const std::lock_guard lock(mutex_);
    files_[kind] = std::move(file);
  }
  void ServeNone(PhoneListKind kind) {
    const std::lock_guard lock(mutex_);
    files_.erase(kind);
  }
  // From now on it gives no answer but this.
  void Fail(absl::Status status) {
    const std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }

 private:
  const std::string server_;
  std::mutex mutex_;
  absl::Status status_;
  std::map<PhoneListKind, std::string> files_;
};

inline ListedCertificate Listed(const Certificate& certificate, CertificateRole role) {
  return {.certificate = certificate, .role = role, .dns_name = "", .ip_address = ""};
}

// A trust list of these records, signed by that party, whatever it lists. `name` is what tells two of the same records
// apart.
inline std::string MakeTrustList(const std::vector<ListedCertificate>& records, const Party& signer,
                                 DigestAlgorithm digest = DigestAlgorithm::kSha1,
                                 std::string_view name = "ITLFile.tlv") {
  std::string payload;
  for (const ListedCertificate& record : records) payload += *WriteRecord(record, NameForm::kComma);
  return *WriteTrustList(
      payload,
      {.signer_version = kSignerVersion, .digest = digest, .file_name = std::string(name), .timestamp = kTestNow},
      signer.certificate, signer.key);
}

// Valid with these roles to whoever asks by query, and nothing else. One that is asked for nothing else need not know
// more.
using TrustedByTest = std::vector<std::pair<Certificate, std::vector<CertificateRole>>>;

inline ScriptedTvs::Script TrustsOnly(const TrustedByTest& trusted) {
  return [trusted](const std::string& message) -> std::string {
    const auto header = DecodeTvsHeader(AsBytes(message).first(kTvsHeaderSize));
    if (!header.ok()) return "";
    const auto request = DecodeTvsRequest(header->command, AsBytes(message).subspan(kTvsHeaderSize));
    if (!request.ok() || !std::holds_alternative<TvsQueryRequest>(*request)) return "";
    const auto& query = std::get<TvsQueryRequest>(*request);
    const auto issuer = DistinguishedName::FromText(query.issuer);
    for (const auto& [certificate, roles] : trusted) {
      if (!issuer.ok() || certificate.issuer().key() != issuer->key()) continue;
      if (AsText(certificate.serial()) != AsText(query.serial_number)) continue;
      return *EncodeTvsQueryResponse(
          header->session_id,
          {.valid = true, .certificate = std::string(AsText(certificate.der())), .roles = roles, .ttl_seconds = 3'600});
    }
    return *EncodeTvsQueryResponse(header->session_id, {});
  };
}

// The certificate that ScriptedTvs presents unless it is given another.
inline Certificate TestTvsCertificate() { return *Certificate::FromDer(AsBytes(GetTestIdentity().certificate_der)); }

}  // namespace trustline
