// The gRPC service TvsQuestions (proto/tvs_question.proto).
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/postgres/pool.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/clock.h"
#include "proto/tvs_question.grpc.pb.h"

namespace trustline {

// Thread-safe. The references must outlive it.
class QuestionService final : public v1::TvsQuestions::Service {
 public:
  static absl::StatusOr<std::unique_ptr<QuestionService>> Create(Authorizer& authorizer, Pool& pool,
                                                                 const Clock& clock);

  grpc::Status CountQuestions(grpc::ServerContext* context, const v1::CountQuestionsRequest* request,
                              v1::CountQuestionsResponse* response) override;
  grpc::Status ListQuestions(grpc::ServerContext* context, const v1::ListQuestionsRequest* request,
                             v1::ListQuestionsResponse* response) override;

 private:
  struct Policies {
    MethodPolicy count, list;
  };
  QuestionService(Authorizer& authorizer, Pool& pool, const Clock& clock, Policies policies)
      : authorizer_(authorizer), pool_(pool), clock_(clock), policies_(std::move(policies)) {}

  absl::Status CountAll(grpc::ServerContext& context, const v1::CountQuestionsRequest& request);
  absl::Status ListPage(grpc::ServerContext& context, const v1::ListQuestionsRequest& request,
                        v1::ListQuestionsResponse& response);

  Authorizer& authorizer_;
  Pool& pool_;
  const Clock& clock_;
  const Policies policies_;
};

}  // namespace trustline
