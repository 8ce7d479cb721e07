#include "common/service/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <variant>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace trustline {

namespace {

struct CounterCallback {
  uint64_t id;
  std::function<double()> read;
};
struct GaugeCallback {
  uint64_t id;
  std::function<double()> read;
};
using Series = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, CounterCallback, GaugeCallback>;

struct MetricGroup {
  std::string help;
  prometheus::MetricType type;
  std::map<MetricLabels, Series> series;
};

prometheus::ClientMetric ReadSeries(const MetricLabels& labels, const Series& series) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&series)) {
    metric.counter.value = static_cast<double>((*counter)->value());
  } else if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&series)) {
    metric.gauge.value = (*gauge)->value();
  } else if (const auto* count = std::get_if<CounterCallback>(&series)) {
    metric.counter.value = count->read();
  } else if (const auto* value = std::get_if<GaugeCallback>(&series)) {
    metric.gauge.value = value->read();
  }
  return metric;
}

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double OpenFiles() {
  std::error_code error;
  double count = 0;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end;
       entry.increment(error)) {
    ++count;
  }
  return std::max(0.0, count - 1);  // without the one that reads the folder
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double FileLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

class Metrics::Impl {
 public:
  template <typename T>
  T& Get(prometheus::MetricType type, std::string_view name, std::string_view help, const MetricLabels& labels) {
    std::lock_guard lock(mutex_);
    MetricGroup& group = Group(type, name, help);
    auto [entry, created] = group.series.try_emplace(labels, std::unique_ptr<T>());
    auto* slot = std::get_if<std::unique_ptr<T>>(&entry->second);
    if (slot == nullptr) {
      // The same series as a callback: the object is kept, but not shown twice under one name.
      return *std::get<std::unique_ptr<T>>(hidden_.emplace_back(std::make_unique<T>()));
    }
    if (*slot == nullptr) *slot = std::make_unique<T>();
    return **slot;
  }

  // The newest callback of a series counts; removing an older one leaves it.
  template <typename Callback>
  uint64_t AddCallback(prometheus::MetricType type, std::string_view name, std::string_view help,
                       const MetricLabels& labels, std::function<double()> read) {
    std::lock_guard lock(mutex_);
    const uint64_t id = next_id_++;
    Group(type, name, help).series.insert_or_assign(labels, Callback{id, std::move(read)});
    return id;
  }

  template <typename Callback>
  void RemoveCallback(const std::string& name, const MetricLabels& labels, uint64_t id) {
    std::lock_guard lock(mutex_);
    auto group = groups_.find(name);
    if (group == groups_.end()) return;
    auto series = group->second.series.find(labels);
    if (series == group->second.series.end()) return;
    const auto* callback = std::get_if<Callback>(&series->second);
    if (callback != nullptr && callback->id == id) group->second.series.erase(series);
  }

  std::string Serialize() {
    std::vector<prometheus::MetricFamily> families;
    std::lock_guard lock(mutex_);
    for (const auto& [name, group] : groups_) {
      if (group.series.empty()) continue;
      prometheus::MetricFamily family;
      family.name = name;
      family.help = group.help;
      family.type = group.type;
      for (const auto& [labels, series] : group.series) family.metric.push_back(ReadSeries(labels, series));
      families.push_back(std::move(family));
    }
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  MetricGroup& Group(prometheus::MetricType type, std::string_view name, std::string_view help) {
    auto group = groups_.find(name);
    if (group == groups_.end()) {
      group = groups_.emplace(std::string(name), MetricGroup{std::string(help), type, {}}).first;
    }
    return group->second;
  }

  std::mutex mutex_;
  std::map<std::string, MetricGroup, std::less<>> groups_;
  std::vector<Series> hidden_;
  uint64_t next_id_ = 1;
};

Metrics::Metrics(std::string_view service) : impl_(std::make_shared<Impl>()) {
  const double start = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  GetGauge("trustline_build_info", "Always 1; the labels say what runs.",
           {{"service", std::string(service)}, {"version", TRUSTLINE_VERSION}})
      .Set(1);
  GetGauge("process_start_time_seconds", "Start of the process in Unix time.").Set(start);
  std::vector<Registration> own;
  own.push_back(AddGaugeCallback("process_resident_memory_bytes", "Resident memory.", {}, ResidentBytes));
  own.push_back(AddGaugeCallback("process_open_fds", "Open file descriptors.", {}, OpenFiles));
  own.push_back(AddGaugeCallback("process_max_fds", "Limit of open file descriptors.", {}, FileLimit));
  own.push_back(AddCounterCallback("process_cpu_seconds_total", "User and system CPU time.", {}, CpuSeconds));
  own_ = std::move(own);
}
Metrics::~Metrics() = default;

Counter& Metrics::GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return impl_->Get<Counter>(prometheus::MetricType::Counter, name, help, labels);
}
Gauge& Metrics::GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return impl_->Get<Gauge>(prometheus::MetricType::Gauge, name, help, labels);
}

Metrics::Registration Metrics::AddCounterCallback(std::string_view name, std::string_view help,
                                                  const MetricLabels& labels, std::function<double()> read) {
  const uint64_t id =
      impl_->AddCallback<CounterCallback>(prometheus::MetricType::Counter, name, help, labels, std::move(read));
  return Registration([impl = std::weak_ptr(impl_), metric = std::string(name), labels, id] {
    if (auto alive = impl.lock()) alive->RemoveCallback<CounterCallback>(metric, labels, id);
  });
}
Metrics::Registration Metrics::AddCounterCallback(std::string_view name, std::string_view help,
                                                  const MetricLabels& labels, const std::atomic<uint64_t>& value) {
  return AddCounterCallback(name, help, labels,
                            [&value] { return static_cast<double>(value.load(std::memory_order_relaxed)); });
}
Metrics::Registration Metrics::AddGaugeCallback(std::string_view name, std::string_view help,
                                                const MetricLabels& labels, std::function<double()> read) {
  const uint64_t id =
      impl_->AddCallback<GaugeCallback>(prometheus::MetricType::Gauge, name, help, labels, std::move(read));
  return Registration([impl = std::weak_ptr(impl_), metric = std::string(name), labels, id] {
    if (auto alive = impl.lock()) alive->RemoveCallback<GaugeCallback>(metric, labels, id);
  });
}

std::string Metrics::Serialize() const { return impl_->Serialize(); }

}  // namespace trustline
