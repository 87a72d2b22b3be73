#include "cli/bench_flags.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "bench/batch_search.h"
#include "cli/flags.h"

namespace blockformer {
std::vector<int64_t> ParseBatches(const std::vector<std::string>& texts) {
  std::vector<int64_t> batches;
  if (texts.size() == 1 && texts[0] == "auto") return batches;
  for (const std::string& text : texts) {
    const std::optional<int64_t> batch = ParseWhole<int64_t>(text);
    Require(batch && *batch >= 1 && *batch <= kMaxBatch, ErrorCode::kInvalidArgument,
            "--batch: \"{}\" is not possible; sizes from 1 to {}, or auto alone, are wanted", text,
            kMaxBatch);
    Require(std::find(batches.begin(), batches.end(), *batch) == batches.end(),
            ErrorCode::kInvalidArgument, "--batch: {} stands twice; each size is wanted once",
            text);
    batches.push_back(*batch);
  }
  return batches;
}

std::vector<NumberType> ParseKvTypes(const std::vector<std::string>& texts, size_t models) {
  Require(texts.size() == 1 || texts.size() == models, ErrorCode::kInvalidArgument,
          "--kv-dtype: {} values for {} models; one for all or one for each is wanted",
          texts.size(), models);
  std::vector<NumberType> types;
  for (size_t i = 0; i < models; ++i) {
    types.push_back(ParseNumberType("--kv-dtype", texts[texts.size() == 1 ? 0 : i], kKvTypes));
  }
  return types;
}

}  // namespace blockformer
