/* Which variant of a kernel of target `portable` runs: asked of the CPU, and of the operating system, which must keep the registers. */
#include "runtime/kernel/internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { EAX, EBX, ECX, EDX };
enum { BASIC, EXTENDED, MORE, AMD, LEAVES };
static const uint32_t leaves[LEAVES][2] = {[BASIC] = {1, 0}, [EXTENDED] = {7, 0}, [MORE] = {7, 1}, [AMD] = {0x80000001, 0}};

/* Bits of XCR0: the registers that a flag's instructions use. */
enum { NONE = 0, VECTORS = 0x6, MASKED = 0xE6, TILES = 0x60000 };

static const struct { const char *name; uint8_t leaf, word, bit; uint32_t registers; } flags[] = {
    {"pni", BASIC, ECX, 0, NONE},                    {"ssse3", BASIC, ECX, 9, NONE},
    {"fma", BASIC, ECX, 12, VECTORS},                {"cx16", BASIC, ECX, 13, NONE},
    {"sse4_1", BASIC, ECX, 19, NONE},                {"sse4_2", BASIC, ECX, 20, NONE},
    {"movbe", BASIC, ECX, 22, NONE},                 {"popcnt", BASIC, ECX, 23, NONE},
    {"avx", BASIC, ECX, 28, VECTORS},                {"f16c", BASIC, ECX, 29, VECTORS},
    {"bmi1", EXTENDED, EBX, 3, NONE},                {"avx2", EXTENDED, EBX, 5, VECTORS},
    {"bmi2", EXTENDED, EBX, 8, NONE},                {"avx512f", EXTENDED, EBX, 16, MASKED},
    {"avx512dq", EXTENDED, EBX, 17, MASKED},         {"avx512ifma", EXTENDED, EBX, 21, MASKED},
    {"avx512cd", EXTENDED, EBX, 28, MASKED},         {"avx512bw", EXTENDED, EBX, 30, MASKED},
    {"avx512vl", EXTENDED, EBX, 31, MASKED},         {"avx512vbmi", EXTENDED, ECX, 1, MASKED},
    {"avx512_vbmi2", EXTENDED, ECX, 6, MASKED},      {"gfni", EXTENDED, ECX, 8, NONE},
    {"avx512_vnni", EXTENDED, ECX, 11, MASKED},      {"avx512_bitalg", EXTENDED, ECX, 12, MASKED},
    {"avx512_vpopcntdq", EXTENDED, ECX, 14, MASKED}, {"amx_bf16", EXTENDED, EDX, 22, TILES},
    {"avx512_fp16", EXTENDED, EDX, 23, MASKED},      {"amx_tile", EXTENDED, EDX, 24, TILES},
    {"amx_int8", EXTENDED, EDX, 25, TILES},          {"avx_vnni", MORE, EAX, 4, VECTORS},
    {"avx512_bf16", MORE, EAX, 5, MASKED},           {"lahf_lm", AMD, ECX, 0, NONE},
    {"abm", AMD, ECX, 5, NONE},                      {"sse4a", AMD, ECX, 6, NONE},
};

static uint32_t answers[LEAVES][4];
static uint32_t kept;   /* low half of XCR0 */

static void ask(void) {
#if defined(__x86_64__)
  for (int k = 0; k < LEAVES; ++k)
    __get_cpuid_count(leaves[k][0], leaves[k][1], &answers[k][EAX], &answers[k][EBX], &answers[k][ECX], &answers[k][EDX]);
  uint32_t high;
  if (answers[BASIC][ECX] & bit_OSXSAVE)
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
#endif
}

int fovea_machine_has(const char *flag, size_t length) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, ask);
  for (size_t k = 0; k < sizeof flags / sizeof *flags; ++k)
    if (strlen(flags[k].name) == length && memcmp(flags[k].name, flag, length) == 0)
      return answers[flags[k].leaf][flags[k].word] >> flags[k].bit & 1 && (kept & flags[k].registers) == flags[k].registers;
  return -1;
}

/* The first flag of `needs` that this machine lacks, and how long it is: 0 where there is none. */
static const char *lacking(const char *needs, int *length) {
  for (;; needs += *length) {
    needs += strspn(needs, " ");
    *length = (int)strcspn(needs, " ");
    if (!*length || fovea_machine_has(needs, (size_t)*length) <= 0)
      return needs;
  }
}

/* The variant that FOVEA_TARGET names. */
static int32_t named(const char *name, const char *kernel, const struct fovea_variant *variants, int32_t count, fovea_impl **impl) {
  char known[256] = "";
  size_t used = 0;
  for (int32_t k = 0; k < count; ++k) {
    if (strcmp(variants[k].target, name) == 0) {
      int length;
      const char *flag = lacking(variants[k].needs, &length);
      if (length)
        return fovea_failf(FOVEA_WRONG_TARGET, kernel, "FOVEA_TARGET is `%s`, but this machine lacks `%.*s`", name, length, flag);
      *impl = variants[k].impl;
      return FOVEA_OK;
    }
    if (used < sizeof known)
      used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", k ? ", " : "", variants[k].target);
  }
  return fovea_failf(FOVEA_WRONG_TARGET, kernel, "FOVEA_TARGET is `%.100s`, and not one of %s", name, known);
}

static int32_t best(const char *kernel, const struct fovea_variant *variants, int32_t count, fovea_impl **impl) {
  const char *flag = NULL;
  int length = 0;
  for (int32_t k = count - 1; k >= 0; --k) {
    flag = lacking(variants[k].needs, &length);
    if (!length) {
      *impl = variants[k].impl;
      return FOVEA_OK;
    }
  }
  return fovea_failf(FOVEA_WRONG_TARGET, kernel, "this machine lacks `%.*s`, which `%s`, the least of the kernel's targets, needs", length, flag,
                     variants[0].target);
}

int32_t fovea_rt_choose(const char *kernel, const struct fovea_variant *variants, int32_t count, fovea_impl **chosen, void **args) {
  fovea_impl *impl = __atomic_load_n(chosen, __ATOMIC_RELAXED);
  if (!impl) {   /* threads that come here at once choose the same */
    const char *name = getenv("FOVEA_TARGET");
    int32_t status = name && *name ? named(name, kernel, variants, count, &impl) : best(kernel, variants, count, &impl);
    if (status)
      return status;
    __atomic_store_n(chosen, impl, __ATOMIC_RELAXED);
  }
  return impl(args);
}
