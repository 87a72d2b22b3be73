#include "engine/page_pool.h"

#include "base/error.h"

namespace blockformer {

PagePool::PagePool(int64_t num_pages) : pages_(num_pages) {
  for (int64_t page = num_pages; page > 0; --page) {
    free_.push_back(static_cast<int32_t>(page - 1));
  }
}

int32_t PagePool::Take() {
  Require(num_available() > 0, ErrorCode::kInternal, "all {} pages are in use", num_pages());
  if (free_.empty()) {
    const int32_t oldest = unused_.front();
    unused_.pop_front();
    cached_.erase(*std::exchange(At(oldest).cached, std::nullopt));
    free_.push_back(oldest);
  }
  const int32_t page = free_.back();
  free_.pop_back();
  At(page).references = 1;
  return page;
}

std::optional<int32_t> PagePool::Find(int32_t previous, const std::vector<int32_t>& contents) {
  const auto found = cached_.find({previous, contents});
  if (found == cached_.end()) return std::nullopt;
  Use(found->second);
  return found->second;
}

int32_t PagePool::Cache(int32_t page, int32_t previous, std::vector<int32_t> contents) {
  if (previous != kNoPage && !At(previous).cached) return page;
  const auto [entry, is_new] = cached_.emplace(std::pair(previous, std::move(contents)), page);
  if (is_new) {
    At(page).cached = entry;
    return page;
  }
  Use(entry->second);
  ReleaseOne(page);
  return entry->second;
}

void PagePool::Forget(int32_t page) {
  std::vector<int32_t> open = {page};
  while (!open.empty()) {
    const int32_t next = open.back();
    open.pop_back();
    Page& forgotten = At(next);
    if (!forgotten.cached) continue;
    cached_.erase(*std::exchange(forgotten.cached, std::nullopt));
    if (forgotten.references == 0) {
      unused_.erase(forgotten.unused);
      free_.push_back(next);
    }
    for (auto entry = cached_.lower_bound({next, {}});
         entry != cached_.end() && entry->first.first == next; ++entry) {
      open.push_back(entry->second);
    }
  }
}

void PagePool::Release(std::vector<int32_t>* pages) {
  for (; !pages->empty(); pages->pop_back()) ReleaseOne(pages->back());
}

void PagePool::Use(int32_t page) {
  if (At(page).references++ == 0) unused_.erase(At(page).unused);
}

void PagePool::ReleaseOne(int32_t page) {
  if (--At(page).references > 0) return;
  if (At(page).cached) {
    At(page).unused = unused_.insert(unused_.end(), page);
  } else {
    free_.push_back(page);
  }
}

}  // namespace blockformer
