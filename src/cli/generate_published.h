#ifndef BLOCKFORMER_CLI_GENERATE_PUBLISHED_H_
#define BLOCKFORMER_CLI_GENERATE_PUBLISHED_H_

#include <cstdint>
#include <string>

namespace blockformer {

// `generate --compat published`: continues one prompt exactly as the published implementation does
// (engine/published.h) and prints the text, or with `json` the ids too. Throws
// Error(kInvalidArgument) for an empty prompt.
void GeneratePublishedText(const std::string& model_directory, const std::string& prompt,
                           int64_t max_tokens, bool ignore_eos, bool json);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_GENERATE_PUBLISHED_H_
