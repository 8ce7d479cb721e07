// itld's service of trust lists: it answers what a test has put there, and keeps what it was asked. The tests look at
// it between calls only.
#pragma once

#include <grpcpp/server_context.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes/bytes.h"
#include "common/bytes/sha256.h"
#include "common/x509/pkcs12.h"
#include "proto/trust_list.grpc.pb.h"

namespace trustline {

class FakeTrustLists final : public v1::TrustLists::Service {
 public:
  struct Published {
    v1::Generation generation;
    std::string file;
  };

  // As generation `number` of a list, current until the next one. The hashes but SHA-256 are for show.
  v1::Generation& Add(const std::string& tftp_server, const std::string& device, int64_t number,
                      const std::string& file) {
    return Add(v1::TRUST_LIST_KIND_ITL, tftp_server, device, number, file);
  }
  v1::Generation& AddCtl(int64_t number, const std::string& file) {
    return Add(v1::TRUST_LIST_KIND_CTL, "", "", number, file);
  }
  v1::Generation& Add(v1::TrustListKind kind, const std::string& tftp_server, const std::string& device, int64_t number,
                      const std::string& file) {
    for (Published& other : published) {
      v1::Generation& earlier = other.generation;
      if (earlier.kind() == kind && earlier.tftp_server() == tftp_server && earlier.device() == device) {
        earlier.set_is_current(false);
      }
    }
    v1::Generation generation;
    generation.set_kind(kind);
    generation.set_tftp_server(tftp_server);
    generation.set_device(device);
    generation.set_number(number);
    const Sha256Digest sha256 = Sha256(AsBytes(file));
    generation.set_sha256(std::string(AsText(sha256)));
    generation.set_sha1(std::string(AsText(sha256)).substr(0, 20));
    generation.set_md5(std::string(AsText(sha256)).substr(0, 16));
    generation.set_size(static_cast<int64_t>(file.size()));
    generation.set_is_current(true);
    published.insert(published.begin(), {generation, file});
    return published.front().generation;
  }

  grpc::Status ListTrustLists(grpc::ServerContext*, const v1::ListTrustListsRequest* request,
                              v1::ListTrustListsResponse* response) override {
    listed = *request;
    if (!status.ok()) return status;
    *response = overview;
    for (const Published& entry : published) {
      const v1::Generation& generation = entry.generation;
      if (!generation.is_current() || hidden_server == generation.tftp_server()) continue;
      if (!IsAsked(*request, generation)) continue;
      if (!generation.device().empty() && !request->with_devices()) continue;
      v1::TrustListInfo& list = *response->add_lists();
      list.set_kind(generation.kind());
      list.set_tftp_server(generation.tftp_server());
      list.set_device(generation.device());
      const std::string kind = generation.kind() == v1::TRUST_LIST_KIND_CTL ? "CTL" : "ITL";
      list.set_file_name(kind + (generation.device().empty() ? "File" : generation.device()) + ".tlv");
      *list.mutable_current() = generation;
      if (candidate) *list.mutable_candidate() = *candidate;
    }
    return grpc::Status::OK;
  }

  // Those of all lists, also of those that are made no more, unless one is named. Pages of at most `largest_page`.
  grpc::Status ListGenerations(grpc::ServerContext*, const v1::ListGenerationsRequest* request,
                               v1::ListGenerationsResponse* response) override {
    generations_listed.push_back(*request);
    std::vector<v1::Generation> matching;
    for (const Published& entry : published) {
      const v1::Generation& generation = entry.generation;
      if (!IsAsked(*request, generation)) continue;
      if (!request->device().empty() && request->device() != generation.device()) continue;
      matching.push_back(generation);
    }
    const size_t begin = request->page_token().empty() ? 0 : std::stoul(request->page_token());
    const size_t size = static_cast<size_t>(std::min<int64_t>(request->page_size(), largest_page));
    const size_t end = std::min(matching.size(), begin + size);
    for (size_t i = begin; i < end; ++i) *response->add_generations() = matching[i];
    if (end < matching.size()) response->set_next_page_token(std::to_string(end));
    return grpc::Status::OK;
  }

  grpc::Status FetchGeneration(grpc::ServerContext*, const v1::FetchGenerationRequest* request,
                               v1::FetchGenerationResponse* response) override {
    fetched = *request;
    for (const Published& entry : published) {
      const v1::Generation& generation = entry.generation;
      const std::string& hash = request->hash();
      if (hash.empty()) {
        if (!IsAsked(*request, generation)) continue;
        if (request->device() != generation.device()) continue;
        if (request->number() == 0 ? !generation.is_current() : request->number() != generation.number()) continue;
      } else if (hash != generation.sha256() && hash != generation.sha1() && hash != generation.md5()) {
        continue;
      }
      *response->mutable_generation() = generation;
      response->set_file(entry.file + (alter_files ? "x" : ""));
      response->set_file_name("ITLFile.tlv");
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "there is no such generation: see `trustctl itl history`\x1b[2J"};
  }

  grpc::Status AddTftpServer(grpc::ServerContext*, const v1::AddTftpServerRequest* request,
                             v1::AddTftpServerResponse* response) override {
    server_added = *request;
    response->set_added(true);
    *response->mutable_published() = outcome;
    return status;
  }
  grpc::Status RemoveTftpServer(grpc::ServerContext*, const v1::RemoveTftpServerRequest* request,
                                v1::RemoveTftpServerResponse* response) override {
    server_removed = *request;
    if (preflight) *response->mutable_preflight() = *preflight;
    return status;
  }
  grpc::Status ChangeTrustListPolicy(grpc::ServerContext*, const v1::ChangeTrustListPolicyRequest* request,
                                     v1::ChangeTrustListPolicyResponse* response) override {
    if (preflight) *response->mutable_preflight() = *preflight;
    return Keep(*request, policy_changed, *response->mutable_policy(), overview.policy());
  }
  grpc::Status RecordReading(grpc::ServerContext*, const v1::RecordReadingRequest* request,
                             v1::RecordReadingResponse* response) override {
    reading = *request;
    response->set_devices(100);
    response->set_not_able_sha512(40);
    response->set_not_able_version_1_1(41);
    return status;
  }
  grpc::Status Generate(grpc::ServerContext*, const v1::GenerateRequest* request,
                        v1::PublishResponse* response) override {
    return Keep(*request, generated, *response, outcome);
  }
  grpc::Status SetDeviceList(grpc::ServerContext*, const v1::SetDeviceListRequest* request,
                             v1::PublishResponse* response) override {
    return Keep(*request, device_list, *response, outcome);
  }
  grpc::Status Publish(grpc::ServerContext*, const v1::PublishRequest* request,
                       v1::PublishResponse* response) override {
    return Keep(*request, publish, *response, outcome);
  }
  grpc::Status SetMixedMode(grpc::ServerContext*, const v1::SetMixedModeRequest* request,
                            v1::PublishResponse* response) override {
    return Keep(*request, mixed_mode, *response, outcome);
  }
  grpc::Status SetBlank(grpc::ServerContext*, const v1::SetBlankRequest* request,
                        v1::PublishResponse* response) override {
    return Keep(*request, blank, *response, outcome);
  }
  grpc::Status ResetWithLocalKey(grpc::ServerContext*, const v1::ResetWithLocalKeyRequest* request,
                                 v1::PublishResponse* response) override {
    return Keep(*request, reset, *response, outcome);
  }
  grpc::Status PublishSigned(grpc::ServerContext*, const v1::PublishSignedRequest* request,
                             v1::PublishResponse* response) override {
    if (published_signed.size() == fail_signed_at) return {grpc::StatusCode::UNAVAILABLE, "the database is away"};
    published_signed.push_back(*request);
    *response = outcome;
    return status;
  }
  grpc::Status ExportRecovery(grpc::ServerContext*, const v1::ExportRecoveryRequest* request,
                              v1::ExportRecoveryResponse* response) override {
    if (!status.ok()) return status;
    const auto file =
        WritePkcs12(recovery->certificate, recovery->key,
                    SecretBytes(other_passphrase.empty() ? request->passphrase() : other_passphrase), "ITLRecovery");
    if (!file.ok()) return {grpc::StatusCode::INVALID_ARGUMENT, std::string(file.status().message())};
    response->set_file(*file);
    response->mutable_certificate()->set_subject(recovery->certificate.subject().ToText());
    return grpc::Status::OK;
  }
  grpc::Status ReplaceRecovery(grpc::ServerContext*, const v1::ReplaceRecoveryRequest* request,
                               v1::ReplaceRecoveryResponse* response) override {
    replaced = *request;
    response->mutable_certificate()->set_subject("CN=new recovery");
    response->mutable_replaced()->set_subject("CN=old recovery");
    *response->mutable_published() = outcome;
    if (preflight) *response->mutable_preflight() = *preflight;
    return status;
  }

  grpc::Status status;                     // of calls that change something, and of ListTrustLists
  v1::ListTrustListsResponse overview;     // without the lists, which are those of `published`
  std::optional<v1::Candidate> candidate;  // of every list
  std::vector<Published> published;        // the newest first
  std::string hidden_server = "none";      // was removed: what it had published stays
  int64_t largest_page = 1000;
  bool alter_files = false;
  size_t fail_signed_at = SIZE_MAX;
  v1::PublishResponse outcome;
  std::optional<v1::PreFlight> preflight;  // of responses that have one of their own beside `outcome`
  std::optional<CertifiedKey> recovery;
  std::string other_passphrase;

  v1::ListTrustListsRequest listed;
  std::vector<v1::ListGenerationsRequest> generations_listed;
  v1::FetchGenerationRequest fetched;
  v1::AddTftpServerRequest server_added;
  v1::RemoveTftpServerRequest server_removed;
  v1::ChangeTrustListPolicyRequest policy_changed;
  v1::RecordReadingRequest reading;
  v1::GenerateRequest generated;
  v1::SetDeviceListRequest device_list;
  v1::PublishRequest publish;
  v1::SetMixedModeRequest mixed_mode;
  v1::SetBlankRequest blank;
  v1::ResetWithLocalKeyRequest reset;
  std::vector<v1::PublishSignedRequest> published_signed;
  v1::ReplaceRecoveryRequest replaced;

 private:
  // Of the kind and server that a request names, or all.
  template <typename Request>
  static bool IsAsked(const Request& request, const v1::Generation& generation) {
    return (request.kind() == v1::TRUST_LIST_KIND_UNSPECIFIED || request.kind() == generation.kind()) &&
           (request.tftp_server().empty() || request.tftp_server() == generation.tftp_server());
  }

  template <typename Request, typename Response>
  grpc::Status Keep(const Request& request, Request& kept, Response& response, const Response& answer) const {
    kept = request;
    response = answer;
    return status;
  }
};

}  // namespace trustline
