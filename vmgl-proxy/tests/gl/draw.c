/* Draws one picture with OpenGL through GLX, always the same one, and stays. What it draws with is its argument:
 * "lists" display lists, lights, matrices; "arrays" arrays in its own memory, a texture, fog, blending; "letters" those of a
 * font of the X server's, as lists; "shaders" buffers and GLSL into a framebuffer object and from there to the window, whose
 * samples it counts. Built by the tests with cc, without headers of OpenGL or X, which need not be installed. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "window.h"

unsigned long XLoadFont(Display *, const char *);
void glXUseXFont(unsigned long, int, int, int);
void (*glXGetProcAddress(const unsigned char *))(void);

enum { W = 300, H = 200 };
static Display *display;

void glBegin(unsigned), glEnd(void), glEnable(unsigned), glDisable(unsigned), glClear(unsigned), glFinish(void);
void glClearColor(float, float, float, float), glMatrixMode(unsigned), glLoadIdentity(void), glPushMatrix(void);
void glPopMatrix(void), glTranslatef(float, float, float), glRotatef(float, float, float, float);
void glFrustum(double, double, double, double, double, double), glLightfv(unsigned, unsigned, const float *);
void glMaterialfv(unsigned, unsigned, const float *), glNormal3f(float, float, float), glVertex3f(float, float, float);
unsigned glGenLists(int);
void glNewList(unsigned, unsigned), glEndList(void), glCallList(unsigned), glShadeModel(unsigned);
void glEnableClientState(unsigned), glVertexPointer(int, unsigned, int, const void *);
void glColorPointer(int, unsigned, int, const void *), glTexCoordPointer(int, unsigned, int, const void *);
void glDrawArrays(unsigned, int, int), glDrawElements(unsigned, int, unsigned, const void *);
void glGenTextures(int, unsigned *), glBindTexture(unsigned, unsigned), glTexParameteri(unsigned, unsigned, int);
void glTexImage2D(unsigned, int, int, int, int, int, unsigned, unsigned, const void *), glBlendFunc(unsigned, unsigned);
void glPixelStorei(unsigned, int), glFogfv(unsigned, const float *), glFogi(unsigned, int), glViewport(int, int, int, int);
void glCallLists(int, unsigned, const void *), glListBase(unsigned), glPushAttrib(unsigned), glPopAttrib(void);
void glColor3f(float, float, float), glRasterPos2f(float, float);
unsigned glGetError(void);

static void sphere(int n) {
  for (int i = 0; i < n; i++) {
    glBegin(0x0008); /* GL_QUAD_STRIP */
    for (int j = 0; j <= n; j++)
      for (int k = 0; k < 2; k++) {
        float a = (float)M_PI * (float)(i + k) / (float)n, b = 2 * (float)M_PI * (float)j / (float)n;
        float x = sinf(a) * cosf(b), y = cosf(a), z = sinf(a) * sinf(b);
        glNormal3f(x, y, z);
        glVertex3f(x, y, z);
      }
    glEnd();
  }
}

static void project(void) {
  glMatrixMode(0x1701); /* GL_PROJECTION */
  glLoadIdentity();
  glFrustum(-1, 1, -0.666, 0.666, 2, 20);
  glMatrixMode(0x1700); /* GL_MODELVIEW */
  glLoadIdentity();
}

static void lists(void) {
  const float place[4] = {3, 4, 5, 0}, red[4] = {0.9f, 0.2f, 0.1f, 1}, green[4] = {0.1f, 0.8f, 0.3f, 1};
  unsigned list = glGenLists(1);
  glEnable(0x0B50), glEnable(0x4000), glEnable(0x0B71), glEnable(0x0BA1); /* lights, depth, normals */
  glLightfv(0x4000, 0x1203, place);
  glNewList(list, 0x1300);
  sphere(24);
  glEndList();
  project();
  glTranslatef(0, 0, -5);
  for (int i = 0; i < 5; i++) {
    glPushMatrix();
    glRotatef((float)i * 72, 0.1f, 0.2f, 1);
    glTranslatef(1.5f, 0, 0);
    glMaterialfv(0x0404, 0x1602, i % 2 ? red : green);
    glCallList(list);
    glPopMatrix();
  }
}

static void arrays(void) {
  static const float at[][3] = {{-1, -1, 0}, {1, -1, 0}, {1, 1, 0}, {-1, 1, 0}};
  static const unsigned char colours[][4] = {{255, 0, 0, 255}, {0, 255, 0, 200}, {0, 0, 255, 150}, {255, 255, 255, 100}};
  static const float of[][2] = {{0, 0}, {3, 0}, {3, 3}, {0, 3}};
  static const unsigned short order[] = {0, 1, 2, 0, 2, 3};
  const float grey[4] = {0.3f, 0.3f, 0.4f, 1};
  unsigned char picture[7][32]; /* 7 x 7 pixels of 3 bytes; each row begins at a multiple of 4 and has more behind it */
  unsigned texture;
  for (int y = 0; y < 7; y++)
    for (int x = 0; x < 32; x++) picture[y][x] = (unsigned char)(x * 37 + y * 91);
  glGenTextures(1, &texture);
  glBindTexture(0x0DE1, texture);
  glPixelStorei(0x0CF2, 10); /* 10 pixels a row, of which 7 are read */
  glTexImage2D(0x0DE1, 0, 0x1907, 7, 7, 0, 0x1907, 0x1401, picture);
  glTexParameteri(0x0DE1, 0x2801, 0x2601), glTexParameteri(0x0DE1, 0x2800, 0x2600);
  glEnable(0x0DE1), glEnable(0x0BE2), glBlendFunc(0x0302, 0x0303);
  glEnable(0x0B60), glFogi(0x0B65, 0x0800), glFogfv(0x0B66, grey);
  glEnableClientState(0x8074), glEnableClientState(0x8076), glEnableClientState(0x8078);
  glVertexPointer(3, 0x1406, 0, at), glColorPointer(4, 0x1401, 0, colours), glTexCoordPointer(2, 0x1406, 0, of);
  project();
  for (int i = 0; i < 6; i++) {
    glLoadIdentity();
    glTranslatef((float)(i % 3 - 1) * 1.6f, (float)(i / 3) * 1.5f - 0.75f, -4);
    glRotatef((float)i * 25, 0.3f, 1, 0.2f);
    if (i % 2)
      glDrawElements(4, 6, 0x1403, order);
    else
      glDrawArrays(7, 0, 4);
  }
}

/* The names of letters are a base and a number of any type; the base is none that lists begin with. Mesa's own letters without
 * pixels do not even move on, so that there are none here. */
static void letters(void) {
  const unsigned short wide[] = {'X', 'Y', 'Z', '-', 0xe9};
  const unsigned char two[] = {0, 'T', 0, 'w', 0, 'o'};
  const float halves[] = {'h', 'a', 'l', 'f'};
  const unsigned long font = XLoadFont(display, "-misc-fixed-medium-r-semicondensed--13-120-75-75-c-60-iso8859-1");
  glGenLists(3);
  const unsigned base = glGenLists(300), whole = base + 299;
  glXUseXFont(font, 32, 224, (int)base + 32);
  glGetError(); /* Of letters without pixels Mesa says that memory is short. */
  glListBase(base);
  glColor3f(1, 0.9f, 0.5f);
  glRasterPos2f(-0.9f, 0.6f), glCallLists(19, 0x1401, "The_axes_are_X,Y,Z.");
  glRasterPos2f(-0.9f, 0.3f), glCallLists(5, 0x1403, wide);
  glRasterPos2f(0, 0.3f), glCallLists(3, 0x1407, two), glCallLists(4, 0x1406, halves);
  glNewList(whole, 0x1300);
  glPushAttrib(0x20000); /* GL_LIST_BIT */
  glListBase(base + 1), glRasterPos2f(-0.9f, 0), glCallLists(3, 0x1400, "WXY");
  glPopAttrib();
  glEndList();
  glListBase(7);
  glCallList(whole);
  glRasterPos2f(-0.9f, -0.3f), glListBase(base - 1), glCallLists(3, 0x1401, "YZ[");
}

#define CALL(type, name, ...) ((type)glXGetProcAddress((const unsigned char *)name))(__VA_ARGS__)

static void shaders(void) {
  static const float corners[] = {-1, -1, 1, -1, -1, 1, 1, 1};
  static const char *vertex = "attribute vec2 place; varying vec2 at; uniform float size;\n"
                              "void main() { at = place * size; gl_Position = vec4(place, 0.0, 1.0); }\n";
  static const char *fragment = "varying vec2 at; uniform vec3 tint[2]; uniform sampler2D under; uniform int stage;\n"
                                "void main() { vec2 p = at; float n = 0.0;\n"
                                "  for (int i = 0; i < 40; i++) { if (dot(p, p) > 4.0) break; n += 0.025;\n"
                                "    p = vec2(p.x * p.x - p.y * p.y, 2.0 * p.x * p.y) + vec2(-0.75, 0.11); }\n"
                                "  vec4 c = vec4(mix(tint[0], tint[1], n), 1.0);\n"
                                "  gl_FragColor = stage == 0 ? c : texture2D(under, at * 0.5 + 0.5).bgra; }\n";
  unsigned program = CALL(unsigned (*)(void), "glCreateProgram"), buffer, target, texture;
  for (int i = 0; i < 2; i++) {
    unsigned shader = CALL(unsigned (*)(unsigned), "glCreateShader", i ? 0x8B30 : 0x8B31);
    const char **text = i ? &fragment : &vertex;
    int compiled = 0;
    CALL(void (*)(unsigned, int, const char **, const int *), "glShaderSource", shader, 1, text, NULL);
    CALL(void (*)(unsigned), "glCompileShader", shader);
    CALL(void (*)(unsigned, unsigned, int *), "glGetShaderiv", shader, 0x8B81, &compiled);
    if (!compiled) exit(3);
    CALL(void (*)(unsigned, unsigned), "glAttachShader", program, shader);
  }
  CALL(void (*)(unsigned), "glLinkProgram", program);
  CALL(void (*)(unsigned), "glUseProgram", program);
#define PLACE(name) CALL(int (*)(unsigned, const char *), "glGetUniformLocation", program, name)
  const float tints[6] = {0.05f, 0.1f, 0.3f, 1, 0.8f, 0.2f};
  CALL(void (*)(int, int, const float *), "glUniform3fv", PLACE("tint"), 2, tints);
  CALL(void (*)(int, float), "glUniform1f", PLACE("size"), 1.3f);
  CALL(void (*)(int, int), "glUniform1i", PLACE("stage"), 0);
  CALL(void (*)(int, unsigned *), "glGenBuffers", 1, &buffer);
  CALL(void (*)(unsigned, unsigned), "glBindBuffer", 0x8892, buffer);
  CALL(void (*)(unsigned, long, const void *, unsigned), "glBufferData", 0x8892, sizeof corners, corners, 0x88E4);
  int place = CALL(int (*)(unsigned, const char *), "glGetAttribLocation", program, "place");
  CALL(void (*)(unsigned, int, unsigned, unsigned char, int, const void *), "glVertexAttribPointer", (unsigned)place, 2,
       0x1406, 0, 0, NULL);
  CALL(void (*)(unsigned), "glEnableVertexAttribArray", (unsigned)place);
  glGenTextures(1, &texture);
  glBindTexture(0x0DE1, texture);
  glTexImage2D(0x0DE1, 0, 0x8058, 128, 128, 0, 0x1908, 0x1401, NULL);
  glTexParameteri(0x0DE1, 0x2801, 0x2600), glTexParameteri(0x0DE1, 0x2800, 0x2600);
  CALL(void (*)(int, unsigned *), "glGenFramebuffers", 1, &target);
  CALL(void (*)(unsigned, unsigned), "glBindFramebuffer", 0x8D40, target);
  CALL(void (*)(unsigned, unsigned, unsigned, unsigned, int), "glFramebufferTexture2D", 0x8D40, 0x8CE0, 0x0DE1, texture, 0);
  if (CALL(unsigned (*)(unsigned), "glCheckFramebufferStatus", 0x8D40) != 0x8CD5) exit(4);
  glViewport(0, 0, 128, 128);
  glDrawArrays(5, 0, 4);
  CALL(void (*)(unsigned, unsigned), "glBindFramebuffer", 0x8D40, 0);
  glViewport(0, 0, W, H);
  CALL(void (*)(int, float), "glUniform1f", PLACE("size"), 1.0f);
  CALL(void (*)(int, int), "glUniform1i", PLACE("stage"), 1);
  unsigned query, samples = 0;
  int there = 0;
  CALL(void (*)(int, unsigned *), "glGenQueries", 1, &query);
  CALL(void (*)(unsigned, unsigned), "glBeginQuery", 0x8914, query); /* GL_SAMPLES_PASSED */
  glDrawArrays(5, 0, 4);
  CALL(void (*)(unsigned), "glEndQuery", 0x8914);
  while (!there) CALL(void (*)(unsigned, unsigned, int *), "glGetQueryObjectiv", query, 0x8867, &there);
  CALL(void (*)(unsigned, unsigned, unsigned *), "glGetQueryObjectuiv", query, 0x8866, &samples);
  if (samples != W * H) exit(6);
}

int main(int count, char **words) {
  if (count < 2) return 1;
  const Opened opened = open_by_visual((Place){10, 20, W, H});
  display = opened.display;
  glClearColor(0.2f, 0.25f, 0.3f, 1);
  glClear(0x4100);
  if (!strcmp(words[1], "lists")) lists();
  else if (!strcmp(words[1], "arrays")) arrays();
  else if (!strcmp(words[1], "letters")) letters();
  else shaders();
  if (glGetError()) return 5;
  glXSwapBuffers(display, opened.window);
  glFinish();
  puts("drawn");
  fflush(stdout);
  for (;;) pause();
}
