#include "capf/device_certificate.h"

#include "capf/device_certificate_testing.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
const std::string kDevice = "SEP001122334455";
const std::string kMicName = "CP-8841-SEP001122334455";

const Party& OurAuthority() {
  static const Party* const party = new Party(MakeSelfSigned(AuthorityForm("LSC authority")));
  return *party;
}
const Party& ManufacturerRoot() {
  static const Party* const party = new Party(MakeSelfSigned(AuthorityForm("Manufacturer Root")));
  return *party;
}
const Party& Manufacturer() {
  static const Party* const party = new Party(MakeIssued(AuthorityForm("Manufacturer"), ManufacturerRoot()));
  return *party;
}

Certificate Issue(const Party& issuer, std::string_view common_name) {
  return MakeIssued(LeafForm(common_name), issuer).certificate;
}

class DeviceCertificateTest : public CertificateDatabaseTest {
 protected:
  absl::StatusOr<DeviceCertificate> Judge(const Certificate& certificate, absl::Time now = kTestNow,
                                          bool allow_expired = false, std::string_view device = kDevice) {
    return JudgeDeviceCertificate(*connection_, crls_, 1, certificate, device, allow_expired, now);
  }
  void ExpectOrigin(const Certificate& certificate, CertificateOrigin origin, absl::Time now = kTestNow) {
    ASSERT_OK_AND_ASSIGN(const DeviceCertificate judged, Judge(certificate, now));
    EXPECT_EQ(judged.origin, origin);
    EXPECT_FALSE(judged.expired);
  }
  void ExpectRefused(const Certificate& certificate, std::string_view reason, absl::Time now = kTestNow) {
    EXPECT_THAT(Judge(certificate, now), StatusIs(kDenied, HasSubstr(reason)));
  }

  CrlCache crls_;
};

TEST_F(DeviceCertificateTest, AnLscOnRecordProves) {
  const int64_t authority = AddAuthority(OurAuthority(), "active");
  // What the record says is newer than any CRL that was made of it.
  AddCrl(OurAuthority(), {.next_update = kTestNow - absl::Hours(1)});
  for (const char* state : {"signed", "delivered", "confirmed"}) {
    const Certificate lsc = Issue(OurAuthority(), kDevice);
    Record(lsc, authority, state);
    ExpectOrigin(lsc, CertificateOrigin::kLsc);
    // To its last second, which OpenSSL would not count.
    ExpectOrigin(lsc, CertificateOrigin::kLsc, lsc.not_after());
    ExpectRefused(lsc, "it has ended on 2026-12-31T00:00:00Z", lsc.not_after() + absl::Seconds(1));
    EXPECT_THAT(Judge(lsc, lsc.not_after() + absl::Seconds(1), true), StatusIs(kDenied, HasSubstr("it has ended")));
    ExpectRefused(lsc, "it is not valid before 2026-11-30T23:00:00Z", lsc.not_before() - absl::Seconds(1));
  }
}

TEST_F(DeviceCertificateTest, TheAuthorityMustNotBeRetired) {
  const Certificate lsc = Issue(OurAuthority(), kDevice);
  Record(lsc, AddAuthority(OurAuthority(), "prepared"));
  const auto set_state = [&](const char* state) {
    ASSERT_OK(superuser_->Execute("UPDATE ca_authority SET state = $1", Parameters().Text(state)));
  };
  for (const char* good : {"prepared", "active", "tainted"}) {
    set_state(good);
    ExpectOrigin(lsc, CertificateOrigin::kLsc);
  }
  set_state("retired");
  ExpectRefused(lsc, "its authority CN=LSC authority is retired");
}

TEST_F(DeviceCertificateTest, TheRecordDecides) {
  const int64_t authority = AddAuthority(OurAuthority(), "active");
  const Certificate revoked = Issue(OurAuthority(), kDevice);
  Record(revoked, authority, "revoked");
  ExpectRefused(revoked, "it was revoked on 2026-11-30T23:00:00Z (keyCompromise)");
  // Also when its authority was imported as a manufacturer's.
  AddClientAuthority(OurAuthority().certificate);
  ExpectRefused(revoked, "it was revoked on");

  // Names and record must agree.
  const Certificate of_another = Issue(OurAuthority(), kDevice);
  Record(of_another, authority, "confirmed", "SEP001122334456");
  ExpectRefused(of_another, "it was issued to SEP001122334456, not to SEP001122334455");
  const Certificate names_another = Issue(OurAuthority(), "SEP001122334456");
  Record(names_another, authority);
  ExpectRefused(names_another, "it is the certificate of SEP001122334456, not of SEP001122334455");

  // A record that says that another authority issued it.
  const Party second = MakeSelfSigned(AuthorityForm("Second LSC authority"));
  const Certificate mixed_up = Issue(second, kDevice);
  Record(mixed_up, authority);
  ExpectRefused(mixed_up, "it does not chain to its authority CN=LSC authority");
}

TEST_F(DeviceCertificateTest, WhatIsNotOnRecordWasNotIssued) {
  const int64_t authority = AddAuthority(OurAuthority(), "active");
  const Certificate lsc = Issue(OurAuthority(), kDevice);
  constexpr std::string_view kNotOnRecord =
      "it chains to our authority CN=LSC authority, but is not on record as issued";
  ExpectRefused(lsc, kNotOnRecord);
  ExpectRefused(lsc, kNotOnRecord, lsc.not_after() + absl::Hours(1));
  // Not even when its authority, or the issuer of that, was imported as a manufacturer's, or is retired.
  AddClientAuthority(OurAuthority().certificate);
  ExpectRefused(lsc, kNotOnRecord);
  ASSERT_OK(superuser_->Execute("UPDATE ca_authority SET state = 'retired'"));
  ExpectRefused(lsc, kNotOnRecord);

  // The same serial number, other bytes.
  const X509Ptr copy(X509_dup(lsc.x509()));
  ASN1_TIME_set(X509_getm_notAfter(copy.get()), absl::ToTimeT(lsc.not_after() + absl::Hours(24)));
  X509_sign(copy.get(), OurAuthority().key.get(), EVP_sha256());
  ASSERT_OK(superuser_->Execute("UPDATE ca_authority SET state = 'active'"));
  Record(lsc, authority);
  ExpectOrigin(lsc, CertificateOrigin::kLsc);
  ExpectRefused(*Certificate::FromX509(copy.get()), kNotOnRecord);
}

TEST_F(DeviceCertificateTest, OtherClustersProveNothing) {
  const Certificate lsc = Issue(OurAuthority(), kDevice);
  Record(lsc, AddAuthority(OurAuthority(), "active", 2), "confirmed", kDevice, 2);
  ExpectRefused(lsc, "its issuer CN=LSC authority is neither an authority of the system nor");
  EXPECT_OK(JudgeDeviceCertificate(*connection_, crls_, 2, lsc, kDevice, false, kTestNow));

  const Certificate mic = Issue(ManufacturerRoot(), kMicName);
  AddClientAuthority(ManufacturerRoot().certificate, "manufacturing", 2);
  ExpectRefused(mic, "its issuer CN=Manufacturer Root is neither");
  EXPECT_OK(JudgeDeviceCertificate(*connection_, crls_, 2, mic, kDevice, false, kTestNow));
}

// `certificate` without its authority key identifier, so that only the name says who issued it.
Certificate WithoutKeyIdentifier(const Certificate& certificate, const PrivateKey& signer) {
  const X509Ptr copy(X509_dup(certificate.x509()));
  const int at = X509_get_ext_by_NID(copy.get(), NID_authority_key_identifier, -1);
  const X509ExtensionPtr removed(X509_delete_ext(copy.get(), at));
  EXPECT_GT(X509_sign(copy.get(), signer.get(), EVP_sha256()), 0);
  return *Certificate::FromX509(copy.get());
}

TEST_F(DeviceCertificateTest, ANameProvesNothing) {
  AddAuthority(OurAuthority(), "active");
  AddClientAuthority(ManufacturerRoot().certificate);
  ExpectRefused(MakeSelfSigned(LeafForm(kDevice)).certificate, "is neither an authority of the system nor");
  ExpectRefused(MakeSelfSigned(LeafForm(kMicName)).certificate, "is neither an authority of the system nor");
  for (const char* name : {"LSC authority", "Manufacturer Root"}) {
    const Party impostor = MakeSelfSigned(AuthorityForm(name));
    const Certificate forged = Issue(impostor, kDevice);
    ExpectRefused(forged, "is neither an authority of the system nor");
    ExpectRefused(WithoutKeyIdentifier(forged, impostor.key), "its path is not good: ");
  }
}

TEST_F(DeviceCertificateTest, OurAuthoritysIssuerMayHaveRevokedIt) {
  const Party enterprise = MakeSelfSigned(AuthorityForm("Enterprise"));
  const Party authority = MakeIssued(AuthorityForm("LSC authority below"), enterprise);
  const Certificate lsc = Issue(authority, kDevice);
  Record(lsc, AddAuthority(authority, "active"));
  ExpectOrigin(lsc, CertificateOrigin::kLsc);
  AddCrl(enterprise, {.next_update = kTestNow});
  ExpectRefused(lsc, "the CRL of CN=Enterprise is past its next update");
  ASSERT_OK(superuser_->Execute("DELETE FROM trust_crl"));
  AddCrl(enterprise, {.revoked = {authority.certificate}});
  ExpectRefused(lsc, "CN=LSC authority below was revoked by its issuer");
}

TEST_F(DeviceCertificateTest, AnUnrecordedLscIsNoManufacturersCertificate) {
  const Party enterprise = MakeSelfSigned(AuthorityForm("Enterprise"));
  const Party authority = MakeIssued(AuthorityForm("LSC authority below"), enterprise);
  AddAuthority(authority, "active");
  AddClientAuthority(enterprise.certificate);
  AddClientAuthority(authority.certificate);
  ExpectRefused(Issue(authority, kDevice), "is not on record as issued");
  ExpectOrigin(Issue(enterprise, kMicName), CertificateOrigin::kManufacturer);
}

TEST_F(DeviceCertificateTest, AManufacturersCertificateProves) {
  const Certificate mic = Issue(Manufacturer(), kMicName);
  ExpectRefused(mic, "its issuer CN=Manufacturer is neither");
  AddClientAuthority(ManufacturerRoot().certificate);
  ExpectRefused(mic, "its issuer CN=Manufacturer is neither");  // what stands between is missing
  ExpectOrigin(Issue(ManufacturerRoot(), kMicName), CertificateOrigin::kManufacturer);
  AddClientAuthority(Manufacturer().certificate, "small-business");
  ExpectRefused(mic, "its issuer CN=Manufacturer is neither");
  AddClientAuthority(Manufacturer().certificate);
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  ExpectOrigin(mic, CertificateOrigin::kManufacturer, mic.not_after());
  ExpectOrigin(Issue(Manufacturer(), kDevice), CertificateOrigin::kManufacturer);
  ExpectRefused(mic, "it is not valid before 2026-11-30T23:00:00Z", mic.not_before() - absl::Seconds(1));
}

TEST_F(DeviceCertificateTest, SmallBusinessPhonesProveElsewhere) {
  AddClientAuthority(ManufacturerRoot().certificate, "small-business");
  ExpectRefused(Issue(ManufacturerRoot(), kMicName), "its issuer CN=Manufacturer Root is neither");
}

TEST_F(DeviceCertificateTest, TheCertificateItselfMustBeADevices) {
  AddClientAuthority(ManufacturerRoot().certificate);
  ExpectRefused(Issue(ManufacturerRoot(), "CP-8841-SEP001122334456"),
                "it is the certificate of SEP001122334456, not of SEP001122334455");
  ExpectRefused(Issue(ManufacturerRoot(), "8841"), "names no device");
  ExpectRefused(MakeIssued(AuthorityForm(kMicName), ManufacturerRoot()).certificate, "it is an authority's");
  CertificateTemplate form = LeafForm(kMicName);
  form.key_usage = {"keyEncipherment"};
  ExpectRefused(MakeIssued(form, ManufacturerRoot()).certificate, "its key usage lacks digitalSignature");
  form.key_usage = {};
  ExpectOrigin(MakeIssued(form, ManufacturerRoot()).certificate, CertificateOrigin::kManufacturer);
  // An authority that was imported, whose own name is a device's.
  const Party strange = MakeSelfSigned(AuthorityForm(kDevice));
  AddClientAuthority(strange.certificate);
  ExpectRefused(strange.certificate, "it is an authority's");
}

TEST_F(DeviceCertificateTest, AnExpiredOneNeedsThePolicy) {
  AddClientAuthority(ManufacturerRoot().certificate);
  const Certificate mic = Issue(ManufacturerRoot(), kMicName);
  const absl::Time after = mic.not_after() + absl::Seconds(1);
  ExpectRefused(mic, "it has ended on 2026-12-31T00:00:00Z", after);
  // As of its own end: its issuer has ended too by then.
  for (const absl::Time now : {after, kTestNow + absl::Hours(24 * 365 * 20)}) {
    ASSERT_OK_AND_ASSIGN(const DeviceCertificate judged, Judge(mic, now, true));
    EXPECT_EQ(judged.origin, CertificateOrigin::kManufacturer);
    EXPECT_TRUE(judged.expired);
  }
  ASSERT_OK_AND_ASSIGN(const DeviceCertificate still_valid, Judge(mic, kTestNow, true));
  EXPECT_FALSE(still_valid.expired);

  // Everything else counts as before.
  EXPECT_THAT(Judge(mic, after, true, "SEP001122334456"), StatusIs(kDenied, HasSubstr("not of SEP001122334456")));
  EXPECT_THAT(Judge(MakeSelfSigned(LeafForm(kMicName)).certificate, after, true), StatusIs(kDenied));
  EXPECT_THAT(Judge(mic, mic.not_before() - absl::Seconds(1), true), StatusIs(kDenied, HasSubstr("not valid before")));
  AddCrl(ManufacturerRoot(), {.revoked = {mic}, .next_update = std::nullopt});
  EXPECT_THAT(Judge(mic, after, true), StatusIs(kDenied, HasSubstr("was revoked by its issuer")));
}

TEST_F(DeviceCertificateTest, OnlyTheDevicesOwnEndIsPassedOver) {
  CertificateTemplate form = AuthorityForm("Ending");
  form.not_after = kTestNow + absl::Hours(1);
  const Party ending = MakeSelfSigned(form);
  // The builder would end it with its issuer: under another certificate of the key it outlives this one.
  const Certificate renewed = *BuildSelfSigned(AuthorityForm("Ending"), ending.key);
  const Certificate mic =
      *BuildIssued(LeafForm(kMicName), PrivateKey::Generate(KeyKind::kEcP256)->get(), renewed, ending.key);
  AddClientAuthority(ending.certificate);
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  const absl::Time between = kTestNow + absl::Hours(2);
  EXPECT_THAT(Judge(mic, between, true),
              StatusIs(kDenied, HasSubstr("its path is not good: CN=Ending: certificate has expired")));
  AddClientAuthority(renewed);
  ExpectOrigin(mic, CertificateOrigin::kManufacturer, between);
}

TEST_F(DeviceCertificateTest, CrlsCount) {
  AddClientAuthority(ManufacturerRoot().certificate);
  AddClientAuthority(Manufacturer().certificate);
  const Certificate mic = Issue(Manufacturer(), kMicName);
  const Certificate other = Issue(Manufacturer(), kMicName);
  AddCrl(Manufacturer(), {.revoked = {other, mic}});
  ExpectRefused(
      mic, "CN=CP-8841-SEP001122334455,O=Example was revoked by its issuer on 2026-11-30T00:00:00Z (keyCompromise)");
  // One that was removed does not, nor does that of another cluster.
  ASSERT_OK(superuser_->Execute("UPDATE trust_crl SET removed_at = now(), der = ''"));
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  ASSERT_OK(superuser_->Execute("DELETE FROM trust_crl"));
  AddCrl(Manufacturer(), {.revoked = {mic}}, 2);
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  // Nor one that names another.
  AddCrl(Manufacturer(), {.revoked = {other}});
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  // What its issuer's issuer says of that one does.
  AddCrl(ManufacturerRoot(), {.revoked = {Manufacturer().certificate}});
  ExpectRefused(mic, "CN=Manufacturer was revoked by its issuer");
}

TEST_F(DeviceCertificateTest, ACrlIsParsedOnceAndANewerOneIsObeyedAtOnce) {
  AddClientAuthority(Manufacturer().certificate);
  const Certificate mic = Issue(Manufacturer(), kMicName);
  const Certificate other = Issue(Manufacturer(), kMicName);
  AddCrl(Manufacturer(), {.revoked = {other}});
  for (int i = 0; i < 3; ++i) ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  ExpectRefused(other, "was revoked by its issuer");
  EXPECT_EQ(crls_.parsed(), 1);

  ASSERT_OK(superuser_->Execute("DELETE FROM trust_crl"));
  AddCrl(Manufacturer(), {.revoked = {mic}});
  for (int i = 0; i < 3; ++i) ExpectRefused(mic, "was revoked by its issuer");
  ExpectOrigin(other, CertificateOrigin::kManufacturer);
  EXPECT_EQ(crls_.parsed(), 2);

  // One that was taken away says nothing any more, though it is remembered.
  ASSERT_OK(superuser_->Execute("UPDATE trust_crl SET removed_at = now()"));
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  EXPECT_EQ(crls_.parsed(), 2);
}

TEST_F(DeviceCertificateTest, CrlsAreOfAKeyNotOnlyOfAName) {
  AddClientAuthority(Manufacturer().certificate);
  const Certificate mic = Issue(Manufacturer(), kMicName);
  const Party namesake = MakeSelfSigned(AuthorityForm("Manufacturer"));
  AddCrl(namesake, {.revoked = {mic}});
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  // Where one of the two names no key, the name decides.
  ExpectRefused(WithoutKeyIdentifier(mic, Manufacturer().key), "was revoked by its issuer");
  ASSERT_OK(superuser_->Execute("DELETE FROM trust_crl"));
  AddCrl(namesake, {.revoked = {mic}}, ByteView());
  ExpectRefused(mic, "was revoked by its issuer");
}

TEST_F(DeviceCertificateTest, CrlsMustBeCurrent) {
  AddClientAuthority(ManufacturerRoot().certificate);
  const Certificate mic = Issue(ManufacturerRoot(), kMicName);
  const Certificate revoked = Issue(ManufacturerRoot(), kMicName);
  AddCrl(ManufacturerRoot(), {.revoked = {revoked}, .next_update = kTestNow + absl::Seconds(1)});
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  ExpectRefused(mic, "the CRL of CN=Manufacturer Root is past its next update, 2026-12-01T00:00:01Z",
                kTestNow + absl::Seconds(1));
  ExpectRefused(revoked, "was revoked by its issuer", kTestNow + absl::Seconds(1));
  ASSERT_OK(superuser_->Execute("DELETE FROM trust_crl"));
  AddCrl(ManufacturerRoot(), {.next_update = std::nullopt});
  ExpectOrigin(mic, CertificateOrigin::kManufacturer, kTestNow + absl::Seconds(1));
}

TEST_F(DeviceCertificateTest, WhatCannotBeReadDecidesNothing) {
  AddClientAuthority(ManufacturerRoot().certificate);
  AddCrl(ManufacturerRoot(), {});
  const Certificate mic = Issue(ManufacturerRoot(), kMicName);
  ExpectOrigin(mic, CertificateOrigin::kManufacturer);
  ASSERT_OK(superuser_->Execute("UPDATE trust_crl SET der = 'x', sha256 = sha256('x')"));
  EXPECT_THAT(Judge(mic), StatusIs(absl::StatusCode::kInternal, HasSubstr("the CRL of CN=Manufacturer Root")));
  ASSERT_OK(superuser_->Execute("UPDATE client_authority SET der = 'x'"));
  EXPECT_THAT(Judge(mic), StatusIs(absl::StatusCode::kInternal, HasSubstr("an authority of the database")));
  ASSERT_OK(
      superuser_->Execute("SELECT pg_terminate_backend($1::int)", Parameters().Int64(connection_->backend_pid())));
  EXPECT_THAT(Judge(mic), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace trustline
