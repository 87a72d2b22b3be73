#include "engine/published.h"

#include <gtest/gtest.h>

#include "tests/cpu/tiny_model.h"

namespace blockformer {
namespace {

// Without a mask, an encoder's padding id in a prompt is padding, and its block keeps its position.
TEST(PublishedTest, TakesTheEncodersPaddingIdForPadding) {
  ModelConfig config = TinyRobertaConfig();
  const int32_t pad = static_cast<int32_t>(config.embedder.encoder.pad_token_id);
  const auto model = MakeTinyModel(config);
  PublishedBatch batch;
  batch.prompts = {{5, 6, 7, pad, pad, pad, 8, pad, 10}};
  batch.max_length = 18;
  const auto implied = GeneratePublished(model, batch);
  batch.masks = {{1, 1, 1, 0, 0, 0, 1, 0, 1}};
  EXPECT_EQ(GeneratePublished(model, batch), implied);
  batch.masks = {{1, 1, 1, 1, 1, 1, 1, 1, 1}};
  EXPECT_NE(GeneratePublished(model, batch), implied);
}

}  // namespace
}  // namespace blockformer
