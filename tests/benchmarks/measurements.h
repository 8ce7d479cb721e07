// The measurements, in the order of the table. Each returns an error only when something did not work; figures that are
// not as wanted are lines of the report.
#pragma once

#include "absl/status/status.h"
#include "tests/benchmarks/benchmark_site.h"
#include "tests/benchmarks/report.h"

namespace trustline {

// Full and resumed handshakes with a verify question each, against a bare OpenSSL server. Must run while this process
// has one thread: it forks the bare server.
absl::Status MeasureHandshakes(const BenchmarkSite& site, Report& report);

// gRPC Verify against the health service's Check of the same server.
absl::Status MeasureGrpc(const BenchmarkSite& site, Report& report);

// A snapshot's look-up inside the process, without the hash.
absl::Status MeasureLookUp(const BenchmarkSite& site, Report& report);

// Honest clients beside 10,000 connections that send nothing.
absl::Status MeasureSilentConnections(const BenchmarkSite& site, Report& report);

// Start and size of a node.
absl::Status MeasureStart(const BenchmarkSite& site, Report& report);

// From a change's commit to the answer of a second node.
absl::Status MeasureChanges(const BenchmarkSite& site, Report& report);

// Questions while PostgreSQL is killed and started again.
absl::Status MeasureDatabaseKill(const BenchmarkSite& site, Report& report);

}  // namespace trustline
