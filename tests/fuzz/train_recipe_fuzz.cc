// Any text as a recipe: an Error, or one whose document is a recipe for the same training.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "blockformer/error.h"
#include "config/train_recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const blockformer::TrainRecipe recipe =
        blockformer::TrainRecipeFromJson(blockformer::ParseYaml(text, "fuzz.yaml"), "fuzz.yaml");
    const blockformer::TrainRecipe again =
        blockformer::TrainRecipeFromJson(recipe.document, "again");
    if (again.model != recipe.model || again.training.steps != recipe.training.steps ||
        again.document != recipe.document) {
      std::abort();
    }
  } catch (const blockformer::Error&) {
  }
  return 0;
}
