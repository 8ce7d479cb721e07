// Keeps callers without an identity away from a server where client certificates are optional.
#pragma once

#include <grpcpp/security/auth_metadata_processor.h>

#include "common/service/log.h"
#include "common/service/metrics.h"

namespace trustline {

// Asked before a call reaches a service and takes a thread. Without an identity of the system only methods of the
// system pass whose option `callers` admits anyone; all others, with those of health and reflection, are
// UNAUTHENTICATED, counted (trustline_access_denied_total{reason="no_identity"}) and logged as far as the log's rate
// goes. There is no audit row: whoever reaches the port could fill the audit log with them.
class IdentityGate final : public grpc::AuthMetadataProcessor {
 public:
  // Either may be null; both must outlive the server.
  IdentityGate(Log* log, Metrics* metrics);

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata* consumed,
                       OutputMetadata* response) override;

 private:
  Log* const log_;
  Counter* const refused_;
};

}  // namespace trustline
