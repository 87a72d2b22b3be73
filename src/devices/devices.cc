#include "devices/devices.h"

#include <fmt/ranges.h>

#include <charconv>
#include <mutex>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "checkpoint/model_directory.h"
#include "cpu/cpu_model.h"
#include "devices/cuda_plugin.h"

namespace blockformer {
namespace {

constexpr std::string_view kCuda = "cuda";

std::string CudaName(int device) { return fmt::format("{}:{}", kCuda, device); }

// The number behind "cuda:"; 0 without one; -1 if it is none.
int CudaIndex(std::string_view name) {
  if (name == kCuda) return 0;
  if (!name.starts_with("cuda:")) return -1;
  const std::string_view digits = name.substr(kCuda.size() + 1);
  int device = -1;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), device);
  return error == std::errc() && end == digits.end() ? device : -1;
}

// Once, although the device is asked for more than once.
void WarnOfProcessor(const std::string& problem) {
  static std::once_flag warned;
  std::call_once(warned, [&] { LogWarning("the processor is used, since {}", problem); });
}

std::string ResolveCuda(const std::string& name, int device) {
  const CudaPlugin& plugin = GetCudaPlugin();
  Require(plugin.table != nullptr, ErrorCode::kInvalidArgument,
          "`device`: \"{}\" cannot be used: {}; cpu is possible", name, plugin.problem);
  Require(device < plugin.devices, ErrorCode::kInvalidArgument,
          "`device`: \"{}\" is not there; auto, {} are possible", name,
          fmt::join(AvailableDevices(), ", "));
  return CudaName(device);
}

std::shared_ptr<const Model> MakeOn(const std::string& device, const ModelConfig& config,
                                    const ReadWeights& weights) {
  if (device == "cpu") return std::make_shared<const CpuModel>(config, weights);
  return GetCudaPlugin().table->make_model(config, weights, CudaIndex(device));
}

}  // namespace

std::vector<std::string> AvailableDevices() {
  std::vector<std::string> devices = {"cpu"};
  const CudaPlugin& plugin = GetCudaPlugin();
  for (int i = 0; plugin.table != nullptr && i < plugin.devices; ++i) {
    devices.push_back(CudaName(i));
  }
  return devices;
}

std::string ResolveDevice(const std::string& name) {
  if (name == "cpu") return name;
  if (name == "auto") {
    const CudaPlugin& plugin = GetCudaPlugin();
    if (plugin.table != nullptr) return CudaName(0);
    if (plugin.is_expected) WarnOfProcessor(plugin.problem);
    return "cpu";
  }
  const int device = CudaIndex(name);
  if (device >= 0) return ResolveCuda(name, device);
  Fail(ErrorCode::kInvalidArgument, "`device`: \"{}\" is not there; auto, {} are possible", name,
       fmt::join(AvailableDevices(), ", "));
}

OpenedModel OpenedModel::Open(const std::string& directory, const DeviceOptions& options) {
  ResolveDevice(options.device);  // before anything is read
  ModelConfig config = ReadModelConfig(directory);
  ReadWeights weights = WeightsFromDirectory(directory, config, options.type);
  return {options.device, std::move(config), std::move(weights)};
}

std::shared_ptr<const Model> OpenedModel::Load() const {
  return MakeModel(config, weights, device);
}

std::shared_ptr<const Model> LoadModel(const std::string& directory, const DeviceOptions& options) {
  return OpenedModel::Open(directory, options).Load();
}

std::shared_ptr<const Model> RandomModel(const ModelConfig& config, uint64_t seed,
                                         const DeviceOptions& options) {
  const NumberType type = options.type.value_or(NumberType::kF32);
  return MakeModel(config, RandomWeights(config, seed, type), options.device);
}

std::shared_ptr<const Model> MakeModel(const ModelConfig& config, const ReadWeights& weights,
                                       const std::string& device) {
  const std::string resolved = ResolveDevice(device);
  if (device != "auto" || resolved == "cpu") return MakeOn(resolved, config, weights);
  try {
    return MakeOn(resolved, config, weights);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    LogWarning("the processor is used: {}", error.what());
    return MakeOn("cpu", config, weights);
  }
}

}  // namespace blockformer
