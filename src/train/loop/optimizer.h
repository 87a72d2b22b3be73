#ifndef BLOCKFORMER_TRAIN_LOOP_OPTIMIZER_H_
#define BLOCKFORMER_TRAIN_LOOP_OPTIMIZER_H_

#include <string>
#include <vector>

#include "train/model/weights.h"
#include "train/torch.h"

namespace blockformer::train {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  // For all parameters, biases and norms too, as the paper's models had it.
  double weight_decay = 0.1;
};

// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), in f32. Parameters without a
// gradient are left alone. Not thread-safe.
class AdamW {
 public:
  // Keeps references to the module's parameters, which must stay on their device.
  AdamW(const torch::nn::Module& module, const AdamWOptions& options);

  // One update with the parameters' gradients times `gradient_scale`.
  void Step(double learning_rate, double gradient_scale);

  // The Euclidean norm of all gradients: each tensor's own in f32, their squares summed in f64.
  double GradientNorm() const;
  void ZeroGradients();

  // The two moments of every parameter, "exp_avg.NAME" and "exp_avg_sq.NAME", to save, or to fill
  // when resuming; with them goes the number of updates so far.
  NamedTensors State() const;
  int64_t updates() const { return updates_; }
  void SetUpdates(int64_t updates) { updates_ = updates; }

 private:
  struct Slot {
    std::string name;
    torch::Tensor parameter;
    torch::Tensor mean;      // of gradients
    torch::Tensor variance;  // of gradients, not centred
  };

  AdamWOptions options_;
  std::vector<Slot> slots_;
  int64_t updates_ = 0;
};

// The factor that brings the norm of gradients, now `norm`, down to at most `max_norm`.
double ClipScale(double norm, double max_norm);

// The numbers of one update, the same for all parameters. With g the scaled gradient:
//   mean = beta1 mean + (1 - beta1) g,  variance = beta2 variance + (1 - beta2) g^2,
//   parameter = decay parameter - rate mean / (sqrt(variance) variance_scale + epsilon).
struct AdamWUpdate {
  AdamWUpdate(const AdamWOptions& options, int64_t update, double learning_rate,
              double gradient_scale);

  float gradient_scale;
  float beta1;
  float beta2;
  float decay;           // 1 - learning rate * weight decay
  float rate;            // learning rate, with the correction of the mean's bias
  float variance_scale;  // the correction of the variance's bias
  float epsilon;
};

// Applies the update in one pass over memory on the CPU, and with libtorch's operations on any
// device.
void UpdateFused(const AdamWUpdate& update, torch::Tensor& parameter, const torch::Tensor& gradient,
                 torch::Tensor& mean, torch::Tensor& variance);
void UpdateGeneric(const AdamWUpdate& update, torch::Tensor& parameter,
                   const torch::Tensor& gradient, torch::Tensor& mean, torch::Tensor& variance);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_OPTIMIZER_H_
