#include "itl/adoption/adoption_service.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "common/bytes/bytes.h"
#include "common/net/ip_address.h"
#include "common/postgres/transaction.h"
#include "common/rpc/channel.h"
#include "common/rpc/proto_time.h"
#include "common/service/audit.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/adoption/adopted_list_store.h"
#include "itl/list/trust_list_messages.h"
#include "itl/trust_list/reader.h"

namespace trustline {
namespace {

constexpr int kMostFiles = 64;
constexpr size_t kLargestFile = 128 * 1024;  // twice what phones load: what is too large for them is told apart
constexpr size_t kLongestOrigin = 63;
constexpr size_t kLongestReason = 200;
constexpr int kMostHoldings = 1000;
constexpr int kMostProblems = 20;

constexpr Statement kKnownDevices = {"adoption_known_devices",
                                     "SELECT device FROM phone WHERE cluster_id = $1 AND device = ANY($2)"};

bool HasControls(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; });
}

absl::Status CheckOrigin(const std::string& origin) {
  const bool fits = !origin.empty() && origin.size() <= kLongestOrigin && !HasControls(origin) &&
                    origin.front() != ' ' && origin.back() != ' ';
  if (fits) return absl::OkStatus();
  return InvalidArgument("the name of the adopted cluster is 1 to {} bytes without control characters", kLongestOrigin);
}

struct CheckedFile {
  AdoptedFile file;
  v1::AdoptListsResponse::List said;
};

// `index` counts from 0.
absl::StatusOr<CheckedFile> CheckFile(const v1::AdoptListsRequest::File& file, int index) {
  const std::string which = fmt::format("file {}", index + 1);
  const absl::StatusOr<std::optional<ListKind>> kind = FromProto(file.kind());
  if (!kind.ok()) return Annotate(kind.status(), which);
  if (!*kind) return InvalidArgument("{}: say whether it is an ITL or a CTL", which);
  if (!IsHost(file.tftp_server())) return InvalidArgument("{}: '{}' is no host", which, file.tftp_server());
  if (file.content().size() > kLargestFile) {
    return InvalidArgument("{}: {} bytes are more than the {} that any list may have", which, file.content().size(),
                           kLargestFile);
  }
  const absl::StatusOr<TrustList> list = DecodeTrustList(AsBytes(file.content()));
  if (!list.ok()) return Annotate(list.status(), which);
  CheckedFile checked;
  checked.file = {.kind = **kind, .tftp_server = absl::AsciiStrToLower(file.tftp_server()), .content = file.content()};
  const absl::StatusOr<Certificate> signer = VerifyTrustList(*list);
  v1::AdoptListsResponse::List& said = checked.said;
  said.set_kind(file.kind());
  said.set_tftp_server(checked.file.tftp_server);
  said.set_sha1(std::string(AsText(Sha1(AsBytes(file.content())))));
  said.set_records(static_cast<int32_t>(list->records.size()));
  said.set_signer(signer.ok() ? signer->subject().ToText() : list->header().signer_name);
  said.set_signature_verified(signer.ok());
  if (!signer.ok()) said.set_remark(std::string(StatusMessage(signer.status())));
  return checked;
}

// "ITL of tftp1.example".
std::string FileText(const AdoptedFile& file) {
  return fmt::format("{} of {}", ListKindName(file.kind), file.tftp_server);
}

constexpr absl::Duration kClockDifference = absl::Hours(24);  // with a time zone that is taken for another

// What a report says that comes from an export. InvalidArgument for what no phone can be or hold.
absl::StatusOr<PhoneReport> ReportOf(const v1::SeedHoldingsRequest::Holding& holding, const std::string& actor,
                                     absl::Time now) {
  v1::PhoneReport message;
  message.set_device(holding.device());
  message.set_event(v1::PhoneReport::EVENT_LISTS);
  if (holding.has_at()) {
    // Clocks differ a little; a year that is wrong would count as the newest for ever.
    if (FromProtoTime(holding.at()) > now + kClockDifference) {
      return InvalidArgument("its time, {}, lies in the future", TimeTextSeconds(FromProtoTime(holding.at())));
    }
    *message.mutable_at() = holding.at();
  }
  message.set_itl_signature(holding.itl_signature());
  message.set_itl_tftp_server(holding.itl_tftp_server());
  message.set_ctl_signature(holding.ctl_signature());
  message.set_ctl_tftp_server(holding.ctl_tftp_server());
  ASSIGN_OR_RETURN(PhoneReport report, ReadPhoneReport(message, /*is_provisiond=*/false, actor, now));
  const auto is_unreadable = [](const ListSignature& signature) {
    return signature.state == ListSignature::State::kUnreadable;
  };
  if (is_unreadable(report.itl) || (report.ctl && is_unreadable(*report.ctl))) {
    return InvalidArgument("a signature is neither a SHA-1 (40 hexadecimal digits) nor \"Not Installed\"");
  }
  report.event = PhoneEventKind::kAdopted;
  return report;
}

// Those of the devices that are in service.
absl::StatusOr<std::set<std::string>> KnownDevices(Pool& pool, int32_t cluster_id,
                                                   const std::vector<std::string>& devices) {
  ASSIGN_OR_RETURN(const Pool::Lease lease, pool.Acquire());
  ASSIGN_OR_RETURN(const Result rows, lease->Execute(kKnownDevices, Parameters().Int64(cluster_id).TextArray(devices)));
  std::set<std::string> known;
  for (const Row row : rows) {
    ASSIGN_OR_RETURN(std::string device, row.Get<std::string>(0));
    known.insert(std::move(device));
  }
  return known;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdoptionService>> AdoptionService::Create(const AdoptionServiceParts& parts) {
  constexpr auto kService = &v1::Adoption::service_full_name;
  ASSIGN_OR_RETURN(MethodPolicy adopt_lists, MethodPolicy::Find(kService(), "AdoptLists"));
  ASSIGN_OR_RETURN(MethodPolicy seed_holdings, MethodPolicy::Find(kService(), "SeedHoldings"));
  ASSIGN_OR_RETURN(MethodPolicy list_adopted, MethodPolicy::Find(kService(), "ListAdopted"));
  return std::unique_ptr<AdoptionService>(
      new AdoptionService(parts, {std::move(adopt_lists), std::move(seed_holdings), std::move(list_adopted)}));
}

absl::Status AdoptionService::Adopt(const Caller& caller, const v1::AdoptListsRequest& request,
                                    v1::AdoptListsResponse& response) {
  // 1. All of the request is checked before anything is kept.
  RETURN_IF_ERROR(CheckOrigin(request.origin()));
  if (request.reason().size() > kLongestReason || HasControls(request.reason())) {
    return InvalidArgument("the reason is at most {} bytes without control characters", kLongestReason);
  }
  if (request.files().empty() || request.files_size() > kMostFiles) {
    return InvalidArgument("one to {} files are adopted at once, not {}", kMostFiles, request.files_size());
  }
  std::vector<CheckedFile> files;
  std::vector<Sha1Digest> hashes;
  for (const v1::AdoptListsRequest::File& file : request.files()) {
    ASSIGN_OR_RETURN(CheckedFile checked, CheckFile(file, static_cast<int>(files.size())));
    hashes.push_back(Sha1(AsBytes(checked.file.content)));
    files.push_back(std::move(checked));
  }

  // 2. Kept in one transaction, with what phones that hold them mean by it.
  return RunInTransaction(parts_.import_pool, {}, [&](Connection& connection) -> absl::Status {
    response.Clear();
    AdoptedListStore store(connection, caller.cluster_id);
    RETURN_IF_ERROR(store.Lock());
    ASSIGN_OR_RETURN(const int64_t turned, store.SetOwn(request.origin(), request.own()));
    std::vector<std::string> changes;
    for (const CheckedFile& checked : files) {
      ASSIGN_OR_RETURN(const AdoptedListStore::Outcome outcome,
                       store.Put(request.origin(), request.own(), checked.file, caller.actor()));
      v1::AdoptListsResponse::List& said = *response.add_lists();
      said = checked.said;
      said.set_added(outcome == AdoptedListStore::Outcome::kAdded);
      if (outcome == AdoptedListStore::Outcome::kUnchanged) continue;
      changes.push_back(fmt::format("{}: SHA-1 {}{}", FileText(checked.file), ToHex(AsBytes(said.sha1())),
                                    said.added() ? "" : ", current again"));
    }
    ASSIGN_OR_RETURN(const int64_t phones, store.ResolvePhones(hashes));
    if (changes.empty() && turned == 0 && phones == 0) return absl::OkStatus();
    return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                    .actor = caller.actor(),
                                    .action = "adoption.lists",
                                    .subject = request.origin(),
                                    .detail = {{"own", request.own() ? "yes" : "no"},
                                               {"lists", absl::StrJoin(changes, "; ")},
                                               {"phones", fmt::format("{}", phones)},
                                               {"reason", request.reason()}}});
  });
}

absl::Status AdoptionService::Seed(const Caller& caller, const v1::SeedHoldingsRequest& request,
                                   v1::SeedHoldingsResponse& response) {
  if (request.holdings_size() > kMostHoldings) {
    return InvalidArgument("at most {} phones are taken over at once, not {}", kMostHoldings, request.holdings_size());
  }
  const auto add_problem = [&response](const std::string& device, std::string_view what) {
    if (response.problems_size() < kMostProblems) response.add_problems(fmt::format("{}: {}", device, what));
  };
  const absl::Time now = parts_.clock.Now();
  std::vector<PhoneReport> reports;
  std::vector<std::string> devices;
  for (const v1::SeedHoldingsRequest::Holding& holding : request.holdings()) {
    absl::StatusOr<PhoneReport> report = ReportOf(holding, caller.actor(), now);
    if (!report.ok()) {
      add_problem(holding.device(), StatusMessage(report.status()));
      continue;
    }
    devices.push_back(report->device);
    reports.push_back(*std::move(report));
  }

  ASSIGN_OR_RETURN(const std::set<std::string> known, KnownDevices(parts_.pool, caller.cluster_id, devices));
  // A report of a phone that is not there would be kept as somebody's claim.
  std::erase_if(reports, [&](const PhoneReport& report) {
    if (known.contains(report.device)) return false;
    response.set_not_known(response.not_known() + 1);
    add_problem(report.device, "is not a device in service: import it first (--phones)");
    return true;
  });
  if (reports.empty()) return absl::OkStatus();
  const auto audit = [&](Connection& connection, const StoredReports& stored) -> absl::Status {
    // The phones have left service meanwhile.
    if (stored.evidence == 0) return absl::OkStatus();
    return AppendAudit(connection, {.cluster_id = caller.cluster_id,
                                    .actor = caller.actor(),
                                    .action = "adoption.holdings",
                                    .subject = fmt::format("{} phones", known.size()),
                                    .detail = {{"first", *known.begin()}, {"last", *known.rbegin()}}});
  };
  ASSIGN_OR_RETURN(const StoredReports stored, reports_.Store(caller.cluster_id, reports, audit));
  response.set_older(stored.older);
  response.set_seeded(stored.evidence - stored.older);
  return absl::OkStatus();
}

absl::Status AdoptionService::List(const Caller& caller, const v1::ListAdoptedRequest& request,
                                   v1::ListAdoptedResponse& response) {
  std::optional<Sha1Digest> sha1;
  if (!request.sha1().empty()) {
    sha1.emplace();
    if (request.sha1().size() != sha1->size()) {
      return InvalidArgument("a SHA-1 has {} bytes, not {}", sha1->size(), request.sha1().size());
    }
    std::ranges::copy(AsBytes(request.sha1()), sha1->begin());
  }
  constexpr TransactionOptions kReading = {.isolation = Isolation::kRepeatableRead, .read_only = true};
  std::vector<AdoptedList> lists;
  std::string content;
  RETURN_IF_ERROR(RunInTransaction(parts_.pool, kReading, [&](Connection& connection) -> absl::Status {
    AdoptedListStore store(connection, caller.cluster_id);
    if (sha1) {
      ASSIGN_OR_RETURN(content, store.Content(*sha1));
    }
    ASSIGN_OR_RETURN(lists, store.List(sha1));
    return absl::OkStatus();
  }));
  for (const AdoptedList& list : lists) {
    v1::ListAdoptedResponse::List& said = *response.add_lists();
    said.set_origin(list.origin);
    said.set_own(list.own);
    said.set_kind(list.kind == ListKind::kCtl ? v1::TRUST_LIST_KIND_CTL : v1::TRUST_LIST_KIND_ITL);
    said.set_tftp_server(list.tftp_server);
    said.set_sha1(std::string(AsText(list.sha1)));
    said.set_is_current(list.is_current);
    said.set_size(list.size);
    said.set_adopted_by(list.adopted_by);
    *said.mutable_adopted_at() = ToProtoTime(list.adopted_at);
    said.set_phones(list.phones);
    if (response.lists_size() == 1) said.set_content(content);
  }
  return absl::OkStatus();
}

grpc::Status AdoptionService::AdoptLists(grpc::ServerContext* context, const v1::AdoptListsRequest* request,
                                         v1::AdoptListsResponse* response) {
  const auto caller = parts_.authorizer.Authorize(*context, policies_.adopt_lists, *request);
  return ToGrpc(caller.ok() ? Adopt(*caller, *request, *response) : caller.status());
}
grpc::Status AdoptionService::SeedHoldings(grpc::ServerContext* context, const v1::SeedHoldingsRequest* request,
                                           v1::SeedHoldingsResponse* response) {
  const auto caller = parts_.authorizer.Authorize(*context, policies_.seed_holdings, *request);
  return ToGrpc(caller.ok() ? Seed(*caller, *request, *response) : caller.status());
}
grpc::Status AdoptionService::ListAdopted(grpc::ServerContext* context, const v1::ListAdoptedRequest* request,
                                          v1::ListAdoptedResponse* response) {
  const auto caller = parts_.authorizer.Authorize(*context, policies_.list_adopted, *request);
  return ToGrpc(caller.ok() ? List(*caller, *request, *response) : caller.status());
}

}  // namespace trustline
