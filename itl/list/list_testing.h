// What the tests of trust lists share: certificates that phones accept, and a cluster with lists in a database.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/postgres/transaction.h"
#include "itl/itl_testing.h"
#include "itl/list/list_publisher.h"
#include "itl/list/list_signers.h"
#include "itl/trust_list/reader.h"
#include "itl/trust_store/trust_editor.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/tvs_form.h"

namespace trustline {

// One key for all certificates of a test that need no key of their own.
inline const PrivateKey& SharedRsaKey() {
  static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kRsa2048));
  return *key;
}

// Of the form that phones accept, self-signed with `key`.
inline Certificate MakePhoneFacing(std::string_view common_name,
                                   absl::Time not_after = kTestNow + absl::Hours(24 * 365),
                                   const PrivateKey& key = SharedRsaKey()) {
  CertificateTemplate form = TvsForm("server.example", kTestNow - absl::Hours(24 * 400));
  form.subject = *DistinguishedName::FromAttributes({{"CN", common_name}, {"O", "Example"}, {"OU", "Phones"}});
  form.not_after = not_after;
  return *BuildSelfSigned(form, key);
}

// With a key that no phone knows.
inline Certificate Ed25519Certificate() {
  const PrivateKey key = PrivateKey::FromEvp(EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")));
  X509Ptr odd(X509_dup(MakePhoneFacing("odd").x509()));
  X509_set_pubkey(odd.get(), key.get());
  X509_sign(odd.get(), SharedRsaKey().get(), EVP_sha256());
  return *Certificate::FromX509(odd.get());
}

inline ListPolicy TestListPolicy() {
  ListPolicy policy;
  policy.organization = "Example";
  policy.organizational_unit = "Phones";
  return policy;
}

// "SAST CN=recovery,O=Example,OU=Phones": what a list says, in its order.
inline std::vector<std::string> RecordTexts(const TrustList& list) {
  std::vector<std::string> texts;
  for (const TrustListRecord& record : list.records) {
    texts.push_back(fmt::format("{} {}", CertificateRoleName(record.role().value_or(CertificateRole::kAppServer)),
                                record.certificate ? record.certificate->subject().ToText() : "(blank)"));
  }
  return texts;
}

// A cluster's lists, made by the roles that make them, with keys in a folder. The TVS nodes' answer is the test's.
class ListDatabaseTest : public ItlDatabaseTest {
 protected:
  void SetUp() override {
    ItlDatabaseTest::SetUp();
    pool_ = NewPool();
    std::filesystem::create_directory(folder_.path() / "keys");
    std::filesystem::permissions(folder_.path() / "keys", std::filesystem::perms(0700));
    folder_.WriteFile("passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(folder_.path() / "passphrase", std::filesystem::perms(0600));
    keys_ = NewKeys();
    publisher_ = NewPublisher(*pool_, *keys_);
  }

  std::unique_ptr<Pool> NewPool() const {
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_itld");
    return *Pool::Create(options);
  }
  std::unique_ptr<KeyFolder> NewKeys() const {
    return *KeyFolder::Open(folder_.path() / "keys", folder_.path() / "passphrase", {"the lists' keys", "itld"});
  }
  std::unique_ptr<ListPublisher> NewPublisher(Pool& pool, KeyFolder& keys, ListPublisherOptions options = {}) {
    return NewPublisher(pool, keys, options, now_);
  }
  std::unique_ptr<ListPublisher> NewPublisher(Pool& pool, KeyFolder& keys, ListPublisherOptions options,
                                              const Clock& clock) {
    const VouchingCheck vouching = [this](const std::string& cluster, const Certificate& signer,
                                          const std::vector<std::string>& without) {
      const std::lock_guard lock(mutex_);
      EXPECT_EQ(cluster, "default");
      asked_.push_back(signer.subject().ToText());
      without_ = without;
      return vouching_;
    };
    return std::make_unique<ListPublisher>(options, pool, keys, vouching, "trustline:default/itld/node1", clock, log_,
                                           metrics_);
  }
  // What the TVS nodes say of every signer from now on.
  void SetVouching(absl::Status status) {
    const std::lock_guard lock(mutex_);
    vouching_ = std::move(status);
  }

  template <typename Body>
  auto InStore(Body body) {
    return RunInTransaction(*itld_, {}, [&](Connection& connection) {
      ListStore store(connection, 1);
      return body(connection, store);
    });
  }
  // As the service does it.
  void AddServer(const std::string& name, const ListPolicy& first = TestListPolicy()) {
    const TrustStoreCaller actor = caller();
    ASSERT_OK(InStore([&](Connection& connection, ListStore& store) -> absl::Status {
      RETURN_IF_ERROR(store.CreatePolicy(first).status());
      RETURN_IF_ERROR(store.AddServer(name, name + ".example", kTestActor).status());
      ASSIGN_OR_RETURN(const std::vector<StoredSigner> present, store.Signers());
      ListSigners signers(connection, actor, *keys_, now_.Now());
      bool has_own = false;
      for (const StoredSigner& signer : present) has_own = has_own || signer.tftp_server == name;
      if (present.empty()) RETURN_IF_ERROR(signers.MakeRecovery(first, "first").status());
      if (!has_own) RETURN_IF_ERROR(signers.MakeCallManager(first, name, name + ".example", "new").status());
      return store.PutList({.kind = ListKind::kItl, .tftp_server = name, .device = ""}, kTestActor);
    }));
  }

  static PublishOrder Order(std::string reason = "a test") {
    PublishOrder order;
    order.actor = kTestActor;
    order.reason = std::move(reason);
    return order;
  }
  static PublishOrder Approved(std::string reason = "looked at it") {
    PublishOrder order = Order(std::move(reason));
    order.approved = true;
    return order;
  }
  static ListFilter Of(ListKind kind, const std::string& server, const std::string& device = "") {
    return {.kind = kind, .tftp_server = server, .device = device};
  }
  absl::StatusOr<PublishResult> Publish(const PublishOrder& order = Order()) {
    return publisher_->Publish(1, "default", order);
  }
  // Of the cluster's only list.
  ListOutcome Outcome(const PublishOrder& order = Order()) {
    const absl::StatusOr<PublishResult> result = Publish(order);
    EXPECT_OK(result);
    if (!result.ok() || result->lists.size() != 1) {
      ADD_FAILURE() << "not one list";
      return ListOutcome::kRefused;
    }
    return result->lists.front().outcome;
  }
  StoredList List(const ListFilter& filter = {}) {
    const auto lists = InStore([&](Connection&, ListStore& store) { return store.Lists(filter); });
    EXPECT_OK(lists);
    if (lists.ok() && lists->size() == 1) return lists->front();
    ADD_FAILURE() << "not one list";
    return {};
  }
  std::string FileOf(const StoredList& list) {
    const auto found = InStore([&](Connection&, ListStore& store) { return store.FindGeneration(list, 0); });
    EXPECT_OK(found);
    return found.ok() ? found->file : "";
  }
  std::vector<StoredSigner> Signers() {
    const auto signers = InStore([](Connection&, ListStore& store) { return store.Signers(); });
    EXPECT_OK(signers);
    return signers.ok() ? *signers : std::vector<StoredSigner>();
  }
  Certificate Recovery() { return Signers().at(0).certificate; }
  std::string KeyPath(const StoredSigner& signer) const { return folder_.path() / "keys" / (signer.key_name + ".key"); }
  int64_t Generations() { return Count("SELECT count(*) FROM trust_list_generation"); }

  // A listed certificate of a TVS node (or in another role).
  void AddListed(const Certificate& certificate, CertificateRole role = CertificateRole::kTvs) {
    ImportOptions options;
    options.roles = {role};
    options.listed = true;
    ASSERT_OK(Import({certificate}, options));
  }
  void SetListed(const Certificate& certificate, bool listed) {
    TrustChange change;
    change.listed = listed;
    ASSERT_OK(RunInTransaction(*itld_, {}, [&](Connection& connection) {
      return TrustEditor(connection, caller()).Set(PrefixOf(certificate.sha256()), change);
    }));
  }
  // An administrator's order about the CTL alone.
  absl::StatusOr<PublishResult> TurnMixedModeOn() {
    PublishOrder order = Approved();
    order.filter.kind = ListKind::kCtl;
    order.must_publish = true;
    return publisher_->ChangeAndPublish(
        1, "default", order, [](Connection&, ListStore& store, const StoredPolicy& before) -> absl::Status {
          ListPolicy policy = before.policy;
          policy.mixed_mode = true;
          RETURN_IF_ERROR(store.WritePolicy(policy, kTestActor));
          return store.PutList({.kind = ListKind::kCtl, .tftp_server = "", .device = ""}, kTestActor);
        });
  }
  // Whether it becomes so before a deadline.
  static bool Becomes(const std::function<bool()>& state) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    while (!state()) {
      if (absl::Now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }

  const TemporaryDirectory folder_;
  FakeClock now_{kTestNow};
  std::mutex mutex_;
  std::vector<std::string> lines_;  // of the log; with mutex_
  Log log_{LogOptions{.sink = [this](std::string_view line) {
    const std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  }}};
  Metrics metrics_{"itld"};
  absl::Status vouching_;             // with mutex_
  std::vector<std::string> asked_;    // subjects of signers, with mutex_
  std::vector<std::string> without_;  // with mutex_
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<KeyFolder> keys_;
  std::unique_ptr<ListPublisher> publisher_;
};

}  // namespace trustline
