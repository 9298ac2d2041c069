#include "runtime/program/Weights.h"

#include "runtime/program/Error.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

namespace fovea::program {

namespace {

std::string written(const std::vector<int64_t> &shape) {
  std::string text = "[";
  for (size_t axis = 0; axis < std::min<size_t>(shape.size(), 16); ++axis)
    text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + (shape.size() > 16 ? ", ...]" : "]");
}

float fromHalf(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = (bits >> 10) & 31, fraction = bits & 0x3FF;
  if (exponent == 31)
    return std::bit_cast<float>(sign | 0x7F800000 | fraction << 13);
  if (exponent != 0)
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  float value = float(fraction) * 0x1p-24f;
  return sign ? -value : value;
}

// Round to nearest even, overflow to infinity (rule K4).
uint16_t toHalf(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return uint16_t(sign | 0x7E00);
  if (magnitude >= 0x477FF000)
    return uint16_t(sign | 0x7C00);
  if (magnitude < 0x38800000)  // subnormal: the float adder rounds
    return uint16_t(sign | (std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000));
  return uint16_t(sign | (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13);
}

uint16_t toBfloat(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

template <class T> T read(const unsigned char *at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

using Reader = float (*)(const unsigned char *);

struct Storage { const char *name; size_t bytes; Type type; bool same; Reader read; };
// `same`: the model has this type too. `read`: floats convert into each other; integers do not.
constexpr Storage storages[] = {
    {"F32",  4, Type::F32,  true,  [](const unsigned char *at) { return read<float>(at); }},
    {"F64",  8, Type::F32,  false, [](const unsigned char *at) { return float(read<double>(at)); }},
    {"F16",  2, Type::F16,  true,  [](const unsigned char *at) { return fromHalf(read<uint16_t>(at)); }},
    {"BF16", 2, Type::BF16, true,  [](const unsigned char *at) { return std::bit_cast<float>(uint32_t(read<uint16_t>(at)) << 16); }},
    {"I32",  4, Type::I32,  true,  nullptr},
    {"I8",   1, Type::I8,   true,  nullptr},
    {"U8",   1, Type::U8,   true,  nullptr},
    {"BOOL", 1, Type::Bool, true,  nullptr},
};

bool isFloat(Type type) { return type == Type::F32 || type == Type::F16 || type == Type::BF16; }

}  // namespace

Weights::Weights(const std::string &path) : name(path) {
  std::string error;
  file = SafeTensors::open(path, error);
  if (!file)
    throw Error(error);
}

Weights::Weights(const File &inside) : name(inside.name) {
  std::string error;
  file = SafeTensors::view(inside.name, inside.bytes, error);
  if (!file)
    throw Error(error);
}

// A parameter's name in the file, and those of its quantised parts: the first of those it may have that is there.
std::string Weights::nameInFile(const Parameter &parameter, const char *part) const {
  for (const std::string &candidate : parameter.foreign)
    if (file->find(candidate + part))
      return candidate + part;
  return (parameter.foreign.empty() ? parameter.name : parameter.foreign[0]) + part;
}

// How the tensor is stored, if it is the parameter's. Throws Error, without naming it, if it is not.
static const Storage &fitting(const Parameter &parameter, const SafeTensor &stored) {
  std::vector<int64_t> wanted;
  int64_t count = 1;
  for (const auto &group : parameter.layout) {
    int64_t extent = 1;
    for (uint32_t axis : group)
      extent = product(extent, parameter.shape[axis]);
    wanted.push_back(extent);
    count = product(count, extent);
  }
  if (stored.shape != wanted)
    throw Error("has shape " + written(stored.shape) + ", and the model wants " + written(wanted));
  auto storage = std::find_if(std::begin(storages), std::end(storages), [&](const Storage &storage) { return stored.type == storage.name; });
  bool converts = storage != std::end(storages) && storage->read && isFloat(parameter.type);
  bool same = storage != std::end(storages) && storage->same && storage->type == parameter.type;
  if (!same && !converts)
    throw Error("is stored as " + stored.type + ", and the model wants " + nameOf(parameter.type));
  if (stored.bytes != size_t(product(count, int64_t(storage->bytes))))
    throw Error("has " + std::to_string(stored.bytes) + " bytes for a shape of " + written(stored.shape));
  return *storage;
}

// The file lacks it, and its list of names ends in an empty one.
bool Weights::isZeros(const Parameter &parameter) const {
  return !parameter.foreign.empty() && parameter.foreign.back().empty() && !file->find(nameInFile(parameter));
}

const SafeTensor &Weights::stored(const Parameter &parameter) const {
  const std::string wanted = nameInFile(parameter);
  const SafeTensor *stored = file->find(wanted);
  if (!stored)
    throw Error(name + ": these are weights of another model: there is no tensor `" + wanted + "`" + (parameter.foreign.size() > 1 ? " nor any of its other names" : ""));
  try {
    fitting(parameter, *stored);
  } catch (const Error &error) {
    throw Error(name + ": these are weights of another model: tensor `" + wanted + "` " + error.what());
  }
  return *stored;
}

// A row of weights and its codes, as activations get theirs (attn.quantise in dialect/AttnOps.td). `code`(k) is called for each k.
template <class Put>
static float quantise(const float *row, const std::vector<int64_t> &places, Put code) {
  uint32_t bits = 0;  // the largest magnitude; as bits NaN is above infinity
  for (int64_t place : places)
    bits = std::max(bits, std::bit_cast<uint32_t>(row[place]) & 0x7FFFFFFF);
  float largest = std::bit_cast<float>(bits);
  if (largest < 0x1p-100f)
    return 0;
  float inverse = 127 / largest;
  for (size_t k = 0; k < places.size(); ++k) {
    float rounded = std::nearbyint(row[places[k]] * inverse);
    code(int64_t(k), rounded == rounded ? int8_t(rounded) : int8_t(0));
  }
  return largest / 127;
}

// The strides of a tensor whose axes lie in this order, the slowest first; by axis.
static std::vector<int64_t> stridesOf(const std::vector<int64_t> &shape, const std::vector<uint32_t> &order) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t place = order.size(); place-- > 0; stride *= shape[order[place]])
    strides[order[place]] = stride;
  return strides;
}

// first, first + 1, .., last - 1
static std::vector<uint32_t> range(size_t first, size_t last) {
  std::vector<uint32_t> axes(last - first);
  std::iota(axes.begin(), axes.end(), uint32_t(first));
  return axes;
}

// Where the elements of some axes lie, the last axis fastest.
static std::vector<int64_t> placesOf(const std::vector<int64_t> &shape, const std::vector<int64_t> &strides, const std::vector<uint32_t> &axes) {
  std::vector<int64_t> places{0};
  for (uint32_t axis : axes) {
    std::vector<int64_t> longer;
    longer.reserve(places.size() * size_t(shape[axis]));
    for (int64_t place : places)
      for (int64_t at = 0; at < shape[axis]; ++at)
        longer.push_back(place + at * strides[axis]);
    places = std::move(longer);
  }
  return places;
}

Weights::Quantised Weights::findQuantised(const Parameter &parameter) {
  const Parameter::Quantised &form = *parameter.quantised;
  const std::vector<int64_t> wide{form.panels(), form.columns}, whole{form.panels(), form.groups(), form.columns * form.group};
  struct { const char *name, *type; const std::vector<int64_t> &shape; const SafeTensor *tensor; } parts[] = {
      {".int8", "I8", whole, nullptr}, {".int8.scales", "F32", wide, nullptr}, {".int8.sums", "I32", wide, nullptr}};
  bool stored = true;
  for (auto &part : parts) {
    std::string wanted = nameInFile(parameter, part.name);
    part.tensor = file->find(wanted);
    stored &= part.tensor != nullptr;
    if (part.tensor && (part.tensor->type != part.type || part.tensor->shape != part.shape))
      throw Error(name + ": tensor `" + wanted + "` is " + part.tensor->type + " " + written(part.tensor->shape) + ", and the program wants " + part.type + " " + written(part.shape) +
                  ": these are weights of another model, or of a program for another target");
  }
  if (stored)
    return {static_cast<const int8_t *>(parts[0].tensor->data), static_cast<const float *>(parts[1].tensor->data), static_cast<const int32_t *>(parts[2].tensor->data)};

  Parameter asFloats = parameter;
  asFloats.panelAxes = 0;
  Buffer rows;
  const SafeTensor &floats = this->stored(parameter);
  auto *elements = static_cast<const float *>(layOut(asFloats, floats, rows));
  auto *codes = static_cast<int8_t *>(memory.take(size_t(whole[0] * whole[1] * whole[2])));
  auto *scales = static_cast<float *>(memory.take(size_t(wide[0] * wide[1]) * 4));
  auto *sums = static_cast<int32_t *>(memory.take(size_t(wide[0] * wide[1]) * 4));
  const std::vector<int64_t> strides = stridesOf(parameter.shape, range(0, parameter.shape.size()));
  const std::vector<int64_t> kept = placesOf(parameter.shape, strides, form.kept), summed = placesOf(parameter.shape, strides, form.summed);
  for (int64_t n = 0; n < form.N; ++n) {
    int8_t *column = codes + (n / form.columns * form.groups() * form.columns + n % form.columns) * form.group;
    scales[n] = quantise(elements + kept[size_t(n)], summed, [&](int64_t k, int8_t code) {
      column[k / form.group * form.columns * form.group + k % form.group] = code;
      sums[n] += code;
    });
  }
  file->release(floats);
  copied.push_back(&floats);
  return {codes, scales, sums};
}

void Weights::writeFor(const std::vector<Parameter> &parameters, const std::string &path) {
  std::map<std::string, SafeTensor> tensors;
  for (const Parameter &parameter : parameters) {
    if (parameter.plain)
      tensors.insert({stored(parameter).name, stored(parameter)});
    if (!parameter.quantised)
      continue;
    const Parameter::Quantised &form = *parameter.quantised;
    Quantised quantised = findQuantised(parameter);
    const std::vector<int64_t> wide{form.panels(), form.columns}, whole{form.panels(), form.groups(), form.columns * form.group};
    auto add = [&](const char *part, const char *type, const std::vector<int64_t> &shape, const void *data, size_t size) {
      for (int64_t extent : shape)
        size *= size_t(extent);
      tensors.insert({nameInFile(parameter, part), {nameInFile(parameter, part), type, shape, data, size}});
    };
    add(".int8", "I8", whole, quantised.codes, 1);
    add(".int8.scales", "F32", wide, quantised.scales, 4);
    add(".int8.sums", "I32", wide, quantised.sums, 4);
  }
  std::vector<SafeTensor> list;
  for (const auto &[unused, tensor] : tensors)
    list.push_back(tensor);
  std::string error;
  if (!writeSafeTensors(path, list, error))
    throw Error(error);
}

void Weights::check(const Parameter &parameter) const {
  if (!isZeros(parameter))
    stored(parameter);
}

const void *Weights::find(const Parameter &parameter) {
  if (isZeros(parameter)) {
    int64_t rows = 1, columns = 1;
    for (size_t axis = 0; axis < parameter.shape.size(); ++axis) {
      int64_t &count = axis < parameter.panelAxes ? rows : columns;
      count = product(count, parameter.shape[axis]);
    }
    if (parameter.panelAxes > 0)
      columns = (columns + parameter.panelColumns - 1) / parameter.panelColumns * parameter.panelColumns;
    return memory.take(size_t(product(product(rows, columns), int64_t(bytesOf(parameter.type)))));  // never written to: zeros
  }
  const SafeTensor &tensor = stored(parameter);
  const void *found = layOut(parameter, tensor, [&](size_t bytes) { return memory.take(bytes); });
  // Small ones that fit as they are too: where the system maps files by large pages, each would keep what lies around it in memory.
  constexpr size_t small = 1 << 20;
  if (found == tensor.data && tensor.bytes < small)
    found = std::memcpy(memory.take(tensor.bytes), tensor.data, tensor.bytes);
  if (found != tensor.data) {
    file->release(tensor);  // now, so that the file is never in memory as a whole
    copied.push_back(&tensor);
  }
  return found;
}

// Reading one tensor brings the pages around it back.
void Weights::settle() const {
  for (const SafeTensor *tensor : copied)
    file->release(*tensor);
}

// Panel after panel, in blocks of rows that stay in the nearest cache whether the file goes on along rows or along columns.
template <class T, class Get>
static void fillPanels(T *to, const std::vector<int64_t> &rows, const std::vector<int64_t> &columns, size_t width, Get get) {
  constexpr size_t block = 16;
  for (size_t left = 0; left < columns.size(); left += width) {
    const size_t present = std::min(width, columns.size() - left);
    T *panel = to + left * rows.size();
    for (size_t top = 0; top < rows.size(); top += block)
      for (size_t column = 0; column < present; ++column)
        for (size_t row = top; row < std::min(top + block, rows.size()); ++row)
          panel[row * width + column] = get(rows[row] + columns[left + column]);
  }
}

const void *layOut(const Parameter &parameter, const SafeTensor &stored, const std::function<void *(size_t)> &take) {
  const Storage &storage = fitting(parameter, stored);
  bool same = storage.same && storage.type == parameter.type;
  int64_t count = 1;
  std::vector<uint32_t> order;  // the parameter's axes as the file orders them
  for (const auto &group : parameter.layout)
    order.insert(order.end(), group.begin(), group.end());
  for (int64_t extent : parameter.shape)
    count = product(count, extent);
  size_t size = bytesOf(parameter.type);
  bool ordered = std::is_sorted(order.begin(), order.end());
  const bool panels = parameter.panelAxes > 0;
  if (ordered && same && !panels && count > 0 && reinterpret_cast<uintptr_t>(stored.data) % size == 0)
    return stored.data;

  // As a matrix [K, N], whatever its axes. In panels element (k, n) stands at ((n / columns) * K + k) * columns + n % columns, and what is beyond
  // N is 0; in order it is one panel, of the last axis.
  const size_t rank = parameter.shape.size(), split = panels ? parameter.panelAxes : rank - std::min<size_t>(rank, 1);
  const std::vector<int64_t> strides = stridesOf(parameter.shape, order);  // in the file
  const std::vector<int64_t> rows = placesOf(parameter.shape, strides, range(0, split)), columns = placesOf(parameter.shape, strides, range(split, rank));
  const size_t width = panels ? size_t(parameter.panelColumns) : std::max<size_t>(columns.size(), 1);
  const size_t elements = size_t(product(int64_t((columns.size() + width - 1) / width * width), int64_t(rows.size())));
  void *laid = take(elements * size);
  if (elements != size_t(count))
    std::memset(laid, 0, elements * size);
  const auto *source = static_cast<const unsigned char *>(stored.data);
  auto lay = [&](auto element, auto convert) {
    fillPanels(static_cast<decltype(element) *>(laid), rows, columns, width, [&](int64_t place) { return convert(source + size_t(place) * storage.bytes); });
  };
  if (same && size == 4)
    lay(uint32_t(), read<uint32_t>);
  else if (same && size == 2)
    lay(uint16_t(), read<uint16_t>);
  else if (same)
    lay(uint8_t(), read<uint8_t>);
  else if (parameter.type == Type::F32)
    lay(float(), storage.read);
  else
    lay(uint16_t(), [&](const unsigned char *at) { return parameter.type == Type::F16 ? toHalf(storage.read(at)) : toBfloat(storage.read(at)); });
  return laid;
}

}  // namespace fovea::program
