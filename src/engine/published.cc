#include "engine/published.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/integer.h"
#include "engine/engine.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 24;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Sets what stands behind the first end-of-text token of each row, and cuts all rows where the last
// one has ended. `rows` hold generated tokens only, all of one length.
void FillBehindEnd(const PublishedBatch& batch, int64_t block_length,
                   std::vector<std::vector<int32_t>>* rows) {
  const int64_t length = static_cast<int64_t>(rows->front().size());
  std::vector<int64_t> ends;
  for (const std::vector<int32_t>& row : *rows) {
    const auto end = std::find(row.begin(), row.end(), *batch.eos_id);
    ends.push_back(end == row.end() ? kNever : end - row.begin());
  }
  const int64_t last_end = *std::max_element(ends.begin(), ends.end());
  for (int64_t begin = 0; begin < length; begin += block_length) {
    const int64_t block_end = std::min(begin + block_length, length);
    if (last_end < begin) {
      for (std::vector<int32_t>& row : *rows) row.resize(begin);
      return;
    }
    // The block is generated up to where the last sequence that is active in it ends.
    const int64_t generated_end = last_end < block_end ? last_end + 1 : block_end;
    for (size_t i = 0; i < rows->size(); ++i) {
      const int64_t first_fill = ends[i] == kNever ? block_end : std::max(begin, ends[i] + 1);
      for (int64_t t = first_fill; t < block_end; ++t) {
        const bool active = ends[i] >= begin;
        (*rows)[i][t] = active && t < generated_end ? batch.block_fill_id : batch.later_fill_id;
      }
    }
  }
}

// The published generate() makes whole blocks until the padded prompt and they reach max_length,
// one at least; only the one that reaches max_length tokens without the padding is cut.
int64_t NewTokens(int64_t prompt_length, int64_t block_length, int64_t max_length) {
  const int64_t padded = RoundUp(prompt_length, block_length);
  const int64_t blocks_end = RoundUp(std::max<int64_t>(0, max_length - padded), block_length);
  return std::min(max_length - prompt_length, std::max(block_length, blocks_end));
}

// Without a mask, the published generate() takes an encoder's padding id in a prompt for padding.
std::vector<uint8_t> MaskOfPrompt(const ModelConfig& config, const std::vector<int32_t>& prompt) {
  std::vector<uint8_t> mask;
  if (config.kind == ModelKind::kVanilla || config.embedder.type == EmbedderType::kLookup) {
    return mask;
  }
  for (const int32_t id : prompt) mask.push_back(id != config.embedder.encoder.pad_token_id);
  return mask;
}

}  // namespace

std::vector<std::vector<int32_t>> GeneratePublished(std::shared_ptr<const Model> model,
                                                    const PublishedBatch& batch) {
  Require(!batch.prompts.empty() && !batch.prompts.front().empty(), ErrorCode::kInvalidArgument,
          "the published generate() needs at least one token in every prompt");
  const int64_t prompt_length = static_cast<int64_t>(batch.prompts.front().size());
  Require(batch.max_length > prompt_length && batch.max_length <= kMaxLength,
          ErrorCode::kInvalidArgument,
          "`max_length`: {} is out of range; {} to {} is wanted after a prompt of {} tokens",
          batch.max_length, prompt_length + 1, kMaxLength, prompt_length);
  const int64_t new_tokens = NewTokens(prompt_length, model->unit_length(), batch.max_length);
  EngineOptions options;
  options.max_sequences = static_cast<int64_t>(batch.prompts.size());
  options.max_length = prompt_length + new_tokens;
  options.position_rule = PositionRule::kPublished;
  options.num_sampled_ids = batch.num_sampled_ids;
  options.excluded_ids = batch.excluded_ids;
  std::vector<GenerationRequest> requests;
  for (size_t i = 0; i < batch.prompts.size(); ++i) {
    GenerationRequest request;
    request.prompt = batch.prompts[i];
    request.prompt_mask =
        batch.masks.empty() ? MaskOfPrompt(model->config(), batch.prompts[i]) : batch.masks[i];
    if (!model->is_block() && !batch.masks.empty()) {
      // Hugging Face's generate() starts positions at the first token that is not masked, which is
      // the same as leaving the padding out.
      const auto first = std::find(request.prompt_mask.begin(), request.prompt_mask.end(), 1);
      request.prompt.erase(request.prompt.begin(),
                           request.prompt.begin() + (first - request.prompt_mask.begin()));
      request.prompt_mask.clear();
    }
    request.max_tokens = new_tokens;
    request.stop_at_eos = false;
    requests.push_back(std::move(request));
  }
  Engine engine(std::move(model), options);
  std::vector<std::vector<int32_t>> rows = GenerateAll(&engine, std::move(requests));
  if (batch.eos_id) FillBehindEnd(batch, engine.model().unit_length(), &rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].insert(rows[i].begin(), batch.prompts[i].begin(), batch.prompts[i].end());
  }
  return rows;
}

}  // namespace blockformer
