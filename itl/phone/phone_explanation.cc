#include "itl/phone/phone_explanation.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/rpc/proto_time.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/phone/claim_store.h"
#include "itl/phone/phone_history.h"
#include "itl/phone/phone_messages.h"
#include "itl/preflight/phone_group.h"
#include "proto/verification.pb.h"

namespace trustline {
namespace {

constexpr Statement kDevice = {
    "explain_device",
    "SELECT state, state_reason, model, load, added_at FROM device WHERE cluster_id = $1 AND name = $2"};
constexpr Statement kOperations = {
    "explain_operations",
    "SELECT operation, state, reason, deadline, scheduled_at, ended_at FROM capf_operation WHERE cluster_id = $1 AND "
    "device COLLATE \"C\" = $2 ORDER BY operation_id DESC LIMIT 5"};
constexpr Statement kCertificates = {"explain_certificates",
                                     "SELECT state, encode(serial, 'hex'), not_before, not_after, confirmed_at, "
                                     "revoked_at FROM issuance WHERE cluster_id "
                                     "= $1 AND device = $2 AND state <> 'abandoned' ORDER BY issuance_id DESC LIMIT 3"};
constexpr Statement kOffered = {
    "explain_offered",
    "SELECT l.tftp_server, l.device <> '', l.generation, g.sha1, g.published_at FROM trust_list l JOIN "
    "trust_list_generation g USING (cluster_id, list_id, generation) WHERE l.cluster_id = $1 AND l.kind = 'ITL' AND "
    "l.removed_at IS NULL AND l.device IN ('', $2) AND ($3 = '' OR l.tftp_server = $3) ORDER BY l.tftp_server, "
    "l.device "
    "LIMIT 10"};
constexpr Statement kQuestions = {
    "explain_questions",
    "SELECT s.kind, s.subject, s.issuer, q.valid, q.reason, sum(q.count)::bigint, max(q.last_at) FROM tvs_question q "
    "JOIN "
    "tvs_question_signer s USING (cluster_id, signer_id) WHERE q.cluster_id = $1 AND q.device = $2 AND q.at >= $3 "
    "GROUP "
    "BY s.kind, s.subject, s.issuer, q.valid, q.reason ORDER BY max(q.last_at) DESC LIMIT 10"};
constexpr Statement kReach = {"explain_reach",
                              "SELECT node, last_at FROM tvs_reach WHERE cluster_id = $1 AND site = $2 AND device = $3 "
                              "ORDER BY last_at DESC, node LIMIT 10"};

std::string ListWords(const HoldingView& view, const std::optional<Sha1Digest>& sha1) {
  const Holding& holding = view.holding;
  if (holding.holding_id == 0) return "nothing is known of its list";
  const std::string from =
      holding.reported_server.empty() ? "" : fmt::format(", from the TFTP server {}", holding.reported_server);
  if (holding.state == ListSignature::State::kNotInstalled) return "no list is installed";
  if (holding.state == ListSignature::State::kUnreadable) return fmt::format("its hash could not be read{}", from);
  if (holding.list_id != 0) {
    return fmt::format("generation {}{}{}", holding.generation,
                       holding.list_server.empty() ? "" : fmt::format(" of {}", holding.list_server), from);
  }
  if (holding.adopted_id != 0) return fmt::format("a list of {}{}", holding.adopted_origin, from);
  return fmt::format("a list that is not known here (SHA-1 {}){}", sha1 ? ToHex(*sha1) : "unknown", from);
}

class Explanation {
 public:
  Explanation(Connection& connection, int32_t cluster_id, const std::string& device, absl::Time now)
      : connection_(connection), cluster_id_(cluster_id), device_(device), now_(now) {}

  absl::StatusOr<v1::ExplainPhoneResponse> Make();

 private:
  void Add(const char* subject, std::optional<absl::Time> at, std::string sentence);
  absl::Status AddDevice();
  absl::Status AddLedger();
  absl::Status AddClaims();
  absl::Status AddEnrolment();
  absl::Status AddOffered(const std::string& server);
  absl::Status AddQuestions();
  absl::Status AddReach(const std::string& site);
  void Conclude(const PhoneRow& phone, const HoldingView& view);
  void ConcludeMismatch(const PhoneRow& phone, const HoldingView& view);

  Connection& connection_;
  const int32_t cluster_id_;
  const std::string device_;
  const absl::Time now_;
  std::optional<HoldingViews> views_;
  v1::ExplainPhoneResponse response_;
  bool has_claims_ = false;
  bool forwarder_spoke_ = false;          // in one of them, before the device was there
  int64_t unknown_signers_ = 0;           // questions about them in the last week
  std::optional<absl::Time> offered_at_;  // when the list was published that it is offered
};

void Explanation::Add(const char* subject, std::optional<absl::Time> at, std::string sentence) {
  v1::ExplainPhoneResponse::Fact& fact = *response_.add_facts();
  fact.set_subject(subject);
  if (at) *fact.mutable_at() = ToProtoTime(*at);
  fact.set_sentence(std::move(sentence));
}

absl::Status Explanation::AddDevice() {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kDevice, Parameters().Int64(cluster_id_).Text(device_)));
  if (rows.empty()) return absl::OkStatus();
  std::string state, reason, model, load;
  absl::Time added_at;
  RETURN_IF_ERROR(rows[0].Scan(state, reason, model, load, added_at));
  Add("device", added_at,
      fmt::format("added; {}{}{}{}", state, reason.empty() ? "" : fmt::format(" ({})", reason),
                  model.empty() ? "" : fmt::format("; model {}", model),
                  load.empty() ? "" : fmt::format(", load {}", load)));
  return absl::OkStatus();
}

absl::Status Explanation::AddLedger() {
  ASSIGN_OR_RETURN(const std::vector<HeldEntry> ledger, PhoneHistory(connection_, cluster_id_).Ledger(device_));
  for (const HeldEntry& entry : ledger) {
    const HoldingView& view = views_->Get(entry.holding_id);
    Add("ledger", entry.last_at,
        fmt::format("{}, {}: {}; first so on {}", ListKindName(view.holding.kind), entry.how,
                    ListWords(view, entry.sha1), TimeTextSeconds(entry.first_at)));
  }
  return absl::OkStatus();
}

absl::Status Explanation::AddClaims() {
  ASSIGN_OR_RETURN(const std::vector<Claim> claims, ClaimStore(connection_, cluster_id_).OfDevice(device_));
  has_claims_ = !claims.empty();
  ASSIGN_OR_RETURN(const std::vector<HoldingView> judged, JudgeClaims(connection_, *views_, claims));
  for (size_t i = 0; i < claims.size(); ++i) {
    const Claim& claim = claims[i];
    forwarder_spoke_ = forwarder_spoke_ || claim.of_forwarder;
    Add("claim", claim.last_at,
        fmt::format("{} said {} times that it is {}; no evidence: {}", claim.source, claim.reports,
                    PhoneStatusText(judged[i].status), claim.reason));
  }
  return absl::OkStatus();
}

absl::Status Explanation::AddEnrolment() {
  ASSIGN_OR_RETURN(const Result operations,
                   connection_.Execute(kOperations, Parameters().Int64(cluster_id_).Text(device_)));
  for (const Row row : operations) {
    std::string operation, state, reason;
    absl::Time deadline, scheduled_at;
    std::optional<absl::Time> ended_at;
    RETURN_IF_ERROR(row.Scan(operation, state, reason, deadline, scheduled_at, ended_at));
    Add("enrolment", ended_at ? *ended_at : scheduled_at,
        fmt::format("{} {}{}{}", operation, state, reason.empty() ? "" : fmt::format(": {}", reason),
                    ended_at ? "" : fmt::format("; it completes by {}", TimeTextSeconds(deadline))));
  }
  ASSIGN_OR_RETURN(const Result certificates,
                   connection_.Execute(kCertificates, Parameters().Int64(cluster_id_).Text(device_)));
  if (certificates.empty()) Add("LSC", std::nullopt, "it was never issued one");
  for (const Row row : certificates) {
    std::string state, serial;
    absl::Time not_before, not_after;
    std::optional<absl::Time> confirmed_at, revoked_at;
    RETURN_IF_ERROR(row.Scan(state, serial, not_before, not_after, confirmed_at, revoked_at));
    Add("LSC", revoked_at ? *revoked_at : not_before,
        fmt::format("serial {}: {}{}; {} {}", serial, state,
                    state != "revoked" && !confirmed_at ? ", not acknowledged by the phone" : "",
                    not_after <= now_ ? "expired" : "expires", TimeTextSeconds(not_after)));
  }
  return absl::OkStatus();
}

absl::Status Explanation::AddOffered(const std::string& server) {
  ASSIGN_OR_RETURN(const Result rows,
                   connection_.Execute(kOffered, Parameters().Int64(cluster_id_).Text(device_).Text(server)));
  for (const Row row : rows) {
    std::string name;
    bool is_own = false;
    int64_t generation = 0;
    Sha1Digest sha1;
    absl::Time published_at;
    RETURN_IF_ERROR(row.Scan(name, is_own, generation, sha1, published_at));
    if (!server.empty()) offered_at_ = published_at;
    Add("list offered", published_at,
        fmt::format("{} offers {}generation {} (SHA-1 {})", name, is_own ? "this device its own list, " : "",
                    generation, ToHex(sha1)));
  }
  return absl::OkStatus();
}

absl::Status Explanation::AddQuestions() {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kQuestions, Parameters().Int64(cluster_id_).Text(device_).Time(now_ - absl::Hours(24 * 7))));
  for (const Row row : rows) {
    std::string kind, subject, issuer;
    bool valid = false;
    int16_t reason = 0;
    int64_t count = 0;
    absl::Time last_at;
    RETURN_IF_ERROR(row.Scan(kind, subject, issuer, valid, reason, count, last_at));
    const bool is_unknown = !valid && reason == v1::INVALID_REASON_UNKNOWN;
    if (is_unknown) unknown_signers_ += count;
    Add("TVS question", last_at,
        fmt::format("somebody of this name asked {} times about {} ({}): {}", count,
                    subject.empty() ? fmt::format("a certificate of {}", issuer) : subject, kind,
                    valid        ? "valid"
                    : is_unknown ? "not known"
                                 : "invalid"));
  }
  return absl::OkStatus();
}

absl::Status Explanation::AddReach(const std::string& site) {
  ASSIGN_OR_RETURN(
      const Result rows,
      connection_.Execute(kReach, Parameters().Int64(cluster_id_).Text(site).Text(site.empty() ? device_ : "")));
  const std::string who = site.empty() ? "it" : fmt::format("a phone of its site {}", site);
  for (const Row row : rows) {
    std::string node;
    absl::Time last_at;
    RETURN_IF_ERROR(row.Scan(node, last_at));
    Add("TVS reach", last_at,
        fmt::format("{} asked {} from its own address{}", who, node,
                    last_at < now_ - kTvsReach ? "; too long ago to count as a way" : ""));
  }
  if (rows.empty()) {
    Add("TVS reach", std::nullopt,
        fmt::format("{} was not seen to ask any node from its own address, as behind NAT none can be", who));
  }
  return absl::OkStatus();
}

void Explanation::ConcludeMismatch(const PhoneRow& phone, const HoldingView& view) {
  const PhoneState& state = phone.state;
  response_.set_verdict(fmt::format("It holds {}; {} is served.", ListWords(view, state.itl_sha1),
                                    view.expected_generation == 0
                                        ? std::string("another list")
                                        : fmt::format("generation {}", view.expected_generation)));
  if (view.expected_generation == 0 && !view.server.empty() && !view.holding.own_list) {
    response_.set_verdict(fmt::format("It holds {}; the TFTP server {} makes no list any more.",
                                      ListWords(view, state.itl_sha1), view.server));
    response_.set_next_step("Point its configuration to a TFTP server that is there, then reset it.");
  } else if (unknown_signers_ > 0) {
    response_.set_next_step(
        fmt::format("TVS was asked under its name about signers that it does not know (trustctl tvs questions --device "
                    "{}): see that "
                    "the signer of the list that it is offered is in the trust store.",
                    device_));
  } else if (state.reported_at && offered_at_ && *state.reported_at > *offered_at_) {
    response_.set_next_step(
        "It has started since the present list was published, and still holds another: it refuses that list, or takes "
        "its files elsewhere. See which TFTP server and TVS it asks, then reset it.");
  } else {
    response_.set_next_step("Phones read lists at a start or a reset: reset it.");
  }
}

void Explanation::Conclude(const PhoneRow& phone, const HoldingView& view) {
  const PhoneState& state = phone.state;
  switch (view.status) {
    case PhoneStatus::kMatch:
      response_.set_verdict(
          fmt::format("It holds the current list{}.", view.server.empty() ? "" : fmt::format(" of {}", view.server)));
      response_.set_next_step(now_ - *state.reported_at > kSilence
                                  ? "Nothing; but it has said nothing for half a year: see whether it still is there."
                                  : "Nothing.");
      return;
    case PhoneStatus::kMismatch:
      ConcludeMismatch(phone, view);
      return;
    case PhoneStatus::kNotInstalled:
      response_.set_verdict("It has no trust list: it takes the first one that it is offered, whoever signed it.");
      response_.set_next_step("See that its TFTP server has the list (trustctl itl export), then reset it.");
      return;
    case PhoneStatus::kForeign:
      response_.set_verdict(fmt::format("It holds {}.", ListWords(view, state.itl_sha1)));
      if (view.holding.adopted_id != 0) {
        response_.set_next_step(
            fmt::format("Nothing here: it belongs to {}, whose lists were adopted.", view.holding.adopted_origin));
        return;
      }
      response_.set_next_step(fmt::format(
          "If {} is a name of one of our TFTP servers, say so (trustctl itl server name add SERVER {}); else the phone "
          "belongs to another cluster: adopt that one's lists (trustctl adopt) to judge it.",
          view.holding.reported_server, view.holding.reported_server));
      return;
    case PhoneStatus::kUnknown:
      break;
  }
  if (view.holding.state == ListSignature::State::kHash) {
    response_.set_verdict(fmt::format("It holds {}, and names no TFTP server.", ListWords(view, state.itl_sha1)));
    response_.set_next_step(
        "See which TFTP server its configuration names, and adopt that one's lists (trustctl adopt).");
  } else if (view.holding.holding_id != 0) {
    response_.set_verdict("Its report cannot be read: the hash is none of a trust list.");
    response_.set_next_step("See what its call manager passes on, and which load it runs.");
  } else if (state.registered == false) {
    response_.set_verdict(fmt::format("It has unregistered; what it held last: {}.",
                                      ListWords(views_->Get(state.held.holding_id), state.held.sha1)));
    response_.set_next_step("Wait until it registers again, or see whether it still is there.");
  } else if (state.held.at) {
    response_.set_verdict(fmt::format("It has not reported since it registered again; what it held last: {}.",
                                      ListWords(views_->Get(state.held.holding_id), state.held.sha1)));
    response_.set_next_step("Reset it: phones report their lists at each start.");
  } else if (forwarder_spoke_) {
    response_.set_verdict("It has reported before it was added as a device.");
    response_.set_next_step("Reset it: its next report counts.");
  } else if (has_claims_) {
    response_.set_verdict("Nobody whose word counts has reported of it; somebody else has (the claims below).");
    response_.set_next_step("If a claim came from your call manager, name it: trustctl forwarder add ADDRESS.");
  } else {
    response_.set_verdict("Nothing was reported of it yet.");
    response_.set_next_step(
        "See that its call manager passes alarms on to this system (docs/FORWARDING.md), and reset the phone.");
  }
}

absl::StatusOr<v1::ExplainPhoneResponse> Explanation::Make() {
  ASSIGN_OR_RETURN(views_, HoldingViews::Read(connection_, cluster_id_));
  const absl::StatusOr<PhoneRow> phone = PhoneReader(connection_, cluster_id_, *views_).Find(device_);
  if (!phone.ok() && !absl::IsNotFound(phone.status())) return phone.status();
  RETURN_IF_ERROR(AddDevice());
  if (phone.ok()) {
    const HoldingView& view = views_->Get(phone->state.holding_id);
    *response_.mutable_phone() = ToProto(*phone, *views_);
    if (phone->state.reported_at) {
      Add("report", phone->state.reported_at,
          fmt::format("{}: {}; by {}", PhoneStatusText(view.status), ListWords(view, phone->state.itl_sha1),
                      phone->state.via));
    }
    if (phone->state.registration_at) {
      Add("registration", phone->state.registration_at, *phone->state.registered ? "registered" : "unregistered");
    }
    RETURN_IF_ERROR(AddOffered(view.server));
    RETURN_IF_ERROR(AddReach(phone->site));
  }
  RETURN_IF_ERROR(AddLedger());
  RETURN_IF_ERROR(AddClaims());
  RETURN_IF_ERROR(AddEnrolment());
  RETURN_IF_ERROR(AddQuestions());
  if (phone.ok()) {
    Conclude(*phone, views_->Get(phone->state.holding_id));
  } else if (has_claims_) {
    response_.mutable_phone()->set_device(device_);
    response_.mutable_phone()->mutable_itl()->set_status(v1::PHONE_STATUS_UNKNOWN);
    response_.set_verdict("No such device is in service; somebody has claimed something of it.");
    response_.set_next_step(fmt::format("If it is yours, add it: trustctl device add {}.", device_));
  } else {
    return NotFound("no device {} is in service, and nobody has said anything of one: `trustctl device add {}`",
                    device_, device_);
  }
  std::stable_sort(response_.mutable_facts()->begin(), response_.mutable_facts()->end(),
                   [](const auto& a, const auto& b) { return FromProtoTime(a.at()) > FromProtoTime(b.at()); });
  return std::move(response_);
}

}  // namespace

absl::StatusOr<v1::ExplainPhoneResponse> ExplainPhone(Connection& connection, int32_t cluster_id,
                                                      const std::string& device, absl::Time now) {
  return Explanation(connection, cluster_id, device, now).Make();
}

}  // namespace trustline
