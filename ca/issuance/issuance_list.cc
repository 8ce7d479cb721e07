#include "ca/issuance/issuance_list.h"

#include <charconv>

#include "ca/issuance/issuance_purge.h"
#include "common/service/time_text.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr char kSelect[] = "SELECT " ISSUANCE_RECORD_COLUMNS
                           " FROM issuance i JOIN ca_authority a USING (cluster_id, authority_id) "
                           "WHERE i.cluster_id = $1";
// A page of each authority by itself, as index issuance_good has them, and what comes first among these.
constexpr char kSelectOfEach[] = "SELECT " ISSUANCE_RECORD_COLUMNS
                                 " FROM ca_authority a CROSS JOIN LATERAL (SELECT i.* FROM issuance i "
                                 "WHERE i.cluster_id = a.cluster_id AND i.authority_id = a.authority_id";
constexpr char kIsGood[] =
    "i.state IN ('signed', 'delivered', 'confirmed') AND i.not_after > now() AND EXISTS (SELECT FROM device d "
    "WHERE d.cluster_id = i.cluster_id AND d.name = i.device AND d.state = 'in service')";

// The least text that is greater than every text with this prefix; empty when there is none.
std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<uint8_t>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

// The bytes of the digits; of an odd number of them, the least that begin so.
std::string BytesOf(std::string digits) {
  if (digits.size() % 2 != 0) digits.push_back('0');
  return FromHex(digits).value_or("");
}

// The least bytes that are greater than all that begin with these digits; empty when there are none.
std::string DigitsEnd(std::string digits) {
  while (digits.ends_with('f')) digits.pop_back();
  if (digits.empty()) return "";
  digits.back() = digits.back() == '9' ? 'a' : static_cast<char>(digits.back() + 1);
  return BytesOf(std::move(digits));
}

// Collects conditions and their parameters.
class Query {
 public:
  Query(const char* select, int32_t cluster_id) : sql_(select) { parameters_.Int64(cluster_id); }

  Parameters& parameters() { return parameters_; }
  // The placeholder of the parameter that is added next.
  std::string Next() const { return fmt::format("${}", parameters_.size() + 1); }
  void And(std::string_view condition) { sql_ += fmt::format(" AND {}", condition); }
  void Append(std::string_view text) { sql_ += text; }

  void AndDigitsPrefix(std::string_view column, const std::string& digits) {
    if (digits.empty()) return;
    const std::string begin = BytesOf(digits);
    And(fmt::format("{} >= {}", column, Next()));
    parameters_.Bytes(AsBytes(begin));
    if (const std::string end = DigitsEnd(digits); !end.empty()) {
      And(fmt::format("{} < {}", column, Next()));
      parameters_.Bytes(AsBytes(end));
    }
  }
  // By the operators of text_pattern_ops, which the indexes have.
  void AndTextPrefix(std::string_view column, const std::string& prefix) {
    if (prefix.empty()) return;
    And(fmt::format("{} ~>=~ {}", column, Next()));
    parameters_.Text(prefix);
    if (const std::string end = PrefixEnd(prefix); static_cast<uint8_t>(prefix.back()) < 0x7f) {
      And(fmt::format("{} ~<~ {}", column, Next()));
      parameters_.Text(end);
    } else {
      And(fmt::format("starts_with({}, {})", column, Next()));
      parameters_.Text(prefix);
    }
  }

  absl::StatusOr<Result> Run(Connection& connection) { return connection.Execute(sql_.c_str(), parameters_); }

 private:
  std::string sql_;
  Parameters parameters_;
};

enum class Order : uint8_t { kNewest, kDevice, kSubject, kExpiry };

Order OrderOf(const IssuanceFilter& filter) {
  // These name one row or a few.
  if (!filter.serial_prefix.empty() || !filter.public_key_prefix.empty()) return Order::kNewest;
  if (!filter.device_prefix.empty()) return Order::kDevice;
  if (!filter.subject_prefix.empty()) return Order::kSubject;
  if (filter.expires_after || filter.expires_before || filter.good) return Order::kExpiry;
  return Order::kNewest;
}

// A page token: the last row's id, and its value in the column of the order.
std::string MakeToken(Order order, const IssuanceRecord& last) {
  switch (order) {
    case Order::kNewest:
      return fmt::format("{}", last.id);
    case Order::kDevice:
      return fmt::format("{}:{}", last.id, last.device);
    case Order::kSubject:
      return fmt::format("{}:{}", last.id, last.subject);
    case Order::kExpiry:
      return fmt::format("{}:{}", last.id, absl::ToUnixMicros(last.not_after));
  }
  return "";
}

struct Position {
  int64_t id = 0;
  std::string value;
};
absl::StatusOr<Position> ReadToken(std::string_view token) {
  Position position;
  const size_t colon = token.find(':');
  const std::string_view id = token.substr(0, colon);
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), position.id);
  if (error != std::errc() || end != id.data() + id.size()) {
    return InvalidArgument("the page token is not one that a list has given: begin again without it");
  }
  if (colon != std::string_view::npos) position.value = token.substr(colon + 1);
  return position;
}

absl::Status AndAfter(Query& query, Order order, const Position& position) {
  const auto row_after = [&](std::string_view column, std::string_view compare) {
    query.And(fmt::format("({0} {1} {2} OR ({0} = {2} AND i.issuance_id > {3}))", column, compare, query.Next(),
                          fmt::format("${}", query.parameters().size() + 2)));
  };
  switch (order) {
    case Order::kNewest:
      query.And(fmt::format("i.issuance_id < {}", query.Next()));
      query.parameters().Int64(position.id);
      return absl::OkStatus();
    case Order::kDevice:
      query.And(fmt::format("i.device ~>=~ {}", query.Next()));
      query.parameters().Text(position.value);
      row_after("i.device", "~>~");
      query.parameters().Text(position.value).Int64(position.id);
      return absl::OkStatus();
    case Order::kSubject:
      query.And(fmt::format("i.subject ~>=~ {}", query.Next()));
      query.parameters().Text(position.value);
      row_after("i.subject", "~>~");
      query.parameters().Text(position.value).Int64(position.id);
      return absl::OkStatus();
    case Order::kExpiry: {
      int64_t micros = 0;
      const auto [end, error] =
          std::from_chars(position.value.data(), position.value.data() + position.value.size(), micros);
      if (error != std::errc()) return InvalidArgument("the page token is not one that this list has given");
      query.And(fmt::format("(i.not_after, i.issuance_id) > ({}, ${})", query.Next(), query.parameters().size() + 2));
      query.parameters().Time(absl::FromUnixMicros(micros)).Int64(position.id);
      return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

std::string_view OrderBy(Order order) {
  switch (order) {
    case Order::kNewest:
      return " ORDER BY i.issuance_id DESC";
    case Order::kDevice:
      return " ORDER BY i.device USING ~<~, i.issuance_id";
    case Order::kSubject:
      return " ORDER BY i.subject USING ~<~, i.issuance_id";
    case Order::kExpiry:
      return " ORDER BY i.not_after, i.issuance_id";
  }
  return "";
}

// Why a certificate may not be found that there was.
absl::StatusOr<std::string> PurgedText(Connection& connection, int32_t cluster_id) {
  ASSIGN_OR_RETURN(const std::optional<absl::Time> before, PurgedBefore(connection, cluster_id));
  if (!before) return std::string();
  return fmt::format(" (records of certificates that ended before {} were removed)", TimeTextSeconds(*before));
}

}  // namespace

absl::StatusOr<IssuancePage> ListIssuances(Connection& connection, int32_t cluster_id, const IssuanceFilter& filter,
                                           int32_t page_size, std::string_view after) {
  const Order order = OrderOf(filter);
  const bool of_each = filter.good && order == Order::kExpiry;
  Query query(of_each ? kSelectOfEach : kSelect, cluster_id);
  std::string authorities = "a.cluster_id = $1";
  query.AndTextPrefix("i.device", filter.device_prefix);
  query.AndTextPrefix("i.subject", filter.subject_prefix);
  query.AndDigitsPrefix("i.serial", filter.serial_prefix);
  query.AndDigitsPrefix("i.public_key_sha256", filter.public_key_prefix);
  if (filter.authority_id != 0) {
    if (of_each) {
      authorities += fmt::format(" AND a.authority_id = {}", query.Next());
    } else {
      query.And(fmt::format("i.authority_id = {}", query.Next()));
    }
    query.parameters().Int64(filter.authority_id);
  }
  if (filter.good) query.And(kIsGood);
  if (filter.state) {
    query.And(fmt::format("i.state = {}", query.Next()));
    query.parameters().Text(IssuanceStateName(*filter.state));
  }
  if (filter.expires_after) {
    query.And(fmt::format("i.not_after >= {}", query.Next()));
    query.parameters().Time(*filter.expires_after);
  }
  if (filter.expires_before) {
    query.And(fmt::format("i.not_after < {}", query.Next()));
    query.parameters().Time(*filter.expires_before);
  }
  if (!after.empty()) {
    ASSIGN_OR_RETURN(const Position position, ReadToken(after));
    RETURN_IF_ERROR(AndAfter(query, order, position));
  }
  const std::string first = fmt::format("{} LIMIT {}", OrderBy(order), page_size + 1);
  query.Append(first);
  if (of_each) query.Append(fmt::format(") i WHERE {}{}", authorities, first));

  ASSIGN_OR_RETURN(const Result result, query.Run(connection));
  IssuancePage page;
  for (const Row row : result) {
    if (static_cast<int32_t>(page.records.size()) == page_size) {
      page.next = MakeToken(order, page.records.back());
      break;
    }
    ASSIGN_OR_RETURN(IssuanceRecord record, ReadIssuanceRecord(row));
    page.records.push_back(std::move(record));
  }
  return page;
}

absl::StatusOr<IssuanceRecord> FindBySerialPrefix(Connection& connection, int32_t cluster_id,
                                                  std::string_view serial_prefix) {
  IssuanceFilter filter;
  filter.serial_prefix = std::string(serial_prefix);
  ASSIGN_OR_RETURN(IssuancePage page, ListIssuances(connection, cluster_id, filter, 2, ""));
  if (page.records.empty()) {
    ASSIGN_OR_RETURN(const std::string purged, PurgedText(connection, cluster_id));
    return NotFound("no certificate of this cluster has a serial number that begins with {}: see `trustctl lsc list`{}",
                    serial_prefix, purged);
  }
  if (page.records.size() > 1) {
    return FailedPrecondition("several serial numbers begin with {}: give more digits", serial_prefix);
  }
  return std::move(page.records[0]);
}

absl::StatusOr<IssuanceRecord> FindNewestOf(Connection& connection, int32_t cluster_id, std::string_view device) {
  static constexpr Statement kNewest = {
      "newest_of_device",
      "SELECT " ISSUANCE_RECORD_COLUMNS
      " FROM issuance i JOIN ca_authority a USING (cluster_id, authority_id) WHERE i.cluster_id = $1 AND i.device = $2 "
      "AND i.certificate IS NOT NULL ORDER BY i.issuance_id DESC LIMIT 1"};
  ASSIGN_OR_RETURN(const Result result, connection.Execute(kNewest, Parameters().Int64(cluster_id).Text(device)));
  if (result.empty()) {
    ASSIGN_OR_RETURN(const std::string purged, PurgedText(connection, cluster_id));
    return NotFound("{} has no certificate: `trustctl lsc enroll {} --csr FILE` issues one{}", device, device, purged);
  }
  return ReadIssuanceRecord(result[0]);
}

}  // namespace trustline
