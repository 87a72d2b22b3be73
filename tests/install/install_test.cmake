# Installs the build into an empty folder, looks at what the library shows, builds examples/ against it
# and runs the results.
#   cmake -DBUILD=... -DEXAMPLES=... -DCOMPILER=... -DC_COMPILER=... -DPYTHON=... -DLIBDIR=...
#         -P install_test.cmake
set(prefix ${BUILD}/install_test/prefix)
set(example ${BUILD}/install_test/example)
set(c_example ${BUILD}/install_test/c_example)
file(REMOVE_RECURSE ${BUILD}/install_test)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})

# A symbol more may be taken for a promise, and one less breaks programs.
set(library ${prefix}/${LIBDIR}/libblockformer.so)
execute_process(COMMAND nm --dynamic --defined-only --demangle --format=just-symbols ${library}
                OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "\n$" "" symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
list(REMOVE_DUPLICATES symbols)
list(SORT symbols)
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/exported_symbols.txt promised)
if(NOT symbols STREQUAL promised)
  string(REPLACE ";" "\n" symbols "${symbols}")
  message(FATAL_ERROR "exported_symbols.txt does not list what libblockformer.so shows:\n${symbols}")
endif()

run(${CMAKE_COMMAND} -S ${EXAMPLES} -B ${example} -DCMAKE_PREFIX_PATH=${prefix}
    -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${example})
run(${CMAKE_COMMAND} -S ${EXAMPLES}/c -B ${c_example} -DCMAKE_PREFIX_PATH=${prefix}
    -DCMAKE_C_COMPILER=${C_COMPILER} "-DCMAKE_C_FLAGS=-std=c99 -Wall -Wextra -pedantic -Werror")
run(${CMAKE_COMMAND} --build ${c_example})
set(ENV{PKG_CONFIG_PATH} ${prefix}/${LIBDIR}/pkgconfig)
execute_process(COMMAND pkg-config --cflags --libs blockformer OUTPUT_VARIABLE flags
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags)
run(${C_COMPILER} -std=c99 -Wall -Wextra -pedantic -Werror ${EXAMPLES}/c/generate.c
    -o ${c_example}/by_pkg_config ${flags})
# The C header alone, as C++.
file(WRITE ${c_example}/header.cc "#include <blockformer/blockformer.h>\n")
run(${COMPILER} -std=c++11 -Wall -Wextra -pedantic -Werror -fsyntax-only -I${prefix}/include
    ${c_example}/header.cc)

# The installed program makes a tokenizer for a tiny model, which the example then loads and runs.
set(blockformer ${prefix}/bin/blockformer)
set(model ${BUILD}/install_test/model)
run(${blockformer} --version)
run(${blockformer} tokenizer train --vocab-size 300 --output ${model} ${EXAMPLES}/generate.cc)
run(${PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/make_tiny_model.py ${model} 300)
run(${example}/generate ${model} "It is a truth")
run(${example}/generate_many ${model} "It is a truth" "It is")
run(${c_example}/generate ${model} "It is a truth" "It is")
set(ENV{LD_LIBRARY_PATH} ${prefix}/${LIBDIR})
run(${c_example}/by_pkg_config ${model} "It is a truth")

execute_process(COMMAND ${example}/generate ${prefix}/no-such-model "It is a truth"
                RESULT_VARIABLE code ERROR_VARIABLE message)
if(NOT code EQUAL 1 OR NOT message MATCHES "no-such-model")
  message(FATAL_ERROR "exit code 1 and the model's name expected, got ${code}: ${message}")
endif()
