// The gRPC service Listeners (proto/listener.proto) of any daemon that phones talk to.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/device/certificate_role.h"
#include "common/rpc/authorization.h"
#include "common/rpc/method_policy.h"
#include "common/service/audit.h"
#include "common/service/clock.h"
#include "common/service/listener_files.h"
#include "common/service/metrics.h"
#include "common/x509/certificate.h"
#include "common/x509/private_key.h"
#include "proto/listener.grpc.pb.h"

namespace trustline {

// A listener as its daemon has it. The functions are called one at a time, from any thread.
struct ManagedListener {
  std::string name;  // "[::]:2445"
  std::string cluster;
  CertificateRole role;  // in which phones are to trust its certificate
  ListenerFiles files;
  std::vector<Certificate> chain;  // the present one, as LoadListenerCredentials gave it

  // OK when the trust store of its cluster vouches for the certificate; else what to do.
  std::function<absl::Status(const Certificate& certificate)> admit;
  // A self-signed successor of the present certificate for a new key.
  std::function<absl::StatusOr<Certificate>(const Certificate& present, const PrivateKey& key, absl::Time now)> renew;
  // Makes everything ready; what it returns presents them from the next handshake on, and cannot fail.
  std::function<absl::StatusOr<std::function<void()>>(const ListenerCredentials& credentials)> prepare;
};

// What an administrator wants listeners with the same files to present from now on.
struct Presentation {
  std::vector<std::string> listeners;  // their names
  std::vector<std::string> clusters;   // whose phones talk to them; each once
  const Certificate& certificate;
  std::string ordered_by;  // identity URI
  v1::Caution caution;
  const grpc::ServerContext* call = nullptr;  // that orders it: whoever judges ends with it
};
// OK when the phones of all its clusters bear it, or its caution says so; fills in what it means for them. With
// caution.plan() OK in either case.
using PresentationGuard = std::function<absl::Status(
    const Presentation& presentation, google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights)>;

struct ListenerServiceParts {
  Authorizer& authorizer;
  AuditQueue& audit;  // takes listener.request, listener.import and listener.restore, done and refused
  const Clock& clock;
  Metrics& metrics;
  PresentationGuard guard;  // empty where no phone asks a listener about the signers of its lists
};

// Thread-safe; one change at a time. What the parts and the listeners' functions refer to must outlive it. A change is
// made for all listeners with the same files or for none, and nothing that a peer sees depends on it before the files
// are replaced. Metric: trustline_listener_certificate_not_after_seconds{cluster,listener}.
class ListenerService final : public v1::Listeners::Service {
 public:
  static absl::StatusOr<std::unique_ptr<ListenerService>> Create(const ListenerServiceParts& parts,
                                                                 std::vector<ManagedListener> listeners);

  grpc::Status ListListeners(grpc::ServerContext* context, const v1::ListListenersRequest* request,
                             v1::ListListenersResponse* response) override;
  grpc::Status RequestListenerCertificate(grpc::ServerContext* context,
                                          const v1::RequestListenerCertificateRequest* request,
                                          v1::RequestListenerCertificateResponse* response) override;
  grpc::Status ImportListenerCertificate(grpc::ServerContext* context,
                                         const v1::ImportListenerCertificateRequest* request,
                                         v1::ImportListenerCertificateResponse* response) override;
  grpc::Status RestoreListenerCertificate(grpc::ServerContext* context,
                                          const v1::RestoreListenerCertificateRequest* request,
                                          v1::RestoreListenerCertificateResponse* response) override;

 private:
  struct Policies {
    MethodPolicy list, request, import_certificate, restore;
  };
  // The listeners with the same files. They do not change after Create; the rest changes under both mutexes.
  struct Group {
    std::vector<ManagedListener> listeners;
    std::vector<Gauge*> ends;
    std::vector<Certificate> chain;
    std::optional<Certificate> previous;
    struct RequestedKey {
      std::string kind;
      Sha256Digest sha256 = {};  // of its SubjectPublicKeyInfo
    };
    std::optional<RequestedKey> requested;  // the key that waits for its certificate
  };

  ListenerService(const ListenerServiceParts& parts, Policies policies)
      : parts_(parts), policies_(std::move(policies)) {}

  void Add(ManagedListener listener);
  absl::StatusOr<Group*> Find(const std::string& wanted);
  static std::string NamesOf(const Group& group);
  template <typename Response>
  void Describe(const Group& group, Response& response) const;

  // Asks the authorizer, then runs `change(group, event)` and records `event` with what became of it, unless it answers
  // false: it was planned only.
  template <typename Request, typename Response, typename Body>
  grpc::Status Change(const grpc::ServerContext& context, const MethodPolicy& policy, std::string action,
                      const Request& request, Response& response, Body change);

  absl::Status MakeRequest(Group& group, const v1::RequestListenerCertificateRequest& request,
                           v1::RequestListenerCertificateResponse& response, AuditEvent& event);
  absl::StatusOr<bool> Import(const grpc::ServerContext& context, Group& group,
                              const v1::ImportListenerCertificateRequest& request,
                              v1::ImportListenerCertificateResponse& response, AuditEvent& event);
  absl::StatusOr<bool> Restore(const grpc::ServerContext& context, Group& group,
                               const v1::RestoreListenerCertificateRequest& request,
                               v1::RestoreListenerCertificateResponse& response, AuditEvent& event);

  absl::Status Judge(const grpc::ServerContext& context, const Group& group, const Certificate& certificate,
                     const v1::Caution& caution, const std::string& ordered_by,
                     google::protobuf::RepeatedPtrField<v1::ListenerPreFlight>& preflights);
  // Puts the credentials in force for the group once `replace_files` has succeeded; false when it was planned only.
  template <typename Response>
  absl::StatusOr<bool> Present(const grpc::ServerContext& context, Group& group, const ListenerCredentials& credentials,
                               const v1::Caution& caution, const std::function<absl::Status()>& replace_files,
                               Response& response, AuditEvent& event);

  const ListenerServiceParts parts_;
  const Policies policies_;
  std::mutex changes_mutex_;         // held for a whole change, which may take seconds
  mutable std::mutex groups_mutex_;  // held for moments
  std::vector<Group> groups_;
};

}  // namespace trustline
