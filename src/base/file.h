#ifndef BLOCKFORMER_BASE_FILE_H_
#define BLOCKFORMER_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/output_path.h"

namespace blockformer {

// All functions here throw Error (kNotFound, kIo) that names the path.

bool FileExists(const std::string& path);

// Whether it is a regular file that can be read and begins with these bytes: nothing is taken out
// of a pipe.
bool FileBeginsWith(const std::string& path, std::string_view bytes);
bool IsDirectory(const std::string& path);

// The whole file; fails with kExhausted if it is larger than `max_bytes`.
std::string ReadFile(const std::string& path, uint64_t max_bytes = uint64_t{1} << 31);

// Creates the directory and its parents; no error if it is there.
void MakeDirectories(const std::string& path);

// Replaces `path` by `contents`, as AtomicFile does. After a crash at any moment a regular file
// holds either the old contents or the new, whole.
void WriteFileAtomically(const std::string& path, std::string_view contents);

// Renames `from` to `to` and syncs the directory of `to`, so that the rename survives a power cut.
// A directory replaces nothing: `to` must not exist then.
void RenameDurably(const std::string& from, const std::string& to);

// Syncs a directory's entries to disk.
void SyncDirectory(const std::string& path);

// A file mapped for reading. Moving keeps the addresses. Safe to read from several threads.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// What all commands write their files with. A regular file is written beside its name, synced, and
// gets its name only when Commit() has written all of it; without Commit() the destructor removes
// what was written. It is as readable as other new files are, or as the file that it replaces was.
// Symbolic links stay, and what they lead to is replaced. A pipe, a device or an open descriptor
// ("-" is standard output) is written into as it comes instead. Not thread-safe.
class AtomicFile {
 public:
  // Throws as ResolveOutput() does, and if no file can be created. Waits for a pipe's reader;
  // kInterrupted once StopRequested().
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  // Buffered; throws kExhausted when the disk is full, kIo when nobody reads a pipe any more.
  void Write(const void* data, size_t size);
  void Write(std::string_view data) { Write(data.data(), data.size()); }

  // Hands on what is buffered.
  void Flush();

  // Brings all that was written to the disk, still under its temporary name, so that Commit() does
  // not fail for want of space. Does nothing to a pipe or a device.
  void Sync();

  // Removes, durably, the file that is to be replaced, where it must not stand beside something
  // new. A link to it stays.
  void RemoveOld();

  // Flushes, syncs and renames to the final name. Call once, last.
  void Commit();

  uint64_t bytes_written() const { return bytes_written_; }

 private:
  void OpenStream();
  void CreateTemporary();
  void WriteThrough(const char* data, size_t size);

  std::string path_;  // as given, for messages
  OutputTarget target_;
  std::string temporary_path_;
  std::string buffer_;
  int descriptor_ = -1;
  uint64_t bytes_written_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_FILE_H_
