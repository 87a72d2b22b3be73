#ifndef BLOCKFORMER_TEXT_TOKEN_TRIE_H_
#define BLOCKFORMER_TEXT_TOKEN_TRIE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace blockformer {

// The bytes of a tokenizer's tokens as a tree, so that what tokens have in common is looked at
// once. Special tokens, and ids that stand for no bytes, are not in it. Immutable; safe to use from
// several threads.
class TokenTrie {
 public:
  explicit TokenTrie(const Tokenizer& tokenizer);

  // The tokenizer's ids are below.
  int32_t num_ids() const { return num_ids_; }
  // Of the longest token.
  int64_t max_bytes() const { return static_cast<int64_t>(max_depth_); }
  // Those of a token, empty if it is not in the trie.
  std::string_view BytesOf(int32_t id) const;

  // Follows the bytes of all tokens from `start` on. next(state, byte) gives a state, or a negative
  // number where no token with these bytes is wanted; take(id) is called for the tokens whose bytes
  // are all followed, in no order.
  template <class Next, class Take>
  void Walk(int32_t start, const Next& next, const Take& take) const {
    std::vector<int32_t> states(max_depth_ + 1);  // by depth
    states[0] = start;
    for (size_t i = 0; i < nodes_.size();) {
      const Node& node = nodes_[i];
      const int32_t state = next(states[node.depth - 1], node.byte);
      if (state < 0) {
        i = node.end;
        continue;
      }
      states[node.depth] = state;
      const auto last = i + 1 < nodes_.size() ? nodes_[i + 1].first_id : ids_.size();
      for (size_t id = node.first_id; id < last; ++id) take(ids_[id]);
      ++i;
    }
  }

 private:
  // In the order of their bytes, each before those that go on from it.
  struct Node {
    uint32_t end = 0;       // behind the nodes that go on from this one
    uint32_t first_id = 0;  // in ids_; the next node's first id ends those of this one
    uint32_t depth = 0;     // bytes up to here
    uint8_t byte = 0;
  };

  int32_t num_ids_;
  std::string bytes_;              // of all tokens
  std::vector<size_t> ends_ = {};  // of those of each id
  size_t max_depth_ = 0;
  std::vector<Node> nodes_;
  std::vector<int32_t> ids_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKEN_TRIE_H_
