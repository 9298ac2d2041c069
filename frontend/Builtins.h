// The built-in functions (rules E7, E9), one per line.
#ifndef FOVEA_FRONTEND_BUILTINS_H
#define FOVEA_FRONTEND_BUILTINS_H

#include "frontend/Core.h"

#include <string_view>

namespace fovea {

struct Builtin {
  std::string_view name;
  enum Kind : uint8_t {
    Float,      // of one argument, F32
    Keeping,    // of one argument, F32 or I32
    Float2,     // of two arguments, F32
    Keeping2,   // of two arguments, F32 or I32
    Clamp,
    Convert,    // f32, i32
    Reduce,
    Mean,
    Concat,
    Random,
  } kind;
  core::Op op = core::Op::Sum;
};

inline constexpr Builtin builtins[] = {
    {"exp", Builtin::Float, core::Op::Exp},
    {"log", Builtin::Float, core::Op::Log},
    {"exp2", Builtin::Float, core::Op::Exp2},
    {"tanh", Builtin::Float, core::Op::Tanh},
    {"sigmoid", Builtin::Float, core::Op::Sigmoid},
    {"gelu", Builtin::Float, core::Op::Gelu},
    {"silu", Builtin::Float, core::Op::Silu},
    {"softplus", Builtin::Float, core::Op::Softplus},
    {"erf", Builtin::Float, core::Op::Erf},
    {"sqrt", Builtin::Float, core::Op::Sqrt},
    {"rsqrt", Builtin::Float, core::Op::Rsqrt},
    {"floor", Builtin::Float, core::Op::Floor},
    {"ceil", Builtin::Float, core::Op::Ceil},
    {"round", Builtin::Float, core::Op::Round},
    {"sin", Builtin::Float, core::Op::Sin},
    {"cos", Builtin::Float, core::Op::Cos},
    {"abs", Builtin::Keeping, core::Op::Abs},
    {"sign", Builtin::Keeping, core::Op::Sign},
    {"relu", Builtin::Keeping, core::Op::Relu},
    {"leaky_relu", Builtin::Float2, core::Op::LeakyRelu},
    {"pow", Builtin::Float2, core::Op::Pow},
    {"min", Builtin::Keeping2, core::Op::Min},
    {"max", Builtin::Keeping2, core::Op::Max},
    {"clamp", Builtin::Clamp},
    {"f32", Builtin::Convert, core::Op::ToF32},
    {"i32", Builtin::Convert, core::Op::ToI32},
    {"sum", Builtin::Reduce, core::Op::Sum},
    {"prod", Builtin::Reduce, core::Op::Prod},
    {"max", Builtin::Reduce, core::Op::MaxOf},
    {"min", Builtin::Reduce, core::Op::MinOf},
    {"any", Builtin::Reduce, core::Op::Any},
    {"all", Builtin::Reduce, core::Op::All},
    {"count", Builtin::Reduce, core::Op::Count},
    {"argmax", Builtin::Reduce, core::Op::ArgMax},
    {"argmin", Builtin::Reduce, core::Op::ArgMin},
    {"mean", Builtin::Mean},
    {"concat", Builtin::Concat},
    {"sample", Builtin::Random, core::Op::Sample},
    {"normal", Builtin::Random, core::Op::Normal},
};

}  // namespace fovea

#endif  // FOVEA_FRONTEND_BUILTINS_H
