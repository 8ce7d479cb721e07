#include "cli/trustctl/list_fetch.h"

#include <curl/curl.h>

#include <array>
#include <memory>

#include "common/net/ip_address.h"
#include "common/status/status.h"

namespace trustline {
namespace {

constexpr uint16_t kTftpPort = 69;
constexpr uint16_t kHttpPort = 6970;
constexpr long kHttpOk = 200;
constexpr long kHttpRedirections = 300;
constexpr long kHttpNotFound = 404;
constexpr long kHttpGone = 410;

struct CurlCleanup {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using CurlPtr = std::unique_ptr<CURL, CurlCleanup>;

// What has come so far.
struct Received {
  std::string bytes;
  size_t most_bytes = 0;
  bool too_large = false;
};

// libcurl's CURLOPT_WRITEFUNCTION: fewer bytes than there are end the transfer.
size_t Take(const char* data, size_t size, size_t count, void* user) {
  Received& received = *static_cast<Received*>(user);
  const size_t length = size * count;
  if (length > received.most_bytes - received.bytes.size()) {
    received.too_large = true;
    return 0;
  }
  received.bytes.append(data, length);
  return length;
}

absl::Status TooLarge(const std::string& url, const FetchLimits& limits) {
  return InvalidArgument("{} is larger than {} bytes, so that it is no trust list, and no more of it was read", url,
                         limits.most_bytes);
}

absl::Status HttpStatusError(const std::string& url, long status) {
  if (status == kHttpNotFound || status == kHttpGone) return NotFound("{}: the server has no such file", url);
  if (status >= kHttpRedirections && status < 400) {
    return FailedPrecondition(
        "{}: the server sends elsewhere (HTTP {}), which is not followed: name the host that has "
        "the files",
        url, status);
  }
  return FailedPrecondition("{}: the server answered HTTP {} instead of the file", url, status);
}

absl::Status TransferError(const std::string& url, const ListSource& source, const FetchLimits& limits, CURLcode code,
                           std::string_view detail) {
  // Of TFTP the detail is about sockets, whatever the matter is.
  const std::string why(source.http && !detail.empty() ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_TFTP_NOTFOUND:
      return NotFound("{}: the server has no such file", url);
    case CURLE_FILESIZE_EXCEEDED:
      return TooLarge(url, limits);
    case CURLE_TFTP_PERM:
      return FailedPrecondition("{}: the server does not give the file out (access violation)", url);
    case CURLE_TFTP_ILLEGAL:
    case CURLE_TFTP_UNKNOWNID:
      return FailedPrecondition("{}: what answers there is no TFTP server of files: {}", url, why);
    case CURLE_COULDNT_RESOLVE_HOST:
      return Unavailable("{}: the host's name is not known: {}", url, why);
    case CURLE_OPERATION_TIMEDOUT:
      return DeadlineExceeded("{}: no whole answer in time: {}", url,
                              source.http ? "is the server up, and this its port?"
                                          : "does a firewall keep TFTP (UDP, also from other ports than 69) back? Call "
                                            "managers serve the same files over HTTP: try --http");
    default:
      return Unavailable("{}: {}", url, why);
  }
}

}  // namespace

std::string ListSource::Url(std::string_view file_name) const {
  const uint16_t usual = http ? kHttpPort : kTftpPort;
  return fmt::format("{}://{}/{}", http ? "http" : "tftp", EndpointText(host, port == 0 ? usual : port), file_name);
}

absl::StatusOr<std::string> FetchListFile(const ListSource& source, std::string_view file_name,
                                          const FetchLimits& limits) {
  if (!IsHost(source.host)) {
    return InvalidArgument("'{}' is no host: give a name or an address, without port or brackets", source.host);
  }
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const CurlPtr curl(ready == CURLE_OK ? curl_easy_init() : nullptr);
  if (curl == nullptr) return Internal("libcurl cannot be started");

  const std::string url = source.Url(file_name);
  const char* const protocol = source.http ? "http" : "tftp";
  Received received{.most_bytes = limits.most_bytes};
  std::array<char, CURL_ERROR_SIZE> detail = {};
  CURLcode code = CURLE_OK;
  const auto set = [&](CURLoption option, auto value) {
    if (code == CURLE_OK) code = curl_easy_setopt(curl.get(), option, value);
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, protocol);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  // The environment's proxies are for the Internet, and would see and could change the lists.
  set(CURLOPT_PROXY, "");
  // Blocks of 512 bytes do for 64 kB, and old servers know no options (RFC 2347).
  set(CURLOPT_TFTP_NO_OPTIONS, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(limits.connect)));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(absl::ToInt64Milliseconds(limits.whole)));
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limits.most_bytes));
  set(CURLOPT_USERAGENT, "trustctl");
  set(CURLOPT_ERRORBUFFER, detail.data());
  set(CURLOPT_WRITEFUNCTION, &Take);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&received));
  if (code != CURLE_OK) return Internal("libcurl cannot do this: {}", curl_easy_strerror(code));

  code = curl_easy_perform(curl.get());
  long status = 0;
  if (source.http) curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  // Of an answer that is no file, the body does not matter.
  if (status != 0 && status != kHttpOk) return HttpStatusError(url, status);
  if (received.too_large) return TooLarge(url, limits);
  if (code != CURLE_OK) return TransferError(url, source, limits, code, detail.data());
  return std::move(received.bytes);
}

}  // namespace trustline
