// How fast the mismatch report answers over a million phones, and how many reports itld takes, with the real itld and
// PostgreSQL on this machine's cores.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "proto/phone_trust.grpc.pb.h"
#include "tests/benchmarks/report.h"
#include "tests/support/itld_process.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Stub = v1::PhoneTrust::Stub;

constexpr int kPhones = 1'000'000;
constexpr int kServers = 20;
constexpr int kRounds = 51;
constexpr int kStreams = 2;
constexpr int kBatch = 500;
constexpr int kReports = 100'000;
constexpr double kWantedSummary = 50;  // milliseconds
constexpr double kWantedPage = 30;
constexpr double kWantedReports = 5'000;  // a second

double MillisecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

std::string Device(int number) { return fmt::format("SEP{:012X}", number); }
std::string HashOf(int server, int generation) { return fmt::format("{:038x}{:02x}", server, generation); }

// Twenty TFTP servers with two generations each; of 1,000 phones 949 hold the current one, 30 the one before, 10 none,
// 6 a list of somebody else, and 5 have said nothing. They stand in 2,000 sites and are of 30 models.
absl::Status Fill(const ScratchDatabase& database) {
  ASSIGN_OR_RETURN(Connection superuser, database.Connect());
  RETURN_IF_ERROR(superuser.SetQueryTimeout(absl::Minutes(20)));
  const auto run = [&](const std::string& sql) { return superuser.ExecuteScript(sql); };
  RETURN_IF_ERROR(run(fmt::format(
      "INSERT INTO trust_list_policy (cluster_id, tftp_role, recovery_years, organization, organizational_unit) VALUES "
      "(1, 2, 20, 'Example', 'Voice');"
      "INSERT INTO tftp_server (cluster_id, name, host, added_by) SELECT 1, 'tftp' || n, 'tftp' || n || '.example', "
      "'benchmark' FROM generate_series(1, {0}) AS n;"
      "INSERT INTO trust_list (cluster_id, kind, tftp_server, added_by, generation) SELECT 1, 'ITL', 'tftp' || n, "
      "'benchmark', 2 FROM generate_series(1, {0}) AS n;"
      "INSERT INTO trust_list_generation (cluster_id, list_id, generation, file, sha1, md5, sha256, content_sha256, "
      "signer_sha256, digest, signer_version, records, reason, published_by) SELECT 1, l.list_id, g, '', "
      "decode(lpad(to_hex(substr(l.tftp_server, 5)::int), 38, '0') || lpad(to_hex(g), 2, '0'), 'hex'), "
      "decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), "
      "decode(repeat('00', 32), 'hex'), 1, 0, 4, 'benchmark', 'benchmark' FROM trust_list l, generate_series(1, 2) AS "
      "g;",
      kServers)));
  RETURN_IF_ERROR(run(fmt::format(
      "INSERT INTO device (cluster_id, name, model, site, added_by) SELECT 1, 'SEP' || "
      "upper(lpad(to_hex(n), 12, '0')), "
      "'model ' || n % 30, 'site ' || n::bigint * 7919 % 2000, 'benchmark' FROM generate_series(0, {}) AS n",
      kPhones - 1)));
  RETURN_IF_ERROR(run(fmt::format(
      "INSERT INTO reported_server (cluster_id, name) SELECT 1, 'tftp' || n || '.example' FROM generate_series(1, {}) "
      "AS "
      "n; INSERT INTO reported_server (cluster_id, name) VALUES (1, 'elsewhere.example');"
      "INSERT INTO phone_holding (cluster_id, kind, state, server_id, list_id, generation) SELECT 1, 'ITL', 'hash', "
      "s.server_id, l.list_id, g FROM reported_server s JOIN trust_list l ON s.name = l.tftp_server || '.example', "
      "generate_series(1, 2) AS g;"
      "INSERT INTO phone_holding (cluster_id, kind, state, server_id) SELECT 1, 'ITL', CASE WHEN name LIKE 'else%' "
      "THEN "
      "'hash' ELSE 'not installed' END, server_id FROM reported_server",
      kServers)));
  RETURN_IF_ERROR(run(
      "UPDATE phone p SET holding_id = h.holding_id, reported_at = now() - n.n % 90000 * interval '1 minute', "
      "address = '192.0.2.1', via = 'forwarder 192.0.2.9', held_id = h.holding_id, held_at = now() FROM (SELECT "
      "device, ('x' || right(device, 8))::bit(32)::int AS n FROM phone) n JOIN LATERAL (SELECT CASE WHEN n.n % 1000 < "
      "949 THEN 2 WHEN n.n % 1000 < 979 THEN 1 WHEN n.n % 1000 < 989 THEN 0 WHEN n.n % 1000 < 995 THEN -1 END AS "
      "wanted, 'tftp' || 1 + n.n / 1000 % 20 || '.example' AS server) w ON true JOIN LATERAL (SELECT h.holding_id "
      "FROM phone_holding h JOIN reported_server s USING (cluster_id, server_id) WHERE (w.wanted > 0 AND s.name = "
      "w.server AND h.generation = w.wanted) OR (w.wanted = 0 AND s.name = w.server AND h.state = 'not installed') OR "
      "(w.wanted = -1 AND s.name = 'elsewhere.example') LIMIT 1) h ON true WHERE p.device = n.device"));
  return superuser.Execute("VACUUM ANALYZE").status();
}

absl::Status Call(const std::function<grpc::Status(grpc::ClientContext&)>& call) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  return ToAbsl(call(context));
}

// The median, after one call that makes the plans.
absl::StatusOr<double> Milliseconds(const std::function<grpc::Status(grpc::ClientContext&)>& call) {
  RETURN_IF_ERROR(Call(call));
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    const SteadyClock::time_point begin = SteadyClock::now();
    RETURN_IF_ERROR(Call(call));
    rounds.push_back(MillisecondsSince(begin));
  }
  return Median(rounds);
}

void AddQuestion(Report& report, const std::string& measure, double figure, double floor, double wanted) {
  report.Add({.measure = measure,
              .figure = fmt::format("{:.1f} ms", figure),
              .floor = fmt::format("{:.1f} ms", floor),
              .ratio = figure / floor,
              .wanted = fmt::format("< {} ms", wanted),
              .met = figure < wanted});
}

absl::Status MeasureQuestions(Stub& stub, Report& report) {
  // The floor: a call that reads a table of two rows.
  ASSIGN_OR_RETURN(const double floor, Milliseconds([&](grpc::ClientContext& context) {
                     v1::ListForwardersResponse response;
                     return stub.ListForwarders(&context, {}, &response);
                   }));
  const auto summary = [&](const std::string& what, const v1::SummarizePhonesRequest& request) -> absl::Status {
    int64_t phones = 0;
    ASSIGN_OR_RETURN(const double figure, Milliseconds([&](grpc::ClientContext& context) {
                       v1::SummarizePhonesResponse response;
                       const grpc::Status status = stub.SummarizePhones(&context, request, &response);
                       phones = response.phones();
                       return status;
                     }));
    AddQuestion(report, fmt::format("summary of {} ({} phones)", what, phones), figure, floor, kWantedSummary);
    return absl::OkStatus();
  };
  v1::SummarizePhonesRequest of_all, of_site, of_both;
  of_site.set_site("site 7");
  of_both.set_site("site 7");
  of_both.set_model("model 3");
  RETURN_IF_ERROR(summary("all", of_all));
  RETURN_IF_ERROR(summary("a site", of_site));
  RETURN_IF_ERROR(summary("a model at a site", of_both));

  const auto page = [&](const std::string& what, const std::function<void(v1::PhoneFilter&)>& choose) -> absl::Status {
    v1::ListPhonesRequest request;
    choose(*request.mutable_filter());
    int phones = 0;
    ASSIGN_OR_RETURN(const double figure, Milliseconds([&](grpc::ClientContext& context) {
                       v1::ListPhonesResponse response;
                       const grpc::Status status = stub.ListPhones(&context, request, &response);
                       phones = response.phones_size();
                       return status;
                     }));
    AddQuestion(report, fmt::format("first page: {} ({} phones)", what, phones), figure, floor, kWantedPage);
    return absl::OkStatus();
  };
  const auto since = [](v1::PhoneFilter& filter, absl::Duration age) {
    *filter.mutable_since() = ToProtoTime(absl::Now() - age);
  };
  RETURN_IF_ERROR(page("all", [](v1::PhoneFilter&) {}));
  RETURN_IF_ERROR(page("Match", [](v1::PhoneFilter& f) { f.add_statuses(v1::PHONE_STATUS_MATCH); }));
  RETURN_IF_ERROR(page("Mismatch", [](v1::PhoneFilter& f) { f.add_statuses(v1::PHONE_STATUS_MISMATCH); }));
  RETURN_IF_ERROR(page("Not Installed", [](v1::PhoneFilter& f) { f.add_statuses(v1::PHONE_STATUS_NOT_INSTALLED); }));
  RETURN_IF_ERROR(page("Unknown", [](v1::PhoneFilter& f) { f.add_statuses(v1::PHONE_STATUS_UNKNOWN); }));
  RETURN_IF_ERROR(page("Foreign", [](v1::PhoneFilter& f) { f.add_statuses(v1::PHONE_STATUS_FOREIGN); }));
  RETURN_IF_ERROR(page("a server", [](v1::PhoneFilter& f) { f.set_tftp_server("tftp3"); }));
  RETURN_IF_ERROR(page("a model", [](v1::PhoneFilter& f) { f.set_model("model 3"); }));
  RETURN_IF_ERROR(page("a site", [](v1::PhoneFilter& f) { f.set_site("site 7"); }));
  RETURN_IF_ERROR(page("a model at a site", [](v1::PhoneFilter& f) {
    f.set_model("model 3");
    f.set_site("site 7");
  }));
  RETURN_IF_ERROR(page("Mismatch of a model", [](v1::PhoneFilter& f) {
    f.add_statuses(v1::PHONE_STATUS_MISMATCH);
    f.set_model("model 3");
  }));
  RETURN_IF_ERROR(page("reported in the last hour", [&](v1::PhoneFilter& f) { since(f, absl::Hours(1)); }));
  RETURN_IF_ERROR(page("reported in the last 30 days", [&](v1::PhoneFilter& f) { since(f, absl::Hours(24 * 30)); }));
  RETURN_IF_ERROR(page("Mismatch in the last hour", [&](v1::PhoneFilter& f) {
    f.add_statuses(v1::PHONE_STATUS_MISMATCH);
    since(f, absl::Hours(1));
  }));
  RETURN_IF_ERROR(page("Mismatch in the last 30 days", [&](v1::PhoneFilter& f) {
    f.add_statuses(v1::PHONE_STATUS_MISMATCH);
    since(f, absl::Hours(24 * 30));
  }));
  return page("with evidence", [](v1::PhoneFilter& f) { f.set_evidence_only(true); });
}

// Reports of phones all over the table; some hold another list than before.
absl::Status SendReports(Stub& stub, int stream_number) {
  std::mt19937 random(static_cast<unsigned>(stream_number));
  std::uniform_int_distribution<int> any_phone(0, kPhones - 1);
  grpc::ClientContext context;
  const auto stream = stub.ReportPhoneTrust(&context);
  for (int sent = 0; sent < kReports / kStreams; sent += kBatch) {
    v1::ReportPhoneTrustRequest request;
    for (int i = 0; i < kBatch; ++i) {
      const int number = any_phone(random);
      const int server = 1 + number / 1000 % kServers;
      v1::PhoneReport& report = *request.add_reports();
      report.set_device(Device(number));
      report.set_event(v1::PhoneReport::EVENT_LISTS);
      report.set_itl_signature(HashOf(server, i % 10 == 0 ? 1 : 2));
      report.set_itl_tftp_server(fmt::format("tftp{}.example", server));
      report.set_ctl_signature("Not Installed");
      report.set_address("192.0.2.7");
      report.set_user_agent("Cisco-CP8841/12.8.1");
    }
    v1::ReportPhoneTrustResponse response;
    if (!stream->Write(request) || !stream->Read(&response)) return ToAbsl(stream->Finish());
    if (response.evidence() != kBatch) return Internal("{} of {} reports were evidence", response.evidence(), kBatch);
  }
  stream->WritesDone();
  return ToAbsl(stream->Finish());
}

absl::Status MeasureReports(const ItldSite& site, const DaemonProcess& itld, Report& report) {
  std::vector<std::thread> streams;
  std::vector<absl::Status> ends(kStreams);
  const SteadyClock::time_point begin = SteadyClock::now();
  for (int i = 0; i < kStreams; ++i) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, site.Channel(itld));
    streams.emplace_back([&ends, i, stub = std::shared_ptr(v1::PhoneTrust::NewStub(channel))] {
      ends[static_cast<size_t>(i)] = SendReports(*stub, i);
    });
  }
  for (std::thread& stream : streams) stream.join();
  const double seconds = MillisecondsSince(begin) / 1000;
  for (const absl::Status& end : ends) RETURN_IF_ERROR(end);
  report.Add({.measure = fmt::format("reports through gRPC, {} streams of {}", kStreams, kBatch),
              .figure = fmt::format("{:.0f}/s", kReports / seconds),
              .wanted = fmt::format("> {:.0f}/s", kWantedReports),
              .met = kReports / seconds > kWantedReports});
  return absl::OkStatus();
}

absl::Status Run(Report& report) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ScratchDatabase> database, ScratchDatabase::Create());
  ASSIGN_OR_RETURN(const std::unique_ptr<ItldSite> site, ItldSite::Create(*database));
  fmt::print(stderr, "making {} phones\n", kPhones);
  RETURN_IF_ERROR(Fill(*database));
  ASSIGN_OR_RETURN(const std::unique_ptr<DaemonProcess> itld, site->StartItld({.quiet_time = "1h"}));
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, site->Channel(*itld));
  const std::unique_ptr<Stub> stub = v1::PhoneTrust::NewStub(channel);
  RETURN_IF_ERROR(MeasureQuestions(*stub, report));
  return MeasureReports(*site, *itld, report);
}

}  // namespace
}  // namespace trustline

int main() {
  trustline::Report report;
  const absl::Status status = trustline::Run(report);
  if (!status.ok()) {
    fmt::print(stderr, "phone_trust_benchmark: {}\n", trustline::StatusMessage(status));
    return 1;
  }
  return report.missed() == 0 ? 0 : 1;
}
