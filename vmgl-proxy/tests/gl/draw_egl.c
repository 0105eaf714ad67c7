/* Draws one picture by EGL and waits: OpenGL ES 1 by numbers of 16.16 bits, OpenGL ES 3, OpenGL with several samples a pixel,
 * OpenGL with what a selection and a feedback gave. If its first word is "live", it draws instead the picture of each number
 * that it is told on its standard input, with what it prepared once. Declares what it uses: no headers of OpenGL are needed. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void Display;
typedef struct {
  unsigned long pixmap, pixel, border_pixmap, border;
  int bit_gravity, win_gravity, backing;
  unsigned long planes, backing_pixel;
  int save_under;
  long events, no_propagate;
  int override_redirect;
  unsigned long colormap, cursor;
} XSetWindowAttributes;

Display *XOpenDisplay(const char *);
unsigned long XDefaultRootWindow(Display *);
unsigned long XCreateWindow(Display *, unsigned long, int, int, unsigned, unsigned, unsigned, int, unsigned, void *,
                            unsigned long, XSetWindowAttributes *);
int XMapWindow(Display *, unsigned long), XSync(Display *, int);
void *eglGetDisplay(void *), *eglCreateContext(void *, void *, void *, const int *);
void *eglCreateWindowSurface(void *, void *, unsigned long, const int *);
unsigned eglInitialize(void *, int *, int *), eglBindAPI(unsigned), eglSwapBuffers(void *, void *);
unsigned eglChooseConfig(void *, const int *, void **, int, int *), eglMakeCurrent(void *, void *, void *, void *);
unsigned eglGetConfigAttrib(void *, void *, int, int *);
void (*eglGetProcAddress(const char *))(void);

enum { W = 300, H = 200 };

static void *found(const char *name) {
  union { void (*function)(void); void *address; } it = {eglGetProcAddress(name)};
  if (!it.address) fprintf(stderr, "%s is not there\n", name), exit(9);
  return it.address;
}
#define GL(type, name, ...) ((type)found(name))(__VA_ARGS__)
#define F(x) ((int)((x) * 65536))
typedef void (*V)(void);
typedef void (*U)(unsigned);
typedef void (*UU)(unsigned, unsigned);
typedef void (*I4)(int, int, int, int);
typedef void (*I6)(int, int, int, int, int, int);
typedef void (*F2)(float, float);
typedef void (*F3)(float, float, float);
typedef void (*F4)(float, float, float, float);
typedef void (*Draw)(unsigned, int, int);
typedef void (*Names)(int, unsigned *);

static void clear(float r, float g, float b) {
  GL(F4, "glClearColor", r, g, b, 1);
  GL(U, "glClear", 0x4100);
}

static void nothing(void) {}

static void es1(int n) {
  static const float corners[] = {-0.8f, -0.8f, 0.8f, -0.6f, 0, 0.9f};
  const int equation[4] = {F(1), F(0.3), F(0), F(0.4)};
  clear(0.1f, 0.2f, 0.2f);
  GL(U, "glMatrixMode", 0x1701);
  GL(I6, "glOrthox", F(-1.5), F(1.5), F(-1), F(1), F(-1), F(1));
  GL(U, "glMatrixMode", 0x1700);
  GL(void (*)(unsigned, const int *), "glClipPlanex", 0x3000, equation);
  GL(U, "glEnable", 0x3000);
  GL(U, "glEnableClientState", 0x8074);
  GL(void (*)(int, unsigned, int, const void *), "glVertexPointer", 2, 0x1406, 0, corners);
  for (int i = n; i < n + 4; i++) {
    GL(I4, "glColor4x", F(1), F(0.25 * i), F(0.2), F(1));
    GL(I4, "glRotatex", F(23), 0, 0, F(1));
    GL(Draw, "glDrawArrays", 4, 0, 3);
  }
}

static unsigned program(const char *vertex, const char *fragment, const char *varying) {
  unsigned it = GL(unsigned (*)(void), "glCreateProgram");
  int linked = 0;
  for (int i = 0; i < 2; i++) {
    unsigned shader = GL(unsigned (*)(unsigned), "glCreateShader", i ? 0x8B30 : 0x8B31);
    const char **text = i ? &fragment : &vertex;
    GL(void (*)(unsigned, int, const char **, const int *), "glShaderSource", shader, 1, text, NULL);
    GL(U, "glCompileShader", shader);
    GL(UU, "glAttachShader", it, shader);
  }
  if (varying) GL(void (*)(unsigned, int, const char **, unsigned), "glTransformFeedbackVaryings", it, 1, &varying, 0x8C8C);
  GL(U, "glLinkProgram", it);
  GL(void (*)(unsigned, unsigned, int *), "glGetProgramiv", it, 0x8B82, &linked);
  if (!linked) exit(3);
  return it;
}

static unsigned making, drawing, feedback, captured;

static void es3_begin(void) {
  static const char *flat = "#version 300 es\nprecision highp float; in vec4 tint; out vec4 c; uniform sampler2D t;\n"
                            "void main() { c = tint * texture(t, tint.xy * 3.0); }\n";
  static const char *drawn = "#version 300 es\nlayout(location = 0) in vec4 at; out vec4 tint;\n"
                             "void main() { float i = float(gl_InstanceID);\n"
                             "  tint = vec4(0.3 + 0.2 * i, 0.9 - 0.2 * i, 0.5, 1);\n"
                             "  gl_Position = vec4(at.xy * 0.4 + vec2(i * 0.45 - 0.65, i * 0.1), 0, 1); }\n";
  static const char *made = "#version 300 es\nout vec4 at; uniform float turn;\n"
                            "void main() { float a = float(gl_VertexID) * 2.1 + turn; at = vec4(cos(a), sin(a), 0, 1); gl_PointSize = 1.0; }\n";
  static const char *none = "#version 300 es\nprecision highp float; out vec4 c; void main() { c = vec4(0); }\n";
  static const unsigned char checks[] = {255, 255, 255, 255, 90, 90, 90, 255, 90, 90, 90, 255, 255, 255, 255, 255};
  unsigned vao, texture;
  GL(Names, "glGenVertexArrays", 1, &vao), GL(U, "glBindVertexArray", vao);
  GL(Names, "glGenTextures", 1, &texture), GL(UU, "glBindTexture", 0x0DE1, texture);
  GL(void (*)(unsigned, int, unsigned, int, int), "glTexStorage2D", 0x0DE1, 2, 0x8058, 2, 2);
  GL(void (*)(unsigned, int, int, int, int, int, unsigned, unsigned, const void *), "glTexSubImage2D", 0x0DE1, 0, 0, 0, 2, 2,
     0x1908, 0x1401, checks);
  GL(U, "glGenerateMipmap", 0x0DE1);
  GL(void (*)(unsigned, unsigned, int), "glTexParameteri", 0x0DE1, 0x2801, 0x2700);
  GL(void (*)(unsigned, unsigned, int), "glTexParameteri", 0x0DE1, 0x2800, 0x2600);
  GL(Names, "glGenBuffers", 1, &captured), GL(UU, "glBindBuffer", 0x8C8E, captured);
  GL(void (*)(unsigned, long, const void *, unsigned), "glBufferData", 0x8C8E, 48, NULL, 0x88EA);
  GL(Names, "glGenTransformFeedbacks", 1, &feedback), GL(UU, "glBindTransformFeedback", 0x8E22, feedback);
  GL(void (*)(unsigned, unsigned, unsigned), "glBindBufferBase", 0x8C8E, 0, captured);
  GL(UU, "glBindTransformFeedback", 0x8E22, 0), GL(UU, "glBindBuffer", 0x8C8E, 0);
  making = program(made, none, "at"), drawing = program(drawn, flat, NULL);
  GL(UU, "glBindBuffer", 0x8892, captured);
  GL(void (*)(unsigned, int, unsigned, unsigned char, int, const void *), "glVertexAttribPointer", 0, 4, 0x1406, 0, 0, NULL);
  GL(U, "glEnableVertexAttribArray", 0);
}

static void es3(int n) {
  clear(0.2f, 0.1f, 0.3f);
  GL(UU, "glBindTransformFeedback", 0x8E22, feedback);
  GL(U, "glUseProgram", making);
  int turn = GL(int (*)(unsigned, const char *), "glGetUniformLocation", making, "turn");
  GL(void (*)(int, float), "glUniform1f", turn, (float)n * 0.4f);
  GL(U, "glEnable", 0x8C89); /* GL_RASTERIZER_DISCARD */
  GL(U, "glBeginTransformFeedback", 0);
  GL(Draw, "glDrawArrays", 0, 0, 3);
  GL(V, "glEndTransformFeedback");
  GL(U, "glDisable", 0x8C89);
  GL(UU, "glBindTransformFeedback", 0x8E22, 0);
  GL(U, "glUseProgram", drawing);
  GL(void (*)(unsigned, int, int, int), "glDrawArraysInstanced", 4, 0, 3, 4);
}

static void triangle(float x) {
  GL(U, "glBegin", 4);
  GL(F2, "glVertex2f", x - 0.3f, -0.5f), GL(F2, "glVertex2f", x + 0.35f, -0.43f), GL(F2, "glVertex2f", x, 0.6f);
  GL(V, "glEnd");
}

static void samples(int n) {
  int many = n;
  GL(void (*)(unsigned, int *), "glGetIntegerv", 0x80A9, &many);
  if (many < 4) exit(6);
  clear(0, 0, 0);
  for (int i = 0; i < 3; i++) GL(F3, "glColor3f", 1, 0.3f * (float)i, 0.5f), triangle((float)i * 0.6f - 0.6f);
  /* What is read has the colours that edges are made of, too: their blue is less than that of the triangles, of 127 or 128. */
  static unsigned char row[W * 4];
  int between = 0;
  GL(U, "glEnable", 0x0C11), GL(I4, "glScissor", 0, 0, 1, 1);
  GL(void (*)(int, int, int, int, unsigned, unsigned, void *), "glReadPixels", 0, H / 2, W, 1, 0x1908, 0x1401, row);
  for (int i = 0; i < W; i++) between += row[4 * i + 2] > 0 && row[4 * i + 2] < 126;
  if (!between) exit(10);
}

/* Where a triangle is hit, and what came back of it, decides how the next ones are drawn. */
static unsigned hits[64];
static float values[64];

static void select_begin(void) {
  GL(void (*)(int, unsigned *), "glSelectBuffer", 64, hits);
  GL(void (*)(int, unsigned, float *), "glFeedbackBuffer", 64, 0x0600, values);
}

static void select_and_feed(int n) {
  clear(0.1f, 0.1f, 0.1f * (float)n);
  memset(hits, 0, sizeof hits), memset(values, 0, sizeof values);
  GL(int (*)(unsigned), "glRenderMode", 0x1C02);
  GL(V, "glInitNames"), GL(U, "glPushName", 0);
  for (unsigned i = 0; i < 3; i++) GL(U, "glLoadName", 10 + i), triangle(i == 1 ? 5 : 0);
  int count = GL(int (*)(unsigned), "glRenderMode", 0x1C00);
  if (count != 2 || hits[0] != 1 || hits[3] != 10 || hits[7] != 12) exit(7);
  GL(int (*)(unsigned), "glRenderMode", 0x1C01);
  triangle(0);
  count = GL(int (*)(unsigned), "glRenderMode", 0x1C00);
  if (count != 8 || values[0] != 0x0703 || values[1] != 3) exit(8);
  for (int i = 0; i < 3; i++) {
    GL(F3, "glColor3f", (float)hits[3] / 20, (float)hits[7] / 20, 0.2f * (float)i);
    triangle(values[2 + 2 * i] / (float)W * 2 - 1);
  }
}

int main(int count, char **words) {
  static const struct { const char *name; void (*begin)(void); void (*draw)(int); int es, samples; } ways[] = {
      {"es1", nothing, es1, 1, 0}, {"es3", es3_begin, es3, 3, 0}, {"samples", nothing, samples, 0, 4},
      {"select", select_begin, select_and_feed, 0, 0}};
  Display *native = XOpenDisplay(NULL);
  void *display = native ? eglGetDisplay(native) : NULL, *config = NULL;
  size_t way = 0;
  int live = count > 1 && !strcmp(words[1], "live"), n = 0;
  if (count < 2 + live) return 1;
  while (way < 4 && strcmp(ways[way].name, words[1 + live])) way++;
  if (!display || way == 4 || !eglInitialize(display, NULL, NULL)) return 1;
  int es = ways[way].es, some = 0;
  const int wanted[] = {0x3033, 4, 0x3040, es == 3 ? 0x40 : es == 1 ? 1 : 8, 0x3024, 8, 0x3025, 16, 0x3031, ways[way].samples, 0x3038};
  const int version[] = {0x3098, es, 0x3038}, none[] = {0x3038};
  XSetWindowAttributes looks = {0};
  looks.override_redirect = 1;
  unsigned long window = XCreateWindow(native, XDefaultRootWindow(native), 10, 20, W, H, 0, 0, 1, NULL, 1 << 9, &looks);
  XMapWindow(native, window);
  XSync(native, 0);
  if (!eglBindAPI(es ? 0x30A0 : 0x30A2) || !eglChooseConfig(display, wanted, &config, 1, &some) || some < 1) return 2;
  void *context = eglCreateContext(display, config, NULL, es ? version : none);
  void *surface = context ? eglCreateWindowSurface(display, config, window, NULL) : NULL;
  if (!surface || !eglMakeCurrent(display, surface, surface, context)) return 2;
  ways[way].begin();
  while (!live || scanf("%d", &n) == 1) {
    ways[way].draw(n);
    if (GL(unsigned (*)(void), "glGetError")) return 5;
    eglSwapBuffers(display, surface);
    GL(V, "glFinish");
    if (live) printf("drawn %d\n", n);
    else puts("drawn");
    fflush(stdout);
    while (!live) pause();
  }
  return 0;
}
