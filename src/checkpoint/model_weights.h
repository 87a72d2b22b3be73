#ifndef BLOCKFORMER_CHECKPOINT_MODEL_WEIGHTS_H_
#define BLOCKFORMER_CHECKPOINT_MODEL_WEIGHTS_H_

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/quantize.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/weight_writer.h"

namespace blockformer {

// What follows the name of a linear layer whose weights are int8: its tensors beside X.weight.
inline constexpr char kWeightScaleSuffix[] = ".weight_scale";  // F32 [out]
inline constexpr char kInputScaleSuffix[] = ".input_scale";    // F32 [in]; not there: all are 1

// The checked weights of a checkpoint, under the names of ListParameters. Every used parameter of
// the configuration is there with its shape and a floating-point type, or, if is_int8() and it may
// be int8, as int8 with its scales. Immutable; safe to read from several threads.
class ModelWeights {
 public:
  virtual ~ModelWeights() = default;
  ModelWeights(const ModelWeights&) = delete;
  ModelWeights& operator=(const ModelWeights&) = delete;

  // Whether the parameters that may be int8 are; all of them or none.
  virtual bool is_int8() const { return false; }
  // All tensors of the files.
  virtual size_t num_tensors() const = 0;
  // Those that nothing reads, with the reason.
  virtual const std::map<std::string, std::string>& skipped() const = 0;

  // A used parameter, or a scale; without bytes if no file holds it in this form.
  const TensorView& Get(const std::string& name) const;
  bool Contains(const std::string& name) const { return Find(name) != nullptr; }
  // The same with its bytes, made in memory where no file holds them.
  virtual MadeTensor Read(const std::string& name) const { return {{}, Get(name)}; }
  // The same, to be written elsewhere in its own type. The weights must outlive the result.
  WeightSource Source(const std::string& name) const;
  // The same as numbers; of int8 weights, what they stand for. Throws Error(kCorrupt) that names
  // the tensor if one is infinite or NaN.
  std::vector<float> Floats(const std::string& name) const;
  // The same of weights that are not int8; `out` has room for all of them.
  void ReadFloats(const std::string& name, std::span<float> out) const;
  // The linear layer whose weights are the parameter `name`.weight, if they are int8.
  Int8Linear GetInt8(const std::string& name) const;

 protected:
  // `path` opens messages.
  explicit ModelWeights(std::string path) : path_(std::move(path)) {}

 private:
  // Null if there is none of this name.
  virtual const TensorView* Find(const std::string& name) const = 0;

  std::string path_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_MODEL_WEIGHTS_H_
