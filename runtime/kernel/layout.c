/* From a DLTensor whose type and extents are right to a memref descriptor: strides, spans, alignment, order. */
#include "runtime/kernel/internal.h"

#include <string.h>

int64_t fovea_element_size(int32_t type) {
  static const int8_t sizes[] = {
      [FOVEA_F32] = 4, [FOVEA_F16] = 2, [FOVEA_BF16] = 2, [FOVEA_I32] = 4, [FOVEA_I8] = 1, [FOVEA_U8] = 1, [FOVEA_BOOL] = 1};
  return sizes[type];
}

/* What a read clamped into a tensor without elements finds. Its strides are 0, so that only the innermost axis counts. */
static _Alignas(64) char zeros[1 << 16];

static int is_empty(const DLTensor *tensor) {
  for (int32_t k = 0; k < tensor->ndim; ++k)
    if (tensor->shape[k] == 0)
      return 1;
  return 0;
}

static int32_t lay_out_empty(const DLTensor *tensor, int64_t size, int64_t *memref) {
  int rank = tensor->ndim;
  void *data = zeros;
  int64_t bytes = fovea_mul(tensor->shape[rank - 1], size);
  if (bytes > (int64_t)sizeof zeros) {
    data = fovea_alloc(bytes, 1);
    memset(data, 0, (size_t)bytes);
  }
  memref[FOVEA_M_ALLOCATED] = memref[FOVEA_M_ALIGNED] = (int64_t)(intptr_t)data;
  for (int k = 0; k < rank; ++k)
    fovea_strides(memref, rank)[k] = k == rank - 1;
  return FOVEA_OK;
}

int32_t fovea_check_layout(const struct fovea_call *call, int k, int64_t *memref, struct fovea_place *place) {
  const DLTensor *tensor = call->arguments[k];
  const int32_t *argument = fovea_argument(call, k);
  const char *kernel = fovea_kernel_name(call), *name = fovea_string(call, argument[FOVEA_A_NAME]);
  int rank = tensor->ndim;
  int64_t size = fovea_element_size(argument[FOVEA_A_TYPE]);
  memref[FOVEA_M_OFFSET] = 0;
  *place = (struct fovea_place){0};
  for (int axis = 0; axis < rank; ++axis)
    memref[FOVEA_M_SIZES + axis] = tensor->shape[axis];
  if (is_empty(tensor))
    return lay_out_empty(tensor, size, memref);

  /* Spans stay below 2^31 elements, so that no sum below overflows. */
  int64_t low = 0, high = 0, compact = 1, *strides = fovea_strides(memref, rank);
  for (int axis = rank - 1; axis >= 0; --axis) {
    int64_t extent = tensor->shape[axis], stride = tensor->strides ? tensor->strides[axis] : compact;
    if (extent == 1)
      stride = axis == rank - 1 ? 1 : compact;   /* never stepped along: whatever was given */
    else if (axis == rank - 1 && stride != 1)
      return fovea_failf(FOVEA_WRONG_STRIDES, kernel,
                         "the innermost stride of `%s` is %lld, wanted 1; make it contiguous first", name, (long long)stride);
    else if (stride == 0 && k >= call->parameters)
      return fovea_failf(FOVEA_WRONG_STRIDES, kernel, "axis %d of the result `%s` has stride 0, so its elements would overwrite each other",
                         axis, name);
    int64_t reach = fovea_mul(extent - 1, stride);
    if (reach > INT32_MAX || reach < -(int64_t)INT32_MAX)
      reach = INT32_MAX;
    if (reach < 0)
      low += reach;
    else
      high += reach;
    if (high - low >= INT32_MAX)
      return fovea_failf(FOVEA_TOO_LARGE, kernel, "`%s` spans more than 2147483647 elements", name);
    strides[axis] = stride;
    compact = high - low + 1;
  }

  if (!tensor->data)
    return fovea_failf(FOVEA_NULL_POINTER, kernel, "the data of `%s` is null", name);
  place->on_device = tensor->device.device_type != kDLCPU;
  if (tensor->device.device_type == kDLOpenCL)
    place->memory = tensor->data;
  uintptr_t first = place->memory ? 0 : (uintptr_t)tensor->data;
  if (__builtin_add_overflow(first, tensor->byte_offset, &first) || first < (uintptr_t)(-low * size) ||
      __builtin_add_overflow(first, (uintptr_t)((high + 1) * size), &place->end))
    return fovea_failf(FOVEA_TOO_LARGE, kernel, place->memory ? "`%s` reaches before its memory" : "`%s` reaches outside the address space", name);
  if (first % (uintptr_t)size)
    return fovea_failf(FOVEA_MISALIGNED, kernel, "the data of `%s` is not aligned to its elements' %lld bytes", name, (long long)size);
  memref[FOVEA_M_ALLOCATED] = memref[FOVEA_M_ALIGNED] = (int64_t)first;
  place->begin = first + (uintptr_t)(low * size);
  if (k >= call->parameters && fovea_repeats(memref, rank))
    return fovea_failf(FOVEA_WRONG_STRIDES, kernel, "elements of the result `%s` overlap each other", name);
  return FOVEA_OK;
}

static float half_to_float(uint16_t bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 0) {
    float tiny = (float)fraction * 0x1p-24f;
    return sign ? -tiny : tiny;
  }
  uint32_t wide = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
  float f;
  memcpy(&f, &wide, 4);
  return f;
}

static float element(const char *at, int32_t type) {
  uint16_t half;
  switch (type) {
  case FOVEA_F32: { float f; memcpy(&f, at, 4); return f; }
  case FOVEA_F16: memcpy(&half, at, 2); return half_to_float(half);
  case FOVEA_BF16: { uint32_t wide; memcpy(&half, at, 2); wide = (uint32_t)half << 16; float f; memcpy(&f, &wide, 4); return f; }
  case FOVEA_I8: return *(const int8_t *)at;
  default: return *(const uint8_t *)at;
  }
}

/* The first position in a row that is less than the one before it, or -1. */
static int64_t first_decrease(const char *row, int64_t extent, int32_t type, int64_t size) {
  if (type == FOVEA_I32) {
    const int32_t *values = (const int32_t *)row;
    for (int64_t k = 1; k < extent; ++k)
      if (values[k] < values[k - 1])
        return k;
    return -1;
  }
  for (int64_t k = 1; k < extent; ++k)
    if (element(row + k * size, type) < element(row + (k - 1) * size, type))
      return k;
  return -1;
}

int32_t fovea_check_sorted(const struct fovea_call *call, int k, const int64_t *memref) {
  const int32_t *argument = fovea_argument(call, k);
  int rank = argument[FOVEA_A_RANK];
  int64_t size = fovea_element_size(argument[FOVEA_A_TYPE]), row[FOVEA_MAX_RANK] = {0};
  const int64_t *sizes = memref + FOVEA_M_SIZES, *strides = sizes + rank;
  for (int axis = 0; axis < rank; ++axis)
    if (sizes[axis] == 0)
      return FOVEA_OK;
  const char *at = (const char *)(intptr_t)memref[FOVEA_M_ALIGNED];
  for (int axis = 0; rank > 0 && axis >= 0;) {
    int64_t decrease = first_decrease(at, sizes[rank - 1], argument[FOVEA_A_TYPE], size);
    if (decrease >= 0)
      return fovea_failf(FOVEA_NOT_SORTED, fovea_kernel_name(call), "`%s` is declared sorted but decreases at position %lld of its last axis",
                         fovea_string(call, argument[FOVEA_A_NAME]), (long long)decrease);
    /* The next row, as an odometer counts. */
    for (axis = rank - 2; axis >= 0; --axis) {
      at += strides[axis] * size;
      if (++row[axis] < sizes[axis])
        break;
      at -= strides[axis] * size * sizes[axis];
      row[axis] = 0;
    }
  }
  return FOVEA_OK;
}
