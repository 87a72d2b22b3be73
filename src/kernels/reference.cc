#include "kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace blockformer::reference {
namespace {

double Finish(Epilogue epilogue, double z, double before) {
  switch (epilogue) {
    case Epilogue::kStore:
      return z;
    case Epilogue::kGelu:
      return 0.5 * z * (1.0 + std::erf(z / std::sqrt(2.0)));
    case Epilogue::kRelu:
      return z < 0 ? 0 : z;
    case Epilogue::kAdd:
      return z + before;
  }
  return z;
}

}  // namespace

void Linear(const float* x, const float* weights, const float* bias, int64_t rows, int64_t out,
            int64_t in, Epilogue epilogue, float* y) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t o = 0; o < out; ++o) {
      double z = bias == nullptr ? 0.0 : bias[o];
      for (int64_t i = 0; i < in; ++i) {
        z += static_cast<double>(x[row * in + i]) * weights[o * in + i];
      }
      float& target = y[row * out + o];
      target = static_cast<float>(Finish(epilogue, z, target));
    }
  }
}

void Int8Linear(const float* x, const int8_t* values, const float* scales,
                const float* input_scales, const float* bias, int64_t rows, int64_t out, int64_t in,
                Epilogue epilogue, float* y) {
  for (int64_t row = 0; row < rows; ++row, x += in, y += out) {
    std::vector<double> sums(out, 0.0);
    for (int64_t begin = 0; begin < in; begin += kInt8GroupInputs) {
      const int64_t end = std::min(begin + kInt8GroupInputs, in);
      // In f32, as the kernel: a number half way between two integers has to round alike.
      float largest = 0;
      for (int64_t i = begin; i < end; ++i) {
        largest = std::max(largest, std::abs(x[i] * (1 / input_scales[i])));
      }
      const float scale = largest == 0 ? 1 : largest / 127;
      const float inverse = 1 / scale;
      for (int64_t o = 0; o < out; ++o) {
        int64_t sum = 0;
        for (int64_t i = begin; i < end; ++i) {
          const float rounded = std::nearbyint(x[i] * (1 / input_scales[i]) * inverse);
          sum += static_cast<int64_t>(rounded) * values[o * in + i];
        }
        sums[o] += static_cast<double>(sum) * scale;
      }
    }
    for (int64_t o = 0; o < out; ++o) {
      const double z = sums[o] * scales[o] + (bias ? bias[o] : 0);
      y[o] = static_cast<float>(Finish(epilogue, z, y[o]));
    }
  }
}

void LayerNorm(const float* x, int64_t rows, int64_t width, const float* gain, const float* bias,
               float epsilon, float* y) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    double mean = 0;
    for (int64_t i = 0; i < width; ++i) mean += x[i];
    mean /= static_cast<double>(width);
    double variance = 0;
    for (int64_t i = 0; i < width; ++i) variance += (x[i] - mean) * (x[i] - mean);
    variance /= static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) {
      y[i] = static_cast<float>((x[i] - mean) / std::sqrt(variance + epsilon) * gain[i] + bias[i]);
    }
  }
}

void RmsNorm(const float* x, int64_t rows, int64_t width, const float* gain, float epsilon,
             float* y) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    double square = 0;
    for (int64_t i = 0; i < width; ++i) square += static_cast<double>(x[i]) * x[i];
    const double scale = 1 / std::sqrt(square / static_cast<double>(width) + epsilon);
    for (int64_t i = 0; i < width; ++i) y[i] = static_cast<float>(x[i] * scale * gain[i]);
  }
}

namespace {

void AttendHead(const KvPages& cache, const AttentionRule& rule, const AttentionRow& row,
                int64_t head, const float* query, float* out) {
  const int64_t size = cache.head_size;
  std::vector<double> result(size, 0.0);
  float key[kMaxHeadSize];
  float value[kMaxHeadSize];
  double sum = 0;
  if (row.key_mask == nullptr || row.key_mask[row.position] != 0 || row.attends_if_masked) {
    for (int64_t j = 0; j <= row.position; ++j) {
      if (row.key_mask != nullptr && row.key_mask[j] == 0) continue;
      cache.Read(row.pages[j / cache.page_size], head / rule.layout.GroupSize(),
                 j % cache.page_size, key, value);
      double score = 0;
      for (int64_t d = 0; d < size; ++d) score += static_cast<double>(query[d]) * key[d];
      score *= rule.scale;
      if (rule.bias != nullptr) {
        const int64_t distance = row.position - j;
        score += rule.bias[head * rule.bias_positions + rule.bias_positions - 1 - distance];
      }
      const double weight = std::exp(score);
      sum += weight;
      for (int64_t d = 0; d < size; ++d) result[d] += weight * value[d];
    }
  }
  for (int64_t d = 0; d < size; ++d) {
    out[d] = sum == 0 ? 0.0f : static_cast<float>(result[d] / sum);
  }
}

}  // namespace

void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* rows_of_heads, float* out) {
  const HeadLayout& layout = rule.layout;
  for (int64_t i = 0; i < num_rows; ++i) {
    for (int64_t head = 0; head < layout.heads; ++head) {
      AttendHead(cache, rule, rows[i], head, rows_of_heads + i * layout.width + layout.Query(head),
                 out + i * layout.OutputWidth() + head * cache.head_size);
    }
  }
}

}  // namespace blockformer::reference
