// Where the service manager puts a service's credentials: systemd.exec(5), LoadCredential=.
#pragma once

#include <cstdlib>
#include <string>

namespace trustline {

// Empty when it gave none.
inline std::string CredentialsDirectory() {
  const char* const directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory == nullptr ? "" : directory;
}

}  // namespace trustline
