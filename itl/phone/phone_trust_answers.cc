// The methods of PhoneTrust that read.
#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/postgres/transaction.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/phone/claim_store.h"
#include "itl/phone/phone_explanation.h"
#include "itl/phone/phone_history.h"
#include "itl/phone/phone_messages.h"
#include "itl/phone/phone_trust_service.h"

namespace trustline {
namespace {

constexpr TransactionOptions kOneState = {.isolation = Isolation::kRepeatableRead, .read_only = true};
constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1000;
constexpr int kDefaultPoints = 50;
constexpr int kMostPoints = 500;
constexpr int kMostHeldCounts = 100;
constexpr int kMostWatchers = 16;
constexpr size_t kWatchBatch = 500;
constexpr absl::Duration kWatchLook = absl::Milliseconds(200);

absl::StatusOr<int32_t> PageSize(int32_t asked) {
  if (asked < 0 || asked > kLargestPageSize) return InvalidArgument("a page has 1 to {} rows", kLargestPageSize);
  return asked == 0 ? kDefaultPageSize : asked;
}

absl::Status WrongToken() {
  return InvalidArgument("the page token is not one that a list has given: begin again without it");
}

// A page token says where the page before ended: "p DEVICE", or among the claims, which come after the phones, "c
// DEVICE SOURCE".
struct PagePosition {
  bool in_claims = false;
  std::string device;
  std::string source;
};
absl::StatusOr<PagePosition> ReadPageToken(const std::string& token) {
  if (token.empty()) return PagePosition();
  const std::vector<std::string> parts = absl::StrSplit(token, absl::MaxSplits(' ', 2));
  if (parts.size() == 2 && parts[0] == "p") return PagePosition{.device = parts[1]};
  if (parts.size() == 3 && parts[0] == "c")
    return PagePosition{.in_claims = true, .device = parts[1], .source = parts[2]};
  return WrongToken();
}

absl::StatusOr<std::string> DeviceOf(const std::string& text) {
  ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(text));
  return device.text();
}

// What a filter leaves of a claim, whose phone may not be there.
bool Chooses(const PhoneFilter& filter, const Claim& claim, const HoldingView& view, const PhoneRow* known) {
  if (filter.since && claim.last_at < *filter.since) return false;
  if (!filter.model.empty() && (known == nullptr || known->model != filter.model)) return false;
  if (!filter.site.empty() && (known == nullptr || known->site != filter.site)) return false;
  return filter.Chooses(view);
}

bool Chooses(const PhoneFilter& filter, const PhoneRow& phone, const HoldingView& view) {
  if (filter.since && (!phone.state.reported_at || *phone.state.reported_at < *filter.since)) return false;
  if (!filter.model.empty() && phone.model != filter.model) return false;
  if (!filter.site.empty() && phone.site != filter.site) return false;
  return filter.Chooses(view);
}

absl::StatusOr<std::optional<PhoneRow>> FindIfKnown(PhoneReader& reader, const std::string& device) {
  absl::StatusOr<PhoneRow> found = reader.Find(device);
  if (found.ok()) return std::optional(*std::move(found));
  if (absl::IsNotFound(found.status())) return std::optional<PhoneRow>();
  return found.status();
}

// Claims until the page is full.
absl::Status AddClaims(Connection& connection, int32_t cluster_id, const HoldingViews& views, const PhoneFilter& filter,
                       PagePosition position, int32_t page_size, v1::ListPhonesResponse& response) {
  ClaimStore store(connection, cluster_id);
  PhoneReader reader(connection, cluster_id, views);
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<Claim> claims, store.List({position.device, position.source}, kLargestPageSize));
    ASSIGN_OR_RETURN(const std::vector<HoldingView> judged, JudgeClaims(connection, views, claims));
    for (size_t i = 0; i < claims.size(); ++i) {
      const Claim& claim = claims[i];
      if (response.phones_size() == page_size) {
        response.set_next_page_token(fmt::format("c {} {}", position.device, position.source));
        return absl::OkStatus();
      }
      position.device = claim.device;
      position.source = claim.source;
      ASSIGN_OR_RETURN(const std::optional<PhoneRow> known, FindIfKnown(reader, claim.device));
      if (!Chooses(filter, claim, judged[i], known ? &*known : nullptr)) continue;
      *response.add_phones() = ToProto(claim, judged[i], known ? &*known : nullptr);
    }
    if (claims.size() < static_cast<size_t>(kLargestPageSize)) return absl::OkStatus();
  }
}

// Phones by what they hold, whichever of its names they have for one of our servers.
class HeldCounts {
 public:
  void Add(HoldingView view, int64_t phones) {
    if (!view.server.empty()) view.holding.reported_server.clear();
    const Holding& holding = view.holding;
    Key key(view.status, view.server + holding.reported_server, holding.list_id, holding.generation, holding.adopted_id,
            holding.state, holding.own_list);
    const auto [count, is_new] = counts_.try_emplace(std::move(key), std::move(view), 0);
    count->second.second += phones;
  }
  // The most phones first.
  std::vector<std::pair<HoldingView, int64_t>> Take() {
    std::vector<std::pair<HoldingView, int64_t>> taken;
    for (auto& [key, count] : counts_) taken.push_back(std::move(count));
    std::stable_sort(taken.begin(), taken.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    return taken;
  }

 private:
  using Key = std::tuple<PhoneStatus, std::string, int64_t, int64_t, int64_t, ListSignature::State, bool>;
  std::map<Key, std::pair<HoldingView, int64_t>> counts_;
};

std::string_view WatchedName(PhoneEventKind event) {
  switch (event) {
    case PhoneEventKind::kRegistered:
      return "registered";
    case PhoneEventKind::kUnregistered:
      return "unregistered";
    case PhoneEventKind::kAdopted:
      return "adopted";
    case PhoneEventKind::kLists:
      break;
  }
  return "reported";
}

}  // namespace

absl::Status PhoneTrustService::ListPage(Connection& connection, const Caller& caller,
                                         const v1::ListPhonesRequest& request, v1::ListPhonesResponse& response) {
  response.Clear();
  ASSIGN_OR_RETURN(const int32_t page_size, PageSize(request.page_size()));
  ASSIGN_OR_RETURN(const PhoneFilter filter, FromProto(request.filter()));
  ASSIGN_OR_RETURN(PagePosition position, ReadPageToken(request.page_token()));
  const std::set<int> cures(request.filter().cures().begin(), request.filter().cures().end());
  if (!cures.empty()) {
    return ListByCure(connection, caller, filter, cures, position.device, page_size, response);
  }
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
  if (!position.in_claims) {
    PhoneReader reader(connection, caller.cluster_id, views);
    ASSIGN_OR_RETURN(const std::vector<PhoneRow> phones, reader.List(filter, position.device, page_size + 1));
    for (const PhoneRow& phone : phones) {
      if (response.phones_size() < page_size) *response.add_phones() = ToProto(phone, views);
    }
    RETURN_IF_ERROR(AddCures(connection, caller,
                             {response.mutable_phones()->pointer_begin(), response.mutable_phones()->pointer_end()}));
    if (phones.size() > static_cast<size_t>(page_size)) {
      response.set_next_page_token("p " + response.phones(page_size - 1).device());
      return absl::OkStatus();
    }
    position = {.in_claims = true};
  }
  if (filter.evidence_only) return absl::OkStatus();
  return AddClaims(connection, caller.cluster_id, views, filter, std::move(position), page_size, response);
}

absl::Status PhoneTrustService::Summarize(Connection& connection, const Caller& caller,
                                          const v1::SummarizePhonesRequest& request,
                                          v1::SummarizePhonesResponse& response) {
  response.Clear();
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
  ASSIGN_OR_RETURN(const auto counts,
                   PhoneReader(connection, caller.cluster_id, views).Count(request.model(), request.site()));
  const PhoneFilter filter{.server = request.tftp_server()};
  std::map<PhoneStatus, int64_t> totals;
  HeldCounts held;
  for (const auto& [holding_id, phones] : counts) {
    const HoldingView& view = views.Get(holding_id);
    if (!filter.Chooses(view)) continue;
    response.set_phones(response.phones() + phones);
    totals[view.status] += phones;
    held.Add(view, phones);
  }
  for (const PhoneStatus status : kPhoneStatuses) {
    v1::SummarizePhonesResponse::StatusCount& count = *response.add_statuses();
    count.set_status(ToProto(status));
    count.set_phones(totals[status]);
  }
  for (const auto& [view, phones] : held.Take()) {
    if (response.held_size() == kMostHeldCounts) break;
    v1::SummarizePhonesResponse::HeldCount& count = *response.add_held();
    *count.mutable_held() = ToProto(view, std::nullopt);
    count.set_phones(phones);
  }
  ASSIGN_OR_RETURN(const int64_t claims, ClaimStore(connection, caller.cluster_id).Count());
  response.set_claims(claims);
  if (request.with_cures()) {
    ASSIGN_OR_RETURN(const auto cures, cures_.Count(connection, caller.cluster_id));
    for (const auto& [cure, phones] : cures) {
      v1::SummarizePhonesResponse::CureCount& count = *response.add_cures();
      count.set_cure(ToProto(cure));
      count.set_phones(phones);
    }
  }
  response.set_unusable_reports(static_cast<int64_t>(unreadable_.value()));
  return absl::OkStatus();
}

absl::Status PhoneTrustService::ShowOne(Connection& connection, const Caller& caller,
                                        const v1::ShowPhoneRequest& request, v1::ShowPhoneResponse& response) {
  response.Clear();
  ASSIGN_OR_RETURN(const std::string device, DeviceOf(request.device()));
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
  PhoneReader reader(connection, caller.cluster_id, views);
  ASSIGN_OR_RETURN(const std::optional<PhoneRow> phone, FindIfKnown(reader, device));
  ASSIGN_OR_RETURN(const std::vector<Claim> claims, ClaimStore(connection, caller.cluster_id).OfDevice(device));
  if (!phone && claims.empty()) {
    return NotFound("no device {0} is in service, and nobody has claimed anything of it: `trustctl device add {0}`",
                    device);
  }
  if (phone) {
    *response.mutable_phone() = ToProto(*phone, views);
    RETURN_IF_ERROR(AddCures(connection, caller, {response.mutable_phone()}));
  } else {
    response.mutable_phone()->set_device(device);
    response.mutable_phone()->mutable_itl()->set_status(v1::PHONE_STATUS_UNKNOWN);
  }
  ASSIGN_OR_RETURN(const std::vector<HeldEntry> ledger, PhoneHistory(connection, caller.cluster_id).Ledger(device));
  ASSIGN_OR_RETURN(const auto published, views.ReadPublished(connection));
  for (const HeldEntry& entry : ledger) {
    HoldingViews::Past then = views.At(entry.last_at, published);
    const HoldingView& view = then.Get(entry.holding_id);
    v1::LedgerEntry& message = *response.add_ledger();
    message.set_kind(view.holding.kind == ListKind::kCtl ? v1::TRUST_LIST_KIND_CTL : v1::TRUST_LIST_KIND_ITL);
    *message.mutable_held() = ToProto(view, entry.sha1);
    message.set_how(entry.how);
    *message.mutable_first_at() = ToProtoTime(entry.first_at);
    *message.mutable_last_at() = ToProtoTime(entry.last_at);
  }
  ASSIGN_OR_RETURN(const std::vector<HoldingView> judged, JudgeClaims(connection, views, claims));
  for (size_t i = 0; i < claims.size(); ++i) {
    *response.add_claims() = ToProto(claims[i], judged[i], phone ? &*phone : nullptr);
  }
  return absl::OkStatus();
}

absl::Status PhoneTrustService::ListEvents(Connection& connection, const Caller& caller,
                                           const v1::ListPhoneHistoryRequest& request,
                                           v1::ListPhoneHistoryResponse& response) const {
  response.Clear();
  ASSIGN_OR_RETURN(const std::string device, DeviceOf(request.device()));
  ASSIGN_OR_RETURN(const int32_t page_size, PageSize(request.page_size()));
  PhoneHistory::Position before;
  if (!request.page_token().empty()) {
    const std::vector<std::string> parts = absl::StrSplit(request.page_token(), ' ');
    int64_t micros = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &micros) || !absl::SimpleAtoi(parts[1], &before.event_id)) {
      return WrongToken();
    }
    before.at = absl::FromUnixMicros(micros);
  }
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
  ASSIGN_OR_RETURN(const std::vector<PastEvent> events,
                   PhoneHistory(connection, caller.cluster_id).Events(device, before, page_size + 1));
  ASSIGN_OR_RETURN(const auto published, views.ReadPublished(connection));
  for (const PastEvent& event : events) {
    if (response.events_size() == page_size) {
      response.set_next_page_token(fmt::format("{} {}", absl::ToUnixMicros(before.at), before.event_id));
      break;
    }
    before = {.at = event.at, .event_id = event.event_id};
    v1::PhoneEvent& message = *response.add_events();
    *message.mutable_at() = ToProtoTime(event.at);
    message.set_device(device);
    message.set_event(event.event);
    if (event.holding_id != 0)
      *message.mutable_itl() = ToProto(views.At(event.at, published).Get(event.holding_id), event.itl_sha1);
    message.set_address(event.address);
    message.set_via(event.via);
  }
  return absl::OkStatus();
}

absl::Status PhoneTrustService::ListCurve(Connection& connection, const Caller& caller,
                                          const v1::ListAdoptionRequest& request,
                                          v1::ListAdoptionResponse& response) const {
  response.Clear();
  const int points = request.points() == 0 ? kDefaultPoints : request.points();
  if (points < 2 || points > kMostPoints) return InvalidArgument("a curve has 2 to {} points", kMostPoints);
  const absl::Time now = parts_.clock.Now();
  const absl::Time since = request.has_since() ? FromProtoTime(request.since()) : now - absl::Hours(24 * 30);
  if (since >= now) return InvalidArgument("the curve begins in the future");
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
  ASSIGN_OR_RETURN(std::vector<AdoptionPoint> curve,
                   PhoneHistory(connection, caller.cluster_id).Adoption(since, now, points));
  // The last point is now, whatever was recorded.
  ASSIGN_OR_RETURN(curve.back().phones, PhoneReader(connection, caller.cluster_id, views).Count("", ""));
  const PhoneFilter filter{.server = request.tftp_server()};
  ASSIGN_OR_RETURN(const auto published, views.ReadPublished(connection));
  for (const AdoptionPoint& point : curve) {
    HoldingViews::Past then = views.At(point.at, published);
    HeldCounts held;
    v1::ListAdoptionResponse::Point& message = *response.add_points();
    *message.mutable_at() = ToProtoTime(point.at);
    for (const auto& [holding_id, phones] : point.phones) {
      message.set_phones(message.phones() + phones);
      const HoldingView& view = then.Get(holding_id);
      if (filter.Chooses(view)) held.Add(view, phones);
    }
    for (const auto& [view, phones] : held.Take()) {
      v1::ListAdoptionResponse::Share& share = *message.add_shares();
      *share.mutable_held() = ToProto(view, std::nullopt);
      share.set_phones(phones);
    }
  }
  return absl::OkStatus();
}

absl::Status PhoneTrustService::WriteEvents(const Caller& caller, const PhoneFilter& filter,
                                            const PhoneWatch::Batch& batch,
                                            grpc::ServerWriter<v1::WatchPhonesResponse>& writer) const {
  std::vector<v1::WatchPhonesResponse> responses;
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, kOneState, [&](Connection& connection) -> absl::Status {
    responses.clear();
    ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
    PhoneReader reader(connection, caller.cluster_id, views);
    for (const PhoneWatch::Event& event : batch.events) {
      if (event.cluster_id != caller.cluster_id) continue;
      ASSIGN_OR_RETURN(const std::optional<PhoneRow> now, FindIfKnown(reader, event.what.state.device));
      PhoneRow then{.state = event.what.state};
      if (now) {
        then.model = now->model;
        then.site = now->site;
      }
      if (!Chooses(filter, then, views.Get(then.state.holding_id))) continue;
      v1::WatchPhonesResponse& response = responses.emplace_back();
      *response.mutable_phone() = ToProto(then, views);
      response.set_event(std::string(WatchedName(event.what.event)));
      *response.mutable_at() = ToProtoTime(event.what.at);
    }
    return absl::OkStatus();
  }));
  if (batch.missed > 0) {
    if (responses.empty()) responses.emplace_back();
    responses.front().set_missed(batch.missed);
  }
  for (const v1::WatchPhonesResponse& response : responses) {
    if (!writer.Write(response)) return absl::CancelledError("the client went away");
  }
  return absl::OkStatus();
}

absl::Status PhoneTrustService::Watch(grpc::ServerContext& context, const Caller& caller,
                                      const v1::WatchPhonesRequest& request,
                                      grpc::ServerWriter<v1::WatchPhonesResponse>& writer) {
  ASSIGN_OR_RETURN(const PhoneFilter filter, FromProto(request.filter()));
  const absl::Cleanup leave = [this] { --watchers_; };
  if (++watchers_ > kMostWatchers) {
    return ResourceExhausted("{} others watch already: try again when one has ended", kMostWatchers);
  }
  int64_t next = watch_.End();
  // The client's call is open now, whatever happens first.
  writer.SendInitialMetadata();
  while (!context.IsCancelled()) {
    const PhoneWatch::Batch batch = watch_.WaitFrom(next, kWatchLook, kWatchBatch);
    next = batch.next;
    if (!batch.events.empty() || batch.missed > 0) RETURN_IF_ERROR(WriteEvents(caller, filter, batch, writer));
    if (watch_.stopped()) return Unavailable("itld ends: watch again");
  }
  return absl::OkStatus();
}

grpc::Status PhoneTrustService::ListPhones(grpc::ServerContext* context, const v1::ListPhonesRequest* request,
                                           v1::ListPhonesResponse* response) {
  return Answer(*context, "ListPhones", *request, [&](Connection& connection, const Caller& caller) {
    return ListPage(connection, caller, *request, *response);
  });
}
grpc::Status PhoneTrustService::SummarizePhones(grpc::ServerContext* context, const v1::SummarizePhonesRequest* request,
                                                v1::SummarizePhonesResponse* response) {
  return Answer(*context, "SummarizePhones", *request, [&](Connection& connection, const Caller& caller) {
    return Summarize(connection, caller, *request, *response);
  });
}
grpc::Status PhoneTrustService::ShowPhone(grpc::ServerContext* context, const v1::ShowPhoneRequest* request,
                                          v1::ShowPhoneResponse* response) {
  return Answer(*context, "ShowPhone", *request, [&](Connection& connection, const Caller& caller) {
    return ShowOne(connection, caller, *request, *response);
  });
}
grpc::Status PhoneTrustService::ListPhoneHistory(grpc::ServerContext* context,
                                                 const v1::ListPhoneHistoryRequest* request,
                                                 v1::ListPhoneHistoryResponse* response) {
  return Answer(*context, "ListPhoneHistory", *request, [&](Connection& connection, const Caller& caller) {
    return ListEvents(connection, caller, *request, *response);
  });
}
grpc::Status PhoneTrustService::ListAdoption(grpc::ServerContext* context, const v1::ListAdoptionRequest* request,
                                             v1::ListAdoptionResponse* response) {
  return Answer(*context, "ListAdoption", *request, [&](Connection& connection, const Caller& caller) {
    return ListCurve(connection, caller, *request, *response);
  });
}
grpc::Status PhoneTrustService::WatchPhones(grpc::ServerContext* context, const v1::WatchPhonesRequest* request,
                                            grpc::ServerWriter<v1::WatchPhonesResponse>* writer) {
  const absl::StatusOr<Caller> caller = Admit(*context, "WatchPhones", *request);
  return ToGrpc(caller.ok() ? Watch(*context, *caller, *request, *writer) : caller.status());
}
grpc::Status PhoneTrustService::ExplainPhone(grpc::ServerContext* context, const v1::ExplainPhoneRequest* request,
                                             v1::ExplainPhoneResponse* response) {
  return Answer(*context, "ExplainPhone", *request, [&](Connection& connection, const Caller& caller) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string device, DeviceOf(request->device()));
    ASSIGN_OR_RETURN(*response, trustline::ExplainPhone(connection, caller.cluster_id, device, parts_.clock.Now()));
    if (!response->phone().known()) return absl::OkStatus();
    RETURN_IF_ERROR(AddCures(connection, caller, {response->mutable_phone()}));
    // A reset alone would not help these.
    const v1::PhoneCure cure = response->phone().cure();
    // And what has the ITL may lack the CTL.
    const bool lacks_ctl = cure == v1::PHONE_CURE_RESET && response->phone().itl().status() == v1::PHONE_STATUS_MATCH;
    if (cure == v1::PHONE_CURE_RESTORE_REACH || cure == v1::PHONE_CURE_PUBLISH_RECOVERY ||
        cure == v1::PHONE_CURE_BY_HAND || lacks_ctl) {
      response->set_next_step(response->phone().cure_reason());
    }
    return absl::OkStatus();
  });
}

}  // namespace trustline
