#ifndef BLOCKFORMER_CUDA_EMULATION_LT_EMULATED_H_
#define BLOCKFORMER_CUDA_EMULATION_LT_EMULATED_H_

namespace blockformer::cuda::emulation {

// From now on no algorithm is found for products that take a bias or GELU along, as on a device
// that does not support them.
void RefuseEpilogues(bool refuse);

}  // namespace blockformer::cuda::emulation

#endif  // BLOCKFORMER_CUDA_EMULATION_LT_EMULATED_H_
