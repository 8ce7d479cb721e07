// A provisiond that does not start: phones are served all the same, and it comes up by itself once it is mended.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "cli/supervisor/identities.h"
#include "cli/supervisor/up_testing.h"
#include "common/rpc/identity_store.h"

namespace trustline {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class UpWithoutProvisiondTest : public UpTest {
 protected:
  void ExpectReportsAreTaken() const {
    EXPECT_TRUE(IsReady(9545));
    EXPECT_OK(TlsClient::Connect("127.0.0.1", Ports::WithOffset(offset_)->sip_tls));
  }
  const DataPaths paths_{data_};
};

INSTANTIATE_TEST_SUITE_P(Starters, UpWithoutProvisiondTest, ::testing::Values(Starter::kThisUser, Starter::kNobody),
                         StarterName);

TEST_P(UpWithoutProvisiondTest, DamagedFilesOfProvisiondKeepNobodyButProvisiond) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  ExpectReportsAreTaken();
  EXPECT_THAT(Ask({"listener", "list"}), HasSubstr("APP-SERVER"));
  EXPECT_EQ(Stop(), "ended with status 0");

  const std::string key = paths_.provisiond() + "/provisiond.key";
  ASSERT_EQ(chmod(key.c_str(), 0644), 0);
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("ready, but without provisiond: "), HasSubstr("chmod 600 " + key),
                             HasSubstr("phones are served without it"), Not(HasSubstr("without capfd"))));
  ExpectPhonesAreServed();
  EXPECT_TRUE(IsReady(9544));
  EXPECT_FALSE(IsReady(9545));
  EXPECT_EQ(chmod(key.c_str(), 0600), 0);
  EXPECT_TRUE(WaitForOutput("provisiond is ready, and nothing is missing any more\n")) << output_;
  ExpectReportsAreTaken();
  EXPECT_EQ(Stop(), "ended with status 0") << output_;
}

// As a version without a provisiond has left it; then as a start that was ended in the middle.
TEST_P(UpWithoutProvisiondTest, ADirectoryOfAnEarlierVersionIsCompleted) {
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, HasSubstr("making the certificate of provisiond"));
  EXPECT_EQ(Stop(), "ended with status 0");
  fs::remove_all(paths_.provisiond());
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, AllOf(HasSubstr("making the certificate of provisiond"), Not(HasSubstr("without provisiond"))));
  ExpectReportsAreTaken();
  EXPECT_EQ(Stop(), "ended with status 0");

  for (const auto& entry : fs::directory_iterator(paths_.provisiond())) {
    const std::string name = entry.path().filename();
    if (name != "provisiond.crt" && name != "provisiond.key" && name != "passphrase") fs::remove(entry.path());
  }
  ASSERT_TRUE(StartUntil("ready\n")) << output_;
  EXPECT_THAT(output_, Not(HasSubstr("making the certificate of provisiond")));
  ExpectReportsAreTaken();
  {
    const ActAs scope(OwnerOf(paths_.provisiond()));
    ASSERT_OK_AND_ASSIGN(const LoadedIdentity identity, LoadIdentity(IdentityFilesIn(paths_.provisiond())));
    EXPECT_EQ(identity.identity.ToUri(), "trustline:default/provisiond/node1");
  }
  EXPECT_EQ(Stop(), "ended with status 0");
}

}  // namespace
}  // namespace trustline
