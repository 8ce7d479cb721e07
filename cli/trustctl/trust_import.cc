#include "cli/trustctl/trust_import.h"

#include <thread>

#include "cli/trustctl/progress.h"
#include "common/service/clock.h"
#include "common/status/status.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

constexpr int kBatchCertificates = 500;

}  // namespace

absl::StatusOr<v1::AddResponse::Result> ImportCertificates(Environment& environment,
                                                           const v1::AddRequest::Options& options,
                                                           const std::vector<InputCertificate>& certificates) {
  ASSIGN_OR_RETURN(Client<v1::TrustStore> client, environment.Connect<v1::TrustStore>(kItld));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "certificates",
                    static_cast<int64_t>(certificates.size()), clock);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->Add(call.context());

  v1::AddResponse::Result result;
  bool has_result = false;
  std::thread reader([&] {
    v1::AddResponse response;
    while (stream->Read(&response)) {
      if (response.has_progress()) progress.Update(response.progress().certificates());
      if (response.has_result()) {
        result = std::move(*response.mutable_result());
        has_result = true;
      }
    }
  });

  v1::AddRequest request;
  *request.mutable_options() = options;
  request.mutable_options()->set_expected_certificates(static_cast<int64_t>(certificates.size()));
  bool all_sent = stream->Write(request);
  for (size_t next = 0; all_sent && next < certificates.size();) {
    v1::AddRequest::Batch& batch = *request.mutable_batch();
    batch.Clear();
    for (; next < certificates.size() && batch.certificates_size() < kBatchCertificates; ++next) {
      v1::AddRequest::Certificate& certificate = *batch.add_certificates();
      certificate.set_der(certificates[next].der);
      certificate.set_source(certificates[next].source);
    }
    all_sent = stream->Write(request);
  }
  // Without the half-close the server cannot have committed.
  all_sent = all_sent && !environment.interrupt().requested() && stream->WritesDone();
  reader.join();
  const absl::Status status = call.End(stream->Finish(), client);
  progress.Finish();
  if (environment.interrupt().requested() && !has_result) {
    if (!all_sent) return Aborted("interrupted: nothing was imported");
    return Aborted(
        "interrupted while the import was being finished: all of it was imported or nothing; the same command again "
        "completes it or says that it is there already");
  }
  RETURN_IF_ERROR(status);
  if (!has_result) return Internal("itld ended the import without a result: look at its log");
  return result;
}

}  // namespace trustline
