// The object ids of PostgreSQL's built-in types that we send and read (src/include/catalog/pg_type.dat; fixed for
// good).
#pragma once

#include <cstdint>

namespace trustline::type_oid {

inline constexpr uint32_t kInferred = 0;  // the server decides from the context
inline constexpr uint32_t kBool = 16;
inline constexpr uint32_t kBytea = 17;
inline constexpr uint32_t kChar = 18;
inline constexpr uint32_t kName = 19;
inline constexpr uint32_t kInt8 = 20;
inline constexpr uint32_t kInt2 = 21;
inline constexpr uint32_t kInt4 = 23;
inline constexpr uint32_t kText = 25;
inline constexpr uint32_t kOid = 26;
inline constexpr uint32_t kJson = 114;
inline constexpr uint32_t kFloat4 = 700;
inline constexpr uint32_t kFloat8 = 701;
inline constexpr uint32_t kUnknown = 705;
inline constexpr uint32_t kByteaArray = 1001;
inline constexpr uint32_t kTextArray = 1009;
inline constexpr uint32_t kInt8Array = 1016;
inline constexpr uint32_t kBpchar = 1042;
inline constexpr uint32_t kVarchar = 1043;
inline constexpr uint32_t kTimestamptz = 1184;
inline constexpr uint32_t kJsonb = 3802;

// timestamptz counts microseconds from 2000-01-01 00:00 UTC, which is this many seconds after 1970.
inline constexpr int64_t kPostgresEpochUnixSeconds = 946684800;

}  // namespace trustline::type_oid
