#ifndef BLOCKFORMER_TRAIN_SIMD_H_
#define BLOCKFORMER_TRAIN_SIMD_H_

// Compiles a function for the levels of x86-64 (AVX-512, AVX2, baseline); the loader picks the one
// that suits the processor. Loops marked `#pragma omp simd` then use its vectors. Sanitizers cannot
// run before the loader has finished, so their builds have the baseline alone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BLOCKFORMER_SIMD \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BLOCKFORMER_SIMD
#endif

#endif  // BLOCKFORMER_TRAIN_SIMD_H_
