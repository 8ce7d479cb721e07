// itld's service of resets: it answers what a test has put there, and keeps what it was asked. The tests look at it
// between calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <string>
#include <vector>

#include "proto/reset.grpc.pb.h"

namespace trustline {

class FakeResets final : public v1::Resets::Service {
 public:
  grpc::Status StartReset(grpc::ServerContext*, const v1::StartResetRequest* request,
                          v1::StartResetResponse* response) override {
    started = *request;
    *response->mutable_reset() = looks.front();
    return status;
  }
  grpc::Status ListResets(grpc::ServerContext*, const v1::ListResetsRequest* request,
                          v1::ListResetsResponse* response) override {
    // A page each.
    listed.push_back(*request);
    const size_t page = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    if (page < looks.size()) *response->add_resets() = looks[page];
    if (page + 1 < looks.size()) response->set_next_page_token(std::to_string(page + 1));
    return status;
  }
  // The next of `looks`, or a failure in its place; of the last one again and again.
  grpc::Status ShowReset(grpc::ServerContext*, const v1::ShowResetRequest* request,
                         v1::ShowResetResponse* response) override {
    const size_t look = std::min(shown.size(), looks.size() - 1);
    shown.push_back(*request);
    if (looks[look].number() == 0) return {grpc::StatusCode::UNAVAILABLE, "itld restarts"};
    *response->mutable_reset() = looks[look];
    const size_t begin = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    const size_t end = std::min(phones.size(), begin + static_cast<size_t>(request->page_size()));
    for (size_t i = begin; i < end; ++i) *response->add_phones() = phones[i];
    if (end < phones.size()) response->set_next_page_token(std::to_string(end));
    return status;
  }
  grpc::Status ChangeReset(grpc::ServerContext*, const v1::ChangeResetRequest* request,
                           v1::ChangeResetResponse* response) override {
    changed = *request;
    *response->mutable_reset() = looks.front();
    return status;
  }

  grpc::Status status;  // of every call
  std::vector<v1::Reset> looks;
  std::vector<v1::ShowResetResponse::PhoneReset> phones;

  v1::StartResetRequest started;
  std::vector<v1::ListResetsRequest> listed;
  std::vector<v1::ShowResetRequest> shown;
  v1::ChangeResetRequest changed;
};

}  // namespace trustline
