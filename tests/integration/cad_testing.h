// What the tests of the real cad share: a database, itld, and calls as an administrator.
#pragma once

#include <grpcpp/client_context.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "common/rpc/channel.h"
#include "common/x509/certificate_request.h"
#include "common/x509/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/authority.grpc.pb.h"
#include "proto/device.grpc.pb.h"
#include "proto/issuance.grpc.pb.h"
#include "tests/support/cad_process.h"
#include "tests/support/status_matchers.h"

namespace trustline {

// A request in DER for the device, with a new key.
inline std::string NewRequest(std::string_view device, KeyKind kind = KeyKind::kEcP256) {
  const PrivateKey key = *PrivateKey::Generate(kind);
  const DistinguishedName subject = *DistinguishedName::FromAttributes({{"CN", device}});
  return std::string(AsText(CertificateRequest::BuildForSubject(key, subject)->der()));
}

inline constexpr char kOpenIntents[] = "SELECT count(*) FROM issuance WHERE state = 'intent'";

// Each test ends with the audit of everything that it had issued.
class CadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    ASSERT_OK_AND_ASSIGN(site_, CadSite::Create(*database_));
  }
  void TearDown() override {
    if (site_ == nullptr || is_damaged_ || HasFatalFailure()) return;
    if (cad_ == nullptr || !cad_->Running()) {
      ASSERT_NO_FATAL_FAILURE(StartCad());
    }
    EXPECT_THAT(AuditFindings(), ::testing::IsEmpty());
  }

  void StartCad(const CadOptions& options = {}) {
    cad_.reset();
    ASSERT_OK_AND_ASSIGN(cad_, site_->StartCad(options));
    Connect();
  }
  // After a crash: what it left open is resolved within 5 s of the start of the process.
  void StartCadAfterCrash() {
    cad_.reset();
    const absl::Time end = absl::Now() + absl::Seconds(5);
    ASSERT_OK_AND_ASSIGN(cad_, site_->StartCad());
    WaitForCount(kOpenIntents, 0, end - absl::Now());
    Connect();
  }
  // To the cad that runs, once it is ready.
  void Connect() {
    ASSERT_OK(cad_->WaitUntilReady());
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<grpc::Channel> channel, site_->Channel(*cad_));
    devices_ = v1::Devices::NewStub(channel);
    issuance_ = v1::Issuance::NewStub(channel);
    authorities_ = v1::Authorities::NewStub(channel);
  }

  // One call: Call(issuance_, &v1::Issuance::Stub::ShowCertificate, request, response).
  template <typename Service, typename Stub, typename Request, typename Response>
  static absl::Status Call(const std::unique_ptr<Service>& stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                           const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl((stub.get()->*method)(&context, request, &response));
  }

  void AddDevice(std::string_view name) {
    v1::AddDeviceRequest request;
    request.set_name(std::string(name));
    v1::AddDeviceResponse response;
    ASSERT_OK(Call(devices_, &v1::Devices::Stub::AddDevice, request, response));
  }
  absl::StatusOr<v1::IssueResponse> Enroll(std::string_view device, std::string certificate_request,
                                           std::string_view request_id = "", bool renew = false) {
    v1::IssueFromRequestRequest request;
    request.set_device(std::string(device));
    request.set_certificate_request(std::move(certificate_request));
    request.set_request_id(std::string(request_id));
    request.set_renew(renew);
    v1::IssueResponse response;
    RETURN_IF_ERROR(Call(issuance_, &v1::Issuance::Stub::IssueFromRequest, request, response));
    return response;
  }
  absl::StatusOr<v1::RecordDeliveryResponse> Confirm(int64_t issuance_id) {
    v1::RecordDeliveryRequest request;
    request.set_issuance_id(issuance_id);
    request.set_state(v1::CERTIFICATE_STATE_CONFIRMED);
    v1::RecordDeliveryResponse response;
    RETURN_IF_ERROR(Call(issuance_, &v1::Issuance::Stub::RecordDelivery, request, response));
    return response;
  }
  // What `trustctl ca audit` would print; empty when all is well.
  std::vector<std::string> AuditFindings() {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(1)));
    const auto stream = issuance_->AuditCertificates(&context, v1::AuditCertificatesRequest());
    std::vector<std::string> findings;
    bool finished = false;
    for (v1::AuditCertificatesResponse response; stream->Read(&response);) {
      findings.insert(findings.end(), response.findings().begin(), response.findings().end());
      finished = finished || response.finished();
    }
    EXPECT_OK(ToAbsl(stream->Finish()));
    EXPECT_TRUE(finished);
    return findings;
  }

  // As superuser; the first column of the first row.
  int64_t Count(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }
  // Until the query counts `wanted`. The test fails after `limit`.
  void WaitForCount(const std::string& sql, int64_t wanted, absl::Duration limit) {
    const absl::Time end = absl::Now() + limit;
    int64_t count = Count(sql);
    while (count != wanted && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(20));
      count = Count(sql);
    }
    EXPECT_EQ(count, wanted) << sql << " after " << limit;
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<CadSite> site_;
  std::unique_ptr<DaemonProcess> cad_;
  bool is_damaged_ = false;  // a test has damaged what was issued, so that the audit cannot be clean
  std::unique_ptr<v1::Devices::Stub> devices_;
  std::unique_ptr<v1::Issuance::Stub> issuance_;
  std::unique_ptr<v1::Authorities::Stub> authorities_;
};

}  // namespace trustline
