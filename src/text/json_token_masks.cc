#include "text/json_token_masks.h"

#include <algorithm>
#include <utility>

namespace blockformer {
namespace {

constexpr int64_t kMaxTableBytes = int64_t{8} << 20;

uint64_t BitOf(int32_t id) { return uint64_t{1} << (id % 64); }

}  // namespace

JsonTokenMasks::JsonTokenMasks(std::shared_ptr<const TokenTrie> trie, JsonGrammar grammar,
                               std::vector<int32_t> end_ids)
    : trie_(std::move(trie)),
      grammar_(std::make_shared<const JsonGrammar>(std::move(grammar))),
      end_ids_(std::move(end_ids)),
      grammar_bytes_(grammar_->num_bytes()),
      table_(std::make_shared<Table>(grammar_)) {}

JsonTokenMasks::Place JsonTokenMasks::Begin() {
  const std::lock_guard lock(mutex_);
  return {table_, table_->automaton.start()};
}

void JsonTokenMasks::Follow(Place* place) const {
  if (place->table == table_) return;
  place->state = table_->automaton.StateOf(place->table->automaton.StacksOf(place->state));
  place->table = table_;
}

std::shared_ptr<const TokenMask> JsonTokenMasks::MaskAt(Place* place) {
  const std::lock_guard lock(mutex_);
  Follow(place);
  std::vector<std::shared_ptr<const TokenMask>>& masks = table_->masks;
  const int32_t state = table_->automaton.StateFarFromLimits(place->state, trie_->max_bytes());
  if (state >= std::ssize(masks)) masks.resize(state + 1);
  if (masks[state] == nullptr) {
    masks[state] = MakeMask(&table_->automaton, state);
    table_->mask_bytes += static_cast<int64_t>(masks[state]->size() * sizeof(uint64_t));
  }
  std::shared_ptr<const TokenMask> mask = masks[state];
  if (table_->num_bytes() > kMaxTableBytes) {
    table_ = std::make_shared<Table>(grammar_);
    Follow(place);  // so that nobody who waits keeps the old one
  }
  table_bytes_ = table_->num_bytes();
  return mask;
}

std::shared_ptr<const TokenMask> JsonTokenMasks::MakeMask(JsonAutomaton* automaton,
                                                          int32_t state) const {
  TokenMask mask(static_cast<size_t>(trie_->num_ids() + 63) / 64);
  trie_->Walk(
      state, [automaton](int32_t from, uint8_t byte) { return automaton->Next(from, byte); },
      [&mask](int32_t id) { mask[id / 64] |= BitOf(id); });
  for (const int32_t id : end_ids_) {
    if (id < 0 || id >= trie_->num_ids()) continue;
    mask[id / 64] &= ~BitOf(id);  // it would end the text, even if it has bytes that could come
    if (automaton->IsComplete(state)) mask[id / 64] |= BitOf(id);
  }
  return std::make_shared<const TokenMask>(std::move(mask));
}

bool JsonTokenMasks::Take(int32_t id, Place* place) {
  const std::string_view bytes = trie_->BytesOf(id);
  if (bytes.empty() || std::ranges::find(end_ids_, id) != end_ids_.end()) return false;
  const std::lock_guard lock(mutex_);
  const int32_t next = place->table->automaton.Next(place->state, bytes);
  if (next == JsonAutomaton::kNoState) return false;
  place->state = next;
  return true;
}

}  // namespace blockformer
