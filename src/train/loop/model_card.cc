#include "train/loop/model_card.h"

#include <fmt/format.h>

#include "config/parameters.h"

namespace blockformer::train {
namespace {

std::string Loss(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.4f} nats a token", *loss) : "not measured";
}

std::string Architecture(const ModelConfig& model) {
  if (model.kind == ModelKind::kVanilla) {
    return fmt::format("a vanilla {} model", NamesOf(model.decoder.family).title);
  }
  return fmt::format("a Block Transformer (arXiv 2406.02657) with blocks of {} tokens",
                     model.block_length);
}

// A block of code, whose fence is longer than any within it.
std::string CodeBlock(const std::string& language, const std::string& text) {
  std::string fence = "```";
  while (text.find(fence) != std::string::npos) fence += '`';
  return fmt::format("{}{}\n{}\n{}\n", fence, language, text, fence);
}

}  // namespace

std::string ModelCard(const TrainRecipe& recipe, const TrainingState& state,
                      const std::string& command) {
  const ParameterCounts counts = CountParameters(recipe.model);
  std::string card = fmt::format(
      "---\nlibrary_name: blockformer\npipeline_tag: text-generation\n---\n\n# {}\n\n"
      "This is {}, trained by blockformer.\n\n| | |\n|---|---|\n",
      recipe.output, Architecture(recipe.model));
  const auto row = [&card](const char* name, const std::string& value) {
    card += fmt::format("| {} | {} |\n", name, value);
  };
  row("parameters", fmt::format("{} ({} non-embedding)", counts.used, counts.non_embedding));
  row("context", fmt::format("{} tokens", recipe.model.max_length));
  row("training data", fmt::format("`{}`: {} documents, {} tokens", recipe.data.train,
                                   state.data.documents, state.data.tokens));
  if (!recipe.init_from.empty()) row("initial weights", fmt::format("`{}`", recipe.init_from));
  row("trained for",
      fmt::format("{} of {} steps, {} tokens", state.step, recipe.training.steps,
                  state.step * recipe.training.batch_size * recipe.model.max_length));
  row("training loss", Loss(state.training_loss));
  row("validation loss", Loss(state.validation_loss));
  if (state.best_step > 0) {
    row("best validation loss",
        fmt::format("{}, at step {}", Loss(state.best_loss), state.best_step));
  }
  card += fmt::format("\nCommand:\n\n{}", CodeBlock("", command));
  card += fmt::format("\nRecipe, overrides included (JSON, which is YAML too):\n\n{}",
                      CodeBlock("yaml", recipe.document.dump(2)));
  return card;
}

}  // namespace blockformer::train
