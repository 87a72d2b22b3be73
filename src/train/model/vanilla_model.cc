#include "train/model/vanilla_model.h"

#include "base/error.h"
#include "config/parameters.h"
#include "data/packing.h"
#include "train/model/loss.h"
#include "train/model/registration.h"

namespace blockformer::train {

VanillaModel::VanillaModel(const ModelConfig& config, ComputeType compute)
    : LanguageModel(config),
      compute_(compute),
      stack_(RegisterAt(*this, DecoderNames(config).Body(),
                        std::make_shared<TransformerStack>(config.decoder, compute))),
      vocabulary_(*this, *stack_, config.decoder, config.vocab_size, compute) {}

TokenLoss VanillaModel::Loss(const TokenBatch& batch) {
  Require(batch.ids.dim() == 2 && batch.ids.size(1) > 1, ErrorCode::kInvalidArgument,
          "a sample of {} tokens is too short: two or more are wanted", batch.ids.size(-1));
  StackContext context;
  context.positions = torch::arange(batch.ids.size(1), batch.ids.options());
  context.mask = batch.mask.to(torch::kBool);
  context.padding_queries = padding_queries();
  const int64_t predicted = batch.ids.size(1) - 1;  // the last token is only a target
  const torch::Tensor hidden = Forward(batch.ids, context).narrow(1, 0, predicted).flatten(0, 1);
  const torch::Tensor labels = batch.labels.narrow(1, 1, predicted).flatten();
  const HeadLoss loss = SoftmaxHeadLoss(hidden, vocabulary_.head(), labels, compute_);
  TokenLoss result;
  result.sum = loss.sum;
  result.count = (labels != kIgnoredLabel).sum();
  result.sum_by_position = loss.rows.to(torch::kFloat64).sum().view({1});
  result.count_by_position = result.count.view({1});
  return result;
}

}  // namespace blockformer::train
