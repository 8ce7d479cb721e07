#include "provisioning/sip/report_rules.h"

#include <algorithm>
#include <charconv>

#include "common/device/device_name.h"
#include "common/status/status.h"
#include "provisioning/sip/trust_alarm.h"

namespace trustline {
namespace {

constexpr std::string_view kAllow = "REFER, REGISTER, OPTIONS";
// Long enough for a failover of the database, short enough that a phone's report is still of use.
constexpr std::string_view kRetryAfterSeconds = "30";
constexpr std::string_view kSupportedExtension = "norefersub";

struct Whose {
  const Forwarder* by_certificate = nullptr;
  const Forwarder* by_address = nullptr;

  bool IsForwarder() const { return by_certificate != nullptr || by_address != nullptr; }
  // The forwarder that may send it; what either allows is allowed.
  const Forwarder* Allowed(bool Forwarder::*may) const {
    if (by_certificate != nullptr && by_certificate->*may) return by_certificate;
    return by_address != nullptr && by_address->*may ? by_address : nullptr;
  }
};

Whose WhoseRequest(const ReportPeer& peer, const CertificateStanding* standing, const Forwarders& forwarders) {
  Whose whose{.by_address = forwarders.AtAddress(peer.address, peer.transport)};
  if (standing != nullptr && standing->valid && standing->has_role) {
    whose.by_certificate = forwarders.OfCertificate(standing->common_name);
  }
  return whose;
}

// The device that a valid LSC names; empty when there is none. Certificates with a role are those of servers.
std::string DeviceOfCertificate(const CertificateStanding* standing) {
  if (standing == nullptr || !standing->valid || standing->has_role) return {};
  const absl::StatusOr<DeviceName> device = DeviceName::Parse(standing->common_name);
  return device.ok() ? device->text() : std::string();
}

ReportDecision Refuse(int code, std::string_view why) {
  // Of a 400 the phrase says what is wrong (RFC 3261, section 21.4.1).
  return {.answer = {.code = code, .reason = code == 400 ? std::string(why) : std::string()}, .why = std::string(why)};
}

ReportDecision Forbidden(std::string_view why) { return Refuse(403, why); }

std::optional<ReportDecision> RefuseExtensions(const SipRequest& request) {
  std::string unsupported;
  for (const std::string& tag : request.require) {
    if (tag != kSupportedExtension) unsupported += (unsupported.empty() ? "" : ", ") + tag;
  }
  if (unsupported.empty()) return std::nullopt;
  ReportDecision decision = Refuse(420, "an extension is required that there is not");
  decision.answer.headers.emplace_back("Unsupported", std::move(unsupported));
  return decision;
}

// The one device that the contacts name by their parameter; empty when none does. InvalidArgument for several, and for
// what is no device name.
absl::StatusOr<std::string> DeviceOfContacts(const SipRequest& request) {
  std::string device;
  for (const SipContact& contact : request.contacts) {
    if (contact.device_name.empty()) continue;
    const absl::StatusOr<DeviceName> name = DeviceName::Parse(contact.device_name);
    if (!name.ok()) return InvalidArgument("the Contact's devicename is no device name");
    if (!device.empty() && device != name->text()) return InvalidArgument("the Contacts name several devices");
    device = name->text();
  }
  return device;
}

absl::StatusOr<std::string> DeviceOfRegistration(const SipRequest& request) {
  ASSIGN_OR_RETURN(std::string device, DeviceOfContacts(request));
  if (!device.empty()) return device;
  std::vector<std::string_view> users = {request.to_user, request.from_user};
  for (const SipContact& contact : request.contacts) users.push_back(contact.user);
  for (const std::string_view user : users) {
    if (const absl::StatusOr<DeviceName> name = DeviceName::Parse(user); name.ok()) return name->text();
  }
  return InvalidArgument("neither Contact, To nor From names a device");
}

// RFC 3261, sections 10.2.1.1 and 20.19: what cannot be read stands for an hour.
bool IsZero(const std::optional<std::string>& expires) {
  if (!expires) return false;
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(expires->data(), expires->data() + expires->size(), seconds);
  return error == std::errc() && end == expires->data() + expires->size() && seconds == 0;
}

// nullopt: it changes nothing, since "a REGISTER without Contact asks for the bindings" (section 10.2.3); but who ends
// all of them at once may leave it out.
absl::StatusOr<std::optional<PhoneTrustEvent>> EventOfRegistration(const SipRequest& request) {
  if (request.contacts.empty() && !IsZero(request.expires)) return std::nullopt;
  const auto is_wildcard = [](const SipContact& contact) { return contact.is_wildcard; };
  if (std::ranges::any_of(request.contacts, is_wildcard)) {
    if (request.contacts.size() > 1 || (request.expires && !IsZero(request.expires))) {
      return InvalidArgument("Contact * stands for all contacts, with Expires 0");  // section 10.3, step 6
    }
    return PhoneTrustEvent::kUnregistered;
  }
  const bool is_over = std::ranges::all_of(request.contacts, [&](const SipContact& contact) {
    return IsZero(contact.expires ? contact.expires : request.expires);
  });
  return is_over ? PhoneTrustEvent::kUnregistered : PhoneTrustEvent::kRegistered;
}

std::string AddressOfContacts(const SipRequest& request) {
  for (const SipContact& contact : request.contacts) {
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(contact.host);
    if (address.ok()) return address->ToText();
  }
  return {};
}

ReportDecision DecideRegister(const SipRequest& request, const Whose& whose, absl::Time now) {
  const Forwarder* forwarder = whose.Allowed(&Forwarder::may_register);
  if (forwarder == nullptr) {
    return Forbidden(whose.IsForwarder() ? "this forwarder may not send REGISTER" : "this is no registrar");
  }
  if (std::optional<ReportDecision> refusal = RefuseExtensions(request)) return *std::move(refusal);
  absl::StatusOr<std::string> device = DeviceOfRegistration(request);
  if (!device.ok()) return Refuse(400, StatusMessage(device.status()));
  const absl::StatusOr<std::optional<PhoneTrustEvent>> event = EventOfRegistration(request);
  if (!event.ok()) return Refuse(400, StatusMessage(event.status()));
  if (!*event) return {};
  return {.report = PhoneTrustReport{.device = *std::move(device),
                                     .event = **event,
                                     .at = now,
                                     .address = AddressOfContacts(request),
                                     .user_agent = request.user_agent,
                                     .basis = ReportBasis::kForwarder,
                                     .source = forwarder->name}};
}

// What is wrong with the content before its bytes are read (RFC 3261, section 8.2.3).
std::optional<ReportDecision> RefuseContent(const SipRequest& request) {
  if (request.body.empty()) return Refuse(400, "a REFER without an alarm");
  if (request.content_type == kAlarmContentType && !request.is_encoded) return std::nullopt;
  ReportDecision decision = Refuse(415, "the content is no alarm");
  decision.answer.headers.emplace_back("Accept", kAlarmContentType);
  if (request.is_encoded) decision.answer.headers.emplace_back("Accept-Encoding", "identity");
  return decision;
}

ReportDecision DecideRefer(const SipRequest& request, const ReportPeer& peer, const CertificateStanding* standing,
                           const Whose& whose, bool accept_claims, absl::Time now) {
  // 1. Who can be refused without reading further. A device with a certificate may report itself from anywhere.
  const Forwarder* forwarder = whose.Allowed(&Forwarder::may_refer);
  const std::string own_device = DeviceOfCertificate(standing);
  const bool allows_others = forwarder != nullptr || (!whose.IsForwarder() && accept_claims);
  const auto forbid = [&] {
    return Forbidden(whose.IsForwarder() ? "this forwarder may not send REFER"
                                         : "reports of anybody are not accepted, and this is no forwarder");
  };
  if (!allows_others && own_device.empty()) return forbid();

  // 2. What it says. To one that may report its own device only, nothing else is told.
  ReportDecision decision;
  if (std::optional<ReportDecision> refusal = RefuseExtensions(request)) return *std::move(refusal);
  if (std::optional<ReportDecision> refusal = RefuseContent(request)) return *std::move(refusal);
  absl::StatusOr<PhoneAlarm> alarm = ReadPhoneAlarm(request.body);
  if (!alarm.ok()) {
    decision = allows_others ? Refuse(400, StatusMessage(alarm.status())) : forbid();
    decision.alarm = AlarmKind::kUnreadable;
    return decision;
  }
  // RFC 4488: who makes no subscription of a REFER says so.
  decision.answer = {.code = 202, .headers = {{"Refer-Sub", "false"}}};
  auto* lists = std::get_if<DeviceTrustListInfo>(&*alarm);
  if (lists == nullptr) {
    decision.alarm = AlarmKind::kOther;
    return decision;
  }

  // 3. Whose word it is.
  const absl::StatusOr<std::string> named = DeviceOfContacts(request);
  const bool is_its_own = !own_device.empty() && own_device == lists->device;
  if (!allows_others && !is_its_own) {
    decision = forbid();
  } else if (!named.ok()) {
    decision = Refuse(400, StatusMessage(named.status()));
  } else if (!named->empty() && *named != lists->device) {
    decision = Refuse(400, "Contact and alarm name different devices");
  } else {
    const ReportBasis basis = forwarder != nullptr ? ReportBasis::kForwarder
                              : is_its_own         ? ReportBasis::kDeviceCertificate
                                                   : ReportBasis::kNone;
    decision.report = PhoneTrustReport{.device = std::move(lists->device),
                                       .event = PhoneTrustEvent::kLists,
                                       .at = now,
                                       .itl_signature = std::move(lists->itl_signature),
                                       .itl_tftp_server = std::move(lists->itl_tftp_server),
                                       .ctl_signature = std::move(lists->ctl_signature),
                                       .ctl_tftp_server = std::move(lists->ctl_tftp_server),
                                       .address = std::move(lists->address),
                                       .user_agent = request.user_agent,
                                       .basis = basis,
                                       .source = forwarder != nullptr ? forwarder->name : peer.address.ToText()};
  }
  decision.alarm = AlarmKind::kTrustLists;
  return decision;
}

ReportDecision DecideOptions(const SipRequest& request, const Whose& whose) {
  if (whose.IsForwarder() && whose.Allowed(&Forwarder::may_options) == nullptr) {
    return Forbidden("this forwarder may not send OPTIONS");
  }
  if (std::optional<ReportDecision> refusal = RefuseExtensions(request)) return *std::move(refusal);
  return {.answer = {.headers = {{"Allow", std::string(kAllow)},
                                 {"Accept", std::string(kAlarmContentType)},
                                 {"Supported", std::string(kSupportedExtension)}}}};
}

SipAnswer ComeAgain() { return {.code = 503, .headers = {{"Retry-After", std::string(kRetryAfterSeconds)}}}; }

}  // namespace

ReportDecision DecideReport(const SipRequest& request, const ReportPeer& peer, const CertificateStanding* standing,
                            const Forwarders* forwarders, absl::Time now) {
  if (request.method != "REFER" && request.method != "REGISTER" && request.method != "OPTIONS") {
    ReportDecision decision = Refuse(405, "not a method of reports");
    decision.answer.headers.emplace_back("Allow", kAllow);
    return decision;
  }
  if (forwarders == nullptr) return {.answer = ComeAgain(), .why = "the forwarders are not known yet"};
  const Whose whose = WhoseRequest(peer, standing, *forwarders);
  if (request.method == "OPTIONS") return DecideOptions(request, whose);
  if (request.method == "REGISTER") return DecideRegister(request, whose, now);
  return DecideRefer(request, peer, standing, whose, forwarders->accept_claims(), now);
}

SipAnswer RefusalOf(const absl::Status& status) {
  if (absl::IsUnimplemented(status)) return {.code = 505};
  return {.code = 400, .reason = std::string(StatusMessage(status))};
}

SipAnswer AnswerToUnstored(const absl::Status& status) {
  return absl::IsUnavailable(status) ? ComeAgain() : SipAnswer{.code = 400, .reason = "the report cannot be used"};
}

SipAnswer AnswerToFlood() { return ComeAgain(); }

bool IsForwarder(const ReportPeer& peer, const CertificateStanding* standing, const Forwarders* forwarders) {
  return forwarders != nullptr && WhoseRequest(peer, standing, *forwarders).IsForwarder();
}

}  // namespace trustline
