/* Runs a descriptor's programs: extents and conditions over extents and scalars (docs/language.md, E1 to E3). */
#include "runtime/kernel/internal.h"

#include <string.h>

static struct fovea_value integer(int64_t i, int32_t left) {
  if (i < INT32_MIN || i > INT32_MAX)
    left |= FOVEA_LEFT_I32;
  return (struct fovea_value){.i = i, .left = left};
}

static struct fovea_value real(float f, int32_t left) { return (struct fovea_value){.f = f, .left = left}; }

static float floor_f(float x) {
  if (!(x > -8388608.0f && x < 8388608.0f))  /* already whole, or not a number */
    return x;
  float whole = (float)(int32_t)x;
  return whole > x ? whole - 1 : whole;
}

/* To the nearest, halves to even. */
static float round_f(float x) {
  float down = floor_f(x), rest = x - down;
  if (rest < 0.5f || (rest == 0.5f && ((int32_t)down & 1) == 0) || !(x > -8388608.0f && x < 8388608.0f))
    return down;
  return down + 1;
}

static float divide_f(float x, float y) { return x == 0 && y == 0 ? 0 : x / y; }

static int64_t floor_divide(int64_t x, int64_t y) {
  int64_t quotient = x / y;
  return x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient;
}

/* E3, and the i32() of E2: truncates, saturates, NaN is 0. */
static int64_t to_integer(float x) {
  if (x != x)
    return 0;
  return x >= 2147483648.0f ? INT32_MAX : x <= -2147483648.0f ? INT32_MIN : (int32_t)x;
}

static struct fovea_value step(const struct fovea_call *call, const int32_t *p, const struct fovea_value *values) {
  static const struct fovea_value nothing;
  int32_t op = p[FOVEA_P_OP];
  int leaf = op <= FOVEA_OP_SCALAR_F;
  const struct fovea_value x = leaf ? nothing : values[p[FOVEA_P_X]];
  const struct fovea_value y = leaf || p[FOVEA_P_Y] < 0 ? nothing : values[p[FOVEA_P_Y]];
  int32_t left = x.left | y.left;
  int64_t r = 0;
  switch ((enum fovea_program_op)op) {
  case FOVEA_OP_CONST_I: return integer(p[FOVEA_P_X], 0);
  case FOVEA_OP_CONST_F: { float f; memcpy(&f, &p[FOVEA_P_X], 4); return real(f, 0); }
  case FOVEA_OP_EXTENT: return integer(call->extents[p[FOVEA_P_X]], 0);
  case FOVEA_OP_SCALAR_F: return real(*(const float *)call->arguments[p[FOVEA_P_X]], 0);
  case FOVEA_OP_SCALAR_I: {
    const void *at = call->arguments[p[FOVEA_P_X]];
    int is_bool = fovea_argument(call, p[FOVEA_P_X])[FOVEA_A_TYPE] == FOVEA_BOOL;
    return integer(is_bool ? *(const uint8_t *)at != 0 : *(const int32_t *)at, 0);
  }
  case FOVEA_OP_NEG_I: if (__builtin_sub_overflow(0, x.i, &r)) left |= FOVEA_LEFT_I64; return integer(r, left);
  case FOVEA_OP_ADD_I: if (__builtin_add_overflow(x.i, y.i, &r)) left |= FOVEA_LEFT_I64; return integer(r, left);
  case FOVEA_OP_SUB_I: if (__builtin_sub_overflow(x.i, y.i, &r)) left |= FOVEA_LEFT_I64; return integer(r, left);
  case FOVEA_OP_MUL_I: if (__builtin_mul_overflow(x.i, y.i, &r)) left |= FOVEA_LEFT_I64; return integer(r, left);
  case FOVEA_OP_DIV_I:
    if (y.i == 0) return integer(0, left);
    if (y.i == -1 && x.i == INT64_MIN) return integer(INT64_MAX, left | FOVEA_LEFT_I64);
    return integer(floor_divide(x.i, y.i), left);
  case FOVEA_OP_MOD_I:
    if (y.i == 0 || y.i == -1) return integer(0, left);
    return integer(x.i - y.i * floor_divide(x.i, y.i), left);
  case FOVEA_OP_MIN_I: return integer(x.i < y.i ? x.i : y.i, left);
  case FOVEA_OP_MAX_I: return integer(x.i > y.i ? x.i : y.i, left);
  case FOVEA_OP_ABS_I: if (x.i < 0 && __builtin_sub_overflow(0, x.i, &r)) left |= FOVEA_LEFT_I64; return integer(x.i < 0 ? r : x.i, left);
  case FOVEA_OP_SIGN_I: return integer((x.i > 0) - (x.i < 0), left);
  case FOVEA_OP_RELU_I: return integer(x.i > 0 ? x.i : 0, left);
  case FOVEA_OP_LT_I: return integer(x.i < y.i, left);
  case FOVEA_OP_LE_I: return integer(x.i <= y.i, left);
  case FOVEA_OP_EQ_I: return integer(x.i == y.i, left);
  case FOVEA_OP_NEG_F: return real(-x.f, left);
  case FOVEA_OP_ADD_F: return real(x.f + y.f, left);
  case FOVEA_OP_SUB_F: return real(x.f - y.f, left);
  case FOVEA_OP_MUL_F: return real(x.f * y.f, left);
  case FOVEA_OP_DIV_F: return real(divide_f(x.f, y.f), left);
  case FOVEA_OP_MOD_F: return real(x.f - y.f * floor_f(divide_f(x.f, y.f)), left);
  case FOVEA_OP_MIN_F: return real(x.f < y.f ? x.f : y.f, left);
  case FOVEA_OP_MAX_F: return real(x.f > y.f ? x.f : y.f, left);
  case FOVEA_OP_ABS_F: return real(__builtin_fabsf(x.f), left);
  case FOVEA_OP_SIGN_F: return real((float)((x.f > 0) - (x.f < 0)), left);
  case FOVEA_OP_RELU_F: return real(x.f > 0 ? x.f : 0, left);
  case FOVEA_OP_LEAKY_RELU_F: return real(x.f > 0 ? x.f : x.f * y.f, left);
  case FOVEA_OP_SQRT_F: return real(__builtin_sqrtf(x.f), left);
  case FOVEA_OP_RSQRT_F: return real(1 / __builtin_sqrtf(x.f), left);
  case FOVEA_OP_FLOOR_F: return real(floor_f(x.f), left);
  case FOVEA_OP_CEIL_F: return real(-floor_f(-x.f), left);
  case FOVEA_OP_ROUND_F: return real(round_f(x.f), left);
  case FOVEA_OP_LT_F: return integer(x.f < y.f, left);
  case FOVEA_OP_LE_F: return integer(x.f <= y.f, left);
  case FOVEA_OP_EQ_F: return integer(x.f == y.f, left);
  case FOVEA_OP_NOT: return integer(!x.i, left);
  /* A side that decides alone makes the other's overflow irrelevant. */
  case FOVEA_OP_AND:
    if (!x.left && !x.i) return x;
    if (!y.left && !y.i) return y;
    return integer(x.i && y.i, left);
  case FOVEA_OP_OR:
    if (!x.left && x.i) return x;
    if (!y.left && y.i) return y;
    return integer(x.i || y.i, left);
  case FOVEA_OP_SELECT: {
    struct fovea_value chosen = x.i ? y : values[p[FOVEA_P_Z]];
    chosen.left |= x.left;
    return chosen;
  }
  case FOVEA_OP_TO_F: return real((float)x.i, left);
  case FOVEA_OP_TO_I: return integer(to_integer(x.f), left);
  }
  return nothing;
}

struct fovea_value fovea_evaluate(const struct fovea_call *call, int32_t program_at) {
  const int32_t *p = call->words + program_at;
  int32_t count = *p++;
  struct fovea_value few[32], *values = few;
  int64_t mark = fovea_arena_mark();
  if (count > 32 && !(values = fovea_alloc(count, sizeof *values)))
    return (struct fovea_value){.left = FOVEA_LEFT_I32 | FOVEA_LEFT_I64};
  for (int32_t k = 0; k < count; ++k, p += FOVEA_P_WORDS)
    values[k] = step(call, p, values);
  struct fovea_value last = values[count - 1];
  fovea_arena_release(mark);
  return last;
}
