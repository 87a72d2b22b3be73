// Matrix products through oneDNN 2.x. Its way to set attributes stays in this file.
#include "kernels/onednn_gemm.h"

#include <algorithm>
#include <cstddef>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/parallel.h"

namespace blockformer {
namespace {

using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

// The weights' layout is chosen for a batch of this many rows and serves all others.
constexpr int64_t kLayoutRows = 256;
// Wider layers are divided, so that a sink takes a piece while it is in the cache.
constexpr int64_t kMaxColumns = 4096;
// Threads take items of a product: some of the outputs for some of the rows. How it is cut depends
// on its shape alone, and so do its sums.
constexpr int64_t kItemWeights = 1 << 18;
constexpr int64_t kMinSharedWeights = 1 << 15;  // fewer are one item
constexpr int64_t kItemRows = 128;
constexpr int64_t kColumnUnit = 16;  // columns that vectors fill
// Creating a primitive takes about 0.3 ms, so those in use are kept; when rows vary so much that
// this many pile up, all are dropped.
constexpr size_t kMaxPrimitives = 1024;
constexpr int64_t kMinNumbersPerThread = 1 << 14;

const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

bool HasBf16Products() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

dnnl::primitive_attr Attributes(Epilogue epilogue) {
  dnnl::post_ops operations;
  if (epilogue == Epilogue::kGelu) {
    operations.append_eltwise(1.0f, dnnl::algorithm::eltwise_gelu_erf, 0.0f, 0.0f);
  } else if (epilogue == Epilogue::kRelu) {
    operations.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
  } else if (epilogue == Epilogue::kAdd) {
    operations.append_sum(1.0f);
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(operations);
  // The library's own scratch memory is not safe when one primitive runs on two threads at once.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// Copies numbers from one type and layout to another. reorder() does not write to its source.
void Convert(const dnnl::memory::desc& from, const void* source, const dnnl::memory& target) {
  dnnl::memory memory(from, CpuEngine(), const_cast<void*>(source));
  dnnl::stream stream(CpuEngine());
  dnnl::reorder(memory, target).execute(stream, memory, const_cast<dnnl::memory&>(target));
  stream.wait();
}

// Some of a layer's outputs.
class Slice {
 public:
  // Without products of bf16, bf16 weights stay in their plain layout and are widened at each use.
  Slice(const float* weights, const float* bias, int64_t first, int64_t out, int64_t in,
        NumberType type)
      : first_(first), out_(out), in_(in) {
    if (bias != nullptr) bias_.assign(bias, bias + out);
    const dnnl::memory::desc plain({in, out}, Type::f32, Tag::ba);  // [out, in] row-major
    widens_ = type == NumberType::kBf16 && !HasBf16Products();
    type_ = type == NumberType::kBf16 && !widens_ ? Type::bf16 : Type::f32;
    if (widens_) {
      weights_ = dnnl::memory({{in, out}, Type::bf16, Tag::ba}, CpuEngine());
      layout_ = plain;
    } else {
      const dnnl::memory::desc any({in, out}, type_, Tag::any);
      layout_ = Describe(kLayoutRows, Epilogue::kStore, out, any).weights_desc();
      weights_ = dnnl::memory(layout_, CpuEngine());
    }
    Convert(plain, weights, weights_);
  }

  int64_t first() const { return first_; }
  int64_t out() const { return out_; }
  Type source_type() const { return type_; }

  // x [rows, in] of source_type(), y [rows, out] with rows `stride` apart. Uses one thread.
  void Apply(const void* x, int64_t rows, Epilogue epilogue, float* y, int64_t stride) const {
    const Product product = Find(rows, epilogue, stride);
    const auto scratch_desc = product.description.scratchpad_desc();
    thread_local std::vector<std::byte> scratch;
    if (scratch.size() < scratch_desc.get_size()) scratch.resize(scratch_desc.get_size());
    const dnnl::engine& engine = CpuEngine();
    std::unordered_map<int, dnnl::memory> arguments = {
        {DNNL_ARG_SRC, {product.description.src_desc(), engine, const_cast<void*>(x)}},
        {DNNL_ARG_WEIGHTS, widens_ ? Widened() : weights_},
        {DNNL_ARG_DST, {product.description.dst_desc(), engine, y}},
        {DNNL_ARG_SCRATCHPAD, {scratch_desc, engine, scratch.data()}}};
    if (!bias_.empty()) {
      arguments.emplace(DNNL_ARG_BIAS, dnnl::memory(product.description.bias_desc(), engine,
                                                    const_cast<float*>(bias_.data())));
    }
    dnnl::stream stream(engine);
    product.primitive.execute(stream, arguments);
    stream.wait();
  }

 private:
  struct Product {
    dnnl::matmul::primitive_desc description;
    dnnl::matmul primitive;
  };
  using Key = std::tuple<int64_t, Epilogue, int64_t>;

  dnnl::matmul::primitive_desc Describe(int64_t rows, Epilogue epilogue, int64_t stride,
                                        const dnnl::memory::desc& weights) const {
    const dnnl::memory::desc source({rows, in_}, type_, Tag::ab);
    const dnnl::memory::desc destination({rows, out_}, Type::f32, dnnl::memory::dims{stride, 1});
    const dnnl::memory::desc bias({1, out_}, Type::f32, Tag::ab);
    const auto description = bias_.empty() ? dnnl::matmul::desc(source, weights, destination)
                                           : dnnl::matmul::desc(source, weights, bias, destination);
    return {description, Attributes(epilogue), CpuEngine()};
  }

  Product Find(int64_t rows, Epilogue epilogue, int64_t stride) const {
    const std::lock_guard lock(mutex_);
    const Key key = {rows, epilogue, stride};
    const auto found = products_.find(key);
    if (found != products_.end()) return found->second;
    if (products_.size() >= kMaxPrimitives) products_.clear();
    const auto description = Describe(rows, epilogue, stride, layout_);
    Product product{description, dnnl::matmul(description)};
    products_.emplace(key, product);
    return product;
  }

  dnnl::memory Widened() const {
    thread_local std::vector<float> values;
    values.resize(static_cast<size_t>(out_ * in_));
    dnnl::memory widened(layout_, CpuEngine(), values.data());
    Convert(weights_.get_desc(), weights_.get_data_handle(), widened);
    return widened;
  }

  int64_t first_;
  int64_t out_;
  int64_t in_;
  Type type_;    // that is multiplied
  bool widens_;  // bf16 weights to f32
  dnnl::memory::desc layout_;
  dnnl::memory weights_;
  std::vector<float> bias_;
  mutable std::mutex mutex_;
  mutable std::map<Key, Product> products_;
};

// How many items the outputs of a piece are divided into.
int64_t NumSlices(int64_t columns, int64_t in) {
  const int64_t weights = columns * in;
  if (weights < kMinSharedWeights) return 1;
  const int64_t slices = std::max<int64_t>(weights / kItemWeights, 1);
  // An even number: two threads share them well.
  return std::clamp<int64_t>(slices + slices % 2, 1, std::max<int64_t>(columns / kColumnUnit, 1));
}

// Outputs that a sink takes together, divided into slices.
struct Piece {
  int64_t first;
  int64_t columns;
  std::vector<std::unique_ptr<const Slice>> slices;
};

class OneDnnKernel : public LinearKernel {
 public:
  OneDnnKernel(const float* weights, const float* bias, int64_t out, int64_t in, NumberType type)
      : out_(out), in_(in) {
    const SerialLibraries serial;
    for (int64_t first = 0; first < out; first += kMaxColumns) {
      Piece piece{first, std::min(kMaxColumns, out - first), {}};
      const int64_t count = NumSlices(piece.columns, in);
      const int64_t units = (piece.columns + kColumnUnit - 1) / kColumnUnit;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t begin = first + units * i / count * kColumnUnit;
        const int64_t end =
            std::min(first + units * (i + 1) / count * kColumnUnit, first + piece.columns);
        piece.slices.push_back(std::make_unique<const Slice>(
            weights + begin * in, bias == nullptr ? nullptr : bias + begin, begin, end - begin, in,
            type));
      }
      pieces_.push_back(std::move(piece));
    }
  }

  void Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const override {
    const void* source = Source(x, rows);
    for (const Piece& piece : pieces_) Multiply(piece, source, rows, epilogue, y, out_);
  }

  void ApplyTiles(const float* x, int64_t rows, TileSink* sink) const override {
    const void* source = Source(x, rows);
    thread_local std::vector<float> buffer;
    buffer.resize(static_cast<size_t>(rows * std::min(out_, kMaxColumns)));
    float* z = buffer.data();
    for (const Piece& piece : pieces_) {
      const int64_t columns = piece.columns;
      Multiply(piece, source, rows, Epilogue::kStore, z - piece.first, columns);
      ParallelFor(rows, kMinNumbersPerThread / columns + 1, [&](int64_t begin, int64_t end) {
        sink->Take(ThreadIndex(), begin, end - begin, piece.first, columns, z + begin * columns,
                   columns);
      });
    }
  }

 private:
  Type source_type() const { return pieces_.front().slices.front()->source_type(); }

  // Output o of row r goes to y [r * stride + o].
  void Multiply(const Piece& piece, const void* x, int64_t rows, Epilogue epilogue, float* y,
                int64_t stride) const {
    const int64_t bytes = in_ * static_cast<int64_t>(dnnl::memory::data_type_size(source_type()));
    const int64_t blocks = (rows + kItemRows - 1) / kItemRows;
    const int64_t slices = static_cast<int64_t>(piece.slices.size());
    ParallelForEach(blocks * slices, 1, [&](int64_t item) {
      const SerialLibraries serial;
      const Slice& slice = *piece.slices[static_cast<size_t>(item % slices)];
      const int64_t begin = rows * (item / slices) / blocks;
      const int64_t end = rows * (item / slices + 1) / blocks;
      slice.Apply(static_cast<const std::byte*>(x) + begin * bytes, end - begin, epilogue,
                  y + begin * stride + slice.first(), stride);
    });
  }

  // The rows in the type that is multiplied.
  const void* Source(const float* x, int64_t rows) const {
    if (source_type() == Type::f32) return x;
    const SerialLibraries serial;
    thread_local std::vector<uint16_t> converted;
    converted.resize(static_cast<size_t>(rows * in_));
    const dnnl::memory target({{rows, in_}, Type::bf16, Tag::ab}, CpuEngine(), converted.data());
    Convert({{rows, in_}, Type::f32, Tag::ab}, x, target);
    return converted.data();
  }

  int64_t out_;
  int64_t in_;
  std::vector<Piece> pieces_;
};

}  // namespace

std::unique_ptr<const LinearKernel> MakeOneDnnKernel(const float* weights, const float* bias,
                                                     int64_t out, int64_t in, NumberType type) {
  return std::make_unique<OneDnnKernel>(weights, bias, out, in, type);
}

}  // namespace blockformer
