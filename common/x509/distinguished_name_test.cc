#include "common/x509/distinguished_name.h"

#include "common/bytes/bytes.h"
#include "common/x509/x509_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "type=value|type=value" of what was read, or the error.
std::string Parsed(std::string_view text) {
  const auto name = DistinguishedName::FromText(text);
  if (!name.ok()) return "error: " + std::string(StatusMessage(name.status()));
  std::string result;
  for (const NameAttribute& attribute : name->attributes()) {
    result += fmt::format("{}{}={}",
                          result.empty()             ? ""
                          : attribute.joins_previous ? "+"
                                                     : "|",
                          attribute.oid, attribute.value);
  }
  return result;
}

std::string KeyOf(std::string_view text) {
  const auto name = DistinguishedName::FromText(text);
  EXPECT_TRUE(name.ok()) << text << ": " << name.status();
  return name.ok() ? ToHex(name->key()) : "";
}

DistinguishedName FromEntries(const std::vector<std::tuple<int, int, std::string>>& entries) {
  const X509NamePtr name(X509_NAME_new());
  for (const auto& [nid, type, bytes] : entries) {
    EXPECT_EQ(X509_NAME_add_entry_by_NID(name.get(), nid, type, reinterpret_cast<const unsigned char*>(bytes.data()),
                                         static_cast<int>(bytes.size()), -1, 0),
              1);
  }
  return *DistinguishedName::FromX509Name(name.get());
}

TEST(DistinguishedNameTest, ReadsThePhonesForms) {
  const std::string expected = "2.5.4.3=pub.example|2.5.4.11=IST|2.5.4.10=Example|2.5.4.6=AU";
  EXPECT_EQ(Parsed("CN=pub.example;OU=IST;O=Example;C=AU"), expected);
  EXPECT_EQ(Parsed("CN=pub.example,OU=IST,O=Example,C=AU"), expected);
  EXPECT_EQ(Parsed("  cn = pub.example , ou=IST,  O=Example , C=AU  "), expected);
  EXPECT_EQ(Parsed("OID.2.5.4.3=pub.example; 2.5.4.11=IST; organizationName=Example; CountryName=AU"), expected);
}

TEST(DistinguishedNameTest, ReadsEscapesAndQuotes) {
  EXPECT_EQ(Parsed(R"(O=Example\, Inc.,CN=a)"), "2.5.4.10=Example, Inc.|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(O=Example\2C Inc.,CN=a)"), "2.5.4.10=Example, Inc.|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(O=a\; O=b;CN=a)"), "2.5.4.10=a; O=b|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(O="Example, O=Inc.; CN=b",CN=a)"), "2.5.4.10=Example, O=Inc.; CN=b|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(O="Example, O=Inc." ; CN=a)"), "2.5.4.10=Example, O=Inc.|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(O="say \"hi\"")"), "2.5.4.10=say \"hi\"");
  EXPECT_EQ(Parsed(R"(O=6" pipes, CN=a)"), "2.5.4.10=6\" pipes|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(O="open, CN=a)"), "2.5.4.10=\"open|2.5.4.3=a");
  EXPECT_EQ(Parsed(R"(CN=EXAMPLE\user)"), R"(2.5.4.3=EXAMPLE\user)");
  EXPECT_EQ(Parsed(R"(CN=a\\,O=b\ )"), "2.5.4.3=a\\|2.5.4.10=b ");
  EXPECT_EQ(Parsed(R"(CN=Z\C3\BCrich)"), "2.5.4.3=Zürich");
  EXPECT_EQ(Parsed(R"(CN=Zürich\)"), "2.5.4.3=Zürich\\");
  EXPECT_EQ(Parsed("CN="), "2.5.4.3=");
  EXPECT_EQ(Parsed("CN=a=b"), "2.5.4.3=a=b");
}

TEST(DistinguishedNameTest, SeparatorsWithoutATypeBelongToTheValue) {
  EXPECT_EQ(Parsed("CN=a;O=Example, Inc.;C=AU"), "2.5.4.3=a|2.5.4.10=Example, Inc.|2.5.4.6=AU");
  EXPECT_EQ(Parsed("CN=a,O=Example, Inc.,C=AU"), "2.5.4.3=a|2.5.4.10=Example, Inc.|2.5.4.6=AU");
  EXPECT_EQ(Parsed("CN=a;O=one; two;C=AU"), "2.5.4.3=a|2.5.4.10=one; two|2.5.4.6=AU");
  EXPECT_EQ(Parsed("CN=a;O=Example, OU=not one;C=AU"), "2.5.4.3=a|2.5.4.10=Example, OU=not one|2.5.4.6=AU");
  EXPECT_EQ(Parsed("CN=a,O=x, colour=blue"), "2.5.4.3=a|2.5.4.10=x, colour=blue");
  EXPECT_EQ(Parsed("CN=1+1,O=x"), "2.5.4.3=1+1|2.5.4.10=x");
  EXPECT_EQ(Parsed("CN=a+serialNumber=7,O=x"), "2.5.4.3=a+2.5.4.5=7|2.5.4.10=x");
}

TEST(DistinguishedNameTest, ReadsHexValues) {
  // Java writes types it has no name for so: serialNumber (2.5.4.5) = PrintableString "FCH1".
  EXPECT_EQ(Parsed("2.5.4.5=#130446434831,CN=a"), "2.5.4.5=FCH1|2.5.4.3=a");
  EXPECT_EQ(Parsed("2.5.4.45=#030200FF,CN=a"), "2.5.4.45=#030200ff|2.5.4.3=a");
  EXPECT_EQ(Parsed("CN=#12 wing"), "2.5.4.3=#12 wing");
  EXPECT_EQ(Parsed("CN=#130546434831"), "2.5.4.3=#130546434831");  // not DER: a text
}

TEST(DistinguishedNameTest, RefusesWhatIsNoName) {
  EXPECT_THAT(Parsed(""), HasSubstr("must begin with an attribute type"));
  EXPECT_THAT(Parsed("pub.example"), HasSubstr("it begins with \"pub.example\""));
  EXPECT_THAT(Parsed("colour=blue"), HasSubstr("must begin"));
  for (const char* not_an_oid : {"2..5=a", ".2.5=a", "2.5.=a", "OID..2=a", "OID.=a"}) {
    EXPECT_THAT(Parsed(not_an_oid), HasSubstr("must begin")) << not_an_oid;
  }
  EXPECT_THAT(Parsed(std::string_view("CN=a\0b", 6)), HasSubstr("NUL"));
  EXPECT_THAT(Parsed(R"(CN=a\00b)"), HasSubstr("NUL"));
  EXPECT_THAT(Parsed("CN=#0C03610062"), HasSubstr("NUL"));
  EXPECT_THAT(Parsed("CN=\xff"), HasSubstr("UTF-8"));
  EXPECT_THAT(Parsed("CN=" + std::string(DistinguishedName::kMaxTextSize, 'a')), HasSubstr("longer than the maximum"));
  std::string many = "CN=a";
  for (size_t i = 1; i < DistinguishedName::kMaxAttributes; ++i) many += ";OU=a";
  EXPECT_TRUE(DistinguishedName::FromText(many).ok());
  EXPECT_THAT(Parsed(many + ";OU=a"), HasSubstr("65 attributes"));
}

TEST(DistinguishedNameTest, KeyDependsOnTheSetOfAttributesOnly) {
  const std::string key = KeyOf("CN=pub.example;OU=IST;O=Example Corp;C=AU");
  EXPECT_EQ(KeyOf("C=au, O=example  corp, OU=ist, CN=PUB.example"), key);
  EXPECT_EQ(KeyOf("OU=IST+CN=pub.example,C=AU,O=\" Example Corp \""), key);
  EXPECT_EQ(KeyOf("2.5.4.3=pub.example;OU=IST;OU=IST;O=Example Corp;C=AU"), key);
  for (const char* other : {"CN=pub.example;OU=IST;O=Example Corp", "CN=IST;OU=pub.example;O=Example Corp;C=AU",
                            "CN=pub.example;OU=IST;O=ExampleCorp;C=AU", "CN=pub.example2;OU=IST;O=Example Corp;C=AU",
                            "CN=pub.example;OU=IST;OU=x;O=Example Corp;C=AU"}) {
    EXPECT_NE(KeyOf(other), key) << other;
  }
  // Only ASCII letters fold.
  EXPECT_NE(KeyOf("CN=ZÜRICH"), KeyOf("CN=Zürich"));
  // A value that is not text differs from the text that looks like it.
  EXPECT_NE(KeyOf("CN=#030200FF"), KeyOf(R"(CN=\#030200ff)"));
}

TEST(DistinguishedNameTest, KeyOfThePhonesTextIsTheCertificates) {
  const Certificate certificate = *Certificate::FromPem(ReadVector("callmanager.pem"));
  EXPECT_EQ(certificate.subject().ToText(), "CN=cucm-pub.example,O=Example,OU=Voice");
  EXPECT_EQ(ToHex(certificate.subject().key()), KeyOf("CN=cucm-pub.example;O=Example;OU=Voice"));
  EXPECT_EQ(ToHex(certificate.issuer().key()), KeyOf("OU=Voice, O=Example, CN=cucm-pub.example"));
}

TEST(DistinguishedNameTest, ConvertsEveryStringTypeToUtf8) {
  const auto name = FromEntries({{NID_commonName, V_ASN1_BMPSTRING, std::string("\0Z\0\xfc", 4)},
                                 {NID_commonName, V_ASN1_T61STRING, "Z\xfc"},
                                 {NID_commonName, V_ASN1_UNIVERSALSTRING, std::string("\0\0\0Z\0\0\0\xfc", 8)},
                                 {NID_commonName, V_ASN1_UTF8STRING, "Zü"},
                                 {NID_x500UniqueIdentifier, V_ASN1_BIT_STRING, "\xff"}});
  std::vector<std::string> values;
  for (const NameAttribute& attribute : name.attributes()) values.push_back(attribute.value);
  EXPECT_THAT(values, ElementsAre("Zü", "Zü", "Zü", "Zü", "#030200ff"));
  EXPECT_EQ(name.common_name(), "Zü");
}

TEST(DistinguishedNameTest, TextGoesBothWays) {
  const std::string strange = " #,+;\"\\<>=\n\x7fü ";
  const auto name = FromEntries({{NID_commonName, V_ASN1_UTF8STRING, strange},
                                 {NID_organizationName, V_ASN1_UTF8STRING, "#1"},
                                 {NID_pkcs9_emailAddress, V_ASN1_IA5STRING, "a@b"},
                                 {NID_countryName, V_ASN1_PRINTABLESTRING, "AU"},
                                 {NID_x500UniqueIdentifier, V_ASN1_BIT_STRING, "\xff"}});
  EXPECT_EQ(name.ToText(), R"(CN=\ #\,\+\;\"\\\<\>=\0a\7fü\ ,O=\#1,emailAddress=a@b,C=AU,2.5.4.45=#030200ff)");
  const auto again = DistinguishedName::FromText(name.ToText());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, name);
}

TEST(DistinguishedNameTest, KeepsAndReportsNulsOfCertificates) {
  const auto name = FromEntries({{NID_commonName, V_ASN1_UTF8STRING, std::string("good\0.evil", 10)}});
  EXPECT_TRUE(name.HasEmbeddedNul());
  EXPECT_EQ(name.ToText(), R"(CN=good\00.evil)");
  EXPECT_NE(ToHex(name.key()), KeyOf("CN=good"));
  EXPECT_FALSE(FromEntries({{NID_commonName, V_ASN1_UTF8STRING, "good"}}).HasEmbeddedNul());
}

TEST(DistinguishedNameTest, MakesX509Names) {
  const auto name = DistinguishedName::FromText("CN=Zürich+serialNumber=7,O=Example,C=AU");
  ASSERT_TRUE(name.ok());
  const auto made = name->ToX509Name();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*DistinguishedName::FromX509Name(made->get()), *name);
  EXPECT_FALSE(DistinguishedName::FromText("C=Australia")->ToX509Name().ok());
  EXPECT_FALSE(DistinguishedName::FromText("CN=#030200FF")->ToX509Name().ok());
}

TEST(DistinguishedNameTest, AnyTextIsReadOrRefused) {
  // All texts of five characters over an alphabet that has every special one.
  constexpr std::string_view kAlphabet = "=,;+\"\\ #4C";
  size_t read = 0;
  for (int i = 0; i < 100000; ++i) {
    std::string text = "CN=";
    for (int n = i, digit = 0; digit < 5; ++digit, n /= 10) text.push_back(kAlphabet[n % 10]);
    const auto name = DistinguishedName::FromText(text);
    if (!name.ok()) continue;
    ++read;
    const auto again = DistinguishedName::FromText(name->ToText());
    ASSERT_TRUE(again.ok()) << text;
    ASSERT_EQ(again->attributes(), name->attributes()) << text;
  }
  EXPECT_GT(read, 90000u);
}

}  // namespace
}  // namespace trustline
