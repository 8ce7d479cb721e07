#include "itl/question/question_service.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/bytes/bytes.h"
#include "common/device/device_name.h"
#include "common/net/ip_address.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "itl/question/presented_certificates.h"
#include "itl/question/question_store.h"

namespace trustline {
namespace {

constexpr int kMostCounts = 1'000;
// What fits into an index of PostgreSQL, twice and with the serial number.
constexpr size_t kMaxName = 1'100;
constexpr size_t kMaxSerial = 64;
// A batch of one node within ten seconds, or of an hour in which itld was away.
constexpr int64_t kMaxCount = 1'000'000'000'000;
constexpr int32_t kDefaultPageSize = 200;
constexpr int32_t kLargestPageSize = 1'000;
constexpr absl::Duration kDefaultSince = absl::Hours(24 * 7);

absl::Status CheckName(std::string_view what, std::string_view name) {
  if (name.size() <= kMaxName && name.find('\0') == std::string_view::npos) return absl::OkStatus();
  return InvalidArgument("a question's {} has up to {} bytes and no NUL", what, kMaxName);
}

absl::StatusOr<bool> IsValid(v1::Verdict verdict) {
  if (verdict == v1::VERDICT_VALID) return true;
  if (verdict == v1::VERDICT_INVALID) return false;
  return InvalidArgument("a question was answered valid or invalid");
}

absl::StatusOr<QuestionCounts> FromProto(const v1::QuestionCount& proto) {
  QuestionCounts counts;
  if (!proto.device().empty()) {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(proto.device()));
    counts.device = device.text();
  }
  if (proto.kind() != v1::QUESTION_KIND_VERIFY && proto.kind() != v1::QUESTION_KIND_QUERY) {
    return InvalidArgument("there is no kind {} of questions", static_cast<int>(proto.kind()));
  }
  RETURN_IF_ERROR(CheckName("subject", proto.subject()));
  RETURN_IF_ERROR(CheckName("issuer", proto.issuer()));
  if (proto.serial().size() > kMaxSerial) return InvalidArgument("a serial number has up to {} bytes", kMaxSerial);
  counts.signer = {.is_query = proto.kind() == v1::QUESTION_KIND_QUERY,
                   .subject = proto.subject(),
                   .issuer = proto.issuer(),
                   .serial = proto.serial()};
  ASSIGN_OR_RETURN(counts.valid, IsValid(proto.verdict()));
  if (!v1::InvalidReason_IsValid(proto.reason())) {
    return InvalidArgument("there is no reason {}", static_cast<int>(proto.reason()));
  }
  counts.reason = proto.reason();
  if (proto.count() < 1 || proto.count() > kMaxCount) {
    return InvalidArgument("a question was asked 1 to {} times, not {}", kMaxCount, proto.count());
  }
  counts.count = proto.count();
  if (!proto.has_first_at() || !proto.has_last_at()) return InvalidArgument("a question has the times of its asking");
  counts.first_at = FromProtoTime(proto.first_at());
  counts.last_at = FromProtoTime(proto.last_at());
  if (!proto.address().empty()) RETURN_IF_ERROR(IpAddress::Parse(proto.address()).status());
  counts.address = proto.address();
  return counts;
}

absl::StatusOr<QuestionBatch> FromProto(const v1::CountQuestionsRequest& request) {
  if (request.batch() < 0) return InvalidArgument("batches are numbered from 0, not {}", request.batch());
  if (request.counts_size() > kMostCounts || (request.counts().empty() && request.presented_certificates().empty())) {
    return InvalidArgument("a batch has 1 to {} counts, not {}", kMostCounts, request.counts_size());
  }
  QuestionBatch batch = {.node = request.node(), .process = request.process(), .number = request.batch()};
  batch.counts.reserve(static_cast<size_t>(request.counts_size()));
  for (const v1::QuestionCount& proto : request.counts()) {
    ASSIGN_OR_RETURN(batch.counts.emplace_back(), FromProto(proto));
  }
  ASSIGN_OR_RETURN(batch.presented, ReadPresented(request.presented_certificates()));
  return batch;
}

// A page token: since when, and where the page before ended.
std::string PageToken(absl::Time since, const QuestionLine& last) {
  return fmt::format("{} {} {} {} {} {} {}", absl::ToUnixMicros(since),
                     last.reason == v1::INVALID_REASON_UNKNOWN ? 1 : 0, last.count, last.signer_id, last.valid ? 1 : 0,
                     last.reason, last.device.empty() ? "-" : last.device);
}

absl::Status NotAPageToken() {
  return InvalidArgument("the page token is not one that this list has given: begin again without it");
}

absl::Status ReadPageToken(const std::string& token, QuestionFilter& filter, std::optional<QuestionPosition>& after) {
  if (token.empty()) return absl::OkStatus();
  const std::vector<std::string> parts = absl::StrSplit(token, ' ');
  QuestionPosition position;
  int64_t since = 0;
  int32_t unknown = 0, valid = 0;
  if (parts.size() != 7 || !absl::SimpleAtoi(parts[0], &since) || !absl::SimpleAtoi(parts[1], &unknown) ||
      !absl::SimpleAtoi(parts[2], &position.count) || !absl::SimpleAtoi(parts[3], &position.signer_id) ||
      !absl::SimpleAtoi(parts[4], &valid) || !absl::SimpleAtoi(parts[5], &position.reason) || position.count < 0) {
    return NotAPageToken();
  }
  if (parts[6] != "-") {
    const absl::StatusOr<DeviceName> device = DeviceName::Parse(parts[6]);
    if (!device.ok()) return NotAPageToken();
    position.device = device->text();
  }
  position.unknown = unknown == 1;
  position.valid = valid == 1;
  filter.since = absl::FromUnixMicros(since);
  after = position;
  return absl::OkStatus();
}

v1::ListQuestionsResponse::Question ToProto(const QuestionLine& line) {
  v1::ListQuestionsResponse::Question question;
  if (line.signer) {
    question.set_kind(line.signer->is_query ? v1::QUESTION_KIND_QUERY : v1::QUESTION_KIND_VERIFY);
    question.set_subject(line.signer->subject);
    question.set_issuer(line.signer->issuer);
    question.set_serial(line.signer->serial);
  }
  question.set_verdict(line.valid ? v1::VERDICT_VALID : v1::VERDICT_INVALID);
  question.set_reason(static_cast<v1::InvalidReason>(line.reason));
  question.set_count(line.count);
  question.set_phones(line.phones);
  question.set_device(line.device);
  for (const std::string& node : line.nodes) question.add_nodes(node);
  *question.mutable_first_at() = ToProtoTime(line.first_at);
  *question.mutable_last_at() = ToProtoTime(line.last_at);
  return question;
}

}  // namespace

absl::StatusOr<std::unique_ptr<QuestionService>> QuestionService::Create(Authorizer& authorizer, Pool& pool,
                                                                         const Clock& clock) {
  const char* const service = v1::TvsQuestions::service_full_name();
  ASSIGN_OR_RETURN(MethodPolicy count, MethodPolicy::Find(service, "CountQuestions"));
  ASSIGN_OR_RETURN(MethodPolicy list, MethodPolicy::Find(service, "ListQuestions"));
  return std::unique_ptr<QuestionService>(
      new QuestionService(authorizer, pool, clock, Policies{std::move(count), std::move(list)}));
}

absl::Status QuestionService::CountAll(grpc::ServerContext& context, const v1::CountQuestionsRequest& request) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.count, request));
  if (request.node() != caller.identity->name) {
    return PermissionDenied("a node counts its own questions: {} is not the node '{}'", caller.actor(), request.node());
  }
  ASSIGN_OR_RETURN(const QuestionBatch batch, FromProto(request));
  return RunInTransaction(pool_, {},
                          [&](Connection& connection) {
                            return QuestionStore(connection, caller.cluster_id, clock_.Now()).Count(batch);
                          })
      .status();
}

absl::Status QuestionService::ListPage(grpc::ServerContext& context, const v1::ListQuestionsRequest& request,
                                       v1::ListQuestionsResponse& response) {
  ASSIGN_OR_RETURN(const Caller caller, authorizer_.Authorize(context, policies_.list, request));
  if (request.page_size() < 0 || request.page_size() > kLargestPageSize) {
    return InvalidArgument("a page has 1 to {} questions", kLargestPageSize);
  }
  const int32_t page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  QuestionFilter filter = {.by_device = request.by_device()};
  if (!request.device().empty()) {
    ASSIGN_OR_RETURN(const DeviceName device, DeviceName::Parse(request.device()));
    filter.device = device.text();
  }
  if (request.verdict() != v1::VERDICT_UNSPECIFIED) {
    ASSIGN_OR_RETURN(filter.valid, IsValid(request.verdict()));
  }
  filter.since = request.has_since() ? FromProtoTime(request.since()) : clock_.Now() - kDefaultSince;
  std::optional<QuestionPosition> after;
  RETURN_IF_ERROR(ReadPageToken(request.page_token(), filter, after));
  ASSIGN_OR_RETURN(
      std::vector<QuestionLine> lines, RunInTransaction(pool_, {.read_only = true}, [&](Connection& connection) {
        return QuestionStore(connection, caller.cluster_id, clock_.Now()).List(filter, after, page_size + 1);
      }));
  if (lines.size() > static_cast<size_t>(page_size)) {
    lines.pop_back();
    response.set_next_page_token(PageToken(filter.since, lines.back()));
  }
  for (const QuestionLine& line : lines) *response.add_questions() = ToProto(line);
  return absl::OkStatus();
}

grpc::Status QuestionService::CountQuestions(grpc::ServerContext* context, const v1::CountQuestionsRequest* request,
                                             v1::CountQuestionsResponse*) {
  return ToGrpc(CountAll(*context, *request));
}
grpc::Status QuestionService::ListQuestions(grpc::ServerContext* context, const v1::ListQuestionsRequest* request,
                                            v1::ListQuestionsResponse* response) {
  return ToGrpc(ListPage(*context, *request, *response));
}

}  // namespace trustline
