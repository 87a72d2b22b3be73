#ifndef BLOCKFORMER_CLI_LINE_ERRORS_H_
#define BLOCKFORMER_CLI_LINE_ERRORS_H_

#include <functional>
#include <string>

#include "config/json.h"

namespace blockformer {

// Throws Error(kCorrupt) if lines of a finished output, JSON objects, are those of texts that
// failed: how many of how many, and the first one's number and field "error". Reads the whole file,
// so that lines of earlier runs count.
void RequireNoErrors(const std::string& path,
                     const std::function<bool(const OrderedJson& line)>& failed);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_LINE_ERRORS_H_
