#include "train/generate.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "train/block_model.h"
#include "train/vanilla_model.h"

namespace blockformer {
namespace {

using TokenRows = std::vector<std::vector<int32_t>>;

constexpr int64_t kMaxNewTokens = 1 << 24;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t LongestPrompt(const TokenRows& prompts) {
  size_t longest = 0;
  for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
  return static_cast<int64_t>(longest);
}

// Prompts padded on the left to whole blocks of one length.
struct PromptBatch {
  torch::Tensor ids;        // i64 [batch, length]
  torch::Tensor mask;       // bool [batch, length]
  torch::Tensor positions;  // i64 [batch, length / block_length]: 0 at the first block with a token
  torch::Tensor block_mask;  // bool, the same shape
};

// With `published`, an encoder's padding id in a prompt is taken for padding, but keeps its place.
PromptBatch PadPrompts(const TokenRows& prompts, const ModelConfig& config, bool published,
                       torch::Device device) {
  const int64_t block_length = config.block_length;  // 1 in a vanilla model
  const int64_t length = RoundUp(LongestPrompt(prompts), block_length);
  const auto batch = static_cast<int64_t>(prompts.size());
  PromptBatch result;
  result.ids = torch::full({batch, length}, config.PromptPadId(), torch::kInt64);
  result.mask = torch::zeros({batch, length}, torch::kBool);
  for (int64_t i = 0; i < batch; ++i) {
    const auto& prompt = prompts[static_cast<size_t>(i)];
    const int64_t begin = length - static_cast<int64_t>(prompt.size());
    result.ids[i].slice(0, begin).copy_(torch::tensor(prompt, torch::kInt32));
    result.mask[i].slice(0, begin).fill_(true);
  }
  result.ids = result.ids.to(device);
  result.mask = result.mask.to(device);
  const auto blocks_with_tokens = [&] {
    return result.mask.unflatten(1, {-1, block_length}).any(-1);
  };
  result.positions = (blocks_with_tokens().to(torch::kInt64).cumsum(1) - 1).clamp_min(0);
  if (published && config.embedder.type != EmbedderType::kLookup) {
    result.mask.logical_and_(result.ids != config.embedder.encoder.pad_token_id);
  }
  result.block_mask = blocks_with_tokens();
  return result;
}

// What a sequence of decoding steps shares.
class Decoder {
 public:
  Decoder(const LanguageModel& model, const GenerateOptions& options, size_t batch)
      : options_(options),
        device_(model.parameters().front().device()),
        choices_(options.num_choices > 0 ? options.num_choices : model.config().vocab_size),
        excluded_(torch::tensor(options.excluded_ids, torch::kInt64).to(device_)),
        eos_(torch::tensor(options.eos_ids, torch::kInt64).to(device_)),
        streams_(options.streams),
        finished_(torch::zeros({static_cast<int64_t>(batch)},
                               torch::TensorOptions(torch::kBool).device(device_))) {
    if (streams_.empty()) {
      streams_.resize(batch);
      std::iota(streams_.begin(), streams_.end(), uint64_t{0});
    }
  }

  // Draws the next token of every sequence from logits [batch, vocab_size].
  torch::Tensor Draw(const torch::Tensor& logits) {
    torch::Tensor choices = logits.narrow(1, 0, choices_);
    if (excluded_.numel() > 0) choices = choices.index_fill(1, excluded_, -kInfinity);
    const torch::Tensor token = SampleTokens(options_.sampling, choices, streams_, drawn_++);
    finished_.logical_or_(torch::isin(token, eos_));
    tokens_.push_back(token);
    return token;
  }

  // Whether every sequence has ended.
  bool AllFinished() const { return !options_.eos_ids.empty() && finished_.all().item<bool>(); }
  const torch::Device& device() const { return device_; }

  // All tokens drawn so far, ends of text and what stands behind them included.
  TokenRows Rows() const {
    const torch::Tensor all = torch::stack(tokens_, 1).to(torch::kInt32).cpu().contiguous();
    TokenRows rows;
    for (int64_t i = 0; i < all.size(0); ++i) {
      const int32_t* row = all[i].data_ptr<int32_t>();
      rows.emplace_back(row, row + all.size(1));
    }
    return rows;
  }

 private:
  const GenerateOptions& options_;
  torch::Device device_;
  int64_t choices_;
  torch::Tensor excluded_;  // i64 [excluded ids]
  torch::Tensor eos_;       // i64 [ids that end a sequence]
  std::vector<uint64_t> streams_;
  torch::Tensor finished_;  // bool [batch]
  std::vector<torch::Tensor> tokens_;
  uint64_t drawn_ = 0;
};

TokenRows GenerateVanilla(const VanillaModel& model, const TokenRows& prompts, int64_t new_tokens,
                          const GenerateOptions& options) {
  Decoder decoder(model, options, prompts.size());
  const PromptBatch batch =
      PadPrompts(prompts, model.config(), options.published, decoder.device());
  KvCache cache = model.MakeCache(batch.ids.size(0), batch.ids.size(1) + new_tokens);
  StackContext context;
  context.cache = &cache;
  context.mask = batch.mask;
  context.positions = batch.positions;
  torch::Tensor ids = batch.ids;
  for (int64_t i = 0; i < new_tokens && !decoder.AllFinished(); ++i) {
    context.first_output = ids.size(1) - 1;
    const torch::Tensor token = decoder.Draw(model.Logits(model.Forward(ids, context).squeeze(1)));
    ids = token.unsqueeze(1);
    context.positions = context.positions.slice(1, -1) + 1;
    context.mask = torch::cat({context.mask, torch::ones_like(context.mask.slice(1, -1))}, 1);
  }
  return decoder.Rows();
}

// Draws the `count` tokens of the block that follows the context embeddings [batch, width].
torch::Tensor GenerateBlock(const TokenDecoder& model, const torch::Tensor& context_embedding,
                            int64_t count, bool published, Decoder& decoder) {
  const std::unique_ptr<BlockDecoding> decoding = model.Begin(context_embedding, published);
  std::vector<torch::Tensor> tokens;
  torch::Tensor token;
  for (int64_t i = 0; i < count; ++i) {
    token = decoder.Draw(model.Logits(decoding->Next(token)));
    tokens.push_back(token);
  }
  return torch::stack(tokens, 1);
}

TokenRows GenerateBlocks(const BlockModel& model, const TokenRows& prompts, int64_t new_tokens,
                         const GenerateOptions& options) {
  const ModelConfig& config = model.config();
  const int64_t length = config.block_length;
  Decoder decoder(model, options, prompts.size());
  const PromptBatch batch = PadPrompts(prompts, config, options.published, decoder.device());
  KvCache cache = model.block_decoder().MakeCache(
      batch.ids.size(0), batch.block_mask.size(1) + RoundUp(new_tokens, length) / length,
      decoder.device());
  StackContext context;
  context.cache = &cache;
  context.mask = batch.block_mask;
  context.positions = batch.positions;
  torch::Tensor ids = batch.ids.unflatten(1, {-1, length});
  torch::Tensor mask = batch.mask.unflatten(1, {-1, length});
  for (int64_t done = 0; done < new_tokens && !decoder.AllFinished(); done += length) {
    context.first_output = ids.size(1) - 1;
    const torch::Tensor embedding =
        model.block_decoder().Forward(model.EmbedBlocks(ids, mask), context).squeeze(1);
    const int64_t count = std::min(length, new_tokens - done);
    ids = GenerateBlock(model.token_decoder(), embedding, count, options.published, decoder)
              .unsqueeze(1);
    mask = torch::ones_like(ids, mask.options());
    context.positions = context.positions.slice(1, -1) + 1;
    context.mask = torch::cat({context.mask, torch::ones_like(context.mask.slice(1, -1))}, 1);
  }
  return decoder.Rows();
}

// The published generate() makes whole blocks until the padded prompt and they reach max_length,
// one at least; only the one that reaches max_length tokens without the padding is cut.
int64_t PublishedNewTokens(int64_t prompt_length, int64_t block_length, int64_t max_tokens) {
  const int64_t padding = RoundUp(prompt_length, block_length) - prompt_length;
  return std::min(max_tokens, std::max(block_length, RoundUp(max_tokens - padding, block_length)));
}

// Where a row's first end of text stands, or its size.
int64_t EndOfText(const std::vector<int32_t>& row, const std::vector<int32_t>& eos_ids) {
  return std::find_first_of(row.begin(), row.end(), eos_ids.begin(), eos_ids.end()) - row.begin();
}

// Puts the published fill ids behind the ends of text, and cuts where all sequences have ended.
void FillBehindEnds(const GenerateOptions& options, int64_t block_length, TokenRows& rows) {
  const auto length = static_cast<int64_t>(rows.front().size());
  std::vector<int64_t> ends;  // of each row: where its end of text stands, or `length`
  for (const auto& row : rows) {
    ends.push_back(EndOfText(row, options.eos_ids));
  }
  const int64_t last_end = *std::max_element(ends.begin(), ends.end());
  const int64_t kept = std::min(length, RoundUp(last_end + 1, block_length));
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t block_begin = ends[i] / block_length * block_length;
    // How far the sequences that were still active drew in that block.
    int64_t drawn_end = 0;
    for (const int64_t end : ends) {
      if (end >= block_begin) drawn_end = std::max(drawn_end, end + 1);
    }
    drawn_end = std::min(drawn_end, block_begin + block_length);
    rows[i].resize(static_cast<size_t>(kept));
    for (int64_t j = ends[i] + 1; j < kept; ++j) {
      rows[i][static_cast<size_t>(j)] =
          j < drawn_end ? options.block_fill_id : options.later_fill_id;
    }
  }
}

void CheckPrompts(const LanguageModel& model, const TokenRows& prompts,
                  const GenerateOptions& options) {
  Require(options.max_tokens >= 1 && options.max_tokens <= kMaxNewTokens,
          ErrorCode::kInvalidArgument, "max_tokens: {} is out of range; 1 to {} is wanted",
          options.max_tokens, kMaxNewTokens);
  for (size_t i = 0; i < prompts.size(); ++i) {
    Require(!prompts[i].empty(), ErrorCode::kInvalidArgument,
            "prompt {} is empty; a token is wanted", i);
    for (const int32_t id : prompts[i]) {
      Require(id >= 0 && id < model.config().vocab_size, ErrorCode::kInvalidArgument,
              "prompt {}: token id {} is not below the model's vocabulary size {}", i, id,
              model.config().vocab_size);
    }
  }
  const int64_t choices = options.num_choices > 0 ? options.num_choices : model.config().vocab_size;
  for (const int32_t id : options.excluded_ids) {
    Require(id >= 0 && id < choices, ErrorCode::kInvalidArgument,
            "excluded_ids: {} is not in [0, {})", id, choices);
  }
  Require(options.streams.empty() || options.streams.size() == prompts.size(),
          ErrorCode::kInvalidArgument, "{} streams were given for {} prompts",
          options.streams.size(), prompts.size());
}

}  // namespace

std::vector<int32_t> EosIds(const ModelConfig& config) {
  std::vector<int32_t> ids = {static_cast<int32_t>(config.eos_token_id)};
  ids.insert(ids.end(), config.other_eos_token_ids.begin(), config.other_eos_token_ids.end());
  return ids;
}

std::vector<std::vector<int32_t>> GenerateTokens(const LanguageModel& model,
                                                 const std::vector<std::vector<int32_t>>& prompts,
                                                 const GenerateOptions& options) {
  ValidateSampling(options.sampling);
  CheckPrompts(model, prompts, options);
  if (prompts.empty()) return {};
  torch::NoGradGuard no_gradients;
  const int64_t block_length = model.config().block_length;
  const int64_t new_tokens =
      options.published
          ? PublishedNewTokens(LongestPrompt(prompts), block_length, options.max_tokens)
          : options.max_tokens;
  const auto* vanilla = dynamic_cast<const VanillaModel*>(&model);
  TokenRows rows = vanilla != nullptr ? GenerateVanilla(*vanilla, prompts, new_tokens, options)
                                      : GenerateBlocks(dynamic_cast<const BlockModel&>(model),
                                                       prompts, new_tokens, options);
  if (options.eos_ids.empty()) return rows;
  if (options.published) {
    FillBehindEnds(options, block_length, rows);
    return rows;
  }
  for (auto& row : rows) row.resize(static_cast<size_t>(EndOfText(row, options.eos_ids)));
  return rows;
}

}  // namespace blockformer
