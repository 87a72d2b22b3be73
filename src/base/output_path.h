#ifndef BLOCKFORMER_BASE_OUTPUT_PATH_H_
#define BLOCKFORMER_BASE_OUTPUT_PATH_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace blockformer {

// What a path leads to that is to be written.
enum class OutputKind {
  kNew,     // nothing yet: a file appears there
  kFile,    // a regular file, to be replaced
  kStream,  // a pipe, a device, or what is open already (/dev/stdout, /dev/fd/3): written into
};

struct OutputTarget {
  OutputKind kind = OutputKind::kNew;
  // Behind all symbolic links, so that they stay when it is replaced. Of an open descriptor the
  // path as it was given.
  std::string path;
  int descriptor = -1;  // of a stream that is open already
  bool is_pipe = false;
  mode_t mode = 0;  // permissions and owner of a file that is replaced
  uid_t owner = 0;
  gid_t group = 0;
};

// Follows a path to what is to be written; "-" is standard output. A symbolic link that leads to
// nothing names the file to create. Throws Error that opens with the path: kInvalidArgument for a
// directory, a socket or a descriptor that is not open for writing; kNotFound if the directory of
// the file is not there; kIo.
OutputTarget ResolveOutput(const std::string& path);

// Whether what is written there goes to standard output, or to any OutputKind::kStream. False for
// what ResolveOutput() refuses.
bool IsStandardOutput(const std::string& path);
bool IsStream(const std::string& path);

// An output of a command, and the flag (or argument) that names it.
struct OutputFlag {
  std::string flag;
  std::string path;  // empty: not asked for
};

// Checks what a command is about to write, before it does any work. `inputs` are what it reads:
// files, directories (each file in them counts), "-" for standard input; those that are not there
// are left to their reader. Throws Error(kInvalidArgument) that opens with the flag
//   for what ResolveOutput() refuses, and where no file can be created or replaced;
//   for a file with the ending of a compressed one;
//   for a file that is there, unless `force` is set;
//   for an output that is one of the inputs, or the same as another output, by whatever name.
// Terminals and /dev/null may serve for several.
void CheckOutputs(const std::vector<OutputFlag>& outputs, const std::vector<std::string>& inputs,
                  bool force);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_OUTPUT_PATH_H_
