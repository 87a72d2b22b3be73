#include "bench/race.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/cpu.h"
#include "base/error.h"
#include "base/statistics.h"
#include "base/work_observer.h"
#include "bench/batch_search.h"

namespace blockformer {
namespace {

constexpr int64_t kSearchDepths = 4;
// The share of the available memory that a model's run is planned to take; the rest is for what a
// run needs besides, and for other programs.
constexpr double kMemoryShare = 0.75;

ThroughputSetting SettingOf(const RaceOptions& options, int64_t batch) {
  return {batch, options.prompt, options.generate};
}

// Makes what is made once for each shape, and wakes the processor up.
void WarmUp(const Contestant& contestant, ThroughputSetting setting) {
  constexpr int64_t kTokens = 64;
  setting.prompt = std::min(setting.prompt, kTokens);
  setting.generate = std::min(setting.generate, kTokens);
  RunFull(contestant, setting);
}

ThroughputRun RunOnce(const Contestant& contestant, const ThroughputSetting& setting,
                      int64_t sampled_depths) {
  if (sampled_depths == 0) return RunFull(contestant, setting);
  return RunSampled(contestant, setting, sampled_depths, MeasurePromptSeconds(contestant, setting));
}

class Race {
 public:
  Race(const std::vector<Contestant>& contestants, const RaceOptions& options,
       WorkObserver* observer)
      : contestants_(contestants), options_(options), observer_(observer) {}

  std::vector<RaceResult> Run() {
    // 0 for a search, whose number of runs is not known.
    const size_t runs = options_.batches.size() * contestants_.size();
    observer_->Begin("measuring", static_cast<int64_t>(runs) * (options_.repetitions + 1), "runs",
                     0);
    if (options_.batches.empty()) {
      SearchAll();
    } else {
      CheckMemory();
      for (const int64_t batch : options_.batches) MeasureBatch(batch);
    }
    std::stable_sort(results_.begin(), results_.end(), [](const auto& a, const auto& b) {
      return a.setting.batch < b.setting.batch;
    });
    MarkBest(contestants_.size(), &results_);
    return std::move(results_);
  }

 private:
  void CheckMemory() const {
    if (options_.memory_bytes == 0) return;
    const int64_t batch = *std::max_element(options_.batches.begin(), options_.batches.end());
    for (const Contestant& contestant : contestants_) {
      const int64_t largest =
          LargestBatch(contestant, SettingOf(options_, 1), options_.memory_bytes);
      Require(batch <= largest, ErrorCode::kExhausted,
              "`batch`: {} sequences of {} exceed `memory`; up to {} fit", batch, contestant.name,
              largest);
    }
  }

  void MeasureBatch(int64_t batch) {
    std::vector<RaceResult> round;
    for (size_t i = 0; i < contestants_.size(); ++i) {
      round.push_back({i, SettingOf(options_, batch), {}, options_.sampled_depths == 0});
    }
    MeasureInTurn(options_.sampled_depths, &round);
  }

  void SearchAll() {
    std::vector<RaceResult> best;
    for (size_t i = 0; i < contestants_.size(); ++i) {
      best.push_back({i, SettingOf(options_, Search(i))});
    }
    std::erase_if(results_, [&](const RaceResult& result) {
      return result.setting.batch == best[result.contestant].setting.batch;
    });
    MeasureInTurn(0, &best);
  }

  // Adds the results of what it tries, and returns the best batch size.
  int64_t Search(size_t index) {
    const Contestant& contestant = contestants_[index];
    const int64_t memory =
        options_.memory_bytes > 0 ? options_.memory_bytes : DefaultMemory(contestant);
    const int64_t largest = LargestBatch(contestant, SettingOf(options_, 1), memory);
    const int64_t depths = options_.sampled_depths > 0 ? options_.sampled_depths : kSearchDepths;
    const double prompt_seconds = MeasurePromptSeconds(contestant, SettingOf(options_, largest));
    return FindBestBatch(largest, [&](int64_t batch) {
      const ThroughputSetting setting = SettingOf(options_, batch);
      Count(contestant, batch);
      results_.push_back(
          {index, setting, {RunSampled(contestant, setting, depths, prompt_seconds)}, false});
      return TotalRate(results_.back());
    });
  }

  // The model's weights are in memory already.
  static int64_t DefaultMemory(const Contestant& contestant) {
    const double weights = WeightBytes(contestant.model->config(), contestant.types().weights);
    return static_cast<int64_t>(kMemoryShare * static_cast<double>(AvailableMemoryBytes()) +
                                weights);
  }

  // Adds `round` to the results, with the runs of every repetition.
  void MeasureInTurn(int64_t sampled_depths, std::vector<RaceResult>* round) {
    for (const RaceResult& result : *round) {
      WarmUp(contestants_[result.contestant], result.setting);
      Count(contestants_[result.contestant], result.setting.batch);
    }
    for (int64_t repetition = 0; repetition < options_.repetitions; ++repetition) {
      for (RaceResult& result : *round) {
        const Contestant& contestant = contestants_[result.contestant];
        result.runs.push_back(RunOnce(contestant, result.setting, sampled_depths));
        Count(contestant, result.setting.batch);
      }
    }
    results_.insert(results_.end(), round->begin(), round->end());
  }

  void Count(const Contestant& contestant, int64_t batch) {
    observer_->Update(++done_, fmt::format("{} batch {}", contestant.name, batch));
  }

  const std::vector<Contestant>& contestants_;
  const RaceOptions& options_;
  WorkObserver* observer_;
  int64_t done_ = 0;
  std::vector<RaceResult> results_;
};

}  // namespace

double TotalRate(const RaceResult& result) {
  std::vector<double> seconds;
  for (const ThroughputRun& run : result.runs) seconds.push_back(run.total);
  return static_cast<double>(result.setting.batch * result.setting.generate) / Median(seconds);
}

std::vector<RaceResult> RunRace(const std::vector<Contestant>& contestants,
                                const RaceOptions& options, WorkObserver* observer) {
  return Race(contestants, options, observer).Run();
}

void MarkBest(size_t num_contestants, std::vector<RaceResult>* results) {
  for (size_t i = 0; i < num_contestants; ++i) {
    RaceResult* best = nullptr;
    for (RaceResult& result : *results) {
      if (result.contestant != i) continue;
      const bool is_better =
          best == nullptr || result.is_full > best->is_full ||
          (result.is_full == best->is_full && TotalRate(result) > TotalRate(*best));
      if (is_better) best = &result;
    }
    if (best != nullptr) best->is_best = true;
  }
}

}  // namespace blockformer
