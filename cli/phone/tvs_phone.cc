#include "cli/phone/tvs_phone.h"

#include <openssl/objects.h>

#include <utility>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

absl::Status Unintelligible(const absl::Status& status) {
  return DataLoss("the answer is not one of TVS: {}", StatusMessage(status));
}

}  // namespace

TvsPhone::TvsPhone(Endpoint server, TvsPhoneOptions options)
    : server_(std::move(server)), options_(std::move(options)), session_(options_.tls.session) {}

absl::StatusOr<TvsAnswer> TvsPhone::Verify(ByteView certificate) {
  ASSIGN_OR_RETURN(const std::string request,
                   EncodeTvsVerifyRequest(options_.session_id, options_.device_name, certificate));
  return Ask(request, TvsCommand::kVerifyResponse);
}

absl::StatusOr<TvsAnswer> TvsPhone::Query(std::string_view subject, std::string_view issuer, ByteView serial_number) {
  ASSIGN_OR_RETURN(const std::string request,
                   EncodeTvsQueryRequest(options_.session_id, options_.device_name, subject, issuer, serial_number));
  ASSIGN_OR_RETURN(const DistinguishedName wanted, DistinguishedName::FromText(issuer));
  ASSIGN_OR_RETURN(TvsAnswer answer, Ask(request, TvsCommand::kQueryResponse));
  if (!answer.valid) return answer;
  const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(answer.certificate));
  if (!certificate.ok()) return Unintelligible(certificate.status());
  if (certificate->issuer().key() != wanted.key() ||
      AsText(certificate->serial()) != AsText(CanonicalSerial(serial_number))) {
    return DataLoss("the answer's certificate has another issuer or serial number than asked for");
  }
  return answer;
}

absl::StatusOr<TvsAnswer> TvsPhone::Ask(std::string_view request, TvsCommand expected) {
  const auto begin = SteadyClock::now();
  TlsClientOptions tls = options_.tls;
  if (options_.resume_sessions) tls.session = session_;
  ASSIGN_OR_RETURN(TlsClient connection, TlsClient::Connect(server_.host, server_.port, tls));
  if (options_.known_certificates &&
      !options_.known_certificates->contains(Sha256(AsBytes(connection.peer_certificate_der())))) {
    return Unauthenticated("{} presents a certificate that is no TVS record of the phone's list",
                           EndpointText(server_.host, server_.port));
  }
  absl::StatusOr<std::string> message = ExchangeTvsMessage(connection, request, options_.one_byte_at_a_time);
  if (!message.ok()) {
    return Annotate(message.status(), EndpointText(server_.host, server_.port) + " gave no answer");
  }
  TvsAnswer answer;
  answer.elapsed = std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - begin);
  answer.server_certificate = connection.peer_certificate_der();
  answer.tls_version = connection.version();
  answer.resumed = connection.resumed();
  session_ = connection.Session();
  connection.Close();

  const absl::StatusOr<TvsHeader> header = DecodeTvsHeader(AsBytes(*message).first(kTvsHeaderSize));
  if (!header.ok()) return Unintelligible(header.status());
  if (header->command != expected) return DataLoss("the answer is one to another kind of question");
  if (header->session_id != options_.session_id) {
    return DataLoss("the answer has session id {} instead of {}", header->session_id, options_.session_id);
  }
  absl::StatusOr<TvsResponse> response = DecodeTvsResponse(header->command, AsBytes(*message).subspan(kTvsHeaderSize));
  if (!response.ok()) return Unintelligible(response.status());
  answer.valid = response->valid;
  answer.roles = std::move(response->roles);
  answer.ttl_seconds = response->ttl_seconds;
  answer.certificate = std::move(response->certificate);
  return answer;
}

absl::StatusOr<std::string> ExchangeTvsMessage(TlsClient& connection, std::string_view request,
                                               bool one_byte_at_a_time) {
  if (one_byte_at_a_time) {
    for (const char& byte : request) RETURN_IF_ERROR(connection.Write(AsBytes(std::string_view(&byte, 1))));
  } else {
    RETURN_IF_ERROR(connection.Write(AsBytes(request)));
  }
  ASSIGN_OR_RETURN(std::string message, connection.ReadExactly(kTvsHeaderSize));
  const absl::StatusOr<TvsHeader> header = DecodeTvsHeader(AsBytes(message));
  if (header.ok() && header->body_length > 0) {
    ASSIGN_OR_RETURN(const std::string body, connection.ReadExactly(header->body_length));
    message += body;
  }
  return message;
}

std::string PhoneNameText(const DistinguishedName& name) {
  std::string text;
  for (const NameAttribute& attribute : name.attributes()) {
    const int nid = OBJ_txt2nid(attribute.oid.c_str());
    if (!text.empty()) text += ';';
    text += (nid == NID_undef ? attribute.oid : std::string(OBJ_nid2sn(nid))) + "=" + attribute.value;
  }
  return text;
}

}  // namespace trustline
