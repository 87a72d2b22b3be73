// `blockformer inspect`: what a model or a recipe is, and what it costs.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "checkpoint/model_directory.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/model_argument.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

struct InspectFlags {
  std::string path;
  bool json = false;
};

struct Costs {
  double train_flops;   // a token, forward and backward, over the whole context
  double decode_flops;  // a token generated at half the context
  double kv_bytes;      // a token of context
};

Costs CostsOf(const ModelConfig& config) {
  constexpr double kFlopsPerMultiplyAdd = 2;
  return {TrainingFlopsPerToken(config),
          kFlopsPerMultiplyAdd * DecodeMultiplyAddsPerToken(config, config.max_length / 2),
          KvBytesPerToken(config, NumberType::kF16)};
}

using BytesByType = std::map<DataType, uint64_t>;

// The bytes of a model directory's stored weights, by type. A recipe has none, and a directory need
// not have any.
BytesByType StoredBytes(const std::string& path, const ModelConfig& config) {
  const bool stored =
      FileExists(path + "/" + kWeightsFile) || FileExists(path + "/" + kWeightsIndexFile);
  return stored ? SafetensorsWeights(path, config).BytesByType() : BytesByType();
}

OrderedJson ToJson(const BytesByType& stored) {
  OrderedJson json = OrderedJson::object();
  for (const auto& [type, bytes] : stored) json[DataTypeName(type)] = bytes;
  return json;
}

OrderedJson ToJson(const ModelConfig& config, const BytesByType& stored) {
  const ParameterCounts counts = CountParameters(config);
  const Costs costs = CostsOf(config);
  return {{"kind", KindName(config)},
          {"config", ModelConfigToJson(config)},
          {"parameters",
           {{"total", counts.total},
            {"used", counts.used},
            {"unused", counts.unused},
            {"non_embedding", counts.non_embedding},
            {"embedder", counts.embedder},
            {config.kind == ModelKind::kBlock ? "block_decoder" : "decoder", counts.decoder},
            {"token_decoder", counts.token_decoder}}},
          {"stored_bytes", ToJson(stored)},
          {"train_flops_per_token", costs.train_flops},
          {"decode_flops_per_token", costs.decode_flops},
          {"kv_bytes_per_token", costs.kv_bytes}};
}

// 1234567 as "1,234,567".
std::string WithCommas(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

// What a family other than GPT-NeoX has of its own.
std::string FamilyText(const StackConfig& stack) {
  if (stack.family == StackFamily::kGptNeox) return "";
  return fmt::format(", {} layers: RMS norm, SwiGLU{}{}", NamesOf(stack.family).model_type,
                     stack.qk_norm ? ", QK norm" : "", stack.tied_head ? ", tied head" : "");
}

void PrintStack(const char* name, const StackConfig& stack) {
  fmt::print(
      "{:<16}{} layers of width {}, {} heads of {}{}, feed-forward {}, rotary {} of {}, {} "
      "residual{}\n",
      name, stack.num_layers, stack.hidden_size, stack.num_heads, stack.HeadSize(),
      stack.KvHeads() == stack.num_heads ? "" : fmt::format(", {} kv heads", stack.KvHeads()),
      stack.intermediate_size, stack.RotarySize(), stack.HeadSize(),
      stack.parallel_residual ? "parallel" : "sequential", FamilyText(stack));
}

void PrintCount(const char* name, int64_t count) {
  fmt::print("  {:<28}{:>16}\n", name, WithCommas(count));
}

void PrintRow(const char* name, const std::string& text) { fmt::print("{:<16}{}\n", name, text); }

const char* ProjectionName(EmbedderProjection projection) {
  switch (projection) {
    case EmbedderProjection::kConcat:
      return "concatenated";
    case EmbedderProjection::kSum:
      return "summed";
    case EmbedderProjection::kMean:
      return "averaged";
    case EmbedderProjection::kConv1d:
      return "projected";
  }
  return "";
}

void PrintEmbedder(const EmbedderConfig& embedder) {
  if (embedder.type == EmbedderType::kLookup) {
    PrintRow("embedder", fmt::format("lookup of width {}, {}", embedder.hidden_size,
                                     ProjectionName(embedder.projection)));
    return;
  }
  const EncoderConfig& encoder = embedder.encoder;
  const bool cls = embedder.type == EmbedderType::kRobertaCls;
  PrintRow("embedder",
           fmt::format("RoBERTa, {} layers of width {}, {} heads, feed-forward {}, {} projected",
                       encoder.num_layers, embedder.hidden_size, encoder.num_heads,
                       encoder.intermediate_size,
                       cls ? fmt::format("{} CLS tokens", encoder.num_cls_tokens) : "all tokens"));
}

void PrintTokenDecoder(const ModelConfig& config) {
  const char* how = config.expansion == Expansion::kLayer ? "expanded by a layer" : "repeated";
  switch (config.token_decoder_type) {
    case TokenDecoderType::kPrefix:
      PrintStack("token decoder", config.token_decoder);
      return PrintRow("prefix", fmt::format("{} vector{}, {}", config.prefix_length,
                                            config.prefix_length == 1 ? "" : "s", how));
    case TokenDecoderType::kSummation:
      PrintStack("token decoder", config.token_decoder);
      return PrintRow("summation", fmt::format("a vector a token, {}", how));
    case TokenDecoderType::kCrossAttention:
      PrintRow("token decoder",
               fmt::format("T5, {} layers of width {}, {} heads of {}, feed-forward {}",
                           config.t5.num_layers, config.t5.hidden_size, config.t5.num_heads,
                           config.t5.head_size, config.t5.intermediate_size));
      return PrintRow("cross attention",
                      fmt::format("to {} vectors, {}", config.prefix_length, how));
  }
}

void PrintStoredBytes(const BytesByType& stored) {
  if (stored.empty()) return;
  std::vector<std::string> parts;
  for (const auto& [type, bytes] : stored) {
    parts.push_back(
        fmt::format("{} {}", DataTypeName(type), WithCommas(static_cast<int64_t>(bytes))));
  }
  PrintRow("weights", fmt::format("{} bytes", fmt::join(parts, ", ")));
}

void PrintText(const std::string& path, const ModelConfig& config, const BytesByType& stored) {
  const bool block = config.kind == ModelKind::kBlock;
  fmt::print("{}: {}\n", path,
             block ? "Block Transformer"
                   : fmt::format("vanilla {}", NamesOf(config.decoder.family).title));
  PrintRow("vocabulary",
           fmt::format("{} entries, context {} tokens", config.vocab_size, config.max_length));
  if (block) {
    PrintRow("block length", fmt::format("{} tokens", config.block_length));
    PrintEmbedder(config.embedder);
  }
  PrintStack(block ? "block decoder" : "decoder", config.decoder);
  if (block) PrintTokenDecoder(config);
  PrintStoredBytes(stored);
  const ParameterCounts counts = CountParameters(config);
  fmt::print("parameters\n");
  PrintCount("total (published checkpoint)", counts.total);
  PrintCount("used", counts.used);
  PrintCount("unused", counts.unused);
  PrintCount("non-embedding", counts.non_embedding);
  if (block) {
    PrintCount("  embedder", counts.embedder);
    PrintCount("  block decoder", counts.decoder);
    PrintCount("  token decoder", counts.token_decoder);
  }
  const Costs costs = CostsOf(config);
  fmt::print("costs a token\n");
  fmt::print("  {:<28}{:>16.1f} MFLOP (context {})\n", "training", costs.train_flops * 1e-6,
             config.max_length);
  fmt::print("  {:<28}{:>16.1f} MFLOP (at position {})\n", "decoding", costs.decode_flops * 1e-6,
             config.max_length / 2);
  fmt::print("  {:<28}{:>16.0f} bytes (f16)\n", "KV cache", costs.kv_bytes);
}

void Inspect(const InspectFlags& flags) {
  const ModelConfig config = ReadAnyModelConfig(flags.path);
  const BytesByType stored = StoredBytes(flags.path, config);
  if (flags.json) {
    fmt::print("{}\n", ToJson(config, stored).dump(2));
  } else {
    PrintText(flags.path, config, stored);
  }
}

}  // namespace

void AddInspectCommand(CLI::App& app) {
  const auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect",
                                         "Shows a model's architecture, parameters, types and "
                                         "bytes of its weights, FLOPs and KV-cache "
                                         "bytes a token.");
  command->add_option(kModelArgument, flags->path, "A model directory or a recipe (.yaml)")
      ->required()
      ->type_name("DIR|RECIPE");
  command->add_flag("--json", flags->json, "Write JSON");
  command->callback([flags] { Inspect(*flags); });
}

}  // namespace blockformer
