#include "runtime/support/SafeTensors.h"

#include "runtime/support/File.h"
#include "runtime/support/Text.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fovea {
namespace {

using Json = nlohmann::json;

constexpr uint64_t largestHeader = 100'000'000;   // the format's own limit

constexpr SafeType types[] = {
    {"BOOL", 8}, {"U8", 8},    {"I8", 8},       {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"I16", 16}, {"U16", 16},  {"F16", 16},     {"BF16", 16},   {"I32", 32},    {"U32", 32},    {"F32", 32},
    {"F64", 64}, {"I64", 64},  {"U64", 64},     {"C64", 64},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},
};

// Bytes that an address must be a multiple of. C64 is a pair of F32.
size_t alignment(const SafeType &type) {
  return std::string_view(type.name) == "C64" ? 4 : type.bits < 8 ? 1 : type.bits / 8;
}

uint64_t readLittleEndian(const char *at) {
  uint64_t value = 0;
  for (int k = 7; k >= 0; --k)
    value = value << 8 | static_cast<unsigned char>(at[k]);
  return value;
}

// Parses the header. JSON libraries keep the last of two equal keys; here they are an error.
bool parseHeader(std::string_view text, Json &header, std::string &error) {
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  auto watch = [&](int, Json::parse_event_t event, Json &value) {
    if (event == Json::parse_event_t::object_start)
      keys.emplace_back();
    else if (event == Json::parse_event_t::object_end)
      keys.pop_back();
    else if (event == Json::parse_event_t::key && !keys.back().insert(value.get_ref<const std::string &>()).second && repeated.empty())
      repeated = value.get_ref<const std::string &>();
    return true;
  };
  if (text.empty() || text.front() != '{') {
    error = "the header does not begin with `{`";
    return false;
  }
  // Depth first: the parser must not be led into a tower of brackets.
  int depth = 0;
  bool deep = false;
  bool inString = false, escaped = false;
  for (char c : text) {
    if (inString) {
      inString = escaped || c != '"';
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      inString = true;
    } else if (c == '{' || c == '[') {
      deep |= ++depth > 4;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  if (deep) {
    error = "the header is nested too deep";
    return false;
  }
  try {
    header = Json::parse(text.begin(), text.end(), watch);
  } catch (const std::exception &) {
    error = "the header is not JSON";
    return false;
  }
  if (!repeated.empty()) {
    error = quote(repeated) + " occurs twice in the header";
    return false;
  }
  return true;
}

bool isCount(const Json &value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

// Bits of a tensor with this shape; false on overflow.
bool countBits(const std::vector<int64_t> &shape, int bits, uint64_t &total) {
  total = static_cast<uint64_t>(bits);
  bool overflows = false;
  for (int64_t extent : shape)
    overflows |= __builtin_mul_overflow(total, static_cast<uint64_t>(extent), &total);
  // An extent of 0 makes a tensor empty whatever the others are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end())
    total = 0, overflows = false;
  return !overflows;
}

// One entry of the header, without its name. `data` becomes the tensor's first byte.
bool parseTensor(const Json &entry, std::string_view data, SafeTensor &tensor, std::string &error) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    error = "lacks one of `dtype`, `shape`, `data_offsets`";
    return false;
  }
  const Json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  if (!dtype.is_string()) {
    error = "has a `dtype` that is not a string";
    return false;
  }
  tensor.type = dtype.get<std::string>();
  const SafeType *type = findSafeType(tensor.type);
  if (!type) {
    error = "has the unknown type " + quote(tensor.type);
    return false;
  }
  if (!shape.is_array() || !std::all_of(shape.begin(), shape.end(), isCount)) {
    error = "has a `shape` that is not a list of extents";
    return false;
  }
  tensor.shape = shape.get<std::vector<int64_t>>();
  if (!offsets.is_array() || offsets.size() != 2 || !isCount(offsets[0]) || !isCount(offsets[1])) {
    error = "has `data_offsets` that are not two positions";
    return false;
  }
  uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>(), bits;
  if (begin > end || end > data.size()) {
    error = "lies outside the file: bytes " + std::to_string(begin) + " to " + std::to_string(end) + " of " + std::to_string(data.size());
    return false;
  }
  if (!countBits(tensor.shape, type->bits, bits)) {
    error = "has a shape whose size overflows";
    return false;
  }
  if (bits % 8 != 0 || bits / 8 != end - begin) {
    error = "has a shape of " + std::to_string(bits / 8) + " bytes but lies in " + std::to_string(end - begin);
    return false;
  }
  tensor.data = data.data() + begin;
  tensor.bytes = end - begin;
  return true;
}

}  // namespace

const SafeType *findSafeType(std::string_view name) {
  for (const SafeType &type : types)
    if (name == type.name)
      return &type;
  return nullptr;
}

bool SafeTensors::read(std::string_view bytes, std::string &error) {
  if (bytes.size() < 8) {
    error = "not a safetensors file: shorter than 8 bytes";
    return false;
  }
  uint64_t length = readLittleEndian(bytes.data());
  if (length > largestHeader) {
    error = "not a safetensors file: a header of " + std::to_string(length) + " bytes";
    return false;
  }
  if (length > bytes.size() - 8) {
    error = "cut short: the header says " + std::to_string(length) + " bytes, the file has " + std::to_string(bytes.size() - 8);
    return false;
  }
  Json header;
  if (!parseHeader(bytes.substr(8, length), header, error))
    return false;
  std::string_view data = bytes.substr(8 + length);
  for (const auto &[name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object() || !std::all_of(entry.begin(), entry.end(), [](const Json &value) { return value.is_string(); })) {
        error = "`__metadata__` is not a map from strings to strings";
        return false;
      }
      meta = entry.get<std::map<std::string, std::string>>();
      continue;
    }
    SafeTensor tensor{.name = name, .type = {}, .shape = {}};
    std::string fault;
    if (!parseTensor(entry, data, tensor, fault)) {
      error = "tensor " + quote(name) + " " + fault;
      return false;
    }
    list.push_back(std::move(tensor));
  }

  // Tensors cover the data, without holes and without sharing a byte.
  std::sort(list.begin(), list.end(), [](const SafeTensor &a, const SafeTensor &b) {
    return a.data != b.data ? a.data < b.data : a.bytes != b.bytes ? a.bytes < b.bytes : a.name < b.name;
  });
  const char *position = data.data();
  for (size_t k = 0; k < list.size(); ++k) {
    const char *begin = static_cast<const char *>(list[k].data);
    if (begin < position) {
      error = "tensor " + quote(list[k].name) + " overlaps another";
      return false;
    }
    if (begin > position) {
      error = "there are " + std::to_string(begin - position) + " unused bytes before tensor " + quote(list[k].name);
      return false;
    }
    position = begin + list[k].bytes;
    byName.emplace(list[k].name, k);
  }
  if (position != data.data() + data.size()) {
    error = "there are " + std::to_string(data.data() + data.size() - position) + " unused bytes at the end";
    return false;
  }

  for (SafeTensor &tensor : list) {
    if (reinterpret_cast<uintptr_t>(tensor.data) % alignment(*findSafeType(tensor.type)) == 0)
      continue;
    realigned.push_back(std::make_unique<std::byte[]>(tensor.bytes + 1));
    if (tensor.bytes)
      std::memcpy(realigned.back().get(), tensor.data, tensor.bytes);
    tensor.data = realigned.back().get();
  }
  return true;
}

std::unique_ptr<SafeTensors> SafeTensors::view(const std::string &name, std::string_view bytes, std::string &error) {
  std::unique_ptr<SafeTensors> file(new SafeTensors);
  if (file->read(bytes, error))
    return file;
  error = name + ": " + error;
  return nullptr;
}

std::unique_ptr<SafeTensors> SafeTensors::open(const std::string &path, std::string &error) {
  auto fail = [&](const char *what) {
    error = path + ": " + what + std::strerror(errno);
    return nullptr;
  };
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);   // a pipe is refused below, not waited for
  if (file < 0)
    return fail("cannot open: ");
  struct stat about;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
    error = path + ": not a file";
    close(file);
    return nullptr;
  }
  std::unique_ptr<SafeTensors> result(new SafeTensors);
  if (about.st_size > 0) {
    void *at = mmap(nullptr, about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    int fault = errno;
    close(file);
    if (at == MAP_FAILED) {
      errno = fault;
      return fail("cannot map: ");
    }
    result->mapped = at;
    result->mappedBytes = about.st_size;
  } else {
    close(file);
  }
  if (result->read({static_cast<const char *>(result->mapped), result->mappedBytes}, error))
    return result;
  error = path + ": " + error;
  return nullptr;
}

SafeTensors::~SafeTensors() {
  if (mapped)
    munmap(mapped, mappedBytes);
}

void SafeTensors::release(const SafeTensor &tensor) const {
  // Whole pages alone: what shares a page with it may be in use.
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), data = reinterpret_cast<uintptr_t>(tensor.data), start = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t first = (data + page - 1) / page * page, last = (data + tensor.bytes) / page * page;
  if (mapped && first < last && data >= start && data + tensor.bytes <= start + mappedBytes)
    madvise(reinterpret_cast<void *>(first), last - first, MADV_DONTNEED);
}

const SafeTensor *SafeTensors::find(std::string_view name) const {
  auto at = byName.find(name);
  return at == byName.end() ? nullptr : &list[at->second];
}

bool writeSafeTensors(const std::string &path, const std::vector<SafeTensor> &tensors, std::string &error,
                      const std::map<std::string, std::string> &metadata) {
  std::vector<const SafeTensor *> order;
  std::set<std::string_view> names = {"__metadata__"};
  for (const SafeTensor &tensor : tensors) {
    const SafeType *type = findSafeType(tensor.type);
    uint64_t bits;
    if (!type || !countBits(tensor.shape, type->bits, bits) || bits % 8 != 0 || bits / 8 != tensor.bytes) {
      error = path + ": tensor " + quote(tensor.name) + " has a type or a size that does not fit";
      return false;
    }
    if (!names.insert(tensor.name).second) {
      error = path + ": two tensors are named " + quote(tensor.name);
      return false;
    }
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(), [](const SafeTensor *a, const SafeTensor *b) {
    if (bool lineA = a->bytes % 64 == 0, lineB = b->bytes % 64 == 0; lineA != lineB)
      return lineA;
    size_t wideA = alignment(*findSafeType(a->type)), wideB = alignment(*findSafeType(b->type));
    return wideA != wideB ? wideA > wideB : a->name < b->name;
  });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty())
    header["__metadata__"] = metadata;
  uint64_t position = 0;
  for (const SafeTensor *tensor : order) {
    header[tensor->name] = {{"dtype", tensor->type}, {"shape", tensor->shape}, {"data_offsets", {position, position + tensor->bytes}}};
    position += tensor->bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const std::exception &) {
    error = path + ": a tensor's name is not UTF-8";
    return false;
  }
  text.resize((text.size() + 8 + 63) / 64 * 64 - 8, ' ');  // so that the data begins at a cache line
  std::string length(8, 0);
  for (int k = 0; k < 8; ++k)
    length[k] = static_cast<char>(text.size() >> 8 * k);
  std::vector<std::string_view> parts = {length, text};
  for (const SafeTensor *tensor : order)
    if (tensor->bytes)
      parts.push_back({static_cast<const char *>(tensor->data), tensor->bytes});
  return writeFileAtomically(path, parts, error);
}

}  // namespace fovea
