// The recipes of the published models have exactly the published numbers of parameters.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "config/parameters.h"
#include "config/train_recipe.h"

namespace blockformer {
namespace {

// What the published implementation instantiates, and the paper's own 31M model (feed-forward
// 1024). The parts are without vocabulary tables.
struct PublishedSize {
  const char* recipe;
  int64_t total;
  int64_t non_embedding;
  int64_t unused;
  int64_t used;
  int64_t embedder;
  int64_t decoder;
  int64_t token_decoder;
};

const PublishedSize kPublishedSizes[] = {
    {"block_main_b4_5", 46724096, 4871168, 12877824, 33846272, 0, 2369792, 2501376},
    {"block_main_b4_19", 103147520, 19441664, 25755648, 77391872, 0, 9458176, 9983488},
    {"block_main_b4_85", 211797504, 86238720, 38633472, 173164032, 0, 42528768, 43709952},
    {"block_main_b4_300", 471824384, 304412672, 51511296, 420313088, 0, 151156736, 153255936},
    {"block_main_b4_800", 1148956672, 814133248, 103022592, 1045934080, 0, 402870272, 411262976},
    {"block_main_b4_1.2b", 1551822848, 1216999424, 103022592, 1448800256, 0, 604303360, 612696064},
    {"vanilla_31", 39950336, 14194688, 0, 39950336, 0, 14194688, 0},
    {"vanilla_70", 70426624, 18915328, 0, 70426624, 0, 18915328, 0},
    {"vanilla_160", 162322944, 85056000, 0, 162322944, 0, 85056000, 0},
    {"vanilla_410", 405334016, 302311424, 0, 405334016, 0, 302311424, 0},
    {"block_megabyte_b4_5", 33849344, 4874240, 12877824, 20971520, 0, 3949312, 924928},
    {"block_megabyte_b4_19", 77398016, 19447808, 25755648, 51642368, 0, 15762944, 3684864},
    {"block_megabyte_b4_85", 191956736, 92153600, 38633472, 153323264, 0, 77968128, 14185472},
    {"block_ablation_b4_85_cls_sum", 219290368, 90512128, 38633472, 180656896, 3092224, 42528768,
     44891136},
    {"block_ablation_b4_85_cls_cross_attn", 194766208, 104621440, 38633472, 156132736, 3092224,
     42528768, 59000448},
    {"block_ablation_b4_85_roberta_prefix", 217715200, 88936960, 38633472, 179081728, 3288832,
     42528768, 43119360},
    {"block_ablation_b4_85_lookup_prefix", 211206912, 85648128, 38633472, 172573440, 0, 42528768,
     43119360},
    {"block_uptrain_b4_85_10", 243132672, 88598784, 38633472, 204499200, 2360064, 42528768,
     43709952},
    {"block_uptrain_b4_300_10", 514653184, 308608000, 51511296, 463141888, 4195328, 151156736,
     153255936},
    {"block_uptrain_b4_800_10", 1243002880, 830912512, 103022592, 1139980288, 16779264, 402870272,
     411262976},
    {"block_vanilla_ablation_b1_85", 240182016, 85648128, 38633472, 201548544, 0, 42528768,
     43119360},
    {"vanilla_31_ffn1024", 30494720, 4739072, 0, 30494720, 0, 4739072, 0},
};

class PublishedSizes : public testing::TestWithParam<PublishedSize> {};

TEST_P(PublishedSizes, AreThoseOfTheRecipe) {
  const PublishedSize& size = GetParam();
  const std::string path = fmt::format("recipes/paper/{}.yaml", size.recipe);
  const ParameterCounts counts = CountParameters(ReadRecipeModel(path));
  EXPECT_EQ(counts.total, size.total);
  EXPECT_EQ(counts.non_embedding, size.non_embedding);
  EXPECT_EQ(counts.unused, size.unused);
  EXPECT_EQ(counts.used, size.used);
  EXPECT_EQ(counts.embedder, size.embedder);
  EXPECT_EQ(counts.decoder, size.decoder);
  EXPECT_EQ(counts.token_decoder, size.token_decoder);
}

INSTANTIATE_TEST_SUITE_P(Recipes, PublishedSizes, testing::ValuesIn(kPublishedSizes),
                         [](const auto& test) {
                           std::string name = test.param.recipe;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace blockformer
