/* The way into a kernel: check everything, describe the tensors to the compiled body, call it. */
#include "runtime/kernel/internal.h"

#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* A scalar is rounded to its type when it is passed (docs/language.md, E2). */

static float round_to_bf16(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if (f == f)
    bits += 0x7FFF + (bits >> 16 & 1);
  bits &= 0xFFFF0000u;
  if (f != f)
    bits |= 0x00400000u;
  memcpy(&f, &bits, 4);
  return f;
}

static float round_to_f16(float f) {
  float size = __builtin_fabsf(f);
  if (!(size < 65520.0f))
    return f != f ? f : __builtin_copysignf(__builtin_inff(), f);
  if (size < 0x1p-14f) {                      /* subnormal halves are multiples of 2^-24 */
    volatile float shifted = size + 0.5f;     /* whose last place is 2^-24 */
    return __builtin_copysignf(shifted - 0.5f, f);
  }
  uint32_t bits;
  memcpy(&bits, &f, 4);
  bits += 0xFFF + (bits >> 13 & 1);
  bits &= ~0x1FFFu;
  memcpy(&f, &bits, 4);
  return f;
}

/* The form in which the body reads scalar k. */
static void pass_scalar(int32_t type, const void *given, void *to) {
  float f;
  switch (type) {
  case FOVEA_F32: memcpy(to, given, 4); break;
  case FOVEA_F16: memcpy(&f, given, 4); f = round_to_f16(f); memcpy(to, &f, 4); break;
  case FOVEA_BF16: memcpy(&f, given, 4); f = round_to_bf16(f); memcpy(to, &f, 4); break;
  case FOVEA_BOOL: *(uint8_t *)to = *(const uint8_t *)given != 0; break;
  default: memcpy(to, given, 4); break;
  }
}

/* Outputs overlap nothing. */
static int32_t check_overlaps(const struct fovea_call *call, const struct fovea_place *places, void *const *args) {
  for (int o = call->parameters; o < call->count; ++o)
    for (int k = 0; k < o; ++k) {
      const int32_t *a = fovea_argument(call, o), *b = fovea_argument(call, k);
      if (places[k].memory != places[o].memory || places[k].begin >= places[o].end || places[o].begin >= places[k].end)
        continue;
      if (fovea_may_overlap(args[o], a[FOVEA_A_RANK], fovea_element_size(a[FOVEA_A_TYPE]), args[k], b[FOVEA_A_RANK],
                            fovea_element_size(b[FOVEA_A_TYPE])))
        return fovea_failf(FOVEA_OVERLAP, fovea_kernel_name(call), "the result `%s` overlaps `%s`",
                           fovea_string(call, a[FOVEA_A_NAME]), fovea_string(call, b[FOVEA_A_NAME]));
    }
  return FOVEA_OK;
}

static int32_t check_version(const int32_t *words, const char *strings) {
  if (words[FOVEA_D_MAGIC] != FOVEA_DESCRIPTOR_MAGIC)
    return fovea_rt_fail(FOVEA_WRONG_VERSION, "not a kernel of Fovea");
  if (words[FOVEA_D_ABI] != FOVEA_ABI_VERSION)
    return fovea_failf(FOVEA_WRONG_VERSION, strings + words[FOVEA_D_NAME], "compiled for version %d of the binary interface, this runtime is %d",
                       words[FOVEA_D_ABI], FOVEA_ABI_VERSION);
  return FOVEA_OK;
}

/* 64-bit words that fovea_call's arrays and what follows them take. */
static int64_t frame_words(const int32_t *words) {
  int64_t arguments = (int64_t)words[FOVEA_D_PARAMETERS] + words[FOVEA_D_RESULTS];
  return 2 * (int64_t)words[FOVEA_D_INDICES] + (2 + (int64_t)sizeof(struct fovea_place) / 8) * arguments + words[FOVEA_D_FRAME];
}

/* Without a way out of memory yet. */
static int32_t invoke(const int32_t *words, const char *strings, fovea_impl *impl, void **arguments, const struct fovea_way *way) {
  int64_t few[384], need = frame_words(words), *frame = need <= 384 ? few : fovea_alloc(need, 8);
  int parameters = words[FOVEA_D_PARAMETERS], count = parameters + words[FOVEA_D_RESULTS], indices = words[FOVEA_D_INDICES];
  struct fovea_call call = {words, strings, arguments, count, parameters, frame, frame + indices};
  void **args = (void **)(frame + 2 * indices);
  int64_t *scalars = (int64_t *)(args + count);
  struct fovea_place *places = (struct fovea_place *)(scalars + count);
  int64_t *memref = (int64_t *)(places + count);

  int32_t status = fovea_check_shapes(&call);
  for (int k = 0; k < count && !status; ++k) {
    const int32_t *argument = fovea_argument(&call, k);
    int rank = argument[FOVEA_A_RANK];
    if (rank < 0) {
      args[k] = &scalars[k];
      places[k] = (struct fovea_place){0};
      pass_scalar(argument[FOVEA_A_TYPE], arguments[k], args[k]);
    } else {
      args[k] = memref;
      status = fovea_check_layout(&call, k, memref, &places[k]);
      if (!status && places[k].on_device)
        status = way->locate(&call, k, memref, &places[k]);
      memref += FOVEA_M_SIZES + 2 * rank;
    }
  }
  if (!status)
    status = check_overlaps(&call, places, args);
  for (int k = 0; k < parameters && !status; ++k)
    if (fovea_argument(&call, k)[FOVEA_A_FLAGS] & FOVEA_FLAG_SORTED && !places[k].on_device)
      status = fovea_check_sorted(&call, k, args[k]);
  return status ? status : way ? way->run(&call, impl, args, places) : impl(args);
}

/* Runs with a way out of memory, in the default floating-point mode; what `run` allocates is given back. */
static int32_t guarded(const char *name, int32_t (*run)(void *), void *context) {
  int32_t status;
  struct fovea_thread *const thread = &fovea_this_thread;
  jmp_buf escape, *const outer = thread->escape;
  const int64_t mark = fovea_arena_mark();
  struct fovea_spare *const spare = thread->spare;
  thread->spare = NULL;
#if defined(__x86_64__)
  /* Kernels compute as IEEE says, whatever the caller set (PyTorch can flush denormals). */
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(0x1F80);
#endif
  thread->escape = &escape;
  if (_setjmp(escape) == 0)
    status = run(context);
  else if (thread->wanted == INT64_MAX)
    status = fovea_failf(FOVEA_OUT_OF_MEMORY, name, "out of memory: a temporary's size overflows 64 bits");
  else
    status = fovea_failf(FOVEA_OUT_OF_MEMORY, name, "out of memory: no %lld bytes for a temporary", (long long)thread->wanted);
  thread->escape = outer;
  thread->spare = spare;
  fovea_arena_release(mark);
#if defined(__x86_64__)
  _mm_setcsr(mode);
#endif
  return status;
}

struct invocation {
  const int32_t *words;
  const char *strings;
  fovea_impl *impl;
  void **arguments;
  const struct fovea_way *way;
};

static int32_t run_kernel(void *context) {
  struct invocation *i = context;
  return invoke(i->words, i->strings, i->impl, i->arguments, i->way);
}

static int32_t run_stage(void *context) {
  struct invocation *i = context;
  return i->impl(i->arguments);
}

int32_t fovea_invoke(const int32_t *words, const char *strings, fovea_impl *impl, void **arguments, const struct fovea_way *way) {
  int32_t status = check_version(words, strings);
  if (status)
    return status;
  return guarded(strings + words[FOVEA_D_NAME], run_kernel, &(struct invocation){words, strings, impl, arguments, way});
}

int32_t fovea_rt_invoke(const int32_t *words, const char *strings, fovea_impl *impl, void **arguments) {
  return fovea_invoke(words, strings, impl, arguments, NULL);
}

int32_t fovea_rt_stage(const char *name, fovea_impl *impl, void **args) {
  return guarded(name, run_stage, &(struct invocation){NULL, NULL, impl, args, NULL});
}

int32_t fovea_rt_extents(const int32_t *words, const char *strings, void **arguments, int64_t *extents) {
  int32_t status = check_version(words, strings);
  if (status)
    return status;
  int64_t mark = fovea_arena_mark(), *source = fovea_alloc(words[FOVEA_D_INDICES], 8);
  if (!source)
    return fovea_rt_fail(FOVEA_OUT_OF_MEMORY, "out of memory");
  int parameters = words[FOVEA_D_PARAMETERS];
  struct fovea_call call = {words, strings, arguments, parameters, parameters, extents, source};
  status = fovea_check_shapes(&call);
  fovea_arena_release(mark);
  return status;
}
