#include "cli/supervisor/identities.h"

#include <filesystem>

#include "absl/time/clock.h"
#include "cli/supervisor/private_file.h"
#include "common/rpc/identity_authority.h"
#include "common/rpc/identity_store.h"
#include "common/status/status.h"
#include "common/x509/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

class IdentitiesTest : public ::testing::Test {
 protected:
  absl::Status MakeAll(absl::Time now) {
    RETURN_IF_ERROR(EnsureItldDirectory(paths_, users_, now));
    RETURN_IF_ERROR(EnsureCadDirectory(paths_, users_, now));
    if (!FileExists(paths_.capfd())) {
      RETURN_IF_ERROR(EnsureDirectory(paths_.capfd(), 0700));
      RETURN_IF_ERROR(WriteFileWhole(paths_.capfd() + "/capf.key", "a key"));
    }
    RETURN_IF_ERROR(CompleteCapfdDirectory(paths_, users_, now));
    RETURN_IF_ERROR(EnsureDirectory(paths_.provisiond(), 0700));
    RETURN_IF_ERROR(CompleteProvisiondDirectory(paths_, users_, now));
    return EnsureAdminDirectory(paths_, users_, now);
  }
  std::string Serial(const std::string& directory) {
    const auto loaded = LoadIdentity(IdentityFilesIn(directory));
    EXPECT_OK(loaded);
    return loaded.ok() ? std::string(AsText(loaded->certificate.serial())) : "";
  }

  static void Plant(const IdentityAuthority& authority, const std::string& directory, const Identity& identity,
                    absl::Time made) {
    ASSERT_OK_AND_ASSIGN(const PrivateKey key, PrivateKey::Generate(KeyKind::kEcP256));
    ASSERT_OK_AND_ASSIGN(const Certificate certificate, authority.IssueIdentity(key, identity, made));
    ASSERT_OK(WriteIdentity(IdentityFilesIn(directory), key, certificate, authority.certificate()));
  }

  TemporaryDirectory directory_;
  DataPaths paths_{directory_.path()};
  SystemUsers users_;  // everything belongs to this process's user
};

TEST_F(IdentitiesTest, AreMadeOnce) {
  ASSERT_OK(MakeAll(absl::Now()));
  ASSERT_OK_AND_ASSIGN(const LoadedIdentity itld, LoadIdentity(IdentityFilesIn(paths_.itld())));
  ASSERT_OK_AND_ASSIGN(const LoadedIdentity admin, LoadIdentity(IdentityFilesIn(paths_.admin())));
  EXPECT_EQ(itld.identity.ToUri(), "trustline:default/itld/node1");
  EXPECT_EQ(admin.identity.ToUri(), "trustline:default/person/admin");
  EXPECT_EQ(itld.authority.sha256(), admin.authority.sha256());
  ASSERT_OK_AND_ASSIGN(const LoadedIdentity cad, LoadIdentity(IdentityFilesIn(paths_.cad())));
  EXPECT_EQ(cad.identity.ToUri(), "trustline:default/cad/node1");
  EXPECT_EQ(cad.authority.sha256(), itld.authority.sha256());
  EXPECT_OK(CheckPrivateFiles(paths_.cad(), {"identity.key", "passphrase", "database.pgpass"}, std::nullopt));
  EXPECT_THAT(ReadSmallFile(paths_.cad() + "/database.pgpass"), IsOkAndHolds(HasSubstr(":trustline_cad:")));
  EXPECT_EQ(std::filesystem::status(paths_.cad() + "/keys").permissions(), std::filesystem::perms::owner_all);
  EXPECT_OK(CheckPrivateFiles(
      paths_.itld(), {"identity.key", "identity-authority.key", "passphrase", "database.pgpass"}, std::nullopt));

  // capfd's directory is there with the CAPF certificate; an earlier version made it with nothing else.
  EXPECT_OK(CheckPrivateFiles(paths_.capfd(), {"identity.key", "database.pgpass"}, std::nullopt));
  ASSERT_OK_AND_ASSIGN(const LoadedIdentity capfd, LoadIdentity(IdentityFilesIn(paths_.capfd())));
  EXPECT_EQ(capfd.identity.ToUri(), "trustline:default/capfd/node1");
  EXPECT_EQ(capfd.authority.sha256(), itld.authority.sha256());
  EXPECT_THAT(ReadSmallFile(paths_.capfd() + "/database.pgpass"), IsOkAndHolds(HasSubstr(":trustline_capfd:")));

  EXPECT_OK(CheckPrivateFiles(paths_.provisiond(), {"identity.key", "database.pgpass"}, std::nullopt));
  ASSERT_OK_AND_ASSIGN(const LoadedIdentity provisiond, LoadIdentity(IdentityFilesIn(paths_.provisiond())));
  EXPECT_EQ(provisiond.identity.ToUri(), "trustline:default/provisiond/node1");
  EXPECT_EQ(provisiond.authority.sha256(), itld.authority.sha256());
  EXPECT_THAT(ReadSmallFile(paths_.provisiond() + "/database.pgpass"),
              IsOkAndHolds(HasSubstr(":trustline_provisiond:")));

  const std::string serials = Serial(paths_.admin()) + Serial(paths_.cad());
  ASSERT_OK(MakeAll(absl::Now()));
  ASSERT_OK(RenewDueIdentities(paths_, users_, absl::Now()));
  ASSERT_OK(RenewDueCadIdentity(paths_, users_, absl::Now()));
  EXPECT_EQ(Serial(paths_.admin()) + Serial(paths_.cad()), serials);
  ASSERT_OK(RenewDueCapfdIdentity(paths_, users_, absl::Now()));
  EXPECT_EQ(Serial(paths_.capfd()), std::string(AsText(capfd.certificate.serial())));
}

// A start may end at any moment; what is there stays.
TEST_F(IdentitiesTest, TheDirectoryOfCapfdIsCompleted) {
  ASSERT_OK(MakeAll(absl::Now()));
  const std::string password_file = paths_.capfd() + "/database.pgpass";
  const std::string serial = Serial(paths_.capfd());
  ASSERT_OK(RemoveTree(password_file));
  ASSERT_OK(CompleteCapfdDirectory(paths_, users_, absl::Now()));
  ASSERT_OK_AND_ASSIGN(const std::string password, ReadSmallFile(password_file));
  EXPECT_EQ(Serial(paths_.capfd()), serial);

  // The authority's certificate is written first, the key before the identity's certificate.
  const IdentityFiles files = IdentityFilesIn(paths_.capfd());
  ASSERT_OK(RemoveTree(files.key));
  ASSERT_OK(RemoveTree(files.certificate));
  ASSERT_OK(CompleteCapfdDirectory(paths_, users_, absl::Now()));
  EXPECT_NE(Serial(paths_.capfd()), serial);
  EXPECT_THAT(ReadSmallFile(password_file), IsOkAndHolds(password));
  EXPECT_THAT(ReadSmallFile(paths_.capfd() + "/capf.key"), IsOkAndHolds("a key"));
}

TEST_F(IdentitiesTest, AnUnfinishedDirectoryIsMadeAnew) {
  ASSERT_OK(EnsureDirectory(paths_.itld() + ".new", 0700));
  ASSERT_OK(WriteFileWhole(paths_.itld() + ".new/passphrase", "half"));
  ASSERT_OK(EnsureDirectory(paths_.cad() + ".new", 0700));
  ASSERT_OK(WriteFileWhole(paths_.cad() + ".new/passphrase", "half"));
  ASSERT_OK(MakeAll(absl::Now()));
  for (const std::string& directory : {paths_.itld(), paths_.cad()}) {
    EXPECT_OK(LoadIdentity(IdentityFilesIn(directory)));
    EXPECT_OK(ReadPassphraseFile(PassphraseFileIn(directory)));
    EXPECT_FALSE(FileExists(directory + ".new"));
  }
}

TEST_F(IdentitiesTest, AreRenewedInTheLastThirdOfTheirLifeAndAfterIt) {
  const absl::Time made = absl::Now() - absl::Hours(24 * 200);
  ASSERT_OK(MakeAll(made));
  std::string before = Serial(paths_.admin());
  ASSERT_OK(RenewDueIdentities(paths_, users_, made + absl::Hours(24 * 59)));
  EXPECT_EQ(Serial(paths_.admin()), before);
  ASSERT_OK(RenewDueIdentities(paths_, users_, made + absl::Hours(24 * 61)));
  EXPECT_NE(Serial(paths_.admin()), before);
  // Long after its end.
  before = Serial(paths_.itld());
  const std::string cad_before = Serial(paths_.cad());
  ASSERT_OK(RenewDueIdentities(paths_, users_, absl::Now()));
  EXPECT_NE(Serial(paths_.itld()), before);
  EXPECT_EQ(Serial(paths_.cad()), cad_before);
  ASSERT_OK(RenewDueCadIdentity(paths_, users_, absl::Now()));
  EXPECT_NE(Serial(paths_.cad()), cad_before);
  const std::string capfd_before = Serial(paths_.capfd());
  ASSERT_OK(RenewDueCapfdIdentity(paths_, users_, absl::Now()));
  EXPECT_NE(Serial(paths_.capfd()), capfd_before);
  const std::string provisiond_before = Serial(paths_.provisiond());
  ASSERT_OK(RenewDueProvisiondIdentity(paths_, users_, absl::Now()));
  EXPECT_NE(Serial(paths_.provisiond()), provisiond_before);
  EXPECT_THAT(IdentityHasEnded(paths_.cad(), {}, absl::Now()), IsOkAndHolds(false));
  ASSERT_OK_AND_ASSIGN(const LoadedIdentity itld, LoadIdentity(IdentityFilesIn(paths_.itld())));
  EXPECT_GT(itld.certificate.not_after(), absl::Now() + absl::Hours(24 * 80));
}

// A directory with an identity that the daemon's user made up itself, close to its end.
TEST_F(IdentitiesTest, AnIdentityOfAnotherAuthorityIsNotRenewed) {
  const absl::Time now = absl::Now();
  ASSERT_OK(MakeAll(now));
  ASSERT_OK_AND_ASSIGN(const IdentityAuthority forger, IdentityAuthority::Create(now));
  ASSERT_OK_AND_ASSIGN(const Identity itld, Identity::Create(kSystemCluster, "itld", kLocalNode));
  Plant(forger, paths_.itld(), itld, now - absl::Hours(24 * 80));
  const std::string before = Serial(paths_.itld());
  EXPECT_THAT(RenewDueIdentities(paths_, users_, now),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(paths_.itld())));
  EXPECT_EQ(Serial(paths_.itld()), before);

  ASSERT_OK_AND_ASSIGN(const Identity capfd, Identity::Create(kSystemCluster, "capfd", kLocalNode));
  Plant(forger, paths_.capfd(), capfd, now - absl::Hours(24 * 80));
  EXPECT_THAT(RenewDueCapfdIdentity(paths_, users_, now),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(paths_.capfd())));
}

TEST_F(IdentitiesTest, AnotherIdentityIsNotRenewed) {
  const absl::Time now = absl::Now();
  ASSERT_OK(MakeAll(now));
  ASSERT_OK_AND_ASSIGN(
      const IdentityAuthority authority,
      IdentityAuthority::Load(paths_.itld() + "/identity-authority.crt", paths_.itld() + "/identity-authority.key",
                              paths_.itld() + "/passphrase"));
  ASSERT_OK_AND_ASSIGN(const Identity admin, Identity::Create(kSystemCluster, kPersonKind, kAdministrator));
  Plant(authority, paths_.itld(), admin, now - absl::Hours(24 * 80));
  const std::string before = Serial(paths_.itld());
  EXPECT_THAT(RenewDueIdentities(paths_, users_, now),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("person/admin")));
  EXPECT_EQ(Serial(paths_.itld()), before);
}

TEST_F(IdentitiesTest, NothingIsIssuedIntoTheDirectoryOfTvsd) {
  const absl::Time now = absl::Now();
  ASSERT_OK(MakeAll(now));
  ASSERT_OK_AND_ASSIGN(const IdentityAuthority forger, IdentityAuthority::Create(now));
  ASSERT_OK_AND_ASSIGN(const Identity admin, Identity::Create(kSystemCluster, kPersonKind, kAdministrator));
  ASSERT_OK(EnsureDirectory(paths_.tvsd(), 0700));
  Plant(forger, paths_.tvsd(), admin, now - absl::Hours(24 * 80));
  const std::string before = Serial(paths_.tvsd());
  EXPECT_OK(RenewDueIdentities(paths_, users_, now));
  EXPECT_EQ(Serial(paths_.tvsd()), before);
  EXPECT_THAT(IdentityHasEnded(paths_.tvsd(), {}, now), IsOkAndHolds(false));
  EXPECT_THAT(IdentityHasEnded(paths_.tvsd(), {}, now + absl::Hours(24 * 11)), IsOkAndHolds(true));
}

TEST_F(IdentitiesTest, TheTvsCertificateFitsItsKey) {
  ASSERT_OK_AND_ASSIGN(
      const Certificate certificate,
      MakeTvsCertificate(
          directory_.path(),
          {.node = "node1", .host = "tvs.example", .organization = "Example", .organizational_unit = "Voice"},
          absl::Now()));
  EXPECT_EQ(certificate.subject().ToText(), "CN=TVS-node1-tvs.example,O=Example,OU=Voice");
  ASSERT_OK_AND_ASSIGN(const PrivateKey key,
                       PrivateKey::ReadKeyFile(directory_.path() / "tvs.key", directory_.path() / "passphrase"));
  EXPECT_TRUE(key.MatchesCertificate(certificate));
  EXPECT_TRUE(certificate.is_ca());
  EXPECT_EQ(certificate.public_key_kind(), "RSA 2048");
  // Without the passphrase it is of no use.
  EXPECT_FALSE(PrivateKey::ReadKeyFile(directory_.path() / "tvs.key").ok());
}

}  // namespace
}  // namespace trustline
