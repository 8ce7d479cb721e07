// A cad that does not start: phones are served all the same, and it comes up by itself once it is mended.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "cli/supervisor/up_testing.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class UpWithoutCadTest : public UpTest {
 protected:
  // Starts the system with what was damaged, mends it, and stops.
  void ExpectToComeUpOnce(const std::function<void()>& mend, const std::string& reason) {
    ASSERT_TRUE(StartUntil("ready\n")) << output_;
    EXPECT_THAT(output_, AllOf(HasSubstr("ready, but without cad: "), HasSubstr(reason),
                               HasSubstr("phones are served without it")));
    ExpectPhonesAreServed();
    EXPECT_FALSE(IsReady(9543));
    mend();
    EXPECT_TRUE(WaitForOutput(", and nothing is missing any more\n")) << output_;
    EXPECT_THAT(output_, HasSubstr("cad is ready"));
    EXPECT_TRUE(IsReady(9543));
    EXPECT_TRUE(IsReady(9544));
    EXPECT_TRUE(IsReady(9545));
    ExpectPhonesAreServed();
    EXPECT_THAT(Ask({"ca", "list"}), HasSubstr("active"));
    EXPECT_EQ(Stop(), "ended with status 0") << output_;
  }
};

INSTANTIATE_TEST_SUITE_P(Starters, UpWithoutCadTest, ::testing::Values(Starter::kThisUser, Starter::kNobody),
                         StarterName);

TEST_P(UpWithoutCadTest, DamagedFilesOfCadKeepNobodyButCad) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_EQ(Stop(), "ended with status 0");
  const DataPaths paths(data_);

  // The key of an authority, open to others.
  const fs::directory_iterator keys(paths.cad() + "/keys");
  ASSERT_NE(keys, fs::directory_iterator());
  const std::string key = keys->path();
  ASSERT_EQ(chmod(key.c_str(), 0640), 0);
  ExpectToComeUpOnce([&] { EXPECT_EQ(chmod(key.c_str(), 0600), 0); }, "chmod 600 " + key);

  // A passphrase that does not open it.
  const std::string passphrase = paths.cad() + "/passphrase";
  std::string right;
  std::getline(std::ifstream(passphrase), right);
  std::ofstream(passphrase) << "wrong\n";
  ExpectToComeUpOnce([&] { std::ofstream(passphrase) << right << "\n"; }, "the passphrase is wrong");

  // What the supervisor itself refuses before it starts cad.
  const std::string password = paths.cad() + "/database.pgpass";
  ASSERT_EQ(chmod(password.c_str(), 0644), 0);
  ExpectToComeUpOnce([&] { EXPECT_EQ(chmod(password.c_str(), 0600), 0); }, password);
}

// The steps that need cad are made when it comes, and capfd starts with the certificate that it has got by then.
TEST_P(UpWithoutCadTest, TheAuthoritiesAreMadeOnceCadComes) {
  ASSERT_TRUE(StartUntil("starting tvsd")) << output_;
  up_->Signal(SIGKILL);
  EXPECT_EQ(WaitForEnd(), "was ended by signal 9 (Killed)");
  const std::string local = DataPaths(data_).local_configuration("cad");
  std::ofstream(local) << "nonsense = 1\n";
  ASSERT_EQ(chmod(local.c_str(), 0644), 0);
  ExpectToComeUpOnce(
      [&] {
        EXPECT_THAT(output_, AllOf(Not(HasSubstr("making the LSC authority")), Not(HasSubstr("starting capfd"))));
        fs::remove(local);
      },
      "nonsense");
  EXPECT_THAT(output_, AllOf(HasSubstr("making the LSC authority"), HasSubstr("making the CAPF certificate"),
                             HasSubstr("\ncad is ready\n"), HasSubstr("\nstarting capfd\n"),
                             HasSubstr("\ncapfd is ready"), HasSubstr("making the certificate of provisiond"),
                             HasSubstr("\nstarting provisiond\n"), HasSubstr("\nprovisiond is ready")));
}

// There is nothing to serve yet, and whoever installs is told at once.
TEST_P(UpWithoutCadTest, TheFirstStartEndsWithCad) {
  const fs::path programs = directory_.path() / "programs";
  fs::create_directory(programs);
  for (const char* program : {"tvsd", "itld", "capfd", "provisiond"})
    fs::copy_file(fs::path(bin_) / program, programs / program);
  fs::copy_file("/bin/false", programs / "cad");
  std::vector<std::string> arguments = UpArguments();
  const fs::path migrations = fs::path(bin_).parent_path() / "share" / "trustline" / "migrations";
  arguments.insert(arguments.end(), {"--bin-dir", programs.string(), "--migrations", migrations.string()});
  EXPECT_THAT(Refusal(arguments), AllOf(HasSubstr("starting cad"), HasSubstr("cad ended with status 1")));
}

}  // namespace
}  // namespace trustline
