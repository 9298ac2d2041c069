#include "tools/Execute.h"

#include "lowering/Link.h"
#include "lowering/host/Descriptor.h"
#include "runtime/kernel/runtime.h"

#include <dlfcn.h>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>

namespace fovea {
namespace {

const TypeInfo types[] = {
    {core::Type::F32, "F32", {kDLFloat, 32, 1}}, {core::Type::F16, "F16", {kDLFloat, 16, 1}}, {core::Type::BF16, "BF16", {kDLBfloat, 16, 1}},
    {core::Type::I32, "I32", {kDLInt, 32, 1}},   {core::Type::I8, "I8", {kDLInt, 8, 1}},      {core::Type::U8, "U8", {kDLUInt, 8, 1}},
    {core::Type::Bool, "BOOL", {kDLBool, 8, 1}},
};
float halfToFloat(uint16_t h, bool bf16) {
  if (bf16) {
    uint32_t bits = uint32_t(h) << 16;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
  }
  int exponent = h >> 10 & 31, fraction = h & 1023;
  float sign = h >> 15 ? -1.f : 1.f;
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1.f + float(fraction) / 1024, exponent - 15) : std::ldexp(float(fraction) / 1024, -14));
}

// Rounds to the nearest value of a format with `bits` of significand (the hidden one included), `low` the least exponent, ties to even;
// gives the format's bits.
uint16_t roundTo16(double v, bool bf16) {
  int digits = bf16 ? 8 : 11, least = bf16 ? -126 : -14, bias = bf16 ? 127 : 15, fractionBits = digits - 1;
  uint16_t sign = std::signbit(v) ? 0x8000 : 0;
  if (std::isnan(v)) return bf16 ? 0x7fc0 : 0x7e00;
  double a = std::fabs(v);
  uint16_t infinity = bf16 ? 0x7f80 : 0x7c00;
  if (std::isinf(a)) return sign | infinity;
  if (a == 0) return sign;
  int exponent = std::max(std::ilogb(a), least);
  double scaled = std::nearbyint(std::ldexp(a, fractionBits - exponent));
  if (scaled >= std::ldexp(1.0, digits)) scaled /= 2, exponent++;
  if (exponent > bias) return sign | infinity;
  int64_t whole = int64_t(scaled);
  if (whole < (int64_t(1) << fractionBits)) return sign | uint16_t(whole);  // subnormal
  return sign | uint16_t((exponent + bias) << fractionBits) | uint16_t(whole & ((1 << fractionBits) - 1));
}

std::optional<ScalarValue> parseScalar(const std::string &text, core::Type type) {
  ScalarValue v{};
  const char *first = text.data(), *last = text.data() + text.size();
  if (type == core::Type::Bool) {
    if (text == "true" || text == "1") v.b = 1;
    else if (text != "false" && text != "0") return {};
    return v;
  }
  if (type <= core::Type::BF16) {
    auto [end, failure] = std::from_chars(first, last, v.f);
    if (failure != std::errc() || end != last) return {};
    return v;
  }
  auto [end, failure] = std::from_chars(first, last, v.i);
  if (failure != std::errc() || end != last) return {};
  if (type == core::Type::I8 && (v.i < -128 || v.i > 127)) return {};
  if (type == core::Type::U8 && (v.i < 0 || v.i > 255)) return {};
  return v;
}

std::optional<ScalarValue> scalarOf(const SafeTensor &t, core::Type type) {
  ScalarValue v{};
  int64_t n = 1;
  for (int64_t e : t.shape) n *= e;
  if (n != 1) return {};
  std::string_view is = t.type;
  double number;
  if (is == "F32") number = *static_cast<const float *>(t.data);
  else if (is == "F64") number = *static_cast<const double *>(t.data);
  else if (is == "F16" || is == "BF16") number = halfToFloat(*static_cast<const uint16_t *>(t.data), is == "BF16");
  else if (is == "I32") number = *static_cast<const int32_t *>(t.data);
  else if (is == "I64") number = double(*static_cast<const int64_t *>(t.data));
  else if (is == "I8") number = *static_cast<const int8_t *>(t.data);
  else if (is == "U8" || is == "BOOL") number = *static_cast<const uint8_t *>(t.data);
  else return {};
  bool floating = is[0] == 'F' || is[0] == 'B';
  if (type == core::Type::Bool) {
    if (is != "BOOL") return {};
    v.b = number != 0;
  } else if (type <= core::Type::BF16) {
    v.f = float(number);
  } else {
    if ((floating && is != "BOOL") || number < -2147483648.0 || number > 2147483647.0) return {};
    v.i = int32_t(number);
  }
  return v;
}

double read(const void *data, core::Type type, int64_t n) {
  switch (type) {
    case core::Type::F32: return static_cast<const float *>(data)[n];
    case core::Type::F16: case core::Type::BF16: return halfToFloat(static_cast<const uint16_t *>(data)[n], type == core::Type::BF16);
    case core::Type::I32: return static_cast<const int32_t *>(data)[n];
    case core::Type::I8: return static_cast<const int8_t *>(data)[n];
    default: return static_cast<const uint8_t *>(data)[n];
  }
}

}  // namespace

const TypeInfo &info(core::Type type) { return types[int(type)]; }

bool bindArguments(const core::Function &kernel, const std::string &in, const std::vector<std::string> &set, Arguments &a, std::string &error, bool all) {
  if (!in.empty() && !(a.file = SafeTensors::open(in, error))) return false;
  std::map<std::string, std::string> given;
  for (const std::string &s : set) {
    size_t equals = s.find('=');
    if (equals == std::string::npos) return error = fmt::format("--set wants name=value, not `{}`", s), false;
    given[s.substr(0, equals)] = s.substr(equals + 1);
  }
  std::vector<std::string> known;
  for (const auto &t : kernel.tensors) known.push_back(t.name);
  for (const auto &s : kernel.scalars) known.push_back(s.name);
  for (const auto &[name, value] : given)
    if (std::none_of(kernel.scalars.begin(), kernel.scalars.end(), [&](const auto &s) { return s.name == name; }))
      return error = fmt::format("--set: `{}` is not a scalar parameter of `{}`", name, kernel.name), false;
  if (a.file)
    for (const SafeTensor &t : a.file->tensors())
      if (std::find(known.begin(), known.end(), t.name) == known.end())
        fmt::print(stderr, "fovea: warning: `{}` in {} is not a parameter of `{}`\n", t.name, in, kernel.name);

  a.tensors.resize(kernel.tensors.size());
  a.scalars.resize(kernel.scalars.size());
  for (const auto &p : kernel.parameters) {
    const std::string &name = p.scalar ? kernel.scalars[p.id].name : kernel.tensors[p.id].name;
    const SafeTensor *found = a.file ? a.file->find(name) : nullptr;
    if (p.scalar) {
      core::Type type = kernel.scalars[p.id].type;
      std::optional<ScalarValue> value;
      if (auto it = given.find(name); it != given.end()) {
        value = parseScalar(it->second, type);
        if (!value) return error = fmt::format("--set: `{}` is not a value of `{}`", it->second, name), false;
      } else if (found) {
        value = scalarOf(*found, type);
        if (!value) return error = fmt::format("{}: `{}` is {} with {} axes, not a scalar that fits", in, name, found->type, found->shape.size()), false;
      } else if (all) {
        return error = fmt::format("missing value for scalar `{}` (give it in the input file or as --set {}=...)", name, name), false;
      }
      a.scalars[p.id] = value.value_or(ScalarValue{});
      a.given.push_back(bool(value));
      a.pointers.push_back(&a.scalars[p.id]);
      continue;
    }
    a.given.push_back(found);
    a.pointers.push_back(&a.tensors[p.id].tensor);
    if (!found && !all) continue;
    if (!found) return error = fmt::format("missing tensor `{}`{}", name, in.empty() ? " (no --in was given)" : " in " + in), false;
    const TypeInfo *is = nullptr;
    for (const TypeInfo &t : types)
      if (found->type == t.safetensors) is = &t;
    if (!is && found->type == "I64") {
      static const TypeInfo wide{core::Type::I32, "I64", {kDLInt, 64, 1}};
      is = &wide;
    }
    if (!is) return error = fmt::format("{}: `{}` has type {}, which no parameter has", in, name, found->type), false;
    a.tensors[p.id].shape = found->shape;
    a.tensors[p.id].bind(const_cast<void *>(found->data), is->dlpack);
  }
  return true;
}

Loaded::~Loaded() {
  if (library) dlclose(library);
}

bool load(const core::Function &kernel, const std::vector<std::string> &files, const CompileOptions &options, int threads, Loaded &out, std::string &error, bool &internal) {
  Compiled compiled;
  internal = false;
  if (!compileKernels({&kernel}, files, options, compiled, error, internal)) return false;
  internal = true;
  return loadCompiled(kernel, compiled, threads, out, error);
}

bool loadCompiled(const core::Function &kernel, const Compiled &compiled, int threads, Loaded &out, std::string &error) {
  std::string path = out.folder.path() + "/kernel.so";
  if (!linkShared(compiled, path, error)) return false;
  out.library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!out.library) return error = dlerror(), false;
  out.call = reinterpret_cast<int (*)(void **)>(dlsym(out.library, (kernel.name + "_call").c_str()));
  out.lastError = reinterpret_cast<const char *(*)()>(dlsym(out.library, "fovea_last_error"));
  if (!out.call || !out.lastError) return error = "the compiled kernel lacks its entry", false;
  if (auto setThreads = reinterpret_cast<int (*)(int)>(dlsym(out.library, "fovea_set_threads")); setThreads && threads) setThreads(threads);
  out.counters = compiled.decisions.counters, out.reads = compiled.reads;
  if (auto head = static_cast<fovea_count_list **>(dlsym(out.library, "fovea_counts")); head && *head) out.counts = (*head)->counts;
  return true;
}

void roundResult(Buffer &result, core::Type type) {
  int64_t n = result.count();
  const double *from = static_cast<const double *>(result.tensor.data);
  if (type == core::Type::F32) {
    float *to = static_cast<float *>(result.tensor.data);
    for (int64_t k = 0; k < n; k++) to[k] = float(from[k]);
  } else {
    uint16_t *to = static_cast<uint16_t *>(result.tensor.data);
    for (int64_t k = 0; k < n; k++) to[k] = roundTo16(from[k], type == core::Type::BF16);
  }
}

int64_t elementSize(core::Type type, CompileOptions::Arithmetic arithmetic) {
  return arithmetic == CompileOptions::OracleF64 && type <= core::Type::BF16 ? 8 : (info(type).dlpack.bits + 7) / 8;
}

bool extentsOf(const core::Function &kernel, const Arguments &arguments, std::vector<int64_t> &extents, std::string &error) {
  std::optional<Descriptor> descriptor = describe(kernel, error);
  if (!descriptor) return false;
  extents.assign(std::max<size_t>(kernel.indices.size(), 1), -1);
  std::vector<void *> pointers(arguments.pointers);
  if (fovea_rt_extents(descriptor->words.data(), descriptor->strings.data(), pointers.data(), extents.data())) return error = fovea_last_error(), false;
  return true;
}

bool allocateResults(const core::Function &kernel, const Arguments &arguments, CompileOptions::Arithmetic arithmetic, std::vector<Buffer> &results, std::string &error) {
  std::vector<int64_t> extents;
  if (!extentsOf(kernel, arguments, extents, error)) return false;
  results.assign(kernel.results.size(), {});
  for (size_t k = 0; k < results.size(); k++) {
    const core::Result &r = kernel.results[k];
    std::vector<int64_t> shape;
    for (core::IndexId axis : r.axes) shape.push_back(std::max<int64_t>(extents[axis], 0));
    if (!results[k].allocate(shape, info(r.type).dlpack, elementSize(r.type, arithmetic))) return error = fmt::format("result `{}` is too large", r.name), false;
  }
  return true;
}

bool execute(const core::Function &kernel, Loaded &loaded, const Arguments &arguments, CompileOptions::Arithmetic arithmetic, std::vector<Buffer> &results, std::string &error) {
  if (!allocateResults(kernel, arguments, arithmetic, results, error)) return false;
  std::vector<void *> pointers(arguments.pointers);
  for (Buffer &r : results) pointers.push_back(&r.tensor);
  if (loaded.call(pointers.data())) return error = loaded.lastError(), false;
  return true;
}

double elementOf(const Buffer &buffer, core::Type type, int64_t n) { return read(buffer.tensor.data, type, n); }

// Tolerances: f32 relative 2e-5 against the larger of the element and the result's typical size; f16 and bf16 one rounding of the
// element more.
Difference compareResults(const Buffer &kernel, const Buffer &f64, const Buffer &f32, core::Type type) {
  Difference d;
  int64_t n = kernel.count();
  bool floating = type <= core::Type::BF16;
  double size = 0;
  int64_t finite = 0;
  for (int64_t k = 0; k < n && floating; k++)
    if (double v = static_cast<const double *>(f64.tensor.data)[k]; std::isfinite(v)) size += std::fabs(v), finite++;
  size = finite ? size / double(finite) : 0;
  double rounding = type == core::Type::BF16 ? 1.0 / 256 : type == core::Type::F16 ? 1.0 / 2048 : 0;
  for (int64_t k = 0; k < n; k++) {
    double want = floating ? static_cast<const double *>(f64.tensor.data)[k] : read(f64.tensor.data, type, k);
    double strict = read(f32.tensor.data, type, k), got = read(kernel.tensor.data, type, k);
    bool real = floating && std::isfinite(want);
    double few = real ? 2e-5 * std::max(std::fabs(want), size) + 1e-6 : 0, last = real ? rounding * std::fabs(want) : 0;
    if (type == core::Type::F16 && real && std::fabs(want) > 65000) last = std::max(last, 64.0);
    double tolerance = few + last;
    auto same = [&](double a, double b, double most) { return (std::isnan(a) && std::isnan(b)) || a == b || std::fabs(a - b) <= most; };
    if (!same(want, strict, last + few / 4)) {  // rounding alone takes much of the tolerance: f32 in another order might take it all
      d.left++;
      continue;
    }
    d.compared++;
    if (same(want, got, tolerance)) {
      if (std::isfinite(got) && std::isfinite(want)) d.absolute = std::max(d.absolute, std::fabs(got - want));
      if (tolerance > 0 && std::isfinite(got)) d.worst = std::max(d.worst, std::fabs(got - want) / tolerance);
      continue;
    }
    d.worst = std::max(d.worst, std::isfinite(got) && tolerance > 0 ? std::fabs(got - want) / tolerance : 1e30);
    d.absolute = std::max(d.absolute, std::isfinite(got - want) ? std::fabs(got - want) : 1e30);
  }
  return d;
}

bool printComparison(const core::Function &kernel, const std::vector<Buffer> &results, const std::vector<Buffer> &f64, const std::vector<Buffer> &f32) {
  bool all = true;
  for (size_t k = 0; k < results.size(); k++) {
    Difference d = compareResults(results[k], f64[k], f32[k], kernel.results[k].type);
    bool good = d.worst <= 1;
    fmt::print("compare {} {}: {} elements, {} left out, largest error {:.3g} ({:.2g} of the tolerance)\n", good ? "ok" : "MISMATCH", kernel.results[k].name,
               d.compared, d.left, d.absolute, d.worst);
    all &= good;
  }
  return all;
}

}  // namespace fovea
