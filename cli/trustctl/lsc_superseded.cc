#include "cli/trustctl/lsc_superseded.h"

#include <fmt/format.h>

#include "cli/trustctl/output.h"
#include "cli/trustctl/progress.h"
#include "cli/trustctl/trust_records.h"
#include "common/service/clock.h"
#include "common/status/status.h"
#include "proto/issuance.grpc.pb.h"

namespace trustline {

absl::StatusOr<int> RevokeSuperseded(Environment& environment, int32_t authority_id) {
  v1::RevokeSupersededRequest request;
  ASSIGN_OR_RETURN(*request.mutable_cluster(), environment.cluster());
  request.set_authority_id(authority_id);
  ASSIGN_OR_RETURN(Client<v1::Issuance> client, environment.Connect<v1::Issuance>(kCad));
  const SystemClock clock;
  Progress progress(environment.err(), environment.err_is_terminal(), "certificates checked", /*total=*/0, clock);
  Call call(environment, Call::Length::kLong);
  const auto stream = client.stub->RevokeSuperseded(call.context(), request);
  v1::RevokeSupersededResponse result;
  v1::RevokeSupersededResponse response;
  while (stream->Read(&response)) {
    result = response;
    progress.Update(result.certificates_checked());
  }
  progress.Finish();
  const absl::Status status = call.End(stream->Finish(), client);
  if (!status.ok()) {
    if (result.certificates_checked() == 0) return status;
    const std::string how_far = fmt::format("at least {} revoked, and stay so", CertificateCountText(result.revoked()));
    if (environment.interrupt().requested()) {
      return Aborted("interrupted: {}; the same command again goes on", how_far);
    }
    return Annotate(status, how_far + ", the same command again goes on; then");
  }
  if (!result.finished()) return Internal("cad ended without a result: look at its log");
  WriteResult(environment.out(), environment.options().output,
              fmt::format("revoked {} of authority {} as superseded, of {} that were good; CRL and TVS follow within "
                          "seconds",
                          CertificateCountText(result.revoked()), authority_id, result.certificates_checked()),
              Record()
                  .Add("authority_id", "AUTHORITY", int64_t{authority_id})
                  .Add("certificates_checked", "CHECKED", result.certificates_checked())
                  .Add("revoked", "REVOKED", result.revoked()));
  return kExitSuccess;
}

}  // namespace trustline
