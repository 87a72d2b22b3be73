#ifndef BLOCKFORMER_RUNNER_MODEL_H_
#define BLOCKFORMER_RUNNER_MODEL_H_

#include <memory>
#include <string>

#include "base/number_type.h"
#include "config/model_config.h"
#include "runner/runner.h"

namespace blockformer {

// A model's weights on a device, ready to run. A sequence is a row of units: blocks of L tokens, or
// single tokens for a vanilla model. The decoder reads one vector a unit and writes one hidden
// state a unit; the next unit comes from that, through the token decoder in a block model, or
// through the output head alone in a vanilla one. Immutable; safe to use from several threads.
class Model {
 public:
  explicit Model(const ModelConfig& config) : config_(config) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  const ModelConfig& config() const { return config_; }
  bool is_block() const { return config_.kind == ModelKind::kBlock; }
  int64_t unit_length() const { return config_.UnitLength(); }

  // The number type of the linear layers' weights.
  virtual NumberType weight_type() const = 0;
  virtual std::string device() const = 0;
  // Whether its runners obey SequenceStart::make_constraint; if not, no sequence may have one.
  virtual bool obeys_constraints() const { return false; }

  // Bytes that a page of a KV cache takes.
  virtual int64_t BytesPerPage(NumberType kv_type, int64_t page_size) const = 0;
  // Memory of the device that is free for caches.
  virtual int64_t AvailableBytes() const = 0;

  // The model outlives the runner. Throws Error(kExhausted) if the memory cannot be had.
  virtual std::unique_ptr<Runner> MakeRunner(const RunnerOptions& options) const = 0;

 private:
  ModelConfig config_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_RUNNER_MODEL_H_
