// What tests ask of the emulation, on a real device: nothing.
#include "cuda/emulation/emulation.h"
#include "cuda/emulation/lt_emulated.h"

namespace blockformer::cuda::emulation {

void SetOrder(Order) {}
Order GetOrder() { return Order::kForward; }
void CheckAllBuffers() {}
void RefuseEpilogues(bool) {}

}  // namespace blockformer::cuda::emulation
