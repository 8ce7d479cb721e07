#include "common/postgres/connect.h"

#include <libpq-fe.h>
#include <poll.h>

#include <map>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/postgres/socket_wait.h"
#include "common/postgres/sql_error.h"
#include "common/status/status.h"

namespace trustline {
namespace {

using Keywords = std::map<std::string, std::string>;

absl::StatusOr<Keywords> Parse(const std::string& conninfo) {
  if (conninfo.find('\0') != std::string::npos) return InvalidArgument("the connection string holds a NUL character");
  struct FreeOptions {
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
  };
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, FreeOptions> options(PQconninfoParse(conninfo.c_str(), &error));
  if (options == nullptr) {
    // libpq's message quotes the string, which may hold a password.
    PQfreemem(error);
    return InvalidArgument(
        "the PostgreSQL connection string cannot be read (its text is not shown, as it may hold a password); "
        "write it like \"host=db.example.com dbname=trustline user=tvs passfile=/etc/trustline/tvs.pgpass\" or as a "
        "postgresql:// URI");
  }
  Keywords keywords;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) keywords[option->keyword] = option->val;
  }
  return keywords;
}

std::string Value(const Keywords& keywords, const std::string& keyword) {
  const auto found = keywords.find(keyword);
  return found == keywords.end() ? std::string() : found->second;
}

// One set of keywords a host. `host`, `hostaddr` and `port` are parallel lists; a single port is for all hosts.
absl::StatusOr<std::vector<Keywords>> SplitHosts(const Keywords& keywords) {
  const auto list = [&](const std::string& keyword) -> std::vector<std::string> {
    const std::string value = Value(keywords, keyword);
    if (value.empty()) return {};
    return absl::StrSplit(value, ',');
  };
  const std::vector<std::string> hosts = list("host"), addresses = list("hostaddr"), ports = list("port");
  const size_t count = std::max<size_t>({hosts.size(), addresses.size(), 1});
  if ((!hosts.empty() && hosts.size() != count) || (!addresses.empty() && addresses.size() != count) ||
      (ports.size() > 1 && ports.size() != count)) {
    return InvalidArgument("the PostgreSQL connection string has {} hosts, {} host addresses and {} ports",
                           hosts.size(), addresses.size(), ports.size());
  }
  std::vector<Keywords> result(count, keywords);
  for (size_t i = 0; i < count; ++i) {
    if (!hosts.empty()) result[i]["host"] = hosts[i];
    if (!addresses.empty()) result[i]["hostaddr"] = addresses[i];
    if (!ports.empty()) result[i]["port"] = ports.size() == 1 ? ports[0] : ports[i];
  }
  return result;
}

// "prefer-standby" is about all hosts together: first any standby, then anything.
std::vector<Keywords> Attempts(const std::vector<Keywords>& hosts) {
  if (hosts.size() == 1 || Value(hosts[0], "target_session_attrs") != "prefer-standby") return hosts;
  std::vector<Keywords> attempts;
  for (const char* wanted : {"standby", "any"}) {
    for (Keywords host : hosts) {
      host["target_session_attrs"] = wanted;
      attempts.push_back(std::move(host));
    }
  }
  return attempts;
}

absl::Status WithoutPassword(const absl::Status& status, const Keywords& keywords) {
  std::string message(StatusMessage(status));
  bool found = false;
  for (const char* keyword : {"password", "sslpassword"}) {
    const std::string secret = Value(keywords, keyword);
    if (secret.empty()) continue;
    for (size_t at = message.find(secret); at != std::string::npos; at = message.find(secret, at + 3)) {
      message.replace(at, secret.size(), "***");
      found = true;
    }
  }
  return found ? absl::Status(status.code(), message) : status;
}

absl::StatusOr<PgConnPtr> ConnectToOneHost(const ConnectionOptions& options, Keywords keywords) {
  keywords["client_encoding"] = "UTF8";
  if (!options.application_name.empty()) keywords["application_name"] = options.application_name;
  // A peer that vanished is noticed within about a minute, not after the two hours of the system's default.
  keywords.emplace("keepalives_idle", "30");
  keywords.emplace("keepalives_interval", "10");
  keywords.emplace("keepalives_count", "3");

  std::vector<const char*> names, values;
  for (const auto& [name, value] : keywords) {
    names.push_back(name.c_str());
    values.push_back(value.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);

  const WaitDeadline deadline = WaitDeadline::After(options.connect_timeout);
  PgConnPtr connection(PQconnectStartParams(names.data(), values.data(), /*expand_dbname=*/0));
  if (connection == nullptr) return ResourceExhausted("out of memory for a PostgreSQL connection");
  PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);  // StatusOfConnection() reads the SQLSTATE from it
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection.get()) != CONNECTION_BAD && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    const short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    absl::Status ready = WaitForSocket(PQsocket(connection.get()), events, deadline, options.interrupt);
    if (absl::IsDeadlineExceeded(ready)) {
      return Unavailable("no answer within {} from PostgreSQL at {}", absl::FormatDuration(options.connect_timeout),
                         Value(keywords, keywords.contains("host") ? "host" : "hostaddr"));
    }
    RETURN_IF_ERROR(ready);
    next = PQconnectPoll(connection.get());
  }
  if (PQstatus(connection.get()) != CONNECTION_OK) return StatusOfConnection(connection.get());
  return connection;
}

}  // namespace

void FinishConnection::operator()(PGconn* connection) const { PQfinish(connection); }

absl::StatusOr<NewConnection> ConnectToFirstHost(const ConnectionOptions& options) {
  ASSIGN_OR_RETURN(const Keywords keywords, Parse(options.conninfo));
  ASSIGN_OR_RETURN(const std::vector<Keywords> hosts, SplitHosts(keywords));
  const std::string wanted = Value(keywords, "target_session_attrs");

  std::vector<absl::Status> errors;
  for (const Keywords& attempt : Attempts(hosts)) {
    absl::StatusOr<PgConnPtr> connection = ConnectToOneHost(options, attempt);
    if (connection.ok()) {
      return NewConnection{*std::move(connection), wanted == "read-write" || wanted == "primary"};
    }
    if (absl::IsCancelled(connection.status())) return connection.status();
    errors.push_back(WithoutPassword(connection.status(), keywords));
  }
  if (errors.size() == 1) return errors[0];
  std::vector<std::string> texts;
  for (const absl::Status& error : errors) texts.emplace_back(StatusMessage(error));
  return Unavailable("none of the PostgreSQL hosts can be used: {}", absl::StrJoin(texts, "; "));
}

}  // namespace trustline
