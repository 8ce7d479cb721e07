// Metrics in the text format of Prometheus. Values are plain atomics; everything else happens when they are read.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trustline {

using MetricLabels = std::map<std::string, std::string>;

// Only grows.
class Counter {
 public:
  void Add(uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// The registry of a process. Safe to use from any thread. Counters and gauges live as long as it does; the
// same name and labels give the same object. Names follow Prometheus: "trustline_tvs_verdicts_total", base units.
class Metrics {
 public:
  // Adds the metrics of the process itself (process_* and trustline_build_info{service, version}).
  explicit Metrics(std::string_view service);
  ~Metrics();

  Counter& GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Gauge& GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});

  // Values asked for when the metrics are read, so that a subsystem keeps its own atomics. The object that `read`
  // refers to must outlive the registry, or be removed before by the Registration's end.
  class Registration {
   public:
    Registration() = default;
    explicit Registration(std::function<void()> remove) : remove_(std::move(remove)) {}
    Registration(Registration&& other) noexcept { *this = std::move(other); }
    Registration& operator=(Registration&& other) noexcept {
      if (this != &other) {
        if (remove_) remove_();
        remove_ = std::exchange(other.remove_, nullptr);
      }
      return *this;
    }
    ~Registration() {
      if (remove_) remove_();
    }

   private:
    std::function<void()> remove_;
  };
  [[nodiscard]] Registration AddCounterCallback(std::string_view name, std::string_view help,
                                                const MetricLabels& labels, std::function<double()> read);
  [[nodiscard]] Registration AddCounterCallback(std::string_view name, std::string_view help,
                                                const MetricLabels& labels, const std::atomic<uint64_t>& value);
  [[nodiscard]] Registration AddGaugeCallback(std::string_view name, std::string_view help, const MetricLabels& labels,
                                              std::function<double()> read);

  std::string Serialize() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
  std::vector<Registration> own_;
};

}  // namespace trustline
