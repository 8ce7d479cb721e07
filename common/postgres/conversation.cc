#include "common/postgres/conversation.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "common/postgres/sql_error.h"
#include "common/status/status.h"

namespace trustline {
namespace {

// What a server gets beyond the query timeout to report its own cancellation.
constexpr absl::Duration kCancelGrace = absl::Milliseconds(500);

constexpr absl::Duration kLongestLifeOfPlans = absl::Minutes(10);

constexpr int kBinary = 1;

// The arrays that libpq takes for `parameters`.
struct ParameterArrays {
  explicit ParameterArrays(const Parameters& parameters) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      types.push_back(parameters.type_oid(i));
      values.push_back(parameters.data(i));
      lengths.push_back(static_cast<int>(parameters.length(i)));
      formats.push_back(parameters.is_binary(i) ? kBinary : 0);
    }
  }
  int count() const { return static_cast<int>(types.size()); }

  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

absl::Status InWordsOf(const Command& command, const absl::Status& error) {
  return command.name == nullptr ? error : Annotate(error, command.name);
}

}  // namespace

Conversation::Conversation(NewConnection opened, const ConnectionOptions& options)
    : pg_(std::move(opened.connection)),
      interrupt_(options.interrupt),
      wants_writable_(opened.wants_writable),
      query_timeout_(options.query_timeout),
      life_of_plans_(options.life_of_plans),
      plans_end_(WaitDeadline::After(life_of_plans_)) {}

WaitDeadline Conversation::Deadline() const { return WaitDeadline::After(query_timeout_ + kCancelGrace); }

absl::Status Conversation::Break(absl::Status why) {
  if (broken_.ok()) broken_ = why;
  return why;
}

absl::Status Conversation::Usable() {
  if (!broken_.ok()) return Unavailable("the connection to PostgreSQL is closed: {}", broken_.message());
  if (PQstatus(conn()) != CONNECTION_OK) return Break(StatusOfConnection(conn()));
  return absl::OkStatus();
}

absl::Status Conversation::Wait(short events, const WaitDeadline& deadline) {
  absl::Status ready = WaitForSocket(PQsocket(conn()), events, deadline, interrupt_);
  return ready.ok() ? ready : Break(std::move(ready));
}

absl::Status Conversation::Consume() {
  return PQconsumeInput(conn()) == 1 ? absl::OkStatus() : Break(StatusOfConnection(conn()));
}

// "After sending any command or data on a nonblocking connection, call PQflush. If it returns 1, wait for the socket to
// become read- or write-ready. If it becomes read-ready, call PQconsumeInput, then call PQflush again." (manual, 34.4)
absl::Status Conversation::Flush(int sent, const WaitDeadline& deadline) {
  if (sent != 1) {
    const absl::Status status = StatusOfConnection(conn());
    if (PQstatus(conn()) != CONNECTION_OK || PQtransactionStatus(conn()) == PQTRANS_ACTIVE ||
        PQpipelineStatus(conn()) != PQ_PIPELINE_OFF) {
      return Break(status);
    }
    return Internal("the statement could not be sent: {}", status.message());
  }
  while (true) {
    const int unsent = PQflush(conn());
    if (unsent == 0) return absl::OkStatus();
    if (unsent < 0) {
      // The server may have said why before it closed the connection; the reader will find that.
      return PQstatus(conn()) == CONNECTION_OK ? absl::OkStatus() : Break(StatusOfConnection(conn()));
    }
    RETURN_IF_ERROR(Wait(POLLIN | POLLOUT, deadline));
    RETURN_IF_ERROR(Consume());
  }
}

absl::StatusOr<PgResultPtr> Conversation::Next(const WaitDeadline& deadline) {
  while (PQisBusy(conn()) == 1) {
    RETURN_IF_ERROR(Wait(POLLIN, deadline));
    RETURN_IF_ERROR(Consume());
  }
  return PgResultPtr(PQgetResult(conn()));
}

absl::Status Conversation::ErrorOf(const PGresult* result) {
  absl::Status status = StatusOfFailedResult(result);
  if (PQstatus(conn()) != CONNECTION_OK) return Break(std::move(status));
  const std::string sqlstate = SqlStateOf(status);
  // The server ends the connection after these, or we are connected to a primary that has become a standby.
  if (sqlstate.starts_with("57P") || sqlstate.starts_with("08") || (sqlstate == "25006" && wants_writable_)) {
    return Break(std::move(status));
  }
  return status;
}

absl::Status Conversation::Drain(const WaitDeadline& deadline,
                                 const std::function<absl::Status(PgResultPtr)>& on_result) {
  absl::Status first;
  while (true) {
    absl::StatusOr<PgResultPtr> result = Next(deadline);
    if (!result.ok()) return first.ok() ? result.status() : first;
    if (*result == nullptr) return first;
    switch (PQresultStatus(result->get())) {
      case PGRES_COMMAND_OK:
      case PGRES_TUPLES_OK:
      case PGRES_SINGLE_TUPLE:
      case PGRES_EMPTY_QUERY:
        if (first.ok()) first = on_result(*std::move(result));
        break;
      case PGRES_COPY_IN:
      case PGRES_COPY_OUT:
      case PGRES_COPY_BOTH:
        return Break(Internal("COPY to or from the client is for CopyIn() only"));
      default:
        if (absl::Status error = ErrorOf(result->get()); first.ok()) first = std::move(error);
    }
  }
}

absl::StatusOr<Result> Conversation::LastResult(const WaitDeadline& deadline) {
  PgResultPtr last;
  RETURN_IF_ERROR(Drain(deadline, [&](PgResultPtr result) {
    last = std::move(result);
    return absl::OkStatus();
  }));
  if (last == nullptr) return Break(Internal("PostgreSQL sent no result"));
  return Result(last.release());
}

absl::StatusOr<std::string> Conversation::Prepare(const Command& command, const WaitDeadline& deadline) {
  if (command.name == nullptr) return "";
  const ParameterArrays arrays(command.parameters);
  std::string key = command.sql;
  for (const Oid type : arrays.types) key += fmt::format(",{}", type);
  if (const auto found = prepared_.find(key); found != prepared_.end()) return found->second;
  std::string name = fmt::format("s{}", prepared_.size() + 1);
  RETURN_IF_ERROR(
      Flush(PQsendPrepare(conn(), name.c_str(), command.sql, arrays.count(), arrays.types.data()), deadline));
  RETURN_IF_ERROR(LastResult(deadline).status());
  prepared_.emplace(std::move(key), name);
  return name;
}

absl::Status Conversation::MakePlansAnew(const WaitDeadline& deadline) {
  if (plans_end_.PollTimeout() != 0 || PQtransactionStatus(conn()) != PQTRANS_IDLE) return absl::OkStatus();
  RETURN_IF_ERROR(Flush(PQsendQuery(conn(), "DISCARD PLANS"), deadline));
  RETURN_IF_ERROR(LastResult(deadline).status());
  life_of_plans_ = std::min(2 * life_of_plans_, std::max(life_of_plans_, kLongestLifeOfPlans));
  plans_end_ = WaitDeadline::After(life_of_plans_);
  return absl::OkStatus();
}

int Conversation::Hand(const Command& command, const std::string& prepared_name) const {
  const ParameterArrays arrays(command.parameters);
  if (command.name == nullptr) {
    return PQsendQueryParams(conn(), command.sql, arrays.count(), arrays.types.data(), arrays.values.data(),
                             arrays.lengths.data(), arrays.formats.data(), kBinary);
  }
  return PQsendQueryPrepared(conn(), prepared_name.c_str(), arrays.count(), arrays.values.data(), arrays.lengths.data(),
                             arrays.formats.data(), kBinary);
}

absl::Status Conversation::Send(const Command& command, const WaitDeadline& deadline) {
  RETURN_IF_ERROR(Usable());
  RETURN_IF_ERROR(command.parameters.status());
  RETURN_IF_ERROR(MakePlansAnew(deadline));
  ASSIGN_OR_RETURN(const std::string name, Prepare(command, deadline));
  return Flush(Hand(command, name), deadline);
}

absl::StatusOr<Result> Conversation::Run(Command command, const WaitDeadline& deadline) {
  if (queue_.empty()) {
    const absl::Status sent = Send(command, deadline);
    absl::StatusOr<Result> result = sent.ok() ? LastResult(deadline) : absl::StatusOr<Result>(sent);
    return result.ok() ? std::move(result) : InWordsOf(command, result.status());
  }
  const size_t kept = queue_.size();
  queue_.push_back(std::move(command));
  absl::StatusOr<std::optional<Result>> result = RunPipeline(deadline);
  if (!queue_.empty()) queue_.erase(queue_.begin() + static_cast<ptrdiff_t>(kept), queue_.end());
  RETURN_IF_ERROR(result.status());
  if (!*result) return Break(Internal("PostgreSQL sent no result"));
  return **std::move(result);
}

absl::Status Conversation::RunQueued(const WaitDeadline& deadline) {
  return queue_.empty() ? absl::OkStatus() : RunPipeline(deadline).status();
}

absl::StatusOr<std::optional<Result>> Conversation::RunPipeline(const WaitDeadline& deadline) {
  // Until something is sent all of it stays: a BEGIN that vanished would leave what follows without a transaction.
  RETURN_IF_ERROR(Usable());
  RETURN_IF_ERROR(MakePlansAnew(deadline));
  std::vector<std::string> names;
  for (const Command& command : queue_) {
    const absl::Status sendable = command.parameters.status();
    absl::StatusOr<std::string> name =
        sendable.ok() ? Prepare(command, deadline) : absl::StatusOr<std::string>(sendable);
    if (!name.ok()) return InWordsOf(command, name.status());
    names.push_back(*std::move(name));
  }
  const std::vector<Command> commands = std::exchange(queue_, {});
  if (PQenterPipelineMode(conn()) != 1) return Break(StatusOfConnection(conn()));
  int sent = 1;
  for (size_t i = 0; i < commands.size() && sent == 1; ++i) sent = Hand(commands[i], names[i]);
  if (sent == 1) sent = PQpipelineSync(conn());
  RETURN_IF_ERROR(Flush(sent, deadline));
  absl::StatusOr<std::optional<Result>> result = ReadPipeline(commands, deadline);
  if (broken_.ok() && PQexitPipelineMode(conn()) != 1) return Break(StatusOfConnection(conn()));
  return result;
}

// "the client must process results in the order they were sent"; after one that failed the server skips the others up
// to the end of the pipeline. (manual, 34.5)
absl::StatusOr<std::optional<Result>> Conversation::ReadPipeline(const std::vector<Command>& commands,
                                                                 const WaitDeadline& deadline) {
  absl::Status first;
  PgResultPtr last;
  for (const Command& command : commands) {
    last.reset();
    absl::Status status = Drain(deadline, [&](PgResultPtr result) {
      last = std::move(result);
      return absl::OkStatus();
    });
    if (first.ok() && !status.ok()) first = InWordsOf(command, status);
    if (!broken_.ok()) return first;
  }
  ASSIGN_OR_RETURN(const PgResultPtr end, Next(deadline));
  if (end == nullptr || PQresultStatus(end.get()) != PGRES_PIPELINE_SYNC) {
    return Break(Internal("PostgreSQL did not end its answers as it should"));
  }
  RETURN_IF_ERROR(first);
  if (last == nullptr) return std::nullopt;
  return Result(last.release());
}

}  // namespace trustline
