#include "cli/phone/capf_phone.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <utility>

#include "common/net/ip_address.h"
#include "common/status/status.h"
#include "common/x509/openssl_error.h"
#include "common/x509/openssl_ptr.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

absl::Status Unintelligible(const absl::Status& status) {
  return DataLoss("the server's message is not one of CAPF: {}", StatusMessage(status));
}

constexpr uint8_t Reason(CapfReason reason) { return static_cast<uint8_t>(reason); }

constexpr uint16_t kLargestRsa = 4096;  // bits

// RSA of any size that phones can make.
absl::StatusOr<PrivateKey> GenerateRsa(uint16_t bits) {
  const OpenSslErrorScope errors;
  const EvpPkeyPtr key(bits > kLargestRsa ? nullptr : EVP_RSA_gen(bits));
  if (key == nullptr) return InvalidArgument("no RSA key of {} bits can be made", bits);
  unsigned char* bytes = nullptr;
  const int size = i2d_PrivateKey(key.get(), &bytes);
  if (size <= 0) return OpenSslInternal("a key cannot be encoded");
  const OpenSslBytesPtr owner(bytes);
  absl::StatusOr<PrivateKey> generated = PrivateKey::FromDer(ByteView(bytes, static_cast<size_t>(size)));
  OPENSSL_cleanse(bytes, static_cast<size_t>(size));
  return generated;
}

absl::StatusOr<PrivateKey> GenerateKey(const CapfElements& request) {
  if (request.key_type == CapfKeyType::kRsa) return GenerateRsa(*request.key_size);
  switch (*request.curve) {
    case CapfCurve::kSecp256r1:
      return PrivateKey::Generate(KeyKind::kEcP256);
    case CapfCurve::kSecp384r1:
      return PrivateKey::Generate(KeyKind::kEcP384);
    case CapfCurve::kSecp521r1:
      return PrivateKey::Generate(KeyKind::kEcP521);
  }
  return Internal("the codec has let an unknown curve pass");
}

}  // namespace

std::function<bool(const CapfPhoneMessage&)> StopsAfter(int messages) {
  return [messages](const CapfPhoneMessage& message) { return message.number < messages; };
}

bool CapfPhoneResult::ended_well() const {
  return end_reason == Reason(CapfReason::kSuccess) || end_reason == Reason(CapfReason::kNoAction);
}

class CapfPhone::Session {
 public:
  Session(CapfPhone& phone, TlsClient connection)
      : phone_(phone), options_(phone.options_), connection_(std::move(connection)) {
    result_.server_certificate = connection_.peer_certificate_der();
  }

  absl::StatusOr<CapfPhoneResult> Run() {
    while (!over_) RETURN_IF_ERROR(Turn());
    if (!result_.stopped) connection_.Close();
    return std::move(result_);
  }

 private:
  // Takes one message of the server and answers it.
  absl::Status Turn() {
    ASSIGN_OR_RETURN(const std::string message, ReadCapfMessage(connection_));
    const absl::StatusOr<CapfHeader> header = DecodeCapfHeader(AsBytes(message).first(kCapfHeaderSize));
    if (!header.ok()) return Unintelligible(header.status());
    if (number_ == 0) {
      session_id_ = header->session_id;
    } else if (header->session_id != session_id_) {
      return DataLoss("the server's {} has session id {} instead of {}", CapfCommandName(header->command),
                      header->session_id, session_id_);
    }
    const absl::StatusOr<CapfElements> request =
        DecodeCapfBody(header->command, AsBytes(message).subspan(kCapfHeaderSize));
    if (!request.ok()) return Unintelligible(request.status());
    if ((number_ == 0) != (header->command == CapfCommand::kAuthenticationRequest)) {
      return DataLoss("the server's message {} is {}", number_ + 1, CapfCommandName(header->command));
    }
    Passed(header->command, false);
    return over_ ? absl::OkStatus() : Answer(header->command, *request);
  }

  absl::Status Answer(CapfCommand command, const CapfElements& request) {
    if (command == CapfCommand::kEndSession) {
      result_.end_reason = request.reason;
      result_.end_information = request.reason_information.value_or("");
      over_ = true;
      return absl::OkStatus();
    }
    if (command == CapfCommand::kRetryLater) {
      result_.retry_seconds = request.retry_delay;
      over_ = true;
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const CapfElements response,
                     options_.fails == command ? Failure("this phone cannot") : Perform(command, request));
    if (over_) return absl::OkStatus();
    // The number of a response follows that of its request.
    return Send(static_cast<CapfCommand>(static_cast<uint8_t>(command) + 1), response);
  }

  absl::StatusOr<CapfElements> Perform(CapfCommand command, const CapfElements& request) {
    switch (command) {
      case CapfCommand::kAuthenticationRequest:
        return Authenticate();
      case CapfCommand::kKeyGenerateRequest:
        return MakeKey(request);
      case CapfCommand::kStoreCertificateRequest:
        return Store(*request.certificate);
      case CapfCommand::kFetchCertificateRequest:
        return Fetch();
      case CapfCommand::kDeleteCertificateRequest:
        return Delete();
      default:
        return DataLoss("a server does not send this: {}", CapfCommandName(command));
    }
  }

  absl::StatusOr<CapfElements> Authenticate() {
    CapfElements response{.reason = Reason(CapfReason::kSuccess),
                          .version = kCapfVersion,
                          .password = SecretBytes(options_.password),
                          .device_name = options_.device_name};
    if (options_.proof) {
      RETURN_IF_ERROR(AddSignedData(*options_.proof, response));
      if (options_.sends_sudi_data) {
        const auto& credential = options_.sudi_certificate ? options_.sudi_certificate : options_.proof;
        ASSIGN_OR_RETURN(response.sudi_data, MakeSudiData(*credential, session_id_));
      }
    }
    return response;
  }

  absl::StatusOr<CapfElements> MakeKey(const CapfElements& request) {
    for (int i = 0; i < options_.progress_messages && !over_; ++i) {
      RETURN_IF_ERROR(Send(CapfCommand::kRequestInProgress, {}));
    }
    if (options_.fails_at_ec_keys && request.key_type == CapfKeyType::kEc) return Failure("EC keys are not known here");
    made_key_ = options_.key;
    if (made_key_ == nullptr) {
      absl::StatusOr<PrivateKey> key = GenerateKey(request);
      if (!key.ok()) return Failure(StatusMessage(key.status()));
      made_key_ = std::make_shared<const PrivateKey>(*std::move(key));
    }
    ASSIGN_OR_RETURN(const PublicKeyInfo info, PublicKeyInfo::Of(made_key_->get()));
    return CapfElements{.public_key = info.der()};
  }

  absl::StatusOr<CapfElements> Store(const CapfCertificate& offered) {
    const absl::StatusOr<Certificate> certificate = Certificate::FromDer(AsBytes(offered.der));
    if (!certificate.ok() || offered.type != CapfCertificateType::kLsc || made_key_ == nullptr ||
        !made_key_->MatchesCertificate(*certificate)) {
      return Failure("the certificate is not one of the phone's key");
    }
    phone_.lsc_ = offered.der;
    phone_.lsc_key_ = made_key_;
    return Success(CapfPhoneOperation::kInstall);
  }

  absl::StatusOr<CapfElements> Fetch() {
    if (fetched_ == options_.certificates.size()) return Failure("there is no other certificate");
    CapfElements response = Success(CapfPhoneOperation::kFetch);
    response.certificate = options_.certificates[fetched_++];
    return response;
  }

  absl::StatusOr<CapfElements> Delete() {
    phone_.lsc_.clear();
    phone_.lsc_key_ = nullptr;
    return Success(CapfPhoneOperation::kDelete);
  }

  CapfElements Success(CapfPhoneOperation operation) {
    result_.operation = operation;
    return {.reason = Reason(CapfReason::kSuccess)};
  }

  // What reason real phones give for which failure is not known.
  static CapfElements Failure(std::string_view information) {
    return {.reason = Reason(CapfReason::kInvalidElement), .reason_information = std::string(information)};
  }

  absl::Status Send(CapfCommand command, const CapfElements& elements) {
    ASSIGN_OR_RETURN(const std::string message, EncodeCapfMessage(command, session_id_, elements));
    RETURN_IF_ERROR(WriteCapfMessage(connection_, message, options_.one_byte_at_a_time));
    Passed(command, true);
    return absl::OkStatus();
  }

  void Passed(CapfCommand command, bool from_phone) {
    ++number_;
    if (!options_.goes_on || options_.goes_on({number_, from_phone, command})) return;
    result_.stopped = true;
    over_ = true;
  }

  CapfPhone& phone_;
  const CapfPhoneOptions& options_;
  TlsClient connection_;
  CapfPhoneResult result_;
  uint32_t session_id_ = 0;
  int number_ = 0;
  bool over_ = false;
  size_t fetched_ = 0;
  std::shared_ptr<const PrivateKey> made_key_;
};

CapfPhone::CapfPhone(Endpoint server, CapfPhoneOptions options)
    : server_(std::move(server)), options_(std::move(options)) {}

absl::StatusOr<CapfPhoneResult> CapfPhone::Enrol() {
  ASSIGN_OR_RETURN(TlsClient connection, TlsClient::Connect(server_.host, server_.port, options_.tls));
  absl::StatusOr<CapfPhoneResult> result = Session(*this, std::move(connection)).Run();
  if (absl::IsUnavailable(result.status())) {
    return Annotate(result.status(), EndpointText(server_.host, server_.port) + " broke the session off");
  }
  return result;
}

absl::StatusOr<std::string> ReadCapfMessage(TlsClient& connection) {
  ASSIGN_OR_RETURN(std::string message, connection.ReadExactly(kCapfHeaderSize));
  const absl::StatusOr<CapfHeader> header = DecodeCapfHeader(AsBytes(message));
  if (header.ok() && header->body_length > 0) {
    ASSIGN_OR_RETURN(const std::string body, connection.ReadExactly(header->body_length));
    message += body;
  }
  return message;
}

absl::Status WriteCapfMessage(TlsClient& connection, std::string_view message, bool one_byte_at_a_time) {
  if (!one_byte_at_a_time) return connection.Write(AsBytes(message));
  for (const char& byte : message) RETURN_IF_ERROR(connection.Write(AsBytes(std::string_view(&byte, 1))));
  return absl::OkStatus();
}

}  // namespace trustline
