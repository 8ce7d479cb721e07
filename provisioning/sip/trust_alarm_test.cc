#include "provisioning/sip/trust_alarm.h"

#include "provisioning/sip/sip_testing.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

// An alarm DeviceTLInfo with these parameters.
std::string WithParameters(std::string_view parameters) {
  return fmt::format(R"(<x-cisco-alarm><Alarm Name="DeviceTLInfo"><ParameterList>)"
                     R"({}</ParameterList></Alarm></x-cisco-alarm>)",
                     parameters);
}
constexpr std::string_view kName = R"(<String name="DeviceName">SEP001122334455</String>)";

absl::StatusOr<DeviceTrustListInfo> ReadLists(std::string_view body) {
  ASSIGN_OR_RETURN(PhoneAlarm alarm, ReadPhoneAlarm(body));
  auto* lists = std::get_if<DeviceTrustListInfo>(&alarm);
  if (lists == nullptr) return NotFound("{}", std::get<OtherAlarm>(alarm).name);
  return std::move(*lists);
}

std::string ReadSignature(std::string_view text) {
  const auto lists =
      ReadLists(WithParameters(fmt::format(R"({}<String name="ITL_Signature">{}</String>)", kName, text)));
  return lists.ok() ? lists->itl_signature : lists.status().ToString();
}

void ExpectRefused(std::string_view body) {
  EXPECT_THAT(ReadPhoneAlarm(body), StatusIs(absl::StatusCode::kInvalidArgument)) << body.substr(0, 400);
}

TEST(PhoneAlarm, OfTrustLists) {
  ASSERT_OK_AND_ASSIGN(const DeviceTrustListInfo lists, ReadLists(TrustListAlarm()));
  EXPECT_EQ(lists.device, "SEP001122334455");
  EXPECT_EQ(lists.address, "192.0.2.104");
  EXPECT_EQ(lists.ctl_signature, "Not Installed");
  EXPECT_EQ(lists.ctl_tftp_server, "N/A");
  EXPECT_EQ(lists.itl_signature, "1B A1 C9 07 E9 9E 4D 3C 53 9D C8 14 24 AF 6C 9F 7D CE 4D 6D ");
  EXPECT_EQ(lists.itl_tftp_server, "tftp1.example");
}

TEST(PhoneAlarm, AnyOtherIsAName) {
  ASSERT_OK_AND_ASSIGN(const PhoneAlarm alarm, ReadPhoneAlarm(OtherPhoneAlarm()));
  ASSERT_TRUE(std::holds_alternative<OtherAlarm>(alarm));
  EXPECT_EQ(std::get<OtherAlarm>(alarm).name, "LastOutOfServiceInformation");
  ExpectRefused(R"(<x-cisco-alarm><Alarm/></x-cisco-alarm>)");
  ExpectRefused(R"(<x-cisco-alarm><Alarm Name=""/></x-cisco-alarm>)");
  ExpectRefused(R"(<x-cisco-alarm><Alarm Name="a&#10;b"/></x-cisco-alarm>)");
  ExpectRefused(fmt::format(R"(<x-cisco-alarm><Alarm Name="{}"/></x-cisco-alarm>)", std::string(65, 'a')));
}

TEST(PhoneAlarm, DevicesAreThoseThatThereAre) {
  for (const std::string_view name :
       {"sep00aabbccddee", "SEP00AABBCCDDEE", "ATA00AABBCCDDEE", "VGC00AABBCCDDEE", "SPA00AABBCCDDEE", "CSFJDOE"}) {
    EXPECT_OK(ReadLists(TrustListAlarm(name))) << name;
  }
  EXPECT_EQ(ReadLists(TrustListAlarm("sep00aabbccddee"))->device, "SEP00AABBCCDDEE");
  for (const std::string_view name : {"", "SEP00AABBCCDDE", "SEP00AABBCCDDEEF", "SEP00AABBCCDDEG", "XYZ00AABBCCDDEE",
                                      "SEP00AABBCCDDEE'; DROP TABLE phone", "../../etc/passwd"}) {
    ExpectRefused(TrustListAlarm(name));
  }
  ExpectRefused(WithParameters(""));
}

TEST(PhoneAlarm, TheHashIsKeptAsTextWhateverItsLength) {
  for (const size_t bytes : {16, 20, 32, 64}) {
    std::string hash;
    for (size_t i = 0; i < bytes; ++i) hash += "AB ";
    EXPECT_EQ(ReadSignature(hash), hash);
  }
  EXPECT_EQ(ReadSignature("Not Installed"), "Not Installed");
  EXPECT_EQ(ReadSignature(""), "");
  EXPECT_EQ(ReadSignature(std::string(256, 'A')), std::string(256, 'A'));
  EXPECT_THAT(ReadSignature(std::string(257, 'A')), HasSubstr("256"));
}

TEST(PhoneAlarm, ParametersMayBeMissingEmptyOrOfOtherKindsButNotTwice) {
  EXPECT_OK(ReadLists(WithParameters(kName)));
  EXPECT_OK(ReadLists(WithParameters(
      fmt::format(R"({}<String name="StatusCode"/><Enum name="E">1</Enum><UInt name="U">2</UInt>)", kName))));
  ASSERT_OK_AND_ASSIGN(
      const DeviceTrustListInfo v6,
      ReadLists(WithParameters(fmt::format(R"({}<String name="IPv6Address">2001:db8::1</String>)", kName))));
  EXPECT_EQ(v6.address, "2001:db8::1");
  ExpectRefused(WithParameters(fmt::format("{}{}", kName, kName)));
  ExpectRefused(WithParameters(fmt::format(R"({}<Enum name="DeviceName">SEP001122334455</Enum>)", kName)));
  ExpectRefused(WithParameters(fmt::format("{}<String>x</String>", kName)));
  ExpectRefused(WithParameters(fmt::format("{}stray", kName)));
  ExpectRefused(WithParameters(fmt::format(R"({}<String name="a"><b/></String>)", kName)));
  ExpectRefused(WithParameters(fmt::format(R"({}<String name="{}">x</String>)", kName, std::string(65, 'n'))));
  std::string many(kName);
  for (int i = 0; i < 63; ++i) many += fmt::format(R"(<String name="p{}">x</String>)", i);
  EXPECT_OK(ReadLists(WithParameters(many)));
  ExpectRefused(WithParameters(many + R"(<String name="more">x</String>)"));
}

TEST(PhoneAlarm, OtherDocumentsAreRefused) {
  for (const std::string_view body :
       {"", " ", "x", "<", "<x-cisco-alarm>", "<x-cisco-alarm/>", "{\"a\":1}", "<html><body/></html>",
        "<x-cisco-alarm><Other Name=\"DeviceTLInfo\"/></x-cisco-alarm>",
        "<x-cisco-alarm><Alarm Name=\"DeviceTLInfo\"/></x-cisco-alarm>",
        "<x-cisco-alarm><Alarm Name=\"DeviceTLInfo\"><Parameters/></Alarm></x-cisco-alarm>",
        "<x-cisco-alarm><Alarm Name=\"A\"/><Alarm Name=\"B\"/></x-cisco-alarm>",
        "<x-cisco-alarm>text<Alarm Name=\"A\"/></x-cisco-alarm>",
        "<x-cisco-alarm><Alarm Name=\"A\"/></x-cisco-alarm><x-cisco-alarm/>",
        "<x-cisco-alarm><Alarm Name=\"A\"></x-cisco-alarm></Alarm>",
        "<X-Cisco-Alarm><Alarm Name=\"A\"/></X-Cisco-Alarm>"}) {
    ExpectRefused(body);
  }
  EXPECT_OK(ReadPhoneAlarm("<!-- a --><x-cisco-alarm><!-- b --><Alarm Name=\"A\"/></x-cisco-alarm>"));
}

TEST(PhoneAlarm, EveryCutIsRefused) {
  const std::string whole = TrustListAlarm();
  const size_t end = whole.rfind('>');
  for (size_t length = 0; length < end; ++length) ExpectRefused(whole.substr(0, length));
}

TEST(PhoneAlarm, DocumentTypesAndTheirEntitiesAreRefused) {
  const std::string alarm = TrustListAlarm();
  const size_t root = alarm.find("<x-cisco-alarm>");
  for (const std::string_view type :
       {R"(<!DOCTYPE x-cisco-alarm>)", R"(<!DOCTYPE a SYSTEM "file:///etc/passwd">)",
        R"(<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>)", R"(<!doctype a>)", R"(<!ENTITY a "b">)",
        R"(<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;"><!ENTITY lol3 "&lol2;&lol2;">]>)"}) {
    std::string with_type = alarm;
    with_type.insert(root, type);
    EXPECT_THAT(ReadPhoneAlarm(with_type), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(ReadSignature("a &amp; &lt;b&gt; &quot;&apos; &#65;&#x42;"), "a & <b> \"' AB");
  for (const std::string_view reference :
       {"&e;", "&", "& ", "&amp", "&;", "&#;", "&#x;", "&#xZ;", "&#0;", "&#x0;", "&#1;", "&#127;", "&#x80;", "&#xD800;",
        "&#x110000;", "&#-65;", "&#99999999999999;", "&#xFFFF;", "&lol3;"}) {
    EXPECT_THAT(ReadSignature(reference), HasSubstr("reference")) << reference;
  }
}

TEST(PhoneAlarm, TextsAreUtf8WithoutControlCharacters) {
  using namespace std::string_literals;
  EXPECT_EQ(ReadSignature("tftp-\xC3\xBC"), "tftp-\xC3\xBC");
  EXPECT_EQ(ReadSignature("a\r\nb\tc&#10;d"), "a b c d");
  for (const std::string& text : {"\xFC"s, "\xC0\xAF"s, "\xED\xA0\x80"s, "\xF4\x90\x80\x80"s, "\xC2"s, "\x01"s,
                                  "\x1B[2J"s, "\x7F"s, "\xC2\x9B"s, "a\0b"s}) {
    EXPECT_THAT(ReadSignature(text), HasSubstr("UTF-8")) << text;
  }
  std::string alarm = TrustListAlarm();
  alarm.replace(alarm.find("UTF-8"), 5, "UTF-16");
  ExpectRefused(alarm);
  alarm.replace(alarm.find("UTF-16"), 6, "iso-8859-1");
  ExpectRefused(alarm);
  alarm.replace(alarm.find("iso-8859-1"), 10, "utf-8");
  EXPECT_OK(ReadPhoneAlarm(alarm));
  EXPECT_OK(ReadPhoneAlarm("\xEF\xBB\xBF" + alarm));
  std::string utf16 = "\xFF\xFE";
  for (const char c : alarm) utf16 += {c, '\0'};
  ExpectRefused(utf16);
}

TEST(PhoneAlarm, IsBounded) {
  const std::string alarm = TrustListAlarm();
  EXPECT_OK(ReadPhoneAlarm(alarm + std::string(kMaxAlarmBytes - alarm.size(), ' ')));
  ExpectRefused(alarm + std::string(kMaxAlarmBytes - alarm.size() + 1, ' '));

  std::string nested;
  std::string ends;
  for (int i = 0; i < 4'000; ++i) {
    nested += "<a>";
    ends += "</a>";
  }
  EXPECT_THAT(ReadPhoneAlarm("<x-cisco-alarm><Alarm Name=\"Other\">" + nested + ends + "</Alarm></x-cisco-alarm>"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("in each other")));
  ExpectRefused(nested);
  ExpectRefused(WithParameters(nested + ends));
}

}  // namespace
}  // namespace trustline
