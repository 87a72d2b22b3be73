#include "sweep/sweep_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/sweep/sweep_folder.h"

namespace blockformer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> NamesOf(const Sweep& sweep) {
  std::vector<std::string> names;
  for (const SweepRun& run : sweep.runs) names.push_back(run.name);
  return names;
}

const ModelConfig& ModelOf(const Sweep& sweep, const std::string& name) {
  for (const SweepRun& run : sweep.runs) {
    if (run.name == name) return run.recipe.model;
  }
  ADD_FAILURE() << "no run " << name;
  return sweep.runs.at(0).recipe.model;
}

std::string ErrorOf(const std::string& fields, const std::vector<std::string>& overrides = {}) {
  const SweepFolder folder;
  try {
    folder.Read(fields, overrides);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(SweepConfig, LabelsFitIntoTables) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read("axes: {validation.prompt: ['a|b\"c']}");
  EXPECT_THAT(sweep.groups[0].labels, ElementsAre("a-b-c"));
  EXPECT_EQ(sweep.runs[1].recipe.validation.prompt, "a|b\"c");
}

TEST(SweepConfig, AnAxisVariesAloneAndSharesTheBase) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read("axes: {block_length: [1, 4, 8], prefix_length: [1, 2]}");
  EXPECT_THAT(NamesOf(sweep),
              ElementsAre("base", "block_length-1", "block_length-8", "prefix_length-1"));
  ASSERT_EQ(sweep.groups.size(), 2u);
  EXPECT_EQ(sweep.groups[0].title, "block_length");
  EXPECT_THAT(sweep.groups[0].runs, ElementsAre(1, 0, 2));
  EXPECT_THAT(sweep.groups[0].labels, ElementsAre("1", "4", "8"));
  EXPECT_THAT(sweep.groups[1].runs, ElementsAre(3, 0));
  EXPECT_EQ(ModelOf(sweep, "prefix_length-1").prefix_length, 1);
  EXPECT_EQ(sweep.runs[1].recipe.output, folder.Path("out/runs/block_length-1"));
}

TEST(SweepConfig, ADefaultThatIsWrittenOutIsTheSame) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read(
      "axes: {training.dtype: [f32, bf16], data.packing: [corrected], training.beta1: [0.90],\n"
      "       validation.samples: [64], training.stop_steps: [20]}\n");
  EXPECT_THAT(NamesOf(sweep), ElementsAre("base", "dtype-bf16"));
}

TEST(SweepConfig, TheTableFollowsTheBlockLength) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read("axes: {block_length: [1, 8]}");
  EXPECT_EQ(ModelOf(sweep, "block_length-1").embedder.hidden_size, 64);
  EXPECT_EQ(ModelOf(sweep, "block_length-8").embedder.hidden_size, 8);
}

TEST(SweepConfig, AllocationsDivideTheLayers) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read("axes: {allocation: [\"5:1\", '3:3']}");
  EXPECT_THAT(NamesOf(sweep), ElementsAre("base", "allocation-5-1"));
  EXPECT_EQ(ModelOf(sweep, "allocation-5-1").decoder.num_layers, 5);
  EXPECT_EQ(ModelOf(sweep, "allocation-5-1").token_decoder.num_layers, 1);
}

TEST(SweepConfig, ComponentsAreReplacedAsAWhole) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read(
      "axes:\n"
      "  embedder: [lookup, roberta, {type: roberta_cls, hidden_size: 32, num_hidden_layers: 1,\n"
      "             n_cls_tokens: 2}]\n"
      "  token_decoder: [summation, cross_attention]\n");
  EXPECT_THAT(NamesOf(sweep),
              ElementsAre("base", "embedder-roberta", "embedder-roberta_cls",
                          "token_decoder-summation", "token_decoder-cross_attention"));
  EXPECT_EQ(ModelOf(sweep, "embedder-roberta").embedder.encoder.num_layers, 3);
  EXPECT_EQ(ModelOf(sweep, "embedder-roberta_cls").embedder.encoder.num_cls_tokens, 2);
  const ModelConfig& summation = ModelOf(sweep, "token_decoder-summation");
  EXPECT_EQ(summation.prefix_length, 4);
  EXPECT_EQ(summation.token_decoder.intermediate_size, 96);
  EXPECT_EQ(ModelOf(sweep, "token_decoder-cross_attention").t5.head_size, 32);
}

TEST(SweepConfig, AGridIsTheProduct) {
  const SweepFolder folder;
  const Sweep sweep =
      folder.Read("grid: {block_length: [2, 4], training.learning_rate: [1e-2, 1e-3]}");
  EXPECT_THAT(
      NamesOf(sweep),
      ElementsAre("block_length-2_learning_rate-0.01", "block_length-2_learning_rate-0.001",
                  "block_length-4_learning_rate-0.01", "block_length-4_learning_rate-0.001"));
  EXPECT_EQ(sweep.runs[1].recipe.training.learning_rate, 1e-3);
  EXPECT_EQ(sweep.runs[1].recipe.model.block_length, 2);
}

TEST(SweepConfig, RunsSetFieldsAndSections) {
  const SweepFolder folder;
  const Sweep sweep = folder.Read(
      "runs:\n"
      "  - {name: short, set: {training.steps: 5, model.max_length: 16}}\n"
      "  - name: vanilla\n"
      "    set: {model: {type: vanilla, vocab_size: 64, max_length: 32,\n"
      "                  decoder: {hidden_size: 64, num_hidden_layers: 6}}}\n",
      {"training.batch_size=2", "output=/elsewhere"});
  EXPECT_THAT(NamesOf(sweep), ElementsAre("short", "vanilla"));
  EXPECT_EQ(sweep.runs[0].recipe.training.steps, 5);
  EXPECT_EQ(sweep.runs[1].recipe.model.kind, ModelKind::kVanilla);
  EXPECT_EQ(sweep.runs[1].recipe.training.batch_size, 2);
  EXPECT_EQ(sweep.runs[1].recipe.output, "/elsewhere/runs/vanilla");
}

TEST(SweepConfig, ABudgetGivesEveryRunItsSteps) {
  const SweepFolder folder;
  const Sweep sweep =
      folder.Read("axes: {block_length: [1, 8]}", {"training.steps=null", "training.flops=1e10"});
  for (const SweepRun& run : sweep.runs) {
    EXPECT_NEAR(TrainingFlops(run.recipe, run.recipe.training.steps) / 1e10, 1, 0.05) << run.name;
  }
  EXPECT_LT(sweep.runs[1].recipe.training.steps, sweep.runs[2].recipe.training.steps);
}

TEST(SweepConfig, MistakesNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "has no runs"},
      {"axis: {}", "axis: is not known here"},
      {"runs: []\naxes: {width: [1]}", "axes.width[0]: width is neither a field"},
      {"axes: {block_length: 4}", "axes.block_length: 4 is not possible; a list"},
      {"axes: {block_length: []}", "axes.block_length: [] is not possible; a list"},
      {"axes: {block_length: [0]}",
       "axes.block_length[0] (run block_length-0): model.block_length"},
      {"axes: {block_length: [3]}", "block_length 3"},
      {"axes: {block_length: [[4]]}", "axes.block_length[0]: [4] is not possible"},
      {"axes: {block_length: [null]}", "axes.block_length[0]: null is not possible"},
      {"axes: {allocation: [\"6:0\"]}", "axes.allocation[0]: \"6:0\" is not an allocation"},
      {"axes: {allocation: [3]}", "axes.allocation[0]: 3 is not an allocation"},
      {"axes: {allocation: [\"5:2\"]}", "axes.allocation[0]: 5:2 are 7 layers"},
      {"axes: {embedder: [bert]}", "model.embedder.type: \"bert\" is not known"},
      {"axes: {token_decoder: [7]}", "axes.token_decoder[0]: 7 is not possible"},
      {"axes: {token_decoder: [{hidden_size: 3}]}", "a section with a type is wanted"},
      {"axes: {training.stepz: [7]}", "training.stepz: is not known here"},
      {"axes: 3", "axes: a mapping of lists is wanted"},
      {"grid: [1]", "grid: a mapping of lists is wanted"},
      {"runs: 3", "runs: a list of runs"},
      {"runs: [3]", "runs[0]: an object is wanted"},
      {"runs: [{set: {}}]", "runs[0].name: is missing"},
      {"runs: [{name: ../x}]", "runs[0]: \"../x\" cannot be the name of a run"},
      {"runs: [{name: ''}]", "runs[0]: \"\" cannot be the name of a run"},
      {"runs: [{name: a, sets: {}}]", "runs[0].sets: is not known here"},
      {"runs: [{name: a, set: [1]}]", "runs[0].set: an object is wanted"},
      {"runs: [{name: a, set: {output.x.y: 1}}]", "runs[0].set: output is a value"},
      {"runs: [{name: a, set: {output: /x}}]", "runs[0].set.output: cannot be set"},
      {"runs: [{name: a}, {name: b}]", "runs[1]: b is the same recipe as an earlier run"},
      {"runs: [{name: a}, {name: a, set: {training.steps: 9}}]", "another run of the name a"},
      {"runs: [{name: a}]\nthroughput: {batch: -1}", "throughput.batch: -1"},
      {"runs: [{name: a}]\nthroughput: {speed: 1}", "throughput.speed: is not known here"},
      {"runs: [{name: a}]\nrun: []", "run: is not known here"},
      {"runs: [{name: a}]\nruns: []", "stands twice"},
      {"grid: {embedder: [lookup], output: [a]}", "output is neither a field"},
  };
  for (const auto& [fields, message] : cases) {
    EXPECT_THAT(ErrorOf(fields), AllOf(HasSubstr("sweep.yaml"), HasSubstr(message))) << fields;
  }
}

TEST(SweepConfig, AGridTooLargeIsRefusedBeforeItIsMade) {
  std::string list = "[1";
  for (int i = 2; i <= 100; ++i) list += fmt::format(",{}", i);
  list += "]";
  EXPECT_THAT(ErrorOf("grid: {training.steps: " + list + ", training.seed: " + list +
                      ", training.threads: " + list + ", validation.samples: " + list + "}"),
              HasSubstr("more than 1000 runs"));
}

TEST(SweepConfig, AxesNeedABlockModel) {
  EXPECT_THAT(ErrorOf("axes: {prefix_length: [1]}",
                      {"model={type: vanilla, vocab_size: 64, max_length: 32, decoder: "
                       "{hidden_size: 64, num_hidden_layers: 1}}"}),
              HasSubstr("the base recipe has no model.token_decoder"));
}

TEST(SweepConfig, AMissingRecipeIsNamed) {
  const SweepFolder folder;
  WriteFileAtomically(folder.Path("sweep.yaml"), "output: x\nrecipe: none.yaml\n");
  try {
    ReadSweep(folder.Path("sweep.yaml"), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("none.yaml"));
  }
}

TEST(SweepConfig, TheShippedSweepHasTheAxesOfThePaperAtEqualFlops) {
  const Sweep sweep = ReadSweep("recipes/ablations/sweep.yaml", {});
  EXPECT_EQ(sweep.runs.size(), 15u);
  EXPECT_EQ(sweep.groups.size(), 6u);
  const double flops = sweep.runs[0].recipe.training.flops;
  for (const SweepRun& run : sweep.runs) {
    EXPECT_NEAR(TrainingFlops(run.recipe, run.recipe.training.steps) / flops, 1, 0.01) << run.name;
  }
}

}  // namespace
}  // namespace blockformer
