// What nearly every command of trustctl reads, of which the command line is the most; compiled once for all of them.
#pragma once

#include <CLI/CLI.hpp>

#include "common/precompiled.h"
#include "proto/enrolment.grpc.pb.h"
#include "proto/phone_trust.grpc.pb.h"
#include "proto/plan.grpc.pb.h"
#include "proto/trust_list.grpc.pb.h"
#include "proto/trust_store.grpc.pb.h"
