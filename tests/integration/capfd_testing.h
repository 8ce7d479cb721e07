// What the tests of the real capfd share: it, the real cad, itld and PostgreSQL, phones, and calls as an administrator.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/phone/capf_phone.h"
#include "common/x509/certificate.h"
#include "proto/enrolment.grpc.pb.h"
#include "tests/integration/cad_testing.h"
#include "tests/support/capfd_process.h"

namespace trustline {

// Each test ends with cad's audit of everything that it had issued.
class CapfdTest : public CadTest {
 protected:
  void SetUp() override {
    CadTest::SetUp();
    StartCad();
    ASSERT_OK_AND_ASSIGN(authority_id_, site_->MakeAuthority(*cad_, false));
    ASSERT_OK_AND_ASSIGN(capf_site_, CapfdSite::Create(*database_, *site_, CapfPem()));
    StartCapfd();
  }
  void TearDown() override {
    capfd_.reset();
    CadTest::TearDown();
  }
  // Certificate and key by which phones know the CAPF; empty: made for the test.
  virtual std::string CapfPem() const { return ""; }

  void StartCapfd(CapfdOptions options = {}) {
    if (capfd_ != nullptr) options.capf_port = capfd_->capf_port();
    options.cad_port = cad_->grpc_port();
    capfd_.reset();
    ASSERT_OK_AND_ASSIGN(capfd_, CapfdProcess::Start(*capf_site_, options));
    ASSERT_OK(capfd_->WaitUntilReady());
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<grpc::Channel> channel, capfd_->Channel());
    enrolment_ = v1::Enrolment::NewStub(channel);
  }
  // On the port that it had, so that capfd finds it again.
  void StartCadAgain() { StartCad({.grpc_port = cad_->grpc_port()}); }

  // What was scheduled for one device. A refusal is the status's message.
  absl::StatusOr<v1::ScheduleOperationsResponse::Outcome> Schedule(v1::ScheduleOperationsRequest::Options options,
                                                                   std::string_view device) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    const auto stream = enrolment_->ScheduleOperations(&context);
    v1::ScheduleOperationsRequest first, batch;
    options.set_add_unknown_devices(options.operation() == v1::CERTIFICATE_OPERATION_INSTALL);
    *first.mutable_options() = std::move(options);
    batch.mutable_devices()->add_names(std::string(device));
    if (stream->Write(first) && stream->Write(batch)) stream->WritesDone();
    v1::ScheduleOperationsResponse::Outcome outcome;
    for (v1::ScheduleOperationsResponse response; stream->Read(&response);) {
      if (response.outcomes_size() > 0) outcome = response.outcomes(0);
    }
    RETURN_IF_ERROR(ToAbsl(stream->Finish()));
    if (!outcome.refusal().empty()) return absl::FailedPreconditionError(outcome.refusal());
    return outcome;
  }
  static v1::ScheduleOperationsRequest::Options Order(v1::CertificateOperation operation,
                                                      v1::EnrolmentAuthentication authentication) {
    v1::ScheduleOperationsRequest::Options options;
    options.set_operation(operation);
    options.set_authentication(authentication);
    return options;
  }
  // The authentication string of an installation.
  std::string ScheduleByString(std::string_view device) {
    const auto outcome =
        Schedule(Order(v1::CERTIFICATE_OPERATION_INSTALL, v1::ENROLMENT_AUTHENTICATION_STRING), device);
    EXPECT_OK(outcome);
    return outcome.ok() ? outcome->authentication_string() : "";
  }

  Endpoint Server() const { return {"127.0.0.1", capfd_->capf_port()}; }
  CapfPhoneOptions PhoneOptions(std::string_view device, std::string password = "") const {
    CapfPhoneOptions options;
    options.device_name = device;
    options.password = std::move(password);
    options.tls.expected_certificate = capf_site_->capf_certificate().sha256();
    return options;
  }
  // The reason with which a session ended; -1 when it ended otherwise.
  static int EndOf(const absl::StatusOr<CapfPhoneResult>& result) {
    EXPECT_OK(result);
    return result.ok() && result->end_reason ? *result->end_reason : -1;
  }

  // Sessions until one ends with a reason, for half a minute; as far apart as capfd's pace for a device lets them be.
  static absl::StatusOr<CapfPhoneResult> EnrolUntilTold(CapfPhone& phone) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (true) {
      absl::StatusOr<CapfPhoneResult> result = phone.Enrol();
      if ((result.ok() && result->end_reason) || absl::Now() > end) return result;
      absl::SleepFor(absl::Milliseconds(700));
    }
  }

  v1::ShowEnrolmentResponse Show(std::string_view device) {
    v1::ShowEnrolmentRequest request;
    request.set_device(std::string(device));
    v1::ShowEnrolmentResponse response;
    EXPECT_OK(Call(enrolment_, &v1::Enrolment::Stub::ShowEnrolment, request, response));
    return response;
  }
  int64_t InForce(std::string_view device) {
    return Count(
        fmt::format("SELECT count(*) FROM issuance WHERE device = '{}' AND state IN ('signed', 'delivered', "
                    "'confirmed')",
                    device));
  }

  int32_t authority_id_ = 0;
  std::unique_ptr<CapfdSite> capf_site_;
  std::unique_ptr<CapfdProcess> capfd_;
  std::unique_ptr<v1::Enrolment::Stub> enrolment_;
};

}  // namespace trustline
