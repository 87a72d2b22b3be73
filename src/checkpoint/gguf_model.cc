#include "checkpoint/gguf_model.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/short_list.h"
#include "checkpoint/gguf_config.h"

namespace blockformer {
namespace {

// What llama.cpp calls the parts of a stack: those of layers below "blk.N.".
const char* GgufName(Role role) {
  switch (role) {
    case Role::kAttentionNorm:
      return "attn_norm";
    case Role::kQkv:
      return "attn_qkv";
    case Role::kQuery:
      return "attn_q";
    case Role::kKey:
      return "attn_k";
    case Role::kValue:
      return "attn_v";
    case Role::kQueryNorm:
      return "attn_q_norm";
    case Role::kKeyNorm:
      return "attn_k_norm";
    case Role::kAttentionOut:
      return "attn_output";
    case Role::kMlpNorm:
      return "ffn_norm";
    case Role::kGate:
      return "ffn_gate";
    case Role::kUp:
      return "ffn_up";
    case Role::kDown:
      return "ffn_down";
    case Role::kFinalNorm:
      return "output_norm";
    case Role::kTable:
      return "token_embd";
    case Role::kHead:
      return "output";
    case Role::kNone:
      break;
  }
  return "";
}

std::string GgufNameOf(const ParameterSpec& spec) {
  const std::string suffix = spec.name.substr(spec.name.rfind('.'));
  const std::string name = GgufName(spec.role) + suffix;
  return spec.layer >= 0 ? fmt::format("blk.{}.{}", spec.layer, name) : name;
}

// Buffers that old files hold.
bool IsGgufBuffer(std::string_view name) {
  return name == kGgufRotaryFactors || name.ends_with(".attn_rot_embd.weight") ||
         name.ends_with(".rot_embd.weight");
}

bool IsReordered(const ModelConfig& config, Role role) {
  const bool turned = role == Role::kQuery || role == Role::kKey;
  return role == Role::kQkv || (turned && config.decoder.family == StackFamily::kLlama);
}

// The row of the file's tensor that is row `row` of ours, of a reordered one.
int64_t RowInFile(const StackConfig& stack, Role role, int64_t row) {
  const int64_t size = stack.HeadSize();
  if (role == Role::kQkv) {  // ours: heads, each with query, key and value; theirs: these first
    const int64_t head = row / (3 * size);
    const int64_t kind = row / size % 3;
    return (kind * stack.num_heads + head) * size + row % size;
  }
  const int64_t head = row / size;
  const int64_t half = size / 2;  // ours: a head's first dimensions of all pairs, then the second
  return head * size + row % size % half * 2 + row % size / half;
}

// The elements in the type in which others get them.
std::vector<std::byte> Widened(const GgufTensor& stored) {
  if (stored.type->plain) return {stored.bytes.begin(), stored.bytes.end()};
  const auto elements = static_cast<size_t>(stored.NumElements());
  std::vector<std::byte> bytes(elements * sizeof(float));
  Dequantize(*stored.type, stored.bytes, {reinterpret_cast<float*>(bytes.data()), elements});
  return bytes;
}

std::vector<std::byte> Reordered(const std::vector<std::byte>& bytes, const StackConfig& stack,
                                 const ParameterSpec& spec) {
  std::vector<std::byte> result(bytes.size());
  const size_t row_bytes = bytes.size() / static_cast<size_t>(spec.shape.front());
  for (int64_t row = 0; row < spec.shape.front(); ++row) {
    const auto from = static_cast<size_t>(RowInFile(stack, spec.role, row));
    std::memcpy(result.data() + static_cast<size_t>(row) * row_bytes,
                bytes.data() + from * row_bytes, row_bytes);
  }
  return result;
}

}  // namespace

GgufModel::GgufModel(const std::string& path)
    : ModelWeights(path), file_(path), config_(GgufModelConfig(file_)) {
  std::vector<std::string> missing;
  std::vector<std::string> extra;
  std::map<std::string, bool> known;
  for (const ParameterSpec& spec : ListParameters(config_)) {
    if (!spec.is_used) continue;
    const std::string name = GgufNameOf(spec);
    known[name] = true;
    if (file_.tensors().contains(name)) {
      AddTensor(spec);
    } else {
      missing.push_back(name);
    }
  }
  Require(missing.empty(), ErrorCode::kCorrupt, "{}: tensors are missing: {}", path,
          ShortList(missing));
  for (const auto& [name, tensor] : file_.tensors()) {
    if (known.contains(name)) continue;
    if (IsGgufBuffer(name)) {
      skipped_[name] = "follows from the configuration";
    } else {
      extra.push_back(name);
    }
  }
  Require(extra.empty(), ErrorCode::kUnsupported, "{}: tensors that {} models do not have here: {}",
          path, NamesOf(config_.decoder.family).title, ShortList(extra));
}

void GgufModel::AddTensor(const ParameterSpec& spec) {
  const std::string name = GgufNameOf(spec);
  const GgufTensor& stored = file_.tensors().at(name);
  Require(stored.shape == spec.shape, ErrorCode::kCorrupt,
          "{}: tensor {} has shape [{}]; the keys ask for [{}]", file_.path(), name,
          fmt::join(stored.shape, ", "), fmt::join(spec.shape, ", "));
  TensorView view{stored.type->plain.value_or(DataType::kF32), stored.shape, {}};
  if (stored.type->plain && !IsReordered(config_, spec.role)) view.bytes = stored.bytes;
  tensors_.emplace(spec.name, std::move(view));
  specs_.emplace(spec.name, spec);
}

const TensorView* GgufModel::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

MadeTensor GgufModel::Read(const std::string& name) const {
  MadeTensor made = {{}, Get(name)};
  if (!made.view.bytes.empty()) return made;
  const ParameterSpec& spec = specs_.at(name);
  const GgufTensor& stored = file_.tensors().at(GgufNameOf(spec));
  made.bytes = Widened(stored);
  if (IsReordered(config_, spec.role)) {
    made.bytes = Reordered(made.bytes, config_.decoder, spec);
  }
  made.view.bytes = made.bytes;
  return made;
}

}  // namespace blockformer
