/* The descriptor of a kernel: constant 32-bit words and NUL separated strings, written by lowering/host/Descriptor.cpp into the
 * object and read by fovea_rt_invoke. Everything that is checked on entry stands in it.
 *
 * A place ("at") counts words from the descriptor's start. A string is an offset into the strings; string 0 is empty.
 * A 64-bit number is two words, low one first. -1 where a field says nothing.
 *
 *   header       FOVEA_D_*, FOVEA_D_WORDS words
 *   arguments    parameters in the order of the C signature, then results; FOVEA_A_WORDS words each
 *   axes         of a tensor argument: one index number an axis, outermost first
 *   indices      FOVEA_I_WORDS words each
 *   defined      the indices that have a program, in the order in which they can be evaluated
 *   checks       FOVEA_C_WORDS words each
 *   programs     see below
 */
#ifndef FOVEA_RUNTIME_KERNEL_DESCRIPTOR_H
#define FOVEA_RUNTIME_KERNEL_DESCRIPTOR_H

#define FOVEA_DESCRIPTOR_MAGIC 0x4B415646 /* "FVAK" */
#define FOVEA_MAX_RANK 32

enum fovea_descriptor_header {
  FOVEA_D_MAGIC,
  FOVEA_D_ABI,             /* FOVEA_ABI_VERSION */
  FOVEA_D_SIZE,            /* words in the whole descriptor */
  FOVEA_D_NAME,            /* string: the kernel's name */
  FOVEA_D_PARAMETERS,      /* how many */
  FOVEA_D_RESULTS,         /* how many */
  FOVEA_D_ARGUMENTS_AT,
  FOVEA_D_INDICES,         /* how many */
  FOVEA_D_INDICES_AT,
  FOVEA_D_DEFINED,         /* how many */
  FOVEA_D_DEFINED_AT,
  FOVEA_D_CHECKS,          /* how many */
  FOVEA_D_CHECKS_AT,
  FOVEA_D_FRAME,           /* 64-bit words that the memref descriptors of all tensor arguments take together */
  FOVEA_D_DEVICE,          /* a DLDeviceType: kDLCPU, or the GPU's that the kernel runs on */
  FOVEA_D_WORDS
};

enum fovea_descriptor_argument {
  FOVEA_A_RANK,            /* -1: a scalar */
  FOVEA_A_TYPE,            /* enum fovea_type */
  FOVEA_A_FLAGS,           /* FOVEA_FLAG_* */
  FOVEA_A_NAME,            /* string */
  FOVEA_A_AXES_AT,
  FOVEA_A_WORDS
};

enum fovea_type { FOVEA_F32, FOVEA_F16, FOVEA_BF16, FOVEA_I32, FOVEA_I8, FOVEA_U8, FOVEA_BOOL };  /* = core::Type */
enum { FOVEA_FLAG_SORTED = 1 };

enum fovea_descriptor_index {
  FOVEA_I_NAME,            /* string */
  FOVEA_I_CLASS,           /* indices of one class have equal extents: the number of the first of them */
  FOVEA_I_PROGRAM_AT,      /* -1: the extent comes from the tensors */
  FOVEA_I_TEXT,            /* string: the program as text, `4 * g` */
  FOVEA_I_FIXED,           /* 64 bits */
  FOVEA_I_FIXED_HIGH,
  FOVEA_I_BOUND,           /* 64 bits */
  FOVEA_I_BOUND_HIGH,
  FOVEA_I_CHOICES,         /* how many; 0 where other extents are allowed too */
  FOVEA_I_CHOICES_AT,      /* 64 bits each */
  FOVEA_I_WORDS
};

enum fovea_descriptor_check {
  FOVEA_C_PROGRAM_AT,      /* nonzero: holds */
  FOVEA_C_TEXT,            /* string: as written */
  FOVEA_C_WORDS
};

/* A program: the number of its instructions, then FOVEA_P_WORDS words each. Instruction k computes value k; x, y, z are
 * numbers of earlier values unless said otherwise; the last value is the program's. Integers are exact in 64 bits and remember
 * whether they ever left 32 or 64; truth values are integers 0 and 1; floats are f32. */
enum { FOVEA_P_OP, FOVEA_P_X, FOVEA_P_Y, FOVEA_P_Z, FOVEA_P_WORDS };

enum fovea_program_op {
  FOVEA_OP_CONST_I,        /* x: the value */
  FOVEA_OP_CONST_F,        /* x: the bits */
  FOVEA_OP_EXTENT,         /* x: number of an index */
  FOVEA_OP_SCALAR_I,       /* x: number of an argument of an integer type or bool */
  FOVEA_OP_SCALAR_F,       /* x: number of an argument of a float type */
  FOVEA_OP_NEG_I, FOVEA_OP_ADD_I, FOVEA_OP_SUB_I, FOVEA_OP_MUL_I, FOVEA_OP_DIV_I, FOVEA_OP_MOD_I,
  FOVEA_OP_MIN_I, FOVEA_OP_MAX_I, FOVEA_OP_ABS_I, FOVEA_OP_SIGN_I, FOVEA_OP_RELU_I,
  FOVEA_OP_LT_I, FOVEA_OP_LE_I, FOVEA_OP_EQ_I,
  FOVEA_OP_NEG_F, FOVEA_OP_ADD_F, FOVEA_OP_SUB_F, FOVEA_OP_MUL_F, FOVEA_OP_DIV_F, FOVEA_OP_MOD_F,
  FOVEA_OP_MIN_F, FOVEA_OP_MAX_F, FOVEA_OP_ABS_F, FOVEA_OP_SIGN_F, FOVEA_OP_RELU_F,
  FOVEA_OP_LEAKY_RELU_F, FOVEA_OP_SQRT_F, FOVEA_OP_RSQRT_F, FOVEA_OP_FLOOR_F, FOVEA_OP_CEIL_F, FOVEA_OP_ROUND_F,
  FOVEA_OP_LT_F, FOVEA_OP_LE_F, FOVEA_OP_EQ_F,
  FOVEA_OP_NOT, FOVEA_OP_AND, FOVEA_OP_OR,
  FOVEA_OP_SELECT,         /* x ? y : z */
  FOVEA_OP_TO_F, FOVEA_OP_TO_I
};

#endif /* FOVEA_RUNTIME_KERNEL_DESCRIPTOR_H */
