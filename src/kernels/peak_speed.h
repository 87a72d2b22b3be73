#ifndef BLOCKFORMER_KERNELS_PEAK_SPEED_H_
#define BLOCKFORMER_KERNELS_PEAK_SPEED_H_

#include <string>

namespace blockformer {

// What this machine can do at best, measured with all threads in less than a second each. A shared
// machine varies, so a figure is worth comparing only with others of the same run.

// f32 multiply-adds on registers alone, in 10^9 operations a second (a multiply-add counts two).
double MeasureF32Gflops();

// Multiply-adds of bytes into sums of 32 bits, counted alike: on registers, with the instructions
// that int8 products of ActiveIsa() are made of.
double MeasureInt8Gops();

// Reading memory far larger than the caches, in 10^9 bytes a second.
double MeasureMemoryGbps();

// What Highway chose for this processor.
std::string HighwayTarget();   // such as "AVX3_DL"
std::string HighwayVersion();  // such as "1.0"

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_PEAK_SPEED_H_
