// itld's service of adoption: it answers with the lists that a test has put there, and keeps what it was asked. The
// tests look at it between calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <string>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/bytes/checksums.h"
#include "proto/adoption.grpc.pb.h"

namespace trustline {

class FakeAdoption final : public v1::Adoption::Service {
 public:
  v1::ListAdoptedResponse::List& Add(const std::string& origin, v1::TrustListKind kind, const std::string& tftp_server,
                                     const std::string& file) {
    v1::ListAdoptedResponse::List& list = lists.emplace_back();
    list.set_origin(origin);
    list.set_kind(kind);
    list.set_tftp_server(tftp_server);
    list.set_sha1(std::string(AsText(Sha1(AsBytes(file)))));
    list.set_is_current(true);
    list.set_size(static_cast<int64_t>(file.size()));
    list.set_adopted_by("trustline:default/person/admin");
    list.mutable_adopted_at()->set_seconds(1'795'377'060);  // 2026-11-22T19:51:00Z
    list.set_content(file);
    return list;
  }

  grpc::Status ListAdopted(grpc::ServerContext*, const v1::ListAdoptedRequest* request,
                           v1::ListAdoptedResponse* response) override {
    asked.push_back(*request);
    for (const v1::ListAdoptedResponse::List& list : lists) {
      if (!request->sha1().empty() && list.sha1() != request->sha1()) continue;
      *response->add_lists() = list;
      if (request->sha1().empty() || response->lists_size() > 1) {
        response->mutable_lists()->rbegin()->clear_content();
      }
    }
    if (request->sha1().empty() || response->lists_size() > 0) return grpc::Status::OK;
    return {grpc::StatusCode::NOT_FOUND, "no adopted list has this SHA-1"};
  }

  std::vector<v1::ListAdoptedResponse::List> lists;
  std::vector<v1::ListAdoptedRequest> asked;
};

}  // namespace trustline
