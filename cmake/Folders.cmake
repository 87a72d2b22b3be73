# One static library a folder of src/, and one test program a folder of tests/. A new file in a
# folder needs no change to any CMake file.

# blockformer_folder(NAME DEPENDS folder... LIBRARIES target...)
function(blockformer_folder name)
  cmake_parse_arguments(arg "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc
       ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  set(target blockformer_${name})
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM arg_DEPENDS PREPEND blockformer_)
  target_link_libraries(${target} PUBLIC ${arg_DEPENDS} ${arg_LIBRARIES} PRIVATE blockformer_options)
endfunction()

# libtorch's threads sleep when they wait: tests run beside each other, and beside other work.
set(BLOCKFORMER_TEST_ENVIRONMENT OMP_WAIT_POLICY=passive)
# What the sanitizers are told is in one file, which `make fuzz` reads too.
if(BLOCKFORMER_SANITIZE)
  file(STRINGS ${PROJECT_SOURCE_DIR}/scripts/dev/sanitizers.env settings REGEX "^[A-Z]")
  list(APPEND BLOCKFORMER_TEST_ENVIRONMENT ${settings})
endif()

# blockformer_test_main(TARGET LIBRARY)
# Gives a test program the main program that obeys BLOCKFORMER_ISA, if its library has arithmetic.
function(blockformer_test_main target library)
  if(library MATCHES "_(kernels|cpu|engine|eval|api|server|bench|cli)$")
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/kernels_main.cc)
  elseif(library MATCHES "_train$")
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/train_main.cc)
  endif()
endfunction()

# blockformer_test(FOLDER [BY_SUITE] [LABEL label] [PREFIX prefix] LIBRARIES target...)
# Builds tests/FOLDER/*_test.cc into FOLDER_test and names each case FOLDER.Suite.Case, or with another
# prefix than the folder's name, or each suite FOLDER.Suite where starting the program costs more than a case. They are listed when ctest runs, so
# those made from files that lie in a directory are found there and then.
function(blockformer_test folder)
  cmake_parse_arguments(arg "BY_SUITE" "LABEL;PREFIX" "LIBRARIES" ${ARGN})
  if(NOT arg_PREFIX)
    set(arg_PREFIX ${folder})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cc)
  set(target ${folder}_test)
  add_executable(${target} ${sources})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PRIVATE ${arg_LIBRARIES} blockformer_options GTest::gmock
                                          GTest::gtest_main)
  blockformer_test_main(${target} "${arg_LIBRARIES}")
  # What takes time is in the libraries; this nearly halves what tests take to compile. The trainer's
  # share a precompiled header with it, whose options they must keep.
  if(NOT arg_LIBRARIES MATCHES "_train")
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>
                                             $<$<CONFIG:RelWithDebInfo>:-O0>)
  endif()
  set(properties ENVIRONMENT ${BLOCKFORMER_TEST_ENVIRONMENT})
  if(arg_LABEL)
    list(APPEND properties LABELS ${arg_LABEL})
  endif()
  if(NOT arg_BY_SUITE)
    gtest_discover_tests(${target} TEST_PREFIX "${arg_PREFIX}." DISCOVERY_MODE PRE_TEST
                         NO_PRETTY_VALUES
                         WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} PROPERTIES ${properties})
    return()
  endif()
  set(script ${CMAKE_CURRENT_BINARY_DIR}/${target}_suites.cmake)
  file(GENERATE OUTPUT ${script} CONTENT "\
set(program \"$<TARGET_FILE:${target}>\")
set(prefix \"${arg_PREFIX}.\")
set(directory \"${PROJECT_SOURCE_DIR}\")
set(properties ${properties})
include(\"${PROJECT_SOURCE_DIR}/cmake/AddSuites.cmake\")
")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${script})
endfunction()
