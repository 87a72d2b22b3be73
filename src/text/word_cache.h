#ifndef BLOCKFORMER_TEXT_WORD_CACHE_H_
#define BLOCKFORMER_TEXT_WORD_CACHE_H_

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace blockformer {

// Remembers the ids of short words; a new word takes the place of the one in its slot, so memory is
// fixed (2 MB). One cache serves several tokenizers. Not thread-safe: one a thread.
class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 27;
  static constexpr size_t kMaxIds = 7;

  // A word of one tokenizer, ready to be looked up.
  struct Key {
    std::array<char, kMaxWordBytes> word{};
    uint8_t length = 0;
    uint32_t tokenizer = 0;

    bool operator==(const Key& other) const { return std::memcmp(this, &other, sizeof(Key)) == 0; }
  };

  // `word` has at most kMaxWordBytes; `tokenizer` tells tokenizers apart and is not 0.
  static Key MakeKey(std::string_view word, uint32_t tokenizer) {
    Key key;
    std::memcpy(key.word.data(), word.data(), word.size());
    key.length = static_cast<uint8_t>(word.size());
    key.tokenizer = tokenizer;
    return key;
  }

  // The ids of the word, valid until the next Insert; empty if it is not here.
  std::span<const int32_t> Find(const Key& key) const {
    const Entry& entry = entries_[SlotOf(key)];
    if (!(entry.key == key)) return {};
    return {entry.ids.data(), entry.num_ids};
  }

  // Does nothing if there are more than kMaxIds ids.
  void Insert(const Key& key, std::span<const int32_t> ids) {
    if (ids.size() > kMaxIds) return;
    Entry& entry = entries_[SlotOf(key)];
    entry.key = key;
    entry.num_ids = static_cast<uint32_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }

 private:
  static constexpr size_t kLog2Slots = 15;

  struct alignas(64) Entry {
    Key key;
    std::array<int32_t, kMaxIds> ids{};
    uint32_t num_ids = 0;
  };
  static_assert(sizeof(Key) == 32 && sizeof(Entry) == 64);

  static size_t SlotOf(const Key& key) {
    const auto parts = std::bit_cast<std::array<uint64_t, 4>>(key);
    uint64_t hash = 0;
    for (const uint64_t part : parts) hash = (std::rotl(hash, 29) ^ part) * 0x9E3779B97F4A7C15u;
    return hash >> (64 - kLog2Slots);
  }

  std::vector<Entry> entries_ = std::vector<Entry>(size_t{1} << kLog2Slots);
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_WORD_CACHE_H_
