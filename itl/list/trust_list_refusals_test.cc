// TrustLists over real mutual TLS: orders that cannot be carried out, and those about one list of several.
#include <fstream>

#include "common/x509/pkcs12.h"
#include "itl/list/trust_list_service_testing.h"
#include "itl/trust_list/trust_list_testing.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr char kPassphrase[] = "a long passphrase";
constexpr char kPhone[] = "SEP001122334455";

class TrustListRefusalsTest : public TrustListServiceTest {
 protected:
  void SetUp() override {
    TrustListServiceTest::SetUp();
    AddServer("tftp1");
  }
  v1::ExportRecoveryResponse Exported() {
    v1::ExportRecoveryRequest request;
    request.set_passphrase(kPassphrase);
    v1::ExportRecoveryResponse response;
    EXPECT_OK(Admin(&Stub::ExportRecovery, request, &response));
    return response;
  }
  void TurnMixedModeOn() {
    v1::SetMixedModeRequest mode;
    mode.set_on(true);
    ASSERT_OK(Admin(&Stub::SetMixedMode, mode));
  }
  // A list of the form that all phones read.
  void AddDeviceList() {
    v1::SetDeviceListRequest device;
    device.set_device(kPhone);
    device.set_tftp_server("tftp1");
    ASSERT_OK(Admin(&Stub::SetDeviceList, device));
  }
  int64_t Generations(const std::string& where) {
    return Count(
        ("SELECT count(*) FROM trust_list_generation g JOIN trust_list l USING (cluster_id, list_id) WHERE " + where)
            .c_str());
  }
};

TEST_F(TrustListRefusalsTest, NothingIsChangedWithoutTheNodes) {
  const auto refused = StatusIs(kRefused, AllOf(HasSubstr("nothing was changed"), HasSubstr("node2")));
  v1::SetMixedModeRequest mode;
  mode.set_on(true);
  RefuseTimes(1);
  EXPECT_THAT(Admin(&Stub::SetMixedMode, mode), refused);
  EXPECT_FALSE(Listed().policy().mixed_mode());

  v1::ResetWithLocalKeyRequest reset;
  reset.set_reason("ITLRecovery is gone");
  RefuseTimes(2);
  EXPECT_THAT(Admin(&Stub::ResetWithLocalKey, reset), refused);
  EXPECT_FALSE(Listed().lists(0).local_signer());

  // The present list, signed with the server's own key elsewhere.
  const TrustList list = *DecodeTrustList(AsBytes(Fetched().file()));
  const Certificate own = Signer("tftp1");
  v1::PublishSignedRequest publish;
  publish.set_reason("the keys are gone");
  publish.set_file(*WriteTrustList(AsText(list.file.payload), FormOfHeader(list.header()), own,
                                   **keys_->Find(KeyName(own.public_key_sha256()))));
  RefuseTimes(2);
  EXPECT_THAT(Admin(&Stub::PublishSigned, publish), refused);
  RefuseTimes(0);
  EXPECT_EQ(Generations("true"), 1);
  EXPECT_EQ(Audited(), "itl.server.add itl.publish");
}

TEST_F(TrustListRefusalsTest, AnOrderAboutOneServerIsNoneAboutAnother) {
  AddServer("tftp2");
  AddListed(MakeCertificate("tvs.example"));
  v1::GenerateRequest generate;
  generate.set_tftp_server("tftp9");
  EXPECT_THAT(Admin(&Stub::Generate, generate), StatusIs(kNotFound, HasSubstr("tftp9")));
  generate.set_tftp_server("tftp2");
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::Generate, generate, &response));
  EXPECT_EQ(Outcomes(response), "published");
  EXPECT_EQ(Generations("tftp_server = 'tftp1'"), 1);
  generate.clear_tftp_server();
  generate.set_kind(v1::TRUST_LIST_KIND_CTL);
  ASSERT_OK(Admin(&Stub::Generate, generate, &response));
  EXPECT_EQ(Outcomes(response), "");

  v1::PublishRequest publish;
  publish.set_tftp_server("tftp9");
  EXPECT_THAT(Admin(&Stub::Publish, publish), StatusIs(kNotFound, HasSubstr("tftp9")));
  publish.set_tftp_server("tftp1");
  ASSERT_OK(Admin(&Stub::Publish, publish, &response));
  EXPECT_EQ(Outcomes(response), "published");

  v1::ResetWithLocalKeyRequest reset;
  reset.set_reason("ITLRecovery is gone");
  reset.set_tftp_server("tftp2");
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  EXPECT_EQ(Outcomes(response), "published");
  EXPECT_EQ(Generations("tftp_server = 'tftp1'"), 2);
}

TEST_F(TrustListRefusalsTest, AResetIsNoneOfTheCtl) {
  TurnMixedModeOn();
  v1::ResetWithLocalKeyRequest reset;
  reset.set_reason("ITLRecovery is gone");
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  ASSERT_EQ(Outcomes(response), "published");
  EXPECT_EQ(response.lists(0).list().kind(), v1::TRUST_LIST_KIND_ITL);
}

TEST_F(TrustListRefusalsTest, AResetIsThatOfDevicesListsToo) {
  AddDeviceList();
  v1::ResetWithLocalKeyRequest reset;
  reset.set_reason("ITLRecovery is gone");
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset, &response));
  ASSERT_EQ(Outcomes(response), "published published");
  EXPECT_EQ(Fetched(v1::TRUST_LIST_KIND_ITL, kPhone).generation().signer_sha256(), AsText(Signer("tftp1").sha256()));
}

TEST_F(TrustListRefusalsTest, ADevicesListIsSignedElsewhere) {
  AddDeviceList();
  const TrustList list = *DecodeTrustList(AsBytes(Fetched(v1::TRUST_LIST_KIND_ITL, kPhone).file()));
  const Certificate own = Signer("tftp1");
  v1::PublishSignedRequest publish;
  publish.set_reason("the keys are gone");
  publish.set_device("no device");
  publish.set_file(*WriteTrustList(AsText(list.file.payload), FormOfHeader(list.header()), own,
                                   **keys_->Find(KeyName(own.public_key_sha256()))));
  EXPECT_THAT(Admin(&Stub::PublishSigned, publish), StatusIs(kInvalid));
  publish.set_device("SEP00112233AAAA");
  EXPECT_THAT(Admin(&Stub::PublishSigned, publish), StatusIs(kNotFound, HasSubstr("for SEP00112233AAAA")));
  publish.set_device(kPhone);
  v1::PublishResponse response;
  ASSERT_OK(Admin(&Stub::PublishSigned, publish, &response));
  ASSERT_EQ(Outcomes(response), "published");
  EXPECT_EQ(response.lists(0).list().device(), kPhone);
  EXPECT_EQ(Generations("device = ''"), 1);
}

TEST_F(TrustListRefusalsTest, ADamagedRecoveryKeyIsBroughtBack) {
  const v1::ExportRecoveryResponse exported = Exported();
  const std::string name = KeyName(Signer("").public_key_sha256());
  const std::filesystem::path file = folder_.path() / "list-keys" / (name + ".key");
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  std::ofstream(file) << "garbage";
  RestartWithKeysOnDisk();
  v1::ExportRecoveryRequest request;
  request.set_passphrase(kPassphrase);
  EXPECT_FALSE(Admin(&Stub::ExportRecovery, request).ok());
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("from the safe");
  replace.set_file(exported.file());
  replace.set_passphrase(kPassphrase);
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  EXPECT_OK(Admin(&Stub::ExportRecovery, request));
  RestartWithKeysOnDisk();
  EXPECT_OK(Admin(&Stub::ExportRecovery, request));
}

TEST_F(TrustListRefusalsTest, ARecoveryKeyComesFromOnePlace) {
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("from the safe");
  replace.set_file(Exported().file());
  replace.set_passphrase(kPassphrase);
  replace.set_previous(true);
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, replace), StatusIs(kInvalid, HasSubstr("either a file")));
}

TEST_F(TrustListRefusalsTest, OneBeforeWhoseKeyIsGoneDoesNotComeBack) {
  const std::string first = KeyName(Signer("").public_key_sha256());
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("mistyped");
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace));
  const Certificate second = Signer("");
  ASSERT_OK(keys_->Discard(first));
  replace.set_previous(true);
  EXPECT_THAT(Admin(&Stub::ReplaceRecovery, replace), StatusIs(kRefused, HasSubstr("is missing")));
  EXPECT_EQ(Signer(""), second);
}

TEST_F(TrustListRefusalsTest, AKeyIsReplacedThoughNoListCanBeCompared) {
  const Certificate first = Signer("");
  RunByHand("REVOKE SELECT ON tftp_server FROM trustline_itld");
  v1::ReplaceRecoveryRequest replace;
  replace.set_reason("the old one leaked");
  v1::ReplaceRecoveryResponse response;
  ASSERT_OK(Admin(&Stub::ReplaceRecovery, replace, &response));
  EXPECT_FALSE(Signer("") == first);
  EXPECT_THAT(response.published().notices(), ElementsAre(HasSubstr("could not be compared with it yet")));
}

TEST_F(TrustListRefusalsTest, ADevicesListOfSignerVersion11NeedsThatAbility) {
  v1::SetDeviceListRequest device;
  device.set_device(kPhone);
  device.set_signer_version(v1::SIGNER_VERSION_1_1);
  EXPECT_THAT(Admin(&Stub::SetDeviceList, device),
              StatusIs(kRefused, HasSubstr("trustctl itl able --device SEP001122334455 --signer-version-1.1`")));
  v1::RecordReadingRequest able;
  able.set_device(kPhone);
  able.set_version_1_1(true);
  ASSERT_OK(Admin(&Stub::RecordReading, able));
  EXPECT_OK(Admin(&Stub::SetDeviceList, device));
  EXPECT_EQ(Fetched(v1::TRUST_LIST_KIND_ITL, kPhone).generation().signer_version(), v1::SIGNER_VERSION_1_1);
}

TEST_F(TrustListRefusalsTest, ADevicesListIsSignedAsThatOfAllPhones) {
  v1::ResetWithLocalKeyRequest reset;
  reset.set_reason("ITLRecovery is gone");
  ASSERT_OK(Admin(&Stub::ResetWithLocalKey, reset));
  AddDeviceList();
  EXPECT_EQ(Fetched(v1::TRUST_LIST_KIND_ITL, kPhone).generation().signer_sha256(), AsText(Signer("tftp1").sha256()));
}

// So that the thread that follows compares the lists with it.
TEST_F(TrustListRefusalsTest, WhatChangesListsBesidesTheTrustStoreIsLookedAt) {
  const auto is_considered = [&] {
    return Count(
        "SELECT (p.considered_commit = c.trust_commit)::int::bigint FROM trust_list_policy p JOIN cluster c USING "
        "(cluster_id)");
  };
  AddServer("tftp2");
  ASSERT_EQ(Generate(), "unchanged unchanged");
  ASSERT_EQ(is_considered(), 1);
  v1::ChangeTrustListPolicyRequest change;
  change.set_vendor_names(true);
  ASSERT_OK(Admin(&Stub::ChangeTrustListPolicy, change));
  EXPECT_EQ(is_considered(), 0);
  ASSERT_EQ(Generate(), "waits waits");
  ASSERT_EQ(is_considered(), 1);
  v1::RemoveTftpServerRequest remove;
  remove.set_name("tftp2");
  remove.set_reason("gone");
  ASSERT_OK(Admin(&Stub::RemoveTftpServer, remove));
  EXPECT_EQ(is_considered(), 0);
}

}  // namespace
}  // namespace trustline
