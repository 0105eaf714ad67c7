/* Draws on pixmaps of X's with OpenGL through GLX, without a window, and says what X then has of them: for each word that it reads it
 * draws, waits in one way or another, and writes X's picture as a portable pixmap. Its argument says how the pixmap became GLX's: "config",
 * by a configuration, or "visual", as old programs do. Built by the tests with cc, without headers of OpenGL or X, which need not be installed. */

#include <stdio.h>
#include <string.h>

#include "window.h"

typedef struct { int width, height, xoffset, format; char *data; } XImage; /* its beginning */
XImage *XGetImage(Display *, unsigned long, int, int, unsigned, unsigned, unsigned long, int);
unsigned long XCreatePixmap(Display *, unsigned long, unsigned, unsigned, unsigned), XGetPixel(XImage *, int, int);
int XCopyArea(Display *, unsigned long, unsigned long, void *, int, int, unsigned, unsigned, int, int);
void *XCreateGC(Display *, unsigned long, unsigned long, void *);
int XFillRectangle(Display *, unsigned long, void *, int, int, unsigned, unsigned);
unsigned long glXCreatePixmap(Display *, void *, unsigned long, const int *), glXCreateGLXPixmap(Display *, XVisualInfo *, unsigned long);
void glXDestroyPixmap(Display *, unsigned long), glXDestroyGLXPixmap(Display *, unsigned long), glXWaitGL(void);
void glXQueryDrawable(Display *, unsigned long, int, unsigned *);

void glBegin(unsigned), glEnd(void), glEnable(unsigned), glDisable(unsigned), glClear(unsigned), glFinish(void), glFlush(void);
void glClearColor(float, float, float, float), glColor3f(float, float, float), glVertex3f(float, float, float);
void glScissor(int, int, int, int), glDrawBuffer(unsigned);
unsigned glGetError(void);

enum { W = 301, H = 200 };

static Display *display;
static unsigned long pixmaps[2], drawables[2], drawn_on[1000];

/* Triangles that cut each other, so that depth is seen, and no two rows alike. */
static void triangles(float turn) {
  glEnable(0x0B71);
  for (int i = 0; i < 3; i++) {
    const float at = (float)i * 0.3f - 0.4f;
    glBegin(4);
    glColor3f(1, (float)i / 3, turn), glVertex3f(at - 0.5f, -0.8f, -0.5f);
    glColor3f(0, 1 - turn, (float)i / 3), glVertex3f(at + 0.7f, -0.6f, 0.5f);
    glColor3f(turn, 0, 1), glVertex3f(at, 0.9f, (float)i / 5 - 0.3f);
    glEnd();
  }
}

static void whole(float turn) {
  glDisable(0x0C11);
  glClearColor(0.2f, 0.3f, turn, 1);
  glClear(0x4100);
  triangles(turn);
}

/* Only a corner, over what is there. */
static void corner(float turn) {
  glEnable(0x0C11), glScissor(20, 30, 90, 60);
  glClearColor(1, turn, 0.1f, 1);
  glClear(0x4100);
}

static void say(unsigned long pixmap) {
  XImage *image = XGetImage(display, pixmap, 0, 0, W, H, ~0ul, 2);
  if (!image) exit(6);
  printf("P6\n%d %d\n255\n", W, H);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) {
      const unsigned long pixel = XGetPixel(image, x, y);
      putchar((int)(pixel >> 16 & 255)), putchar((int)(pixel >> 8 & 255)), putchar((int)(pixel & 255));
    }
  fflush(stdout);
}

int main(int count, char **words) {
  int wanted[] = {0x8010, 3, 8, 8, 9, 8, 10, 8, 12, 24, 5, 0, 0}, old[] = {4, 8, 8, 9, 8, 10, 8, 12, 24, 0}, found = 0;
  const int by_config = count > 1 && strcmp(words[1], "visual"), is_double = count > 1 && !strcmp(words[1], "double");
  display = XOpenDisplay(NULL);
  if (!display) return 1;
  wanted[11] = is_double;
  void **configs = glXChooseFBConfig(display, 0, wanted, &found);
  XVisualInfo *visual = by_config ? found ? glXGetVisualFromFBConfig(display, configs[0]) : NULL : glXChooseVisual(display, 0, old);
  if (!visual) return 2;
  void *context = by_config ? glXCreateNewContext(display, configs[0], 0x8014, NULL, 1) : glXCreateContext(display, visual, NULL, 1);
  const unsigned long root = XDefaultRootWindow(display), copy = XCreatePixmap(display, root, W, H, (unsigned)visual->depth);
  void *gc = XCreateGC(display, copy, 0, NULL);
  for (int i = 0; i < 2; i++) {
    pixmaps[i] = XCreatePixmap(display, root, W, H, (unsigned)visual->depth);
    XFillRectangle(display, pixmaps[i], gc, 0, 0, W, H);
    drawables[i] = by_config ? glXCreatePixmap(display, configs[0], pixmaps[i], NULL) : glXCreateGLXPixmap(display, visual, pixmaps[i]);
    if (!drawables[i]) return 3;
  }
  if (!context || !glXMakeCurrent(display, drawables[0], context)) return 4;
  char word[32];
  while (scanf("%31s", word) == 1) {
    if (!strcmp(word, "finish")) whole(0.5f), glFinish(), say(pixmaps[0]);
    else if (!strcmp(word, "corner")) corner(0.7f), glXWaitGL(), say(pixmaps[0]);
    else if (!strcmp(word, "flush")) whole(0.9f), glFlush(), say(pixmaps[0]);
    else if (!strcmp(word, "swap")) whole(0.1f), glXSwapBuffers(display, drawables[0]), say(pixmaps[0]);
    else if (!strcmp(word, "front")) glDrawBuffer(0x0404), whole(0.15f), glFinish(), say(pixmaps[0]);
    else if (!strcmp(word, "unfinished")) corner(0.3f), say(pixmaps[0]);
    else if (!strcmp(word, "again")) glFinish(), say(pixmaps[0]);
    else if (!strcmp(word, "x")) XFillRectangle(display, pixmaps[0], gc, 150, 20, 60, 60), glFinish(), say(pixmaps[0]);
    else if (!strcmp(word, "other")) {
      whole(0.25f);
      if (!glXMakeCurrent(display, drawables[1], context)) return 4;
      say(pixmaps[0]);
      whole(0.6f);
      if (!glXMakeCurrent(display, 0, NULL)) return 4;
      XCopyArea(display, pixmaps[1], copy, gc, 0, 0, W, H, 0, 0);
      say(copy);
      if (!glXMakeCurrent(display, drawables[0], context)) return 4;
    } else if (!strcmp(word, "size")) {
      unsigned size[2] = {0};
      glXQueryDrawable(display, drawables[0], 0x801D, &size[0]), glXQueryDrawable(display, drawables[0], 0x801E, &size[1]);
      printf("%u %u\n", size[0], size[1]), fflush(stdout);
    } else if (!strcmp(word, "bounds")) {
      const unsigned depth = (unsigned)visual->depth;
      const unsigned long small = XCreatePixmap(display, root, 1, 1, depth), large = XCreatePixmap(display, root, 20000, 1, depth);
      const unsigned long mask = XCreatePixmap(display, root, 1, 1, 1);
      printf("%d %d ", !glXCreatePixmap(display, configs[0], large, NULL), !glXCreatePixmap(display, configs[0], mask, NULL));
      int made = 0;
      while (made < 1000 && (drawn_on[made] = glXCreatePixmap(display, configs[0], small, NULL))) made++;
      printf("%d\n", made), fflush(stdout);
      while (made > 0) glXDestroyPixmap(display, drawn_on[--made]);
    }
    if (glGetError()) return 5;
  }
  glXMakeCurrent(display, 0, NULL);
  for (int i = 0; i < 2; i++) by_config ? glXDestroyPixmap(display, drawables[i]) : glXDestroyGLXPixmap(display, drawables[i]);
  return 0;
}
