/* Sets lights and materials in all the ways that there are, and says what OpenGL answers when it is asked for them, a line an answer; says
 * "asked" last, and stays. Built by the tests with cc, without headers of OpenGL or X, which need not be installed. */

#include <stdio.h>
#include <unistd.h>

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
XVisualInfo *glXChooseVisual(Display *, int, int *);
void *glXCreateContext(Display *, XVisualInfo *, void *, int);
int glXMakeCurrent(Display *, unsigned long, void *), XMapWindow(Display *, unsigned long), XSync(Display *, int);
void glXSwapBuffers(Display *, unsigned long);
void glEnable(unsigned), glDisable(unsigned), glMatrixMode(unsigned), glLoadIdentity(void), glFinish(void);
void glTranslatef(float, float, float), glRotatef(float, float, float, float), glScalef(float, float, float);
void glPushAttrib(unsigned), glPopAttrib(void), glNewList(unsigned, unsigned), glEndList(void), glCallList(unsigned);
void glColor4f(float, float, float, float), glColorMaterial(unsigned, unsigned);
void glLightf(unsigned, unsigned, float), glLighti(unsigned, unsigned, int), glLightfv(unsigned, unsigned, const float *);
void glLightiv(unsigned, unsigned, const int *), glMaterialf(unsigned, unsigned, float);
void glMaterialfv(unsigned, unsigned, const float *), glMaterialiv(unsigned, unsigned, const int *);
void glGetLightfv(unsigned, unsigned, float *), glGetMaterialfv(unsigned, unsigned, float *);
unsigned glGetError(void);

static void say(unsigned whose, unsigned name, const float *is) {
  printf("%x %x: %.9g %.9g %.9g %.9g\n", whose, name, is[0], is[1], is[2], is[3]);
}

static void all(const char *when) {
  const unsigned of_materials[] = {0x1200, 0x1201, 0x1202, 0x1600, 0x1601, 0x1603};
  puts(when);
  for (unsigned light = 0x4000; light < 0x4003; light++)
    for (unsigned name = 0x1200; name < 0x120A; name++) {
      float is[4] = {-7, -7, -7, -7};
      glGetLightfv(light, name, is);
      say(light, name, is);
    }
  for (unsigned face = 0x0404; face < 0x0406; face++)
    for (unsigned i = 0; i < sizeof of_materials / sizeof *of_materials; i++) {
      float is[4] = {-7, -7, -7, -7};
      glGetMaterialfv(face, of_materials[i], is);
      say(face, of_materials[i], is);
    }
}

int main(void) {
  const float place[4] = {3, -4, 5, 1}, whither[4] = {0, 1, 2, 0}, red[4] = {0.9f, 0.2f, 0.1f, 1}, blue[4] = {0, 0.1f, 1.5f, 0.5f};
  const int full[4] = {2147483647, 0, -2147483647, 2147483647}, there[4] = {1, 2, 3, 0}, indexes[4] = {1, 2, 3, 0};
  int wanted[] = {4, 5, 8, 8, 9, 8, 10, 8, 12, 24, 0}; /* RGBA, two buffers, 8 bits a colour, depth */
  Display *display = XOpenDisplay(NULL);
  XVisualInfo *visual = display ? glXChooseVisual(display, 0, wanted) : NULL;
  if (!visual) return 1;
  XSetWindowAttributes looks = {0};
  looks.colormap = XCreateColormap(display, XDefaultRootWindow(display), visual->visual, 0);
  unsigned long window = XCreateWindow(display, XDefaultRootWindow(display), 0, 0, 64, 48, 0, visual->depth, 1, visual->visual,
                                       1 << 3 | 1 << 13, &looks);
  void *context = glXCreateContext(display, visual, NULL, 1);
  XMapWindow(display, window);
  XSync(display, 0);
  if (!context || !glXMakeCurrent(display, window, context)) return 2;

  all("at first");
  glMatrixMode(0x1700);
  glTranslatef(1, 2, -3), glRotatef(30, 0, 1, 0), glScalef(2, 1, 1);
  glLightfv(0x4000, 0x1203, place), glLightfv(0x4001, 0x1204, whither), glLightiv(0x4002, 0x1203, there);
  glLoadIdentity();
  glLightfv(0x4000, 0x1201, blue), glLightiv(0x4001, 0x1202, full), glLighti(0x4001, 0x1205, 17);
  glLightf(0x4001, 0x1206, 45), glLightf(0x4002, 0x1208, 0.25f), glLightf(0x4002, 0x1207, 2);
  glMaterialfv(0x0404, 0x1200, red), glMaterialfv(0x0408, 0x1602, blue), glMaterialfv(0x0405, 0x1201, red);
  glMaterialf(0x0408, 0x1601, 33), glMaterialf(0x0405, 0x1601, 5), glMaterialiv(0x0404, 0x1202, full);
  glMaterialiv(0x0404, 0x1603, indexes);
  all("set");
  glNewList(1, 0x1300);
  glLightfv(0x4002, 0x1201, red), glMaterialfv(0x0404, 0x1600, blue), glTranslatef(0, 0, 9), glLightfv(0x4001, 0x1203, place);
  glEndList();
  all("a list is made");
  glPushAttrib(0x40);
  glCallList(1);
  all("and called");
  glPopAttrib();
  all("and what it did is taken back, but for the matrix");
  glLightfv(0x4001, 0x1203, place);
  all("which places another light");
  glColorMaterial(0x0408, 0x1201), glColor4f(0.5f, 0.25f, 0, 1), glEnable(0x0B57);
  glColor4f(0.75f, 0.5f, 0.25f, 1), glColorMaterial(0x0404, 0x1202), glColor4f(0, 1, 0, 1), glDisable(0x0B57);
  glColor4f(1, 1, 1, 1);
  all("materials that followed a colour");
  if (glGetError()) return 5;
  glXSwapBuffers(display, window);
  glFinish();
  puts("asked");
  fflush(stdout);
  for (;;) pause();
}
