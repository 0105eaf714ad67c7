/* A window of X's with a context of GLX's that is current, for programs that draw: what of X and GLX all of them need is declared here,
 * for the headers of OpenGL and X need not be installed. Whoever includes this declares what it draws with. Where there is no screen
 * that can be drawn on the program ends with 1, without a context with 2. */

#include <stddef.h>
#include <stdlib.h>

typedef struct Display Display;
typedef struct { void *visual; unsigned long id; int screen, depth, class; unsigned long r, g, b; int map, bits; } XVisualInfo;
typedef struct {
  unsigned long background_pixmap, background_pixel, border_pixmap, border_pixel;
  int bit_gravity, win_gravity, backing_store;
  unsigned long backing_planes, backing_pixel;
  int save_under;
  long event_mask, do_not_propagate_mask;
  int override_redirect;
  unsigned long colormap, cursor;
} XSetWindowAttributes;

Display *XOpenDisplay(const char *);
unsigned long XDefaultRootWindow(Display *), XCreateColormap(Display *, unsigned long, void *, int);
unsigned long XCreateWindow(Display *, unsigned long, int, int, unsigned, unsigned, unsigned, int, unsigned, void *,
                            unsigned long, XSetWindowAttributes *);
int XMapWindow(Display *, unsigned long), XSync(Display *, int);
XVisualInfo *glXChooseVisual(Display *, int, int *), *glXGetVisualFromFBConfig(Display *, void *);
void **glXChooseFBConfig(Display *, int, const int *, int *);
void *glXCreateContext(Display *, XVisualInfo *, void *, int), *glXCreateNewContext(Display *, void *, int, void *, int);
void *glXCreateContextAttribsARB(Display *, void *, void *, int, const int *);
int glXMakeCurrent(Display *, unsigned long, void *);
void glXSwapBuffers(Display *, unsigned long);

typedef struct { int x, y; unsigned width, height; } Place;
typedef struct { Display *display; void *config, *context; unsigned long window; } Opened;

/* A window that no window manager touches: it is where it was put. */
static inline unsigned long window_at(Display *display, const XVisualInfo *visual, Place at) {
  const unsigned long root = XDefaultRootWindow(display);
  XSetWindowAttributes looks = {0};
  looks.colormap = XCreateColormap(display, root, visual->visual, 0);
  looks.override_redirect = 1;
  return XCreateWindow(display, root, at.x, at.y, at.width, at.height, 0, visual->depth, 1, visual->visual,
                       1 << 3 | 1 << 9 | 1 << 13, &looks); /* border pixel, override redirect, colormap */
}

static inline Opened shown(Opened opened) {
  XMapWindow(opened.display, opened.window);
  XSync(opened.display, 0);
  if (!opened.context || !glXMakeCurrent(opened.display, opened.window, opened.context)) exit(2);
  return opened;
}

/* As old programs open it, by a visual: RGBA, two buffers, 8 bits a colour, depth. */
static inline Opened open_by_visual(Place at) {
  int wanted[] = {4, 5, 8, 8, 9, 8, 10, 8, 12, 24, 0};
  Opened opened = {XOpenDisplay(NULL), NULL, NULL, 0};
  XVisualInfo *visual = opened.display ? glXChooseVisual(opened.display, 0, wanted) : NULL;
  if (!visual) exit(1);
  opened.window = window_at(opened.display, visual, at);
  opened.context = glXCreateContext(opened.display, visual, NULL, 1);
  return shown(opened);
}

/* As newer ones do, by a configuration that has what is wanted; the context is of the version that is named, if one is. */
static inline Opened open_by_config(const int *wanted, const int *version, Place at) {
  int found = 0;
  Opened opened = {XOpenDisplay(NULL), NULL, NULL, 0};
  void **configs = opened.display ? glXChooseFBConfig(opened.display, 0, wanted, &found) : NULL;
  if (!found) exit(1);
  opened.config = configs[0];
  opened.window = window_at(opened.display, glXGetVisualFromFBConfig(opened.display, opened.config), at);
  opened.context = version ? glXCreateContextAttribsARB(opened.display, opened.config, NULL, 1, version)
                           : glXCreateNewContext(opened.display, opened.config, 0x8014, NULL, 1);
  return shown(opened);
}
