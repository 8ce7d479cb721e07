#include "common/rpc/grpc_messages.h"

#include <grpc/support/log.h>

#include <mutex>
#include <shared_mutex>
#include <string_view>

namespace trustline {
namespace {

// gRPC's hook is a function without an argument of ours.
std::shared_mutex log_mutex;
Log* message_log = nullptr;

void Take(gpr_log_func_args* args) {
  const std::shared_lock lock(log_mutex);
  if (message_log == nullptr) return;
  // gRPC 1.51 calls it an error that a client asks for an address and no host name, as every client here does.
  const bool harmless = std::string_view(args->message).starts_with("No match found for server name");
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR && !harmless ? LogLevel::kWarning : LogLevel::kDebug;
  message_log->Write(level, "GRPC_MESSAGE", args->message, {{"line", args->line}, {"file", args->file}});
}

}  // namespace

void SendGrpcMessagesTo(Log* log) {
  {
    const std::unique_lock lock(log_mutex);
    message_log = log;
  }
  gpr_set_log_function(Take);
}

}  // namespace trustline
