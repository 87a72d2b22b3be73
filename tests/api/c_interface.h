#ifndef BLOCKFORMER_TESTS_API_C_INTERFACE_H_
#define BLOCKFORMER_TESTS_API_C_INTERFACE_H_

#ifdef __cplusplus
extern "C" {
#endif

const char* RunCInterface(const char* model_directory);

#ifdef __cplusplus
}
#endif

#endif  // BLOCKFORMER_TESTS_API_C_INTERFACE_H_
