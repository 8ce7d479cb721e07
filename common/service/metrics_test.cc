#include "common/service/metrics.h"

#include "tests/support/status_matchers.h"

namespace trustline {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, CountersAndGauges) {
  Metrics metrics("tvsd");
  Counter& valid = metrics.GetCounter("trustline_verdicts_total", "Verdicts.", {{"verdict", "valid"}});
  valid.Add();
  metrics.GetCounter("trustline_verdicts_total", "Verdicts.", {{"verdict", "valid"}}).Add(2);
  metrics.GetCounter("trustline_verdicts_total", "Verdicts.", {{"verdict", "in\"valid"}}).Add();
  metrics.GetGauge("trustline_depth", "Depth.").Set(2.5);
  EXPECT_EQ(valid.value(), 3u);
  EXPECT_THAT(metrics.Serialize(), AllOf(HasSubstr("# TYPE trustline_verdicts_total counter\n"),
                                         HasSubstr("trustline_verdicts_total{verdict=\"valid\"} 3\n"),
                                         HasSubstr("trustline_verdicts_total{verdict=\"in\\\"valid\"} 1\n"),
                                         HasSubstr("trustline_depth 2.5\n")));
}

TEST(MetricsTest, CallbacksAreAskedWhenReadAndEndWithTheirRegistration) {
  Metrics metrics("tvsd");
  double value = 1;
  {
    Metrics::Registration registration =
        metrics.AddCounterCallback("trustline_asked_total", "Asked.", {}, [&value] { return value; });
    value = 41;
    EXPECT_THAT(metrics.Serialize(), HasSubstr("trustline_asked_total 41\n"));
  }
  EXPECT_THAT(metrics.Serialize(), Not(HasSubstr("trustline_asked_total")));
}

TEST(MetricsTest, DescribesTheProcess) {
  Metrics metrics("tvsd");
  EXPECT_THAT(metrics.Serialize(),
              AllOf(ContainsRegex("process_resident_memory_bytes [1-9]"), ContainsRegex("process_open_fds [1-9]"),
                    ContainsRegex("process_start_time_seconds [1-9]"),
                    ContainsRegex("trustline_build_info\\{service=\"tvsd\",version=\"[0-9.]+\"\\} 1\n")));
}

}  // namespace
}  // namespace trustline
