/* Preloaded into programs of which one picture is compared with another run's: their clock goes by the pictures that they
 * have completed, their dice fall the same way each time, and before picture STILL_PICTURE + 1 is shown they stand still and
 * say so by making the file STILL_TOLD. Nobody else in the process (OpenGL's libraries, Xlib, the C library) sees another
 * clock than the real one. Whoever waits for the clock without showing a picture gets time after a while. A program may be linked
 * with the functions that show pictures, or look them up by itself in a library that it opens. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PICTURE_NS = 16666667, PATIENCE = 20000, STEP_NS = 1000000 };

static uint64_t pictures, asked, waited_ns, inside;

/* The program itself, and the libraries that tell it the time. */
static int is_program(void *caller) {
  static void *program;
  static const char *const clocks[] = {"libSDL2", "libsfml", "libglut"};
  Dl_info it, self;
  if (!program && dladdr((void *)getauxval(AT_ENTRY), &self)) program = self.dli_fbase;
  if (!dladdr(caller, &it) || !it.dli_fname) return 0;
  if (it.dli_fbase == program) return 1;
  for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++)
    if (strstr(it.dli_fname, clocks[i])) return 1;
  return 0;
}

static uint64_t now_ns(void) {
  if (++asked > PATIENCE) waited_ns += STEP_NS;
  return UINT64_C(1700000000000000000) + pictures * PICTURE_NS + waited_ns;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int is_time = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
                clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
  if (!is_time || !is_program(__builtin_return_address(0))) return (int)syscall(SYS_clock_gettime, clock, at);
  uint64_t ns = now_ns();
  at->tv_sec = (time_t)(ns / 1000000000);
  at->tv_nsec = (long)(ns % 1000000000);
  return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  if (!is_program(__builtin_return_address(0))) return (int)syscall(SYS_gettimeofday, at, zone);
  uint64_t ns = now_ns();
  at->tv_sec = (time_t)(ns / 1000000000);
  at->tv_usec = (suseconds_t)(ns % 1000000000 / 1000);
  return 0;
}

time_t time(time_t *at) {
  struct timespec real;
  time_t seconds;
  if (is_program(__builtin_return_address(0))) {
    seconds = (time_t)(now_ns() / 1000000000);
  } else {
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    seconds = real.tv_sec;
  }
  if (at) *at = seconds;
  return seconds;
}

pid_t getpid(void) {
  return is_program(__builtin_return_address(0)) ? 4711 : (pid_t)syscall(SYS_getpid);
}

/* Another picture is about to be shown. */
static void before(void) {
  const char *wanted = getenv("STILL_PICTURE"), *told = getenv("STILL_TOLD");
  if (inside || !wanted || !told || pictures < strtoull(wanted, NULL, 10)) return;
  close(open(told, O_CREAT | O_WRONLY, 0600));
  for (;;) pause();
}

static void behind(void) {
  pictures += !inside;
  asked = 0;
}

/* What a program has looked up. */
static void *(*look_up)(void *, const char *), *(*glx_get)(const char *), *(*egl_get)(const char *);
static void *glx_swap, *egl_swap;

void glXSwapBuffers(void *display, unsigned long drawable) {
  void (*swap)(void *, unsigned long) = glx_swap ? glx_swap : dlsym(RTLD_NEXT, "glXSwapBuffers");
  before(), inside++, swap(display, drawable), inside--, behind();
}

unsigned eglSwapBuffers(void *display, void *surface) {
  unsigned (*swap)(void *, void *) = egl_swap ? egl_swap : dlsym(RTLD_NEXT, "eglSwapBuffers");
  before(), inside++;
  unsigned done = swap(display, surface);
  inside--, behind();
  return done;
}

void SDL_GL_SwapWindow(void *window) {
  void (*swap)(void *) = dlsym(RTLD_NEXT, "SDL_GL_SwapWindow");
  before(), inside++, swap(window), inside--, behind();
}

static void *instead(const char *name, void *it);

static void *from_glx(const char *name) { return instead(name, glx_get(name)); }

static void *from_egl(const char *name) { return instead(name, egl_get(name)); }

/* What a program gets that has looked for this name and would have found that. */
static void *instead(const char *name, void *it) {
  if (!it) return it;
  if (!strcmp(name, "glXSwapBuffers")) return glx_swap = it, (void *)glXSwapBuffers;
  if (!strcmp(name, "eglSwapBuffers")) return egl_swap = it, (void *)eglSwapBuffers;
  if (!strcmp(name, "glXGetProcAddress") || !strcmp(name, "glXGetProcAddressARB")) return glx_get = it, (void *)from_glx;
  if (!strcmp(name, "eglGetProcAddress")) return egl_get = it, (void *)from_egl;
  return it;
}

/* The last call must be a jump (-O2): for RTLD_NEXT it counts who has called. */
void *dlsym(void *restrict handle, const char *restrict name) {
  if (!look_up) look_up = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
  if (is_program(__builtin_return_address(0))) return instead(name, look_up(handle, name));
  return look_up(handle, name);
}
