#include "common/rpc/server.h"

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/rpc/authority_fetch.h"
#include "common/rpc/authorization.h"
#include "common/rpc/rpc_testing.h"
#include "common/x509/openssl_error.h"
#include "proto/trust_store.grpc.pb.h"

namespace trustline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

constexpr std::string_view kServerUri = "trustline:default/tvsd/node1";
constexpr std::string_view kClientUri = "trustline:default/person/admin";

int ConnectTo(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// The version that a plain OpenSSL client, allowed `most` at most and every suite of it, gets from the server.
absl::StatusOr<std::string> NegotiatedVersion(uint16_t port, const IdentityFiles& files, int most) {
  const OpenSslErrorScope errors;
  const SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context.get(), most);
  SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str());
  SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM);
  const SslPtr ssl(SSL_new(context.get()));
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), http2, sizeof(http2));
  const int fd = ConnectTo(port);
  SSL_set_fd(ssl.get(), fd);
  // With TLS 1.3 a client has connected before the server has looked at its certificate; the first bytes (HTTP/2
  // SETTINGS) come after that.
  char first = 0;
  const bool connected = SSL_connect(ssl.get()) == 1 && SSL_read(ssl.get(), &first, 1) == 1;
  close(fd);
  if (!connected) return Unavailable("{}", DrainOpenSslErrors());
  return std::string(SSL_get_version(ssl.get()));
}

class ServerTest : public testing::Test {
 protected:
  uint16_t Start(ClientCertificate client_certificate, const IdentityFiles& files) {
    absl::StatusOr<std::unique_ptr<RpcServer>> server =
        RpcServer::Start({.identity = files, .client_certificate = client_certificate}, {&service_}, health_);
    EXPECT_OK(server);
    if (!server.ok()) return 0;
    server_ = *std::move(server);
    return server_->port();
  }
  uint16_t Start(ClientCertificate client_certificate = ClientCertificate::kRequired) {
    return Start(client_certificate, server_identity_.files());
  }

  const IdentityAuthority authority_ = *IdentityAuthority::Create(absl::Now());
  TestIdentity server_identity_{authority_, kServerUri};
  TestIdentity client_identity_{authority_, kClientUri};
  EchoService service_;
  Health health_;
  std::unique_ptr<RpcServer> server_;
};

TEST_F(ServerTest, KnowsTheCallerByItsCertificate) {
  EXPECT_THAT(CallEcho(Start(), client_identity_.files()), IsOkAndHolds(kClientUri));
}

TEST_F(ServerTest, SpeaksTls13Only) {
  const uint16_t port = Start();
  EXPECT_THAT(NegotiatedVersion(port, client_identity_.files(), TLS1_3_VERSION), IsOkAndHolds("TLSv1.3"));
  EXPECT_THAT(NegotiatedVersion(port, client_identity_.files(), TLS1_2_VERSION), StatusIs(kUnavailable));
}

TEST_F(ServerTest, AClientSpeaksTls13Only) {
  // A server that would be glad to speak TLS 1.2, if only it were offered a suite.
  for (const int most : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const OpenSslErrorScope errors;
    const SslCtxPtr context(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_max_proto_version(context.get(), most);
    SSL_CTX_use_certificate_chain_file(context.get(), server_identity_.files().certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context.get(), server_identity_.files().key.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_set_alpn_select_cb(
        context.get(),
        [](SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char*, unsigned int, void*) {
          *chosen = reinterpret_cast<const unsigned char*>("h2");
          *length = 2;
          return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(listen(listener, 1), 0);
    ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
        OpenChannel(fmt::format("127.0.0.1:{}", ntohs(address.sin_port)), client_identity_.files(), "tvsd");
    ASSERT_OK(channel);
    // The call only drives the connection: the server below ends with the handshake.
    std::thread call([&channel] { EXPECT_THAT(CallEcho(*channel), StatusIs(kUnavailable)); });
    const int fd = accept(listener, nullptr, nullptr);
    const SslPtr ssl(SSL_new(context.get()));
    SSL_set_fd(ssl.get(), fd);
    const int accepted = SSL_accept(ssl.get());
    EXPECT_EQ(accepted == 1, most == TLS1_3_VERSION) << DrainOpenSslErrors();
    shutdown(fd, SHUT_RDWR);
    close(fd);
    close(listener);
    call.join();
  }
}

TEST_F(ServerTest, RefusesTheIdentityOfAnotherAuthority) {
  const IdentityAuthority other = *IdentityAuthority::Create(absl::Now());
  TestIdentity stranger(other, kClientUri);
  const uint16_t port = Start();
  // The stranger does not trust the server either.
  EXPECT_THAT(CallEcho(port, stranger.files()), StatusIs(kUnavailable));
  // Nor does the server trust a stranger who asks nothing.
  EXPECT_THAT(NegotiatedVersion(port, stranger.files(), TLS1_3_VERSION), StatusIs(kUnavailable));
  EXPECT_THAT(NegotiatedVersion(port, client_identity_.files(), TLS1_3_VERSION), IsOkAndHolds("TLSv1.3"));
}

TEST_F(ServerTest, RefusesAnExpiredIdentity) {
  TestIdentity expired(authority_, kClientUri, -absl::Minutes(1));
  EXPECT_THAT(CallEcho(Start(), expired.files()), StatusIs(kUnavailable));
}

TEST_F(ServerTest, RefusesACallerWithoutCertificateUnlessOptional) {
  const IdentityFiles none = {.authority = client_identity_.files().authority};
  EXPECT_THAT(CallEcho(Start(ClientCertificate::kRequired), none), StatusIs(kUnavailable));
  server_.reset();
  // The connection stands, but the method is not for anyone.
  EXPECT_THAT(CallEcho(Start(ClientCertificate::kOptional), none), StatusIs(absl::StatusCode::kUnauthenticated));
}

TEST_F(ServerTest, OptionalDoesNotMeanUnchecked) {
  const uint16_t port = Start(ClientCertificate::kOptional);
  TestIdentity expired(authority_, kClientUri, -absl::Minutes(1));
  EXPECT_THAT(CallEcho(port, expired.files()), StatusIs(kUnavailable));
  EXPECT_THAT(CallEcho(port, client_identity_.files()), IsOkAndHolds(kClientUri));
}

TEST_F(ServerTest, AClientRefusesAServiceOfAnotherKind) {
  const uint16_t port = Start();
  EXPECT_THAT(CallEcho(port, client_identity_.files(), "itld"), StatusIs(kUnavailable, HasSubstr("itld at 127.0.0.1")));
  TestIdentity person(authority_, "trustline:default/person/mallory");
  server_.reset();
  EXPECT_THAT(CallEcho(Start(ClientCertificate::kRequired, person.files()), client_identity_.files()),
              StatusIs(kUnavailable));
}

TEST_F(ServerTest, SaysWhoDoesNotAnswer) {
  const uint16_t port = Start();
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_THAT(
      CallEcho(port, client_identity_.files()),
      StatusIs(kUnavailable, HasSubstr(fmt::format("tvsd at 127.0.0.1:{} does not answer: is it running", port))));
}

TEST_F(ServerTest, SaysThatACallIsNotKnown) {
  EXPECT_THAT(ToAbsl(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""), "itld", "127.0.0.1:9442"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("same version")));
}

TEST_F(ServerTest, TakesRenewedFilesWithoutARestart) {
  const uint16_t port = Start();
  EXPECT_OK(CallEcho(port, client_identity_.files()));
  const IdentityAuthority other = *IdentityAuthority::Create(absl::Now());
  server_identity_.Write(other, kServerUri);
  TestIdentity client_of_other(other, "trustline:default/person/new");
  absl::StatusOr<std::string> answer;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  do {
    answer = CallEcho(port, client_of_other.files());
  } while (!answer.ok() && absl::Now() < deadline);
  EXPECT_THAT(answer, IsOkAndHolds("trustline:default/person/new"));
}

TEST_F(ServerTest, TellsAJoiningMachineItsAuthority) {
  const std::string address = fmt::format("127.0.0.1:{}", Start(ClientCertificate::kOptional));
  EXPECT_THAT(FetchAuthority(address, authority_.certificate().sha256()), IsOkAndHolds(authority_.certificate()));
  EXPECT_THAT(FetchAuthority(address, Sha256(AsBytes("another"))),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("none of its certificates")));
  EXPECT_THAT(FetchAuthority("127.0.0.1", Sha256Digest{}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServerTest, NamesAPortThatIsTaken) {
  const uint16_t port = Start();
  EXPECT_THAT(
      RpcServer::Start({.port = port, .identity = server_identity_.files()}, {}, health_),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr(fmt::format("cannot listen on 127.0.0.1 port {} for gRPC: Address already in use", port))));
  EXPECT_THAT(RpcServer::Start({.address = "nowhere", .identity = server_identity_.files()}, {}, health_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'nowhere' is not an IP address")));
}

// One call of a method by its path, with bytes for messages.
grpc::Status CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method, std::string* answer) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  grpc::CompletionQueue queue;
  grpc::ByteBuffer request, response;
  grpc::Slice empty;
  request = grpc::ByteBuffer(&empty, 1);
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call =
      stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  std::vector<grpc::Slice> slices;
  if (status.ok() && response.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) answer->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return status;
}

TEST_F(ServerTest, TheStandardHealthServiceFollowsReadiness) {
  const uint16_t port = Start(ClientCertificate::kOptional);
  const std::string address = fmt::format("127.0.0.1:{}", port);
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<grpc::Channel> channel, OpenChannel(address, client_identity_.files(), "tvsd"));
  auto serving = [&channel] {
    std::string answer;
    EXPECT_TRUE(CallRaw(channel, "/grpc.health.v1.Health/Check", &answer).ok());
    return answer == std::string("\x08\x01", 2);  // status: SERVING
  };
  EXPECT_FALSE(serving());
  health_.SetStarted();
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  bool seen = false;
  while (!(seen = serving()) && absl::Now() < deadline) {
  }
  EXPECT_TRUE(seen);
  // Without an identity neither health nor reflection says anything.
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<grpc::Channel> anonymous,
                       OpenChannel(address, {.authority = client_identity_.files().authority}, "tvsd"));
  std::string answer;
  for (const char* method :
       {"/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}) {
    EXPECT_EQ(CallRaw(anonymous, method, &answer).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
}

// Holds its callers as a handler does that waits for a stream's first message.
class StreamService final : public v1::TrustStore::Service {
 public:
  grpc::Status Add(grpc::ServerContext* /*context*/,
                   grpc::ServerReaderWriter<v1::AddResponse, v1::AddRequest>* stream) override {
    v1::AddRequest request;
    ++started;
    stream->Read(&request);
    return grpc::Status::OK;
  }
  std::atomic<int> started{0};
};

// Admits anyone by its option.
class JoinService final : public v1::Node::Service {
 public:
  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* /*request*/,
                    v1::JoinResponse* /*response*/) override {
    EXPECT_FALSE(PeerIdentity(*context).ok());
    return grpc::Status::OK;
  }
};

TEST_F(ServerTest, WithoutAnIdentityOnlyMethodsForAnyoneAreReached) {
  StreamService streams;
  JoinService joins;
  std::mutex mutex;
  std::map<std::string, int> refused;
  constexpr int kThreads = 4;
  ASSERT_OK_AND_ASSIGN(server_, RpcServer::Start({.identity = server_identity_.files(),
                                                  .client_certificate = ClientCertificate::kOptional,
                                                  .max_threads = kThreads,
                                                  .on_no_identity =
                                                      [&](std::string_view method) {
                                                        const std::lock_guard lock(mutex);
                                                        ++refused[std::string(method)];
                                                      }},
                                                 {&service_, &streams, &joins}, health_));
  const std::string address = fmt::format("127.0.0.1:{}", server_->port());
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<grpc::Channel> anonymous,
                       OpenChannel(address, {.authority = client_identity_.files().authority}, "tvsd"));
  // More streams that send nothing than the server has threads: each is refused, none takes one.
  for (int i = 0; i < 2 * kThreads; ++i) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const auto stream = v1::TrustStore::NewStub(anonymous)->Add(&context);
    v1::AddResponse response;
    EXPECT_FALSE(stream->Read(&response));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(streams.started, 0);
  std::string answer;
  for (const char* method : {"/trustline.v1.Verification/GetNodeStatus", "/trustline.v1.Node/CreateToken",
                             "/trustline.v1.Node/Absent", "/trustline.v1.Node/Join/", "/trustline.v1."}) {
    EXPECT_EQ(CallRaw(anonymous, method, &answer).error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
  EXPECT_THAT(refused, ElementsAre(Pair("Node.CreateToken", 1), Pair("TrustStore.Add", 2 * kThreads),
                                   Pair("Verification.GetNodeStatus", 1), Pair("unknown method", 3)));
  EXPECT_TRUE(CallRaw(anonymous, "/trustline.v1.Node/Join", &answer).ok());
  EXPECT_THAT(CallEcho(server_->port(), client_identity_.files()), IsOkAndHolds(kClientUri));
}

TEST(StatusConversionTest, KeepsCodesAndWords) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "words");
    EXPECT_EQ(ToAbsl(ToGrpc(status)), status);
  }
  EXPECT_OK(ToAbsl(grpc::Status::OK));
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_THAT(ToAbsl(grpc::Status(grpc::StatusCode::DO_NOT_USE, "odd")), StatusIs(absl::StatusCode::kUnknown));
}

}  // namespace
}  // namespace trustline
