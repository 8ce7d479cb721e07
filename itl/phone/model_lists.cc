#include "itl/phone/model_lists.h"

#include <algorithm>
#include <optional>

#include "common/rpc/proto_time.h"
#include "common/service/audit.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr size_t kLongestModel = 200;  // as cad takes it
constexpr int64_t kMostListed = 1'000;

constexpr Statement kAdd = {"model_without_lists_add",
                            "INSERT INTO model_without_lists (cluster_id, model, set_by) VALUES ($1, $2, $3) ON "
                            "CONFLICT (cluster_id, model) DO NOTHING"};
constexpr Statement kRemove = {"model_without_lists_remove",
                               "DELETE FROM model_without_lists WHERE cluster_id = $1 AND model = $2"};
constexpr Statement kPhones = {"model_phones", "SELECT count(*) FROM phone WHERE cluster_id = $1 AND model = $2"};
// Totals and the changes that are not folded in yet are read by one statement, of one state.
constexpr Statement kList = {
    "models_with_phones",
    "WITH counted AS (SELECT value AS model, sum(phones)::bigint AS phones FROM (SELECT value, phones FROM phone_count "
    "WHERE cluster_id = $1 AND dimension = 'model' UNION ALL SELECT value, phones FROM phone_count_change WHERE "
    "cluster_id = $1 AND dimension = 'model') c GROUP BY value HAVING sum(phones) > 0) "
    "SELECT coalesce(w.model, c.model), coalesce(c.phones, 0), w.set_by, w.set_at, count(*) OVER () FROM counted c "
    "FULL JOIN (SELECT model, set_by, set_at FROM model_without_lists WHERE cluster_id = $1) w ON w.model = c.model "
    "WHERE coalesce(w.model, c.model) <> '' ORDER BY w.model IS NULL, coalesce(c.phones, 0) DESC, "
    "coalesce(w.model, c.model) COLLATE \"C\" LIMIT $2"};

absl::Status CheckModel(const std::string& model) {
  const bool has_control =
      std::any_of(model.begin(), model.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; });
  if (model.empty() || model.size() > kLongestModel || has_control) {
    return InvalidArgument(
        "a model is 1 to {} bytes without control characters: `trustctl phones models list` shows "
        "those that devices have",
        kLongestModel);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> ModelLists::Phones(const std::string& model) {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kPhones, Parameters().Int64(cluster_id_).Text(model)));
  return rows.Value<int64_t>();
}

absl::StatusOr<v1::SetModelListsResponse> ModelLists::Set(const v1::SetModelListsRequest& request) {
  const std::string& model = request.model();
  RETURN_IF_ERROR(CheckModel(model));
  ASSIGN_OR_RETURN(const int64_t phones, Phones(model));
  Parameters parameters = Parameters().Int64(cluster_id_).Text(model);
  if (request.has_no_lists()) parameters.Text(actor_);
  ASSIGN_OR_RETURN(const Result changed, connection_.Execute(request.has_no_lists() ? kAdd : kRemove, parameters));
  v1::SetModelListsResponse response;
  response.set_phones(phones);
  response.set_changed(changed.affected() > 0);
  if (!response.changed()) return response;
  RETURN_IF_ERROR(AppendAudit(connection_, {.cluster_id = cluster_id_,
                                            .actor = actor_,
                                            .action = "model.lists",
                                            .subject = model,
                                            .detail = {{"lists", request.has_no_lists() ? "none" : "known"},
                                                       {"phones", std::to_string(phones)}}}));
  return response;
}

absl::StatusOr<v1::ListModelListsResponse> ModelLists::List() {
  ASSIGN_OR_RETURN(const Result rows, connection_.Execute(kList, Parameters().Int64(cluster_id_).Int64(kMostListed)));
  v1::ListModelListsResponse response;
  int64_t all = 0;
  for (const Row row : rows) {
    std::string name;
    int64_t phones = 0;
    std::optional<std::string> set_by;
    std::optional<absl::Time> set_at;
    RETURN_IF_ERROR(row.Scan(name, phones, set_by, set_at, all));
    v1::ListModelListsResponse::Model& model = *response.add_models();
    model.set_model(name);
    model.set_phones(phones);
    model.set_has_no_lists(set_by.has_value());
    if (set_by) model.set_set_by(*set_by);
    if (set_at) *model.mutable_set_at() = ToProtoTime(*set_at);
  }
  response.set_not_listed(all - response.models_size());
  return response;
}

}  // namespace trustline
