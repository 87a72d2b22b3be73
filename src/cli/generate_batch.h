#ifndef BLOCKFORMER_CLI_GENERATE_BATCH_H_
#define BLOCKFORMER_CLI_GENERATE_BATCH_H_

#include <string>

#include "blockformer/text_generator.h"

namespace blockformer {

struct BatchFiles {
  std::string input;   // JSON lines with a field "prompt"
  std::string output;  // JSON lines
  bool force = false;  // replace `output` if it is there
};

const char* FinishReasonName(FinishReason reason);

// Continues every prompt of a file: each output line is the input line with "text", "tokens" and
// "finish_reason" added ("sample" too if `samples` > 1), in the order of the input. What is done
// lies in OUTPUT.partial, from which an interrupted run goes on; OUTPUT appears when all is done. A
// text that fails has "finish_reason" "error" and the message as "error". Throws
// Error(kInvalidArgument) that names the line for bad input, Error(kInterrupted) after a stop
// signal, and, when OUTPUT is there, Error(kCorrupt) with the number of texts that failed.
void GenerateFile(TextGenerator* generator, const BatchFiles& files, const TextOptions& options,
                  int64_t samples, const std::string& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_GENERATE_BATCH_H_
