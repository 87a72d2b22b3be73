#ifndef BLOCKFORMER_ENGINE_PAGE_POOL_H_
#define BLOCKFORMER_ENGINE_PAGE_POOL_H_

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace blockformer {

// Keeps track of who uses which page of the KV cache, and of what the full pages hold, so that
// sequences with the same beginning share them. A cached page is found by its contents and the page
// before it; contents are compared, not hashed, so that no two are taken for each other. A cached
// page without references stays until its memory is needed; the one longest unused goes first. Not
// thread-safe.
//
// A page outlives those behind it, so that its number can stand for everything up to its end:
// whoever uses a later page also uses the earlier one, and releases it afterwards.
class PagePool {
 public:
  static constexpr int32_t kNoPage = -1;

  explicit PagePool(int64_t num_pages);

  int64_t num_pages() const { return static_cast<int64_t>(pages_.size()); }
  int64_t num_available() const { return static_cast<int64_t>(free_.size() + unused_.size()); }
  // Available pages that are cached.
  int64_t num_cached() const { return static_cast<int64_t>(unused_.size()); }

  // A page with one reference, to write to. There has to be an available one.
  int32_t Take();

  // The cached page that holds `contents` behind `previous` (kNoPage at the beginning), with one
  // more reference; nothing if there is none.
  std::optional<int32_t> Find(int32_t previous, const std::vector<int32_t>& contents);

  // Caches a page that has one reference, so that others find it, unless the page before it is not
  // cached itself. Returns the page to use from now on: another one if that is cached and holds the
  // same.
  int32_t Cache(int32_t page, int32_t previous, std::vector<int32_t> contents);

  // From now on nobody finds the page or those behind it. Sequences that use them go on.
  void Forget(int32_t page);

  // Ends one use of each page of a sequence, given in their order, and empties the list.
  void Release(std::vector<int32_t>* pages);

 private:
  // By the page before them and their contents.
  using CachedPages = std::map<std::pair<int32_t, std::vector<int32_t>>, int32_t>;

  struct Page {
    int64_t references = 0;
    std::optional<CachedPages::iterator> cached;
    std::list<int32_t>::iterator unused;  // valid if it is cached and has no reference
  };

  Page& At(int32_t page) { return pages_[page]; }
  void Use(int32_t page);
  void ReleaseOne(int32_t page);

  std::vector<Page> pages_;
  CachedPages cached_;
  std::vector<int32_t> free_;  // neither referenced nor cached
  std::list<int32_t> unused_;  // cached without references, the longest unused first
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_PAGE_POOL_H_
