#include "common/net/listener_test_support.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <chrono>

namespace trustline {
namespace {

TestIdentity MakeTestIdentity() {
  TestIdentity identity;
  identity.key.reset(EVP_RSA_gen(2048));
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), identity.key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("listener"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_sign(certificate.get(), identity.key.get(), EVP_sha256());

  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  identity.certificate_pem.assign(text, static_cast<size_t>(size));
  unsigned char* der = nullptr;
  const int der_size = i2d_X509(certificate.get(), &der);
  const OpenSslBytesPtr owned(der);
  identity.certificate_der.assign(reinterpret_cast<const char*>(der), static_cast<size_t>(der_size));
  return identity;
}

sockaddr_storage MakeSockaddr(const std::string& address, uint16_t port, socklen_t& size) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof(v4);
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr), 1);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof(v6);
  }
  return storage;
}

}  // namespace

const TestIdentity& GetTestIdentity() {
  static const TestIdentity identity = MakeTestIdentity();
  return identity;
}

std::shared_ptr<TlsContext> MakeTestTlsContext(TlsContextOptions options) {
  options.certificate_chain_pem = GetTestIdentity().certificate_pem;
  options.private_key = GetTestIdentity().key.get();
  auto context = TlsContext::Create(options);
  EXPECT_TRUE(context.ok()) << context.status();
  return context.ok() ? *context : nullptr;
}

std::string Frame(std::string_view text) { return static_cast<char>(text.size()) + std::string(text); }

bool EchoSession::HasRequest() const {
  return !buffer_.empty() && buffer_.size() > static_cast<unsigned char>(buffer_.front());
}

SessionActions EchoSession::OnBytes(ByteView bytes) {
  buffer_ += AsText(bytes);
  SessionActions actions;
  if (!HasRequest()) return actions;
  if (!behaviour_.outside_work) return Answer();
  actions.wait_for = behaviour_.outside_work;
  return actions;
}

SessionActions EchoSession::Answer() {
  SessionActions actions;
  while (HasRequest()) {
    const size_t size = 1 + static_cast<unsigned char>(buffer_.front());
    for (size_t i = 0; i < behaviour_.answer_repeats; ++i) actions.send.append(buffer_, 0, size);
    buffer_.erase(0, size);
  }
  actions.close = behaviour_.close_after_answer;
  return actions;
}

void EventLog::Add(const ConnectionEvent& event) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({event.kind, event.peer.address, std::string(event.detail)});
  changed_.notify_all();
}

EventLog::Entry EventLog::WaitFor(ConnectionEvent::Kind kind) {
  std::unique_lock lock(mutex_);
  Entry found{kind, "", ""};
  const bool came = changed_.wait_for(lock, std::chrono::seconds(30), [&] {
    for (const Entry& entry : entries_) {
      if (entry.kind != kind) continue;
      found = entry;
      return true;
    }
    return false;
  });
  EXPECT_TRUE(came) << "no event " << ConnectionEventName(kind);
  return found;
}

RawClient RawClient::Connect(uint16_t port, const std::string& address, const std::string& source) {
  socklen_t size = 0;
  sockaddr_storage target = MakeSockaddr(address, port, size);
  RawClient client;
  client.fd_.Reset(socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{30, 0};
  setsockopt(client.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const int on = 1;  // What was sent is there at once, though what was sent before it is not acknowledged yet.
  setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!source.empty()) {
    socklen_t source_size = 0;
    sockaddr_storage from = MakeSockaddr(source, 0, source_size);
    EXPECT_EQ(bind(client.fd(), reinterpret_cast<sockaddr*>(&from), source_size), 0);
  }
  EXPECT_EQ(connect(client.fd(), reinterpret_cast<sockaddr*>(&target), size), 0) << std::strerror(errno);
  return client;
}

void RawClient::Send(std::string_view bytes) { send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }

void RawClient::EndOutput() { shutdown(fd(), SHUT_WR); }

std::string RawClient::ReadExactly(size_t count) {
  std::string bytes(count, '\0');
  size_t have = 0;
  while (have < count) {
    const ssize_t more = recv(fd(), bytes.data() + have, count - have, 0);
    if (more <= 0) break;
    have += static_cast<size_t>(more);
  }
  bytes.resize(have);
  return bytes;
}

std::optional<std::string> RawClient::ReadUntilClosed() {
  std::string bytes;
  char buffer[4'096];
  while (true) {
    const ssize_t count = recv(fd(), buffer, sizeof(buffer), 0);
    if (count > 0) {
      bytes.append(buffer, static_cast<size_t>(count));
    } else if (count < 0 && errno == EAGAIN) {
      return std::nullopt;
    } else {
      return bytes;
    }
  }
}

std::string MakeClientHello() {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  SslPtr ssl(SSL_new(context.get()));
  BIO* output = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), output);
  SSL_connect(ssl.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(output, &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

void ListenerTest::StartWorkers(size_t count) {
  auto workers = IoWorkers::Start(count);
  ASSERT_TRUE(workers.ok()) << workers.status();
  workers_ = *std::move(workers);
}

void ListenerTest::StartServer(StreamServerOptions options, EchoBehaviour behaviour) {
  if (options.tls == nullptr) options.tls = MakeTestTlsContext();
  StartPlainServer(std::move(options), std::move(behaviour));
}

void ListenerTest::StartPlainServer(StreamServerOptions options, EchoBehaviour behaviour) {
  StartServerWith(std::move(options), [this, behaviour = std::move(behaviour)](const Peer&) {
    return std::make_unique<EchoSession>(behaviour, live_sessions_);
  });
}

void ListenerTest::StartServerWith(StreamServerOptions options, SessionFactory factory) {
  if (workers_ == nullptr) StartWorkers();
  ASSERT_NE(workers_, nullptr);
  options.name = "test";
  if (options.address == "::") options.address = "127.0.0.1";
  options.on_event = [this](const ConnectionEvent& event) { events_.Add(event); };
  auto server = StreamServer::Start(*workers_, std::move(options), std::move(factory));
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

}  // namespace trustline
