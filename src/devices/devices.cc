#include "devices/devices.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "checkpoint/model_directory.h"
#include "cpu/cpu_model.h"

namespace blockformer {

std::vector<std::string> AvailableDevices() { return {"cpu"}; }

std::string ResolveDevice(const std::string& name) {
  const std::vector<std::string> devices = AvailableDevices();
  if (name == "auto") return devices.front();
  if (std::ranges::find(devices, name) != devices.end()) return name;
  Fail(ErrorCode::kInvalidArgument, "device: \"{}\" is not there; auto, {} are possible", name,
       fmt::join(devices, ", "));
}

std::shared_ptr<const Model> LoadModel(const std::string& directory, const DeviceOptions& options) {
  const std::string device = ResolveDevice(options.device);
  const ModelConfig config = ReadModelConfig(directory);
  return MakeModel(config, WeightsFromDirectory(directory, config, options.type), device);
}

std::shared_ptr<const Model> RandomModel(const ModelConfig& config, uint64_t seed,
                                         const DeviceOptions& options) {
  const NumberType type = options.type.value_or(NumberType::kF32);
  return MakeModel(config, RandomWeights(config, seed, type), options.device);
}

std::shared_ptr<const Model> MakeModel(const ModelConfig& config, const ReadWeights& weights,
                                       const std::string& device) {
  ResolveDevice(device);  // the processor is the only one so far
  return std::make_shared<const CpuModel>(config, weights);
}

}  // namespace blockformer
