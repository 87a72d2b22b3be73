#ifndef BLOCKFORMER_TEXT_BPE_H_
#define BLOCKFORMER_TEXT_BPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace blockformer {

// Two neighbouring tokens, and the token that they become.
struct Merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t result = 0;
};

constexpr int32_t kNoTokenId = -1;

// The merges of a byte-level BPE model (Sennrich et al., arXiv 1508.07909). Immutable; safe to use
// from several threads.
class Bpe {
 public:
  // `byte_ids` holds the id of each byte or kNoTokenId; `merges` are in order of rank. If a pair
  // has two merges, the later one counts. Ids are not negative.
  Bpe(const std::array<int32_t, 256>& byte_ids, const std::vector<Merge>& merges);

  // Appends the ids of one word: starting from its bytes, the pair of the lowest rank is merged
  // until none is left, the leftmost first among equals. Time is n log n in the length of the word
  // for merges in the order in which training finds them. Throws Error(kUnsupported) for a byte
  // without an id.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;
  // The same starting from ids, such as those of a word's characters.
  void MergeTokens(std::span<const int32_t> word, std::vector<int32_t>* ids) const;

 private:
  static constexpr int32_t kNoRank = INT32_MAX;

  struct Slot {
    uint64_t pair = UINT64_MAX;
    int32_t rank = kNoRank;
    int32_t result = kNoTokenId;
  };

  uint64_t SlotOf(uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15u) >> shift_; }
  const Slot& Find(int32_t left, int32_t right) const;
  void MergeShort(int32_t* tokens, size_t count, std::vector<int32_t>* ids) const;
  void MergeLong(std::span<const int32_t> word, std::vector<int32_t>* ids) const;
  int32_t ByteId(char byte) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  uint64_t mask_;
  int shift_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_BPE_H_
