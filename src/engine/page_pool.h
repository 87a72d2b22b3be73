#ifndef BLOCKFORMER_ENGINE_PAGE_POOL_H_
#define BLOCKFORMER_ENGINE_PAGE_POOL_H_

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace blockformer {

// Who uses which page of the KV cache, and which full pages hold what, so that sequences that begin
// alike share them. A page is known by its contents and the page before it; contents are compared,
// not hashed, so that no two are taken for each other. A known page that nobody uses keeps its
// contents until its memory is needed; the one longest unused goes first. Not thread-safe.
//
// A page before another outlives it, so that it can stand for all that came before: whoever uses
// the later one uses it too, and releases it afterwards.
class PagePool {
 public:
  static constexpr int32_t kNoPage = -1;

  explicit PagePool(int64_t num_pages);

  int64_t num_pages() const { return static_cast<int64_t>(pages_.size()); }
  int64_t num_available() const { return static_cast<int64_t>(free_.size() + unused_.size()); }
  // Available ones whose contents are known.
  int64_t num_cached() const { return static_cast<int64_t>(unused_.size()); }

  // A page for one user to write to. There has to be an available one.
  int32_t Take();

  // The page known to hold `contents` behind `previous` (kNoPage at the beginning), for one more
  // user; nothing if there is none.
  std::optional<int32_t> Find(int32_t previous, const std::vector<int32_t>& contents);

  // Makes known what a page with one user holds, unless the page before it is not known itself.
  // Returns the page to use from now on: where another one is known to hold the same, that takes
  // its place.
  int32_t MakeKnown(int32_t page, int32_t previous, std::vector<int32_t> contents);

  // Makes unknown what a page holds, and what all pages behind it do: nobody finds them any more.
  // Who uses them goes on.
  void Forget(int32_t page);

  // Ends one use of each page of a sequence, given in their order, and empties the list.
  void Release(std::vector<int32_t>* pages);

 private:
  // By the page before and the contents.
  using KnownPages = std::map<std::pair<int32_t, std::vector<int32_t>>, int32_t>;

  struct Page {
    int64_t users = 0;
    std::optional<KnownPages::iterator> known;
    std::list<int32_t>::iterator unused;  // valid if it is known and has no user
  };

  Page& At(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  void Use(int32_t page);
  void ReleaseOne(int32_t page);

  std::vector<Page> pages_;
  KnownPages known_;
  std::vector<int32_t> free_;  // neither used nor known
  std::list<int32_t> unused_;  // known, the longest unused first
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_PAGE_POOL_H_
