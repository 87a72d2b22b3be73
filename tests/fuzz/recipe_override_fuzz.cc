// Any lines as `key=value` overrides of a small recipe: an Error, or a recipe whose document, read
// again without them, is the same.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "blockformer/error.h"
#include "config/train_recipe.h"

namespace {

constexpr std::string_view kRecipe = R"(output: run
model:
  kind: vanilla
  vocab_size: 64
  max_length: 16
  decoder: {hidden_size: 8, num_layers: 1, num_heads: 2, intermediate_size: 16}
data: {train: tokens}
training: {steps: 3, batch_size: 4, micro_batch_size: 2, learning_rate: 1e-3}
)";

// A file that is removed when the program ends.
class RecipeFile {
 public:
  RecipeFile()
      : path_(std::filesystem::temp_directory_path() /
              ("recipe_override_fuzz." + std::to_string(getpid()) + ".yaml")) {
    std::ofstream(path_) << kRecipe;
  }
  RecipeFile(const RecipeFile&) = delete;
  RecipeFile& operator=(const RecipeFile&) = delete;
  ~RecipeFile() { std::filesystem::remove(path_); }

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t length = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, length));
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const RecipeFile file;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // The directory of another model is a file's business, not an override's.
  if (text.find("init_from") != std::string_view::npos) return 0;
  try {
    const blockformer::TrainRecipe recipe = blockformer::ReadTrainRecipe(file.path(), Lines(text));
    const blockformer::TrainRecipe again =
        blockformer::TrainRecipeFromJson(recipe.document, "again");
    if (again.model != recipe.model || again.document != recipe.document) std::abort();
  } catch (const blockformer::Error&) {
  }
  return 0;
}
