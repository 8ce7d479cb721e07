#include "tvs/question_counter.h"

#include <map>
#include <set>
#include <thread>

#include "tests/support/status_matchers.h"
#include "tvs/question_table.h"
#include "tvs/trust_store_testing.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

using Clusters = std::vector<std::unique_ptr<FollowedCluster>>;

Clusters TwoClusters() {
  Clusters clusters;
  clusters.push_back(std::make_unique<FollowedCluster>("default"));
  clusters.push_back(std::make_unique<FollowedCluster>("branch"));
  return clusters;
}

QuestionAnswer Unknown(uint16_t cluster = 0, bool is_query = true) {
  return {.cluster = cluster, .is_query = is_query, .valid = false, .reason = InvalidReason::kUnknown};
}

// A query for "CN=`signer`".
struct Asked {
  explicit Asked(std::string name, std::string phone = "CP-8841-SEP001122334455", int64_t at_us = 1)
      : signer(std::move(name)), subject("CN=" + signer), device(std::move(phone)), at(at_us) {}
  AnsweredQuestion Question(const QuestionAnswer& answer = Unknown()) const {
    return {.answer = answer,
            .at_us = at,
            .signer = Sha256(AsBytes(signer)),
            .device = device,
            .address = "192.0.2.1",
            .subject = subject,
            .issuer = "CN=issuer",
            .serial = AsBytes(serial)};
  }
  std::string signer;
  std::string subject;
  std::string device;
  std::string serial = "\x01\x02";
  int64_t at;
};

std::vector<std::string> ReadSubjects(QuestionRing& ring) {
  std::vector<std::string> subjects;
  ring.Read([&](const AnsweredQuestion& question) { subjects.emplace_back(question.subject); });
  return subjects;
}

TEST(QuestionRingTest, KeepsEverythingOfAQuestion) {
  QuestionRing ring;
  const std::string certificate(16 * 1024, 'c');
  const Asked asked("a");
  AnsweredQuestion question = asked.Question({.cluster = 300, .valid = true});
  question.certificate = AsBytes(certificate);
  ASSERT_TRUE(ring.Write(question));
  int read = 0;
  ring.Read([&](const AnsweredQuestion& got) {
    ++read;
    EXPECT_EQ(got.answer, question.answer);
    EXPECT_EQ(got.at_us, 1);
    EXPECT_EQ(got.signer, question.signer);
    EXPECT_EQ(got.device, "CP-8841-SEP001122334455");
    EXPECT_EQ(got.address, "192.0.2.1");
    EXPECT_EQ(AsText(got.certificate), certificate);
    EXPECT_EQ(got.subject, "CN=a");
    EXPECT_EQ(got.issuer, "CN=issuer");
    EXPECT_EQ(AsText(got.serial), "\x01\x02");
  });
  EXPECT_EQ(read, 1);
  EXPECT_THAT(ReadSubjects(ring), SizeIs(0));
}

// Records of many sizes end at the ring's end and before it, many times round.
TEST(QuestionRingTest, GoesRoundWithoutLosingOrDoubling) {
  QuestionRing ring;
  std::vector<std::string> written, read;
  for (int i = 0; i < 40'000; ++i) {
    Asked asked(fmt::format("{}", i) + std::string(static_cast<size_t>(i * 7 % 1'000), 'x'));
    ASSERT_TRUE(ring.Write(asked.Question()));
    written.push_back(asked.subject);
    if (i % 211 == 0) {
      for (std::string& subject : ReadSubjects(ring)) read.push_back(std::move(subject));
    }
  }
  for (std::string& subject : ReadSubjects(ring)) read.push_back(std::move(subject));
  EXPECT_EQ(read, written);
}

TEST(QuestionRingTest, RefusesWhatDoesNotFitAndSaysOnceThatItIsHalfFull) {
  QuestionRing ring;
  const Asked asked("a");
  int written = 0, due = 0;
  while (ring.Write(asked.Question())) {
    ++written;
    if (ring.IsReadingDue()) {
      ++due;
      EXPECT_NEAR(written, 2'000, 600);
    }
  }
  EXPECT_EQ(due, 1);
  EXPECT_GT(written, 3'000);
  EXPECT_FALSE(ring.Write(asked.Question()));
  EXPECT_THAT(ReadSubjects(ring), SizeIs(written));
  for (int i = 0; i < written; ++i) {
    ASSERT_TRUE(ring.Write(asked.Question()));
    if (ring.IsReadingDue()) ++due;
  }
  EXPECT_EQ(due, 2);
}

// Several workers and a slow reader: every question is counted exactly once, with a name or without.
TEST(QuestionCounterTest, CountsEveryQuestionOfSeveralThreadsOnce) {
  constexpr int kWorkers = 4;
  constexpr int kQuestions = 50'000;
  const Clusters clusters = TwoClusters();
  QuestionCounter counter(kWorkers, clusters);
  EXPECT_EQ(counter.ClusterNumber(*clusters[1]), 1);
  std::atomic<int> working = kWorkers;
  std::vector<std::thread> threads;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    threads.emplace_back([&, worker] {
      for (int i = 0; i < kQuestions; ++i) {
        counter.Count(worker, Asked(fmt::format("{}", worker), "x-CSF1", i).Question(Unknown(worker % 2)));
      }
      --working;
      counter.Wake();
    });
  }
  std::map<std::string, int64_t> next;  // by worker
  int64_t named = 0, nameless = 0;
  const auto collect = [&] {
    counter.Collect(
        [&](const AnsweredQuestion& question) {
          int64_t& expected = next[std::string(question.subject)];
          EXPECT_GE(question.at_us, expected);  // in order; what is missing is counted without a name
          expected = question.at_us + 1;
          ++named;
        },
        [&](const QuestionAnswer& answer, int64_t count) {
          EXPECT_EQ(answer, Unknown(answer.cluster));
          nameless += count;
        });
  };
  while (working > 0) {
    counter.Wait(std::chrono::seconds(10));
    collect();
  }
  for (std::thread& thread : threads) thread.join();
  collect();
  EXPECT_EQ(named + nameless, int64_t{kWorkers} * kQuestions);
  EXPECT_EQ(counter.nameless(), static_cast<uint64_t>(nameless));
  EXPECT_GT(named, 4'000);
}

TEST(QuestionCounterTest, WakesWhoWaitsWhenARingIsHalfFull) {
  const Clusters clusters = TwoClusters();
  QuestionCounter counter(1, clusters);
  std::thread worker([&] {
    for (int i = 0; i < 3'000; ++i) counter.Count(0, Asked("a").Question());
  });
  const auto begun = std::chrono::steady_clock::now();
  counter.Wait(std::chrono::seconds(60));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(30));
  worker.join();
}

class QuestionTableTest : public ::testing::Test {
 protected:
  // "2 SEP001122334455 CN=a", sorted.
  std::vector<std::string> Taken(QuestionTable& table, uint16_t cluster = 0, size_t most = 1'000'000) {
    std::vector<std::string> words;
    for (const CountedQuestion& question : table.Take(cluster, most)) {
      words.push_back(fmt::format("{} {} {}", question.count, question.device, question.names->subject));
    }
    std::ranges::sort(words);
    return words;
  }
  QuestionTable Table(QuestionTableLimits limits = {}) const {
    return QuestionTable({clusters_[0].get(), clusters_[1].get()}, limits);
  }
  const Clusters clusters_ = TwoClusters();
};

TEST_F(QuestionTableTest, CountsEqualQuestionsTogether) {
  QuestionTable table = Table();
  for (const int64_t at : {5, 3, 9, 7}) table.Add(Asked("a", "CP-8841-sep001122334455", at).Question());
  table.Add(Asked("a", "SEP001122334455").Question(Unknown(1)));
  const std::vector<CountedQuestion> taken = table.Take(0, 10);
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].count, 4);
  EXPECT_EQ(taken[0].device, "SEP001122334455");
  EXPECT_EQ(taken[0].first_us, 3);
  EXPECT_EQ(taken[0].last_us, 9);
  EXPECT_EQ(taken[0].address, "192.0.2.1");
  EXPECT_EQ(taken[0].names->issuer, "CN=issuer");
  EXPECT_EQ(taken[0].names->serial, "\x01\x02");
  EXPECT_FALSE(table.HasAny(0));
  EXPECT_TRUE(table.HasAny(1));
  EXPECT_EQ(table.size(), 1u);
}

// Whoever asks under a phone's name, however often, hides neither that the phone asked nor from where.
TEST_F(QuestionTableTest, QuestionsOfOneNameFromTwoAddressesAreTwo) {
  QuestionTable table = Table();
  table.Add(Asked("a").Question());
  for (const int64_t at : {2, 3, 4}) {
    const Asked again("a", "SEP001122334455", at);
    AnsweredQuestion forged = again.Question();
    forged.address = "198.51.100.7";
    table.Add(forged);
  }
  std::vector<std::string> taken;
  for (const CountedQuestion& question : table.Take(0, 10)) {
    taken.push_back(fmt::format("{} {} {}", question.address, question.device, question.count));
  }
  EXPECT_THAT(taken, UnorderedElementsAre("192.0.2.1 SEP001122334455 1", "198.51.100.7 SEP001122334455 3"));
  // Without a device it matters to nobody.
  const Asked without_device("a", "");
  for (const char* address : {"192.0.2.1", "198.51.100.7"}) {
    AnsweredQuestion nameless = without_device.Question();
    nameless.address = address;
    table.Add(nameless);
  }
  EXPECT_THAT(Taken(table), ElementsAre("2  CN=a"));
}

TEST_F(QuestionTableTest, NamesThatAreNoneAndTextsThatAreNoTextAreKeptFromTheDatabase) {
  QuestionTable table = Table();
  Asked asked("a\xff\n\x1b");
  table.Add(asked.Question());
  for (const char* device : {"", "-", "CP-8841-SEP00112233445", "x-SEP00112233445566", "MALLORY"}) {
    table.Add(Asked("b", device).Question());
  }
  Asked unreadable("=;=");
  unreadable.subject = std::string(1'024, '\xff');
  AnsweredQuestion question = unreadable.Question();
  question.issuer = unreadable.subject;
  question.signer = {};  // its issuer has no key
  table.Add(question);
  AnsweredQuestion no_certificate = {.answer = Unknown(0, false), .device = "SEP001122334455"};
  no_certificate.certificate = AsBytes("abcd");
  table.Add(no_certificate);
  std::set<std::string> subjects;
  for (const CountedQuestion& counted : table.Take(0, 10)) {
    if (counted.names->subject == "CN=b") {
      EXPECT_EQ(counted.device, "");
      EXPECT_EQ(counted.count, 5);
    }
    subjects.insert(counted.names->subject);
    EXPECT_EQ(counted.names->subject.find_first_of("\xff\n\x1b"), std::string::npos);
    EXPECT_LE(counted.names->subject.size(), kMaxQuestionName);
    EXPECT_LE(counted.names->issuer.size(), kMaxQuestionName);
  }
  EXPECT_THAT(subjects, SizeIs(4));
  EXPECT_TRUE(subjects.contains(""));
}

TEST_F(QuestionTableTest, FindsTheNamesOfACertificate) {
  QuestionTable table = Table();
  const Party party = MakeSelfSigned(LeafForm("server.example"));
  AnsweredQuestion question = {.answer = Unknown(0, false), .device = "CSFA"};
  question.certificate = party.certificate.der();
  question.signer = party.certificate.sha256();
  table.Add(question);
  const std::vector<CountedQuestion> taken = table.Take(0, 1);
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].names->subject, party.certificate.subject().ToText());
  EXPECT_EQ(taken[0].names->issuer, party.certificate.issuer().ToText());
  EXPECT_EQ(taken[0].names->serial, AsText(party.certificate.serial()));
}

TEST_F(QuestionTableTest, OverItsLimitsCountsWithoutTheDeviceThenWithoutTheSigner) {
  QuestionTable table = Table({.questions = 3, .signers = 2});
  table.Add(Asked("a", "CSF1").Question());
  table.Add(Asked("a", "CSF2").Question());
  table.Add(Asked("b", "CSF1").Question());
  EXPECT_EQ(table.without_room(), 0u);
  for (int i = 0; i < 10; ++i) {
    table.Add(Asked("a", fmt::format("CSFX{}", i)).Question());
    table.Add(Asked(fmt::format("invented{}", i), "CSF1").Question());
  }
  table.Add(Asked("a", "CSF1").Question());
  table.AddNameless(Unknown(), 7, 5);
  EXPECT_EQ(table.without_room(), 20u);
  EXPECT_LE(table.size(), 5u);
  EXPECT_THAT(Taken(table), ElementsAre("1 CSF1 CN=b", "1 CSF2 CN=a", "10  CN=a", "17  ", "2 CSF1 CN=a"));
  // There is room again.
  table.Add(Asked("c", "CSF9").Question());
  EXPECT_THAT(Taken(table), ElementsAre("1 CSF9 CN=c"));
}

}  // namespace
}  // namespace trustline
