#ifndef BLOCKFORMER_CLI_FLAGS_H_
#define BLOCKFORMER_CLI_FLAGS_H_

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace blockformer {

// The names of the option that takes a model: by its place, or behind --model.
inline constexpr char kModelArgument[] = "model,--model";
// The same for several.
inline constexpr char kModelsArgument[] = "models,--model";

// What several commands check of their flags. All throw Error(kInvalidArgument) that names the
// flag, the value and what would be right.

// The whole of `text` as a number, or nothing.
template <typename Number>
std::optional<Number> ParseWhole(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "8G", "512MiB", "1.5T" or "65536": bytes, in powers of 1024; "5GB": in powers of 1000. The case
// of the letters does not matter.
int64_t ParseSize(const std::string& flag, const std::string& text);

// The flags of commands that generate, and where their values go.
struct EngineFlags {
  std::string* device;
  int64_t* batch;
  int64_t* max_length;
  std::string* memory;
  std::string* dtype;
  std::string* kv_dtype;
  int* threads;
};
void AddEngineFlags(CLI::App* command, const EngineFlags& flags);

// --seed, of 64 bits. CLI11 takes one that is negative or too large for another.
void AddSeedFlag(CLI::App* command, const std::string& help, uint64_t* seed);

// --device: where a model runs.
void AddDeviceFlag(CLI::App* command, std::string* device);

void RequireInRange(const std::string& flag, int64_t value, int64_t min, int64_t max);

}  // namespace blockformer

#endif  // BLOCKFORMER_CLI_FLAGS_H_
