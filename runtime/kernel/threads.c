/* Parallel loops. One pool a copy of the runtime, started by the first loop that wants it; one loop at a time has it, and a
 * loop that finds it taken runs on its caller alone. An idle worker spins for a moment, then sleeps.
 *
 * A worker joins a loop by counting itself into pool.state while the loop is open; the caller closes the loop and waits for
 * the count to fall to 0, so that no worker sees a loop's fields change. */
#define _GNU_SOURCE
#include "runtime/kernel/internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define PUBLIC __attribute__((weak, visibility("default")))

enum {
  MOST_THREADS = 1024,
  SPIN_CYCLES = 40000,            /* about 15 us: longer than what lies between two loops of a kernel */
  STACK_BYTES = 8 << 20,
  OPEN = 1 << 30, WAITING = 1 << 29, PARTICIPANTS = (1 << 29) - 1
};

static struct {
  atomic_int busy;                /* a loop has the pool */
  _Alignas(64) atomic_int epoch;  /* counts loops: a worker that sees it change tries to join */
  atomic_int sleepers;
  atomic_int leave;
  _Alignas(64) atomic_int state;  /* OPEN, WAITING (the caller sleeps), number of workers inside */
  atomic_int most;                /* workers that may join */
  _Alignas(64) atomic_llong next; /* first index that nobody has */
  /* The loop; constant while it is open. */
  void (*body)(int64_t, void *);
  void *context;
  int64_t count;
  int32_t threads;
  atomic_llong wanted;            /* bytes that one body could not get; 0: none failed */
  /* The workers; changed only by who holds `busy`. */
  int workers;
  atomic_int ready;
  pthread_t handles[MOST_THREADS];
  _Atomic(atomic_int *) owner;    /* the process that started them; 0 in its children, if `wiped`; NULL: none were started */
  int wiped;
} pool;

static int64_t cycles(void) {
#if defined(__x86_64__)
  return (int64_t)__rdtsc();
#else
  static atomic_llong ticks;
  return atomic_fetch_add_explicit(&ticks, 64, memory_order_relaxed);
#endif
}

static void pause_briefly(void) {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

static void sleep_while(atomic_int *word, int value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake(atomic_int *word, int count) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0); }

/* The number of threads. */

static int default_threads(void) {
  const char *text = getenv("FOVEA_THREADS");
  if (text && *text) {
    char *end;
    long n = strtol(text, &end, 10);
    if (!*end && n > 0)
      return n < MOST_THREADS ? (int)n : MOST_THREADS;
  }
  unsigned long mask[MOST_THREADS * 8 / (8 * sizeof(unsigned long))];  /* room for 8192 CPUs */
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  int n = 0;
  for (long k = 0; k < bytes / (long)sizeof *mask; ++k)
    for (unsigned long left = mask[k]; left; left &= left - 1)
      ++n;
  return n < 1 ? 1 : n < MOST_THREADS ? n : MOST_THREADS;
}

PUBLIC int fovea_set_threads(int n) {
  static atomic_int threads;   /* 0: not known yet */
  if (n > 0)
    atomic_store(&threads, n < MOST_THREADS ? n : MOST_THREADS);
  else if (n == 0 || !atomic_load_explicit(&threads, memory_order_relaxed))
    atomic_store(&threads, default_threads());
  return atomic_load_explicit(&threads, memory_order_relaxed);
}

/* Out of memory. */

void fovea_escape(int64_t wanted) {
  struct fovea_thread *thread = &fovea_this_thread;
  if (!thread->escape)
    return;
  thread->wanted = wanted > 0 ? wanted : INT64_MAX;
  longjmp(*thread->escape, 1);
}

/* Running a loop. */

static void run_index(void (*body)(int64_t, void *), void *context, int64_t index) {
  int64_t mark = fovea_arena_mark();
  body(index, context);
  fovea_arena_release(mark);
}

/* Takes indices until none are left: many at first, one at a time at the end. */
static void take_indices(void) {
  int64_t count = pool.count, share = 4 * (int64_t)pool.threads;
  int64_t begin = atomic_load_explicit(&pool.next, memory_order_relaxed);
  while (begin < count) {
    int64_t taken = (count - begin) / share;
    int64_t end = begin + (taken > 1 ? taken : 1);
    if (!atomic_compare_exchange_weak_explicit(&pool.next, &begin, end, memory_order_relaxed, memory_order_relaxed))
      continue;
    for (int64_t index = begin; index < end; ++index) {
      run_index(pool.body, pool.context, index);
      if (atomic_load_explicit(&pool.wanted, memory_order_relaxed))
        return;
    }
    begin = atomic_load_explicit(&pool.next, memory_order_relaxed);
  }
}

/* Takes part in the open loop. A body that runs out of memory ends here, and no more indices are handed out. */
static void take_part(void) {
  struct fovea_thread *const thread = &fovea_this_thread;
  jmp_buf escape, *const outer = thread->escape;
  const int64_t mark = fovea_arena_mark();
  thread->inside = 1;
  thread->escape = &escape;
  if (_setjmp(escape) == 0) {
    take_indices();
  } else {
    long long none = 0;
    atomic_compare_exchange_strong(&pool.wanted, &none, thread->wanted);
    atomic_store(&pool.next, pool.count);
    fovea_arena_release(mark);
  }
  thread->escape = outer;
  thread->inside = 0;
}

static void wait_for_epoch(int seen) {
  for (int64_t start = cycles(); cycles() - start < SPIN_CYCLES; pause_briefly())
    if (atomic_load_explicit(&pool.epoch, memory_order_acquire) != seen)
      return;
  atomic_fetch_add(&pool.sleepers, 1);
  while (atomic_load(&pool.epoch) == seen)
    sleep_while(&pool.epoch, seen);
  atomic_fetch_sub(&pool.sleepers, 1);
}

static int join(void) {
  int state = atomic_load_explicit(&pool.state, memory_order_relaxed);
  while (state & OPEN && (state & PARTICIPANTS) < atomic_load_explicit(&pool.most, memory_order_relaxed))
    if (atomic_compare_exchange_weak_explicit(&pool.state, &state, state + 1, memory_order_acquire, memory_order_relaxed))
      return 1;
  return 0;
}

static void *work(void *seen_at_start) {
  int seen = (int)(intptr_t)seen_at_start;
#if defined(__x86_64__)
  _mm_setcsr(0x1F80);             /* IEEE, whatever the caller of the first loop had */
#endif
  fovea_this_thread.inside = 0;   /* touches this thread's variables now, not while a library is being unloaded */
  atomic_fetch_add(&pool.ready, 1);
  wake(&pool.ready, INT_MAX);
  for (;;) {
    wait_for_epoch(seen);
    seen = atomic_load(&pool.epoch);
    if (atomic_load(&pool.leave))
      return NULL;
    if (!join())
      continue;
    take_part();
    if (atomic_fetch_sub_explicit(&pool.state, 1, memory_order_release) - 1 == WAITING)
      wake(&pool.state, 1);
  }
}

/* After a fork the child has one thread alone: the workers are not its own, and a loop that was running will never end. A page
 * that the system empties at a fork tells, at the price of a load; pthread_atfork would need a start file of the linker's. */

static void forget_workers(void) {
  pool.workers = 0;
  atomic_store(&pool.ready, 0);
  atomic_store(&pool.sleepers, 0);
  atomic_store(&pool.state, 0);
  atomic_store(&pool.busy, 0);
}

static void note_owner(void) {
  if (atomic_load(&pool.owner))
    return;
  static atomic_int here;
  atomic_int *owner = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (owner == MAP_FAILED)
    owner = &here;
  pool.wiped = owner != &here && madvise(owner, 4096, MADV_WIPEONFORK) == 0;
  atomic_store(owner, getpid());
  atomic_store_explicit(&pool.owner, owner, memory_order_release);
}

/* Makes the pool this process's. False while another thread does just that. */
static int own_pool(void) {
  atomic_int *owner = atomic_load_explicit(&pool.owner, memory_order_acquire);
  if (!owner)
    return 1;
  int process = atomic_load_explicit(owner, memory_order_acquire);
  if (process > 0 && (pool.wiped || process == getpid()))
    return 1;
  if (process < 0 || !atomic_compare_exchange_strong(owner, &process, -1))
    return 0;
  forget_workers();
  atomic_store_explicit(owner, getpid(), memory_order_release);
  return 1;
}

static void start_workers(int wanted) {
  note_owner();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);   /* signals are the program's own threads' */
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  void *seen = (void *)(intptr_t)atomic_load(&pool.epoch);
  while (pool.workers < wanted && pthread_create(&pool.handles[pool.workers], &attributes, work, seen) == 0)
    ++pool.workers;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  for (int ready; (ready = atomic_load(&pool.ready)) < pool.workers;)
    sleep_while(&pool.ready, ready);
}

/* At the program's end, and when the library that holds this copy is unloaded. */
__attribute__((destructor)) static void stop_workers(void) {
  own_pool();
  atomic_store(&pool.leave, 1);
  atomic_fetch_add(&pool.epoch, 1);
  wake(&pool.epoch, INT_MAX);
  for (int k = 0; k < pool.workers; ++k)
    pthread_join(pool.handles[k], NULL);
  pool.workers = 0;
  fovea_arena_forget_threads();
}

static void wait_for_participants(void) {
  int state = atomic_fetch_and(&pool.state, ~OPEN) & ~OPEN;
  for (int64_t start = cycles(); state & PARTICIPANTS && cycles() - start < SPIN_CYCLES; pause_briefly())
    state = atomic_load_explicit(&pool.state, memory_order_acquire);
  if (state & PARTICIPANTS) {
    state = atomic_fetch_or(&pool.state, WAITING) | WAITING;
    while (state & PARTICIPANTS) {
      sleep_while(&pool.state, state);
      state = atomic_load_explicit(&pool.state, memory_order_acquire);
    }
  }
  atomic_store(&pool.state, 0);
}

static void run_with_pool(void (*body)(int64_t, void *), void *context, int64_t count, int threads) {
  int helpers = count - 1 < threads - 1 ? (int)(count - 1) : threads - 1;
  if (pool.workers < helpers)
    start_workers(threads - 1);
  pool.body = body;
  pool.context = context;
  pool.count = count;
  pool.threads = threads;
  atomic_store_explicit(&pool.wanted, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
  atomic_store_explicit(&pool.most, helpers, memory_order_relaxed);
  atomic_store_explicit(&pool.state, OPEN, memory_order_release);
  atomic_fetch_add(&pool.epoch, 1);
  if (atomic_load(&pool.sleepers))
    wake(&pool.epoch, helpers);
  take_part();
  wait_for_participants();
}

void fovea_parallel_for(void (*body)(int64_t, void *), void *context, int64_t count) {
  if (count <= 0)
    return;
  int threads = count > 1 && !fovea_this_thread.inside ? fovea_set_threads(-1) : 1;
  int no = 0;
  if (threads <= 1 || atomic_load_explicit(&pool.leave, memory_order_relaxed) || !own_pool() ||
      !atomic_compare_exchange_strong(&pool.busy, &no, 1)) {
    for (int64_t index = 0; index < count; ++index)
      run_index(body, context, index);
    return;
  }
  run_with_pool(body, context, count, threads);
  int64_t wanted = atomic_load(&pool.wanted);
  atomic_store_explicit(&pool.busy, 0, memory_order_release);
  if (wanted)
    fovea_escape(wanted);
}
