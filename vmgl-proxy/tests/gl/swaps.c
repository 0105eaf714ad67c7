/* Draws pictures without end, each of another colour, and says so after each. Its arguments: so many sixtieths of a second are
 * at least between two pictures, and so many milliseconds the program takes for each. The interval is told before the window
 * was ever drawn on. Built by the tests with cc, without headers of OpenGL or X. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct Display Display;
Display *XOpenDisplay(const char *);
unsigned long XDefaultRootWindow(Display *), XCreateSimpleWindow(Display *, unsigned long, int, int, unsigned, unsigned, unsigned,
                                                                 unsigned long, unsigned long);
int XMapWindow(Display *, unsigned long), XSync(Display *, int);
void *glXChooseVisual(Display *, int, int *), *glXCreateContext(Display *, void *, void *, int);
int glXMakeCurrent(Display *, unsigned long, void *);
void glXSwapBuffers(Display *, unsigned long);
void (*glXGetProcAddress(const unsigned char *))(void);
void glClear(unsigned), glClearColor(float, float, float, float);

int main(int count, char **words) {
  int wanted[] = {4, 5, 0};
  Display *display = XOpenDisplay(NULL);
  if (!display || count < 3) return 1;
  struct timespec time = {0, atol(words[2]) * 1000000};
  unsigned long window = XCreateSimpleWindow(display, XDefaultRootWindow(display), 0, 0, 64, 48, 0, 0, 0);
  void *context = glXCreateContext(display, glXChooseVisual(display, 0, wanted), NULL, 1);
  XMapWindow(display, window);
  XSync(display, 0);
  void (*interval)(Display *, unsigned long, int) =
      (void (*)(Display *, unsigned long, int))glXGetProcAddress((const unsigned char *)"glXSwapIntervalEXT");
  if (!interval) return 2;
  interval(display, window, atoi(words[1]));
  if (!context || !glXMakeCurrent(display, window, context)) return 3;
  for (int n = 1;; n++) {
    nanosleep(&time, NULL);
    glClearColor((float)(n % 7) / 7, (float)(n % 5) / 5, 0, 1);
    glClear(0x4000);
    glXSwapBuffers(display, window);
  }
}
