#include "common/rpc/listener_service.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/rpc/certificate_summary.h"
#include "common/rpc/channel.h"
#include "common/rpc/refusal.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "common/x509/certificate_chain.h"
#include "common/x509/certificate_request.h"
#include "common/x509/openssl_error.h"
#include "common/x509/public_key.h"

namespace trustline {
namespace {

constexpr int kMaxChain = 8;
constexpr size_t kMaxListenerName = 256;
// What OpenSSL answers for an extension that is absent.
constexpr uint32_t kAbsent = UINT32_MAX;

// "2445" of "[::]:2445" and of "[::]:2445%eth0".
std::string_view PortOf(std::string_view name) {
  const size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) return {};
  const std::string_view port = name.substr(colon + 1);
  return port.substr(0, port.find('%'));
}

absl::Status CheckValidNow(const Certificate& certificate, absl::Time now) {
  if (certificate.not_before() <= now && certificate.not_after() > now) return absl::OkStatus();
  return FailedPrecondition("{} is valid from {} to {}, not now", certificate.subject().ToText(),
                            TimeTextSeconds(certificate.not_before()), TimeTextSeconds(certificate.not_after()));
}

// Whether TLS clients take it for a server's.
absl::Status CheckServerCertificate(const Certificate& certificate) {
  RETURN_IF_ERROR(certificate.CheckImportable());
  const OpenSslErrorScope errors;
  X509* const x509 = certificate.x509();
  if (const absl::Status strength = CheckKeyStrength(X509_get0_pubkey(x509)); !strength.ok()) {
    return FailedPrecondition("{}", StatusMessage(strength));
  }
  const uint32_t usage = X509_get_key_usage(x509);
  if (usage != kAbsent && (usage & KU_DIGITAL_SIGNATURE) == 0) {
    return FailedPrecondition("{} may not sign TLS handshakes: its keyUsage lacks digitalSignature",
                              certificate.subject().ToText());
  }
  const uint32_t extended = X509_get_extended_key_usage(x509);
  if (extended != kAbsent && (extended & XKU_SSL_SERVER) == 0) {
    return FailedPrecondition("{} is not for a TLS server: its extendedKeyUsage lacks serverAuth",
                              certificate.subject().ToText());
  }
  return absl::OkStatus();
}

// What is no reason to refuse the certificate, but to know before phones do. `way_out` is for phones without it.
template <typename Response>
void AddWarnings(const Certificate& certificate, std::string_view names, std::string_view way_out, Response& response) {
  // Where a pre-flight was played, that says which phones it is about.
  if (response.preflights().empty()) {
    response.add_warnings(
        fmt::format("phones whose trust list does not have {} (SHA-256 {}) will not connect to {}: {}",
                    certificate.subject().ToText(), ToHex(certificate.sha256()), names, way_out));
  }
  const OpenSslErrorScope errors;
  const uint32_t usage = X509_get_key_usage(certificate.x509());
  EVP_PKEY* const key = X509_get0_pubkey(certificate.x509());
  if (key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && usage != kAbsent &&
      (usage & KU_KEY_ENCIPHERMENT) == 0) {
    response.add_warnings(
        "its keyUsage lacks keyEncipherment: old phones, which know RSA key transport only, may refuse it");
  }
  if (key != nullptr && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
    response.add_warnings("its key is not RSA: old phones, which know RSA key transport only, cannot connect");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ListenerService>> ListenerService::Create(const ListenerServiceParts& parts,
                                                                         std::vector<ManagedListener> listeners) {
  const char* const service = v1::Listeners::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "ListListeners"));
  ASSIGN_OR_RETURN(MethodPolicy request, MethodPolicy::Find(service, "RequestListenerCertificate"));
  ASSIGN_OR_RETURN(MethodPolicy import_certificate, MethodPolicy::Find(service, "ImportListenerCertificate"));
  ASSIGN_OR_RETURN(MethodPolicy restore, MethodPolicy::Find(service, "RestoreListenerCertificate"));
  std::unique_ptr<ListenerService> result(new ListenerService(
      parts, Policies{std::move(list), std::move(request), std::move(import_certificate), std::move(restore)}));
  for (ManagedListener& listener : listeners) result->Add(std::move(listener));
  return result;
}

void ListenerService::Add(ManagedListener listener) {
  auto group = std::ranges::find_if(
      groups_, [&](const Group& other) { return other.listeners.front().files == listener.files; });
  if (group == groups_.end()) {
    Group added;
    added.chain = listener.chain;
    // What lies beside the present ones and cannot be read is no reason to serve no phones.
    if (const auto previous = ReadPreviousChain(listener.files); previous.ok()) added.previous = previous->front();
    if (const auto key = LoadRequestedKey(listener.files); key.ok()) {
      added.requested = {key->kind_text(), key->public_key_sha256()};
    }
    group = groups_.insert(groups_.end(), std::move(added));
  }
  Gauge& end = parts_.metrics.GetGauge("trustline_listener_certificate_not_after_seconds",
                                       "When the certificate of a listener ends, in Unix time.",
                                       {{"cluster", listener.cluster}, {"listener", listener.name}});
  end.Set(static_cast<double>(absl::ToUnixSeconds(group->chain.front().not_after())));
  group->ends.push_back(&end);
  group->listeners.push_back(std::move(listener));
}

std::string ListenerService::NamesOf(const Group& group) {
  return absl::StrJoin(group.listeners, ", ",
                       [](std::string* text, const ManagedListener& listener) { *text += listener.name; });
}

absl::StatusOr<ListenerService::Group*> ListenerService::Find(const std::string& wanted) {
  if (wanted.size() > kMaxListenerName) return InvalidArgument("no listener has a name of {} bytes", wanted.size());
  std::vector<Group*> found;
  std::vector<std::string> names;
  for (Group& group : groups_) {
    const bool fits = wanted.empty() || std::ranges::any_of(group.listeners, [&](const ManagedListener& listener) {
                        return listener.name == wanted || PortOf(listener.name) == wanted;
                      });
    if (fits) found.push_back(&group);
    names.push_back(NamesOf(group));
  }
  if (found.size() == 1) return found.front();
  const std::string all = absl::StrJoin(names, ", ");
  if (found.empty()) return NotFound("there is no listener '{}', but there are: {}", wanted, all);
  return InvalidArgument("{}: name one of {}",
                         wanted.empty() ? "the listeners have several certificates"
                                        : "several listeners have this port, and not the same certificate",
                         all);
}

template <typename Response>
void ListenerService::Describe(const Group& group, Response& response) const {
  const std::lock_guard lock(groups_mutex_);
  for (const ManagedListener& listener : group.listeners) {
    v1::ListenerInfo& info = *response.add_listeners();
    info.set_name(listener.name);
    info.set_cluster(listener.cluster);
    info.set_role(ToProto(listener.role));
    *info.mutable_certificate() = SummaryOf(group.chain.front());
    for (size_t i = 1; i < group.chain.size(); ++i) info.add_issuers(group.chain[i].subject().ToText());
    if (group.requested) {
      info.set_requested_public_key(group.requested->kind);
      info.set_requested_key_sha256(std::string(AsText(group.requested->sha256)));
    }
    if (group.previous) *info.mutable_previous() = SummaryOf(*group.previous);
  }
}

template <typename Request, typename Response, typename Body>
grpc::Status ListenerService::Change(const grpc::ServerContext& context, const MethodPolicy& policy, std::string action,
                                     const Request& request, Response& response, Body change) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(context, policy, request);
  if (!caller.ok()) return ToGrpc(caller.status());
  const std::lock_guard lock(changes_mutex_);
  AuditEvent event;
  event.cluster_id = caller->cluster_id;
  event.occurred_at = parts_.clock.Now();
  event.actor = caller->actor();
  event.action = std::move(action);
  event.subject = request.listener().substr(0, kMaxListenerName);
  const absl::StatusOr<Group*> group = Find(request.listener());
  absl::StatusOr<bool> made = false;
  if (group.ok()) {
    event.subject = NamesOf(**group);
    made = change(**group, event);
  } else {
    made = group.status();
  }
  if (!made.ok()) {
    AuditRefusal(parts_.audit, context, *caller, event.action, event.subject, made.status());
    return ToGrpc(made.status());
  }
  if (*made) parts_.audit.Append(std::move(event));
  Describe(**group, response);
  return grpc::Status::OK;
}

grpc::Status ListenerService::ListListeners(grpc::ServerContext* context, const v1::ListListenersRequest* request,
                                            v1::ListListenersResponse* response) {
  const absl::StatusOr<Caller> caller = parts_.authorizer.Authorize(*context, policies_.list, *request);
  if (!caller.ok()) return ToGrpc(caller.status());
  for (const Group& group : groups_) Describe(group, *response);
  return grpc::Status::OK;
}

grpc::Status ListenerService::RequestListenerCertificate(grpc::ServerContext* context,
                                                         const v1::RequestListenerCertificateRequest* request,
                                                         v1::RequestListenerCertificateResponse* response) {
  return Change(*context, policies_.request, "listener.request", *request, *response,
                [&](Group& group, AuditEvent& event) -> absl::StatusOr<bool> {
                  RETURN_IF_ERROR(MakeRequest(group, *request, *response, event));
                  return true;
                });
}

grpc::Status ListenerService::ImportListenerCertificate(grpc::ServerContext* context,
                                                        const v1::ImportListenerCertificateRequest* request,
                                                        v1::ImportListenerCertificateResponse* response) {
  return Change(*context, policies_.import_certificate, "listener.import", *request, *response,
                [&](Group& group, AuditEvent& event) { return Import(*context, group, *request, *response, event); });
}

grpc::Status ListenerService::RestoreListenerCertificate(grpc::ServerContext* context,
                                                         const v1::RestoreListenerCertificateRequest* request,
                                                         v1::RestoreListenerCertificateResponse* response) {
  return Change(*context, policies_.restore, "listener.restore", *request, *response,
                [&](Group& group, AuditEvent& event) { return Restore(*context, group, *request, *response, event); });
}

absl::Status ListenerService::MakeRequest(Group& group, const v1::RequestListenerCertificateRequest& request,
                                          v1::RequestListenerCertificateResponse& response, AuditEvent& event) {
  const Certificate present = group.chain.front();
  const std::optional<KeyKind> kind =
      request.key() == v1::CERTIFICATE_KEY_UNSPECIFIED ? KeyKindOf(present) : FromProto(request.key());
  if (!kind && request.key() != v1::CERTIFICATE_KEY_UNSPECIFIED) return InvalidArgument("there is no such kind of key");
  if (!kind) {
    return FailedPrecondition("the present key ({}) is of a kind that is not made here: say which with --key",
                              present.public_key_kind());
  }
  if (request.self_signed() && (!request.subject().empty() || request.dns_names_size() > 0)) {
    return InvalidArgument("a self-signed certificate keeps the names of the present one: leave out other names");
  }
  ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(*kind));
  // The key waits only once it has what is answered: an earlier one is not given up for nothing.
  if (request.self_signed()) {
    const absl::StatusOr<Certificate> successor = group.listeners.front().renew(present, key, parts_.clock.Now());
    if (!successor.ok()) {
      return FailedPrecondition("{}: have an outside authority issue its successor (`trustctl listener csr`)",
                                successor.status().message());
    }
    response.set_certificate(std::string(AsText(successor->der())));
  } else {
    DistinguishedName subject = present.subject();
    if (!request.subject().empty()) {
      ASSIGN_OR_RETURN(subject, DistinguishedName::FromText(request.subject()));
    }
    std::vector<std::string> dns_names(request.dns_names().begin(), request.dns_names().end());
    if (dns_names.empty()) dns_names = present.dns_names();
    ASSIGN_OR_RETURN(const CertificateRequest made, CertificateRequest::BuildForSubject(key, subject, dns_names));
    response.set_certificate_request(std::string(AsText(made.der())));
  }
  RETURN_IF_ERROR(WriteRequestedKey(group.listeners.front().files, key));
  event.detail = {{"key", key.kind_text()},
                  {"public_key_sha256", ToHex(key.public_key_sha256())},
                  {"self_signed", request.self_signed() ? "true" : "false"}};
  const std::lock_guard lock(groups_mutex_);
  group.requested = {key.kind_text(), key.public_key_sha256()};
  return absl::OkStatus();
}

absl::StatusOr<bool> ListenerService::Import(const grpc::ServerContext& context, Group& group,
                                             const v1::ImportListenerCertificateRequest& request,
                                             v1::ImportListenerCertificateResponse& response, AuditEvent& event) {
  if (request.certificates_size() == 0 || request.certificates_size() > kMaxChain) {
    return InvalidArgument("give 1 to {} certificates: the listener's own and its issuers", kMaxChain);
  }
  const ListenerFiles& files = group.listeners.front().files;
  ASSIGN_OR_RETURN(PrivateKey key, LoadRequestedKey(files));
  std::optional<Certificate> own;
  std::vector<Certificate> others;
  for (const std::string& der : request.certificates()) {
    ASSIGN_OR_RETURN(Certificate certificate, Certificate::FromDer(AsBytes(der)));
    if (!own && key.MatchesCertificate(certificate)) {
      own = std::move(certificate);
    } else if ((!own || certificate != *own) && std::ranges::find(others, certificate) == others.end()) {
      others.push_back(std::move(certificate));
    }
  }
  if (!own) {
    return FailedPrecondition(
        "none of the certificates is for the key that waits here: only the newest request of `trustctl listener csr` "
        "or `renew` can be answered");
  }
  const absl::Time now = parts_.clock.Now();
  RETURN_IF_ERROR(CheckValidNow(*own, now));
  RETURN_IF_ERROR(CheckServerCertificate(*own));
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, OrderChain(*own, std::move(others), now));
  chain.insert(chain.begin(), *own);
  for (const ManagedListener& listener : group.listeners) RETURN_IF_ERROR(listener.admit(*own));
  const ListenerCredentials credentials{std::move(chain), std::move(key)};
  ASSIGN_OR_RETURN(const bool made, Present(
                                        context, group, credentials, request.caution(),
                                        [&] { return UseRequested(files, credentials.chain); }, response, event));
  if (!made) return false;
  AddWarnings(*own, NamesOf(group),
              "give them the new trust list first; until they have it, `trustctl listener restore` brings the "
              "certificate before back",
              response);
  const std::lock_guard lock(groups_mutex_);
  group.requested.reset();
  return true;
}

absl::StatusOr<bool> ListenerService::Restore(const grpc::ServerContext& context, Group& group,
                                              const v1::RestoreListenerCertificateRequest& request,
                                              v1::RestoreListenerCertificateResponse& response, AuditEvent& event) {
  const ListenerFiles& files = group.listeners.front().files;
  ASSIGN_OR_RETURN(const ListenerCredentials previous, LoadPrevious(files));
  RETURN_IF_ERROR(CheckValidNow(previous.chain.front(), parts_.clock.Now()));
  for (const ManagedListener& listener : group.listeners) {
    const absl::Status admitted = listener.admit(previous.chain.front());
    if (absl::IsFailedPrecondition(admitted)) {
      return FailedPrecondition(
          "the cluster {} does not trust {} any more, and its phones' lists may name it no longer: have a new one "
          "instead (`trustctl listener renew`, `trustctl plan rollover`)",
          listener.cluster, previous.chain.front().subject().ToText());
    }
    RETURN_IF_ERROR(admitted);
  }
  ASSIGN_OR_RETURN(const bool made, Present(
                                        context, group, previous, request.caution(), [&] { return UsePrevious(files); },
                                        response, event));
  if (!made) return false;
  AddWarnings(previous.chain.front(), NamesOf(group),
              "those that took the other one only need the trust list that has this one", response);
  return true;
}

template <typename Response>
absl::StatusOr<bool> ListenerService::Present(const grpc::ServerContext& context, Group& group,
                                              const ListenerCredentials& credentials, const v1::Caution& caution,
                                              const std::function<absl::Status()>& replace_files, Response& response,
                                              AuditEvent& event) {
  const Certificate& certificate = credentials.chain.front();
  std::vector<std::function<void()>> present;
  for (const ManagedListener& listener : group.listeners) {
    ASSIGN_OR_RETURN(present.emplace_back(), listener.prepare(credentials));
  }
  RETURN_IF_ERROR(Judge(context, group, certificate, caution, event.actor, *response.mutable_preflights()));
  if (caution.plan()) return false;
  if (context.IsCancelled()) return absl::CancelledError("nobody waits for it any more: nothing was changed");
  RETURN_IF_ERROR(replace_files());
  for (const std::function<void()>& listener_presents : present) listener_presents();
  for (Gauge* end : group.ends) end->Set(static_cast<double>(absl::ToUnixSeconds(certificate.not_after())));
  event.detail = {{"certificate", certificate.subject().ToText()},
                  {"sha256", ToHex(certificate.sha256())},
                  {"previous_sha256", ToHex(group.chain.front().sha256())}};
  if (!caution.override_reason().empty()) event.detail.emplace_back("override_reason", caution.override_reason());
  const std::lock_guard lock(groups_mutex_);
  group.previous = group.chain.front();
  group.chain = credentials.chain;
  return true;
}

absl::Status ListenerService::Judge(const grpc::ServerContext& context, const Group& group,
                                    const Certificate& certificate, const v1::Caution& caution,
                                    const std::string& ordered_by,
                                    google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights) {
  if (!parts_.guard) {
    if (!caution.plan() && !caution.has_accept_unproven() && caution.override_reason().empty()) return absl::OkStatus();
    return InvalidArgument(
        "no pre-flight judges what {} presents: phones ask it nothing about the signers of their lists. Leave out "
        "--plan, --accept-unproven and --override",
        NamesOf(group));
  }
  Presentation presentation = {.listeners = {},
                               .clusters = {},
                               .certificate = certificate,
                               .ordered_by = ordered_by,
                               .caution = caution,
                               .call = &context};
  for (const ManagedListener& listener : group.listeners) {
    presentation.listeners.push_back(listener.name);
    const auto known = std::ranges::find(presentation.clusters, listener.cluster);
    if (known == presentation.clusters.end()) presentation.clusters.push_back(listener.cluster);
  }
  return parts_.guard(presentation, preflights);
}

}  // namespace trustline
