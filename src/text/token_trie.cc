#include "text/token_trie.h"

#include <algorithm>

namespace blockformer {

TokenTrie::TokenTrie(const Tokenizer& tokenizer) : num_ids_(tokenizer.VocabSize()) {
  for (int32_t id = 0; id < num_ids_; ++id) {
    if (!tokenizer.IsSpecial(id)) bytes_ += tokenizer.TokenBytes(id);
    ends_.push_back(bytes_.size());
    if (!BytesOf(id).empty()) ids_.push_back(id);
  }
  std::ranges::stable_sort(ids_, {}, [&](int32_t id) { return BytesOf(id); });
  std::vector<size_t> open;  // the nodes of the last token's bytes
  const auto close_to = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      nodes_[open.back()].end = static_cast<uint32_t>(nodes_.size());
    }
  };
  std::string_view last;
  for (size_t i = 0; i < ids_.size(); ++i) {
    const std::string_view bytes = BytesOf(ids_[i]);
    const auto differs = std::ranges::mismatch(bytes, last).in1 - bytes.begin();
    close_to(static_cast<size_t>(differs));
    for (size_t depth = open.size(); depth < bytes.size(); ++depth) {
      open.push_back(nodes_.size());
      // Nodes before the last byte's have no ids: the next one begins where they do.
      nodes_.push_back({0, static_cast<uint32_t>(i), static_cast<uint32_t>(depth + 1),
                        static_cast<uint8_t>(bytes[depth])});
    }
    max_depth_ = std::max(max_depth_, bytes.size());
    last = bytes;
  }
  close_to(0);
}

std::string_view TokenTrie::BytesOf(int32_t id) const {
  if (id < 0 || id >= std::ssize(ends_)) return {};
  const size_t begin = id == 0 ? 0 : ends_[id - 1];
  return std::string_view(bytes_).substr(begin, ends_[id] - begin);
}

}  // namespace blockformer
