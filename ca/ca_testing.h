// What the tests of ca share: a database with cad's and the superuser's connection, an authority that issues, devices.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/clock.h"
#include "ca/authority/authority_key.h"
#include "ca/authority/authority_store.h"
#include "ca/issuance/issuer.h"
#include "common/postgres/pool.h"
#include "common/postgres/transaction.h"
#include "common/x509/public_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/scratch_database.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temporary_directory.h"

namespace trustline {

inline const char kTestActor[] = "trustline:default/person/admin";

// The SubjectPublicKeyInfo of a new key.
inline std::string NewPublicKeyInfo(KeyKind kind = KeyKind::kEcP256) {
  return PublicKeyInfo::Of(PrivateKey::Generate(kind)->get())->der();
}

class CaDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    PoolOptions options;
    options.connection.conninfo = database_->Conninfo("trustline_cad");
    options.max_connections = 8;
    ASSERT_OK_AND_ASSIGN(pool_, Pool::Create(options));
    std::filesystem::create_directory(folder_.path() / "keys");
    std::filesystem::permissions(folder_.path() / "keys", std::filesystem::perms(0700));
    folder_.WriteFile("passphrase", "correct horse battery staple\n");
    std::filesystem::permissions(folder_.path() / "passphrase", std::filesystem::perms(0600));
    ASSERT_OK_AND_ASSIGN(keys_, AuthorityKeys::Open(folder_.path() / "keys", folder_.path() / "passphrase"));
    authority_id_ = AddAuthority(KeyKind::kEcP256);
    SetState(authority_id_, AuthorityState::kActive);
    RunByHand(
        "INSERT INTO device (cluster_id, name, added_by) VALUES (1, 'SEP001122334455', 'test'), "
        "(1, 'SEP001122334466', 'test')");
  }

  // Self-signed and prepared, without a trust store.
  int32_t AddAuthority(KeyKind kind, absl::Duration lifetime = absl::Hours(24 * 3650)) {
    const std::shared_ptr<const AuthorityKey> key = *keys_->Generate(kind);
    const std::string name = KeyName(key->public_key_sha256());
    CertificateTemplate form;
    form.subject = *DistinguishedName::FromText(fmt::format("CN=LSC {},O=Example,OU=Voice,C=DE", name));
    form.not_before = absl::Now() - absl::Hours(24 * 30);
    form.not_after = absl::Now() + lifetime;
    form.is_ca = true;
    form.path_length = 0;
    form.key_usage = {"digitalSignature", "keyCertSign", "cRLSign"};
    const Certificate certificate = *key->SelfSign(form);
    const absl::StatusOr<int32_t> id =
        RunInTransaction(*pool_, {}, [&](Connection& connection) -> absl::StatusOr<int32_t> {
          AuthorityStore store(connection, 1);
          ASSIGN_OR_RETURN(const Authority authority,
                           store.InsertRequested(name, key->public_key_sha256(), key->kind_text(),
                                                 form.subject.ToText(), kTestActor));
          RETURN_IF_ERROR(store.SetCertificate(authority.id, certificate, {}));
          return authority.id;
        });
    EXPECT_OK(id);
    return id.value_or(0);
  }
  void SetState(int32_t id, AuthorityState state) {
    const auto lease = pool_->Acquire();
    ASSERT_OK(lease);
    ASSERT_OK(AuthorityStore(**lease, 1).SetState(id, state));
  }
  Authority LoadAuthority(int32_t id) {
    const auto lease = pool_->Acquire();
    return *AuthorityStore(**lease, 1).Load(id);
  }

  AuthorityCaller caller() const { return {1, "default", kTestActor}; }
  IssuanceOrder Order(std::string_view device, const std::string& public_key_info) const {
    return {.caller = caller(),
            .device = *DeviceName::Parse(device),
            .public_key = *PublicKeyInfo::FromDer(AsBytes(public_key_info))};
  }

  // As superuser; the first column of the first row.
  int64_t Count(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<int64_t>().value_or(-1) : -1;
  }
  std::string Text(const std::string& sql) {
    const auto result = superuser_->Execute(sql.c_str());
    EXPECT_OK(result);
    return result.ok() ? result->Value<std::string>().value_or("") : "";
  }
  void RunByHand(const std::string& sql) { ASSERT_OK(superuser_->ExecuteScript(sql)); }

  const TemporaryDirectory folder_;
  const SystemClock clock_{};
  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<AuthorityKeys> keys_;
  int32_t authority_id_ = 0;
};

}  // namespace trustline
