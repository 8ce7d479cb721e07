#include "tvs/trust_snapshot.h"

#include <thread>

#include "tests/support/status_matchers.h"
#include "tvs/published.h"
#include "tvs/trust_store_testing.h"
#include "tvs/unknown_cache.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;

std::string Number(uint64_t number) { return fmt::format("{:032}", number); }

CertificateFacts InventedFacts(uint64_t number) {
  CertificateFacts facts;
  facts.sha256 = Sha256(AsBytes("certificate " + Number(number)));
  facts.der = "der of " + Number(number);
  facts.subject_key = Sha256(AsBytes("name " + Number(number)));
  facts.issuer_key = facts.subject_key;
  facts.serial = Number(number);
  facts.not_after = 1'000;
  return facts;
}

std::unique_ptr<const TrustSnapshot> BuildInvented(uint64_t from, uint64_t to, const TrustSnapshot* previous) {
  TrustSnapshotBuilder builder(previous);
  for (uint64_t i = from; i < to; ++i) {
    builder.AddCertificate(InventedFacts(i));
    EXPECT_OK(builder.SetEntry(InventedFacts(i).sha256, 3, 60, false, false));
  }
  return *std::move(builder).Build(static_cast<int64_t>(to));
}

TEST(TrustSnapshotTest, FindsEachOfManyAndNothingElse) {
  const auto first = BuildInvented(0, 3'000, nullptr);
  const auto second = BuildInvented(3'000, 5'000, first.get());
  EXPECT_EQ(first->certificate_count(), 3'000u);
  EXPECT_EQ(second->certificate_count(), 5'000u);
  for (uint64_t i = 0; i < 6'000; ++i) {
    const CertificateFacts facts = InventedFacts(i);
    const TrustRecord* in_first = first->FindBySha256(facts.sha256);
    const TrustRecord* in_second = second->FindBySha256(facts.sha256);
    EXPECT_EQ(in_first != nullptr, i < 3'000);
    ASSERT_EQ(in_second != nullptr, i < 5'000);
    const Sha256Digest key = IssuerSerialKey(facts.issuer_key, AsBytes(facts.serial));
    EXPECT_EQ(second->FindByIssuerSerial(key, 500), in_second);
    if (in_second) {
      EXPECT_EQ(AsText(in_second->Der()), facts.der);
    }
  }
}

TEST(TrustSnapshotTest, AChangeLeavesTheEarlierSnapshotAsItWas) {
  const auto first = BuildInvented(0, 1'000, nullptr);
  TrustSnapshotBuilder builder(first.get());
  ASSERT_OK(builder.SetEntry(InventedFacts(7).sha256, 3, 60, false, true));
  ASSERT_OK(builder.SetEntry(InventedFacts(8).sha256, 0, 90, false, false));
  const auto second = *std::move(builder).Build(1'001);
  const TrustRecord* before = first->FindBySha256(InventedFacts(7).sha256);
  const TrustRecord* after = second->FindBySha256(InventedFacts(7).sha256);
  EXPECT_THAT(before->live.Roles(), ElementsAre(CertificateRole::kTftp));
  EXPECT_THAT(after->live.Roles(), ElementsAre());
  EXPECT_THAT(after->removed.Roles(), ElementsAre(CertificateRole::kTftp));
  EXPECT_THAT(second->FindBySha256(InventedFacts(8).sha256)->live.Roles(),
              ElementsAre(CertificateRole::kSast, CertificateRole::kTftp));
  EXPECT_NE(first->ComputeDigest(), second->ComputeDigest());
}

TEST(TrustSnapshotTest, RefusesEntriesThatDoNotFit) {
  TrustSnapshotBuilder builder(nullptr);
  EXPECT_FALSE(builder.SetEntry(InventedFacts(1).sha256, 3, 60, false, false).ok());
  builder.AddCertificate(InventedFacts(1));
  EXPECT_FALSE(builder.SetEntry(InventedFacts(1).sha256, 5, 60, false, false).ok());
  EXPECT_OK(builder.SetEntry(InventedFacts(1).sha256, -1, 60, false, false));
}

TEST(TrustSnapshotTest, PrefersAValidCertificateAmongThoseOfOneIssuerAndSerial) {
  CertificateFacts expired = InventedFacts(1);
  CertificateFacts valid = InventedFacts(1);
  valid.sha256 = Sha256(AsBytes("another"));
  valid.not_after = 2'000;
  const Sha256Digest key = IssuerSerialKey(valid.issuer_key, AsBytes(valid.serial));
  for (const bool valid_first : {false, true}) {
    TrustSnapshotBuilder builder(nullptr);
    builder.AddCertificate(valid_first ? valid : expired);
    builder.AddCertificate(valid_first ? expired : valid);
    ASSERT_OK(builder.SetEntry(expired.sha256, 3, 60, false, false));
    ASSERT_OK(builder.SetEntry(valid.sha256, 3, 60, false, false));
    const auto snapshot = *std::move(builder).Build(1);
    EXPECT_EQ(snapshot->FindByIssuerSerial(key, 1'500)->sha256, valid.sha256);
  }
}

TEST(FixedKeyIdentifierTest, KeepsShortOnesAndHashesLongOnes) {
  EXPECT_EQ(ToHex(FixedKeyIdentifier(AsBytes("ab"))), "6162000000000000000000000000000000000000");
  EXPECT_NE(FixedKeyIdentifier(AsBytes(std::string(40, 'a'))), FixedKeyIdentifier(AsBytes(std::string(41, 'a'))));
}

// Each value is consistent in itself; a torn or freed one would break the equality below (and show under sanitizers).
TEST(PublishedTest, ReadersSeeWholeValuesWhileOthersArePublished) {
  struct Pair {
    std::vector<int> first;
    std::vector<int> second;
  };
  Published<Pair> published(std::make_unique<const Pair>());
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> reads = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const Published<Pair>::View view(published);
        EXPECT_EQ(view->first, view->second);
        ++reads;
      }
    });
  }
  for (int i = 0; i < 100 || reads < 100; ++i) {
    const std::vector<int> value(static_cast<size_t>(i % 100), i);
    published.Publish(std::make_unique<const Pair>(Pair{value, value}));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(Published<Pair>::View(published)->first, Published<Pair>::View(published)->second);
}

TEST(UnknownCacheTest, ForgetsAfterItsLifetimeAndWithTheNextCommit) {
  UnknownCache cache;
  const auto now = std::chrono::steady_clock::now();
  const Sha256Digest digest = Sha256(AsBytes("x"));
  EXPECT_FALSE(cache.Contains(digest, 1, now));
  cache.Insert(digest, 1, now);
  EXPECT_TRUE(cache.Contains(digest, 1, now));
  EXPECT_FALSE(cache.Contains(digest, 2, now));
  EXPECT_FALSE(cache.Contains(Sha256(AsBytes("y")), 1, now));
  EXPECT_FALSE(cache.Contains(digest, 1, now + UnknownCache::kLifetime));
}

}  // namespace
}  // namespace trustline
