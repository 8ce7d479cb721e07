// What a scripted CAPF server says in the tests of the phone.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "capf/message.h"
#include "cli/phone/captured_session.h"
#include "cli/phone/scripted_capf.h"
#include "common/x509/public_key.h"
#include "common/x509/x509_testing.h"

namespace trustline {

inline constexpr uint32_t kScriptSession = 0x01a2b3c4;

inline std::string CapfMessage(CapfCommand command, const CapfElements& elements,
                               uint32_t session_id = kScriptSession) {
  return *EncodeCapfMessage(command, session_id, elements);
}

inline std::string AuthenticationRequest(uint32_t session_id = kScriptSession) {
  return CapfMessage(CapfCommand::kAuthenticationRequest, {.version = kCapfVersion, .authentication_type = 0},
                     session_id);
}

inline std::string EndSession(CapfReason reason) {
  return CapfMessage(CapfCommand::kEndSession, {.reason = static_cast<uint8_t>(reason)});
}

inline CapfElements ElementsOf(const std::string& message) {
  const CapfHeader header = *DecodeCapfHeader(AsBytes(message).first(kCapfHeaderSize));
  return *DecodeCapfBody(header.command, AsBytes(message).subspan(kCapfHeaderSize));
}

inline bool IsInProgress(const std::string& message) {
  return message[1] == static_cast<char>(CapfCommand::kRequestInProgress);
}

// What to send after the phone's first, second, ... message but for "request in progress".
using CapfStep = std::function<std::string(const std::string& message)>;
inline CapfStep Say(std::string message) {
  return [message = std::move(message)](const std::string&) { return message; };
}

// An authentication request, then each step, and nothing more: the connection is closed.
inline std::function<ScriptedCapf::Script()> Steps(std::vector<CapfStep> steps) {
  return [steps = std::move(steps)]() -> ScriptedCapf::Script {
    return [steps, next = std::make_shared<size_t>(0)](const std::string& message) -> std::optional<std::string> {
      if (message.empty()) return AuthenticationRequest();
      if (IsInProgress(message)) return "";
      if (*next == steps.size()) return std::nullopt;
      return steps[(*next)++](message);
    };
  };
}

// Asks for the certificate to be stored that `issue` makes for the public key in the phone's message.
inline CapfStep StoreIssued(std::function<std::string(EVP_PKEY*)> issue) {
  return [issue = std::move(issue)](const std::string& message) {
    const auto key = PublicKeyInfo::FromDer(AsBytes(ElementsOf(message).public_key.value_or("")));
    if (!key.ok()) return EndSession(CapfReason::kInvalidElement);
    return CapfMessage(CapfCommand::kStoreCertificateRequest,
                       {.certificate_type = CapfCertificateType::kLsc,
                        .certificate = CapfCertificate{CapfCertificateType::kLsc, issue(key->key())}});
  };
}

// A certificate of a small authority.
inline std::string IssueTestLsc(EVP_PKEY* key) {
  static const Party authority = MakeSelfSigned(AuthorityForm("CAPF-test"));
  const Certificate lsc = *BuildIssued(LeafForm("SEP001122334455"), key, authority.certificate, authority.key);
  return std::string(AsText(lsc.der()));
}

inline std::vector<CapturedMessage> RecordedSession(std::string_view name) {
  return *ParseCapturedSession(ReadVector(std::string("wire/").append(name)));
}

// The recorded server; a message that the recorded phone did not send closes the connection. `change` may alter what
// the server sends.
inline std::function<ScriptedCapf::Script()> RecordedServer(std::vector<CapturedMessage> session,
                                                            std::function<std::string(std::string)> change = nullptr) {
  return [session = std::move(session), change = std::move(change)]() -> ScriptedCapf::Script {
    return [=, next = std::make_shared<size_t>(0)](const std::string& message) -> std::optional<std::string> {
      if (!message.empty() && (*next == session.size() || session[(*next)++].bytes != message)) return std::nullopt;
      std::string send;
      for (; *next < session.size() && !session[*next].from_phone; ++*next) {
        send += change ? change(session[*next].bytes) : session[*next].bytes;
      }
      return send;
    };
  };
}

}  // namespace trustline
