#include "checkpoint/weight_writer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoint/model_directory.h"
#include "config/json.h"

namespace blockformer {
namespace {

constexpr int64_t kPieceElements = 1 << 20;

// transformers asks for this before it reads a file.
const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};

// Elements [begin, end) of a stored tensor.
TensorView Slice(const TensorView& tensor, int64_t begin, int64_t end) {
  const auto element = static_cast<size_t>(ElementBytes(tensor.type));
  return {tensor.type,
          {end - begin},
          tensor.bytes.subspan(static_cast<size_t>(begin) * element,
                               static_cast<size_t>(end - begin) * element)};
}

// Gives a tensor's data in pieces, in the type in which they are written.
class PieceReader {
 public:
  // The result is valid until the next call.
  std::span<const std::byte> Read(const WeightSource& weight, const TensorView& stored,
                                  int64_t begin, int64_t end) {
    if (!weight.value && stored.type == weight.type) {
      return Slice(stored, begin, end).bytes;  // to the bit, NaNs included
    }
    values_.resize(end - begin);
    if (weight.value) {
      for (int64_t i = begin; i < end; ++i) values_[i - begin] = weight.value(i);
    } else {
      ConvertToFloat(Slice(stored, begin, end), weight.name, values_);
    }
    bytes_.resize(values_.size() * ElementBytes(weight.type));
    Require(ConvertFromFloat(values_, weight.type, bytes_), ErrorCode::kInvalidArgument,
            "{}: holds a value that {} cannot; use bf16 or f32", weight.name,
            DataTypeName(weight.type));
    return bytes_;
  }

 private:
  std::vector<float> values_;
  std::vector<std::byte> bytes_;
};

using Shard = std::span<const WeightSource>;

std::vector<Shard> DivideIntoShards(std::span<const WeightSource> weights, uint64_t max_bytes) {
  std::vector<Shard> shards;
  size_t first = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const uint64_t size = weights[i].Header().NumBytes();
    if (i > first && (size > max_bytes || bytes > max_bytes - size)) {
      shards.push_back(weights.subspan(first, i - first));
      first = i;
      bytes = 0;
    }
    bytes += size;
  }
  shards.push_back(weights.subspan(first));
  return shards;
}

std::string ShardName(size_t index, size_t count) {
  return count == 1 ? kWeightsFile
                    : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

void WriteIndex(const std::string& directory, const std::vector<Shard>& shards, uint64_t bytes) {
  OrderedJson map = OrderedJson::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const WeightSource& weight : shards[i]) map[weight.name] = ShardName(i, shards.size());
  }
  const OrderedJson index = {{"metadata", {{"total_size", bytes}}}, {"weight_map", map}};
  WriteFileAtomically(directory + "/" + kWeightsIndexFile, index.dump(2) + "\n");
}

class WeightWriter {
 public:
  explicit WeightWriter(const WriteProgress& progress) : progress_(progress) {}

  void WriteShard(const std::string& path, Shard shard) {
    std::vector<TensorHeader> headers;
    for (const WeightSource& weight : shard) headers.push_back(weight.Header());
    SafetensorsWriter file(path, headers, kMetadata);
    for (const WeightSource& weight : shard) WriteTensor(weight, &file);
    file.Commit();
  }

  uint64_t bytes() const { return bytes_; }
  uint64_t checksum() const { return checksum_.value(); }

 private:
  void WriteTensor(const WeightSource& weight, SafetensorsWriter* file) {
    if (weight.in_checksum) checksum_.Add(std::as_bytes(std::span(weight.name)));
    const MadeTensor tensor = weight.load ? weight.load() : MadeTensor{{}, weight.stored};
    int64_t elements = 1;
    for (const int64_t size : weight.shape) elements *= size;
    for (int64_t begin = 0; begin < elements; begin += kPieceElements) {
      const auto piece =
          reader_.Read(weight, tensor.view, begin, std::min(elements, begin + kPieceElements));
      file->Write(piece);
      if (weight.in_checksum) checksum_.Add(piece);
      bytes_ += piece.size();
      progress_(bytes_);
    }
  }

  const WriteProgress& progress_;
  PieceReader reader_;
  Fnv1a checksum_;
  uint64_t bytes_ = 0;
};

}  // namespace

WrittenWeights WriteWeights(const std::string& directory, const std::vector<WeightSource>& weights,
                            uint64_t max_shard_bytes, const WriteProgress& progress) {
  const std::vector<Shard> shards = DivideIntoShards(weights, max_shard_bytes);
  WrittenWeights written;
  WeightWriter writer(progress);
  for (size_t i = 0; i < shards.size(); ++i) {
    written.files.push_back(ShardName(i, shards.size()));
    writer.WriteShard(directory + "/" + written.files.back(), shards[i]);
  }
  written.bytes = writer.bytes();
  written.checksum = writer.checksum();
  if (shards.size() > 1) WriteIndex(directory, shards, written.bytes);
  return written;
}

bool IsWeightsFileName(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789";
  constexpr std::string_view kShape = "model-#-of-#.safetensors";
  if (name == kWeightsFile || name == kWeightsIndexFile) return true;
  std::string shape;
  for (const char c : name) {
    if (kDigits.find(c) == std::string_view::npos) {
      shape += c;
    } else if (!shape.ends_with('#')) {
      shape += '#';
    }
  }
  return shape == kShape;
}

}  // namespace blockformer
