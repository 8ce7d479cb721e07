// What the tests of the real itld's trust lists share: a database, a TVS node, and calls as an administrator.
#pragma once

#include <grpcpp/client_context.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/bytes/bytes.h"
#include "common/rpc/channel.h"
#include "common/x509/certificate_builder.h"
#include "common/x509/private_key.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "itl/trust_list/reader.h"
#include "proto/trust_list.grpc.pb.h"
#include "proto/trust_store.grpc.pb.h"
#include "tests/support/itld_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tvs_form.h"

namespace trustline {

inline constexpr char kGenerations[] = "SELECT count(*) FROM trust_list_generation";
inline constexpr char kCandidates[] = "SELECT count(*) FROM trust_list_candidate";

// The gRPC services of one itld.
class ItldClient {
 public:
  static absl::StatusOr<ItldClient> Connect(const ItldSite& site, const DaemonProcess& itld) {
    ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, site.Channel(itld));
    return ItldClient(channel);
  }

  // Call(&v1::TrustLists::Stub::Publish, request, response).
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::TrustLists::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl((lists_.get()->*method)(&context, request, &response));
  }
  absl::StatusOr<v1::AddTftpServerResponse> AddTftpServer() {
    v1::AddTftpServerRequest request;
    request.set_cluster("default");
    request.set_name("tftp1");
    v1::AddTftpServerResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::AddTftpServer, request, response));
    return response;
  }
  absl::StatusOr<v1::PublishResponse> Generate() {
    v1::GenerateRequest request;
    request.set_cluster("default");
    v1::PublishResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::Generate, request, response));
    return response;
  }
  absl::StatusOr<v1::PublishResponse> Publish(const std::string& reason) {
    v1::PublishRequest request;
    request.set_cluster("default");
    request.set_reason(reason);
    v1::PublishResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::Publish, request, response));
    return response;
  }
  absl::StatusOr<v1::PublishResponse> SetBlank(bool on) {
    v1::SetBlankRequest request;
    request.set_cluster("default");
    request.set_on(on);
    request.set_reason("a test");
    v1::PublishResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::SetBlank, request, response));
    return response;
  }
  absl::StatusOr<v1::ReplaceRecoveryResponse> RegenerateRecovery() {
    v1::ReplaceRecoveryRequest request;
    request.set_cluster("default");
    request.set_reason("a new key");
    v1::ReplaceRecoveryResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::ReplaceRecovery, request, response));
    return response;
  }
  absl::StatusOr<v1::TrustListInfo> List() {
    v1::ListTrustListsRequest request;
    request.set_cluster("default");
    v1::ListTrustListsResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::ListTrustLists, request, response));
    return response.lists_size() == 1 ? response.lists(0) : v1::TrustListInfo();
  }
  // 0: the current one.
  absl::StatusOr<v1::FetchGenerationResponse> Fetch(int64_t number = 0) {
    v1::FetchGenerationRequest request;
    request.set_cluster("default");
    request.set_number(number);
    v1::FetchGenerationResponse response;
    RETURN_IF_ERROR(Call(&v1::TrustLists::Stub::FetchGeneration, request, response));
    return response;
  }

  // Into the trust store and, by itself, into the lists.
  absl::Status AddListed(const Certificate& certificate) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    const auto stream = store_->Add(&context);
    v1::AddRequest options, batch;
    options.mutable_options()->set_cluster("default");
    options.mutable_options()->add_roles(v1::CERTIFICATE_ROLE_TVS);
    options.mutable_options()->set_listed(true);
    v1::AddRequest::Certificate& part = *batch.mutable_batch()->add_certificates();
    part.set_der(std::string(AsText(certificate.der())));
    part.set_source("a test");
    if (stream->Write(options) && stream->Write(batch)) stream->WritesDone();
    for (v1::AddResponse response; stream->Read(&response);) {
    }
    return ToAbsl(stream->Finish());
  }
  absl::Status Unlist(const Certificate& certificate) {
    v1::SetRequest request;
    request.set_cluster("default");
    request.set_fingerprint_prefix(ToHex(certificate.sha256()));
    request.set_listed(false);
    v1::SetResponse response;
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return ToAbsl(store_->Set(&context, request, &response));
  }

 private:
  explicit ItldClient(const std::shared_ptr<grpc::Channel>& channel)
      : lists_(v1::TrustLists::NewStub(channel)), store_(v1::TrustStore::NewStub(channel)) {}
  std::unique_ptr<v1::TrustLists::Stub> lists_;
  std::unique_ptr<v1::TrustStore::Stub> store_;
};

// A phone-facing certificate; all have the same key.
inline Certificate NewListable(const std::string& host) {
  static const PrivateKey* const key = new PrivateKey(*PrivateKey::Generate(KeyKind::kRsa2048));
  return *BuildSelfSigned(TvsForm(host, absl::Now()), *key);
}

// Each test ends with a look at everything that was published.
class ItldListTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, ScratchDatabase::Create());
    ASSERT_OK_AND_ASSIGN(superuser_, database_->Connect());
    ASSERT_OK_AND_ASSIGN(site_, ItldSite::Create(*database_));
    // It answers, and changes nothing by itself.
    ASSERT_OK_AND_ASSIGN(reader_process_,
                         site_->StartItld({.node = "reader", .quiet_time = "1h", .plan_interval = "1h"}));
    ASSERT_OK_AND_ASSIGN(reader_, ItldClient::Connect(*site_, *reader_process_));
  }
  void TearDown() override {
    if (!reader_ || HasFatalFailure()) return;
    EXPECT_TRUE(reader_process_->Running());
    ExpectWhole();
  }

  // The first generation of a list, with nothing left to be considered.
  void MakeFirstList() {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<DaemonProcess> itld, site_->StartItld());
    ASSERT_OK_AND_ASSIGN(ItldClient client, ItldClient::Connect(*site_, *itld));
    ASSERT_OK(client.AddTftpServer());
    WaitUntilConsidered();
    ASSERT_EQ(Count(kGenerations), 1);
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
  // Until `happened()`. The test fails after 20 s.
  template <typename Condition>
  static void WaitUntil(Condition happened) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (!happened()) {
      ASSERT_LT(absl::Now(), end);
      absl::SleepFor(absl::Milliseconds(10));
    }
  }
  void WaitUntilConsidered() {
    WaitUntil([&] {
      return Count(
                 "SELECT count(*) FROM trust_list_policy p JOIN cluster c USING (cluster_id) WHERE "
                 "p.considered_commit = c.trust_commit") == 1;
    });
  }

  // Numbers without gap or double, the highest current, each file verified and in the audit log once.
  void ExpectWhole() {
    const int64_t generations = Count(kGenerations);
    EXPECT_EQ(Count("SELECT count(DISTINCT generation) FROM trust_list_generation"), generations);
    EXPECT_EQ(Count("SELECT coalesce(max(generation), 0) FROM trust_list_generation"), generations);
    EXPECT_EQ(Count("SELECT coalesce(max(generation), 0) FROM trust_list"), generations);
    EXPECT_EQ(Count("SELECT count(*) FROM audit_event WHERE action = 'itl.publish'"), generations);
    EXPECT_EQ(Count("SELECT count(DISTINCT subject) FROM audit_event WHERE action = 'itl.publish'"), generations);
    EXPECT_EQ(
        Count("SELECT count(DISTINCT content_sha256) FROM (SELECT content_sha256, lag(content_sha256) OVER (ORDER "
              "BY generation) AS before FROM trust_list_generation) g WHERE content_sha256 = before"),
        0)
        << "a generation that changes nothing";
    for (int64_t number = 1; number <= generations; ++number) ExpectVerified(reader_->Fetch(number));
  }
  static void ExpectVerified(const absl::StatusOr<v1::FetchGenerationResponse>& fetched) {
    ASSERT_OK(fetched);
    ASSERT_OK_AND_ASSIGN(const TrustList list, DecodeTrustList(AsBytes(fetched->file())));
    EXPECT_OK(VerifyTrustList(list));
    EXPECT_EQ(ToHex(Sha256(AsBytes(fetched->file()))), ToHex(AsBytes(fetched->generation().sha256())));
  }
  // Whether the current list has a record of this certificate.
  bool IsInCurrentList(const Certificate& certificate) {
    const auto fetched = reader_->Fetch();
    if (!fetched.ok()) return false;
    const auto list = DecodeTrustList(AsBytes(fetched->file()));
    if (!list.ok()) return false;
    return std::any_of(list->records.begin(), list->records.end(),
                       [&](const TrustListRecord& record) { return record.certificate == certificate; });
  }

  std::unique_ptr<ScratchDatabase> database_;
  std::optional<Connection> superuser_;
  std::unique_ptr<ItldSite> site_;
  std::unique_ptr<DaemonProcess> reader_process_;
  std::optional<ItldClient> reader_;
};

// Fetches the current list again and again, as TFTP servers do.
class ListWatcher {
 public:
  ListWatcher(const ItldSite& site, const DaemonProcess& itld) : client_(*ItldClient::Connect(site, itld)) {
    thread_ = std::thread([this] {
      // Once more after Stop() was called: what is there then is seen.
      for (bool is_last = false; !is_last;) {
        is_last = stopping_;
        auto fetched = client_.Fetch();
        if (!fetched.ok()) {
          failures_.push_back(fetched.status());
        } else if (seen_.empty() || seen_.back().file() != fetched->file()) {
          seen_.push_back(*std::move(fetched));
        }
        absl::SleepFor(absl::Milliseconds(1));
      }
    });
  }
  ~ListWatcher() { Stop(); }

  void Stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // What differed from the one before; after Stop().
  const std::vector<v1::FetchGenerationResponse>& seen() const { return seen_; }
  const std::vector<absl::Status>& failures() const { return failures_; }

 private:
  ItldClient client_;
  std::atomic<bool> stopping_ = false;
  std::vector<v1::FetchGenerationResponse> seen_;
  std::vector<absl::Status> failures_;
  std::thread thread_;
};

}  // namespace trustline
