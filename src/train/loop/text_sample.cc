#include "train/loop/text_sample.h"

#include <algorithm>
#include <utility>

#include "devices/devices.h"
#include "engine/text_engine.h"

namespace blockformer::train {

std::shared_ptr<const Model> EngineModel(const LanguageModel& model) {
  const auto parameters = model.named_parameters();
  ReadWeights read;
  read.floats = [&parameters](const std::string& name) {
    const torch::Tensor values =
        parameters[name].detach().to(torch::kCPU, torch::kFloat32).contiguous();
    const float* begin = values.data_ptr<float>();
    return std::vector<float>(begin, begin + values.numel());
  };
  return MakeModel(model.config(), read);
}

std::string SampleText(const LanguageModel& model, const Tokenizer& tokenizer,
                       const std::vector<int32_t>& prompt, const TextSampleOptions& options) {
  EngineOptions engine_options = TextEngineOptions(tokenizer);
  engine_options.max_sequences = 1;
  Engine engine(EngineModel(model), engine_options);
  GenerationRequest request;
  request.prompt = prompt;
  const int64_t room = model.config().max_length - std::ssize(prompt);
  request.max_tokens = std::min(options.max_tokens, std::max<int64_t>(room, 1));
  request.sampling = options.sampling;
  request.stream = options.stream;
  return tokenizer.DecodeContinuation(GenerateAll(&engine, {std::move(request)}).front());
}

}  // namespace blockformer::train
