#ifndef BLOCKFORMER_TRAIN_TORCH_H_
#define BLOCKFORMER_TRAIN_TORCH_H_

// The parts of libtorch that the trainer uses. <torch/torch.h> has them all, and costs twice the
// time to compile in every file.
#include <torch/autograd.h>
#include <torch/cuda.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#endif  // BLOCKFORMER_TRAIN_TORCH_H_
