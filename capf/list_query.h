// How lists are read: a SELECT that grows by its conditions, and rows that several readers share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/postgres/connection.h"

namespace trustline {

// `select` ends with a WHERE that has the cluster as $1.
class ListQuery {
 public:
  ListQuery(std::string_view select, int32_t cluster_id) : sql_(select) { parameters_.Int64(cluster_id); }

  // AND `condition` $N `end`: `condition` ends with its operator.
  void And(std::string_view condition, std::string_view text, std::string_view end = "") {
    Add(condition, parameters_.Text(text));
    sql_ += end;
  }
  void And(std::string_view condition, int64_t number) { Add(condition, parameters_.Int64(number)); }
  void And(std::string_view condition, absl::Time time) { Add(condition, parameters_.Time(time)); }
  void And(std::string_view condition) { sql_ += fmt::format(" AND {}", condition); }
  // AND `columns` ($N, $M): of a text and a number, as "(device, id) >".
  void AndPair(std::string_view columns, std::string_view text, int64_t number) {
    parameters_.Text(text).Int64(number);
    sql_ += fmt::format(" AND {} (${}, ${})", columns, parameters_.size() - 1, parameters_.size());
  }
  // Names of devices that begin so, by an index in the order of their bytes.
  void AndNamePrefix(std::string_view column, const std::string& prefix) {
    if (prefix.empty()) return;
    And(fmt::format("{} COLLATE \"C\" >=", column), prefix);
    And(fmt::format("{} COLLATE \"C\" <", column), prefix + "~");  // which is higher than all that a name holds
  }
  // One row more than a page, which shows that there is another page.
  absl::StatusOr<Result> Run(Connection& connection, std::string_view order, int32_t page_size) {
    sql_ += fmt::format(" ORDER BY {} LIMIT {}", order, page_size + 1);
    return connection.Execute(sql_.c_str(), parameters_);
  }

 private:
  void Add(std::string_view condition, const Parameters& parameters) {
    sql_ += fmt::format(" AND {} ${}", condition, parameters.size());
  }

  std::string sql_;
  Parameters parameters_;
};

// Reads the columns of a row one after the other. The first error stays; what is read after it is worth nothing.
class RowReader {
 public:
  explicit RowReader(const Row& row) : row_(row) {}

  template <typename T>
  T Next() {
    absl::StatusOr<T> value = row_.Get<T>(next_++);
    if (value.ok()) return *std::move(value);
    if (status_.ok()) status_ = value.status();
    return T{};
  }
  const absl::Status& status() const { return status_; }

 private:
  const Row row_;
  int next_ = 0;
  absl::Status status_;
};

}  // namespace trustline
