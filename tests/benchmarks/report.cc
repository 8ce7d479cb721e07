#include "tests/benchmarks/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace trustline {
namespace {

void Print(std::string_view measure, std::string_view figure, std::string_view floor, std::string_view ratio,
           std::string_view wanted, std::string_view met) {
  fmt::print("{:<48} {:>22} {:>22} {:>6}  {:<9} {}\n", measure, figure, floor, ratio, wanted, met);
  std::fflush(stdout);
}

}  // namespace

void Report::Add(const ReportLine& line) {
  if (!begun_) Print("measure", "figure", "floor", "ratio", "wanted", "");
  begun_ = true;
  if (!line.met) ++missed_;
  Print(line.measure, line.figure, line.floor, line.ratio ? fmt::format("{:.2f}", *line.ratio) : "", line.wanted,
        line.wanted.empty() ? ""
        : line.met          ? "met"
                            : "MISSED");
}

void Report::AddAtLeast(std::string measure, std::string figure, std::string floor, double ratio, double wanted) {
  Add({.measure = std::move(measure),
       .figure = std::move(figure),
       .floor = std::move(floor),
       .ratio = ratio,
       .wanted = fmt::format(">= {:.2f}", wanted),
       .met = ratio >= wanted});
}

double Median(std::vector<double> values) { return Percentile(std::move(values), 0.5); }

double Percentile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  const auto rank = static_cast<ptrdiff_t>(std::ceil(part * static_cast<double>(values.size()))) - 1;
  const auto place = values.begin() + std::max<ptrdiff_t>(rank, 0);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

}  // namespace trustline
