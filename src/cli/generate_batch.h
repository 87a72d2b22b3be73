#ifndef BLOCKFORMER_CLI_GENERATE_BATCH_H_
#define BLOCKFORMER_CLI_GENERATE_BATCH_H_

#include <string>

#include "blockformer/text_generator.h"
#include "text/tokenizer.h"

namespace blockformer {

struct BatchFiles {
  std::string input;                               // JSON lines with a field "prompt"
  std::string output;                              // JSON lines
  std::string result_prefix;                       // of the names of the fields that are added
  bool force = false;                              // replace `output` if it is there
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;  // in prompts
  bool plain_text = false;                         // as the generator's options have it
};

const char* TooLongName(TooLong too_long);
const char* FinishReasonName(FinishReason reason);

// Continues every prompt of a file: each output line is the input line, byte for byte, with "text",
// "tokens" and "finish_reason" added ("sample" too if `samples` > 1, "cut_tokens" if the prompt was
// cut), in the order of the input. A text that fails has "finish_reason" "error" and the message as
// "error". Prompts that are too long are named in the log or, without options.too_long, in the
// error. What is done lies in OUTPUT.partial, from which an interrupted run with the same settings
// goes on; OUTPUT appears when all is done. Throws Error(kInvalidArgument) that names the line for
// bad input, and for a line that has a field of these names; Error(kInterrupted) after a stop
// signal; and, when OUTPUT is there, Error(kCorrupt) with the number of texts that failed.
void GenerateFile(TextGenerator* generator, const BatchFiles& files, const TextOptions& options,
                  int64_t samples, const std::string& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_GENERATE_BATCH_H_
