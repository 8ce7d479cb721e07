// A virtual phone's side of TVS: it asks over TLS as a real phone does (docs/PROTOCOLS.md, TVS).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/phone/endpoint.h"
#include "common/bytes/bytes.h"
#include "common/device/certificate_role.h"
#include "common/net/tls_client.h"
#include "common/x509/certificate.h"
#include "common/x509/distinguished_name.h"
#include "tvs/message.h"

namespace trustline {

struct TvsPhoneOptions {
  std::string device_name = "CP-8841-SEP001122334455";
  uint32_t session_id = 1001;  // the constant that real phones send
  bool one_byte_at_a_time = false;
  bool resume_sessions = false;  // continue the TLS session of the question before
  // The TVS certificates of the phone's trust list: who presents another one is asked nothing. Absent: any may answer.
  std::optional<std::set<Sha256Digest>> known_certificates;
  TlsClientOptions tls;
};

struct TvsAnswer {
  bool valid = false;
  std::vector<CertificateRole> roles;
  uint32_t ttl_seconds = 0;
  std::string certificate;  // DER; valid answers to queries only

  std::string server_certificate;  // DER
  TlsVersion tls_version = TlsVersion::kTls12;
  bool resumed = false;
  std::chrono::microseconds elapsed{};  // from connecting to the last byte of the answer
};

// Asks one TVS; one connection a question. Not for several threads at once. Errors are TlsClient's; Unavailable too
// when the server closed without an answer (it may be stale: a phone asks its next TVS), Unauthenticated for a
// certificate that is not known, DataLoss for an answer that a phone would not understand.
class TvsPhone {
 public:
  TvsPhone(Endpoint server, TvsPhoneOptions options);

  // "Is this certificate good?"
  absl::StatusOr<TvsAnswer> Verify(ByteView certificate);

  // "Whose signature is this?" The certificate of an answer has the issuer and the serial number that were asked for.
  absl::StatusOr<TvsAnswer> Query(std::string_view subject, std::string_view issuer, ByteView serial_number);

 private:
  absl::StatusOr<TvsAnswer> Ask(std::string_view request, TvsCommand expected);

  const Endpoint server_;
  const TvsPhoneOptions options_;
  TlsSession session_;
};

// Sends `request` and reads one whole message, header and body. What precedes a header that is not one of TVS is
// returned as it came.
absl::StatusOr<std::string> ExchangeTvsMessage(TlsClient& connection, std::string_view request,
                                               bool one_byte_at_a_time);

// A name as phones write it in a query: "CN=pub.example;O=Example".
std::string PhoneNameText(const DistinguishedName& name);

}  // namespace trustline
