#include "capf/enrolment_report.h"

#include <vector>

#include "absl/strings/str_join.h"
#include "capf/enrolment_testing.h"
#include "common/rpc/proto_time.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class EnrolmentReportTest : public EnrolmentDatabaseTest {
 protected:
  void SetUp() override {
    EnrolmentDatabaseTest::SetUp();
    RunByHand(
        "DELETE FROM device; "
        "INSERT INTO ca_authority (cluster_id, state, key_name, public_key, public_key_sha256, subject, certificate, "
        "not_after, created_by) SELECT 1, s, s, 'EC', sha256(s::bytea), 'CN=' || s || ',O=Example', '\\x00', "
        "'2030-01-01Z', 'test' FROM unnest(ARRAY['tainted', 'active']) s; "
        "UPDATE ca_authority SET not_after = '2040-01-01Z' WHERE state = 'active'");
  }

  // What the test says of a certificate of the device SEP00000000000N; the serial numbers are 4000...01 and so on.
  struct Issued {
    std::string_view state = "confirmed";
    std::string_view not_after = "2100-01-01Z";
    std::string_view age = "1 day";
    int authority = 2;
    int reason = 5;
    bool acknowledged = true;
  };
  void Issue(int device, const Issued& issued) {
    const bool is_signed = issued.state != "intent";
    RunByHand(fmt::format(
        "INSERT INTO issuance (cluster_id, authority_id, device, request_id, state, serial, subject, public_key, "
        "public_key_sha256, public_key_info, not_before, not_after, crl_url, to_be_signed, certificate, sha256, "
        "requested_by, signed_at, confirmed_at, revoked_at, revocation_reason) VALUES (1, {}, 'SEP00000000000{}', '', "
        "'{}', decode('40000000000000{:02x}', 'hex'), 'CN=x', 'EC secp256r1', sha256('x'), '\\x00', '2020-01-01Z', "
        "'{}', '', '\\x00', {}, {}, 'test', {}::timestamptz - interval '{}', {}, {}, {})",
        issued.authority, device, issued.state, ++serial_, issued.not_after, is_signed ? "'\\x00'" : "NULL",
        is_signed ? "sha256('x')" : "NULL", "'" + NowText() + "'", issued.age, issued.acknowledged ? "now()" : "NULL",
        issued.state == "revoked" ? "now()" : "NULL",
        issued.state == "revoked" ? std::to_string(issued.reason) : "NULL"));
  }
  std::string NowText() const { return absl::FormatTime(absl::RFC3339_full, clock_.Now(), absl::UTCTimeZone()); }
  void AddDevices(int count, std::string_view model = "7942", std::string_view site = "Bern") {
    RunByHand(
        fmt::format("INSERT INTO device (cluster_id, name, model, site, added_by) "
                    "SELECT 1, 'SEP00000000000' || n, '{}', '{}', 'test' FROM generate_series(1, {}) n",
                    model, site, count));
  }
  void AddOperation(int device, std::string_view state) {
    RunByHand(fmt::format(
        "INSERT INTO capf_operation (cluster_id, device, operation, state, authentication, key_order, rsa_bits, curve, "
        "deadline, scheduled_by, ended_at) VALUES (1, 'SEP00000000000{}', 'install', '{}', 'null', 'rsa', 2048, "
        "'secp256r1', now(), 'test', {})",
        device, state, state == "pending" ? "NULL" : "now()"));
  }

  template <typename Ask>
  auto OnLease(Ask ask) {
    const auto lease = pool_->Acquire();
    EXPECT_OK(lease);
    return ask(**lease);
  }
  absl::StatusOr<v1::ReportEnrolmentResponse> Report(const v1::ReportEnrolmentRequest& request) {
    return RunInTransaction(*pool_, {}, [&](Connection& transaction) -> absl::StatusOr<v1::ReportEnrolmentResponse> {
      v1::ReportEnrolmentResponse response;
      RETURN_IF_ERROR(ReportEnrolment(transaction, 1, request, response));
      return response;
    });
  }
  absl::StatusOr<v1::ShowEnrolmentResponse> Show(std::string_view device) {
    return OnLease([&](Connection& connection) -> absl::StatusOr<v1::ShowEnrolmentResponse> {
      v1::ShowEnrolmentResponse response;
      RETURN_IF_ERROR(ShowEnrolment(connection, 1, device, clock_.Now(), response));
      return response;
    });
  }
  absl::StatusOr<v1::ListStaleCertificatesResponse> Stale(const v1::ListStaleCertificatesRequest& request) {
    return OnLease([&](Connection& connection) -> absl::StatusOr<v1::ListStaleCertificatesResponse> {
      v1::ListStaleCertificatesResponse response;
      RETURN_IF_ERROR(ListStaleCertificates(connection, 1, clock_.Now(), request, response));
      return response;
    });
  }

  // What `text` says of each row of all pages, which is the same for pages of every size.
  template <typename Request, typename Page, typename Rows, typename Text>
  std::string AllPages(Request request, Page page_of, Rows rows, Text text) {
    std::vector<std::string> all;
    for (const int32_t page_size : {1, 2, 1000}) {
      std::vector<std::string> texts;
      request.set_page_size(page_size);
      request.clear_page_token();
      do {
        const auto page = page_of(request);
        EXPECT_OK(page);
        if (!page.ok()) return "failed";
        for (const auto& row : rows(*page)) texts.push_back(text(row));
        request.set_page_token(page->next_page_token());
      } while (!request.page_token().empty());
      all.push_back(absl::StrJoin(texts, " "));
    }
    EXPECT_EQ(all[0], all[2]);
    EXPECT_EQ(all[1], all[2]);
    return all[2];
  }
  // The last digits of the devices.
  std::string Devices(const v1::ReportEnrolmentRequest& request) {
    return AllPages(
        request, [this](const auto& r) { return Report(r); }, [](const auto& page) { return page.rows(); },
        [](const auto& row) { return row.device().substr(14); });
  }
  // "device/serial/serial of what replaced it", with an r when it was revoked.
  std::string StaleOnes() {
    return AllPages(
        v1::ListStaleCertificatesRequest(), [this](const auto& r) { return Stale(r); },
        [](const auto& page) { return page.certificates(); },
        [](const auto& stale) {
          return fmt::format("{}/{}/{}{}", stale.device().substr(14), stale.serial().substr(14),
                             stale.replaced_by().empty() ? "" : stale.replaced_by().substr(14),
                             stale.revoked() ? "r" : "");
        });
  }

  int serial_ = 0;
};

TEST_F(EnrolmentReportTest, ARowForEachDeviceWithItsNewest) {
  AddDevices(7);
  RunByHand(
      "INSERT INTO cluster (name) VALUES ('branch'); "
      "INSERT INTO device (cluster_id, name, added_by) VALUES (2, 'SEP000000000001', 'test')");
  Issue(2, {.state = "delivered", .acknowledged = false});
  Issue(3, {.state = "revoked"});
  Issue(3, {});  // the newest
  Issue(3, {.state = "intent", .acknowledged = false});
  Issue(4, {.not_after = "2021-01-01Z"});
  Issue(5, {.state = "revoked", .not_after = "2021-01-01Z"});
  Issue(6, {.state = "signed", .not_after = "2021-01-01Z", .authority = 1, .acknowledged = false});
  Issue(7, {.not_after = "2035-01-01Z", .authority = 1});
  AddOperation(1, "failed");
  AddOperation(1, "pending");
  AddOperation(3, "success");

  ASSERT_OK_AND_ASSIGN(const v1::ReportEnrolmentResponse all, Report({}));
  std::vector<v1::LscInfo::Status> statuses;
  for (const auto& row : all.rows()) statuses.push_back(row.lsc().status());
  EXPECT_THAT(statuses,
              ElementsAre(v1::LscInfo::STATUS_NONE, v1::LscInfo::STATUS_UNACKNOWLEDGED, v1::LscInfo::STATUS_INSTALLED,
                          v1::LscInfo::STATUS_EXPIRED, v1::LscInfo::STATUS_REVOKED, v1::LscInfo::STATUS_EXPIRED,
                          v1::LscInfo::STATUS_INSTALLED));
  EXPECT_EQ(all.rows(0).operation().state(), v1::OPERATION_STATE_PENDING);
  EXPECT_FALSE(all.rows(1).has_operation());
  EXPECT_FALSE(all.rows(0).lsc().has_expires());
  const v1::LscInfo& lsc = all.rows(6).lsc();
  EXPECT_EQ(lsc.serial(), "4000000000000008");
  EXPECT_EQ(FromProtoTime(lsc.expires()), absl::FromCivil(absl::CivilDay(2035, 1, 1), absl::UTCTimeZone()));
  EXPECT_EQ(lsc.issued_by(), "CN=tainted,O=Example");
  EXPECT_EQ(FromProtoTime(lsc.issuer_expires()), absl::FromCivil(absl::CivilDay(2030, 1, 1), absl::UTCTimeZone()));
  EXPECT_EQ(lsc.authority_id(), 1);
  EXPECT_EQ(lsc.public_key(), "EC secp256r1");

  const auto by_status = [&](v1::LscInfo::Status status) {
    v1::ReportEnrolmentRequest request;
    request.set_lsc_status(status);
    return Devices(request);
  };
  EXPECT_EQ(by_status(v1::LscInfo::STATUS_UNSPECIFIED), "1 2 3 4 5 6 7");
  EXPECT_EQ(by_status(v1::LscInfo::STATUS_NONE), "1");
  EXPECT_EQ(by_status(v1::LscInfo::STATUS_UNACKNOWLEDGED), "2");
  EXPECT_EQ(by_status(v1::LscInfo::STATUS_INSTALLED), "3 7");
  EXPECT_EQ(by_status(v1::LscInfo::STATUS_EXPIRED), "4 6");
  EXPECT_EQ(by_status(v1::LscInfo::STATUS_REVOKED), "5");

  v1::ReportEnrolmentRequest request;
  *request.mutable_expires_before() = ToProtoTime(absl::FromCivil(absl::CivilDay(2036, 1, 1), absl::UTCTimeZone()));
  EXPECT_EQ(Devices(request), "4 5 6 7");
  request.Clear();
  request.set_issued_by("cn=TAINTED");
  EXPECT_EQ(Devices(request), "6 7");
  request.set_issued_by("%");
  EXPECT_EQ(Devices(request), "");
  request.Clear();
  *request.mutable_issuer_expires_before() =
      ToProtoTime(absl::FromCivil(absl::CivilDay(2030, 1, 2), absl::UTCTimeZone()));
  EXPECT_EQ(Devices(request), "6 7");
  request.set_lsc_status(v1::LscInfo::STATUS_EXPIRED);
  EXPECT_EQ(Devices(request), "6");
  request.Clear();
  request.set_operation_state(v1::OPERATION_STATE_PENDING);
  EXPECT_EQ(Devices(request), "1");
  request.set_operation_state(v1::OPERATION_STATE_FAILED);  // not its newest
  EXPECT_EQ(Devices(request), "");
}

TEST_F(EnrolmentReportTest, DevicesAreChosenByNameModelAndSite) {
  AddDevices(4);
  RunByHand(
      "UPDATE device SET model = '8841' WHERE name IN ('SEP000000000002', 'SEP000000000004'); "
      "UPDATE device SET site = 'Basel' WHERE name = 'SEP000000000004'; "
      "INSERT INTO device (cluster_id, name, added_by) VALUES (1, 'ATA00000000000A', 'x'), (1, 'CSFB', 'x'), "
      "(1, 'CSF00000000001A', 'x')");
  v1::ReportEnrolmentRequest request;
  ASSERT_OK_AND_ASSIGN(const v1::ReportEnrolmentResponse all, Report(request));
  std::vector<std::string> names;
  for (const auto& row : all.rows()) names.push_back(row.device());
  EXPECT_THAT(names, ElementsAre("ATA00000000000A", "CSF00000000001A", "CSFB", "SEP000000000001", "SEP000000000002",
                                 "SEP000000000003", "SEP000000000004"));
  request.set_device_prefix("sep");
  EXPECT_EQ(Devices(request), "1 2 3 4");
  request.set_model("8841");
  EXPECT_EQ(Devices(request), "2 4");
  request.set_site("Bern");
  EXPECT_EQ(Devices(request), "2");
  request.clear_model();
  EXPECT_EQ(Devices(request), "1 2 3");
  request.set_site("bern");
  EXPECT_EQ(Devices(request), "");
}

TEST_F(EnrolmentReportTest, WhatIsNoQuestionIsRefused) {
  v1::ReportEnrolmentRequest request;
  request.set_page_token("SEP");
  EXPECT_THAT(Report(request), StatusIs(kInvalid, HasSubstr("page token")));
  request.Clear();
  request.set_page_size(1001);
  EXPECT_THAT(Report(request), StatusIs(kInvalid, HasSubstr("1 to 1000")));
  request.Clear();
  request.set_device_prefix("SEP-");
  EXPECT_THAT(Report(request), StatusIs(kInvalid));
  request.Clear();
  request.set_lsc_status(static_cast<v1::LscInfo::Status>(99));
  EXPECT_THAT(Report(request), StatusIs(kInvalid, HasSubstr("status 99")));
  request.Clear();
  request.set_operation_state(static_cast<v1::OperationState>(99));
  EXPECT_THAT(Report(request), StatusIs(kInvalid, HasSubstr("state 99")));
  v1::ListStaleCertificatesRequest stale;
  stale.set_page_token("1x");
  EXPECT_THAT(Stale(stale), StatusIs(kInvalid, HasSubstr("page token")));
  stale.set_page_token("");
  stale.set_page_size(-1);
  EXPECT_THAT(Stale(stale), StatusIs(kInvalid, HasSubstr("1 to 1000")));
}

TEST_F(EnrolmentReportTest, OneDeviceInFull) {
  AddDevices(2);
  Issue(1, {});
  for (int i = 0; i < 25; ++i) AddOperation(1, "success");
  AddOperation(1, "pending");
  AddOperation(2, "failed");
  const Certificate mic = MakeSelfSigned(LeafForm("CP-8841-SEP000000000001")).certificate;
  RunByHand(fmt::format(
      "INSERT INTO capf_lockout VALUES (1, 'SEP000000000001', '192.0.2.1', 5, '{0}'::timestamptz, "
      "'{0}'::timestamptz + interval '1 second'), (1, 'SEP000000000001', '192.0.2.2', 5, "
      "'{0}'::timestamptz - interval '1 hour', '{0}'), (1, 'SEP000000000001', '192.0.2.3', 2, "
      "'{0}'::timestamptz - interval '2 hours', NULL), (1, 'SEP000000000002', '192.0.2.1', 1, now(), NULL); "
      "INSERT INTO capf_fetched_certificate VALUES (1, 'SEP000000000001', 'LSC', '\\x3000', sha256('x'), 1, '{0}'), "
      "(1, 'SEP000000000001', 'MIC', decode('{1}', 'hex'), sha256('y'), 2, '{0}')",
      NowText(), ToHex(mic.der())));

  ASSERT_OK_AND_ASSIGN(const v1::ShowEnrolmentResponse shown, Show("SEP000000000001"));
  EXPECT_EQ(shown.device(), "SEP000000000001");
  EXPECT_EQ(shown.lsc().status(), v1::LscInfo::STATUS_INSTALLED);
  ASSERT_THAT(shown.operations(), SizeIs(20));
  EXPECT_EQ(shown.operations(0).state(), v1::OPERATION_STATE_PENDING);
  EXPECT_EQ(shown.operations(0).device(), "SEP000000000001");
  EXPECT_GT(shown.operations(1).operation_id(), shown.operations(2).operation_id());
  ASSERT_THAT(shown.locks(), SizeIs(3));
  EXPECT_EQ(shown.locks(0).address(), "192.0.2.1");
  EXPECT_EQ(shown.locks(0).wrong_strings(), 5);
  EXPECT_EQ(FromProtoTime(shown.locks(0).last_wrong_at()), clock_.Now());
  EXPECT_EQ(FromProtoTime(shown.locks(0).locked_until()), clock_.Now() + absl::Seconds(1));
  EXPECT_FALSE(shown.locks(1).has_locked_until());  // it is over
  EXPECT_FALSE(shown.locks(2).has_locked_until());
  ASSERT_THAT(shown.fetched(), SizeIs(2));
  EXPECT_EQ(shown.fetched(0).type(), "LSC");
  EXPECT_EQ(shown.fetched(0).der().size(), 2u);
  EXPECT_FALSE(shown.fetched(0).has_summary());  // it is no certificate
  EXPECT_EQ(shown.fetched(1).type(), "MIC");
  EXPECT_EQ(AsText(mic.der()), shown.fetched(1).der());
  EXPECT_THAT(shown.fetched(1).summary().subject(), HasSubstr("CN=CP-8841-SEP000000000001"));
  EXPECT_EQ(FromProtoTime(shown.fetched(1).fetched_at()), clock_.Now());

  // What is known of a device outlives it.
  EXPECT_THAT(Show("SEP000000000003"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl device add")));
  RunByHand("DELETE FROM device");
  ASSERT_OK_AND_ASSIGN(const v1::ShowEnrolmentResponse removed, Show("SEP000000000002"));
  EXPECT_EQ(removed.lsc().status(), v1::LscInfo::STATUS_NONE);
  EXPECT_THAT(removed.operations(), SizeIs(1));
}

TEST_F(EnrolmentReportTest, AStaleCertificateWasNeverAcknowledged) {
  const std::string_view kFresh = "30 minutes";
  Issue(1, {.state = "delivered", .age = kFresh, .acknowledged = false});  // its session may be running
  Issue(2, {.state = "delivered", .age = "32 minutes", .acknowledged = false});
  Issue(3, {.state = "signed", .age = kFresh, .acknowledged = false});  // replaced by the next
  Issue(3, {.age = kFresh});
  Issue(3, {.state = "signed", .age = kFresh, .acknowledged = false});
  Issue(4, {.state = "revoked", .reason = 4, .acknowledged = false});
  Issue(4, {});
  Issue(5, {.state = "revoked", .reason = 1, .acknowledged = false});  // by somebody
  Issue(6, {.state = "revoked", .reason = 4});
  Issue(7, {.state = "signed", .not_after = "2021-01-01Z", .acknowledged = false});
  Issue(8, {.state = "intent", .acknowledged = false});
  EXPECT_EQ(StaleOnes(), "4/06/07r 3/03/04 2/02/");
  ASSERT_OK_AND_ASSIGN(const v1::ListStaleCertificatesResponse all, Stale({}));
  ASSERT_THAT(all.certificates(), SizeIs(3));
  const auto& stale = all.certificates(2);
  EXPECT_EQ(FromProtoTime(stale.issued_at()), clock_.Now() - absl::Minutes(32));
  EXPECT_EQ(stale.issued_by(), "CN=active,O=Example");
  EXPECT_EQ(FromProtoTime(stale.expires()), absl::FromCivil(absl::CivilDay(2100, 1, 1), absl::UTCTimeZone()));
}

}  // namespace
}  // namespace trustline
