#ifndef BLOCKFORMER_TESTS_TEXT_CHARACTER_TOKENIZER_H_
#define BLOCKFORMER_TESTS_TEXT_CHARACTER_TOKENIZER_H_

#include <string>

#include "config/json.h"
#include "tests/text/tiny_tokenizer.h"
#include "text/metaspace.h"

namespace blockformer {

constexpr int64_t kCharacterTokenizerVocabSize = 268;

inline Json SpecialTokenJson(int id, const char* content) {
  return {{"id", id}, {"content", content}, {"normalized", false}, {"special", true}};
}

// Ids: 0 to 2 special, then the bytes, then the mark, h, e, l, o, and what merges make.
inline Json CharacterTokenizerJson() {
  const std::string mark(kMetaspace);
  Json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[ByteToken(static_cast<unsigned char>(byte))] = 3 + byte;
  }
  int id = 259;
  for (const std::string& token :
       {mark, std::string("h"), std::string("e"), std::string("l"), std::string("o"), mark + "h",
        std::string("el"), mark + "hel", mark + mark}) {
    vocabulary[token] = id++;
  }
  return {{"added_tokens",
           {SpecialTokenJson(0, "<unk>"), SpecialTokenJson(1, "<s>"), SpecialTokenJson(2, "</s>")}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "Prepend"}, {"prepend", mark}},
              {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", mark}}}}}},
          {"pre_tokenizer", nullptr},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single",
             {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "Replace"}, {"pattern", {{"String", mark}}}, {"content", " "}},
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"byte_fallback", true},
            {"vocab", vocabulary},
            {"merges", {mark + " h", "e l", mark + "h el", mark + " " + mark}}}}};
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_TEXT_CHARACTER_TOKENIZER_H_
