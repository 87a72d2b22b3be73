// The first bytes make merges, the rest is text. Encoding then decoding must give the text back,
// and a long word must become the same ids as the definition of BPE gives.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

constexpr int32_t kMaxMerges = 32;
constexpr size_t kMaxText = 2000;  // the definition is quadratic

void Check(bool condition) {
  if (!condition) std::abort();
}

// Three bytes a merge: two tokens, and where in the list of merges it stands.
std::vector<Merge> MakeMerges(std::string_view bytes, std::vector<std::string>* token_bytes) {
  std::vector<Merge> merges;
  for (size_t i = 0; i + 2 < bytes.size(); i += 3) {
    const auto token = [&](char byte) {
      const size_t recent = static_cast<uint8_t>(byte) % 32;
      // Half of the values stand for bytes, so that merges of merges are common.
      return static_cast<uint8_t>(byte) < 128 || token_bytes->size() <= 256 + recent
                 ? static_cast<int32_t>(static_cast<uint8_t>(byte))
                 : static_cast<int32_t>(token_bytes->size() - 1 - recent);
    };
    const Merge merge = {token(bytes[i]), token(bytes[i + 1]),
                         static_cast<int32_t>(token_bytes->size())};
    const bool is_new = std::none_of(merges.begin(), merges.end(), [&](const Merge& other) {
      return other.left == merge.left && other.right == merge.right;
    });
    if (!is_new) continue;
    token_bytes->push_back((*token_bytes)[merge.left] + (*token_bytes)[merge.right]);
    const size_t place = static_cast<uint8_t>(bytes[i + 2]) % (merges.size() + 1);
    merges.insert(merges.end() - static_cast<ptrdiff_t>(place), merge);
  }
  return merges;
}

std::vector<int32_t> EncodeByDefinition(const std::vector<Merge>& merges, std::string_view word) {
  std::vector<int32_t> ids;
  for (const char byte : word) ids.push_back(static_cast<uint8_t>(byte));
  for (size_t rank = 0; rank < merges.size();) {
    const Merge& merge = merges[rank];
    size_t i = 0;
    while (i + 1 < ids.size() && (ids[i] != merge.left || ids[i + 1] != merge.right)) ++i;
    if (i + 1 >= ids.size()) {
      ++rank;
      continue;
    }
    ids[i] = merge.result;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(i) + 1);
    rank = 0;  // the new token may allow a merge of lower rank
  }
  return ids;
}

void CheckWord(const Bpe& bpe, const std::vector<Merge>& merges,
               const std::vector<std::string>& token_bytes, std::string_view word) {
  std::vector<int32_t> ids;
  bpe.Encode(word, &ids);
  Check(ids == EncodeByDefinition(merges, word));
  std::string decoded;
  for (const int32_t id : ids) decoded += token_bytes[id];
  Check(decoded == word);
}

// The pieces of a text are not empty and make up the text.
void CheckPieces(std::string_view bytes) {
  const std::string valid = ReplaceInvalidUtf8(bytes);
  Check(FindInvalidUtf8(valid) == valid.size());
  std::string storage;
  std::string_view text = NormalizeNfc(valid, &storage);
  Check(FindInvalidUtf8(text) == text.size());
  while (!text.empty()) {
    const size_t length = Gpt2PieceLength(text);
    Check(length > 0 && length <= text.size());
    text.remove_prefix(length);
  }
}

}  // namespace
}  // namespace blockformer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace blockformer;  // NOLINT(google-build-using-namespace): this is all the file is for
  if (size < 1) return 0;
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t num_merges = data[0] % kMaxMerges;
  input.remove_prefix(1);
  const std::string_view merge_bytes = input.substr(0, 3 * num_merges);
  const std::string_view text = input.substr(merge_bytes.size(), kMaxText);

  std::array<int32_t, 256> byte_ids;
  std::vector<std::string> token_bytes;
  for (int32_t i = 0; i < 256; ++i) {
    byte_ids[i] = i;
    token_bytes.emplace_back(1, static_cast<char>(i));
  }
  const std::vector<Merge> merges = MakeMerges(merge_bytes, &token_bytes);
  CheckWord(Bpe(byte_ids, merges), merges, token_bytes, text);
  CheckPieces(text);
  return 0;
}
