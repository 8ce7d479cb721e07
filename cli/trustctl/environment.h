// What a command works with: the options that all have, where to print, and calls to the services.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/trustctl/call_interrupt.h"
#include "cli/trustctl/command.h"
#include "cli/trustctl/context.h"
#include "common/rpc/channel.h"

namespace trustline {

inline constexpr std::string_view kItld = "itld";
inline constexpr std::string_view kTvsd = "tvsd";
inline constexpr std::string_view kCad = "cad";
inline constexpr std::string_view kCapfd = "capfd";
inline constexpr std::string_view kProvisiond = "provisiond";

// A service's stub, with what its errors need to name it.
template <typename Service>
struct Client {
  std::unique_ptr<typename Service::Stub> stub;
  std::string service;  // "itld"
  std::string address;
};

class Environment {
 public:
  // All must outlive it.
  Environment(const GlobalOptions& options, std::ostream& out, std::ostream& err, bool err_is_terminal,
              CallInterrupt& interrupt)
      : options_(options), out_(out), err_(err), err_is_terminal_(err_is_terminal), interrupt_(interrupt) {}

  const GlobalOptions& options() const { return options_; }
  std::ostream& out() { return out_; }
  std::ostream& err() { return err_; }
  bool err_is_terminal() const { return err_is_terminal_; }
  CallInterrupt& interrupt() { return interrupt_; }

  // Loaded once. FailedPrecondition with the way to get one when none was named.
  absl::StatusOr<const Context*> context();

  // The option's, else the context's.
  absl::StatusOr<std::string> cluster();

  // A moment as AddTime takes it: so long before now, or RFC 3339; without a zone in the time zone of the cluster,
  // which itld is asked for then.
  absl::StatusOr<absl::Time> ResolveTime(std::string_view text);

  // `service` is one of the names above.
  template <typename Service>
  absl::StatusOr<Client<Service>> Connect(std::string_view service) {
    ASSIGN_OR_RETURN(const Context* named, context());
    ASSIGN_OR_RETURN(std::string address, ServiceAddress(*named, service));
    ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, OpenChannel(address, named->identity, service));
    return Client<Service>{Service::NewStub(channel), std::string(service), std::move(address)};
  }

  // One unary call: Ask(client, &v1::TrustStore::Stub::Show, request).
  template <typename Service, typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Ask(Client<Service>& client,
                               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                               const Request& request);

  // Warnings stand on the standard error output, whatever the format.
  void Warn(std::string_view warning);

 private:
  const GlobalOptions& options_;
  std::ostream& out_;
  std::ostream& err_;
  const bool err_is_terminal_;
  CallInterrupt& interrupt_;
  std::optional<Context> context_;
};

// One call's context: deadline, and cancelled by Ctrl-C.
class Call {
 public:
  enum class Length { kShort, kLong };  // long ones have no deadline unless --timeout sets one
  Call(Environment& environment, Length length);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }

  // The call's end in words; Aborted after Ctrl-C.
  template <typename Service>
  absl::Status End(const grpc::Status& status, const Client<Service>& client) const {
    return EndOf(status, client.service, client.address);
  }

 private:
  absl::Status EndOf(const grpc::Status& status, std::string_view service, std::string_view address) const;

  Environment& environment_;
  grpc::ClientContext context_;
  grpc::ClientContext* outer_;
};

// Work of many calls: while it exists, Ctrl-C does not end the process between two calls but cancels the next one, so
// that the work can say how far it came and removes what it has begun to write.
class CallSeries {
 public:
  explicit CallSeries(Environment& environment);
  ~CallSeries();
  CallSeries(const CallSeries&) = delete;
  CallSeries& operator=(const CallSeries&) = delete;

 private:
  CallInterrupt& interrupt_;
  grpc::ClientContext between_calls_;
  grpc::ClientContext* outer_;
};

template <typename Service, typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Environment::Ask(Client<Service>& client,
                                          grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                          const Request& request) {
  Call call(*this, Call::Length::kShort);
  Response response;
  RETURN_IF_ERROR(call.End((client.stub.get()->*method)(call.context(), request, &response), client));
  return response;
}

}  // namespace trustline
