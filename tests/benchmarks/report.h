// The table that the benchmark prints.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace trustline {

struct ReportLine {
  std::string measure;
  std::string figure;
  std::string floor;            // what the figure is compared with, where there is such a thing
  std::optional<double> ratio;  // figure to floor
  std::string wanted;
  bool met = true;
};

// Prints each line as it comes.
class Report {
 public:
  void Add(const ReportLine& line);

  // For figures that are wanted to be at least so large a part of their floor.
  void AddAtLeast(std::string measure, std::string figure, std::string floor, double ratio, double wanted);

  size_t missed() const { return missed_; }

 private:
  bool begun_ = false;
  size_t missed_ = 0;
};

double Median(std::vector<double> values);
// `part` 0.99 is the 99th percentile: the least value that so large a part does not exceed.
double Percentile(std::vector<double> values, double part);

}  // namespace trustline
