#ifndef BLOCKFORMER_TESTS_DATA_BYTE_TOKENIZER_H_
#define BLOCKFORMER_TESTS_DATA_BYTE_TOKENIZER_H_

#include <string>

#include "base/file.h"
#include "config/json.h"
#include "text/byte_alphabet.h"

namespace blockformer {

constexpr int32_t kByteTokenizerVocabSize = 260;

// Writes a tokenizer.json: end-of-text is id 0, byte b is id b + 1, and three merges make " the".
inline void WriteByteTokenizer(const std::string& path) {
  OrderedJson vocabulary = {{"<|endoftext|>", 0}};
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[ToByteAlphabet(std::string(1, static_cast<char>(byte)))] = byte + 1;
  }
  const std::string space = ToByteAlphabet(" ");
  vocabulary["th"] = 257;
  vocabulary["the"] = 258;
  vocabulary[space + "the"] = 259;
  const OrderedJson byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  const OrderedJson end_of_text = {
      {"id", 0},         {"content", "<|endoftext|>"}, {"single_word", false}, {"lstrip", false},
      {"rstrip", false}, {"normalized", false},        {"special", true}};
  const OrderedJson json = {
      {"version", "1.0"},
      {"added_tokens", OrderedJson::array({end_of_text})},
      {"pre_tokenizer", byte_level},
      {"decoder", byte_level},
      {"model",
       {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"t h", "th e", space + " the"}}}}};
  WriteFileAtomically(path, json.dump());
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_DATA_BYTE_TOKENIZER_H_
