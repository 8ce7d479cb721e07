#include "cli/phone/list_holdings.h"

#include <filesystem>
#include <fstream>

#include "cli/phone/phone_life_testing.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

TrustList Vector(std::string_view name) { return *DecodeTrustList(AsBytes(ReadVector(name))); }

TEST(ListHoldingsTest, TheSignerIsFoundInWhatIsHeldOrInTheListItself) {
  const Party recovery = ReadParty("itlrecovery.pem");
  const Party call_manager = ReadParty("callmanager.pem");
  const HeldLists held = {.ctl = std::nullopt, .itl = HeldList{.list = Vector("ITLFile-sha1.tlv"), .server = ""}};
  const auto read = [](const std::string& file) { return *DecodeTrustList(AsBytes(file)); };
  const TrustList by_itself = read(MakeTrustList({Listed(recovery.certificate, CertificateRole::kSast)}, recovery));
  const TrustList by_held = read(MakeTrustList({Listed(recovery.certificate, CertificateRole::kTvs)}, recovery));
  EXPECT_THAT(FindSigner({}, by_itself), IsOkAndHolds(recovery.certificate));
  EXPECT_THAT(FindSigner(held, by_held), IsOkAndHolds(recovery.certificate));
  EXPECT_THAT(FindSigner({}, by_held), StatusIs(absl::StatusCode::kNotFound));
  const TrustList by_ctl = read(MakeTrustList({Listed(call_manager.certificate, CertificateRole::kCcm)}, call_manager));
  EXPECT_THAT(FindSigner({.ctl = held.itl, .itl = std::nullopt}, by_ctl), IsOkAndHolds(call_manager.certificate));
}

TEST(ListFolderTest, KeepsListsAndWhereTheyCameFrom) {
  const TemporaryDirectory directory;
  const ListFolder folder(directory.path() / "phones" / "SEP001122334455");
  ASSERT_OK_AND_ASSIGN(const HeldLists nothing, folder.Load());
  EXPECT_FALSE(nothing.ctl || nothing.itl);
  EXPECT_EQ(nothing.Holdings(), PhoneHoldings());

  ASSERT_OK(folder.Keep(PhoneListKind::kItl, {.list = Vector("ITLFile-sha1.tlv"), .server = "tftp1"}));
  ASSERT_OK(folder.Keep(PhoneListKind::kCtl, {.list = Vector("ITLFile-sha512.tlv"), .server = ""}));
  ASSERT_OK(folder.Keep(PhoneListKind::kItl, {.list = Vector("ITLFile-blank.tlv"), .server = "tftp2"}));
  ASSERT_OK_AND_ASSIGN(const HeldLists held, folder.Load());
  ASSERT_TRUE(held.ctl && held.itl);
  EXPECT_TRUE(*held.itl->list.bytes == ReadVector("ITLFile-blank.tlv"));
  EXPECT_EQ(held.itl->server, "tftp2");
  EXPECT_TRUE(*held.ctl->list.bytes == ReadVector("ITLFile-sha512.tlv"));
  EXPECT_EQ(held.ctl->server, "");
  EXPECT_TRUE(held.Holdings().itl->IsBlank());
  EXPECT_EQ(held.Holdings().ctl->signer, ReadParty("itlrecovery.pem").certificate.sha256());
}

TEST(ListFolderTest, SaysWhichFileIsBroken) {
  const TemporaryDirectory directory;
  directory.WriteFile("ITLFile.tlv", "not a list");
  EXPECT_THAT(ListFolder(directory.path()).Load(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("ITLFile.tlv is no trust list")));
  const ListFolder under_a_file(directory.path() / "ITLFile.tlv");
  EXPECT_FALSE(under_a_file.Keep(PhoneListKind::kItl, {.list = Vector("ITLFile-sha1.tlv"), .server = ""}).ok());
}

}  // namespace
}  // namespace trustline
