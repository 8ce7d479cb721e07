// itld's service of exports and imports of a cluster's trust: it answers what a test has put there, and keeps what it
// was asked. The tests look at it between calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <vector>

#include "proto/migration.grpc.pb.h"

namespace trustline {

class FakeClusterTrust final : public v1::ClusterTrust::Service {
 public:
  grpc::Status ExportTrust(grpc::ServerContext*, const v1::ExportTrustRequest* request,
                           v1::ExportTrustResponse* response) override {
    exported = *request;
    *response = export_answer;
    return status;
  }
  grpc::Status ImportTrust(grpc::ServerContext*, const v1::ImportTrustRequest* request,
                           v1::ImportTrustResponse* response) override {
    imported.push_back(*request);
    *response = import_answer;
    return status;
  }

  grpc::Status status;
  v1::ExportTrustResponse export_answer;
  v1::ImportTrustResponse import_answer;

  v1::ExportTrustRequest exported;
  std::vector<v1::ImportTrustRequest> imported;
};

}  // namespace trustline
