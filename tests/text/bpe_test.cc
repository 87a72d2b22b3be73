#include "text/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/random.h"

namespace blockformer {
namespace {

// Ids of bytes are the bytes.
std::array<int32_t, 256> ByteIds() {
  std::array<int32_t, 256> ids;
  for (int32_t i = 0; i < 256; ++i) ids[i] = i;
  return ids;
}

std::vector<int32_t> Encode(const Bpe& bpe, const std::string& word) {
  std::vector<int32_t> ids;
  bpe.Encode(word, &ids);
  return ids;
}

// The definition, step by step.
std::vector<int32_t> ReferenceEncode(const std::vector<Merge>& merges, const std::string& word) {
  std::vector<int32_t> ids;
  for (const char byte : word) ids.push_back(static_cast<uint8_t>(byte));
  while (true) {
    size_t best_rank = merges.size(), best = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank].left != ids[i] || merges[rank].right != ids[i + 1]) continue;
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == merges.size()) return ids;
    ids[best] = merges[best_rank].result;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

// Merges of random earlier tokens over the letters a, b and c; each pair once.
std::vector<Merge> RandomMerges(Random* random, bool shuffle) {
  std::vector<Merge> merges;
  std::vector<int32_t> tokens = {'a', 'b', 'c'};
  for (int32_t next = 256; next < 256 + 12; ++next) {
    const Merge merge = {tokens[random->Below(tokens.size())], tokens[random->Below(tokens.size())],
                         next};
    const bool is_new = std::none_of(merges.begin(), merges.end(), [&](const Merge& other) {
      return other.left == merge.left && other.right == merge.right;
    });
    if (!is_new) continue;
    merges.push_back(merge);
    tokens.push_back(next);
  }
  if (shuffle) {
    for (size_t i = merges.size(); i > 1; --i) std::swap(merges[i - 1], merges[random->Below(i)]);
  }
  return merges;
}

void CompareWithReference(bool shuffle, uint64_t max_length) {
  Random random(4);
  for (int round = 0; round < 400; ++round) {
    const std::vector<Merge> merges = RandomMerges(&random, shuffle);
    const Bpe bpe(ByteIds(), merges);
    std::string word;
    for (uint64_t left = random.Below(max_length); left > 0; --left) {
      word.push_back(random.Below(4) == 0 && !word.empty()
                         ? word.back()
                         : static_cast<char>('a' + random.Below(3)));
    }
    ASSERT_EQ(Encode(bpe, word), ReferenceEncode(merges, word)) << word;
  }
}

TEST(Bpe, MergesShortWordsByRank) { CompareWithReference(false, 49); }
TEST(Bpe, MergesLongWordsByRank) { CompareWithReference(false, 400); }
TEST(Bpe, MergesInAnyOrderOfRanks) {
  CompareWithReference(true, 49);
  CompareWithReference(true, 400);
}

TEST(Bpe, TakesTheLeftmostOfEquals) {
  const Bpe bpe(ByteIds(), {{'a', 'a', 256}});
  EXPECT_EQ(Encode(bpe, "aaa"), (std::vector<int32_t>{256, 'a'}));
  std::vector<int32_t> expected(100, 256);
  expected.push_back('a');
  EXPECT_EQ(Encode(bpe, std::string(201, 'a')), expected);
}

TEST(Bpe, TakesTheLaterOfTwoMergesOfAPair) {
  const Bpe bpe(ByteIds(), {{'a', 'b', 256}, {'b', 'c', 257}, {'a', 'b', 258}});
  EXPECT_EQ(Encode(bpe, "abc"), (std::vector<int32_t>{'a', 257}));
  EXPECT_EQ(Encode(bpe, "ab"), (std::vector<int32_t>{258}));
}

TEST(Bpe, NamesAByteWithoutAToken) {
  std::array<int32_t, 256> ids = ByteIds();
  ids[0xE9] = kNoTokenId;
  const Bpe bpe(ids, {});
  EXPECT_THROW(Encode(bpe, "caf\xE9"), Error);
}

}  // namespace
}  // namespace blockformer
