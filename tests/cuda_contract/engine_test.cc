// What the engine promises, held against both runners: preemption, shared beginnings, ends,
// batches, failures; and against the processor's texts.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "tests/cuda_contract/models.h"

namespace blockformer {
namespace {

using Texts = std::vector<std::vector<int32_t>>;

// A device and a kind of model.
class ContractTest : public testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  ContractTest() : model_(Make()) {}

  const std::string& Device() const { return std::get<0>(GetParam()); }
  ModelConfig Config() const { return ContractConfigs().at(std::get<1>(GetParam())); }
  // On the processor int8 weights, with which a row's results depend on the row alone.
  std::shared_ptr<const Model> Make() const {
    return MakeOn(Device(), Config(), Device() == "cpu" ? NumberType::kInt8 : NumberType::kF32);
  }
  std::vector<int32_t> Alone(const GenerationRequest& request, EngineOptions options = {}) const {
    Engine engine(model_, options);
    return GenerateAll(&engine, {request})[0];
  }
  // Room for so many hundredths of a sequence of max_length.
  EngineOptions SmallCache(int64_t max_length, int64_t hundredths) const {
    EngineOptions options;
    options.max_length = max_length;
    options.max_sequences = 1;
    const int64_t sequence_bytes = Engine(model_, options).options().memory_bytes;
    options.max_sequences = 6;
    options.memory_bytes = hundredths * sequence_bytes / 100;
    return options;
  }

  std::shared_ptr<const Model> model_;
};

TEST_P(ContractTest, PreemptionAndStepsUnderWayChangeNothing) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 14; ++i) {
    requests.push_back(Request(RandomPrompt(1 + 5 * i % 41, static_cast<uint64_t>(i)), 90 + i * 3));
    requests.back().sampling.temperature = i % 2 == 0 ? 0.0 : 0.8;
    requests.back().stop_at_eos = i % 3 == 0;
    requests.back().priority = static_cast<int32_t>(i % 3);
  }
  const EngineOptions options = SmallCache(180, 250);
  Engine engine(model_, options);
  const Texts together = GenerateAll(&engine, requests);
  EXPECT_GT(engine.stats().preemptions, 0);
  std::set<std::vector<int32_t>> different;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i], Alone(requests[i], options)) << "request " << i;
    different.insert(together[i]);
  }
  EXPECT_GT(different.size(), 7U) << "the model's texts are too alike to tell anything";
}

TEST_P(ContractTest, SharedBeginningsChangeNothing) {
  const std::vector<int32_t> beginning = RandomPrompt(60, 9);
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < 6; ++i) {
    std::vector<int32_t> prompt = beginning;
    for (const int32_t token : RandomPrompt(3 * i, static_cast<uint64_t>(i))) {
      prompt.push_back(token);
    }
    requests.push_back(Request(prompt, 12));
  }
  EngineOptions options;
  options.max_prefill_tokens = 30;
  Engine engine(model_, options);
  const Texts shared = GenerateAll(&engine, requests);
  EXPECT_GT(engine.stats().cached_prompt_units, 0);
  options.share_prefixes = false;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(shared[i], Alone(requests[i], options)) << "request " << i;
  }
}

TEST_P(ContractTest, EndsAtTheEndOfTextAndAtStopIds) {
  GenerationRequest request = Request(RandomPrompt(9, 2), 40);
  const std::vector<int32_t> endless = Alone(request);
  request.stop_ids = {endless[6]};
  const auto end = std::ranges::find(endless, endless[6]);
  EXPECT_EQ(Alone(request), std::vector<int32_t>(endless.begin(), end));
  Engine engine(model_, {});
  int calls = 0;
  engine.Submit(Request(RandomPrompt(4, 1), 60),
                [&](const GeneratedTokens&) { return ++calls < 3; });
  const int64_t other =
      engine.Submit(Request(RandomPrompt(4, 2), 60), [](const GeneratedTokens&) { return true; });
  for (int i = 0; i < 4; ++i) engine.Step();
  engine.Cancel(other);
  engine.Run();
  EXPECT_EQ(calls, 3);
}

TEST_P(ContractTest, PaddingOfThePromptIsTheEnginesOwn) {
  if (!model_->is_block()) return;
  const std::vector<int32_t> prompt = RandomPrompt(model_->unit_length() + 1, 4);
  GenerationRequest padded = Request(prompt, 9);
  const size_t padding = 2 * model_->unit_length() - 1;
  padded.prompt.insert(padded.prompt.begin(), padding, 0);
  padded.prompt_mask.assign(padded.prompt.size(), 1);
  std::fill_n(padded.prompt_mask.begin(), padding, 0);
  GenerationRequest same = padded;  // but for tokens of the unit that is masked as a whole
  same.prompt[0] = 7;
  EXPECT_EQ(Alone(padded), Alone(same));
}

TEST_P(ContractTest, AFailureIsItsSequencesOwn) {
  const std::shared_ptr<const Model> model = [&] {
    ReadWeights weights = TinyWeights(Config());
    const auto floats = weights.floats;
    const bool vanilla = Config().kind == ModelKind::kVanilla;
    const std::string table = vanilla ? "gpt_neox.embed_in.weight" : "embedder.embeddings.weight";
    const auto with_infinity = [floats, table](const std::string& name) {
      std::vector<float> values = floats(name);
      if (name == table) {
        const size_t width = values.size() / 61;
        std::fill_n(values.begin() + static_cast<ptrdiff_t>(33 * width), width, INFINITY);
      }
      return values;
    };
    weights.floats = with_infinity;
    return Device() == "cpu" ? std::shared_ptr<const Model>(new CpuModel(Config(), weights))
                             : std::shared_ptr<const Model>(
                                   new cuda::CudaModel(Config(), weights, 0, SmallPieces()));
  }();
  Engine engine(model, {});
  std::vector<int32_t> bad = RandomPrompt(9, 3);
  bad[4] = 33;
  std::vector<int32_t> good = RandomPrompt(9, 3);
  std::ranges::replace(good, 33, 34);
  GenerationRequest request = Request(good, 6);
  request.excluded_ids = {33};
  int failures = 0;
  std::vector<int32_t> tokens;
  engine.Submit(
      Request(bad, 6), [](const GeneratedTokens&) { return true; },
      [&](const Error& error) {
        ++failures;
        EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      });
  engine.Submit(request, [&](const GeneratedTokens& fresh) {
    tokens.insert(tokens.end(), fresh.ids.begin(), fresh.ids.end());
    return true;
  });
  engine.Run();
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(tokens.size(), 6U);
}

INSTANTIATE_TEST_SUITE_P(
    Devices, ContractTest,
    testing::Combine(testing::ValuesIn(ContractDevices()),
                     testing::Values("Vanilla", "Prefix", "Summation", "Sequential")),
    [](const auto& test) { return std::get<0>(test.param) + "_" + std::get<1>(test.param); });

// Bit for bit, whatever runs beside a sequence and however work is cut.
class CudaEngineTest : public testing::TestWithParam<NumberType> {
 protected:
  static std::vector<GenerationRequest> Requests() {
    std::vector<GenerationRequest> requests;
    for (int64_t i = 0; i < 9; ++i) {
      requests.push_back(
          Request(RandomPrompt(1 + 5 * i % 41, static_cast<uint64_t>(i)), 10 + i * 2));
      requests.back().sampling.temperature = i % 2 == 0 ? 0.0 : 0.8;
      requests.back().stream = static_cast<uint64_t>(i);
      requests.back().log_probabilities = 2;
    }
    return requests;
  }
  struct Results {
    Texts texts;
    std::vector<std::vector<double>> log_probabilities;
    bool operator==(const Results&) const = default;
  };
  static Results Run(const std::shared_ptr<const Model>& model, int64_t sequences,
                     NumberType kv_type) {
    EngineOptions options;
    options.max_sequences = sequences;
    options.kv_type = kv_type;
    options.max_prefill_tokens = 5 + 11 * sequences;
    Engine engine(model, options);
    Results results;
    const std::vector<GenerationRequest> requests = Requests();
    results.texts.resize(requests.size());
    results.log_probabilities.resize(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      engine.Submit(requests[i], [&results, i](const GeneratedTokens& fresh) {
        results.texts[i].insert(results.texts[i].end(), fresh.ids.begin(), fresh.ids.end());
        for (const auto& rated : fresh.log_probabilities) {
          results.log_probabilities[i].push_back(rated.chosen);
        }
        return true;
      });
    }
    engine.Run();
    return results;
  }
};

TEST_P(CudaEngineTest, BatchesPiecesAndGraphsChangeNotABit) {
  for (const NumberType weights : {NumberType::kF32, NumberType::kBf16}) {
    const ModelConfig config = TinyBlockConfig();
    const Results expected = Run(MakeOn("cuda", config, weights, SmallPieces()), 1, GetParam());
    EXPECT_EQ(expected.texts[8].size(), 26U);
    for (const cuda::RunnerSettings& settings :
         {SmallPieces(), SmallPieces(/*graphs=*/false), cuda::RunnerSettings{}}) {
      EXPECT_EQ(Run(MakeOn("cuda", config, weights, settings), 7, GetParam()), expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Caches, CudaEngineTest,
                         testing::Values(NumberType::kF32, NumberType::kF16, NumberType::kBf16,
                                         NumberType::kInt8),
                         [](const auto& test) { return NumberTypeName(test.param); });

TEST(CudaModel, RefusesWhatItDoesNotRunByName) {
  const auto message = [](const ModelConfig& config, NumberType type) -> std::string {
    try {
      MakeOn("cuda", config, type);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(TinyT5Config(), NumberType::kF32), testing::HasSubstr("T5"));
  EXPECT_THAT(message(TinyRobertaConfig(), NumberType::kF32), testing::HasSubstr("RoBERTa"));
  EXPECT_THAT(message(TinyBlockConfig(), NumberType::kInt8), testing::HasSubstr("int8"));
}

TEST(CudaModel, RunsOnSeveralDevices) {
  const ReadWeights weights = TinyWeights(TinyBlockConfig());
  Texts texts;
  for (const int device : {0, 1}) {
    Engine engine(std::make_shared<const cuda::CudaModel>(TinyBlockConfig(), weights, device), {});
    texts.push_back(GenerateAll(&engine, {Request(RandomPrompt(9, 1), 12)})[0]);
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_THROW(cuda::CudaModel(TinyBlockConfig(), weights, 2), Error);
}

}  // namespace
}  // namespace blockformer
