// Everything that is checked before a kernel's body runs, each with its message (docs/language.md, K2 to K6; the binary interface).
#include "test/kernel_runtime/Kernels.h"

using namespace fovea::test;

namespace {

// kernel attend(q: f32[b,i,d], k: f32[b,j,d], v: f32[b,j,e]) -> o: f32[b,i,e]
struct Attend : testing::Test {
  Attend() : call(Kernel("attend").in("q", Type::F32, "b i d").in("k", Type::F32, "b j d").in("v", Type::F32, "b j e").out("o", Type::F32, "b i e")) {
    body = nullptr;
  }
  int run() { return call({&q.dl, &k.dl, &v.dl, &o.dl}); }
  Caller call;
  Tensor q{Type::F32, {2, 3, 4}}, k{Type::F32, {2, 5, 4}}, v{Type::F32, {2, 5, 6}}, o{Type::F32, {2, 3, 6}};
};

TEST_F(Attend, RunsOnGoodArguments) {
  body = [&](void **args) {
    EXPECT_EQ(memref(args, 1)[0], reinterpret_cast<int64_t>(k.dl.data));
    const int64_t expected[] = {0, 2, 5, 4, 20, 4, 1};
    EXPECT_EQ(std::memcmp(memref(args, 1) + 2, expected, sizeof expected), 0);
    return 0;
  };
  EXPECT_WORKS(run());
}
TEST_F(Attend, NullTensor) { EXPECT_FAILS(call({&q.dl, nullptr, &v.dl, &o.dl}), FOVEA_NULL_POINTER, "attend: `k` is null"); }
TEST_F(Attend, NullShape) { k.dl.shape = nullptr; EXPECT_FAILS(run(), FOVEA_NULL_POINTER, "attend: the shape of `k` is null"); }
TEST_F(Attend, NullData) { k.dl.data = nullptr; EXPECT_FAILS(run(), FOVEA_NULL_POINTER, "attend: the data of `k` is null"); }
TEST_F(Attend, Device) {
  k.dl.device.device_type = kDLCUDA;
  EXPECT_FAILS(run(), FOVEA_WRONG_DEVICE, "attend: `k` is on a device of DLPack type 2, wanted the CPU (1)");
}
TEST_F(Attend, ElementType) { k.dl.dtype = {kDLFloat, 16, 1}; EXPECT_FAILS(run(), FOVEA_WRONG_TYPE, "attend: `k` holds f16, wanted f32"); }
TEST_F(Attend, UnknownElementType) {
  k.dl.dtype = {77, 5, 1};
  EXPECT_FAILS(run(), FOVEA_WRONG_TYPE, "attend: `k` holds elements of DLPack type code 77 with 5 bits, wanted f32");
}
TEST_F(Attend, Doubles) {
  k.dl.dtype = {kDLFloat, 64, 1};
  EXPECT_FAILS(run(), FOVEA_WRONG_TYPE,
               "attend: `k` holds f64, wanted f32; convert it first: `.astype(numpy.float32)`, `.to(torch.float32)`");
}
TEST_F(Attend, Lanes) {
  k.dl.dtype.lanes = 4;
  EXPECT_FAILS(run(), FOVEA_WRONG_TYPE, "attend: `k` has vectors of 4 lanes as elements, wanted 1 lane");
}
TEST_F(Attend, Rank) {
  k.dl.ndim = 2;
  EXPECT_FAILS(run(), FOVEA_WRONG_RANK, "attend: `k` has 2 axes, wanted 3: `k[b,j,d]`");
  k.dl.ndim = -1;
  EXPECT_FAILS(run(), FOVEA_WRONG_RANK, "attend: `k` has -1 axes, wanted 3: `k[b,j,d]`");
}
TEST_F(Attend, EqualAxesNameBothTensors) {
  v.shape[1] = 7;
  EXPECT_FAILS(run(), FOVEA_WRONG_EXTENT, "attend: axis `j` is 5 in `k` but 7 in `v`");
}
TEST_F(Attend, ResultsHaveTheAxesToo) {
  o.shape[2] = 5;
  EXPECT_FAILS(run(), FOVEA_WRONG_EXTENT, "attend: axis `e` is 6 in `v` but 5 in `o`");
}
TEST_F(Attend, NegativeExtent) {
  k.shape[1] = -5;
  EXPECT_FAILS(run(), FOVEA_WRONG_EXTENT, "attend: axis `j` of `k` has the negative extent -5");
}
TEST_F(Attend, HugeExtent) {
  k.shape[1] = int64_t(1) << 31;
  EXPECT_FAILS(run(), FOVEA_TOO_LARGE, "attend: axis `j` of `k` has the extent 2147483648, more than an i32 can count");
}
TEST_F(Attend, HugeSpan) {
  k.strides = {int64_t(1) << 31, 4, 1};
  k.point();
  EXPECT_FAILS(run(), FOVEA_TOO_LARGE, "attend: `k` spans more than 2147483647 elements");
  k.strides = {INT64_MIN, 4, 1};
  EXPECT_FAILS(run(), FOVEA_TOO_LARGE, "attend: `k` spans more than 2147483647 elements");
  k.strides = {-1500000000, 1500000000 / 4, 1};
  EXPECT_FAILS(run(), FOVEA_TOO_LARGE, "attend: `k` spans more than 2147483647 elements");
}
TEST_F(Attend, CompactSpanOverflows) {
  Tensor a{Type::F32, {65536, 65536, 1}}, c{Type::F32, {65536, 1, 1}};
  EXPECT_FAILS(call({&c.dl, &a.dl, &a.dl, &c.dl}), FOVEA_TOO_LARGE, "attend: `k` spans more than 2147483647 elements");
}
TEST_F(Attend, InnermostStride) {
  k.strides = {40, 8, 2};
  k.point();
  EXPECT_FAILS(run(), FOVEA_WRONG_STRIDES, "attend: the innermost stride of `k` is 2, wanted 1; make it contiguous first");
}
TEST_F(Attend, InnermostStrideOfOneElementIsFree) {
  Tensor q{Type::F32, {2, 3, 1}, {3, 1, 77}}, k{Type::F32, {2, 5, 1}, {5, 1, -9}};
  body = [](void **args) {
    EXPECT_EQ(memref(args, 0)[8], 1);
    EXPECT_EQ(memref(args, 1)[8], 1);
    return 0;
  };
  EXPECT_WORKS(call({&q.dl, &k.dl, &v.dl, &o.dl}));
}
TEST_F(Attend, OtherStridesAreFreeInInputs) {
  k.strides = {0, -4, 1};
  k.dl.byte_offset = 16 * 4;
  k.point();
  body = [&](void **args) {
    EXPECT_EQ(memref(args, 1)[1], reinterpret_cast<int64_t>(k.dl.data) + 64);
    EXPECT_EQ(memref(args, 1)[6], 0);
    EXPECT_EQ(memref(args, 1)[7], -4);
    return 0;
  };
  EXPECT_WORKS(run());
}
TEST_F(Attend, ResultsMustNotRepeat) {
  o.strides = {0, 6, 1};
  o.point();
  EXPECT_FAILS(run(), FOVEA_WRONG_STRIDES, "attend: axis 0 of the result `o` has stride 0, so its elements would overwrite each other");
  o.strides = {3, 6, 1};
  EXPECT_FAILS(run(), FOVEA_WRONG_STRIDES, "attend: elements of the result `o` overlap each other");
}
TEST_F(Attend, Alignment) {
  k.dl.byte_offset = 2;
  EXPECT_FAILS(run(), FOVEA_MISALIGNED, "attend: the data of `k` is not aligned to its elements' 4 bytes");
  k.dl.byte_offset = 4;
  EXPECT_WORKS(run());
}
TEST_F(Attend, AddressesWrap) {
  k.dl.byte_offset = UINT64_MAX - 3;
  EXPECT_FAILS(run(), FOVEA_TOO_LARGE, "attend: `k` reaches outside the address space");
}
TEST_F(Attend, OverlapWithAnInput) {
  o.dl.data = v.dl.data;
  EXPECT_FAILS(run(), FOVEA_OVERLAP, "attend: the result `o` overlaps `v`");
}
TEST_F(Attend, InputsMayBeOne) {
  Tensor o{Type::F32, {2, 5, 4}};
  EXPECT_WORKS(call({&k.dl, &k.dl, &k.dl, &o.dl}));
}
TEST_F(Attend, InterleavedIsNoOverlap) {
  // One buffer [2, 3, 2, 6]: `v` reads its slice 0, `o` writes slice 1.
  Tensor both{Type::F32, {2, 3, 2, 6}}, part{Type::F32, {2, 3, 6}, {36, 12, 1}}, result{Type::F32, {2, 3, 6}, {36, 12, 1}};
  Tensor k{Type::F32, {2, 3, 4}};
  part.dl.data = result.dl.data = both.dl.data;
  result.dl.byte_offset = 6 * 4;
  EXPECT_WORKS(call({&q.dl, &k.dl, &part.dl, &result.dl}));
  result.dl.byte_offset = 5 * 4;
  EXPECT_FAILS(call({&q.dl, &k.dl, &part.dl, &result.dl}), FOVEA_OVERLAP, "attend: the result `o` overlaps `v`");
}
TEST_F(Attend, EmptyTensorsMayBeNull) {
  Tensor k{Type::F32, {2, 0, 4}}, v{Type::F32, {2, 0, 6}};
  k.dl.data = nullptr;
  body = [](void **args) {
    const int64_t *m = memref(args, 1);
    EXPECT_EQ(m[4], 0);
    EXPECT_EQ(m[6] | m[7], 0);
    EXPECT_EQ(m[8], 1);
    for (int n = 0; n < 16; ++n)
      EXPECT_EQ(reinterpret_cast<const float *>(m[1])[n], 0.0f);
    EXPECT_EQ(m[1] % 64, 0);
    return 0;
  };
  EXPECT_WORKS(call({&q.dl, &k.dl, &v.dl, &o.dl}));
}
TEST_F(Attend, EmptyTensorWithALongRow) {
  Caller copy(Kernel("copy").in("x", Type::F32, "a c").out("y", Type::F32, "a c"));
  Tensor x{Type::F32, {0, 1 << 20}}, y{Type::F32, {0, 1 << 20}};
  x.dl.data = y.dl.data = nullptr;
  body = [](void **args) {
    EXPECT_EQ(reinterpret_cast<const float *>(memref(args, 0)[1])[(1 << 20) - 1], 0.0f);
    return 0;
  };
  EXPECT_WORKS(copy({&x.dl, &y.dl}));
}
TEST_F(Attend, StatusOfTheBody) {
  body = [](void **) { return fovea_rt_fail(FOVEA_INTERNAL_ERROR, "the body says no"); };
  EXPECT_EQ(run(), FOVEA_INTERNAL_ERROR);
  EXPECT_STREQ(fovea_last_error(), "the body says no");
}
TEST_F(Attend, OtherVersion) {
  call.descriptor.words[1] = 99;
  EXPECT_FAILS(run(), FOVEA_WRONG_VERSION, "attend: compiled for version 99 of the binary interface, this runtime is 1");
  call.descriptor.words[0] = 99;
  EXPECT_FAILS(run(), FOVEA_WRONG_VERSION, "not a kernel of Fovea");
}

TEST(Types, Int64WhereI32IsWanted) {
  Caller call(Kernel("gather").in("len", Type::I32, "b").out("o", Type::I32, "b"));
  Tensor len{Type::I32, {3}}, o{Type::I32, {3}};
  len.dl.dtype.bits = 64;
  EXPECT_FAILS(call({&len.dl, &o.dl}), FOVEA_WRONG_TYPE,
               "gather: `len` holds i64, wanted i32; convert it first: `.astype(numpy.int32)`, `.to(torch.int32)`");
}
TEST(Types, BytesWhereBoolIsWanted) {
  Caller call(Kernel("pick").in("m", Type::Bool, "b").out("o", Type::Bool, "b"));
  Tensor m{Type::U8, {3}}, o{Type::Bool, {3}};
  EXPECT_FAILS(call({&m.dl, &o.dl}), FOVEA_WRONG_TYPE, "pick: `m` holds u8, wanted bool, which is type code 6 with 8 bits");
}
TEST(Types, RankZeroNeedsNoShape) {
  Caller call(Kernel("total").in("x", Type::BF16, "").out("o", Type::F16, ""));
  Tensor x{Type::BF16, {}}, o{Type::F16, {}};
  x.dl.shape = nullptr;
  EXPECT_WORKS(call({&x.dl, &o.dl}));
}

TEST(Scalars, ArriveRoundedToTheirTypes) {
  Caller call(Kernel("f").scalar("a", Type::F32).scalar("h", Type::F16).scalar("w", Type::BF16).scalar("n", Type::I32).scalar("t", Type::Bool)
                  .out("o", Type::F32, ""));
  float a = 0.1f, h = 0.1f, w = 0.1f;
  int32_t n = -7;
  uint8_t t = 1;
  Tensor o{Type::F32, {}};
  float gotH = 0, gotW = 0;
  body = [&](void **args) {
    EXPECT_EQ(*static_cast<float *>(args[0]), 0.1f);
    gotH = *static_cast<float *>(args[1]), gotW = *static_cast<float *>(args[2]);
    EXPECT_EQ(*static_cast<int32_t *>(args[3]), -7);
    EXPECT_EQ(*static_cast<uint8_t *>(args[4]), 1);
    return 0;
  };
  EXPECT_WORKS(call({&a, &h, &w, &n, &t, &o.dl}));
  EXPECT_EQ(gotH, 0.0999755859375f);
  EXPECT_EQ(gotW, 0.10009765625f);
  const std::pair<float, float> halves[] = {{65519, 65504}, {65520, INFINITY}, {-1e9f, -INFINITY}, {0x1p-25f, 0}, {0x1.8p-25f, 0x1p-24f}, {0x1.8p-24f, 0x1p-23f},
                                            {2049, 2048}, {2051, 2052}, {-0.0f, -0.0f}, {0x1.ffcp-15f, 0x1p-14f}, {0x1.ff4p-15f, 0x1.ffp-15f}, {0x1.fffp-15f, 0x1p-14f}};
  for (auto [given, expected] : halves) {
    h = given;
    EXPECT_WORKS(call({&a, &h, &w, &n, &t, &o.dl}));
    EXPECT_EQ(gotH, expected) << given;
  }
}
TEST(Scalars, BytesHaveARange) {
  Caller call(Kernel("f").scalar("s", Type::I8).scalar("u", Type::U8).out("o", Type::F32, ""));
  body = nullptr;
  Tensor o{Type::F32, {}};
  int32_t s = -128, u = 255;
  EXPECT_WORKS(call({&s, &u, &o.dl}));
  s = -129;
  EXPECT_FAILS(call({&s, &u, &o.dl}), FOVEA_WRONG_SCALAR, "f: `s` is -129, outside i8's -128 to 127");
  s = 0, u = 256;
  EXPECT_FAILS(call({&s, &u, &o.dl}), FOVEA_WRONG_SCALAR, "f: `u` is 256, outside u8's 0 to 255");
}

TEST(Constraints, Fixed) {
  Kernel kernel = Kernel("f").in("q", Type::F32, "d").out("o", Type::F32, "d");
  kernel.f.indices[0].fixed = 64;
  Caller call(kernel);
  Tensor q{Type::F32, {32}}, o{Type::F32, {32}};
  EXPECT_FAILS(call({&q.dl, &o.dl}), FOVEA_WRONG_EXTENT, "f: axis `d` of `q` is 32, wanted 64");
}
TEST(Constraints, ChoicesOnly) {
  Kernel kernel = Kernel("f").in("q", Type::F32, "d").out("o", Type::F32, "d");
  kernel.f.indices[0].choices = {64, 128};
  Tensor q{Type::F32, {32}}, o{Type::F32, {32}};
  EXPECT_WORKS(Caller(kernel)({&q.dl, &o.dl}));
  kernel.f.indices[0].choicesOnly = true;
  EXPECT_FAILS(Caller(kernel)({&q.dl, &o.dl}), FOVEA_WRONG_EXTENT, "f: axis `d` of `q` is 32, wanted one of 64, 128");
  Tensor good{Type::F32, {128}}, result{Type::F32, {128}};
  EXPECT_WORKS(Caller(kernel)({&good.dl, &result.dl}));
}
TEST(Constraints, Bound) {
  Kernel kernel = Kernel("f").in("q", Type::F32, "j").out("o", Type::F32, "j");
  kernel.f.indices[0].bound = 10;
  Caller call(kernel);
  Tensor q{Type::F32, {11}}, o{Type::F32, {11}}, q10{Type::F32, {10}}, o10{Type::F32, {10}};
  EXPECT_FAILS(call({&q.dl, &o.dl}), FOVEA_WRONG_EXTENT, "f: axis `j` of `q` is 11, wanted at most 10");
  EXPECT_WORKS(call({&q10.dl, &o10.dl}));
}
TEST(Constraints, EqualIndices) {   // where l = j
  Kernel kernel = Kernel("f").in("a", Type::F32, "j").in("b", Type::F32, "l").out("o", Type::F32, "l");
  kernel.f.indices[kernel.index("l")].extentClass = kernel.f.indices[kernel.index("j")].extentClass;
  Caller call(kernel);
  Tensor a{Type::F32, {5}}, b{Type::F32, {7}}, o{Type::F32, {7}}, b5{Type::F32, {5}}, o5{Type::F32, {5}};
  EXPECT_FAILS(call({&a.dl, &b.dl, &o.dl}), FOVEA_WRONG_EXTENT, "f: axis `j` of `a` is 5 but axis `l` of `b` is 7, and `l = j`");
  EXPECT_WORKS(call({&a.dl, &b5.dl, &o5.dl}));
}
TEST(Constraints, Condition) {   // where h = 4*g
  Kernel kernel = Kernel("f").in("q", Type::F32, "h").in("k", Type::F32, "g").scalar("past", Type::I32).out("o", Type::F32, "h");
  NodeId condition = kernel.add(Op::Eq, Type::Bool, {kernel.extent("h"), kernel.add(Op::Mul, Type::I32, {kernel.number(4), kernel.extent("g")})});
  kernel.check(condition, "h = 4*g");
  kernel.check(kernel.add(Op::Ge, Type::Bool, {kernel.scalarValue("past"), kernel.number(0)}), "past >= 0");
  Caller call(kernel);
  Tensor q{Type::F32, {8}}, k{Type::F32, {2}}, k3{Type::F32, {3}}, o{Type::F32, {8}};
  int32_t past = 0, negative = -1;
  EXPECT_WORKS(call({&q.dl, &k.dl, &past, &o.dl}));
  EXPECT_FAILS(call({&q.dl, &k3.dl, &past, &o.dl}), FOVEA_CONSTRAINT, "f: the constraint `h = 4*g` does not hold: h = 8, g = 3");
  EXPECT_FAILS(call({&q.dl, &k.dl, &negative, &o.dl}), FOVEA_CONSTRAINT, "f: the constraint `past >= 0` does not hold: past = -1");
}
TEST(Constraints, ConditionOverflows) {
  Kernel kernel = Kernel("f").scalar("n", Type::I32).out("o", Type::F32, "");
  NodeId n = kernel.scalarValue("n"), square = kernel.add(Op::Mul, Type::I32, {n, n});
  NodeId fourth = kernel.add(Op::Mul, Type::I32, {square, square}), fifth = kernel.add(Op::Mul, Type::I32, {fourth, n});
  NodeId huge = kernel.add(Op::Gt, Type::Bool, {fifth, kernel.number(0)}), small = kernel.add(Op::Lt, Type::Bool, {n, kernel.number(10)});
  Tensor o{Type::F32, {}};
  int32_t n5 = 5, many = 2000000000;
  Kernel either = kernel;
  kernel.check(huge, "n*n*n*n*n > 0");
  EXPECT_WORKS(Caller(kernel)({&n5, &o.dl}));
  EXPECT_FAILS(Caller(kernel)({&many, &o.dl}), FOVEA_CONSTRAINT, "f: the constraint `n*n*n*n*n > 0` overflows: n = 2000000000");
  // An overflow that does not matter does not matter.
  either.check(either.add(Op::Or, Type::Bool, {either.add(Op::Not, Type::Bool, {small}), huge}), "n >= 10 or n*n*n*n*n > 0");
  EXPECT_WORKS(Caller(either)({&many, &o.dl}));
}
TEST(Constraints, FloatCondition) {
  Kernel kernel = Kernel("f").scalar("x", Type::F32).out("o", Type::F32, "");
  kernel.check(kernel.add(Op::Lt, Type::Bool, {kernel.scalarValue("x"), kernel.real(0.5)}), "x < 0.5");
  Caller call(kernel);
  Tensor o{Type::F32, {}};
  float good = 0.25f, bad = 0.75f, nan = NAN;
  EXPECT_WORKS(call({&good, &o.dl}));
  EXPECT_FAILS(call({&bad, &o.dl}), FOVEA_CONSTRAINT, "f: the constraint `x < 0.5` does not hold: x = 0.75");
  EXPECT_FAILS(call({&nan, &o.dl}), FOVEA_CONSTRAINT, "f: the constraint `x < 0.5` does not hold: x = nan");
}

// dim r = i - 3
TEST(Dims, ByExpression) {
  Kernel kernel = Kernel("f").in("x", Type::F32, "i").out("o", Type::F32, "r");
  kernel.dim("r", kernel.add(Op::Sub, Type::I32, {kernel.extent("i"), kernel.number(3)}));
  Caller call(kernel);
  Tensor x{Type::F32, {5}}, o{Type::F32, {2}}, o3{Type::F32, {3}}, x2{Type::F32, {2}};
  EXPECT_WORKS(call({&x.dl, &o.dl}));
  EXPECT_FAILS(call({&x.dl, &o3.dl}), FOVEA_WRONG_EXTENT, "f: axis `r` of `o` is 3, wanted 2, as `r = i - 3`: i = 5");
  EXPECT_FAILS(call({&x2.dl, &o.dl}), FOVEA_WRONG_EXTENT, "f: the extent `r = i - 3` is negative, -1: i = 2");
}
TEST(Dims, TooLarge) {
  Kernel kernel = Kernel("f").scalar("n", Type::I32).in("x", Type::F32, "i").out("o", Type::F32, "i");
  kernel.dim("r", kernel.add(Op::Mul, Type::I32, {kernel.scalarValue("n"), kernel.scalarValue("n")}));
  Caller call(kernel);
  Tensor x{Type::F32, {1}}, o{Type::F32, {1}};
  int32_t n = 65536;
  EXPECT_FAILS(call({&n, &x.dl, &o.dl}), FOVEA_TOO_LARGE, "f: the extent `r = n * n` does not fit an i32: n = 65536, n = 65536");
}
TEST(Dims, ExtentsForACallerThatAllocates) {   // dim s = r + 1, written before dim r = 2 * i
  Kernel kernel = Kernel("f").in("x", Type::F32, "i").out("o", Type::F32, "s r");
  kernel.dim("s", kernel.add(Op::Add, Type::I32, {kernel.extent("r"), kernel.number(1)}));
  kernel.dim("r", kernel.add(Op::Mul, Type::I32, {kernel.number(2), kernel.extent("i")}));
  Caller call(kernel);
  Tensor x{Type::F32, {5}};
  std::vector<void *> args = {&x.dl, nullptr};
  int64_t extents[3];
  EXPECT_EQ(fovea_rt_extents(call.descriptor.words.data(), call.descriptor.strings.data(), args.data(), extents), FOVEA_OK);
  EXPECT_EQ(extents[kernel.index("i")], 5);
  EXPECT_EQ(extents[kernel.index("s")], 11);
  EXPECT_EQ(extents[kernel.index("r")], 10);
  x.dl.ndim = 2;
  EXPECT_EQ(fovea_rt_extents(call.descriptor.words.data(), call.descriptor.strings.data(), args.data(), extents), FOVEA_WRONG_RANK);
}
TEST(Dims, CircularIsRefused) {
  Kernel kernel = Kernel("f").out("o", Type::F32, "");
  kernel.index("r"), kernel.index("s");
  kernel.dim("r", kernel.extent("s")).dim("s", kernel.extent("r"));
  std::string error;
  EXPECT_FALSE(fovea::describe(kernel.f, error));
  EXPECT_EQ(error, "the extent of `r` depends on that of `s`, which nothing gives");
}
TEST(Dims, WhatEntryChecksCannotCompute) {
  Kernel kernel = Kernel("f").scalar("x", Type::F32).out("o", Type::F32, "");
  kernel.check(kernel.add(Op::Lt, Type::Bool, {kernel.add(Op::Exp, Type::F32, {kernel.scalarValue("x")}), kernel.real(1)}), "exp(x) < 1");
  std::string error;
  EXPECT_FALSE(fovea::describe(kernel.f, error));
  EXPECT_EQ(error, "the constraint `exp(x) < 1` uses an operation that entry checks do not have");
}
TEST(Ranks, AtMost32) {
  std::string axes;
  for (int k = 0; k < 33; ++k)
    axes += " a" + std::to_string(k);
  std::string error;
  EXPECT_FALSE(fovea::describe(Kernel("f").in("x", Type::F32, axes).f, error));
  EXPECT_EQ(error, "`x` has 33 axes, more than 32");
  axes.resize(axes.rfind(' '));
  Caller call(Kernel("f").in("x", Type::F32, axes).in("y", Type::F32, axes).in("z", Type::F32, axes).out("o", Type::F32, axes));
  Tensor x{Type::F32, std::vector<int64_t>(32, 1)}, o{Type::F32, std::vector<int64_t>(32, 1)};
  EXPECT_WORKS(call({&x.dl, &x.dl, &x.dl, &o.dl}));
}

TEST(Sorted, EveryRow) {
  for (Type type : {Type::I32, Type::U8, Type::I8}) {
    Caller call(Kernel("f").in("id", type, "b i", true).out("o", Type::F32, "b"));
    Tensor id{type, {2, 4}}, o{Type::F32, {2}};
    auto set = [&](int k, int value) { type == Type::I32 ? void(id.as<int32_t>()[k] = value) : void(id.as<int8_t>()[k] = int8_t(value)); };
    const int rows[] = {0, 1, 1, 2, 0, 0, 5, 5};
    for (int k = 0; k < 8; ++k)
      set(k, rows[k]);
    EXPECT_WORKS(call({&id.dl, &o.dl}));
    set(7, 4);
    EXPECT_FAILS(call({&id.dl, &o.dl}), FOVEA_NOT_SORTED, "f: `id` is declared sorted but decreases at position 3 of its last axis");
  }
}
TEST(Sorted, Halves) {
  Caller call(Kernel("f").in("x", Type::F16, "i", true).in("y", Type::BF16, "i", true).out("o", Type::F32, ""));
  Tensor x{Type::F16, {3}}, y{Type::BF16, {3}}, o{Type::F32, {}};
  const uint16_t halves[] = {0xC000, 0x0001, 0x3C00}, brains[] = {0xC000, 0x3F80, 0x3F81};
  std::memcpy(x.dl.data, halves, sizeof halves);
  std::memcpy(y.dl.data, brains, sizeof brains);
  EXPECT_WORKS(call({&x.dl, &y.dl, &o.dl}));
  x.as<uint16_t>()[1] = 0x7C00;
  EXPECT_FAILS(call({&x.dl, &y.dl, &o.dl}), FOVEA_NOT_SORTED, "f: `x` is declared sorted but decreases at position 2 of its last axis");
}

// Floor division and its remainder (E3), against the definition, and conversions (E2).
TEST(Programs, DivideAndConvert) {
  auto floorDivide = [](int64_t a, int64_t b) { return b == 0 ? 0 : (int64_t)std::floor((double)a / (double)b); };
  Kernel kernel = Kernel("f").scalar("a", Type::I32).scalar("b", Type::I32).scalar("x", Type::F32).out("o", Type::F32, "");
  NodeId a = kernel.scalarValue("a"), b = kernel.scalarValue("b"), x = kernel.scalarValue("x"), big = kernel.number(1000);
  auto plus = [&](NodeId value) { return kernel.add(Op::Add, Type::I32, {value, big}); };
  kernel.dim("div", plus(kernel.add(Op::Div, Type::I32, {a, b})));
  kernel.dim("mod", plus(kernel.add(Op::Mod, Type::I32, {a, b})));
  for (auto [name, op] : {std::pair("floor", Op::Floor), std::pair("ceil", Op::Ceil), std::pair("round", Op::Round)})
    kernel.dim(name, plus(kernel.add(Op::ToI32, Type::I32, {kernel.add(op, Type::F32, {x})})));
  kernel.dim("trunc", plus(kernel.add(Op::ToI32, Type::I32, {x})));
  kernel.dim("keep", kernel.add(Op::Keep, Type::I32, {big, kernel.add(Op::Ne, Type::Bool, {a, b})}));
  Caller call(kernel);
  auto extents = [&](int32_t a, int32_t b, float x) {
    std::vector<void *> args = {&a, &b, &x, nullptr};
    std::vector<int64_t> result(kernel.f.indices.size());
    EXPECT_EQ(fovea_rt_extents(call.descriptor.words.data(), call.descriptor.strings.data(), args.data(), result.data()), FOVEA_OK) << fovea_last_error();
    return result;
  };
  for (int32_t a = -7; a <= 7; ++a)
    for (int32_t b = -3; b <= 3; ++b) {
      std::vector<int64_t> got = extents(a, b, 0);
      EXPECT_EQ(got[0] - 1000, floorDivide(a, b)) << a << " / " << b;
      EXPECT_EQ(got[1] - 1000, b == 0 ? 0 : a - b * floorDivide(a, b)) << a << " % " << b;
      EXPECT_EQ(got[6], a != b ? 1000 : 0);
    }
  for (float x : {-2.5f, -1.5f, -0.5f, 0.0f, 0.5f, 1.5f, 2.5f, 2.4999f, -7.75f, 8.0f}) {
    std::vector<int64_t> got = extents(0, 0, x);
    EXPECT_EQ(got[2] - 1000, std::floor(x)) << x;
    EXPECT_EQ(got[3] - 1000, std::ceil(x)) << x;
    EXPECT_EQ(got[4] - 1000, std::nearbyint(x)) << x;
    EXPECT_EQ(got[5] - 1000, std::trunc(x)) << x;
  }
  EXPECT_EQ(extents(0, 0, NAN)[5], 1000);
}

TEST(Programs, Text) {
  Kernel kernel("f");
  NodeId h = kernel.extent("h"), g = kernel.extent("g"), four = kernel.number(4);
  NodeId sum = kernel.add(Op::Add, Type::I32, {h, g}), product = kernel.add(Op::Mul, Type::I32, {four, sum});
  EXPECT_EQ(fovea::formatNode(kernel.f, product), "4 * (h + g)");
  EXPECT_EQ(fovea::formatNode(kernel.f, kernel.add(Op::Sub, Type::I32, {h, kernel.add(Op::Sub, Type::I32, {g, four})})), "h - (g - 4)");
  EXPECT_EQ(fovea::formatNode(kernel.f, kernel.add(Op::Max, Type::I32, {product, four})), "max(4 * (h + g), 4)");
}

}  // namespace
