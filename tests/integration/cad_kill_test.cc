// cad ended by SIGKILL at each named place of the issuance path: nothing is lost, issued twice, or stuck.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <thread>
#include <vector>

#include "tests/integration/cad_testing.h"

namespace trustline {
namespace {

using ::testing::IsEmpty;

constexpr char kPhone[] = "SEP001122334455";
constexpr char kWithFailPoints[] = "cad_with_fail_points";

struct Death {
  const char* place;
  bool elliptic = true;  // the authority's key
};

// In the order of the path (ca/issuance/issuer.cc); the last is of the acknowledgement. RSA signs in another way.
constexpr Death kDeaths[] = {
    {"key-checked"},   {"composed"},        {"intent-inserting"}, {"intent-inserted"}, {"intent-committed"},
    {"checked"},       {"signed"},          {"compared"},         {"verified"},        {"storing"},
    {"audited"},       {"stored"},          {"before-answer"},    {"delivering"},      {"checked", false},
    {"signed", false}, {"verified", false}, {"stored", false},
};
// What the sweeper passes when it finds an open intent.
constexpr Death kDeathsOfTheSweeper[] = {
    {"sweeping"}, {"checked"}, {"signed"}, {"compared"},        {"verified"},
    {"storing"},  {"audited"}, {"stored"}, {"sweeping", false}, {"signed", false},
};
// The Nth of several callers that pass the place.
constexpr Death kDeathsInACrowd[] = {
    {"intent-inserting:6"}, {"intent-committed:9"}, {"signed:5"},
    {"audited:7"},          {"before-answer:4"},    {"stored:3", false},
};

std::string NameOf(const ::testing::TestParamInfo<Death>& instance) {
  std::string name;
  bool begins = true;
  for (const char* c = instance.param.place; *c != '\0'; ++c) {
    const bool separates = *c == '-' || *c == ':';
    if (!separates) name += begins ? static_cast<char>(toupper(*c)) : *c;
    begins = separates;
  }
  return name + (instance.param.elliptic ? "" : "Rsa");
}

class CadKillTest : public CadTest, public ::testing::WithParamInterface<Death> {
 protected:
  // A cad with an authority.
  void SetUp() override {
    CadTest::SetUp();
    StartCad();
    ASSERT_OK(site_->MakeAuthority(*cad_, GetParam().elliptic));
  }
  void StartCadThatDies(const std::string& place) { StartCad({.program = kWithFailPoints, .fail_point = place}); }

  int64_t CertificatesOf(const std::string& request_id) {
    return Count(
        fmt::format("SELECT count(*) FROM issuance WHERE request_id = '{}' AND certificate IS NOT NULL", request_id));
  }
  // Serial numbers are unique; every certificate has its row in the audit log, and none has two.
  void ExpectNothingTwice() {
    EXPECT_EQ(Count("SELECT count(*) FROM issuance"), Count("SELECT count(DISTINCT serial) FROM issuance"));
    EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL"),
              Count("SELECT count(*) FROM audit_event WHERE action = 'lsc.issue' AND outcome = 'done'"));
    EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL"),
              Count("SELECT count(DISTINCT detail::json ->> 'serial') FROM audit_event WHERE action = 'lsc.issue' AND "
                    "outcome = 'done'"));
  }
};

INSTANTIATE_TEST_SUITE_P(Places, CadKillTest, ::testing::ValuesIn(kDeaths), NameOf);

TEST_P(CadKillTest, NothingIsLostTwiceOrStuck) {
  AddDevice(kPhone);
  AddDevice("SEP0000000000AA");
  ASSERT_OK(Enroll("SEP0000000000AA", NewRequest("SEP0000000000AA")));

  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    // 1. It dies there.
    StartCadThatDies(GetParam().place);
    const std::string request = NewRequest(kPhone);
    const std::string request_id = fmt::format("round-{}", round);
    absl::StatusOr<v1::IssueResponse> issued = Enroll(kPhone, request, request_id, true);
    if (issued.ok()) {
      EXPECT_FALSE(Confirm(issued->certificate().issuance_id()).ok());
    }
    ASSERT_OK(cad_->WaitForEnd());

    // 2. A new start resolves what is open.
    StartCadAfterCrash();

    // 3. The same request gets one certificate, the one that it had if it had one.
    const absl::StatusOr<v1::IssueResponse> again = Enroll(kPhone, request, request_id, true);
    ASSERT_OK(again);
    if (issued.ok()) {
      EXPECT_EQ(again->der(), issued->der());
    }
    ASSERT_OK(Confirm(again->certificate().issuance_id()));
    EXPECT_EQ(CertificatesOf(request_id), 1);
    ExpectNothingTwice();
    EXPECT_THAT(AuditFindings(), IsEmpty());
  }
}

class CadSweeperKillTest : public CadKillTest {};

INSTANTIATE_TEST_SUITE_P(Places, CadSweeperKillTest, ::testing::ValuesIn(kDeathsOfTheSweeper), NameOf);

TEST_P(CadSweeperKillTest, TheNextStartSweepsWhatADeathWhileSweepingLeft) {
  AddDevice(kPhone);
  // 1. A crash leaves an open intent.
  StartCadThatDies("intent-committed");
  const std::string request = NewRequest(kPhone);
  EXPECT_FALSE(Enroll(kPhone, request, "swept").ok());
  ASSERT_OK(cad_->WaitForEnd());
  ASSERT_EQ(Count(kOpenIntents), 1);

  // 2. The next start dies over it, before or after it says that it has started.
  cad_.reset();
  const absl::StatusOr<std::unique_ptr<DaemonProcess>> sweeping =
      site_->StartCad({.program = kWithFailPoints, .fail_point = GetParam().place});
  if (sweeping.ok()) {
    ASSERT_OK((*sweeping)->WaitForEnd());
  } else {
    ASSERT_THAT(sweeping, StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_LE(Count(kOpenIntents), 1);

  // 3. The one after it resolves it, and the request gets what was made for it.
  StartCadAfterCrash();
  EXPECT_EQ(CertificatesOf("swept"), 1);
  const absl::StatusOr<v1::IssueResponse> again = Enroll(kPhone, request, "swept");
  ASSERT_OK(again);
  ASSERT_OK(Confirm(again->certificate().issuance_id()));
  EXPECT_EQ(CertificatesOf("swept"), 1);
  ExpectNothingTwice();
}

class CadCrowdKillTest : public CadKillTest {
 protected:
  static constexpr size_t kCallers = 16;
  using Answers = std::vector<absl::StatusOr<v1::IssueResponse>>;

  static std::string PhoneOf(size_t caller) { return fmt::format("SEP0000000002{:02}", caller); }
  static std::string RequestIdOf(size_t caller) { return fmt::format("crowd-{}", caller); }

  // All at once, each with a request of its own.
  Answers EnrollAll(const std::vector<std::string>& requests) {
    Answers answers(requests.size());
    std::vector<std::thread> callers;
    for (size_t i = 0; i < requests.size(); ++i) {
      callers.emplace_back(
          [this, i, &requests, &answers] { answers[i] = Enroll(PhoneOf(i), requests[i], RequestIdOf(i)); });
    }
    for (std::thread& caller : callers) caller.join();
    return answers;
  }
};

INSTANTIATE_TEST_SUITE_P(Places, CadCrowdKillTest, ::testing::ValuesIn(kDeathsInACrowd), NameOf);

TEST_P(CadCrowdKillTest, EachOfManyCallersEndsWithOneCertificate) {
  std::vector<std::string> requests;
  for (size_t i = 0; i < kCallers; ++i) {
    AddDevice(PhoneOf(i));
    requests.push_back(NewRequest(PhoneOf(i)));
  }
  StartCadThatDies(GetParam().place);
  const Answers first = EnrollAll(requests);
  ASSERT_OK(cad_->WaitForEnd());
  const auto is_ok = [](const absl::StatusOr<v1::IssueResponse>& answer) { return answer.ok(); };
  EXPECT_LT(std::ranges::count_if(first, is_ok), static_cast<std::ptrdiff_t>(kCallers)) << "nobody was on the way";

  StartCadAfterCrash();
  const Answers second = EnrollAll(requests);
  for (size_t i = 0; i < kCallers; ++i) {
    SCOPED_TRACE(PhoneOf(i));
    ASSERT_OK(second[i]);
    if (first[i].ok()) {
      EXPECT_EQ(second[i]->der(), first[i]->der());
    }
    EXPECT_EQ(CertificatesOf(RequestIdOf(i)), 1);
  }
  EXPECT_EQ(Count("SELECT count(*) FROM issuance WHERE certificate IS NOT NULL"), static_cast<int64_t>(kCallers));
  ExpectNothingTwice();
}

}  // namespace
}  // namespace trustline
