// Where gRPC's own messages go. It would write them to stderr in a form of its own.
#pragma once

#include "common/service/log.h"

namespace trustline {

// For the whole process, from now on: to `log` as GRPC_MESSAGE (errors as warnings: they are mostly about peers), or
// nowhere when it is null. A log must be taken back by another call before it ends.
void SendGrpcMessagesTo(Log* log);

}  // namespace trustline
