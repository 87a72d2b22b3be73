// Matrix products through oneDNN 2.x. Its way to set scales and attributes stays in this file.
#include "kernels/gemm.h"

#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace blockformer {
namespace {

using Type = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

// The weights' layout is chosen for a batch of this many rows and serves all others.
constexpr int64_t kLayoutRows = 256;
// Creating a primitive takes about 0.3 ms, so those in use are kept; when rows vary so much that
// this many pile up, all are dropped.
constexpr size_t kMaxPrimitives = 1024;

const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
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

dnnl::matmul::primitive_desc Describe(int64_t rows, int64_t out, int64_t in, bool has_bias,
                                      Epilogue epilogue, const dnnl::memory::desc& weights) {
  const dnnl::memory::desc source({rows, in}, Type::f32, Tag::ab);
  const dnnl::memory::desc destination({rows, out}, Type::f32, Tag::ab);
  const dnnl::memory::desc bias({1, out}, Type::f32, Tag::ab);
  const auto description = has_bias ? dnnl::matmul::desc(source, weights, bias, destination)
                                    : dnnl::matmul::desc(source, weights, destination);
  return {description, Attributes(epilogue), CpuEngine()};
}

}  // namespace

struct PackedLinear::Packed {
  struct Product {
    dnnl::matmul::primitive_desc description;
    dnnl::matmul primitive;
  };
  using Key = std::pair<int64_t, Epilogue>;

  Product Find(int64_t rows, Epilogue epilogue, int64_t out, int64_t in) const {
    const std::lock_guard lock(mutex);
    const auto found = products.find({rows, epilogue});
    if (found != products.end()) return found->second;
    if (products.size() >= kMaxPrimitives) products.clear();
    auto description = Describe(rows, out, in, !bias.empty(), epilogue, weights.get_desc());
    Product product{description, dnnl::matmul(description)};
    products.emplace(Key{rows, epilogue}, product);
    return product;
  }

  dnnl::memory weights;
  std::vector<float> bias;
  mutable std::mutex mutex;
  mutable std::map<Key, Product> products;
};

PackedLinear::PackedLinear(const float* weights, const float* bias, int64_t out, int64_t in)
    : out_(out), in_(in) {
  auto packed = std::make_unique<Packed>();
  if (bias != nullptr) packed->bias.assign(bias, bias + out);
  const dnnl::memory::desc any({in, out}, Type::f32, Tag::any);
  const auto description = Describe(kLayoutRows, out, in, bias != nullptr, Epilogue::kStore, any);
  packed->weights = dnnl::memory(description.weights_desc(), CpuEngine());
  // [out, in] row-major is [in, out] with the tag "ba". reorder() does not write to its source.
  const dnnl::memory plain({{in, out}, Type::f32, Tag::ba}, CpuEngine(),
                           const_cast<float*>(weights));
  dnnl::stream stream(CpuEngine());
  dnnl::reorder(plain, packed->weights)
      .execute(stream, const_cast<dnnl::memory&>(plain), packed->weights);
  stream.wait();
  packed_ = std::move(packed);
}

PackedLinear::PackedLinear(PackedLinear&&) noexcept = default;
PackedLinear& PackedLinear::operator=(PackedLinear&&) noexcept = default;
PackedLinear::~PackedLinear() = default;

void PackedLinear::Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const {
  if (rows == 0) return;
  const Packed::Product product = packed_->Find(rows, epilogue, out_, in_);
  const auto scratch_desc = product.description.scratchpad_desc();
  thread_local std::vector<std::byte> scratch;
  if (scratch.size() < scratch_desc.get_size()) scratch.resize(scratch_desc.get_size());

  const dnnl::engine& engine = CpuEngine();
  std::unordered_map<int, dnnl::memory> arguments = {
      {DNNL_ARG_SRC, {product.description.src_desc(), engine, const_cast<float*>(x)}},
      {DNNL_ARG_WEIGHTS, packed_->weights},
      {DNNL_ARG_DST, {product.description.dst_desc(), engine, y}},
      {DNNL_ARG_SCRATCHPAD, {scratch_desc, engine, scratch.data()}}};
  if (!packed_->bias.empty()) {
    arguments.emplace(DNNL_ARG_BIAS, dnnl::memory(product.description.bias_desc(), engine,
                                                  const_cast<float*>(packed_->bias.data())));
  }
  dnnl::stream stream(engine);
  product.primitive.execute(stream, arguments);
  stream.wait();
}

}  // namespace blockformer
