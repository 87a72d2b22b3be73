# Installs the build into an empty folder, builds examples/ against it and runs the result.
#   cmake -DBUILD=... -DEXAMPLES=... -DCOMPILER=... -DPYTHON=... -P install_test.cmake
set(prefix ${BUILD}/install_test/prefix)
set(example ${BUILD}/install_test/example)
file(REMOVE_RECURSE ${BUILD}/install_test)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
run(${CMAKE_COMMAND} -S ${EXAMPLES} -B ${example} -DCMAKE_PREFIX_PATH=${prefix}
    -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${example})

# The installed program makes a tokenizer for a tiny model, which the example then loads and runs.
set(blockformer ${prefix}/bin/blockformer)
set(model ${BUILD}/install_test/model)
run(${blockformer} --version)
run(${blockformer} tokenizer train --vocab-size 300 --output ${model} ${EXAMPLES}/generate.cc)
run(${PYTHON} -B ${CMAKE_CURRENT_LIST_DIR}/make_tiny_model.py ${model} 300)
run(${example}/generate ${model} "It is a truth")

execute_process(COMMAND ${example}/generate ${prefix}/no-such-model "It is a truth"
                RESULT_VARIABLE code ERROR_VARIABLE message)
if(NOT code EQUAL 1 OR NOT message MATCHES "no-such-model")
  message(FATAL_ERROR "exit code 1 and the model's name expected, got ${code}: ${message}")
endif()
