#include "provisioning/forwarder_follower.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::HasSubstr;

class ForwarderFollowerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
  }
  void Follow(std::vector<std::string> clusters = {"default"},
              std::chrono::milliseconds poll_interval = std::chrono::milliseconds(50)) {
    // With the rights that the daemon has.
    follower_ = std::make_unique<ForwarderFollower>(
        ForwarderFollowerOptions{.connection = database_->Conninfo("trustline_provisiond"),
                                 .application_name = "test",
                                 .clusters = std::move(clusters),
                                 .poll_interval = poll_interval},
        log_);
    follower_->Start();
  }
  template <typename Condition>
  static bool WaitUntil(Condition happened) {
    for (const absl::Time end = absl::Now() + absl::Seconds(20); absl::Now() < end;) {
      if (happened()) return true;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return false;
  }
  bool WaitForForwarder(const std::string& address, bool is_there = true) {
    return WaitUntil([&] {
      const auto current = follower_->Of("default").Current();
      return current && (current->AtAddress(*IpAddress::Parse(address), SipTransport::kTcp) != nullptr) == is_there;
    });
  }
  void Run(const std::string& sql) { ASSERT_OK(superuser_->Execute(sql.c_str())); }
  void AddForwarder(const std::string& name, const std::string& requests, bool is_network = true) {
    Run(
        fmt::format("INSERT INTO forwarder (cluster_id, name, is_network, requests, added_by)"
                    " SELECT cluster_id, '{}', {}, ARRAY[{}], 'a test' FROM cluster WHERE name = 'default'",
                    name, is_network, requests));
  }

  Log log_{{.sink = [](std::string_view) {}}};
  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<ForwarderFollower> follower_;
};

TEST_F(ForwarderFollowerTest, AFreshSystemHasLoopback) {
  ASSERT_NO_FATAL_FAILURE(Follow());
  ASSERT_TRUE(WaitUntil([&] { return follower_->LastStatus().ok(); }));
  const auto current = follower_->Of("default").Current();
  ASSERT_NE(current, nullptr);
  EXPECT_TRUE(current->accept_claims());
  for (const char* address : {"127.0.0.1", "127.9.9.9", "::1"}) {
    const Forwarder* forwarder = current->AtAddress(*IpAddress::Parse(address), SipTransport::kUdp);
    ASSERT_NE(forwarder, nullptr) << address;
    EXPECT_TRUE(forwarder->may_refer && forwarder->may_register && forwarder->may_options);
  }
  EXPECT_EQ(current->AtAddress(*IpAddress::Parse("192.0.2.1"), SipTransport::kTcp), nullptr);
}

TEST_F(ForwarderFollowerTest, ChangesAreFollowed) {
  ASSERT_NO_FATAL_FAILURE(Follow());
  ASSERT_TRUE(WaitUntil([&] { return follower_->LastStatus().ok(); }));
  ASSERT_NO_FATAL_FAILURE(AddForwarder("192.0.2.1", "'REFER'"));
  ASSERT_NO_FATAL_FAILURE(AddForwarder("kamailio.example", "'REGISTER', 'OPTIONS'", false));
  ASSERT_TRUE(WaitForForwarder("192.0.2.1"));
  auto current = follower_->Of("default").Current();
  const Forwarder* forwarder = current->AtAddress(*IpAddress::Parse("192.0.2.1"), SipTransport::kTcp);
  ASSERT_NE(forwarder, nullptr);
  EXPECT_TRUE(forwarder->may_refer);
  EXPECT_FALSE(forwarder->may_register || forwarder->may_options || forwarder->udp);
  ASSERT_TRUE(WaitUntil([&] {
    current = follower_->Of("default").Current();
    return current->OfCertificate("kamailio.example") != nullptr;
  }));
  EXPECT_FALSE(current->OfCertificate("kamailio.example")->may_refer);
  EXPECT_TRUE(current->OfCertificate("kamailio.example")->may_options);

  ASSERT_NO_FATAL_FAILURE(Run("DELETE FROM forwarder WHERE name = '192.0.2.1'"));
  ASSERT_NO_FATAL_FAILURE(
      Run("INSERT INTO phone_trust_policy SELECT cluster_id, false, 'a test' FROM cluster WHERE name = 'default'"));
  EXPECT_TRUE(WaitForForwarder("192.0.2.1", false));
  EXPECT_TRUE(WaitUntil([&] { return !follower_->Of("default").Current()->accept_claims(); }));
}

// The time between two polls is longer than this test may take.
TEST_F(ForwarderFollowerTest, ANotificationIsNotWaitedFor) {
  ASSERT_NO_FATAL_FAILURE(Follow({"default"}, std::chrono::minutes(10)));
  ASSERT_TRUE(WaitUntil([&] { return follower_->LastStatus().ok(); }));
  ASSERT_NO_FATAL_FAILURE(AddForwarder("192.0.2.1", "'REFER'"));
  ASSERT_NO_FATAL_FAILURE(Run("NOTIFY forwarder_change"));
  EXPECT_TRUE(WaitForForwarder("192.0.2.1"));
}

TEST_F(ForwarderFollowerTest, EachClusterHasItsOwn) {
  ASSERT_NO_FATAL_FAILURE(Follow({"berlin", "default"}));
  ASSERT_TRUE(WaitForForwarder("127.0.0.1"));
  ASSERT_TRUE(WaitUntil([&] { return absl::IsNotFound(follower_->LastStatus()); }));
  EXPECT_THAT(follower_->LastStatus(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("trustctl cluster add berlin")));
  EXPECT_EQ(follower_->Of("berlin").Current(), nullptr);
  ASSERT_NO_FATAL_FAILURE(Run("INSERT INTO cluster (name) VALUES ('berlin')"));
  ASSERT_TRUE(WaitUntil([&] { return follower_->LastStatus().ok(); }));
  const auto berlin = follower_->Of("berlin").Current();
  ASSERT_NE(berlin, nullptr);
  EXPECT_EQ(berlin->AtAddress(*IpAddress::Parse("127.0.0.1"), SipTransport::kTcp), nullptr);
}

TEST_F(ForwarderFollowerTest, WhatWasReadLastStaysWhileTheDatabaseIsAway) {
  ASSERT_NO_FATAL_FAILURE(AddForwarder("192.0.2.1", "'REFER'"));
  ASSERT_NO_FATAL_FAILURE(Follow());
  ASSERT_TRUE(WaitForForwarder("192.0.2.1"));
  ASSERT_OK(database_->Kill());
  ASSERT_TRUE(WaitUntil([&] { return !follower_->LastStatus().ok(); }));
  EXPECT_TRUE(WaitForForwarder("192.0.2.1"));
  ASSERT_OK(database_->Restart());
  ASSERT_TRUE(WaitUntil([&] { return follower_->LastStatus().ok(); }));
  ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
  ASSERT_NO_FATAL_FAILURE(Run("DELETE FROM forwarder WHERE name = '192.0.2.1'"));
  EXPECT_TRUE(WaitForForwarder("192.0.2.1", false));
}

}  // namespace
}  // namespace trustline
