#include "api/open_requests.h"

#include <utility>
#include <vector>

namespace blockformer {

void OpenRequests::Submit(int64_t number, LoopRequest request) {
  std::vector<LoopRequest> requests;
  requests.push_back(std::move(request));
  // A request that ends at once waits in Close() until it is noted.
  const std::lock_guard lock(mutex_);
  const std::vector<int64_t> ids = loop_->Submit(std::move(requests));
  entries_.emplace(number, Entry{ids.front(), false});
}

void OpenRequests::Cancel(int64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(number);
  if (found == entries_.end() || loop_ == nullptr) return;
  found->second.cancelled = true;
  loop_->Cancel({&found->second.loop_id, 1});
}

bool OpenRequests::Close(int64_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(number);
  if (found == entries_.end()) return false;
  const bool cancelled = found->second.cancelled;
  entries_.erase(found);
  return cancelled;
}

void OpenRequests::Detach() {
  const std::lock_guard lock(mutex_);
  loop_ = nullptr;
}

}  // namespace blockformer
