# libblockformer.so.
#
# Internal folders stay static libraries; the shared one carries what the public headers promise, and
# shows nothing else.
add_library(blockformer_shared SHARED $<TARGET_OBJECTS:blockformer_api>
                                      $<TARGET_OBJECTS:blockformer_engine>)
target_link_libraries(blockformer_shared PRIVATE blockformer_eval)
set(exports ${CMAKE_CURRENT_LIST_DIR}/exports.map)
target_link_options(blockformer_shared PRIVATE LINKER:--version-script=${exports})
target_include_directories(blockformer_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(blockformer_shared PROPERTIES
                      LINKER_LANGUAGE CXX
                      LINK_DEPENDS ${exports}
                      OUTPUT_NAME blockformer EXPORT_NAME blockformer
                      VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
