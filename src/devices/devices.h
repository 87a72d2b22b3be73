#ifndef BLOCKFORMER_DEVICES_DEVICES_H_
#define BLOCKFORMER_DEVICES_DEVICES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/read_weights.h"
#include "runner/model.h"

namespace blockformer {

// Where a model runs, and how its linear layers' weights lie in memory there.
struct DeviceOptions {
  std::string device = "auto";  // or one of AvailableDevices()
  // kF32, kBf16 or kInt8; without one, the files' own, and f32 if they hold f16.
  std::optional<NumberType> type;
};

// The names that a device may be asked for by, here and now, but "auto": "cpu", and "cuda:0" and so
// on where the CUDA plugin is and finds devices; "cuda" is "cuda:0".
std::vector<std::string> AvailableDevices();

// The device that `name` stands for; "auto" is the fastest that is there. Throws
// Error(kInvalidArgument) that lists what is there, and why a GPU cannot be used, for any other
// name.
std::string ResolveDevice(const std::string& name);

// A model directory of which all but the weights' numbers is read and checked. Its files stay
// mapped as long as it lives. Immutable.
struct OpenedModel {
  // Throws Error that names the file and the field or tensor that is wrong.
  static OpenedModel Open(const std::string& directory, const DeviceOptions& options = {});

  // Reads the numbers. Throws Error that names the tensor of one that cannot be.
  std::shared_ptr<const Model> Load() const;

  std::string device;  // as DeviceOptions has it
  ModelConfig config;
  ReadWeights weights;
};

// Opens a model directory and loads it.
std::shared_ptr<const Model> LoadModel(const std::string& directory,
                                       const DeviceOptions& options = {});

// A model of random weights, for benchmarks; of f32 without a type.
std::shared_ptr<const Model> RandomModel(const ModelConfig& config, uint64_t seed,
                                         const DeviceOptions& options = {});

// A model of weights that are read while it is made. With "auto", what a GPU does not run goes to
// the processor, with a warning.
std::shared_ptr<const Model> MakeModel(const ModelConfig& config, const ReadWeights& weights,
                                       const std::string& device = "auto");

}  // namespace blockformer

#endif  // BLOCKFORMER_DEVICES_DEVICES_H_
