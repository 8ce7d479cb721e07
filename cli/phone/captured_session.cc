#include "cli/phone/captured_session.h"

#include <utility>

#include "capf/message.h"
#include "cli/phone/capf_phone.h"
#include "cli/phone/capf_proof.h"
#include "cli/phone/captured_exchange.h"
#include "common/bytes/writer.h"
#include "common/status/status.h"
#include "common/x509/certificate.h"

namespace trustline {
namespace {

constexpr size_t kSessionIdOffset = 2;
constexpr size_t kSessionIdSize = 4;

CapfHeader HeaderOf(std::string_view message) {
  return DecodeCapfHeader(AsBytes(message.substr(0, kCapfHeaderSize))).value_or(CapfHeader());
}

ByteView BodyOf(std::string_view message) { return AsBytes(message.substr(kCapfHeaderSize)); }

std::string WithSessionId(std::string message, uint32_t session_id) {
  return message.replace(kSessionIdOffset, kSessionIdSize, ByteWriter().U32(session_id).Take());
}

// The phone's side of one session.
class Replay {
 public:
  Replay(TlsClient connection, bool one_byte_at_a_time, std::shared_ptr<const PrivateKey> key)
      : connection_(std::move(connection)), one_byte_at_a_time_(one_byte_at_a_time), key_(std::move(key)) {}

  absl::Status Send(const std::string& recorded) {
    ASSIGN_OR_RETURN(const std::string message, ForThisSession(recorded));
    return WriteCapfMessage(connection_, message, one_byte_at_a_time_);
  }

  absl::Status ReadAndCompare(const std::string& recorded) {
    ASSIGN_OR_RETURN(std::string received, ReadCapfMessage(connection_));
    if (!begun_) session_id_ = HeaderOf(received).session_id;
    begun_ = true;
    // Another session id than before stays, and is a difference.
    if (HeaderOf(received).session_id == session_id_) {
      received = WithSessionId(std::move(received), HeaderOf(recorded).session_id);
    }
    if (HeaderOf(recorded).command == CapfCommand::kStoreCertificateRequest) {
      ASSIGN_OR_RETURN(received, WithRecordedCertificate(received, recorded));
    }
    return CompareWithCapture(recorded, received);
  }

  void End() { connection_.Close(); }

 private:
  absl::StatusOr<std::string> ForThisSession(const std::string& recorded) {
    const CapfHeader header = HeaderOf(recorded);
    absl::StatusOr<CapfElements> elements = DecodeCapfBody(header.command, BodyOf(recorded));
    // A capture may hold what is not well-formed, to see how a server takes it.
    if (!elements.ok()) return WithSessionId(recorded, session_id_);
    if (elements->public_key) public_key_ = *elements->public_key;
    if (key_ == nullptr || !elements->sudi_data) return WithSessionId(recorded, session_id_);
    ASSIGN_OR_RETURN(const Certificate certificate, Certificate::FromDer(AsBytes(elements->sudi_data->certificate)));
    if (!key_->MatchesCertificate(certificate)) {
      return InvalidArgument("the key is not that of the certificate in the capture's SUDI data");
    }
    ASSIGN_OR_RETURN(elements->sudi_data, MakeSudiData({certificate, key_}, session_id_));
    return EncodeCapfMessage(header.command, session_id_, *elements);
  }

  // What is not a store request in the canonical form of ours is returned as it is, and differs.
  absl::StatusOr<std::string> WithRecordedCertificate(const std::string& received, const std::string& recorded) const {
    const CapfHeader header = HeaderOf(received);
    absl::StatusOr<CapfElements> elements = DecodeCapfBody(header.command, BodyOf(received));
    const absl::StatusOr<CapfElements> expected = DecodeCapfBody(HeaderOf(recorded).command, BodyOf(recorded));
    if (!expected.ok() || !elements.ok() || !elements->certificate) return received;
    const absl::StatusOr<std::string> canonical = EncodeCapfMessage(header.command, header.session_id, *elements);
    if (!canonical.ok() || *canonical != received) return received;
    const absl::StatusOr<Certificate> issued = Certificate::FromDer(AsBytes(elements->certificate->der));
    if (!issued.ok()) return DataLoss("what the server issued cannot be read: {}", StatusMessage(issued.status()));
    if (issued->public_key_sha256() != Sha256(AsBytes(public_key_))) {
      return DataLoss("the server issued a certificate for another key than the phone's");
    }
    elements->certificate->der = expected->certificate->der;
    return EncodeCapfMessage(header.command, header.session_id, *elements);
  }

  TlsClient connection_;
  const bool one_byte_at_a_time_;
  const std::shared_ptr<const PrivateKey> key_;
  bool begun_ = false;
  uint32_t session_id_ = 0;
  std::string public_key_;
};

}  // namespace

absl::StatusOr<std::vector<CapturedMessage>> ParseCapturedSession(std::string_view text) {
  ASSIGN_OR_RETURN(const std::vector<CapturedBytes> captured, ParseCapture(text));
  if (captured.empty() || captured.front().from_phone || captured.back().from_phone) {
    return InvalidArgument("the server has not the first and the last word, as it has in CAPF");
  }
  std::vector<CapturedMessage> messages;
  for (const CapturedBytes& piece : captured) {
    std::string_view rest = piece.bytes;
    while (!rest.empty()) {
      const absl::StatusOr<CapfHeader> header = DecodeCapfHeader(AsBytes(rest.substr(0, kCapfHeaderSize)));
      if (!header.ok()) return InvalidArgument("from line {}: {}", piece.line, StatusMessage(header.status()));
      const size_t size = kCapfHeaderSize + header->body_length;
      if (rest.size() < size) return InvalidArgument("from line {}: half a message", piece.line);
      messages.push_back({piece.from_phone, std::string(rest.substr(0, size))});
      rest.remove_prefix(size);
    }
  }
  return messages;
}

absl::Status ReplayCapfSession(const Endpoint& server, const TlsClientOptions& tls,
                               const std::vector<CapturedMessage>& messages, bool one_byte_at_a_time,
                               std::shared_ptr<const PrivateKey> key) {
  ASSIGN_OR_RETURN(TlsClient connection, TlsClient::Connect(server.host, server.port, tls));
  Replay replay(std::move(connection), one_byte_at_a_time, std::move(key));
  for (const CapturedMessage& message : messages) {
    RETURN_IF_ERROR(message.from_phone ? replay.Send(message.bytes) : replay.ReadAndCompare(message.bytes));
  }
  replay.End();
  return absl::OkStatus();
}

}  // namespace trustline
