#include "train/loop/batch_loader.h"

#include "base/error.h"
#include "base/random.h"

namespace blockformer::train {

int64_t SampleOrder::At(int64_t position) {
  const int64_t epoch = position / num_samples_;
  if (epoch != epoch_) {
    const uint64_t stream = static_cast<uint64_t>(epoch) + 1;
    permutation_ = RandomPermutation(num_samples_, MixBits(MixBits(seed_) + stream));
    epoch_ = epoch;
  }
  return permutation_[position % num_samples_];
}

BatchLoader::BatchLoader(const std::string& prefix, const ModelConfig& model,
                         bool published_packing)
    : tokens_(prefix), samples_(tokens_, ModelPacking(model, published_packing)) {
  Require(samples_.NumSamples() > 0, ErrorCode::kInvalidArgument,
          "{}: its {} tokens do not fill one sample of {}; a longer corpus or a shorter "
          "model.max_length is wanted",
          prefix, tokens_.NumTokens(), model.max_length);
}

TokenBatch BatchLoader::Read(std::span<const int64_t> samples, const torch::Device& device) const {
  const int64_t length = samples_.options().sample_length;
  const auto shape = {static_cast<int64_t>(samples.size()), length};
  torch::Tensor ids = torch::empty(shape, torch::kInt32);
  torch::Tensor mask = torch::empty(shape, torch::kInt32);
  torch::Tensor labels = torch::empty(shape, torch::kInt32);
  for (size_t i = 0; i < samples.size(); ++i) {
    const auto row = [i, length](torch::Tensor& tensor) {
      return std::span(tensor.data_ptr<int32_t>() + static_cast<int64_t>(i) * length,
                       static_cast<size_t>(length));
    };
    samples_.Read(samples[i], row(ids), row(mask), row(labels));
  }
  const auto on_device = [&device](const torch::Tensor& tensor) {
    return tensor.to(device, torch::kInt64);
  };
  return {on_device(ids), on_device(mask), on_device(labels)};
}

}  // namespace blockformer::train
