# NVIDIA's toolkit: sm_80 (A100), sm_90a (H100), and PTX of sm_90 for what is newer.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(CMAKE_CUDA_COMPILER nvcc HINTS /usr/local/cuda/bin REQUIRED)
endif()
set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual CACHE STRING "Architectures of the kernels")
enable_language(CUDA)
# CMake 3.25 does not know how nvcc 13 is told the language: its targets have the flag themselves.
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED OFF)
find_package(CUDAToolkit 13 REQUIRED)
