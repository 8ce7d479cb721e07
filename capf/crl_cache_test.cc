#include "capf/crl_cache.h"

#include <thread>

#include "capf/device_certificate_testing.h"
#include "common/status/status.h"

namespace trustline {
namespace {

const Party& Issuer() {
  static const Party* const party = new Party(MakeSelfSigned(AuthorityForm("Manufacturer")));
  return *party;
}

Certificate MakePhone() { return MakeIssued(LeafForm("CP-8841-SEP001122334455"), Issuer()).certificate; }

class CrlCacheTest : public ::testing::Test {
 protected:
  static absl::StatusOr<std::shared_ptr<const Revocations>> Get(CrlCache& cache, const std::string& der) {
    return cache.Get(Sha256(AsBytes(der)), [&] { return absl::StatusOr<std::string>(der); });
  }
  const Certificate phones_[3] = {MakePhone(), MakePhone(), MakePhone()};
  const std::string crls_[3] = {MakeCrl(Issuer(), {.revoked = {phones_[0]}}),
                                MakeCrl(Issuer(), {.revoked = {phones_[1]}}),
                                MakeCrl(Issuer(), {.revoked = {phones_[1], phones_[2]}})};
};

TEST_F(CrlCacheTest, WhatIsKnownIsNotReadAgain) {
  CrlCache cache;
  ASSERT_OK_AND_ASSIGN(const auto first, Get(cache, crls_[2]));
  ASSERT_EQ(first->size(), 2U);
  const auto entry = first->find(std::string(AsText(phones_[2].serial())));
  ASSERT_NE(entry, first->end());
  EXPECT_EQ(entry->second.reason, RevocationReason::kKeyCompromise);
  EXPECT_EQ(entry->second.revoked_at, kTestNow - absl::Hours(24));
  const auto again = cache.Get(Sha256(AsBytes(crls_[2])), [] { return absl::InternalError("it was read again"); });
  ASSERT_OK(again);
  EXPECT_EQ(*again, first);
  EXPECT_EQ(cache.parsed(), 1);
}

TEST_F(CrlCacheTest, WhatCannotBeReadIsNotKept) {
  CrlCache cache;
  const Sha256Digest sha256 = Sha256(AsBytes(crls_[0]));
  EXPECT_THAT(cache.Get(sha256, [] { return absl::UnavailableError("away"); }),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(cache.Get(sha256, [] { return absl::StatusOr<std::string>("x"); }),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(cache.Get(sha256, [&] { return absl::StatusOr<std::string>(crls_[1]); }),
              StatusIs(absl::StatusCode::kInternal))
      << "another's";
  EXPECT_OK(Get(cache, crls_[0]));
}

TEST_F(CrlCacheTest, TheOneThatWasNotUsedForLongestIsForgotten) {
  CrlCache cache({.most_crls = 2});
  for (const int crl : {0, 1, 0, 2, 0}) ASSERT_OK(Get(cache, crls_[crl]));
  EXPECT_EQ(cache.parsed(), 3);
  ASSERT_OK(Get(cache, crls_[1]));
  EXPECT_EQ(cache.parsed(), 4);
}

TEST_F(CrlCacheTest, LongOnesArePutOutByNewOnes) {
  CrlCache cache({.most_revocations = 2});
  for (const int crl : {0, 1, 0, 1}) ASSERT_OK(Get(cache, crls_[crl]));
  EXPECT_EQ(cache.parsed(), 2);
  for (int i = 0; i < 3; ++i) ASSERT_OK(Get(cache, crls_[2]));
  EXPECT_EQ(cache.parsed(), 3) << "alone";
  ASSERT_OK(Get(cache, crls_[0]));
  EXPECT_EQ(cache.parsed(), 4);
}

TEST_F(CrlCacheTest, OneThatTwoReadAtOnceIsKeptOnceAndPutsNoOtherOut) {
  CrlCache cache;
  ASSERT_OK(Get(cache, crls_[1]));
  const auto read = [&]() -> absl::StatusOr<std::string> {
    // Meanwhile somebody else has.
    RETURN_IF_ERROR(Get(cache, crls_[0]).status());
    return crls_[0];
  };
  ASSERT_OK(cache.Get(Sha256(AsBytes(crls_[0])), read));
  EXPECT_EQ(cache.parsed(), 3);
  for (const int crl : {0, 1}) ASSERT_OK(Get(cache, crls_[crl]));
  EXPECT_EQ(cache.parsed(), 3);
}

TEST_F(CrlCacheTest, ManyThreadsShareIt) {
  CrlCache cache({.most_crls = 2});
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 200; ++n) {
        const auto revocations = Get(cache, crls_[(i + n) % 3]);
        ASSERT_OK(revocations);
        EXPECT_EQ((*revocations)->size(), (i + n) % 3 == 2 ? 2U : 1U);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace trustline
