#ifndef BLOCKFORMER_TRAIN_LOOP_DEVICE_H_
#define BLOCKFORMER_TRAIN_LOOP_DEVICE_H_

#include <string>

#include "config/train_recipe.h"
#include "train/torch.h"

namespace blockformer::train {

// The device to train on; with CUDA the one numbered `local_rank`. `auto` is CUDA where there is
// one. Throws Error(kUnsupported) if this libtorch or this machine lacks the device asked for.
torch::Device SelectDevice(DeviceChoice choice, int local_rank);

// Sets the number of threads that libtorch, the BLAS, oneDNN and ParallelFor use in each of the
// machine's processes, which share out `threads`, or if that is 0 AvailableProcessors(). Returns
// the number.
int SetTrainingThreads(int threads, int local_processes);

// What computes matrix products on the processor, such as "OpenBLAS 0.3.21 ... SkylakeX".
std::string BlasDescription();

// The f32 arithmetic that the device reaches in a large matrix product of training's own kind, in
// FLOP/s: what model FLOP utilisation is a share of. Takes about a third of a second.
double MeasurePeakFlops(const torch::Device& device);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_DEVICE_H_
