#include "cli/phone/virtual_phone.h"

#include <filesystem>

#include "cli/phone/phone_life_testing.h"
#include "common/bytes/checksums.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Role = CertificateRole;
using Served = ServedDecision::Served;
constexpr PhoneListKind kCtl = PhoneListKind::kCtl;
constexpr PhoneListKind kItl = PhoneListKind::kItl;

// Another party with the name and the serial number of `party`.
Party Impostor(const Party& party) {
  PrivateKey key = *PrivateKey::Generate(KeyKind::kRsa2048);
  const X509Ptr x509(X509_dup(party.certificate.x509()));
  X509_set_pubkey(x509.get(), key.get());
  EXPECT_NE(X509_sign(x509.get(), key.get(), EVP_sha256()), 0);
  Certificate certificate = *Certificate::FromX509(x509.get());
  return {.key = std::move(key), .certificate = std::move(certificate)};
}

class VirtualPhoneTest : public ::testing::Test {
 protected:
  // What a site serves at first: its two signers, and the TVS of the test.
  std::vector<ListedCertificate> Records(const Party& recovery, const Party& call_manager) const {
    return {Listed(recovery.certificate, Role::kSast), Listed(call_manager.certificate, Role::kSast),
            Listed(call_manager.certificate, Role::kCcmTftp), Listed(TestTvsCertificate(), Role::kTvs)};
  }
  std::string FirstItl() const { return MakeTrustList(Records(recovery_, call_manager_), recovery_); }

  VirtualPhoneOptions Options() const {
    return {.device = *DeviceName::Parse("SEP001122334455"),
            .folder = directory_.path() / "SEP001122334455",
            .tvs_servers = tvs_servers_,
            .tvs = {.tls = {.timeout = std::chrono::seconds(30)}}};
  }
  // As a phone that was off since.
  PhoneStartResult Start() { return Start(Options()); }
  PhoneStartResult Start(VirtualPhoneOptions options) {
    absl::StatusOr<PhoneStartResult> result = VirtualPhone(std::move(options), lists_).Start();
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : PhoneStartResult();
  }
  static std::string Checksum(std::string_view file) { return ToHex(Sha1(AsBytes(file))); }
  std::string HeldItl() const {
    const absl::StatusOr<HeldLists> held = ListFolder(Options().folder).Load();
    EXPECT_OK(held);
    return held.ok() && held->itl ? Checksum(*held->itl->list.bytes) : "none";
  }
  void HoldFirstItl() {
    lists_.Serve(kItl, FirstItl());
    ASSERT_EQ(Start().itl.decision.by, AcceptedBy::kFirstUse);
  }
  // A list of the same content whose signer no phone of the first list knows.
  std::string RolledOver() const { return MakeTrustList(Records(next_recovery_, call_manager_), next_recovery_); }

  const TemporaryDirectory directory_;
  const Party recovery_ = ReadParty("itlrecovery.pem");
  const Party call_manager_ = ReadParty("callmanager.pem");
  const Party next_recovery_ = ReadParty("capf.pem");
  TestLists lists_;
  std::vector<Endpoint> tvs_servers_;
};

TEST_F(VirtualPhoneTest, FromTheBoxItTakesTheFirstListAndKeepsItAsleep) {
  lists_.Serve(kItl, FirstItl());
  const PhoneStartResult first = Start();
  EXPECT_EQ(first.ctl.served, Served::kNothing);
  EXPECT_EQ(first.itl.served, Served::kAnother);
  EXPECT_EQ(first.itl.decision, (PhoneDecision{.by = AcceptedBy::kFirstUse}));
  EXPECT_EQ(first.itl.signer, recovery_.certificate.subject().ToText());
  EXPECT_TRUE(first.in_step());
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));
  ASSERT_OK_AND_ASSIGN(const HeldLists held, VirtualPhone(Options(), lists_).Held());
  ASSERT_TRUE(held.itl);
  EXPECT_EQ(held.itl->server, "tftp1");

  const PhoneStartResult second = Start();
  EXPECT_EQ(second.itl.served, Served::kWhatItHolds);
  EXPECT_TRUE(second.in_step());
  // "File not found": it keeps what it has.
  lists_.ServeNone(kItl);
  EXPECT_TRUE(Start().in_step());
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));
}

TEST_F(VirtualPhoneTest, ASignerOfItsItlIsAcceptedWithoutAsking) {
  HoldFirstItl();
  // A TVS that would say no.
  const ScriptedTvs tvs(TrustsOnly({}));
  tvs_servers_ = {tvs.endpoint()};
  lists_.Serve(kItl, MakeTrustList(Records(recovery_, call_manager_), call_manager_));
  const PhoneStartResult result = Start();
  EXPECT_EQ(result.itl.decision.by, AcceptedBy::kItl);
  EXPECT_THAT(result.itl.asked, IsEmpty());
  EXPECT_THAT(tvs.requests(), IsEmpty());
  EXPECT_EQ(HeldItl(), Checksum(MakeTrustList(Records(recovery_, call_manager_), call_manager_)));
}

TEST_F(VirtualPhoneTest, ACtlThatWasJustTakenDecidesAboutTheItl) {
  HoldFirstItl();
  lists_.Serve(kItl, RolledOver());
  EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  const std::vector<ListedCertificate> signers = {Listed(recovery_.certificate, Role::kSast),
                                                  Listed(next_recovery_.certificate, Role::kSast)};
  lists_.Serve(kCtl, MakeTrustList(signers, recovery_, DigestAlgorithm::kSha1, "CTLFile.tlv"));
  const PhoneStartResult result = Start();
  EXPECT_EQ(result.ctl.decision.by, AcceptedBy::kItl);
  EXPECT_EQ(result.itl.decision.by, AcceptedBy::kCtl);
  EXPECT_TRUE(result.in_step());
}

TEST_F(VirtualPhoneTest, ABlankListIsFollowedByAnyThatIsWellSigned) {
  std::string payload = *WriteRecord(Listed(recovery_.certificate, Role::kSast), NameForm::kComma);
  payload += *WriteBlankRecord(Role::kTvs, "", "127.0.0.1");
  payload += *WriteBlankRecord(Role::kCcmTftp, "", "127.0.0.1");
  lists_.Serve(kItl, *WriteTrustList(payload, {.file_name = "ITLFile.tlv", .timestamp = kTestNow},
                                     recovery_.certificate, recovery_.key));
  ASSERT_EQ(Start().itl.decision.by, AcceptedBy::kFirstUse);

  std::string broken = RolledOver();
  broken.back() = static_cast<char>(broken.back() ^ 1);
  lists_.Serve(kItl, broken);
  EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kForm}));
  lists_.Serve(kItl, RolledOver());
  EXPECT_EQ(Start().itl.decision.by, AcceptedBy::kBlank);
  EXPECT_EQ(HeldItl(), Checksum(RolledOver()));
}

TEST_F(VirtualPhoneTest, ATvsOfItsItlVouchesForASignerThatItDoesNotKnow) {
  HoldFirstItl();
  lists_.Serve(kItl, RolledOver());
  const ScriptedTvs tvs(TrustsOnly({{next_recovery_.certificate, {Role::kSast}}}));
  tvs_servers_ = {tvs.endpoint()};
  const PhoneStartResult result = Start();
  EXPECT_EQ(result.itl.decision, (PhoneDecision{.by = AcceptedBy::kTvs}));
  ASSERT_THAT(result.itl.asked, SizeIs(1));
  EXPECT_EQ(result.itl.asked[0].outcome, "valid with roles SAST");
  EXPECT_EQ(HeldItl(), Checksum(RolledOver()));
  // By its own name, as phones write it.
  ASSERT_THAT(tvs.requests(), SizeIs(1));
  EXPECT_THAT(tvs.requests()[0], HasSubstr("CP-8841-SEP001122334455"));
}

TEST_F(VirtualPhoneTest, WhatTheTvsSaysIsFinal) {
  HoldFirstItl();
  lists_.Serve(kItl, RolledOver());
  const ScriptedTvs knows(TrustsOnly({{next_recovery_.certificate, {Role::kSast}}}));
  // Unknown to it, and known to it in another role.
  for (const TrustedByTest& trusted :
       {TrustedByTest(), TrustedByTest{{next_recovery_.certificate, {Role::kCcmTftp}}}}) {
    const ScriptedTvs tvs(TrustsOnly(trusted));
    tvs_servers_ = {tvs.endpoint(), knows.endpoint()};
    const PhoneStartResult result = Start();
    EXPECT_EQ(result.itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
    EXPECT_THAT(result.itl.asked, SizeIs(1));
    EXPECT_FALSE(result.in_step());
  }
  EXPECT_THAT(knows.requests(), IsEmpty());
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));
}

TEST_F(VirtualPhoneTest, AConnectionThatFailsLeadsToTheNextTvs) {
  HoldFirstItl();
  lists_.Serve(kItl, RolledOver());
  const ScriptedTvs silent([](const std::string&) { return std::string(); });
  const ScriptedTvs babbling([](const std::string&) { return std::string("HTTP/1.1 400 Bad Request\r\n\r\n"); });
  // It would vouch for the signer, but its certificate is none that the phone's list has.
  const ScriptedTvs stranger(TrustsOnly({{next_recovery_.certificate, {Role::kSast}}}),
                             *TlsContext::Create({.certificate_chain_pem = call_manager_.certificate.ToPem(),
                                                  .private_key = call_manager_.key.get()}));
  tvs_servers_ = {{"127.0.0.1", 1}, silent.endpoint(), babbling.endpoint(), stranger.endpoint()};
  const PhoneStartResult refused = Start();
  EXPECT_EQ(refused.itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  EXPECT_THAT(refused.itl.asked, SizeIs(4));
  EXPECT_THAT(silent.requests(), SizeIs(1));
  EXPECT_THAT(stranger.requests(), IsEmpty()) << "it was asked all the same";
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));

  const ScriptedTvs tvs(TrustsOnly({{next_recovery_.certificate, {Role::kSast}}}));
  tvs_servers_.push_back(tvs.endpoint());
  EXPECT_EQ(Start().itl.decision.by, AcceptedBy::kTvs);
}

TEST_F(VirtualPhoneTest, WithoutATvsRecordNobodyIsAsked) {
  lists_.Serve(kItl, MakeTrustList({Listed(recovery_.certificate, Role::kSast),
                                    Listed(call_manager_.certificate, Role::kCcmTftp)},
                                   recovery_));
  ASSERT_TRUE(Start().in_step());
  const ScriptedTvs tvs(TrustsOnly({{next_recovery_.certificate, {Role::kSast}}}));
  tvs_servers_ = {tvs.endpoint()};
  lists_.Serve(kItl, RolledOver());
  EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  EXPECT_THAT(tvs.requests(), IsEmpty());
}

// The list has no record of its signer: the TVS gives its certificate.
TEST_F(VirtualPhoneTest, TheSignatureIsVerifiedWithTheCertificateThatTheTvsGave) {
  HoldFirstItl();
  const ScriptedTvs tvs(TrustsOnly({{next_recovery_.certificate, {Role::kSast}}}));
  tvs_servers_ = {tvs.endpoint()};
  const std::vector<ListedCertificate> records = Records(recovery_, call_manager_);
  lists_.Serve(kItl, MakeTrustList(records, Impostor(next_recovery_)));
  EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
  lists_.Serve(kItl, MakeTrustList(records, next_recovery_));
  EXPECT_EQ(Start().itl.decision.by, AcceptedBy::kTvs);
}

TEST_F(VirtualPhoneTest, AForgedListIsRefused) {
  HoldFirstItl();
  const ScriptedTvs tvs(
      TrustsOnly({{recovery_.certificate, {Role::kSast}}, {call_manager_.certificate, {Role::kSast}}}));
  tvs_servers_ = {tvs.endpoint()};
  const Party forger = Impostor(recovery_);
  // With the forger's own certificate of the same name; with the real one in its place; signed in another's name.
  const std::string forgeries[] = {MakeTrustList(Records(forger, call_manager_), forger),
                                   MakeTrustList(Records(recovery_, call_manager_), forger),
                                   MakeTrustList(Records(next_recovery_, call_manager_), next_recovery_)};
  for (const std::string& forged : forgeries) {
    lists_.Serve(kItl, forged);
    EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
  }
  // Without anybody to ask.
  tvs_servers_.clear();
  for (const std::string& forged : forgeries) {
    lists_.Serve(kItl, forged);
    EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  }
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));
}

TEST_F(VirtualPhoneTest, EvenTheFirstListMustBeWholeAndBySomebodyInIt) {
  std::string changed = FirstItl();
  changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 1);
  for (const std::string& file :
       {changed, std::string("not a list"), MakeTrustList(Records(recovery_, call_manager_), next_recovery_)}) {
    lists_.Serve(kItl, file);
    EXPECT_EQ(Start().itl.decision, (PhoneDecision{.why = RefusedFor::kForm}));
    EXPECT_EQ(HeldItl(), "none");
  }
}

TEST_F(VirtualPhoneTest, WhatItCannotReadItRefusesWhoeverSignedIt) {
  HoldFirstItl();
  const std::string file = MakeTrustList(Records(recovery_, call_manager_), recovery_, DigestAlgorithm::kSha512);
  lists_.Serve(kItl, file);
  const PhoneStartResult refused = Start();
  EXPECT_EQ(refused.itl.decision, (PhoneDecision{.why = RefusedFor::kForm}));
  EXPECT_THAT(refused.itl.words, HasSubstr("digest"));
  VirtualPhoneOptions newer = Options();
  newer.reads.sha512 = true;
  EXPECT_EQ(Start(newer).itl.decision.by, AcceptedBy::kItl);
}

TEST_F(VirtualPhoneTest, TheConfigurationsSignerIsJudgedByTheListsAsTheyAreThen) {
  HoldFirstItl();
  EXPECT_EQ(Start().file.served, Served::kNothing);
  VirtualPhoneOptions options = Options();
  options.file_signer = call_manager_.certificate;
  EXPECT_EQ(Start(options).file.decision.by, AcceptedBy::kItl);
  // A SAST is no TFTP server.
  options.file_signer = recovery_.certificate;
  EXPECT_EQ(Start(options).file.decision, (PhoneDecision{.why = RefusedFor::kNoTvs}));
  const ScriptedTvs tvs(
      TrustsOnly({{next_recovery_.certificate, {Role::kTftp}}, {recovery_.certificate, {Role::kSast}}}));
  options.tvs_servers = {tvs.endpoint()};
  EXPECT_EQ(Start(options).file.decision, (PhoneDecision{.why = RefusedFor::kTvsAnswer}));
  options.file_signer = next_recovery_.certificate;
  EXPECT_EQ(Start(options).file.decision.by, AcceptedBy::kTvs);

  // It is in the new list, which was refused.
  const Party other = ReadParty("tvs.pem");
  lists_.Serve(kItl, MakeTrustList(Records(next_recovery_, other), next_recovery_));
  options.tvs_servers.clear();
  options.file_signer = other.certificate;
  const PhoneStartResult result = Start(options);
  EXPECT_FALSE(result.itl.decision.accepted());
  EXPECT_FALSE(result.file.decision.accepted());
}

TEST_F(VirtualPhoneTest, AServerWithoutAnAnswerChangesNothing) {
  HoldFirstItl();
  lists_.Fail(absl::UnavailableError("nobody is there"));
  EXPECT_THAT(VirtualPhone(Options(), lists_).Start(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the CTL of SEP001122334455: nobody is there")));
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));
}

TEST_F(VirtualPhoneTest, AReportThatFailsIsSaidAndUndoesNothing) {
  lists_.Serve(kItl, FirstItl());
  VirtualPhoneOptions options = Options();
  options.report_to = Endpoint{"127.0.0.1", 1};
  const PhoneStartResult result = Start(options);
  EXPECT_THAT(result.reported, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(result.in_step());
  EXPECT_EQ(HeldItl(), Checksum(FirstItl()));
}

}  // namespace
}  // namespace trustline
