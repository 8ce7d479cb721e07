#include "itl/list/list_notices.h"

#include "absl/strings/str_join.h"
#include "common/service/time_text.h"
#include "common/status/status.h"
#include "itl/list/list_order.h"

namespace trustline {
namespace {

constexpr absl::Duration kEndsSoon = absl::Hours(24 * 90);
constexpr size_t kNamedLists = 10;
constexpr size_t kNamedCertificates = 10;

constexpr Statement kNodes = {"nodes_for_notices",
                              "SELECT name, approved_at IS NOT NULL FROM node WHERE removed_at IS NULL ORDER BY name"};

std::string_view StateText(CandidateState state) {
  switch (state) {
    case CandidateState::kApproval:
      return "has changes that wait for an administrator";
    case CandidateState::kNodes:
      return "has changes that wait for TVS nodes";
    case CandidateState::kRefused:
      return "has changes that are refused";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListNotices(Connection& connection, int32_t cluster_id,
                                                     const StoredPolicy& policy,
                                                     const std::vector<StoredSigner>& signers,
                                                     const std::vector<StoredList>& lists, absl::Time now) {
  std::vector<std::string> notices;
  size_t waiting = 0;
  for (const StoredList& list : lists) {
    if (!list.candidate || ++waiting > kNamedLists) continue;
    notices.push_back(fmt::format("the {} {} since {}: {}", ListText(list.form), StateText(list.candidate->state),
                                  TimeTextSeconds(list.candidate->since), list.candidate->reason));
  }
  if (waiting > kNamedLists) {
    notices.push_back(fmt::format("lists with changes that are not published, besides: {}; `trustctl itl list`",
                                  waiting - kNamedLists));
  }
  if (policy.policy.blank) {
    notices.push_back(fmt::format(
        "the lists are blank since {}, by {}: phones that took one trust no HTTPS service and nothing that they would "
        "ask TVS about, and take any configuration and any list; take it back with `trustctl itl blank off --reason "
        "...`",
        TimeTextSeconds(policy.blank_since.value_or(now)), policy.blank_by));
  }
  for (const StoredSigner& signer : signers) {
    if (signer.certificate.not_after() - now > kEndsSoon) continue;
    notices.push_back(fmt::format("the certificate {} of {} {} on {}", signer.certificate.subject().ToText(),
                                  signer.tftp_server.empty() ? "ITLRecovery" : "TFTP server " + signer.tftp_server,
                                  signer.certificate.not_after() < now ? "has ended" : "ends",
                                  TimeTextSeconds(signer.certificate.not_after())));
  }
  ASSIGN_OR_RETURN(const std::vector<ListedEntry> listed, ListStore(connection, cluster_id).Listed());
  size_t doubtful = 0;
  for (const ListedEntry& entry : listed) {
    const std::vector<std::string> warnings = ListedWarnings(entry.certificate, policy.policy.signer_version, now);
    if (warnings.empty() || ++doubtful > kNamedCertificates) continue;
    notices.push_back("listed: " + absl::StrJoin(warnings, "; "));
  }
  if (doubtful > kNamedCertificates) {
    notices.push_back(
        fmt::format("listed certificates that phones may not take, besides: {}", doubtful - kNamedCertificates));
  }
  ASSIGN_OR_RETURN(const Result nodes, connection.Execute(kNodes));
  bool has_approved = false;
  for (const Row row : nodes) {
    std::string name;
    bool is_approved = false;
    RETURN_IF_ERROR(row.Scan(name, is_approved));
    has_approved = has_approved || is_approved;
    if (is_approved) continue;
    notices.push_back(fmt::format(
        "the node {} has joined, but no list names it until it is approved: `trustctl node approve {}`", name, name));
  }
  if (!has_approved) {
    notices.emplace_back(
        "no TVS node is approved: phones have nobody to ask about what they do not know, and no list is published "
        "until one is (`trustctl node list`, `trustctl node approve NODE`)");
  }
  return notices;
}

}  // namespace trustline
