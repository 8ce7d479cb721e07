// How fast cad issues, searches and revokes, with the real cad, itld and PostgreSQL on this machine's cores.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"
#include "proto/authority.grpc.pb.h"
#include "proto/issuance.grpc.pb.h"
#include "tests/benchmarks/report.h"
#include "tests/support/cad_process.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kCallers = 16;
constexpr int kRequests = 4'000;
constexpr int kRevoked = 100'000;
constexpr int kIssued = 1'000'000;

double MillisecondsSince(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

std::string DeviceOf(int number) { return fmt::format("SEP{:012X}", number); }

// Raw signatures a second on one core, over bytes as many as a certificate's.
double RawSignatures(KeyKind kind) {
  const PrivateKey key = *PrivateKey::Generate(kind);
  const std::string bytes(700, 'x');
  std::string signature(1024, '\0');
  int count = 0;
  const SteadyClock::time_point begin = SteadyClock::now();
  while (SteadyClock::now() - begin < std::chrono::seconds(2)) {
    const EvpMdCtxPtr context(EVP_MD_CTX_new());
    size_t size = signature.size();
    if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
        EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) != 1) {
      return 0;
    }
    ++count;
  }
  return count / std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// Requests of kRequests devices with new keys, made before the clock runs.
std::vector<std::string> MakeRequests(int first) {
  std::vector<std::string> requests;
  for (int i = 0; i < kRequests; ++i) {
    const PrivateKey key = *PrivateKey::Generate(KeyKind::kEcP256);
    const DistinguishedName subject = *DistinguishedName::FromAttributes({{"CN", DeviceOf(first + i)}});
    requests.emplace_back(AsText(CertificateRequest::BuildForSubject(key, subject)->der()));
  }
  return requests;
}

absl::Status MeasureIssuance(const CadSite& site, const DaemonProcess& cad, int first, double raw,
                             std::string_view what, double wanted, Report& report) {
  const std::vector<std::string> requests = MakeRequests(first);
  std::vector<double> times(kRequests);
  std::atomic<int> next = 0;
  std::atomic<int> failed = 0;
  std::vector<std::thread> callers;
  const SteadyClock::time_point begin = SteadyClock::now();
  for (int i = 0; i < kCallers; ++i) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, site.Channel(cad));
    callers.emplace_back([&, stub = std::shared_ptr(v1::Issuance::NewStub(channel))] {
      for (int number = next++; number < kRequests; number = next++) {
        v1::IssueFromRequestRequest request;
        request.set_device(DeviceOf(first + number));
        request.set_certificate_request(requests[static_cast<size_t>(number)]);
        v1::IssueResponse response;
        grpc::ClientContext context;
        const SteadyClock::time_point asked = SteadyClock::now();
        if (!stub->IssueFromRequest(&context, request, &response).ok()) ++failed;
        times[static_cast<size_t>(number)] = MillisecondsSince(asked);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  const double rate = kRequests / (MillisecondsSince(begin) / 1000);
  if (failed > 0) return Internal("{} of {} requests failed", failed.load(), kRequests);
  report.Add({fmt::format("issuances a second, {} callers, {} authority", kCallers, what), fmt::format("{:.0f}", rate),
              fmt::format("{:.0f} raw signatures", raw), rate / raw, fmt::format("{:.0f}", wanted), rate >= wanted});
  const double p99 = Percentile(times, 0.99);
  report.Add({fmt::format("p99 of an issuance, {} authority", what),
              fmt::format("{:.1f} ms", p99),
              "",
              {},
              "100 ms",
              p99 <= 100});
  return absl::OkStatus();
}

// With bytes as many as real certificates have.
absl::Status FillRows(Connection& superuser, int32_t authority_id, int first, int count, std::string_view state) {
  RETURN_IF_ERROR(superuser.SetQueryTimeout(absl::InfiniteDuration()));
  return superuser.ExecuteScript(fmt::format(
      "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
      "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
      "requested_by, signed_at, revoked_at, revocation_reason, revoked_by, first_crl_number) "
      "SELECT 1, {0}, 'SEP' || upper(lpad(to_hex(n), 12, '0')), '', '{3}', "
      "'\\x41'::bytea || substr(sha256(('s' || n)::bytea), 1, 15), 'CN=SEP' || upper(lpad(to_hex(n), 12, '0')) || "
      "',O=Example', 'EC secp256r1', sha256(('k' || n)::bytea), substr(sha256(('k' || n)::bytea), 1, 32), now(), "
      "now() + (n % 1825 + 1) * interval '1 day', 'http://x', decode(repeat(md5('t' || n), 44), 'hex'), "
      "decode(repeat(md5('c' || n), 60), 'hex'), "
      "sha256(('c' || n)::bytea), "
      "'benchmark', now(), CASE WHEN '{3}' = 'revoked' THEN now() END, CASE WHEN '{3}' = 'revoked' THEN 1 END, "
      "CASE WHEN '{3}' = 'revoked' THEN 'benchmark' END, NULL FROM generate_series({1}, {1} + {2} - 1) n; "
      "ANALYZE issuance",
      authority_id, first, count, state));
}

absl::Status MeasureSearch(v1::Issuance::Stub& stub, int32_t authority_id, Report& report) {
  std::vector<std::pair<std::string, v1::ListCertificatesRequest>> filters;
  const auto add = [&](std::string name, auto change) {
    v1::ListCertificatesRequest request;
    change(request);
    filters.emplace_back(std::move(name), request);
  };
  using Request = v1::ListCertificatesRequest;
  add("none", [](Request&) {});
  add("device", [](Request& r) { r.set_device_prefix(DeviceOf(5'000'000)); });
  add("device prefix", [](Request& r) { r.set_device_prefix("SEP0000004"); });
  add("subject", [](Request& r) { r.set_subject_prefix("CN=SEP0000004"); });
  add("key", [](Request& r) { r.set_public_key_prefix("0011"); });
  add("serial", [](Request& r) { r.set_serial_prefix("4100"); });
  add("issuer", [&](Request& r) { r.set_authority_id(authority_id); });
  add("state", [](Request& r) { r.set_state(v1::CERTIFICATE_STATE_SIGNED); });
  add("rare state", [](Request& r) { r.set_state(v1::CERTIFICATE_STATE_CONFIRMED); });
  const auto in_days = [](int days) {
    google::protobuf::Timestamp time;
    time.set_seconds(absl::ToUnixSeconds(absl::Now() + absl::Hours(24 * days)));
    return time;
  };
  add("expiry", [&](Request& r) { *r.mutable_expires_before() = in_days(30); });
  add("expiry and state", [&](Request& r) {
    *r.mutable_expires_before() = in_days(30);
    r.set_state(v1::CERTIFICATE_STATE_REVOKED);
  });
  add("good", [](Request& r) { r.set_good(true); });
  add("good and issuer", [&](Request& r) {
    r.set_good(true);
    r.set_authority_id(authority_id);
  });
  for (const auto& [name, request] : filters) {
    std::vector<double> times;
    for (int i = 0; i < 20; ++i) {
      v1::ListCertificatesResponse response;
      grpc::ClientContext context;
      const SteadyClock::time_point begin = SteadyClock::now();
      RETURN_IF_ERROR(ToAbsl(stub.ListCertificates(&context, request, &response)));
      times.push_back(MillisecondsSince(begin));
    }
    const double slow = Percentile(times, 0.9);
    report.Add({fmt::format("a page of 200 among {}, filter {}", kIssued, name),
                fmt::format("{:.1f} ms", slow),
                "",
                {},
                "50 ms",
                slow <= 50});
  }
  return absl::OkStatus();
}

absl::Status MeasureRevocation(v1::Issuance::Stub& stub, Connection& superuser, Report& report) {
  ASSIGN_OR_RETURN(const Result rows, superuser.Execute("SELECT encode(serial, 'hex') FROM issuance WHERE state = "
                                                        "'signed' AND requested_by <> 'benchmark' LIMIT 200"));
  std::vector<double> times;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(const std::string serial, row.Get<std::string>(0));
    v1::RevokeCertificateRequest request;
    request.set_serial(serial);
    request.set_reason(v1::CERTIFICATE_REVOCATION_REASON_SUPERSEDED);
    v1::RevokeCertificateResponse response;
    grpc::ClientContext context;
    const SteadyClock::time_point begin = SteadyClock::now();
    RETURN_IF_ERROR(ToAbsl(stub.RevokeCertificate(&context, request, &response)));
    times.push_back(MillisecondsSince(begin));
  }
  const SteadyClock::time_point begin = SteadyClock::now();
  while (true) {
    ASSIGN_OR_RETURN(const Result open,
                     superuser.Execute("SELECT (SELECT count(*) FROM issuance WHERE state = 'revoked' AND "
                                       "first_crl_number IS NULL) + (SELECT count(*) FROM ca_crl WHERE trust_store_at "
                                       "IS NULL)"));
    ASSIGN_OR_RETURN(const int64_t count, open.Value<int64_t>());
    if (count == 0) break;
    if (MillisecondsSince(begin) > 60'000) return DeadlineExceeded("the CRL did not follow within a minute");
    absl::SleepFor(absl::Milliseconds(20));
  }
  const double p99 = Percentile(times, 0.99);
  report.Add({fmt::format("p99 of a revocation with {} revoked", kRevoked),
              fmt::format("{:.1f} ms", p99),
              "",
              {},
              "20 ms",
              p99 <= 20});
  const double lag = MillisecondsSince(begin);
  report.Add(
      {"CRL and trust store behind the last of them", fmt::format("{:.0f} ms", lag), "", {}, "5000 ms", lag <= 5000});
  return absl::OkStatus();
}

absl::Status Run(Report& report) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ScratchDatabase> database, ScratchDatabase::Create());
  ASSIGN_OR_RETURN(Connection superuser, database->Connect());
  // As a site has it: every commit is on the disk before it is answered.
  for (const char* statement :
       {"ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()"}) {
    RETURN_IF_ERROR(superuser.Execute(statement).status());
  }
  RETURN_IF_ERROR(
      superuser.ExecuteScript(fmt::format("ALTER DATABASE \"{}\" SET synchronous_commit = on", database->name())));
  ASSIGN_OR_RETURN(const std::unique_ptr<CadSite> site, CadSite::Create(*database));
  ASSIGN_OR_RETURN(const std::unique_ptr<DaemonProcess> cad, site->StartCad());
  RETURN_IF_ERROR(superuser.ExecuteScript(fmt::format(
      "INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, '0')), 'benchmark' "
      "FROM generate_series(0, {}) n",
      3 * kRequests)));
  const double raw_rsa = RawSignatures(KeyKind::kRsa2048);
  const double raw_ec = RawSignatures(KeyKind::kEcP256);
  RETURN_IF_ERROR(site->MakeAuthority(*cad, false).status());
  RETURN_IF_ERROR(MeasureIssuance(*site, *cad, 0, raw_rsa, "RSA 2048", 400, report));
  ASSIGN_OR_RETURN(const int32_t authority_id, site->MakeAuthority(*cad, true));
  RETURN_IF_ERROR(MeasureIssuance(*site, *cad, kRequests, raw_ec, "P-256", 600, report));

  fmt::print("filling {} rows, {} of them revoked\n", kIssued, kRevoked);
  RETURN_IF_ERROR(FillRows(superuser, authority_id, 10'000'000, kRevoked, "revoked"));
  RETURN_IF_ERROR(FillRows(superuser, authority_id, 4'000'000, kIssued - kRevoked, "signed"));
  RETURN_IF_ERROR(
      MeasureIssuance(*site, *cad, 2 * kRequests, raw_ec, fmt::format("P-256 ({} rows)", kIssued), 600, report));
  RETURN_IF_ERROR(superuser.ExecuteScript(fmt::format(
      "INSERT INTO device (cluster_id, name, added_by) SELECT 1, 'SEP' || upper(lpad(to_hex(n), 12, '0')), 'benchmark' "
      "FROM generate_series(4000000, 4000000 + {} - 1) n; ANALYZE device",
      kIssued - kRevoked)));
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, site->Channel(*cad));
  const auto stub = v1::Issuance::NewStub(channel);
  RETURN_IF_ERROR(MeasureSearch(*stub, authority_id, report));
  return MeasureRevocation(*stub, superuser, report);
}

}  // namespace
}  // namespace trustline

int main() {
  trustline::Report report;
  const absl::Status status = trustline::Run(report);
  if (!status.ok()) {
    fmt::print(stderr, "cad_benchmark: {}\n", status.message());
    return 1;
  }
  return report.missed() == 0 ? 0 : 1;
}
