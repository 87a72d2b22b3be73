#include "train/loop/device.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <algorithm>

#include "base/cpu.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/stopwatch.h"
#include "train/kernels/gemm.h"

namespace blockformer::train {
namespace {

constexpr int64_t kPeakMatrixSize = 1024;
constexpr double kPeakSeconds = 0.3;

}  // namespace

torch::Device SelectDevice(DeviceChoice choice, int local_rank) {
  const int64_t gpus =
      torch::cuda::is_available() ? static_cast<int64_t>(torch::cuda::device_count()) : 0;
  if (choice == DeviceChoice::kCpu || (choice == DeviceChoice::kAuto && gpus == 0)) {
    return torch::kCPU;
  }
  Require(
      gpus > 0, ErrorCode::kUnsupported,
      "training.device: cuda is not available: libtorch {} here was built without CUDA, or finds "
      "no GPU; auto or cpu is possible",
      TORCH_VERSION);
  Require(local_rank < gpus, ErrorCode::kUnsupported,
          "training.device: process {} of this machine has no GPU of its own; there are {}",
          local_rank, gpus);
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(local_rank)};
}

int SetTrainingThreads(int threads, int local_processes) {
  const int total = threads > 0 ? threads : AvailableProcessors();
  const int share = std::max(1, total / local_processes);
  SetNumThreads(share);
  at::set_num_threads(share);
  return share;
}

std::string BlasDescription() {
  using GetConfig = char* (*)();
  const auto get_config = reinterpret_cast<GetConfig>(dlsym(RTLD_DEFAULT, "openblas_get_config"));
  if (get_config != nullptr) return get_config();
  return at::hasMKL() ? "MKL" : "reference BLAS (slow; install libopenblas0-openmp)";
}

double MeasurePeakFlops(const torch::Device& device) {
  const torch::NoGradGuard no_grad;
  const auto options = torch::TensorOptions().device(device);
  const torch::Tensor a = torch::ones({kPeakMatrixSize, kPeakMatrixSize}, options);
  torch::Tensor product = torch::empty_like(a);
  constexpr double kFlops = 2.0 * kPeakMatrixSize * kPeakMatrixSize * kPeakMatrixSize;
  double best = 0;
  for (const Stopwatch all; best == 0 || all.Seconds() < kPeakSeconds;) {
    const Stopwatch watch;
    MatMulInto(product, a, /*transpose_a=*/false, a, /*transpose_b=*/false, /*accumulate=*/false);
    product[0][0].item<float>();  // waits for a GPU
    best = std::max(best, kFlops / watch.Seconds());
  }
  return best;
}

}  // namespace blockformer::train
