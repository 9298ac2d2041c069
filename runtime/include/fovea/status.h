/* What every kernel returns, and the three functions that every object of Fovea defines (weak: a program keeps one of each). */
#ifndef FOVEA_STATUS_H_
#define FOVEA_STATUS_H_

#define FOVEA_ABI_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  FOVEA_OK = 0,
  FOVEA_NULL_POINTER = 1,    /* a tensor, its shape, or the data of a tensor with elements is NULL */
  FOVEA_WRONG_DEVICE = 2,    /* memory of another device than the kernel's */
  FOVEA_WRONG_TYPE = 3,      /* element type or lanes */
  FOVEA_WRONG_RANK = 4,
  FOVEA_WRONG_EXTENT = 5,    /* axes of one name differ, or an extent is negative, outside its bound or its choices */
  FOVEA_WRONG_STRIDES = 6,   /* innermost stride not 1, or an output that repeats elements */
  FOVEA_MISALIGNED = 7,      /* below the natural alignment of the element type */
  FOVEA_TOO_LARGE = 8,       /* a tensor spans more elements than an i32 can count */
  FOVEA_OVERLAP = 9,         /* an output overlaps another tensor */
  FOVEA_NOT_SORTED = 10,     /* a `sorted` tensor decreases along its last axis */
  FOVEA_CONSTRAINT = 11,     /* a constraint of the kernel does not hold */
  FOVEA_WRONG_SCALAR = 12,   /* a scalar does not fit its type */
  FOVEA_OUT_OF_MEMORY = 13,
  FOVEA_WRONG_VERSION = 14,  /* an object whose parts come from different versions of Fovea */
  FOVEA_INTERNAL_ERROR = 15, /* a bug of Fovea: please report it */
  FOVEA_WRONG_TARGET = 16,   /* this machine runs no target that the kernel is compiled for, or not the one that FOVEA_TARGET names */
  FOVEA_DEVICE_FAILED = 17   /* there is no GPU that the kernel can use, or it failed */
} fovea_status;

/* The sentence for this thread's last failed call; "" before the first. Valid until this thread's next failed call. */
const char *fovea_last_error(void);

/* How many threads a kernel may use, the caller's included: n > 0 sets it, 0 goes back to the default (FOVEA_THREADS in the
 * environment, else the CPUs that this process may run on), n < 0 changes nothing. Returns the number in force. */
int fovea_set_threads(int n);

/* FOVEA_ABI_VERSION of the object that answers. */
int fovea_abi_version(void);

#ifdef __cplusplus
}
#endif
#endif /* FOVEA_STATUS_H_ */
