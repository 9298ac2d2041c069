/* Calls `dots` on a machine that lacks one flag, a bit of ECX of CPUID's leaf 1. usage: hidden-flag BIT */
#define _GNU_SOURCE
#include "dots.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned hidden;

/* Where CPUID faults: its answer without the flag. */
static void answer(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *code = (const unsigned char *)registers[REG_RIP];
  if (code[0] != 0x0F || code[1] != 0xA2)
    _exit(3);
  unsigned leaf = (unsigned)registers[REG_RAX], a, b, c, d;
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  __cpuid_count(leaf, (unsigned)registers[REG_RCX], a, b, c, d);
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
  registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = leaf == 1 ? c & ~hidden : c, registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

int main(int count, char **arguments) {
  hidden = count > 1 ? 1u << atoi(arguments[1]) : 0;
  struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, NULL);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0))
    return perror("arch_prctl"), 2;
  float x[3] = {1, 2, 3}, o[1] = {0};
  int64_t shape[2] = {1, 3};
  DLTensor in = {x, {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape, NULL, 0}, out = in;
  out.data = o, out.ndim = 1;
  int status = dots(&in, &in, &out);
  printf("status %d, result %g: %s\n", status, o[0], fovea_last_error());
  return 0;
}
