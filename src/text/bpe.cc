#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <map>

#include "base/error.h"

namespace blockformer {
namespace {

// Up to this length a scan for the lowest rank is faster than keeping the pairs ordered.
constexpr size_t kMaxShortWord = 48;
constexpr uint32_t kEnd = UINT32_MAX;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// The pairs of a long word that can be merged: by rank, then from left to right. A rank's positions
// come almost always in ascending order, so that a list a rank beats one heap for all.
class PairQueue {
 public:
  void Push(int32_t rank, uint32_t position) { ranks_[rank].Push(position); }
  bool Empty() const { return ranks_.empty(); }
  // Removes the first pair; returns its rank.
  int32_t Pop(uint32_t* position) {
    const auto first = ranks_.begin();
    const int32_t rank = first->first;
    if (first->second.Pop(position)) ranks_.erase(first);
    return rank;
  }

 private:
  class Positions {
   public:
    void Push(uint32_t position) {
      sorted_ = sorted_ && (next_ == positions_.size() || positions_.back() <= position);
      positions_.push_back(position);
    }
    // Returns true if nothing is left.
    bool Pop(uint32_t* position) {
      if (!sorted_) std::sort(positions_.begin() + static_cast<ptrdiff_t>(next_), positions_.end());
      sorted_ = true;
      *position = positions_[next_++];
      return next_ == positions_.size();
    }

   private:
    std::vector<uint32_t> positions_;
    size_t next_ = 0;
    bool sorted_ = true;
  };

  std::map<int32_t, Positions> ranks_;
};

// A word as a doubly linked list; a token stands at the place of its first byte.
struct LinkedWord {
  std::vector<int32_t> tokens;  // kNoTokenId where a token has been merged into its left neighbour
  std::vector<uint32_t> previous;
  std::vector<uint32_t> next;

  explicit LinkedWord(size_t size) : tokens(size), previous(size), next(size) {
    for (uint32_t i = 0; i < size; ++i) {
      previous[i] = i == 0 ? kEnd : i - 1;
      next[i] = i + 1 == size ? kEnd : i + 1;
    }
  }

  void MergeWithNext(uint32_t position, int32_t result) {
    const uint32_t right = next[position];
    tokens[position] = result;
    tokens[right] = kNoTokenId;
    next[position] = next[right];
    if (next[right] != kEnd) previous[next[right]] = position;
  }
};

}  // namespace

inline const Bpe::Slot& Bpe::Find(int32_t left, int32_t right) const {
  const uint64_t pair = PairKey(left, right);
  uint64_t slot = SlotOf(pair);
  while (slots_[slot].pair != pair && slots_[slot].pair != UINT64_MAX) slot = (slot + 1) & mask_;
  return slots_[slot];
}

Bpe::Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<Merge>& merges)
    : byte_ids_(byte_ids),
      slots_(std::bit_ceil(2 * merges.size() + 2)),
      mask_(slots_.size() - 1),
      shift_(64 - std::countr_zero(slots_.size())) {
  for (size_t i = 0; i < merges.size(); ++i) {
    const uint64_t pair = PairKey(merges[i].left, merges[i].right);
    uint64_t slot = SlotOf(pair);
    while (slots_[slot].pair != UINT64_MAX && slots_[slot].pair != pair) slot = (slot + 1) & mask_;
    slots_[slot] = {pair, static_cast<int32_t>(i), merges[i].result};
  }
}

int32_t Bpe::ByteId(char byte) const {
  const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
  Require(id != kNoTokenId, ErrorCode::kUnsupported,
          "the tokenizer's vocabulary has no token for the byte 0x{:02X} of the text",
          static_cast<uint8_t>(byte));
  return id;
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (word.size() <= kMaxShortWord) {
    int32_t tokens[kMaxShortWord];
    for (size_t i = 0; i < word.size(); ++i) tokens[i] = ByteId(word[i]);
    return MergeShort(tokens, word.size(), ids);
  }
  std::vector<int32_t> tokens;
  for (const char byte : word) tokens.push_back(ByteId(byte));
  MergeLong(tokens, ids);
}

void Bpe::MergeTokens(std::span<const int32_t> word, std::vector<int32_t>* ids) const {
  if (word.size() > kMaxShortWord) return MergeLong(word, ids);
  int32_t tokens[kMaxShortWord];
  std::copy(word.begin(), word.end(), tokens);
  MergeShort(tokens, word.size(), ids);
}

void Bpe::MergeShort(int32_t* tokens, size_t count, std::vector<int32_t>* ids) const {
  const Slot* merges[kMaxShortWord];  // merges[i] is that of tokens[i] and tokens[i + 1]
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = &Find(tokens[i], tokens[i + 1]);
  while (count > 1) {
    const auto best = static_cast<size_t>(
        std::min_element(merges, merges + count - 1,
                         [](const Slot* a, const Slot* b) { return a->rank < b->rank; }) -
        merges);
    if (merges[best]->rank == kNoRank) break;
    tokens[best] = merges[best]->result;
    std::copy(tokens + best + 2, tokens + count, tokens + best + 1);
    std::copy(merges + std::min(best + 1, count - 1), merges + count - 1, merges + best);
    --count;
    if (best > 0) merges[best - 1] = &Find(tokens[best - 1], tokens[best]);
    if (best + 1 < count) merges[best] = &Find(tokens[best], tokens[best + 1]);
  }
  ids->insert(ids->end(), tokens, tokens + count);
}

void Bpe::MergeLong(std::span<const int32_t> word, std::vector<int32_t>* ids) const {
  LinkedWord list(word.size());
  PairQueue queue;
  const auto push = [&](uint32_t position) {
    const Slot& merge = Find(list.tokens[position], list.tokens[list.next[position]]);
    if (merge.rank != kNoRank) queue.Push(merge.rank, position);
  };
  std::copy(word.begin(), word.end(), list.tokens.begin());
  for (uint32_t i = 0; i + 1 < word.size(); ++i) push(i);
  while (!queue.Empty()) {
    uint32_t position = 0;
    const int32_t rank = queue.Pop(&position);
    // The pair may be gone: one of its tokens has been merged with another neighbour.
    if (list.tokens[position] == kNoTokenId || list.next[position] == kEnd) continue;
    const Slot& merge = Find(list.tokens[position], list.tokens[list.next[position]]);
    if (merge.rank != rank) continue;
    list.MergeWithNext(position, merge.result);
    if (list.previous[position] != kEnd) push(list.previous[position]);
    if (list.next[position] != kEnd) push(position);
  }
  std::copy_if(list.tokens.begin(), list.tokens.end(), std::back_inserter(*ids),
               [](int32_t token) { return token != kNoTokenId; });
}

}  // namespace blockformer
