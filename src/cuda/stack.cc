#include "cuda/stack.h"

#include "base/error.h"
#include "base/rotary_angle.h"

namespace blockformer::cuda {
namespace {

void* AtColumn(const Buffer& buffer, int64_t column, Element type) {
  return static_cast<char*>(buffer.data()) + column * ElementBytes(type);
}

}  // namespace

RotaryAngles::RotaryAngles(const StackWeights& stack, int64_t positions)
    : size_(stack.rotary.size), cosines_(positions * size_ / 2), sines_(positions * size_ / 2) {
  const std::vector<float> frequencies = RotaryFrequencies(stack.rotary);
  std::vector<float> cosines;
  std::vector<float> sines;
  for (int64_t position = 0; position < positions; ++position) {
    for (const float frequency : frequencies) {
      const Rotation rotation =
          RotaryRotation(position, frequency, stack.rotary.scaling.attention_factor);
      cosines.push_back(rotation.cosine);
      sines.push_back(rotation.sine);
    }
  }
  Stream stream;
  const int64_t bytes = std::ssize(cosines) * static_cast<int64_t>(sizeof(float));
  stream.CopyToDevice(cosines_.data(), cosines.data(), bytes);
  stream.CopyToDevice(sines_.data(), sines.data(), bytes);
  stream.Wait();
}

int64_t KvCache::BytesPerPage(const StackWeights& stack, Element type, int64_t page_size) {
  const KvPages pages = {nullptr, type, page_size, stack.layout.kv_heads, stack.layout.head_size};
  return stack.num_layers() * pages.PageBytes();
}

KvCache::KvCache(const StackWeights& stack, Element type, int64_t num_pages, int64_t page_size) {
  int64_t bytes = 0;
  Require(num_pages <= INT32_MAX &&
              !__builtin_mul_overflow(num_pages, BytesPerPage(stack, type, page_size), &bytes),
          ErrorCode::kExhausted,
          "a KV cache of {} pages is more than any GPU holds; a smaller `batch` or `max_length` "
          "takes less",
          num_pages);
  memory_ = Buffer(bytes);
  for (int64_t layer = 0; layer < stack.num_layers(); ++layer) {
    KvPages pages = {nullptr, type, page_size, stack.layout.kv_heads, stack.layout.head_size};
    pages.memory = static_cast<char*>(memory_.data()) + layer * num_pages * pages.PageBytes();
    layers_.push_back(pages);
  }
}

void KvCache::FillForBenchmark(Stream* stream) {
  // 2.4e-12 as f32 and bf16, 0.016 as e4m3, 44 as int8 with scales as small as in f32.
  constexpr uint8_t kByte = 0x2C;
  stream->Fill(memory_.data(), kByte, memory_.bytes());
}

int64_t Activations::BytesPerRow(const StackWeights& stack, Element type) {
  const int64_t numbers =
      stack.width + stack.layout.width + stack.joint() + (stack.is_gated ? 2 * stack.inner : 0);
  return numbers * ElementBytes(type) + stack.width * static_cast<int64_t>(sizeof(float));
}

Activations::Activations(const StackWeights& stack, Element type, int64_t num_rows)
    : rows(num_rows),
      normed(rows * stack.width * ElementBytes(type)),
      qkv(rows * stack.layout.width * ElementBytes(type)),
      joint(rows * stack.joint() * ElementBytes(type)),
      gated(stack.is_gated ? rows * 2 * stack.inner * ElementBytes(type) : 0),
      kept(rows * stack.width) {}

const float* RunLayers(Stream* stream, const StackWeights& stack, Element type, int64_t rows,
                       const WantedRows& wanted, const AttendLayer& attend, float* x,
                       Activations* activations) {
  void* normed = activations->normed.data();
  const auto normalize = [&] {
    NormalizeRows(stream, x, rows, stack.width, stack.norm, nullptr, nullptr, type, normed);
  };
  for (int64_t i = 0; i < stack.num_layers(); ++i) {
    const StackWeights::Layer& layer = stack.layers[i];
    const bool last = i + 1 == stack.num_layers();
    normalize();
    layer.qkv.Run(stream, normed, rows, activations->qkv.data());
    if (layer.query_gain.size() > 0) {
      NormalizeHeads(stream, type, stack.layout, stack.norm.epsilon, layer.query_gain.data(),
                     layer.key_gain.data(), rows, activations->qkv.data());
    }
    attend(i, last, activations->qkv.data(), activations->joint.data(), stack.joint());
    if (last && wanted.rows == 0) return x;
    if (last && wanted.rows != rows) {
      GatherRows(stream, x, wanted.rows, stack.width, wanted.list, wanted.count, wanted.per_block,
                 activations->kept.data());
      x = activations->kept.data();
      rows = wanted.rows;
      normalize();
    }
    // Parallel: x + attention(norm(x)) + mlp(norm(x)); sequential: the MLP sees attention's sum.
    if (layer.dense) {
      layer.dense->Run(stream, activations->joint.data(), rows, x);
      normalize();
    }
    void* inner = AtColumn(activations->joint, stack.attention(), type);
    if (stack.is_gated) {
      layer.up.Run(stream, normed, rows, activations->gated.data());
      GateRows(stream, type, activations->gated.data(), rows, stack.inner, inner, stack.joint());
    } else {
      layer.up.Run(stream, normed, rows, inner);
    }
    if (layer.tail) {
      layer.tail->Run(stream, activations->joint.data(), rows, x);
    } else {
      layer.down->Run(stream, inner, rows, x);
    }
  }
  return x;
}

void FinalNorm(Stream* stream, const StackWeights& stack, const float* x, int64_t rows,
               Element y_type, void* y) {
  NormalizeRows(stream, x, rows, stack.width, stack.norm, stack.final_gain.data(),
                stack.final_bias.data(), y_type, y);
}

}  // namespace blockformer::cuda
