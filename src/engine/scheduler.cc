#include "engine/scheduler.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace blockformer {
namespace {

int32_t Previous(const std::vector<int32_t>& pages, int64_t page) {
  return page == 0 ? PagePool::kNoPage : pages[page - 1];
}

}  // namespace

int64_t Scheduler::Submit(const SequenceSize& size, int32_t priority) {
  Require(
      PagesFor(size.total_units) <= limits_.num_pages, ErrorCode::kExhausted,
      "a sequence of {} blocks or tokens does not fit the KV cache, which holds {}; shorten the "
      "prompt, ask for fewer tokens, or give the cache more memory",
      size.total_units, limits_.num_pages * limits_.page_size);
  Sequence sequence;
  sequence.size = size;
  sequence.units = sequence.prefill = size.prompt_units;
  sequence.computed = sequence.done = size.given_units;
  const int64_t id = next_id_++;
  waiting_.emplace(std::pair(-int64_t{priority}, id), std::move(sequence));
  return id;
}

StepPlan Scheduler::Plan(bool may_stop) {
  if (!Admit(may_stop)) return {};
  StepPlan plan;
  int64_t budget = limits_.max_units_per_step;
  for (auto entry = running_.begin(); entry != running_.end(); ++entry) {
    const int64_t id = entry->first.second;
    Sequence& sequence = entry->second;
    sequence.planned = 0;
    if (sequence.units == sequence.size.total_units) continue;  // its last step is under way
    TakeKnownPages(id, &sequence);
    const int64_t prompt_left = sequence.prefill - sequence.computed;
    sequence.planned = prompt_left > 0 ? std::min(prompt_left, budget) : 1;
    if (sequence.planned == 0) continue;
    const Pages taken = TakePages(entry, may_stop);
    if (taken == Pages::kBlocked) return {};
    if (taken == Pages::kStopped) break;
    if (prompt_left > 0) budget -= sequence.planned;
    const bool generates = sequence.computed + sequence.planned == sequence.units;
    plan.step.parts.push_back({sequence.place, sequence.computed, sequence.planned, generates});
    plan.sequences.push_back({id, /*opens=*/!sequence.opened});
    AddNewPages(sequence, &plan.step.new_pages);
  }
  return plan;
}

void Scheduler::AddNewPages(const Sequence& sequence, std::vector<NewPage>* new_pages) const {
  const std::vector<int32_t>& sent = sequence.sent_pages;
  for (size_t i = 0; i < sequence.pages.size(); ++i) {
    if (i < sent.size() && sent[i] == sequence.pages[i]) continue;
    new_pages->push_back({sequence.place, static_cast<int64_t>(i), sequence.pages[i]});
  }
}

void Scheduler::StepStarted() {
  ++stats_.steps;
  std::vector<std::pair<Rank, int64_t>>& units = started_.emplace_back();
  for (auto& [rank, sequence] : running_) {
    stats_.cached_prompt_units += std::exchange(sequence.found, 0);
    if (sequence.planned == 0) continue;
    units.emplace_back(rank, sequence.planned);
    if (sequence.computed < sequence.prefill) stats_.computed_prompt_units += sequence.planned;
    sequence.computed += std::exchange(sequence.planned, 0);
    if (sequence.computed == sequence.units) ++sequence.units;
    sequence.opened = true;
    sequence.sent_pages = sequence.pages;
  }
}

void Scheduler::StepDone() {
  for (const auto& [rank, units] : started_.front()) {
    const auto entry = running_.find(rank);
    if (entry == running_.end()) continue;
    entry->second.done += units;
    CachePages(rank.second, &entry->second);
  }
  started_.pop_front();
}

void Scheduler::Finish(int64_t id, Ending ending) {
  const auto has_id = [id](const auto& entry) { return entry.first.second == id; };
  for (Queue* queue : {&running_, &waiting_}) {
    const auto found = std::find_if(queue->begin(), queue->end(), has_id);
    if (found == queue->end()) continue;
    std::vector<int32_t>& pages = found->second.pages;
    if (ending == Ending::kFailed && !pages.empty()) pool_.Forget(pages.front());
    pool_.Release(&pages);
    LeavePlace(&found->second);
    queue->erase(found);
    return;
  }
}

EngineStats Scheduler::stats() const {
  EngineStats stats = stats_;
  stats.pages = pool_.num_pages();
  stats.pages_in_use = pool_.num_pages() - pool_.num_available();
  stats.pages_cached = pool_.num_cached();
  stats.running = static_cast<int64_t>(running_.size());
  stats.waiting = static_cast<int64_t>(waiting_.size());
  return stats;
}

// In their order, so that none overtakes; and those that run behind one that waits give way to it.
bool Scheduler::Admit(bool may_stop) {
  while (!waiting_.empty()) {
    const auto entry = running_.insert(waiting_.extract(waiting_.begin())).position;
    TakeKnownPages(entry->first.second, &entry->second);
    const bool has_later = std::next(entry) != running_.end();
    if (!HasRoom() && has_later && !may_stop) {
      Stop(entry);
      return false;
    }
    while (!HasRoom() && std::next(entry) != running_.end()) {
      Stop(std::prev(running_.end()));
      ++stats_.preemptions;
    }
    if (!HasRoom()) {
      Stop(entry);
      return true;
    }
    entry->second.place = free_places_.back();
    free_places_.pop_back();
  }
  return true;
}

// Whether all that run can compute the units they know, and a page more each: otherwise one that is
// admitted might be stopped for want of memory at once.
bool Scheduler::HasRoom() const {
  int64_t wanted = 0;
  for (const auto& [rank, sequence] : running_) {
    const int64_t units = std::min(sequence.units + limits_.page_size, sequence.size.total_units);
    wanted += PagesFor(units) - static_cast<int64_t>(sequence.pages.size());
  }
  return static_cast<int64_t>(running_.size()) <= limits_.max_sequences &&
         wanted <= pool_.num_available();
}

void Scheduler::Stop(Queue::iterator entry) {
  Sequence& sequence = entry->second;
  pool_.Release(&sequence.pages);
  sequence.prefill = sequence.units;
  sequence.computed = sequence.done = sequence.size.given_units;
  sequence.planned = sequence.found = sequence.cached_pages = 0;
  LeavePlace(&sequence);
  waiting_.insert(running_.extract(entry));
}

void Scheduler::LeavePlace(Sequence* sequence) {
  if (sequence->place >= 0) free_places_.push_back(sequence->place);
  sequence->place = -1;
  sequence->opened = false;
  sequence->sent_pages.clear();
}

// Takes pages that hold the next units already. The last unit is always computed: the one behind it
// is generated from its hidden state, which is not kept.
void Scheduler::TakeKnownPages(int64_t id, Sequence* sequence) {
  if (!read_units_) return;
  const int64_t size = limits_.page_size;
  while (sequence->computed == static_cast<int64_t>(sequence->pages.size()) * size &&
         sequence->computed + size < sequence->prefill) {
    const std::optional<int32_t> page =
        pool_.Find(Previous(sequence->pages, sequence->cached_pages),
                   read_units_(id, sequence->computed, size));
    if (!page) return;
    sequence->pages.push_back(*page);
    sequence->computed += size;
    sequence->done += size;
    sequence->found += size;
    ++sequence->cached_pages;
  }
}

// Takes the pages for what is planned, from the last sequences if there are none left.
Scheduler::Pages Scheduler::TakePages(Queue::iterator entry, bool may_stop) {
  Sequence& sequence = entry->second;
  const int64_t wanted = PagesFor(sequence.computed + sequence.planned);
  while (static_cast<int64_t>(sequence.pages.size()) < wanted) {
    if (pool_.num_available() > 0) {
      sequence.pages.push_back(pool_.Take());
      continue;
    }
    if (!may_stop) return Pages::kBlocked;
    const auto last = std::prev(running_.end());
    const bool is_last = last == entry;
    Stop(last);
    ++stats_.preemptions;
    if (is_last) return Pages::kStopped;
  }
  return Pages::kTaken;
}

void Scheduler::CachePages(int64_t id, Sequence* sequence) {
  if (!read_units_) return;
  const int64_t size = limits_.page_size;
  for (int64_t& page_index = sequence->cached_pages; (page_index + 1) * size <= sequence->done;
       ++page_index) {
    int32_t& page = sequence->pages[page_index];
    page = pool_.Cache(page, Previous(sequence->pages, page_index),
                       read_units_(id, page_index * size, size));
  }
}

}  // namespace blockformer
