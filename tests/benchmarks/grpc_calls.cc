#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <thread>

#include "common/rpc/channel.h"
#include "common/status/status.h"
#include "proto/verification.pb.h"
#include "tests/benchmarks/measurements.h"

namespace trustline {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kRounds = 7;
constexpr std::chrono::milliseconds kRound{700};
constexpr size_t kConnections = 4;
constexpr size_t kCallsAtOnce = 64;

// What is called, in bytes, so that the clients spend on both methods the same.
struct Method {
  std::string name;
  std::string request;
};

std::string TextOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return "";
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

// HealthCheckResponse with status SERVING.
constexpr std::string_view kServing("\x08\x01", 2);
constexpr std::chrono::seconds kServingPatience{10};

struct Call {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  grpc::ByteBuffer response;
  grpc::Status status;
  size_t connection = 0;
};

// Keeps the same number of calls on their way, from one thread.
class Caller {
 public:
  Caller(const std::vector<std::shared_ptr<grpc::Channel>>& channels, const Method& method)
      : method_(method.name), request_slice_(method.request), request_(&request_slice_, 1) {
    for (const auto& channel : channels) stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
  }

  // The number of calls a second; each must be answered as `answer` says, or as the first one when that is empty.
  absl::StatusOr<double> Run(std::chrono::milliseconds duration, std::string& answer) {
    const SteadyClock::time_point begin = SteadyClock::now();
    const SteadyClock::time_point end = begin + duration;
    std::vector<Call> calls(kCallsAtOnce);
    for (size_t i = 0; i < calls.size(); ++i) {
      calls[i].connection = i % stubs_.size();
      Begin(calls[i]);
    }
    size_t under_way = calls.size();
    size_t answered = 0;
    absl::Status failure;
    void* tag = nullptr;
    bool ok = false;
    while (under_way > 0 && queue_.Next(&tag, &ok)) {
      Call& call = *static_cast<Call*>(tag);
      --under_way;
      if (!call.status.ok()) {
        failure = ToAbsl(call.status);
        continue;
      }
      const std::string text = TextOf(call.response);
      if (answer.empty()) answer = text;
      if (text != answer) failure = Internal("{} gave another answer than before", method_);
      ++answered;
      if (failure.ok() && SteadyClock::now() < end) {
        Begin(call);
        ++under_way;
      }
    }
    RETURN_IF_ERROR(failure);
    return static_cast<double>(answered) / std::chrono::duration<double>(SteadyClock::now() - begin).count();
  }

  ~Caller() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

 private:
  void Begin(Call& call) {
    call.context = std::make_unique<grpc::ClientContext>();
    call.response.Clear();
    call.reader = stubs_[call.connection]->PrepareUnaryCall(call.context.get(), method_, request_, &queue_);
    call.reader->StartCall();
    call.reader->Finish(&call.response, &call.status, &call);
  }

  const std::string method_;
  const grpc::Slice request_slice_;
  const grpc::ByteBuffer request_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
};

// The health service learns of a server's readiness a moment after it.
absl::Status WaitUntilServing(const std::vector<std::shared_ptr<grpc::Channel>>& channels, const Method& check) {
  const SteadyClock::time_point end = SteadyClock::now() + kServingPatience;
  grpc::GenericStub stub(channels.front());
  const grpc::Slice slice(check.request);
  while (SteadyClock::now() < end) {
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    grpc::ByteBuffer response;
    grpc::Status status;
    const auto reader = stub.PrepareUnaryCall(&context, check.name, grpc::ByteBuffer(&slice, 1), &queue);
    reader->StartCall();
    reader->Finish(&response, &status, &queue);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    queue.Shutdown();
    RETURN_IF_ERROR(ToAbsl(status));
    if (TextOf(response) == kServing) return absl::OkStatus();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return DeadlineExceeded("the health service does not say that the node serves");
}

struct RoundResult {
  double rate = 0;
  double cpu_microseconds = 0;
};

absl::StatusOr<RoundResult> RunRound(const TvsdProcess& node,
                                     const std::vector<std::shared_ptr<grpc::Channel>>& channels, const Method& method,
                                     std::string& answer) {
  Caller caller(channels, method);
  RETURN_IF_ERROR(caller.Run(kRound / 7, answer).status());
  const SteadyClock::time_point begin = SteadyClock::now();
  ASSIGN_OR_RETURN(const double before, node.CpuSeconds());
  ASSIGN_OR_RETURN(const double rate, caller.Run(kRound, answer));
  ASSIGN_OR_RETURN(const double after, node.CpuSeconds());
  const double calls = rate * std::chrono::duration<double>(SteadyClock::now() - begin).count();
  return RoundResult{rate, 1e6 * (after - before) / calls};
}

}  // namespace

absl::Status MeasureGrpc(const BenchmarkSite& site, Report& report) {
  // 1. A viewer, and a node on the servers' core.
  ASSIGN_OR_RETURN(Connection connection, site.database->Connect());
  RETURN_IF_ERROR(connection.ExecuteScript(
      "INSERT INTO access_grant (cluster_id, person, role, granted_by)"
      " SELECT cluster_id, 'benchmark', 'viewer', 'benchmark' FROM cluster ON CONFLICT DO NOTHING"));
  ASSIGN_OR_RETURN(const IdentityFiles identity, site.nodes->IdentityFor("trustline:default/person/benchmark"));
  ASSIGN_OR_RETURN(const auto node, site.StartNode({.core = kServerCore}));

  const PinnedTo pinned(kClientCore);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (size_t i = 0; i < kConnections; ++i) {
    ASSIGN_OR_RETURN(channels.emplace_back(),
                     OpenChannel(fmt::format("127.0.0.1:{}", node->grpc_port()), identity, "tvsd"));
  }

  // 2. Both methods in turn. An empty request is the health of the whole server.
  v1::VerifyRequest request;
  request.set_certificate(site.series.Der(kCertificates / 2));
  const Method verify = {"/trustline.v1.Verification/Verify", request.SerializeAsString()};
  const Method empty = {"/grpc.health.v1.Health/Check", ""};
  RETURN_IF_ERROR(WaitUntilServing(channels, empty));
  std::string verify_answer;
  std::string empty_answer(kServing);
  std::vector<double> rate_ratios, cpu_ratios, floor_rates, rates, floor_cpu, cpu;
  for (int round = 0; round < kRounds; ++round) {
    absl::StatusOr<RoundResult> of_empty;
    absl::StatusOr<RoundResult> of_verify;
    if (round % 2 == 0) of_empty = RunRound(*node, channels, empty, empty_answer);
    of_verify = RunRound(*node, channels, verify, verify_answer);
    if (round % 2 == 1) of_empty = RunRound(*node, channels, empty, empty_answer);
    if (!of_empty.ok()) return Annotate(of_empty.status(), empty.name);
    if (!of_verify.ok()) return Annotate(of_verify.status(), verify.name);
    rate_ratios.push_back(of_verify->rate / of_empty->rate);
    cpu_ratios.push_back(of_empty->cpu_microseconds / of_verify->cpu_microseconds);
    floor_rates.push_back(of_empty->rate);
    rates.push_back(of_verify->rate);
    floor_cpu.push_back(of_empty->cpu_microseconds);
    cpu.push_back(of_verify->cpu_microseconds);
  }

  // 3. The answers that all calls had.
  v1::VerifyResponse response;
  if (!response.ParseFromString(verify_answer) || response.verdict() != v1::VERDICT_VALID) {
    return Internal("a trusted certificate was judged: {}", response.ShortDebugString());
  }
  report.AddAtLeast("gRPC Verify against an empty call: rate", fmt::format("{:.0f}/s", Median(rates)),
                    fmt::format("{:.0f}/s", Median(floor_rates)), Median(rate_ratios), 0.75);
  report.AddAtLeast("gRPC Verify against an empty call: processor time", fmt::format("{:.0f} us", Median(cpu)),
                    fmt::format("{:.0f} us", Median(floor_cpu)), Median(cpu_ratios), 0.75);
  return absl::OkStatus();
}

}  // namespace trustline
