#ifndef BLOCKFORMER_TEXT_JSON_TOKEN_MASKS_H_
#define BLOCKFORMER_TEXT_JSON_TOKEN_MASKS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "text/json_automaton.h"
#include "text/json_grammar.h"
#include "text/token_trie.h"

namespace blockformer {

// Bit id % 64 of word id / 64 says whether the token may come next.
using TokenMask = std::vector<uint64_t>;

// Which tokens may come next in JSON texts of a grammar. What was found out once is kept for all
// texts, in a few megabytes. Thread-safe.
class JsonTokenMasks {
 private:
  struct Table;

 public:
  // Where a text is.
  struct Place {
    std::shared_ptr<Table> table;
    int32_t state = JsonAutomaton::kNoState;
  };

  // `end_ids` are the tokens that end a text: they may come, and have to, when it is complete.
  JsonTokenMasks(std::shared_ptr<const TokenTrie> trie, JsonGrammar grammar,
                 std::vector<int32_t> end_ids);

  Place Begin();

  // All zero if the vocabulary lacks what would have to come.
  std::shared_ptr<const TokenMask> MaskAt(Place* place);

  // Of memory, about. Changes as masks are found out.
  int64_t num_bytes() const { return grammar_bytes_ + table_bytes_; }

  // Goes on behind a token. Returns false, and leaves the place as it is, if the text has ended
  // with it or it may not come.
  bool Take(int32_t id, Place* place);

 private:
  // An automaton with the masks of its states, as far as they were wanted.
  struct Table {
    explicit Table(std::shared_ptr<const JsonGrammar> grammar) : automaton(std::move(grammar)) {}
    JsonAutomaton automaton;
    std::vector<std::shared_ptr<const TokenMask>> masks;  // by state, far from limits
    int64_t mask_bytes = 0;

    int64_t num_bytes() const { return automaton.num_bytes() + mask_bytes; }
  };

  // Brings a place to the table in use.
  void Follow(Place* place) const;
  std::shared_ptr<const TokenMask> MakeMask(JsonAutomaton* automaton, int32_t state) const;

  const std::shared_ptr<const TokenTrie> trie_;
  const std::shared_ptr<const JsonGrammar> grammar_;
  const std::vector<int32_t> end_ids_;
  const int64_t grammar_bytes_;
  std::atomic<int64_t> table_bytes_ = 0;
  std::mutex mutex_;              // guards what follows, and all tables
  std::shared_ptr<Table> table_;  // another one takes its place when it has grown too large
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_JSON_TOKEN_MASKS_H_
