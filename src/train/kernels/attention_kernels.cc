#include "train/kernels/attention_kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"
#include "train/kernels/gemm.h"
#include "train/kernels/simd.h"
#include "train/kernels/simd_math.h"

namespace blockformer::train {
namespace {

constexpr int64_t kTileRows = 64;  // queries at a time in long sequences
constexpr int64_t kSmallDepth =
    32;  // up to this many rows plain loops beat a matrix product's setup
constexpr float kHiddenScore = -1e30F;

// Query, key and value of one head of one sequence, rotated and side by side in memory, and the
// gradients of those. Heads that share key and value take turns.
struct HeadBuffers {
  HeadBuffers(int64_t rows, int64_t size)
      : query(rows * size),
        key(rows * size),
        value(rows * size),
        scores(kTileRows * rows),
        bias(rows) {}

  void AllocateGradients() {
    query_gradient.resize(query.size());
    key_gradient.resize(key.size());
    value_gradient.resize(value.size());
    score_gradient.resize(scores.size());
  }

  std::vector<float> query, key, value, scores, bias;
  std::vector<float> query_gradient, key_gradient, value_gradient, score_gradient;
};

struct HeadView {
  const AttentionProblem& problem;
  int64_t sequence;
  int64_t head;

  int64_t KvHead() const { return head / problem.layout.GroupSize(); }
  int64_t RowOffset(int64_t row) const {
    return (sequence * problem.rows + row) * problem.layout.width;
  }
  int64_t OutputOffset(int64_t row) const {
    return ((sequence * problem.rows + row) * problem.layout.heads + head) *
           problem.layout.head_size;
  }
  const float* Cosines(int64_t row) const {
    return problem.cosines + sequence * problem.table_stride + row * problem.rotary_pairs;
  }
  const float* Sines(int64_t row) const {
    return problem.sines + sequence * problem.table_stride + row * problem.rotary_pairs;
  }
  float* LogSums() const {
    return problem.log_sums + (sequence * problem.layout.heads + head) * problem.rows;
  }
  bool IsPadding(int64_t row) const {
    return problem.mask != nullptr && !problem.mask[sequence * problem.rows + row];
  }
  bool IsZeroed(int64_t row) const { return problem.zero_padding && IsPadding(row); }
};

// out = the vector rotated by the angles, or by their opposites where `direction` is -1, and
// scaled.
[[gnu::always_inline]] inline void Rotate(const float* in, const float* cosines, const float* sines,
                                          float direction, float scale, int64_t pairs, int64_t size,
                                          float* out) {
#pragma omp simd
  for (int64_t i = 0; i < pairs; ++i) {
    const float sine = sines[i] * direction;
    const float first = in[i];
    const float second = in[i + pairs];
    out[i] = (first * cosines[i] - second * sine) * scale;
    out[i + pairs] = (second * cosines[i] + first * sine) * scale;
  }
#pragma omp simd
  for (int64_t i = 2 * pairs; i < size; ++i) out[i] = in[i] * scale;
}

[[gnu::always_inline]] inline float Dot(const float* a, const float* b, int64_t size) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

[[gnu::always_inline]] inline void AddScaled(float scale, const float* in, int64_t size,
                                             float* out) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) out[i] += scale * in[i];
}

BLOCKFORMER_SIMD_BODY void LoadQueriesBody(const HeadView& view, HeadBuffers& buffers) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  const float scale = 1.0F / std::sqrt(static_cast<float>(size));
  const float* const queries = problem.projected + problem.layout.Query(view.head);
  for (int64_t row = 0; row < problem.rows; ++row) {
    Rotate(queries + view.RowOffset(row), view.Cosines(row), view.Sines(row), 1, scale,
           problem.rotary_pairs, size, buffers.query.data() + row * size);
  }
}
constexpr Simd<LoadQueriesBody> LoadQueries;

BLOCKFORMER_SIMD_BODY void LoadKeysBody(const HeadView& view, HeadBuffers& buffers) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  const float* const keys = problem.projected + problem.layout.Key(view.KvHead());
  const float* const values = problem.projected + problem.layout.Value(view.KvHead());
  for (int64_t row = 0; row < problem.rows; ++row) {
    Rotate(keys + view.RowOffset(row), view.Cosines(row), view.Sines(row), 1, 1,
           problem.rotary_pairs, size, buffers.key.data() + row * size);
    std::copy_n(values + view.RowOffset(row), size, buffers.value.data() + row * size);
    buffers.bias[row] = view.IsPadding(row) ? kHiddenScore : 0;
  }
}
constexpr Simd<LoadKeysBody> LoadKeys;

// Turns the scores of one query into probabilities and returns the logarithm of their sum.
BLOCKFORMER_SIMD_BODY float SoftmaxRowBody(const float* bias, int64_t visible, float* row) {
  float largest = kHiddenScore;
#pragma omp simd reduction(max : largest)
  for (int64_t j = 0; j < visible; ++j) {
    row[j] += bias[j];
    largest = row[j] > largest ? row[j] : largest;
  }
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < visible; ++j) {
    row[j] = VectorExp(row[j] - largest);
    sum += row[j];
  }
  const float inverse = 1.0F / sum;
#pragma omp simd
  for (int64_t j = 0; j < visible; ++j) row[j] *= inverse;
  return largest + std::log(sum);
}
constexpr Simd<SoftmaxRowBody> SoftmaxRow;

// Turns the scores of one query into probabilities, given the logarithm of their sum.
BLOCKFORMER_SIMD_BODY void ProbabilityRowBody(const float* bias, int64_t visible, float log_sum,
                                              float* row) {
#pragma omp simd
  for (int64_t j = 0; j < visible; ++j) row[j] = VectorExp(row[j] + bias[j] - log_sum);
}
constexpr Simd<ProbabilityRowBody> ProbabilityRow;

// Turns the gradients of a query's probabilities into those of its scores.
BLOCKFORMER_SIMD_BODY void SoftmaxRowGradientBody(const float* probabilities, float mean,
                                                  int64_t visible, float* gradient) {
#pragma omp simd
  for (int64_t j = 0; j < visible; ++j) gradient[j] = probabilities[j] * (gradient[j] - mean);
}
constexpr Simd<SoftmaxRowGradientBody> SoftmaxRowGradient;

// The scores of queries [begin, begin + count) with keys [0, begin + count).
void TileScores(const AttentionProblem& problem, HeadBuffers& buffers, int64_t begin,
                int64_t count) {
  const int64_t size = problem.layout.head_size;
  MatMulRows(count, begin + count, size, buffers.query.data() + begin * size, size, false,
             buffers.key.data(), size, true, buffers.scores.data(), problem.rows, false);
}

void ForwardTile(const HeadView& view, HeadBuffers& buffers, int64_t begin, int64_t count) {
  const AttentionProblem& problem = view.problem;
  const int64_t keys = begin + count;
  TileScores(problem, buffers, begin, count);
  for (int64_t i = 0; i < count; ++i) {
    float* const row = buffers.scores.data() + i * problem.rows;
    const int64_t visible = begin + i + 1;
    view.LogSums()[begin + i] = SoftmaxRow(buffers.bias.data(), visible, row);
    std::fill(row + (view.IsZeroed(begin + i) ? 0 : visible), row + keys, 0.0F);
  }
  MatMulRows(count, problem.layout.head_size, keys, buffers.scores.data(), problem.rows, false,
             buffers.value.data(), problem.layout.head_size, false,
             problem.output + view.OutputOffset(begin),
             problem.layout.heads * problem.layout.head_size, false);
}

void BackwardTile(const HeadView& view, const float* output_gradient, HeadBuffers& buffers,
                  int64_t begin, int64_t count) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  const int64_t stride = problem.layout.heads * size;
  const int64_t keys = begin + count;
  const float* const gradient = output_gradient + view.OutputOffset(begin);
  float* const slopes = buffers.score_gradient.data();
  TileScores(problem, buffers, begin, count);
  MatMulRows(count, keys, size, gradient, stride, false, buffers.value.data(), size, true, slopes,
             problem.rows, false);
  for (int64_t i = 0; i < count; ++i) {
    float* const row = buffers.scores.data() + i * problem.rows;
    const int64_t visible = view.IsZeroed(begin + i) ? 0 : begin + i + 1;
    const float mean =
        Dot(gradient + i * stride, problem.output + view.OutputOffset(begin + i), size);
    ProbabilityRow(buffers.bias.data(), visible, view.LogSums()[begin + i], row);
    SoftmaxRowGradient(row, mean, visible, slopes + i * problem.rows);
    std::fill(row + visible, row + keys, 0.0F);
    std::fill(slopes + i * problem.rows + visible, slopes + i * problem.rows + keys, 0.0F);
  }
  MatMulRows(count, size, keys, slopes, problem.rows, false, buffers.key.data(), size, false,
             buffers.query_gradient.data() + begin * size, size, false);
  MatMulRows(keys, size, count, slopes, problem.rows, true, buffers.query.data() + begin * size,
             size, false, buffers.key_gradient.data(), size, true);
  MatMulRows(keys, size, count, buffers.scores.data(), problem.rows, true, gradient, stride, false,
             buffers.value_gradient.data(), size, true);
}

BLOCKFORMER_SIMD_BODY void ForwardShortBody(const HeadView& view, HeadBuffers& buffers) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  for (int64_t i = 0; i < problem.rows; ++i) {
    float* const output = problem.output + view.OutputOffset(i);
    std::fill(output, output + size, 0.0F);
    if (view.IsZeroed(i)) continue;
    float* const row = buffers.scores.data();
    for (int64_t j = 0; j <= i; ++j) {
      row[j] = Dot(buffers.query.data() + i * size, buffers.key.data() + j * size, size);
    }
    view.LogSums()[i] = SoftmaxRowBody(buffers.bias.data(), i + 1, row);
    for (int64_t j = 0; j <= i; ++j) {
      AddScaled(row[j], buffers.value.data() + j * size, size, output);
    }
  }
}
constexpr Simd<ForwardShortBody> ForwardShort;

BLOCKFORMER_SIMD_BODY void BackwardShortBody(const HeadView& view, const float* output_gradient,
                                             HeadBuffers& buffers) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  for (int64_t i = 0; i < problem.rows; ++i) {
    if (view.IsZeroed(i)) continue;
    const float* const gradient = output_gradient + view.OutputOffset(i);
    const float* const query = buffers.query.data() + i * size;
    float* const row = buffers.scores.data();
    const float mean = Dot(gradient, problem.output + view.OutputOffset(i), size);
    for (int64_t j = 0; j <= i; ++j) row[j] = Dot(query, buffers.key.data() + j * size, size);
    ProbabilityRowBody(buffers.bias.data(), i + 1, view.LogSums()[i], row);
    for (int64_t j = 0; j <= i; ++j) {
      const float slope = row[j] * (Dot(gradient, buffers.value.data() + j * size, size) - mean);
      AddScaled(slope, buffers.key.data() + j * size, size,
                buffers.query_gradient.data() + i * size);
      AddScaled(slope, query, size, buffers.key_gradient.data() + j * size);
      AddScaled(row[j], gradient, size, buffers.value_gradient.data() + j * size);
    }
  }
}
constexpr Simd<BackwardShortBody> BackwardShort;

BLOCKFORMER_SIMD_BODY void StoreQueryGradientsBody(const HeadView& view, const HeadBuffers& buffers,
                                                   float* input_gradient) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  const float scale = 1.0F / std::sqrt(static_cast<float>(size));
  float* const queries = input_gradient + problem.layout.Query(view.head);
  for (int64_t row = 0; row < problem.rows; ++row) {
    Rotate(buffers.query_gradient.data() + row * size, view.Cosines(row), view.Sines(row), -1,
           scale, problem.rotary_pairs, size, queries + view.RowOffset(row));
  }
}
constexpr Simd<StoreQueryGradientsBody> StoreQueryGradients;

BLOCKFORMER_SIMD_BODY void StoreKeyGradientsBody(const HeadView& view, const HeadBuffers& buffers,
                                                 float* input_gradient) {
  const AttentionProblem& problem = view.problem;
  const int64_t size = problem.layout.head_size;
  float* const keys = input_gradient + problem.layout.Key(view.KvHead());
  float* const values = input_gradient + problem.layout.Value(view.KvHead());
  for (int64_t row = 0; row < problem.rows; ++row) {
    Rotate(buffers.key_gradient.data() + row * size, view.Cosines(row), view.Sines(row), -1, 1,
           problem.rotary_pairs, size, keys + view.RowOffset(row));
    std::copy_n(buffers.value_gradient.data() + row * size, size, values + view.RowOffset(row));
  }
}
constexpr Simd<StoreKeyGradientsBody> StoreKeyGradients;

// Calls begin(view, buffers) once for every kv head of every sequence, whose keys and values are
// loaded, then body(view, buffers) for each head that reads it, then end(view, buffers); on all
// threads.
template <typename Begin, typename Body, typename End>
void ForEachHead(const AttentionProblem& problem, Begin&& begin_group, Body&& body,
                 End&& end_group) {
  const int64_t kv_heads = problem.layout.kv_heads;
  const int64_t group = problem.layout.GroupSize();
  ParallelFor(problem.batch * kv_heads, 1, [&](int64_t begin, int64_t end) {
    HeadBuffers buffers(problem.rows, problem.layout.head_size);
    for (int64_t i = begin; i < end; ++i) {
      HeadView view{problem, i / kv_heads, i % kv_heads * group};
      LoadKeys(view, buffers);
      begin_group(buffers);
      for (int64_t member = 0; member < group; ++member, ++view.head) {
        LoadQueries(view, buffers);
        body(view, buffers);
      }
      --view.head;  // one of the group
      end_group(view, buffers);
    }
  });
}

}  // namespace

void AttentionForward(const AttentionProblem& problem) {
  const auto forward = [&](const HeadView& view, HeadBuffers& buffers) {
    if (problem.rows <= kSmallDepth) {
      ForwardShort(view, buffers);
      return;
    }
    for (int64_t begin = 0; begin < problem.rows; begin += kTileRows) {
      ForwardTile(view, buffers, begin, std::min(kTileRows, problem.rows - begin));
    }
  };
  ForEachHead(
      problem, [](HeadBuffers&) {}, forward, [](const HeadView&, HeadBuffers&) {});
}

void AttentionBackward(const AttentionProblem& problem, const float* output_gradient,
                       float* input_gradient) {
  const auto begin_group = [](HeadBuffers& buffers) {
    buffers.AllocateGradients();
    std::fill(buffers.key_gradient.begin(), buffers.key_gradient.end(), 0.0F);
    std::fill(buffers.value_gradient.begin(), buffers.value_gradient.end(), 0.0F);
  };
  const auto backward = [&](const HeadView& view, HeadBuffers& buffers) {
    std::fill(buffers.query_gradient.begin(), buffers.query_gradient.end(), 0.0F);
    if (problem.rows <= kSmallDepth) {
      BackwardShort(view, output_gradient, buffers);
    } else {
      for (int64_t begin = 0; begin < problem.rows; begin += kTileRows) {
        BackwardTile(view, output_gradient, buffers, begin,
                     std::min(kTileRows, problem.rows - begin));
      }
    }
    StoreQueryGradients(view, buffers, input_gradient);
  };
  const auto end_group = [&](const HeadView& view, HeadBuffers& buffers) {
    StoreKeyGradients(view, buffers, input_gradient);
  };
  ForEachHead(problem, begin_group, backward, end_group);
}

}  // namespace blockformer::train
