#include "capf/operation_list.h"

#include "absl/strings/str_join.h"
#include "capf/enrolment_testing.h"
#include "common/rpc/proto_time.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class OperationListTest : public EnrolmentDatabaseTest {
 protected:
  // An operation of the device SEP00000000000N that has ended, unless it is pending; the ids follow the calls.
  void Add(int device, std::string_view operation = "install", std::string_view state = "success", int campaign = 0) {
    RunByHand(fmt::format(
        "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
        "deadline, scheduled_by, ended_at, campaign_id, wave) VALUES (1, 'SEP00000000000{}', '{}', '{}', 'null', 'ec', "
        "2048, 'secp384r1', now(), 'test', {}, {}, {})",
        device, operation, state, state == "pending" ? "NULL" : "now()",
        campaign == 0 ? "NULL" : std::to_string(campaign), campaign == 0 ? "NULL" : "2"));
  }
  absl::StatusOr<v1::ListOperationsResponse> Ask(const v1::ListOperationsRequest& request) {
    ASSIGN_OR_RETURN(const Pool::Lease lease, pool_->Acquire());
    v1::ListOperationsResponse response;
    RETURN_IF_ERROR(ListOperations(*lease, 1, request, response));
    return response;
  }
  // "device:id" in the order of the list, which is the same for pages of every size.
  std::string List(v1::ListOperationsRequest request) {
    std::vector<std::string> all;
    for (const int32_t page_size : {1, 2, 1000}) {
      std::vector<std::string> operations;
      request.set_page_size(page_size);
      request.clear_page_token();
      do {
        const auto page = Ask(request);
        EXPECT_OK(page);
        if (!page.ok()) return "failed";
        EXPECT_LE(page->operations_size(), page_size);
        for (const v1::OperationInfo& operation : page->operations()) {
          operations.push_back(fmt::format("{}:{}", operation.device().back(), operation.operation_id()));
        }
        request.set_page_token(page->next_page_token());
      } while (!request.page_token().empty());
      all.push_back(absl::StrJoin(operations, " "));
    }
    EXPECT_EQ(all[0], all[2]);
    EXPECT_EQ(all[1], all[2]);
    return all[2];
  }
};

TEST_F(OperationListTest, TheNewestFirstOrByDevice) {
  RunByHand(
      "INSERT INTO capf_campaign (cluster_id, state, expires_before, authentication, key_order, rsa_bits, curve, "
      "wave_size, from_minute, until_minute, stop_at_failures, operation_seconds, created_by) "
      "VALUES (1, 'running', now(), 'null', 'rsa', 2048, 'secp256r1', 1, 0, 0, 0, 1, 'test')");
  Add(3);
  Add(1, "fetch", "failed");
  Add(2, "delete", "failed");
  Add(1, "install", "success", 1);
  Add(1, "install", "pending");
  Add(2, "install", "expired", 1);
  RunByHand(
      "INSERT INTO cluster (name) VALUES ('branch'); "
      "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
      "deadline, scheduled_by) VALUES (2, 'SEP000000000009', 'install', 'pending', 'null', 'rsa', 2048, 'secp256r1', "
      "now(), 'test')");

  v1::ListOperationsRequest request;
  EXPECT_EQ(List(request), "2:6 1:5 1:4 2:3 1:2 3:1");
  request.set_state(v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(List(request), "2:3 1:2");
  request.set_operation(v1::CERTIFICATE_OPERATION_FETCH);
  EXPECT_EQ(List(request), "1:2");
  request.Clear();
  request.set_operation(v1::CERTIFICATE_OPERATION_INSTALL);
  EXPECT_EQ(List(request), "2:6 1:5 1:4 3:1");
  request.Clear();
  request.set_campaign_id(1);
  EXPECT_EQ(List(request), "2:6 1:4");
  request.set_campaign_id(7);
  EXPECT_EQ(List(request), "");
  request.Clear();
  request.set_device_prefix("sep");
  EXPECT_EQ(List(request), "1:2 1:4 1:5 2:3 2:6 3:1");
  request.set_state(v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(List(request), "1:2 2:3");
  request.Clear();
  request.set_device_prefix("SEP000000000001");
  EXPECT_EQ(List(request), "1:2 1:4 1:5");
  request.set_device_prefix("SEPF");
  EXPECT_EQ(List(request), "");
}

TEST_F(OperationListTest, AnOperationIsShownInFull) {
  AddCertificate(kEnrolmentPhone);
  RunByHand(
      "INSERT INTO capf_operation (cluster_id, device, operation, state, reason, authentication, key_order, rsa_bits, "
      "curve, string_salt, string_hmac, wrong_strings, deadline, scheduled_by, scheduled_at, started_at, ended_at, "
      "session_address, issuance_id) SELECT 1, device, 'install', 'failed', 'no key', 'string', 'ec-preferred', 3072, "
      "'secp521r1', decode(repeat('aa', 16), 'hex'), decode(repeat('bb', 32), 'hex'), 3, '2026-01-04Z', 'somebody', "
      "'2026-01-01Z', '2026-01-02Z', '2026-01-03Z', '192.0.2.7', issuance_id FROM issuance");
  ASSERT_OK_AND_ASSIGN(const v1::ListOperationsResponse page, Ask({}));
  ASSERT_EQ(page.operations_size(), 1);
  const v1::OperationInfo& operation = page.operations(0);
  EXPECT_EQ(operation.device(), kEnrolmentPhone);
  EXPECT_EQ(operation.operation(), v1::CERTIFICATE_OPERATION_INSTALL);
  EXPECT_EQ(operation.state(), v1::OPERATION_STATE_FAILED);
  EXPECT_EQ(operation.reason(), "no key");
  EXPECT_EQ(operation.authentication(), v1::ENROLMENT_AUTHENTICATION_STRING);
  EXPECT_EQ(operation.key().order(), v1::KeySpecification::ORDER_EC_PREFERRED);
  EXPECT_EQ(operation.key().rsa_bits(), 3072);
  EXPECT_EQ(operation.key().curve(), v1::KeySpecification::CURVE_SECP521R1);
  const absl::Time day = absl::FromCivil(absl::CivilDay(2026, 1, 1), absl::UTCTimeZone());
  EXPECT_EQ(FromProtoTime(operation.scheduled_at()), day);
  EXPECT_EQ(FromProtoTime(operation.started_at()), day + absl::Hours(24));
  EXPECT_EQ(FromProtoTime(operation.ended_at()), day + absl::Hours(48));
  EXPECT_EQ(FromProtoTime(operation.deadline()), day + absl::Hours(72));
  EXPECT_EQ(operation.scheduled_by(), "somebody");
  EXPECT_EQ(operation.session_address(), "192.0.2.7");
  EXPECT_EQ(operation.wrong_strings(), 3);
  EXPECT_EQ(operation.campaign_id(), 0);
  EXPECT_EQ(operation.serial(), Text("SELECT encode(serial, 'hex') FROM issuance"));

  Add(1, "fetch", "success");
  ASSERT_OK_AND_ASSIGN(const v1::ListOperationsResponse newest, Ask({}));
  EXPECT_FALSE(newest.operations(0).has_key());
  EXPECT_EQ(newest.operations(0).serial(), "");
}

TEST_F(OperationListTest, WhatIsNoQuestionIsRefused) {
  v1::ListOperationsRequest request;
  for (const char* token : {"x", "1:SEP", "1x", ":", "99999999999999999999"}) {
    request.set_page_token(token);
    EXPECT_THAT(Ask(request), StatusIs(kInvalid, HasSubstr("page token"))) << token;
  }
  request.set_device_prefix("SEP");
  request.set_page_token("1");  // of another list
  EXPECT_THAT(Ask(request), StatusIs(kInvalid, HasSubstr("page token")));
  request.Clear();
  request.set_device_prefix("SEP-");
  EXPECT_THAT(Ask(request), StatusIs(kInvalid));
  request.Clear();
  request.set_state(static_cast<v1::OperationState>(99));
  EXPECT_THAT(Ask(request), StatusIs(kInvalid, HasSubstr("state 99")));
  request.Clear();
  request.set_operation(v1::CERTIFICATE_OPERATION_NONE);
  EXPECT_THAT(Ask(request), StatusIs(kInvalid, HasSubstr("install, fetch or delete")));
  for (const int32_t size : {-1, 1001}) {
    request.Clear();
    request.set_page_size(size);
    EXPECT_THAT(Ask(request), StatusIs(kInvalid, HasSubstr("1 to 1000")));
  }
}

}  // namespace
}  // namespace trustline
