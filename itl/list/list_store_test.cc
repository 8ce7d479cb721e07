// Lists of servers and devices over time: their numbers, their files, and how they are found again.
#include "itl/list/list_testing.h"
#include "itl/list/phone_reading.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kPhone[] = "SEP001122334455";

class ListStoreTest : public ListDatabaseTest {
 protected:
  void SetUp() override {
    ListDatabaseTest::SetUp();
    AddServer("tftp1");
    ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  }
  absl::StatusOr<ListStore::Found> Find(std::string_view hash, int32_t cluster_id = 1) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return ListStore(connection, cluster_id).FindByHash(AsBytes(hash));
    });
  }
  static std::string Raw(ByteView bytes) { return std::string(AsText(bytes)); }
  // "LIST NUMBER", the current ones with a star.
  std::vector<std::string> History(const ListFilter& filter = {}, ListStore::Position after = {}, int64_t limit = 100) {
    const auto past = InStore([&](Connection&, ListStore& store) { return store.History(filter, after, limit); });
    EXPECT_OK(past);
    std::vector<std::string> texts;
    for (const ListStore::Past& one : past.value_or(std::vector<ListStore::Past>())) {
      texts.push_back(fmt::format("{}{} {}{}", one.list.form.tftp_server,
                                  one.list.form.device.empty() ? "" : "/" + one.list.form.device, one.generation.number,
                                  one.is_current ? "*" : ""));
    }
    return texts;
  }
  void PutDevice(std::optional<DigestAlgorithm> digest) {
    ListForm form;
    form.tftp_server = "tftp1";
    form.device = kPhone;
    form.digest = digest;
    ASSERT_OK(InStore([&](Connection&, ListStore& store) { return store.PutList(form, kTestActor); }));
  }
  static ListFilter OfDevice() {
    ListFilter filter;
    filter.device = kPhone;
    return filter;
  }
};

TEST_F(ListStoreTest, AGenerationIsFoundByAnyOfItsHashes) {
  const StoredList first = List();
  const std::string file = FileOf(first);
  AddListed(MakePhoneFacing("tvs"));
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  ASSERT_NE(FileOf(List()), file);
  for (const std::string& hash : {Raw(first.current->sha1), Raw(first.current->md5), Raw(first.current->sha256)}) {
    ASSERT_OK_AND_ASSIGN(const ListStore::Found found, Find(hash));
    EXPECT_EQ(found.file, file);
    EXPECT_EQ(found.generation.number, 1);
    EXPECT_EQ(found.list.form.tftp_server, "tftp1");
    EXPECT_FALSE(found.list.current.has_value());  // it is not the current one any more
    EXPECT_THAT(Find(hash, 2), StatusIs(absl::StatusCode::kNotFound));
  }
  ASSERT_OK_AND_ASSIGN(const ListStore::Found current, Find(Raw(List().current->sha1)));
  EXPECT_EQ(current.list.current->number, 2);
  EXPECT_THAT(Find(std::string(20, 'x')),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("787878787878787878787878787878787878")));
  EXPECT_THAT(Find(std::string(19, 'x')), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("SHA-256 (64)")));
}

TEST_F(ListStoreTest, AGenerationIsFoundByItsNumber) {
  const std::string file = FileOf(List());
  AddListed(MakePhoneFacing("tvs"));
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const StoredList list = List();
  const auto find = [&](const StoredList& of, int64_t number) {
    return InStore([&](Connection&, ListStore& store) { return store.FindGeneration(of, number); });
  };
  EXPECT_EQ(find(list, 1)->file, file);
  EXPECT_EQ(find(list, 0)->generation.number, 2);
  EXPECT_THAT(find(list, 3), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no generation 3")));
  StoredList none = list;
  none.current.reset();
  EXPECT_THAT(find(none, 0), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nothing is published yet")));
}

TEST_F(ListStoreTest, TheHistoryGoesByListAndBackInTime) {
  AddServer("tftp2");
  ASSERT_OK(Publish());
  for (int i = 0; i < 2; ++i) {
    AddListed(MakePhoneFacing(fmt::format("tvs{}", i)));
    ASSERT_OK(Publish());
  }
  EXPECT_THAT(History(), ElementsAre("tftp1 3*", "tftp1 2", "tftp1 1", "tftp2 3*", "tftp2 2", "tftp2 1"));
  ListFilter filter;
  filter.tftp_server = "tftp2";
  const int64_t second = List(filter).list_id;
  EXPECT_THAT(History(filter), ElementsAre("tftp2 3*", "tftp2 2", "tftp2 1"));
  EXPECT_THAT(History({}, {second - 1, 2}, 2), ElementsAre("tftp1 1", "tftp2 3*"));
  EXPECT_THAT(History({}, {second, 3}, 2), ElementsAre("tftp2 2", "tftp2 1"));
  EXPECT_THAT(History({}, {second, 1}), SizeIs(0));
  filter.kind = ListKind::kCtl;
  EXPECT_THAT(History(filter), SizeIs(0));
  filter.kind = ListKind::kItl;
  EXPECT_THAT(History(filter), SizeIs(3));
}

TEST_F(ListStoreTest, ADeviceHasAListOfItsOwn) {
  ASSERT_OK(InStore([&](Connection& connection, ListStore&) {
    return PhoneReading(connection, 1).Record(kPhone, "", {.sha512 = true}, kTestActor);
  }));
  PutDevice(DigestAlgorithm::kSha512);
  ASSERT_OK_AND_ASSIGN(const PublishResult result, Publish());
  ASSERT_THAT(result.lists, SizeIs(2));
  EXPECT_EQ(List(OfDevice()).current->number, 1);
  EXPECT_EQ(List(OfDevice()).current->digest, DigestAlgorithm::kSha512);
  const std::string file = FileOf(List(OfDevice()));
  ASSERT_OK_AND_ASSIGN(const TrustList read, DecodeTrustList(AsBytes(file)));
  EXPECT_THAT(VerifyTrustList(read), IsOk());
  EXPECT_EQ(read.header().file_name, "ITLFile.tlv");
  EXPECT_EQ(read.header().digest, DigestAlgorithm::kSha512);
  ListFilter all;
  all.device = "";
  EXPECT_EQ(List(all).current->digest, DigestAlgorithm::kSha1);
  EXPECT_EQ(List(all).current->number, 1);

  // It is followed with the others, and gone when it is taken away.
  AddListed(MakePhoneFacing("tvs"));
  ASSERT_OK(Publish());
  EXPECT_EQ(List(OfDevice()).current->number, 2);
  const auto remove = [&](const char* device) {
    return InStore([&](Connection&, ListStore& store) { return store.RemoveDeviceList("tftp1", device); });
  };
  EXPECT_THAT(remove(kPhone), IsOkAndHolds(true));
  EXPECT_THAT(remove(kPhone), IsOkAndHolds(false));
  EXPECT_THAT(remove(""), IsOkAndHolds(false));  // never that of all phones
  ASSERT_OK_AND_ASSIGN(const PublishResult one, Publish());
  EXPECT_THAT(one.lists, SizeIs(1));
  EXPECT_THAT(History(OfDevice()), ElementsAre("tftp1/SEP001122334455 2*", "tftp1/SEP001122334455 1"));
  // Another one goes on counting, so that no number means two files.
  PutDevice(std::nullopt);
  ASSERT_OK(Publish(Approved()));
  EXPECT_EQ(List(OfDevice()).current->number, 3);
  EXPECT_EQ(List(OfDevice()).current->digest, DigestAlgorithm::kSha1);
}

TEST_F(ListStoreTest, AServerThatComesAgainKeepsItsKeyAndCounts) {
  const std::vector<StoredSigner> before = Signers();
  AddListed(MakePhoneFacing("tvs"));
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  const auto remove = [&] {
    return InStore([](Connection&, ListStore& store) { return store.RemoveServer("tftp1"); });
  };
  EXPECT_THAT(remove(), IsOkAndHolds(true));
  EXPECT_THAT(remove(), IsOkAndHolds(false));
  ASSERT_OK_AND_ASSIGN(const PublishResult none, Publish());
  EXPECT_THAT(none.lists, SizeIs(0));
  EXPECT_THAT(History(), ElementsAre("tftp1 2*", "tftp1 1"));
  AddServer("tftp1");
  EXPECT_EQ(Outcome(), ListOutcome::kUnchanged);
  const std::vector<StoredSigner> after = Signers();
  ASSERT_THAT(after, SizeIs(2));
  EXPECT_EQ(after[1].certificate, before[1].certificate);
  EXPECT_EQ(after[1].key_name, before[1].key_name);
  AddListed(MakePhoneFacing("tvs2"));
  EXPECT_EQ(Outcome(), ListOutcome::kPublished);
  EXPECT_EQ(List().current->number, 3);
}

TEST_F(ListStoreTest, ARemovedServersCandidateIsGone) {
  const Certificate tvs = MakePhoneFacing("tvs");
  AddListed(tvs);
  ASSERT_EQ(Outcome(), ListOutcome::kPublished);
  SetListed(tvs, false);
  ASSERT_EQ(Outcome(), ListOutcome::kWaits);
  AddServer("tftp2");
  ASSERT_OK(InStore([](Connection&, ListStore& store) { return store.RemoveServer("tftp1"); }));
  EXPECT_EQ(Count("SELECT count(*) FROM trust_list_candidate"), 0);
  ASSERT_OK(InStore([](Connection&, ListStore& store) { return store.Servers(); }));
  EXPECT_THAT(*InStore([](Connection&, ListStore& store) { return store.Servers(); }), SizeIs(1));
}

TEST_F(ListStoreTest, WhoMadeListsBlankStaysOnRecord) {
  const auto write = [&](bool blank, const char* actor) {
    return InStore([&](Connection&, ListStore& store) -> absl::Status {
      ASSIGN_OR_RETURN(const auto before, store.LockPolicy());
      ListPolicy policy = before->policy;
      policy.blank = blank;
      policy.recovery_years = 10;
      policy.digest = DigestAlgorithm::kSha512;
      policy.signer_version = kSignerVersionWithEc;
      policy.name_form = NameForm::kVendor;
      policy.tftp_role = CertificateRole::kTftp;
      policy.mixed_mode = true;
      return store.WritePolicy(policy, actor);
    });
  };
  const auto read = [&] { return **InStore([](Connection&, ListStore& store) { return store.ReadPolicy(); }); };
  EXPECT_FALSE(read().blank_since.has_value());
  ASSERT_OK(write(true, "one"));
  const StoredPolicy blank = read();
  EXPECT_EQ(blank.blank_by, "one");
  ASSERT_OK(write(true, "two"));
  EXPECT_EQ(read().blank_by, "one");
  EXPECT_EQ(read().blank_since, blank.blank_since);
  EXPECT_EQ(blank.policy.recovery_years, 10);
  EXPECT_EQ(blank.policy.digest, DigestAlgorithm::kSha512);
  EXPECT_EQ(blank.policy.signer_version, kSignerVersionWithEc);
  EXPECT_EQ(blank.policy.name_form, NameForm::kVendor);
  EXPECT_EQ(blank.policy.tftp_role, CertificateRole::kTftp);
  EXPECT_TRUE(blank.policy.mixed_mode);
  EXPECT_EQ(blank.policy.organization, "Example");
  EXPECT_EQ(blank.policy.organizational_unit, "Phones");
  ASSERT_OK(write(false, "two"));
  EXPECT_EQ(read().blank_by, "");
  EXPECT_FALSE(read().blank_since.has_value());
  // The first that makes a policy decides it.
  EXPECT_THAT(InStore([](Connection&, ListStore& store) { return store.CreatePolicy(TestListPolicy()); }),
              IsOkAndHolds(false));
  EXPECT_EQ(read().policy.recovery_years, 10);
}

}  // namespace
}  // namespace trustline
