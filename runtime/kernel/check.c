/* The checks that need no layout: pointers, device, type, rank, extents, scalars, constraints (docs/language.md, K2 to K6). */
#include "runtime/kernel/internal.h"

#include <stdio.h>

#define FAIL(status, ...) return fovea_failf(status, fovea_kernel_name(call), __VA_ARGS__)

static const struct { uint8_t code, bits; const char *name; } types[] = {
    [FOVEA_F32] = {kDLFloat, 32, "f32"}, [FOVEA_F16] = {kDLFloat, 16, "f16"}, [FOVEA_BF16] = {kDLBfloat, 16, "bf16"},
    [FOVEA_I32] = {kDLInt, 32, "i32"},   [FOVEA_I8] = {kDLInt, 8, "i8"},      [FOVEA_U8] = {kDLUInt, 8, "u8"},
    [FOVEA_BOOL] = {kDLBool, 8, "bool"},
};

static void write_type(char *to, size_t size, DLDataType type) {
  static const char *const codes[] = {"i", "u", "f", "handle", "bf", "complex", "bool"};
  if (type.code == kDLBool && type.bits == 8)
    snprintf(to, size, "bool");
  else if (type.code <= kDLBool)
    snprintf(to, size, "%s%d", codes[type.code], type.bits);
  else
    snprintf(to, size, "elements of DLPack type code %d with %d bits", type.code, type.bits);
}

/* Is memory of the DLPack type `type` what a kernel for `device` takes beside the CPU's? */
static int is_on(int32_t device, int32_t type) { return type == device || (device == kDLCUDA && type == kDLCUDAManaged); }

static int32_t check_device(const struct fovea_call *call, const char *name, int32_t type) {
  const int32_t device = call->words[FOVEA_D_DEVICE];
  if (type == kDLCPU || is_on(device, type))
    return FOVEA_OK;
  if (device == kDLCPU)
    FAIL(FOVEA_WRONG_DEVICE, "`%s` is on a device of DLPack type %d, wanted the CPU (%d)", name, type, kDLCPU);
  static const char *const words[] = {
#define DEVICE_TARGET(name, kind, dlpack, words, library, halide, unroll) [dlpack] = words,
#include "runtime/device/Devices.def"
  };
  FAIL(FOVEA_WRONG_DEVICE, "`%s` is on a device of DLPack type %d, wanted %s (%d) or the CPU (%d)", name, type, words[device], device, kDLCPU);
}

static int32_t check_type(const struct fovea_call *call, const char *name, DLDataType type, int32_t wanted) {
  if (type.lanes != 1)
    FAIL(FOVEA_WRONG_TYPE, "`%s` has vectors of %d lanes as elements, wanted 1 lane", name, type.lanes);
  if (type.code == types[wanted].code && type.bits == types[wanted].bits)
    return FOVEA_OK;
  char given[64];
  write_type(given, sizeof given, type);
  if (wanted == FOVEA_I32 && type.code == kDLInt && type.bits == 64)
    FAIL(FOVEA_WRONG_TYPE, "`%s` holds i64, wanted i32; convert it first: `.astype(numpy.int32)`, `.to(torch.int32)`", name);
  if (wanted == FOVEA_F32 && type.code == kDLFloat && type.bits == 64)
    FAIL(FOVEA_WRONG_TYPE, "`%s` holds f64, wanted f32; convert it first: `.astype(numpy.float32)`, `.to(torch.float32)`", name);
  if (wanted == FOVEA_BOOL && type.bits == 8)
    FAIL(FOVEA_WRONG_TYPE, "`%s` holds %s, wanted bool, which is type code %d with 8 bits", name, given, kDLBool);
  FAIL(FOVEA_WRONG_TYPE, "`%s` holds %s, wanted %s", name, given, types[wanted].name);
}

/* `k[b, g, j, d]` */
static const char *write_declaration(const struct fovea_call *call, const int32_t *argument, char *to, size_t size) {
  int used = snprintf(to, size, "%s[", fovea_string(call, argument[FOVEA_A_NAME]));
  for (int axis = 0; axis < argument[FOVEA_A_RANK] && used < (int)size; ++axis) {
    int32_t index = call->words[argument[FOVEA_A_AXES_AT] + axis];
    used += snprintf(to + used, size - (size_t)used, "%s%s", axis ? "," : "",
                     fovea_string(call, fovea_index(call, index)[FOVEA_I_NAME]));
  }
  if (used < (int)size)
    snprintf(to + used, size - (size_t)used, "]");
  return to;
}

static const char *axis_name(const struct fovea_call *call, int32_t index) {
  return fovea_string(call, fovea_index(call, index)[FOVEA_I_NAME]);
}

static const char *argument_name(const struct fovea_call *call, int64_t k) {
  return fovea_string(call, fovea_argument(call, (int)k)[FOVEA_A_NAME]);
}

/* An axis of tensor `k` carries `index`: its extent becomes the index's, or must be equal to it. */
static int32_t unify(struct fovea_call *call, int k, int32_t index, int64_t extent) {
  const char *name = argument_name(call, k), *axis = axis_name(call, index);
  if (extent < 0)
    FAIL(FOVEA_WRONG_EXTENT, "axis `%s` of `%s` has the negative extent %lld", axis, name, (long long)extent);
  if (extent > INT32_MAX)
    FAIL(FOVEA_TOO_LARGE, "axis `%s` of `%s` has the extent %lld, more than an i32 can count", axis, name, (long long)extent);
  int32_t first = fovea_index(call, index)[FOVEA_I_CLASS];
  int64_t known = call->extents[first], from = call->source[first];
  if (known < 0) {
    call->extents[first] = extent;
    call->source[first] = (int64_t)k << 32 | index;
    return FOVEA_OK;
  }
  if (known == extent)
    return FOVEA_OK;
  const char *other = argument_name(call, from >> 32), *other_axis = axis_name(call, (int32_t)from);
  if ((int32_t)from == index)
    FAIL(FOVEA_WRONG_EXTENT, "axis `%s` is %lld in `%s` but %lld in `%s`", axis, (long long)known, other, (long long)extent, name);
  FAIL(FOVEA_WRONG_EXTENT, "axis `%s` of `%s` is %lld but axis `%s` of `%s` is %lld, and `%s = %s`", other_axis, other,
       (long long)known, axis, name, (long long)extent, axis, other_axis);
}

static int32_t check_tensor(struct fovea_call *call, int k) {
  const int32_t *argument = fovea_argument(call, k);
  const char *name = fovea_string(call, argument[FOVEA_A_NAME]);
  const DLTensor *tensor = call->arguments[k];
  int rank = argument[FOVEA_A_RANK];
  if (!tensor)
    FAIL(FOVEA_NULL_POINTER, "`%s` is null", name);
  int32_t status = check_device(call, name, tensor->device.device_type);
  if (status)
    return status;
  status = check_type(call, name, tensor->dtype, argument[FOVEA_A_TYPE]);
  if (status)
    return status;
  char text[256];
  if (tensor->ndim != rank)
    FAIL(FOVEA_WRONG_RANK, "`%s` has %d axes, wanted %d: `%s`", name, tensor->ndim, rank,
         rank ? write_declaration(call, argument, text, sizeof text) : name);
  if (rank && !tensor->shape)
    FAIL(FOVEA_NULL_POINTER, "the shape of `%s` is null", name);
  for (int axis = 0; axis < rank; ++axis)
    if ((status = unify(call, k, call->words[argument[FOVEA_A_AXES_AT] + axis], tensor->shape[axis])))
      return status;
  return FOVEA_OK;
}

static int32_t check_scalar(const struct fovea_call *call, int k) {
  const int32_t *argument = fovea_argument(call, k);
  int32_t type = argument[FOVEA_A_TYPE];
  if (type != FOVEA_I8 && type != FOVEA_U8)
    return FOVEA_OK;
  int32_t value = *(const int32_t *)call->arguments[k], low = type == FOVEA_I8 ? -128 : 0, high = type == FOVEA_I8 ? 127 : 255;
  if (value < low || value > high)
    FAIL(FOVEA_WRONG_SCALAR, "`%s` is %d, outside %s's %d to %d", fovea_string(call, argument[FOVEA_A_NAME]), value,
         types[type].name, low, high);
  return FOVEA_OK;
}

/* ": h = 5, g = 2": what the program at hand read. */
static const char *write_operands(const struct fovea_call *call, int32_t program_at, char *to, size_t size) {
  const int32_t *p = call->words + program_at;
  int32_t count = *p++;
  int used = 0;
  to[0] = 0;
  for (int32_t k = 0; k < count && used < (int)size; ++k, p += FOVEA_P_WORDS) {
    const char *before = used ? ", " : ": ";
    if (p[FOVEA_P_OP] == FOVEA_OP_EXTENT)
      used += snprintf(to + used, size - (size_t)used, "%s%s = %lld", before, axis_name(call, p[FOVEA_P_X]),
                       (long long)call->extents[p[FOVEA_P_X]]);
    else if (p[FOVEA_P_OP] == FOVEA_OP_SCALAR_F)
      used += snprintf(to + used, size - (size_t)used, "%s%s = %g", before, argument_name(call, p[FOVEA_P_X]),
                       (double)*(const float *)call->arguments[p[FOVEA_P_X]]);
    else if (p[FOVEA_P_OP] == FOVEA_OP_SCALAR_I && fovea_argument(call, p[FOVEA_P_X])[FOVEA_A_TYPE] == FOVEA_BOOL)
      used += snprintf(to + used, size - (size_t)used, "%s%s = %s", before, argument_name(call, p[FOVEA_P_X]),
                       *(const uint8_t *)call->arguments[p[FOVEA_P_X]] ? "true" : "false");
    else if (p[FOVEA_P_OP] == FOVEA_OP_SCALAR_I)
      used += snprintf(to + used, size - (size_t)used, "%s%s = %d", before, argument_name(call, p[FOVEA_P_X]),
                       *(const int32_t *)call->arguments[p[FOVEA_P_X]]);
  }
  return to;
}

/* An index with a program: the value becomes its extent, or must be equal to it. */
static int32_t define(struct fovea_call *call, int32_t index) {
  const int32_t *entry = fovea_index(call, index);
  const char *axis = axis_name(call, index), *text = fovea_string(call, entry[FOVEA_I_TEXT]);
  char operands[400];
  struct fovea_value value = fovea_evaluate(call, entry[FOVEA_I_PROGRAM_AT]);
  write_operands(call, entry[FOVEA_I_PROGRAM_AT], operands, sizeof operands);
  if (value.left)
    FAIL(FOVEA_TOO_LARGE, "the extent `%s = %s` does not fit an i32%s", axis, text, operands);
  if (value.i < 0)
    FAIL(FOVEA_WRONG_EXTENT, "the extent `%s = %s` is negative, %lld%s", axis, text, (long long)value.i, operands);
  int32_t first = entry[FOVEA_I_CLASS];
  int64_t known = call->extents[first], from = call->source[first];
  call->extents[index] = value.i;
  if (known < 0) {
    call->extents[first] = value.i;
    return FOVEA_OK;
  }
  if (known == value.i)
    return FOVEA_OK;
  if (from < 0)
    FAIL(FOVEA_WRONG_EXTENT, "axis `%s` is %lld, wanted %lld, as `%s = %s`%s", axis, (long long)known, (long long)value.i, axis, text, operands);
  FAIL(FOVEA_WRONG_EXTENT, "axis `%s` of `%s` is %lld, wanted %lld, as `%s = %s`%s", axis_name(call, (int32_t)from),
       argument_name(call, from >> 32), (long long)known, (long long)value.i, axis, text, operands);
}

/* `axis `d` of `q`` where a tensor carries the index, else `axis `d``. */
static const char *write_axis(const struct fovea_call *call, int32_t index, char *to, size_t size) {
  int64_t from = call->source[fovea_index(call, index)[FOVEA_I_CLASS]];
  if (from < 0)
    snprintf(to, size, "axis `%s`", axis_name(call, index));
  else
    snprintf(to, size, "axis `%s` of `%s`", axis_name(call, (int32_t)from), argument_name(call, from >> 32));
  return to;
}

/* `d = 64`, `d in {64, 128} only`, `j <= 65536`. */
static int32_t check_index(const struct fovea_call *call, int32_t index) {
  const int32_t *entry = fovea_index(call, index);
  int64_t extent = call->extents[index], fixed = fovea_wide(entry + FOVEA_I_FIXED), bound = fovea_wide(entry + FOVEA_I_BOUND);
  char where[400], choices[256];
  if (extent < 0)
    return FOVEA_OK;
  if (fixed >= 0 && extent != fixed)
    FAIL(FOVEA_WRONG_EXTENT, "%s is %lld, wanted %lld", write_axis(call, index, where, sizeof where), (long long)extent, (long long)fixed);
  if (bound >= 0 && extent > bound)
    FAIL(FOVEA_WRONG_EXTENT, "%s is %lld, wanted at most %lld", write_axis(call, index, where, sizeof where), (long long)extent,
         (long long)bound);
  const int32_t *choice = call->words + entry[FOVEA_I_CHOICES_AT];
  int used = 0;
  choices[0] = 0;
  for (int32_t k = 0; k < entry[FOVEA_I_CHOICES]; ++k, choice += 2) {
    if (fovea_wide(choice) == extent)
      return FOVEA_OK;
    if (used < (int)sizeof choices)
      used += snprintf(choices + used, sizeof choices - (size_t)used, "%s%lld", k ? ", " : "", (long long)fovea_wide(choice));
  }
  if (entry[FOVEA_I_CHOICES])
    FAIL(FOVEA_WRONG_EXTENT, "%s is %lld, wanted one of %s", write_axis(call, index, where, sizeof where), (long long)extent, choices);
  return FOVEA_OK;
}

static int32_t check_constraint(const struct fovea_call *call, const int32_t *check) {
  struct fovea_value value = fovea_evaluate(call, check[FOVEA_C_PROGRAM_AT]);
  if (value.i && !(value.left & FOVEA_LEFT_I64))
    return FOVEA_OK;
  char operands[400];
  write_operands(call, check[FOVEA_C_PROGRAM_AT], operands, sizeof operands);
  FAIL(FOVEA_CONSTRAINT, "the constraint `%s` %s%s", fovea_string(call, check[FOVEA_C_TEXT]),
       value.left & FOVEA_LEFT_I64 ? "overflows" : "does not hold", operands);
}

/* Each index takes its class's extent. */
static void spread(struct fovea_call *call, int32_t index) {
  int32_t first = fovea_index(call, index)[FOVEA_I_CLASS];
  if (call->extents[index] < 0)
    call->extents[index] = call->extents[first];
}

int32_t fovea_check_shapes(struct fovea_call *call) {
  const int32_t *words = call->words;
  int32_t indices = words[FOVEA_D_INDICES], status;
  for (int32_t k = 0; k < indices; ++k)
    call->extents[k] = call->source[k] = -1;
  for (int k = 0; k < call->count; ++k)
    if ((status = fovea_argument(call, k)[FOVEA_A_RANK] < 0 ? check_scalar(call, k) : check_tensor(call, k)))
      return status;
  for (int32_t k = 0; k < indices; ++k) {
    int32_t first = fovea_index(call, k)[FOVEA_I_CLASS];
    int64_t fixed = fovea_wide(fovea_index(call, k) + FOVEA_I_FIXED);
    if (call->extents[first] < 0)
      call->extents[first] = fixed;
  }
  for (int32_t k = 0; k < indices; ++k)
    spread(call, k);
  const int32_t *defined = words + words[FOVEA_D_DEFINED_AT];
  for (int32_t k = 0; k < words[FOVEA_D_DEFINED]; ++k) {
    if ((status = define(call, defined[k])))
      return status;
    for (int32_t other = 0; other < indices; ++other)
      spread(call, other);
  }
  for (int32_t k = 0; k < indices; ++k)
    if ((status = check_index(call, k)))
      return status;
  const int32_t *check = words + words[FOVEA_D_CHECKS_AT];
  for (int32_t k = 0; k < words[FOVEA_D_CHECKS]; ++k, check += FOVEA_C_WORDS)
    if ((status = check_constraint(call, check)))
      return status;
  return FOVEA_OK;
}
