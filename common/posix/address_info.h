// The list that getaddrinfo(3) returns.
#pragma once

#include <netdb.h>

#include <memory>

namespace trustline {

struct AddressInfoFree {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
using AddressInfoPtr = std::unique_ptr<addrinfo, AddressInfoFree>;

}  // namespace trustline
