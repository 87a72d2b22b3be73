#ifndef BLOCKFORMER_TESTS_TEXT_TINY_TOKENIZER_H_
#define BLOCKFORMER_TESTS_TEXT_TINY_TOKENIZER_H_

#include <functional>
#include <string>

#include "config/json.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_file.h"

namespace blockformer {

// Text in several scripts, with white space of all kinds.
inline constexpr char kTinyCorpus[] =
    "It was the best of times, it was the worst of times; it's 1859, isn't it?\n"
    "\tWe'll see   what they've done: the the the!!! 12345 67 890\n\n"
    "Ça va déjà? Größe, Straße. Привет, мир! 你好,世界。 \xF0\x9F\x98\x80\xF0\x9F\x98\x80 "
    "e\xCC\x81\n";

inline TokenizerDescription TrainTiny(int32_t vocab_size = 330) {
  bool given = false;
  return TrainBpe(
      [&](std::string* document) {
        *document = kTinyCorpus;
        return !std::exchange(given, true);
      },
      {.vocab_size = vocab_size, .min_frequency = 1});
}

// The tokenizer.json of a tiny tokenizer, changed by `change`.
inline std::string TinyJson(const std::function<void(Json*)>& change = [](Json*) {}) {
  Json json = ParseJson(WriteTokenizerJson(TrainTiny()), "tiny");
  change(&json);
  return json.dump();
}

inline Tokenizer TinyTokenizer(const std::function<void(Json*)>& change = [](Json*) {}) {
  return Tokenizer::Parse(TinyJson(change), "tiny");
}

// An entry of "added_tokens"; `options` replaces what is usual.
inline Json MakeAddedToken(int id, const std::string& content,
                           const Json& options = Json::object()) {
  Json token = {{"id", id},        {"content", content}, {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", true}, {"special", false}};
  token.update(options);
  return token;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_TEXT_TINY_TOKENIZER_H_
