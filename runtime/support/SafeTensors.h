// Reads and writes safetensors files (https://github.com/huggingface/safetensors: 8 bytes of header size, a JSON header, the
// tensors' bytes). Nothing in a file is believed: a header that lies is refused with the sentence that says how.
#ifndef FOVEA_RUNTIME_SUPPORT_SAFETENSORS_H
#define FOVEA_RUNTIME_SUPPORT_SAFETENSORS_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

// An element type of the format.
struct SafeType {
  const char *name;   // "F32", "BF16", "F8_E4M3", "F4"
  int bits;           // of an element; 4 and 6 too
};

// By the format's spelling; null for a name that it does not have.
const SafeType *findSafeType(std::string_view name);

// A tensor of an open file, or one to be written.
struct SafeTensor {
  std::string name;
  std::string type;             // the format's spelling
  std::vector<int64_t> shape;   // row-major, compact
  const void *data = nullptr;   // aligned to the element's natural alignment; valid while the SafeTensors lives
  size_t bytes = 0;
};

class SafeTensors {
public:
  // Maps a file. On failure returns null and sets `error`, `weights.safetensors: ...`.
  static std::unique_ptr<SafeTensors> open(const std::string &path, std::string &error);
  // The same for a file already in memory, which must outlive the result; `name` is for messages.
  static std::unique_ptr<SafeTensors> view(const std::string &name, std::string_view bytes, std::string &error);

  ~SafeTensors();
  SafeTensors(const SafeTensors &) = delete;
  SafeTensors &operator=(const SafeTensors &) = delete;

  const std::vector<SafeTensor> &tensors() const { return list; }   // in the order of their bytes
  const SafeTensor *find(std::string_view name) const;              // null: there is none
  // Gives back the memory that reading a tensor of a mapped file took; it is read from the file again when it is wanted again.
  void release(const SafeTensor &tensor) const;
  const std::map<std::string, std::string> &metadata() const { return meta; }

private:
  SafeTensors() = default;
  bool read(std::string_view bytes, std::string &error);

  std::vector<SafeTensor> list;
  std::map<std::string, size_t, std::less<>> byName;
  std::map<std::string, std::string> meta;
  std::vector<std::unique_ptr<std::byte[]>> realigned;   // copies of tensors that the file does not align
  void *mapped = nullptr;
  size_t mappedBytes = 0;
};

// Writes a file that is complete or absent (rule C3). Tensors of whole cache lines come first, then wide element types: all are
// aligned, the first ones to 64 bytes.
bool writeSafeTensors(const std::string &path, const std::vector<SafeTensor> &tensors, std::string &error,
                      const std::map<std::string, std::string> &metadata = {});

}  // namespace fovea

#endif  // FOVEA_RUNTIME_SUPPORT_SAFETENSORS_H
