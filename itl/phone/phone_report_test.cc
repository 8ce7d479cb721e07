#include "itl/phone/phone_report.h"

#include "common/bytes/bytes.h"
#include "common/rpc/proto_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using State = ListSignature::State;

constexpr char kHash[] = "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D ";
constexpr char kDigits[] = "1ba1c907e99e4d3c539dc81424af6c9f7dce4d6d";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TEST(ListSignatureTest, ReadsWhatPhonesWrite) {
  for (const std::string& text : {std::string(kHash), std::string(kDigits), "  " + std::string(kHash) + "\r\n",
                                  std::string("1b:a1:c9:07:e9:9e:4d:3c:53:9d:c8:14:24:af:6c:9f:7d:ce:4d:6d")}) {
    const ListSignature signature = ReadListSignature(text);
    ASSERT_EQ(signature.state, State::kHash) << text;
    EXPECT_EQ(ToHex(signature.sha1), kDigits);
  }
  EXPECT_EQ(ReadListSignature("Not Installed").state, State::kNotInstalled);
  EXPECT_EQ(ReadListSignature(" not installed ").state, State::kNotInstalled);
}

TEST(ListSignatureTest, CannotReadAnythingElse) {
  const std::string pair = "AB ";
  for (const int bytes : {0, 1, 16, 19, 21, 32, 64, 10'000}) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += pair;
    EXPECT_EQ(ReadListSignature(text).state, State::kUnreadable) << bytes;
  }
  std::string odd = kDigits;
  odd.pop_back();
  EXPECT_EQ(ReadListSignature(odd).state, State::kUnreadable);
  std::string split = kDigits;
  split.insert(1, " ");
  EXPECT_EQ(ReadListSignature(split).state, State::kUnreadable) << "a blank inside a pair";
  std::string other = kDigits;
  other[5] = 'g';
  EXPECT_EQ(ReadListSignature(other).state, State::kUnreadable);
  for (const char* text : {"N/A", "Installed", "Not  Installed", "-1"}) {
    EXPECT_EQ(ReadListSignature(text).state, State::kUnreadable) << text;
  }
}

v1::PhoneReport Message() {
  v1::PhoneReport message;
  message.set_device("sep001122334455");
  message.set_event(v1::PhoneReport::EVENT_LISTS);
  message.set_itl_signature(kHash);
  message.set_itl_tftp_server("TFTP1.Example");
  message.set_ctl_signature("Not Installed");
  message.set_ctl_tftp_server("N/A");
  message.set_basis(v1::REPORT_BASIS_FORWARDER);
  message.set_source("192.0.2.9");
  return message;
}

TEST(PhoneReportTest, OfProvisiondSaysWhoseWordItIs) {
  ASSERT_OK_AND_ASSIGN(const PhoneReport report,
                       ReadPhoneReport(Message(), true, "trustline:default/provisiond/n", kNow));
  EXPECT_EQ(report.device, "SEP001122334455");
  EXPECT_EQ(report.itl_server, "tftp1.example");
  EXPECT_EQ(report.ctl_server, "") << "N/A names no server";
  ASSERT_TRUE(report.ctl);
  EXPECT_EQ(report.ctl->state, State::kNotInstalled);
  EXPECT_EQ(report.basis, EvidenceBasis::kForwarder);
  EXPECT_EQ(report.Via(), "forwarder 192.0.2.9");
  EXPECT_EQ(report.at, kNow);
}

TEST(PhoneReportTest, OfAnyOtherCallerIsTheCallersWord) {
  v1::PhoneReport message = Message();
  message.set_basis(v1::REPORT_BASIS_NONE);
  ASSERT_OK_AND_ASSIGN(const PhoneReport report, ReadPhoneReport(message, false, "trustline:default/person/ann", kNow));
  EXPECT_EQ(report.basis, EvidenceBasis::kCaller);
  EXPECT_EQ(report.Via(), "trustline:default/person/ann");
}

TEST(PhoneReportTest, ABasisThatProvisiondDoesNotHaveIsAClaim) {
  v1::PhoneReport message = Message();
  for (const v1::ReportBasis basis : {v1::REPORT_BASIS_UNSPECIFIED, v1::REPORT_BASIS_CALLER, v1::REPORT_BASIS_NONE}) {
    message.set_basis(basis);
    ASSERT_OK_AND_ASSIGN(const PhoneReport report, ReadPhoneReport(message, true, "p", kNow));
    EXPECT_EQ(report.basis, EvidenceBasis::kNone);
  }
}

TEST(PhoneReportTest, TimesOfTheFutureAreNow) {
  v1::PhoneReport message = Message();
  *message.mutable_at() = ToProtoTime(kNow + absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(PhoneReport report, ReadPhoneReport(message, true, "p", kNow));
  EXPECT_EQ(report.at, kNow);
  *message.mutable_at() = ToProtoTime(kNow - absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(report, ReadPhoneReport(message, true, "p", kNow));
  EXPECT_EQ(report.at, kNow - absl::Hours(1));
  message.mutable_at()->set_seconds(-1);
  EXPECT_THAT(ReadPhoneReport(message, true, "p", kNow).status().ToString(), HasSubstr("before 1970"));
}

TEST(PhoneReportTest, KeepsNoFormulas) {
  v1::PhoneReport message = Message();
  message.set_address("=1+1");
  message.set_user_agent("=cmd|/c calc!A1");
  message.set_itl_tftp_server("=cmd|/c calc!A1");
  ASSERT_OK_AND_ASSIGN(PhoneReport report, ReadPhoneReport(message, true, "p", kNow));
  EXPECT_EQ(report.address, "");
  EXPECT_EQ(report.user_agent, "cmd|/c calc!A1");
  EXPECT_EQ(report.itl_server, "");
  message.set_address("2001:db8::1");
  message.set_itl_tftp_server("CUCM_Pub");
  ASSERT_OK_AND_ASSIGN(report, ReadPhoneReport(message, true, "p", kNow));
  EXPECT_EQ(report.address, "2001:db8::1");
  EXPECT_EQ(report.itl_server, "cucm_pub");
}

TEST(PhoneReportTest, RefusesWhatIsNoReport) {
  v1::PhoneReport message = Message();
  message.set_device("SEP0011");
  EXPECT_EQ(ReadPhoneReport(message, true, "p", kNow).status().code(), absl::StatusCode::kInvalidArgument);
  message = Message();
  message.clear_event();
  EXPECT_EQ(ReadPhoneReport(message, true, "p", kNow).status().code(), absl::StatusCode::kInvalidArgument);
  message = Message();
  message.set_itl_tftp_server(std::string(256, 'x'));
  EXPECT_EQ(ReadPhoneReport(message, true, "p", kNow).status().code(), absl::StatusCode::kInvalidArgument);
  message = Message();
  message.set_address("192.0.2.1\n");
  EXPECT_EQ(ReadPhoneReport(message, true, "p", kNow).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trustline
