// A capfd that does not start: phones are served all the same, and it comes up by itself once it is mended.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "cli/supervisor/identities.h"
#include "cli/supervisor/private_postgres.h"
#include "cli/supervisor/up_testing.h"
#include "common/rpc/identity_store.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class UpWithoutCapfdTest : public UpTest {
 protected:
  // Starts the system with what was damaged, mends it, and stops.
  void ExpectToComeUpOnce(const std::function<void()>& mend, const std::string& reason) {
    ASSERT_TRUE(StartUntil("ready\n")) << output_;
    EXPECT_THAT(output_, AllOf(HasSubstr("ready, but without capfd: "), HasSubstr(reason),
                               HasSubstr("phones are served without it"), Not(HasSubstr("without cad:"))));
    ExpectPhonesAreServed();
    EXPECT_TRUE(IsReady(9543));
    EXPECT_FALSE(IsReady(9544));
    mend();
    EXPECT_TRUE(WaitForOutput("capfd is ready, and nothing is missing any more\n")) << output_;
    ExpectCapfdAnswers();
    EXPECT_EQ(Stop(), "ended with status 0") << output_;
  }
  void ExpectCapfdAnswers() const {
    EXPECT_TRUE(IsReady(9544));
    EXPECT_OK(TlsClient::Connect("127.0.0.1", Ports::WithOffset(offset_)->capf));
  }
  // As the database of a version that knew no key of strings. The running capfd would write it again: it is shut out,
  // until the next start sets its password.
  void ForgetStringKey() const {
    const ActAs scope(OwnerOf(paths_.superuser_password()));
    const PrivatePostgres postgres(paths_, "", SystemUsers());
    ASSERT_OK_AND_ASSIGN(Connection superuser,
                         Connection::Open({.conninfo = postgres.SuperuserConnection(kDatabaseName)}));
    ASSERT_OK(superuser.Execute("ALTER ROLE trustline_capfd PASSWORD NULL"));
    ASSERT_OK_AND_ASSIGN(const Result ended,
                         superuser.Execute("SELECT coalesce(bool_and(pg_terminate_backend(pid, 10000)), true) FROM "
                                           "pg_stat_activity WHERE usename = 'trustline_capfd'"));
    EXPECT_THAT(ended.Value<bool>(), IsOkAndHolds(true));
    ASSERT_OK(superuser.Execute("DELETE FROM capf_string_key"));
  }
  const DataPaths paths_{data_};
};

INSTANTIATE_TEST_SUITE_P(Starters, UpWithoutCapfdTest, ::testing::Values(Starter::kThisUser, Starter::kNobody),
                         StarterName);

TEST_P(UpWithoutCapfdTest, DamagedFilesOfCapfdKeepNobodyButCapfd) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  ExpectCapfdAnswers();
  EXPECT_EQ(Stop(), "ended with status 0");

  const std::string key = paths_.capfd() + "/capf.key";
  ASSERT_EQ(chmod(key.c_str(), 0644), 0);
  ExpectToComeUpOnce([&] { EXPECT_EQ(chmod(key.c_str(), 0600), 0); }, "chmod 600 " + key);

  // A passphrase that opens neither of its keys.
  const std::string passphrase = paths_.capfd() + "/passphrase";
  std::string right;
  std::getline(std::ifstream(passphrase), right);
  std::ofstream(passphrase) << "wrong\n";
  ExpectToComeUpOnce([&] { std::ofstream(passphrase) << right << "\n"; }, key);

  // The strings' key by itself.
  const std::string strings = paths_.capfd() + "/authentication-strings.key";
  std::ifstream file(strings, std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(file), {});
  ASSERT_GT(whole.size(), 32u);
  std::ofstream(strings, std::ios::binary) << whole.substr(0, whole.size() / 2);
  ExpectToComeUpOnce([&] { std::ofstream(strings, std::ios::binary) << whole; }, strings);

  // Lines of the site's own, which it refuses itself.
  const std::string local = paths_.local_configuration("capfd");
  std::ofstream(local) << "[[listener]]\nport = 70000\n";
  ASSERT_EQ(chmod(local.c_str(), 0644), 0);
  if (user_) {
    ASSERT_EQ(chown(local.c_str(), user_->uid, user_->gid), 0);
  }
  ExpectToComeUpOnce([&] { fs::remove(local); }, "port");
}

// As a version without a capfd has left it.
TEST_P(UpWithoutCapfdTest, ADirectoryOfAnEarlierVersionIsCompleted) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  ASSERT_NO_FATAL_FAILURE(ForgetStringKey());
  EXPECT_EQ(Stop(), "ended with status 0");
  std::ifstream file(paths_.capfd() + "/capf.crt");
  const std::string certificate(std::istreambuf_iterator<char>(file), {});
  for (const auto& entry : fs::directory_iterator(paths_.capfd())) {
    const std::string name = entry.path().filename();
    if (name != "capf.crt" && name != "capf.key" && name != "passphrase") fs::remove(entry.path());
  }
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, AllOf(Not(HasSubstr("making the CAPF certificate")), Not(HasSubstr("without capfd"))));
  ExpectCapfdAnswers();
  std::ifstream again(paths_.capfd() + "/capf.crt");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(again), {}), certificate);
  {
    const ActAs scope(OwnerOf(paths_.capfd()));
    ASSERT_OK_AND_ASSIGN(const LoadedIdentity identity, LoadIdentity(IdentityFilesIn(paths_.capfd())));
    EXPECT_EQ(identity.identity.ToUri(), "trustline:default/capfd/node1");
  }
  EXPECT_EQ(Stop(), "ended with status 0");
}

// There is nothing to serve yet, and whoever installs is told at once.
TEST_P(UpWithoutCapfdTest, TheFirstStartEndsWithCapfd) {
  const fs::path programs = directory_.path() / "programs";
  fs::create_directory(programs);
  for (const char* program : {"tvsd", "itld", "cad", "provisiond"})
    fs::copy_file(fs::path(bin_) / program, programs / program);
  fs::copy_file("/bin/false", programs / "capfd");
  std::vector<std::string> arguments = UpArguments();
  const fs::path migrations = fs::path(bin_).parent_path() / "share" / "trustline" / "migrations";
  arguments.insert(arguments.end(), {"--bin-dir", programs.string(), "--migrations", migrations.string()});
  EXPECT_THAT(Refusal(arguments), AllOf(HasSubstr("starting capfd"), HasSubstr("capfd ended with status 1")));
}

}  // namespace
}  // namespace trustline
