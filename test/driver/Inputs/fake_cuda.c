/* A driver of CUDA with two devices, or, with FAKE_CUDA=none, one that finds none. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cuInit(unsigned flags) {
  const char *wanted = getenv("FAKE_CUDA");
  printf("noise of a driver\n");
  fflush(stdout);
  return wanted && strcmp(wanted, "none") == 0 ? 100 : 0;
}
int cuDriverGetVersion(int *version) { return *version = 12040, 0; }
int cuDeviceGetCount(int *count) { return *count = 2, 0; }
int cuDeviceGet(int *device, int n) { return *device = 70 + n, 0; }
int cuDeviceGetName(char *name, int size, int device) { return snprintf(name, (size_t)size, "Fake %d", device), 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = device == 70 ? (size_t)24 << 30 : (size_t)80 << 30, 0; }
int cuDeviceGetAttribute(int *value, int which, int device) {
  *value = which == 16 ? (device == 70 ? 132 : 108) : which == 8 ? 49152 : which == 75 ? (device == 70 ? 9 : 8) : 0;
  return 0;
}
