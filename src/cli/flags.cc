#include "cli/flags.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace blockformer {

void AddSeedFlag(CLI::App* command, const std::string& help, uint64_t* seed) {
  const auto parse = [seed](const std::string& text) {
    const std::optional<uint64_t> value = ParseWhole<uint64_t>(text);
    Require(value.has_value(), ErrorCode::kInvalidArgument,
            "--seed: \"{}\" is not possible; an integer from 0 to 2^64 - 1 is wanted", text);
    *seed = *value;
  };
  command->add_option_function<std::string>("--seed", parse, help)
      ->type_name("UINT")
      ->default_str(std::to_string(*seed));
}

void RequireInRange(const std::string& flag, int64_t value, int64_t min, int64_t max) {
  Require(value >= min && value <= max, ErrorCode::kInvalidArgument,
          "{}: {} is out of range; {} to {} is wanted", flag, value, min, max);
}

int64_t ParseSize(const std::string& flag, const std::string& text) {
  constexpr std::string_view kPowers = "kmgt";
  constexpr double kMaxBytes = 1e15;
  std::string rest = text;
  std::ranges::transform(rest, rest.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto take = [&rest](char letter) {
    if (!rest.ends_with(letter)) return false;
    rest.pop_back();
    return true;
  };
  const bool has_b = take('b');
  const bool has_i = has_b && take('i');
  const size_t power = rest.empty() ? std::string_view::npos : kPowers.find(rest.back());
  const bool has_power = power != std::string_view::npos;
  if (has_power) rest.pop_back();
  const std::optional<double> number = ParseWhole<double>(rest);
  const double unit = has_power ? std::pow(has_b && !has_i ? 1000 : 1024, power + 1) : 1;
  const double bytes = number.value_or(0) * unit;
  Require((has_power || !has_i) && bytes >= 1 && bytes <= kMaxBytes, ErrorCode::kInvalidArgument,
          "{}: \"{}\" is not a size; a number of bytes such as 8G, 512MiB or 5GB is wanted", flag,
          text);
  return static_cast<int64_t>(bytes);
}

void AddEngineFlags(CLI::App* command, const EngineFlags& flags) {
  command->add_option("--batch", *flags.batch, "Sequences generated together")
      ->capture_default_str();
  command
      ->add_option("--max-length", *flags.max_length,
                   "Tokens a sequence, prompt included; 0: the model's context")
      ->capture_default_str();
  command
      ->add_option("--memory", *flags.memory,
                   "Memory of the KV cache, such as 512M or 4G; without it what --batch sequences "
                   "of --max-length take, at most 80 % of what is available")
      ->type_name("SIZE");
  AddDeviceFlag(command, flags.device);
  command
      ->add_option("--dtype", *flags.dtype,
                   "Weights in memory: f32, bf16 or int8; auto: as in the files")
      ->capture_default_str();
  command->add_option("--kv-dtype", *flags.kv_dtype, "KV cache: auto, f32, f16 or int8")
      ->capture_default_str();
  command->add_option("--threads", *flags.threads, "0: one a processor")->capture_default_str();
}

void AddDeviceFlag(CLI::App* command, std::string* device) {
  command
      ->add_option("--device", *device,
                   "Where the model runs: auto (the fastest that is there), cpu, cuda or cuda:N")
      ->capture_default_str();
}

}  // namespace blockformer
