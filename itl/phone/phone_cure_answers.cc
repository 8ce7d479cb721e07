// What PhoneTrust says of the ways of phones to what is published: cures, and the forecast.
#include <set>
#include <utility>

#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/phone/phone_messages.h"
#include "itl/phone/phone_trust_service.h"
#include "itl/preflight/preflight_gate.h"

namespace trustline {
namespace {

// Phones are read so many at a time until those of a cure fill a page, and no more than so many for one page.
constexpr int kChunk = 1000;
constexpr int kMostSeenForCures = 20'000;
constexpr absl::Duration kForecast = absl::Hours(24 * 366);

}  // namespace

absl::Status PhoneTrustService::AddCures(Connection& connection, const Caller& caller,
                                         const std::vector<v1::Phone*>& phones) {
  std::vector<std::string> devices;
  for (const v1::Phone* phone : phones) devices.push_back(phone->device());
  ASSIGN_OR_RETURN(const auto cures, cures_.Of(connection, caller.cluster_id, devices));
  for (v1::Phone* phone : phones) {
    const auto found = cures.find(phone->device());
    const PhoneCure cure = found == cures.end() ? PhoneCure::kUnknown : found->second;
    phone->set_cure(ToProto(cure));
    phone->set_cure_reason(std::string(CureSentence(cure)));
  }
  return absl::OkStatus();
}

absl::Status PhoneTrustService::ListByCure(Connection& connection, const Caller& caller, const PhoneFilter& filter,
                                           const std::set<int>& cures, std::string after, int32_t page_size,
                                           v1::ListPhonesResponse& response) {
  ASSIGN_OR_RETURN(const HoldingViews views, HoldingViews::Read(connection, caller.cluster_id));
  PhoneReader reader(connection, caller.cluster_id, views);
  for (int seen = 0; seen < kMostSeenForCures; seen += kChunk) {
    ASSIGN_OR_RETURN(const std::vector<PhoneRow> phones, reader.List(filter, after, kChunk));
    std::vector<v1::Phone> judged;
    std::vector<v1::Phone*> pointers;
    judged.reserve(phones.size());
    for (const PhoneRow& phone : phones) pointers.push_back(&judged.emplace_back(ToProto(phone, views)));
    RETURN_IF_ERROR(AddCures(connection, caller, pointers));
    for (v1::Phone& phone : judged) {
      if (response.phones_size() == page_size) {
        response.set_next_page_token("p " + after);
        return absl::OkStatus();
      }
      after = phone.device();
      if (cures.contains(phone.cure())) response.add_phones()->Swap(&phone);
    }
    if (phones.size() < static_cast<size_t>(kChunk)) return absl::OkStatus();
  }
  // The page is not full, but a caller must not wait for what is rare among a million.
  response.set_next_page_token("p " + after);
  return absl::OkStatus();
}

grpc::Status PhoneTrustService::ForecastExpiry(grpc::ServerContext* context, const v1::ForecastExpiryRequest* request,
                                               v1::ForecastExpiryResponse* response) {
  return Answer(
      *context, "ForecastExpiry", *request, [&](Connection& connection, const Caller& caller) -> absl::Status {
        const absl::Time now = parts_.clock.Now();
        const absl::Time until = request->has_until() ? FromProtoTime(request->until()) : now + kForecast;
        ASSIGN_OR_RETURN(
            *response, trustline::ForecastExpiry(connection, caller.cluster_id, parts_.lists, parts_.keys, now, until));
        return absl::OkStatus();
      });
}

}  // namespace trustline
