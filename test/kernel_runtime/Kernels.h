// Small kernels by hand, and tensors to call them with.
#ifndef FOVEA_TEST_KERNEL_RUNTIME_KERNELS_H
#define FOVEA_TEST_KERNEL_RUNTIME_KERNELS_H

#include "frontend/Core.h"
#include "lowering/host/Descriptor.h"
#include "runtime/kernel/runtime.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <sstream>

namespace fovea::test {

using core::NodeId;
using core::Op;
using core::Type;

// Builds a core::Function: Kernel("f").in("q", Type::F32, "b h").scalar("past", Type::I32).out("o", Type::F32, "b h").
struct Kernel {
  core::Function f;

  explicit Kernel(const std::string &name) { f.name = name; }

  core::IndexId index(const std::string &name) {
    for (core::IndexId k = 0; k < f.indices.size(); ++k)
      if (f.indices[k].name == name)
        return k;
    core::Index made;
    made.name = name;
    made.extentClass = static_cast<uint32_t>(f.indices.size());
    f.indices.push_back(made);
    return static_cast<core::IndexId>(f.indices.size() - 1);
  }
  std::vector<core::IndexId> axes(const std::string &names) {
    std::istringstream words(names);
    std::vector<core::IndexId> result;
    for (std::string word; words >> word;)
      result.push_back(index(word));
    return result;
  }
  Kernel &in(const std::string &name, Type type, const std::string &names, bool sorted = false) {
    core::Tensor tensor;
    tensor.name = name, tensor.type = type, tensor.axes = axes(names), tensor.sorted = sorted;
    f.parameters.push_back({false, static_cast<uint32_t>(f.tensors.size())});
    f.tensors.push_back(tensor);
    return *this;
  }
  Kernel &scalar(const std::string &name, Type type) {
    core::Scalar scalar;
    scalar.name = name, scalar.type = type;
    f.parameters.push_back({true, static_cast<uint32_t>(f.scalars.size())});
    f.scalars.push_back(scalar);
    return *this;
  }
  Kernel &out(const std::string &name, Type type, const std::string &names) {
    core::Result result;
    result.name = name, result.type = type, result.axes = axes(names);
    f.results.push_back(result);
    return *this;
  }

  NodeId add(Op op, Type type, std::vector<NodeId> args = {}, uint32_t ref = core::none, int64_t integer = 0, double real = 0) {
    core::Node node;
    node.op = op, node.type = type, node.args = std::move(args), node.ref = ref, node.integer = integer, node.real = real;
    f.nodes.push_back(node);
    return static_cast<NodeId>(f.nodes.size() - 1);
  }
  NodeId number(int64_t value) { return add(Op::ConstI32, Type::I32, {}, core::none, value); }
  NodeId real(double value) { return add(Op::ConstF32, Type::F32, {}, core::none, 0, value); }
  NodeId extent(const std::string &name) { return add(Op::Extent, Type::I32, {}, index(name)); }
  NodeId scalarValue(const std::string &name) {
    for (uint32_t k = 0; k < f.scalars.size(); ++k)
      if (f.scalars[k].name == name) {
        Type type = f.scalars[k].type;
        return add(Op::Scalar, type == Type::Bool ? type : type <= Type::BF16 ? Type::F32 : Type::I32, {}, k);
      }
    return core::none;
  }
  Kernel &dim(const std::string &name, NodeId value) {
    f.indices[index(name)].extent = value;
    return *this;
  }
  Kernel &check(NodeId condition, const std::string &text) {
    f.checks.push_back({condition, text, {}});
    return *this;
  }
};

// A tensor with memory of its own: `bytes` of them, filled with 0.
struct Tensor {
  std::vector<int64_t> shape, strides;
  std::vector<uint64_t> storage;
  DLTensor dl{};

  Tensor(Type type, std::vector<int64_t> extents, std::vector<int64_t> steps = {}) : shape(std::move(extents)), strides(std::move(steps)) {
    static const struct { uint8_t code, bits; } types[] = {{kDLFloat, 32}, {kDLFloat, 16}, {kDLBfloat, 16}, {kDLInt, 32}, {kDLInt, 8},
                                                           {kDLUInt, 8},   {kDLBool, 8}};
    dl.device = {kDLCPU, 0};
    dl.ndim = static_cast<int32_t>(shape.size());
    dl.dtype = {types[static_cast<int>(type)].code, types[static_cast<int>(type)].bits, 1};
    int64_t count = 64;
    for (int64_t extent : shape)
      if (extent > 0 && extent < 4096)
        count *= extent;
    storage.assign(static_cast<size_t>(count) / 2 + 16, 0);
    point();
  }
  Tensor(const Tensor &other) : shape(other.shape), strides(other.strides), storage(other.storage), dl(other.dl) { point(); }
  Tensor &operator=(const Tensor &) = delete;

  void point() {
    dl.shape = shape.data();
    dl.strides = strides.empty() ? nullptr : strides.data();
    dl.data = storage.data();
  }
  template <typename T> T *as() { return static_cast<T *>(dl.data); }
};

// What the body was given.
struct Seen {
  int calls = 0;
  void **args = nullptr;
};
inline Seen seen;
inline std::function<int32_t(void **)> body;
inline int32_t recordingBody(void **args) {
  ++seen.calls;
  seen.args = args;
  return body ? body(args) : 0;
}

// Calls a kernel; the arguments are DLTensor pointers and pointers to scalars.
class Caller {
public:
  explicit Caller(const Kernel &kernel) {
    std::string error;
    std::optional<Descriptor> made = describe(kernel.f, error);
    EXPECT_TRUE(made.has_value()) << error;
    if (made)
      descriptor = *made;
  }
  int operator()(std::vector<void *> args) {
    seen = {};
    return fovea_rt_invoke(descriptor.words.data(), descriptor.strings.data(), recordingBody, args.data());
  }
  Descriptor descriptor;
};

// The memref of argument k as the body sees it.
inline const int64_t *memref(void **args, int k) { return static_cast<const int64_t *>(args[k]); }

}  // namespace fovea::test

#define EXPECT_FAILS(call, status, message)                                                                                          \
  do {                                                                                                                               \
    EXPECT_EQ(call, status) << fovea_last_error();                                                                                   \
    EXPECT_STREQ(fovea_last_error(), message);                                                                                       \
    EXPECT_EQ(fovea::test::seen.calls, 0);                                                                                           \
  } while (false)
#define EXPECT_WORKS(call)                                                                                                           \
  do {                                                                                                                               \
    EXPECT_EQ(call, FOVEA_OK) << fovea_last_error();                                                                                 \
    EXPECT_EQ(fovea::test::seen.calls, 1);                                                                                           \
  } while (false)

#endif  // FOVEA_TEST_KERNEL_RUNTIME_KERNELS_H
