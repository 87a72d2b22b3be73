# Run by ctest when it starts: makes one test of each suite of a GoogleTest program, which loads once for
# all cases of the suite. Wants `program`, `prefix`, `directory` and `properties`.
if(NOT EXISTS ${program})
  add_test(${prefix}NOT_BUILT ${program})
  return()
endif()
execute_process(COMMAND ${program} --gtest_list_tests OUTPUT_VARIABLE list
                WORKING_DIRECTORY ${directory} COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE " *#[^\n]*" "" list "${list}")  # parameters, which may hold anything
string(REPLACE "\n" ";" lines "${list}")
foreach(line IN LISTS lines)
  if(line MATCHES "^([^ ]+)\\.$")
    set(suite ${CMAKE_MATCH_1})
    set(added FALSE)
  elseif(line MATCHES "^  " AND NOT line MATCHES "DISABLED_" AND NOT added)
    set(added TRUE)
    add_test(${prefix}${suite} ${program} --gtest_filter=${suite}.*)
    set_tests_properties(${prefix}${suite} PROPERTIES WORKING_DIRECTORY ${directory} ${properties})
  endif()
endforeach()
