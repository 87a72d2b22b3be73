# Language level, warnings and sanitizers for every target of this project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Most of what a file costs are the headers of JSON, formatting and GoogleTest, and the templates that
# all files instantiate from them. So a folder's files are compiled several at a time, and names in
# anonymous namespaces are unique in a folder. The lint preset compiles each alone.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "Compile several files of a folder at once")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # It takes a file that another includes for a header, whose anonymous types would differ.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Without the sloppiness nothing that uses a precompiled header would be found in the cache, and
  # without the directory nothing that another build, such as the wheel's, has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
                                  CCACHE_SLOPPINESS=pch_defines,time_macros
                                  CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${CCACHE_PROGRAM})
endif()

add_library(blockformer_options INTERFACE)
target_compile_options(blockformer_options INTERFACE -Wall -Wextra -Wshadow
                       $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> -Werror)
if(BLOCKFORMER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(BLOCKFORMER_SANITIZE)
  # Reports need lines and no variables, and -O2 would double the time to compile.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With AddressSanitizer g++ 12 takes members of the standard library's regex for uninitialised.
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)
  endif()
  add_compile_options(-fsanitize=${BLOCKFORMER_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BLOCKFORMER_SANITIZE})
endif()
