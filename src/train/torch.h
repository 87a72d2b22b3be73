#ifndef BLOCKFORMER_TRAIN_TORCH_H_
#define BLOCKFORMER_TRAIN_TORCH_H_

// The parts of libtorch that the trainer uses. <torch/torch.h> has them all, and costs twice the
// time to compile in every file. The first one defines what the others only declare, which clang
// does not take in C++20.
#include <ATen/core/class_type.h>
#include <torch/autograd.h>
#include <torch/cuda.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#endif  // BLOCKFORMER_TRAIN_TORCH_H_
