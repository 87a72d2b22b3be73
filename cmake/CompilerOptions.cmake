# Language level, warnings and sanitizers for every target of this project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Without the sloppiness nothing that uses a precompiled header would be found in the cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
                                  CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
endif()

add_library(blockformer_options INTERFACE)
target_compile_options(blockformer_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                                                     -Werror)
if(BLOCKFORMER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(BLOCKFORMER_SANITIZE)
  add_compile_options(-fsanitize=${BLOCKFORMER_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BLOCKFORMER_SANITIZE})
endif()
