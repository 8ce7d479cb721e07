#include "provisioning/report_queue.h"

#include <algorithm>
#include <utility>

#include "common/rpc/proto_time.h"
#include "common/service/json.h"
#include "common/status/status.h"

namespace trustline {
namespace {

v1::PhoneReport::Event ToProto(PhoneTrustEvent event) {
  switch (event) {
    case PhoneTrustEvent::kLists:
      return v1::PhoneReport::EVENT_LISTS;
    case PhoneTrustEvent::kRegistered:
      return v1::PhoneReport::EVENT_REGISTERED;
    case PhoneTrustEvent::kUnregistered:
      return v1::PhoneReport::EVENT_UNREGISTERED;
  }
  return v1::PhoneReport::EVENT_UNSPECIFIED;
}

v1::ReportBasis ToProto(ReportBasis basis) {
  switch (basis) {
    case ReportBasis::kForwarder:
      return v1::REPORT_BASIS_FORWARDER;
    case ReportBasis::kDeviceCertificate:
      return v1::REPORT_BASIS_DEVICE_CERTIFICATE;
    case ReportBasis::kNone:
      return v1::REPORT_BASIS_NONE;
  }
  return v1::REPORT_BASIS_UNSPECIFIED;
}

// gRPC takes no string that is not UTF-8: one phone's bytes must not hold up everybody's reports.
v1::PhoneReport ToProto(const PhoneTrustReport& report) {
  v1::PhoneReport message;
  message.set_device(PrintableText(report.device));
  message.set_event(ToProto(report.event));
  *message.mutable_at() = ToProtoTime(report.at);
  message.set_itl_signature(PrintableText(report.itl_signature));
  message.set_itl_tftp_server(PrintableText(report.itl_tftp_server));
  message.set_ctl_signature(PrintableText(report.ctl_signature));
  message.set_ctl_tftp_server(PrintableText(report.ctl_tftp_server));
  message.set_address(PrintableText(report.address));
  message.set_user_agent(PrintableText(report.user_agent));
  message.set_basis(ToProto(report.basis));
  message.set_source(PrintableText(report.source));
  return message;
}

}  // namespace

bool ReportQueue::Add(const PhoneTrustReport& report, Done& done, Time now) {
  const bool is_claim = report.basis == ReportBasis::kNone;
  Lane& lane = is_claim ? claims_ : evidence_;
  if (lane.entries.size() >= (is_claim ? options_.most_claims : options_.most_evidence)) return false;
  lane.entries.push_back({ToProto(report), std::move(done), now + options_.patience});
  return true;
}

bool ReportQueue::Take(size_t most, v1::ReportPhoneTrustRequest& request) {
  Batch batch;
  batch.evidence = TakeFrom(evidence_, most, request);
  batch.claims = TakeFrom(claims_, most - batch.evidence, request);
  if (batch.size() == 0) return false;
  under_way_.push_back(batch);
  return true;
}

size_t ReportQueue::TakeFrom(Lane& lane, size_t most, v1::ReportPhoneTrustRequest& request) {
  const size_t count = std::min(most, lane.entries.size() - lane.under_way);
  for (size_t i = 0; i < count; ++i) *request.add_reports() = lane.entries[lane.under_way + i].report;
  lane.under_way += count;
  return count;
}

std::vector<ReportQueue::Answer> ReportQueue::Settle(const std::map<size_t, absl::Status>& refusals) {
  const Batch batch = under_way_.front();
  under_way_.pop_front();
  std::vector<Answer> answers;
  SettleIn(evidence_, batch.evidence, 0, refusals, answers);
  SettleIn(claims_, batch.claims, batch.evidence, refusals, answers);
  return answers;
}

void ReportQueue::SettleIn(Lane& lane, size_t count, size_t first_index, const std::map<size_t, absl::Status>& refusals,
                           std::vector<Answer>& answers) {
  for (size_t i = 0; i < count; ++i) {
    Entry& entry = lane.entries.front();
    if (entry.done) {
      const auto refusal = refusals.find(first_index + i);
      answers.push_back({std::move(entry.done), refusal == refusals.end() ? absl::OkStatus() : refusal->second});
    }
    lane.entries.pop_front();
  }
  lane.under_way -= count;
  lane.told -= std::min(lane.told, count);
}

void ReportQueue::TakeBack() {
  under_way_.clear();
  evidence_.under_way = 0;
  claims_.under_way = 0;
}

std::vector<ReportQueue::Answer> ReportQueue::Expire(Time now) {
  std::vector<Answer> answers;
  for (Lane* lane : {&evidence_, &claims_}) {
    for (; lane->told < lane->entries.size() && lane->entries[lane->told].expires <= now; ++lane->told) {
      answers.push_back({std::exchange(lane->entries[lane->told].done, nullptr),
                         Unavailable("itld has not stored the report in time; it is tried again")});
    }
  }
  return answers;
}

ReportQueue::Time ReportQueue::NextExpiry() const {
  Time next = Time::max();
  for (const Lane* lane : {&evidence_, &claims_}) {
    if (lane->told < lane->entries.size()) next = std::min(next, lane->entries[lane->told].expires);
  }
  return next;
}

std::vector<ReportQueue::Answer> ReportQueue::Clear(const absl::Status& status) {
  TakeBack();
  std::vector<Answer> answers;
  for (Lane* lane : {&evidence_, &claims_}) {
    for (Entry& entry : lane->entries) {
      if (entry.done) answers.push_back({std::move(entry.done), status});
    }
    *lane = {};
  }
  return answers;
}

}  // namespace trustline
