/* A stand-in for NVIDIA's driver (libcuda.so.1), as far as Halide's runtime asks for it: memory is a file that is shared with a process of Python, which
 * runs every launch in the interpreter of PTX (driver.py). So what is compiled for `--target cuda` runs where there is no GPU. Memory begins as NaN.
 *
 * FOVEA_PTX_DRIVER is the command of that process. What it complains of goes to standard error, and is the driver's error 719. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

#define ARENA ((uint64_t)1 << 36)
static char *arena;
static uint64_t used;
static int arena_file = -1;
static FILE *to, *from;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct function {
  char name[256];
  int module, count;
  int sizes[512];   /* of parameters */
};

/* The process' answer, without its newline; nothing where it complained. */
static char *answer(void) {
  static char *line;
  static size_t room;
  fflush(to);
  ssize_t length = getline(&line, &room, from);
  if (length <= 0)
    return NULL;
  line[length - 1] = 0;
  if (strncmp(line, "error ", 6) != 0)
    return line;
  fprintf(stderr, "driver.c: %s\n", line + 6);
  return NULL;
}

int cuInit(unsigned flags) {
  (void)flags;
  if (arena)
    return SUCCESS;
  const char *command = getenv("FOVEA_PTX_DRIVER");
  int out[2], in[2];
  arena_file = memfd_create("device", 0);
  if (!command || arena_file < 0 || ftruncate(arena_file, (off_t)ARENA) || pipe(out) || pipe(in))
    return INVALID;
  arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena_file, 0);
  if (arena == MAP_FAILED)
    return INVALID;
  if (fork() == 0) {
    char file[32];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(file, sizeof file, "%d", arena_file);
    setenv("FOVEA_PTX_MEMORY", file, 1);
    dup2(out[0], 0);
    dup2(in[1], 1);
    close(out[1]);
    close(in[0]);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  close(out[0]);
  close(in[1]);
  to = fdopen(out[1], "w");
  from = fdopen(in[0], "r");
  fprintf(to, "arena %llu %llu\n", (unsigned long long)(uintptr_t)arena, (unsigned long long)ARENA);
  return answer() ? SUCCESS : INVALID;
}

int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int number) { return *device = number, SUCCESS; }
int cuDeviceGetName(char *name, int length, int device) { return (void)device, snprintf(name, (size_t)length, "PTX in Python"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return (void)device, *bytes = ARENA, SUCCESS; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? 8 : attribute == 76 ? 0 : 1024;   /* compute capability 8.0 */
  return SUCCESS;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device) { return (void)flags, (void)device, *context = &arena, SUCCESS; }
int cuCtxDestroy_v2(void *context) { return (void)context, SUCCESS; }
int cuCtxPushCurrent_v2(void *context) { return (void)context, SUCCESS; }
int cuCtxPopCurrent_v2(void **context) { return *context = &arena, SUCCESS; }
int cuCtxGetDevice(int *device) { return *device = 0, SUCCESS; }
int cuCtxGetApiVersion(void *context, unsigned *version) { return (void)context, *version = 12000, SUCCESS; }
int cuCtxSynchronize(void) { return SUCCESS; }
int cuStreamSynchronize(void *stream) { return (void)stream, SUCCESS; }
int cuProfilerStop(void) { return SUCCESS; }
int cuPointerGetAttribute(void *data, int attribute, uint64_t pointer) { return (void)data, (void)attribute, (void)pointer, INVALID; }

int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) {
  pthread_mutex_lock(&lock);
  const uint64_t page = 4096, size = (bytes + 2 * page) / page * page;   /* a page at least lies between two */
  int result = size <= ARENA - used ? SUCCESS : OUT_OF_MEMORY;
  if (result == SUCCESS) {
    *pointer = (uint64_t)(uintptr_t)arena + used;
    memset(arena + used, 255, bytes);
    used += size;
    fprintf(to, "alloc %llu %zu\n", (unsigned long long)*pointer, bytes);
  }
  pthread_mutex_unlock(&lock);
  return result;
}

int cuMemFree_v2(uint64_t pointer) {
  pthread_mutex_lock(&lock);
  fprintf(to, "free %llu\n", (unsigned long long)pointer);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

static void *at(uint64_t pointer) { return (void *)(uintptr_t)pointer; }
int cuMemcpyHtoD_v2(uint64_t to_device, const void *host, size_t bytes) { return memcpy(at(to_device), host, bytes), SUCCESS; }
int cuMemcpyDtoH_v2(void *host, uint64_t device, size_t bytes) { return memcpy(host, at(device), bytes), SUCCESS; }
int cuMemcpyDtoD_v2(uint64_t to_device, uint64_t device, size_t bytes) { return memmove(at(to_device), at(device), bytes), SUCCESS; }
int cuMemcpyHtoDAsync_v2(uint64_t to_device, const void *host, size_t bytes, void *stream) { return (void)stream, cuMemcpyHtoD_v2(to_device, host, bytes); }
int cuMemcpyDtoHAsync_v2(void *host, uint64_t device, size_t bytes, void *stream) { return (void)stream, cuMemcpyDtoH_v2(host, device, bytes); }
int cuMemcpyDtoDAsync_v2(uint64_t to_device, uint64_t device, size_t bytes, void *stream) { return (void)stream, cuMemcpyDtoD_v2(to_device, device, bytes); }
int cuMemcpy3D_v2(const void *copy) { return (void)copy, INVALID; }

int cuModuleLoadData(void **module, const void *text) {
  static uintptr_t modules;
  pthread_mutex_lock(&lock);
  fprintf(to, "module %zu\n", strlen(text));
  fputs(text, to);
  int result = answer() ? SUCCESS : INVALID;
  *module = (void *)++modules;
  pthread_mutex_unlock(&lock);
  return result;
}
int cuModuleLoadDataEx(void **module, const void *text, unsigned count, int *options, void **values) {
  return (void)count, (void)options, (void)values, cuModuleLoadData(module, text);
}
int cuModuleUnload(void *module) { return (void)module, SUCCESS; }

int cuModuleGetFunction(struct function **function, void *module, const char *name) {
  pthread_mutex_lock(&lock);
  struct function *found = calloc(1, sizeof *found);
  snprintf(found->name, sizeof found->name, "%s", name);
  found->module = (int)(uintptr_t)module;
  fprintf(to, "function %d %s\n", found->module, name);
  char *sizes = answer();
  for (char *size = sizes ? strtok(sizes, " ") : NULL; size && found->count < 512; size = strtok(NULL, " "))
    found->sizes[found->count++] = atoi(size);
  *function = found;
  pthread_mutex_unlock(&lock);
  return sizes ? SUCCESS : NOT_FOUND;
}

int cuLaunchKernel(struct function *function, unsigned blocks_x, unsigned blocks_y, unsigned blocks_z, unsigned threads_x, unsigned threads_y, unsigned threads_z,
                   unsigned shared, void *stream, void **parameters, void **extra) {
  (void)stream;
  (void)extra;
  pthread_mutex_lock(&lock);
  fprintf(to, "launch %d %s %u %u %u %u %u %u %u", function->module, function->name, blocks_x, blocks_y, blocks_z, threads_x, threads_y, threads_z, shared);
  for (int n = 0; n < function->count; ++n) {
    fputc(' ', to);
    for (int byte = 0; byte < function->sizes[n]; ++byte)
      fprintf(to, "%02x", ((unsigned char *)parameters[n])[byte]);
  }
  fputc('\n', to);
  int result = answer() ? SUCCESS : LAUNCH_FAILED;
  pthread_mutex_unlock(&lock);
  return result;
}
