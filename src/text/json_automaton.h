#ifndef BLOCKFORMER_TEXT_JSON_AUTOMATON_H_
#define BLOCKFORMER_TEXT_JSON_AUTOMATON_H_

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "text/json_grammar.h"

namespace blockformer {

// Reads the bytes of a JSON text of a grammar, and says after each which may follow. From every
// state some bytes lead to a whole text.
//
// The texts are those of RFC 8259, with limits, so that whatever is read can be parsed and so that
// nothing but strings and lists goes on without end: JsonGrammar::kMaxLevels; 20 bytes of white
// space in a row, before values and names and behind values, but none behind the whole text;
// numbers of at most 18 digits before and behind the point, and exponents of two. Strings are valid
// UTF-8, and their surrogates come in pairs.
//
// A pushdown automaton, nondeterministic where alternatives begin alike, made deterministic while
// it is used (as RE2 does with regular expressions): a state is a set of stacks, and gets a number
// and a row of transitions when it is first reached; transitions by bytes that are alike inside
// strings are found together. Of more than 32 stacks a state keeps the first ones, and with them
// some of the texts. Not thread-safe.
class JsonAutomaton {
 public:
  static constexpr int32_t kNoState = -1;

  // What is open at one place of a text, on one level.
  struct Frame {
    int32_t node = JsonGrammar::kNone;  // of the grammar; kNone for the text as a whole
    int32_t phase = 0;
    int32_t count = 0;  // of characters, digits, items or members
    int32_t place = 0;  // in a ByteTree, or the white space so far
    auto operator<=>(const Frame&) const = default;
  };
  using Stack = std::vector<Frame>;   // the innermost last
  using Stacks = std::vector<Stack>;  // in order, each once

  explicit JsonAutomaton(std::shared_ptr<const JsonGrammar> grammar);

  int32_t start() const { return 0; }
  // The state behind a byte, or kNoState if it may not follow.
  int32_t Next(int32_t state, uint8_t byte) {
    const int32_t next = states_[state].next[byte];
    return next == kUnknown ? FindNext(state, byte) : next;
  }
  // The same for some bytes.
  int32_t Next(int32_t state, std::string_view bytes);
  // Whether the text may end here.
  bool IsComplete(int32_t state) const { return states_[state].is_complete; }

  // A state behind which the same may follow for so many bytes. It is one for all counts of
  // characters and items that are so far from their limits.
  int32_t StateFarFromLimits(int32_t state, int64_t bytes);

  // What a state is, and the state that is so, also of another automaton of the same grammar.
  const Stacks& StacksOf(int32_t state) const { return *states_[state].stacks; }
  int32_t StateOf(Stacks stacks);

  // Of memory, about.
  int64_t num_bytes() const { return num_bytes_; }

 private:
  static constexpr int32_t kUnknown = -2;

  struct State {
    const Stacks* stacks = nullptr;  // a key of numbers_
    bool is_complete = false;
    std::array<int32_t, 256> next;
  };

  int32_t FindNext(int32_t state, uint8_t byte);

  std::shared_ptr<const JsonGrammar> grammar_;
  std::deque<State> states_;
  std::map<Stacks, int32_t> numbers_;
  int64_t num_bytes_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_JSON_AUTOMATON_H_
