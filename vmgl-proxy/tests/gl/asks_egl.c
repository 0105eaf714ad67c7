/* Asks EGL what libglvnd answers where it is, and draws by functions of OpenGL ES that it is linked with. Says "asked" where all is
 * as EGL has it, else what is not. Declares what it uses: no headers of OpenGL are needed. */

#include <stdio.h>
#include <string.h>

void *XOpenDisplay(const char *);
void *eglGetDisplay(void *), *eglGetPlatformDisplay(unsigned, void *, const long *);
void *eglGetCurrentContext(void), *eglGetCurrentDisplay(void), *eglGetCurrentSurface(int);
void *eglCreateContext(void *, void *, void *, const int *), *eglCreatePbufferSurface(void *, void *, const int *);
void *eglCreateSync(void *, unsigned, const long *), *eglCreateImage(void *, void *, unsigned, void *, const long *);
const char *eglQueryString(void *, int);
unsigned eglInitialize(void *, int *, int *), eglBindAPI(unsigned), eglQueryAPI(void), eglReleaseThread(void);
unsigned eglChooseConfig(void *, const int *, void **, int, int *), eglMakeCurrent(void *, void *, void *, void *);
unsigned eglDestroyImage(void *, void *), eglDestroySync(void *, void *);
int eglGetError(void);
void (*eglGetProcAddress(const char *))(void);
void glClearColor(float, float, float, float), glClear(unsigned);
void glReadPixels(int, int, int, int, unsigned, unsigned, void *);
unsigned glGetError(void);
/* Another name of a function; and one that is not there. */
void glActiveTextureARB(unsigned), glDispatchCompute(unsigned, unsigned, unsigned);

#define MUST(it) do { if (!(it)) { printf("line %d: %s\n", __LINE__, #it); return 1; } } while (0)
enum { BAD_ATTRIBUTE = 0x3004, BAD_DISPLAY = 0x3008, BAD_PARAMETER = 0x300C, ES = 0x30A0, OPENVG = 0x30A1, X11 = 0x31D5 };

static int without_a_display(void) {
  static long others[16];
  const char *client = eglQueryString(NULL, 0x3055);
  MUST(client && strstr(client, "EGL_EXT_platform_x11"));
  MUST(!eglQueryString(NULL, 0x3053) && eglGetError() == BAD_DISPLAY);
  MUST(!eglGetDisplay(others) && !eglGetDisplay((void *)16));
  MUST(!eglGetPlatformDisplay(0x31DD, NULL, NULL) && eglGetError() == BAD_PARAMETER);
  MUST(!eglGetCurrentContext() && !eglGetCurrentDisplay());
  MUST(eglQueryAPI() == ES && !eglBindAPI(OPENVG) && eglGetError() == BAD_PARAMETER && eglBindAPI(ES));
  return 0;
}

static int with(void *display, void *surface, void *context) {
  unsigned (*found)(void *, void *, void *, void *) = NULL;
  void (*address)(void) = eglGetProcAddress("eglMakeCurrent");
  unsigned char pixel[4] = {0};
  memcpy(&found, &address, sizeof found);
  for (int i = 0; i < 2; i++) {
    unsigned (*make)(void *, void *, void *, void *) = i ? found : eglMakeCurrent;
    MUST(make(display, surface, surface, context) && eglGetCurrentContext() == context);
    MUST(eglGetCurrentDisplay() == display);
    MUST(eglGetCurrentSurface(0x3059) == surface && eglGetCurrentSurface(0x305A) == surface);
    glClearColor(1, (float)i, 1, 1), glClear(0x4000);
    glReadPixels(3, 3, 1, 1, 0x1908, 0x1401, pixel);
    MUST(!glGetError() && pixel[0] == 255 && pixel[1] == 255 * i && pixel[2] == 255);
    MUST(make(display, NULL, NULL, NULL) && !eglGetCurrentContext() && !eglGetCurrentSurface(0x3059));
  }
  MUST(eglMakeCurrent(display, surface, surface, context));
  glActiveTextureARB(0x84C0);
  MUST(!glGetError());
  glDispatchCompute(1, 1, 1);
  MUST(glGetError() == 0x0502);
  MUST(eglReleaseThread() && !eglGetCurrentContext() && eglQueryAPI() == ES);
  return 0;
}

int main(void) {
  const int wanted[] = {0x3033, 1, 0x3040, 4, 0x3024, 8, 0x3038}, size[] = {0x3057, 16, 0x3056, 16, 0x3038};
  const int version[] = {0x3098, 2, 0x3038};
  void *config = NULL;
  int major = 0, minor = 0, some = 0;
  if (without_a_display()) return 1;
  void *native = XOpenDisplay(NULL), *display = native ? eglGetPlatformDisplay(X11, native, NULL) : NULL;
  MUST(display && display == eglGetDisplay(native));
  MUST(eglInitialize(display, &major, &minor) && major == 1 && minor >= 4);
  MUST(eglChooseConfig(display, wanted, &config, 1, &some) && some == 1);
  void *context = eglCreateContext(display, config, NULL, version);
  void *surface = eglCreatePbufferSurface(display, config, size);
  MUST(context && surface);
  if (with(display, surface, context)) return 1;
  MUST(!eglCreateSync(display, 0x30F9, NULL) && eglGetError() == BAD_ATTRIBUTE);
  MUST(!eglDestroySync(display, native) && eglGetError() == BAD_PARAMETER);
  MUST(!eglCreateImage(display, NULL, 0x30B1, NULL, NULL) && eglGetError() == BAD_PARAMETER);
  MUST(!eglDestroyImage(display, native) && eglGetError() == BAD_PARAMETER);
  puts("asked");
  return 0;
}
