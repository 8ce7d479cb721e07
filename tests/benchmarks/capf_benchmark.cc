// How fast phones enrol, with the real capfd, cad, itld, PostgreSQL and the phones themselves on this machine's cores.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "absl/time/clock.h"
#include "cli/phone/capf_phone.h"
#include "common/net/tls_client.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"
#include "proto/enrolment.grpc.pb.h"
#include "tests/benchmarks/report.h"
#include "tests/benchmarks/silent_peers.h"
#include "tests/support/capfd_process.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kPhones = 16;  // at once
constexpr int kEnrolments = 4'000;
constexpr int kHandshakes = 4'000;
constexpr size_t kSilent = 5'000;
constexpr int kHonest = 400;  // enrolments beside such connections, one after the other
constexpr int kBatch = 1'000;
constexpr double kWantedRate = 250;
constexpr double kWantedP99 = 150;
constexpr double kWantedSlowdown = 2;

double MillisecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

// A phone that somebody is about to start.
struct ReadyPhone {
  std::string device;
  std::string password;
  std::shared_ptr<const PrivateKey> key;
};

class Bench {
 public:
  static absl::StatusOr<std::unique_ptr<Bench>> Create() {
    auto bench = std::unique_ptr<Bench>(new Bench);
    ASSIGN_OR_RETURN(bench->database_, ScratchDatabase::Create());
    ASSIGN_OR_RETURN(Connection superuser, bench->database_->Connect());
    // As a site has it: every commit is on the disk before it is answered.
    for (const char* statement :
         {"ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"}) {
      RETURN_IF_ERROR(superuser.Execute(statement).status());
    }
    RETURN_IF_ERROR(superuser.ExecuteScript(
        fmt::format("ALTER DATABASE \"{}\" SET synchronous_commit = on", bench->database_->name())));
    ASSIGN_OR_RETURN(bench->site_, CadSite::Create(*bench->database_));
    ASSIGN_OR_RETURN(bench->cad_, bench->site_->StartCad());
    RETURN_IF_ERROR(bench->site_->MakeAuthority(*bench->cad_, false).status());
    ASSIGN_OR_RETURN(bench->capf_site_, CapfdSite::Create(*bench->database_, *bench->site_));
    ASSIGN_OR_RETURN(bench->capfd_, CapfdProcess::Start(*bench->capf_site_, {.cad_port = bench->cad_->grpc_port()}));
    RETURN_IF_ERROR(bench->capfd_->WaitUntilReady());
    return bench;
  }

  const CapfdProcess& capfd() const { return *capfd_; }
  Endpoint server() const { return {"127.0.0.1", capfd_->capf_port()}; }

  // Phones with keys, which are to be enrolled; by a string or, if it is not, by none.
  absl::StatusOr<std::vector<ReadyPhone>> Schedule(int count, bool by_string) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, capfd_->Channel());
    const auto stub = v1::Enrolment::NewStub(channel);
    grpc::ClientContext context;
    const auto stream = stub->ScheduleOperations(&context);
    v1::ScheduleOperationsRequest request;
    v1::ScheduleOperationsRequest::Options& options = *request.mutable_options();
    options.set_operation(v1::CERTIFICATE_OPERATION_INSTALL);
    options.set_authentication(by_string ? v1::ENROLMENT_AUTHENTICATION_STRING : v1::ENROLMENT_AUTHENTICATION_NULL);
    options.mutable_key()->set_order(v1::KeySpecification::ORDER_EC);
    options.set_add_unknown_devices(true);
    stream->Write(request);
    std::vector<ReadyPhone> phones;
    while (static_cast<int>(phones.size()) < count) {
      v1::ScheduleOperationsRequest batch;
      for (int i = 0; i < kBatch && static_cast<int>(phones.size()) < count; ++i) {
        ASSIGN_OR_RETURN(PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
        phones.push_back({.device = fmt::format("SEP{:012X}", next_device_++),
                          .key = std::make_shared<const PrivateKey>(std::move(key))});
        batch.mutable_devices()->add_names(phones.back().device);
      }
      stream->Write(batch);
    }
    stream->WritesDone();
    size_t answered = 0;
    for (v1::ScheduleOperationsResponse response; stream->Read(&response);) {
      for (const auto& outcome : response.outcomes()) {
        if (!outcome.refusal().empty()) return Internal("{}: {}", outcome.device(), outcome.refusal());
        phones[answered++].password = outcome.authentication_string();
      }
    }
    RETURN_IF_ERROR(ToAbsl(stream->Finish()));
    if (answered != phones.size()) return Internal("{} of {} devices were scheduled", answered, phones.size());
    return phones;
  }

  absl::Status Enrol(const ReadyPhone& ready) const {
    CapfPhoneOptions options;
    options.device_name = ready.device;
    options.password = ready.password;
    options.key = ready.key;
    CapfPhone phone(server(), options);
    ASSIGN_OR_RETURN(const CapfPhoneResult result, phone.Enrol());
    if (result.operation == CapfPhoneOperation::kInstall && result.ended_well()) return absl::OkStatus();
    return Internal("{} was not enrolled: reason {}", ready.device, result.end_reason.value_or(255));
  }

 private:
  Bench() = default;
  std::unique_ptr<ScratchDatabase> database_;
  std::unique_ptr<CadSite> site_;
  std::unique_ptr<DaemonProcess> cad_;
  std::unique_ptr<CapfdSite> capf_site_;
  std::unique_ptr<CapfdProcess> capfd_;
  int next_device_ = 0;
};

// Runs `work` for 0 to count - 1 on kPhones threads. Milliseconds of each; the first error.
template <typename Work>
absl::StatusOr<std::vector<double>> RunAll(int count, const Work& work) {
  std::vector<double> times(static_cast<size_t>(count));
  std::vector<absl::Status> errors(kPhones);
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kPhones; ++i) {
    threads.emplace_back([&, i] {
      for (int number = next++; number < count; number = next++) {
        const SteadyClock::time_point begin = SteadyClock::now();
        errors[static_cast<size_t>(i)].Update(work(number));
        times[static_cast<size_t>(number)] = MillisecondsSince(begin);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& error : errors) RETURN_IF_ERROR(error);
  return times;
}

absl::Status MeasureEnrolments(Bench& bench, Report& report) {
  // Every second one by a string.
  ASSIGN_OR_RETURN(std::vector<ReadyPhone> by_string, bench.Schedule(kEnrolments / 2, true));
  ASSIGN_OR_RETURN(std::vector<ReadyPhone> by_none, bench.Schedule(kEnrolments / 2, false));
  SteadyClock::time_point begin = SteadyClock::now();
  RETURN_IF_ERROR(RunAll(kHandshakes, [&](int) -> absl::Status {
                    ASSIGN_OR_RETURN(TlsClient client, TlsClient::Connect("127.0.0.1", bench.server().port, {}));
                    client.Close();
                    return absl::OkStatus();
                  }).status());
  const double floor = kHandshakes / (MillisecondsSince(begin) / 1000);

  begin = SteadyClock::now();
  ASSIGN_OR_RETURN(const std::vector<double> times, RunAll(kEnrolments, [&](int number) {
                     return bench.Enrol((number % 2 == 0 ? by_string : by_none)[static_cast<size_t>(number) / 2]);
                   }));
  const double rate = kEnrolments / (MillisecondsSince(begin) / 1000);
  report.Add({fmt::format("enrolments a second, {} phones, half by a string", kPhones), fmt::format("{:.0f}", rate),
              fmt::format("{:.0f} TLS handshakes alone", floor), rate / floor, fmt::format("{:.0f}", kWantedRate),
              rate >= kWantedRate});
  const double p99 = Percentile(times, 0.99);
  report.Add({.measure = "p99 of an enrolment",
              .figure = fmt::format("{:.1f} ms", p99),
              .wanted = fmt::format("{:.0f} ms", kWantedP99),
              .met = p99 <= kWantedP99});
  return absl::OkStatus();
}

absl::StatusOr<double> MedianOf(Bench& bench, const std::vector<ReadyPhone>& phones) {
  std::vector<double> times;
  for (const ReadyPhone& phone : phones) {
    const SteadyClock::time_point begin = SteadyClock::now();
    RETURN_IF_ERROR(bench.Enrol(phone));
    times.push_back(MillisecondsSince(begin));
  }
  return Median(std::move(times));
}

absl::StatusOr<double> MedianOfHonest(Bench& bench) {
  ASSIGN_OR_RETURN(const std::vector<ReadyPhone> phones, bench.Schedule(kHonest, true));
  return MedianOf(bench, phones);
}

absl::Status MeasureSilent(Bench& bench, Report& report) {
  ASSIGN_OR_RETURN(const double before, MedianOfHonest(bench));
  double beside = 0;
  {
    const SilentConnections silent(bench.server().port, kSilent);
    silent.WaitUntilOpened();
    RETURN_IF_ERROR(WaitUntilAccepted(bench.capfd(), kSilent));
    ASSIGN_OR_RETURN(beside, MedianOfHonest(bench));
    if (silent.failed() > 0) return Internal("{} silent connections failed", silent.failed());
  }
  ASSIGN_OR_RETURN(const double after, MedianOfHonest(bench));
  const double alone = std::min(before, after);
  report.Add({.measure = fmt::format("an honest phone beside {} silent connections", kSilent),
              .figure = fmt::format("{:.1f} ms", beside),
              .floor = fmt::format("{:.1f} ms", alone),
              .ratio = beside / alone,
              .wanted = "<= 2.00",
              .met = beside <= kWantedSlowdown * alone});
  return absl::OkStatus();
}

// As fast as it can, which takes much of one of the cores that the honest phone has too.
absl::Status MeasureHammering(Bench& bench, Report& report) {
  ASSIGN_OR_RETURN(const std::vector<ReadyPhone> hammering, bench.Schedule(1, true));
  ASSIGN_OR_RETURN(const double before, MedianOfHonest(bench));
  ASSIGN_OR_RETURN(const std::vector<ReadyPhone> honest, bench.Schedule(kHonest, true));
  std::atomic<bool> stop = false;
  std::atomic<int> sessions = 0;
  std::thread hammer([&] {
    CapfPhoneOptions options;
    options.device_name = hammering[0].device;
    options.password = "0";
    for (; !stop; ++sessions) CapfPhone(bench.server(), options).Enrol().status().IgnoreError();
  });
  const absl::StatusOr<double> beside = MedianOf(bench, honest);
  stop = true;
  hammer.join();
  RETURN_IF_ERROR(beside.status());
  ASSIGN_OR_RETURN(const double after, MedianOfHonest(bench));
  const double alone = std::min(before, after);
  report.Add({.measure = fmt::format("an honest phone beside one that hammers ({} sessions)", sessions.load()),
              .figure = fmt::format("{:.1f} ms", *beside),
              .floor = fmt::format("{:.1f} ms", alone),
              .ratio = *beside / alone,
              .wanted = "<= 2.00",
              .met = *beside <= kWantedSlowdown * alone});
  return absl::OkStatus();
}

absl::Status Run(Report& report) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Bench> bench, Bench::Create());
  RETURN_IF_ERROR(MeasureEnrolments(*bench, report));
  RETURN_IF_ERROR(MeasureHammering(*bench, report));
  return MeasureSilent(*bench, report);
}

}  // namespace
}  // namespace trustline

int main() {
  trustline::Report report;
  const absl::Status status = trustline::Run(report);
  if (!status.ok()) {
    fmt::print(stderr, "capf_benchmark: {}\n", status.message());
    return 1;
  }
  return report.missed() == 0 ? 0 : 1;
}
