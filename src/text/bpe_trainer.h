#ifndef BLOCKFORMER_TEXT_BPE_TRAINER_H_
#define BLOCKFORMER_TEXT_BPE_TRAINER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "text/tokenizer_file.h"

namespace blockformer {

// Every trained vocabulary opens with these two special tokens, ids 0 and 1, and the 256 bytes.
inline constexpr std::string_view kTrainedSpecialTokens[] = {"<|endoftext|>", "<|padding|>"};
constexpr int32_t kMinTrainedVocabulary = 2 + 256;

struct BpeTrainerOptions {
  int32_t vocab_size = 0;     // from kMinTrainedVocabulary to kMaxTokenId + 1
  int64_t min_frequency = 2;  // a pair that occurs less often is not merged
  std::function<void(int32_t vocab_size)> progress = nullptr;  // called with the size so far
};

// Trains a byte-level BPE tokenizer of the form of the Pythia models': NFC, the pattern of GPT-2,
// <|endoftext|> and <|padding|> as ids 0 and 1. Equal texts and options give equal results, which
// are those of BpeTrainer in Hugging Face's tokenizers library: of equally frequent pairs the one
// with the smaller ids is merged first. The texts of the special tokens are text like any other.
//
// next_document(&text) gives the next document, valid UTF-8, or false after the last; it is called
// on this thread, and words are counted on all. Memory is that of the distinct words and of one
// batch of documents. The vocabulary is smaller than asked for if the text has no more frequent
// pairs. Throws Error(kInvalidArgument) for options out of range, invalid UTF-8 and a corpus
// without text.
TokenizerDescription TrainBpe(const std::function<bool(std::string*)>& next_document,
                              const BpeTrainerOptions& options);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_BPE_TRAINER_H_
