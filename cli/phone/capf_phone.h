// A virtual phone's side of CAPF: it enrols over TLS as a real phone does (docs/PROTOCOLS.md, "CAPF").
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "capf/message.h"
#include "cli/phone/capf_proof.h"
#include "cli/phone/endpoint.h"
#include "common/net/tls_client.h"
#include "common/x509/private_key.h"

namespace trustline {

// One message of a session, once it was received or sent as a whole.
struct CapfPhoneMessage {
  int number = 0;  // in the session, both sides counted: 1 is the authentication request
  bool from_phone = false;
  CapfCommand command = CapfCommand::kEndSession;
};

struct CapfPhoneOptions {
  std::string device_name = "SEP001122334455";
  std::string password;  // what somebody typed at the phone
  bool one_byte_at_a_time = false;
  TlsClientOptions tls;

  // Unless there is one, the phone makes the key that it is asked for. A ready-made one is given whatever is asked for.
  std::shared_ptr<const PrivateKey> key;
  int progress_messages = 0;         // "request in progress", so many, before the answer with the key
  bool fails_at_ec_keys = false;     // answers the request for an EC key with a failure
  std::optional<CapfCommand> fails;  // answers this request with a failure (any but the authentication request)

  std::optional<PhoneCertificate> proof;
  bool sends_sudi_data = true;                       // with a proof
  std::optional<PhoneCertificate> sudi_certificate;  // the proof's unless given

  // What is handed over at the first, the second, ... request to fetch; a failure after the last.
  std::vector<CapfCertificate> certificates;

  // Called after each message; false ends the connection there, without a word, as when a phone loses its power.
  std::function<bool(const CapfPhoneMessage&)> goes_on;
};

// For CapfPhoneOptions::goes_on: the phone loses its power after so many messages.
std::function<bool(const CapfPhoneMessage&)> StopsAfter(int messages);

// What the phone did in a session.
enum class CapfPhoneOperation : uint8_t { kNone, kInstall, kFetch, kDelete };

struct CapfPhoneResult {
  CapfPhoneOperation operation = CapfPhoneOperation::kNone;  // the last one that succeeded
  std::optional<uint8_t> end_reason;                         // CapfReason; absent when the session did not end so
  std::string end_information;
  std::optional<uint32_t> retry_seconds;  // told to come later
  bool stopped = false;                   // by goes_on
  std::string server_certificate;         // DER

  // The end that a phone is content with: reason "success" or "no action".
  bool ended_well() const;
};

// One phone; it keeps its certificate and key from session to session. Not for several threads at once.
class CapfPhone {
 public:
  CapfPhone(Endpoint server, CapfPhoneOptions options);

  // One session, to its end. Errors are TlsClient's, where Unavailable is also a server that closed before the end;
  // DataLoss for what a phone would not understand.
  absl::StatusOr<CapfPhoneResult> Enrol();

  // The certificate that the phone has stored last (DER) and its key; empty and null before, and once it is deleted.
  const std::string& lsc() const { return lsc_; }
  const std::shared_ptr<const PrivateKey>& lsc_key() const { return lsc_key_; }

 private:
  class Session;

  const Endpoint server_;
  const CapfPhoneOptions options_;
  std::string lsc_;
  std::shared_ptr<const PrivateKey> lsc_key_;
};

// One message, header and body. What precedes a header that is not one of CAPF is returned as it came.
absl::StatusOr<std::string> ReadCapfMessage(TlsClient& connection);

// `message` in one TLS write, or each of its bytes in one.
absl::Status WriteCapfMessage(TlsClient& connection, std::string_view message, bool one_byte_at_a_time);

}  // namespace trustline
