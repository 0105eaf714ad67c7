/* Prepares itself once, then draws the picture of each number that it is told on its standard input, and says so. What was
 * prepared must still be there for the later pictures, whatever became of the renderer meanwhile. What it draws with is its
 * argument: "fixed" lists, lights, materials, stacks; "shaders" programs whose shaders are gone, arrays and textures in
 * buffers, a framebuffer, two contexts; "core" a core profile with array objects, samplers and uniform blocks; "kept" a
 * texture and a renderbuffer that are drawn into once, at the beginning; "again" textures of 8 MiB that are given anew with each picture; "endless" a shader that takes minutes, in picture 2; "compatible" a context of 3.3 with all that was
 * before, and shaders of its language; "apart" two contexts that share nothing and call other objects the same; "resized" a window that has another size in each
 * picture; "absent" a function that is not there. Built by the tests with cc, without headers of OpenGL or X. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "window.h"

void (*glXGetProcAddress(const unsigned char *))(void);
int XResizeWindow(Display *, unsigned long, unsigned, unsigned);

typedef unsigned U;
typedef float F;
typedef int I;
void glActiveTexture(U), glAttachShader(U, U), glBegin(U), glBindAttribLocation(U, U, const char *), glBindBuffer(U, U);
void glBindBufferBase(U, U, U), glBindFramebuffer(U, U), glBindRenderbuffer(U, U), glBindSampler(U, U), glBindTexture(U, U);
void glBindVertexArray(U), glBlendFunc(U, U), glBlitFramebuffer(I, I, I, I, I, I, I, I, U, U), glBufferData(U, long, const void *, U), glBufferSubData(U, long, long, const void *);
void glCallList(U), glClear(U), glClearColor(F, F, F, F), glClipPlane(U, const double *), glColor3f(F, F, F);
void glColorMaterial(U, U), glCompileShader(U), glDeleteShader(U), glDetachShader(U, U), glDisable(U);
void glDrawArrays(U, I, I), glDrawArraysInstanced(U, I, I, I), glDrawElements(U, I, U, const void *), glEnable(U);
void glEnableClientState(U), glEnableVertexAttribArray(U), glEnd(void), glEndList(void), glFinish(void), glFogfv(U, const F *);
void glFogi(U, I), glFramebufferRenderbuffer(U, U, U, U), glFramebufferTexture2D(U, U, U, U, I);
void glFrustum(double, double, double, double, double, double), glGenBuffers(I, U *), glGenFramebuffers(I, U *);
void glGenRenderbuffers(I, U *), glGenSamplers(I, U *), glGenTextures(I, U *), glGenVertexArrays(I, U *), glGenerateMipmap(U);
void glLightfv(U, U, const F *), glLinkProgram(U), glLoadIdentity(void), glMaterialfv(U, U, const F *), glMatrixMode(U);
void glNewList(U, U), glNormal3f(F, F, F), glPixelStorei(U, I), glPolygonStipple(const unsigned char *), glPopAttrib(void);
void glPopMatrix(void), glPushAttrib(U), glPushMatrix(void), glRenderbufferStorage(U, U, I, I), glRotatef(F, F, F, F);
void glSamplerParameteri(U, U, I), glScalef(F, F, F), glScissor(I, I, I, I), glShadeModel(U);
void glShaderSource(U, I, const char **, const I *), glStencilFunc(U, I, U), glStencilOp(U, U, U), glTexEnvf(U, U, F);
void glTexEnvi(U, U, I), glTexGenfv(U, U, const F *), glTexGeni(U, U, I), glTexImage2D(U, I, I, I, I, I, U, U, const void *);
void glTexCoordPointer(I, U, I, const void *), glTexParameteri(U, U, I), glTexSubImage2D(U, I, I, I, I, I, U, U, const void *), glTranslatef(F, F, F);
void glUniform1f(I, F), glUniform1i(I, I), glUniform3fv(I, I, const F *), glUniformBlockBinding(U, U, U);
void glUniformMatrix2fv(I, I, unsigned char, const F *), glUseProgram(U), glVertex3f(F, F, F), glVertexAttribDivisor(U, U);
void glVertexAttribPointer(U, I, U, unsigned char, I, const void *), glVertexPointer(I, U, I, const void *), glViewport(I, I, I, I);
U glCheckFramebufferStatus(U), glCreateProgram(void), glCreateShader(U), glGenLists(I), glGetError(void);
U glGetUniformBlockIndex(U, const char *);
const char *glGetString(U);
void glColorPointer(I, U, I, const void *), glTexCoord2f(F, F), glUniform1f(I, F);
I glGetAttribLocation(U, const char *), glGetUniformLocation(U, const char *);
void glGetProgramiv(U, U, I *), glGetIntegerv(U, I *);
void *glMapBuffer(U, U);
unsigned char glUnmapBuffer(U);

enum { W = 300, H = 200 };
static Display *display;
static unsigned long window;
static void *config, *context, *second;

static void pattern(unsigned char *to, int width, int height, int parts, int seed) {
  for (int i = 0; i < width * height * parts; i++) to[i] = (unsigned char)((i * 37 + i / width * 91 + seed * 53) % 256);
}

static U texture(int width, int seed) {
  unsigned char pixels[64 * 64 * 4];
  U name;
  pattern(pixels, width, width, 4, seed);
  glGenTextures(1, &name);
  glBindTexture(0x0DE1, name);
  glTexImage2D(0x0DE1, 0, 0x8058, width, width, 0, 0x1908, 0x1401, pixels);
  glTexParameteri(0x0DE1, 0x2801, 0x2601), glTexParameteri(0x0DE1, 0x2800, 0x2600);
  return name;
}

static U program(const char *vertex, const char *fragment) {
  U made = glCreateProgram(), parts[2];
  I linked = 0;
  for (int i = 0; i < 2; i++) {
    const char *text = i ? fragment : vertex;
    parts[i] = glCreateShader(i ? 0x8B30 : 0x8B31);
    glShaderSource(parts[i], 1, &text, NULL);
    glCompileShader(parts[i]);
    glAttachShader(made, parts[i]);
  }
  glBindAttribLocation(made, 3, "place");
  glLinkProgram(made);
  for (int i = 0; i < 2; i++) glDetachShader(made, parts[i]), glDeleteShader(parts[i]);
  glGetProgramiv(made, 0x8B82, &linked);
  if (!linked) exit(3);
  return made;
}

/* ---- fixed */

static U ball, group, tiles;

static void fixed(void) {
  const F place[4] = {2, 3, 4, 1}, white[4] = {0.9f, 0.9f, 0.8f, 1}, shine[1] = {20}, plane[4] = {0.7f, 0.2f, 0, 0.1f};
  const F fog[4] = {0.2f, 0.3f, 0.4f, 1};
  const double cut[4] = {0, 1, 0, 0.9};
  unsigned char stipple[128];
  memset(stipple, 0xEE, sizeof stipple);
  glMatrixMode(0x1701), glLoadIdentity(), glFrustum(-1, 1, -0.666, 0.666, 2, 20);
  glMatrixMode(0x1700), glLoadIdentity(), glTranslatef(0, 0, -5), glRotatef(15, 0, 1, 0);
  glLightfv(0x4000, 0x1203, place), glLightfv(0x4000, 0x1202, white);
  glEnable(0x0B50), glEnable(0x4000), glEnable(0x0B71), glEnable(0x0BA1);
  glMaterialfv(0x0408, 0x1202, white), glMaterialfv(0x0404, 0x1601, shine);
  glColorMaterial(0x0404, 0x1602), glEnable(0x0B57);
  glClipPlane(0x3000, cut), glEnable(0x3000);
  glPolygonStipple(stipple), glEnable(0x0B42);
  glEnable(0x0B60), glFogi(0x0B65, 0x0800), glFogfv(0x0B66, fog);
  texture(32, 1);
  unsigned char part[8 * 8 * 4];
  memset(part, 200, sizeof part);
  glTexSubImage2D(0x0DE1, 0, 4, 6, 8, 8, 0x1908, 0x1401, part);
  glTexEnvi(0x2300, 0x2200, 0x2100);
  glTexGeni(0x2000, 0x2500, 0x2400), glTexGenfv(0x2000, 0x2502, plane), glEnable(0x0C60);
  glTexGeni(0x2001, 0x2500, 0x2401), glTexGenfv(0x2001, 0x2501, plane), glEnable(0x0C61);
  glEnable(0x0DE1);
  glActiveTexture(0x84C1), texture(16, 2), glTexEnvi(0x2300, 0x2200, 0x0104), glEnable(0x0DE1), glActiveTexture(0x84C0);
  glMatrixMode(0x1702), glScalef(2, 1, 1), glMatrixMode(0x1700);
  ball = glGenLists(3), group = ball + 1, tiles = ball + 2;
  glNewList(ball, 0x1300);
  for (int i = 0; i < 16; i++) {
    glBegin(0x0008);
    for (int j = 0; j <= 16; j++)
      for (int k = 0; k < 2; k++) {
        F a = (F)M_PI * (F)(i + k) / 16, b = 2 * (F)M_PI * (F)j / 16;
        glNormal3f(sinf(a) * cosf(b), cosf(a), sinf(a) * sinf(b));
        glVertex3f(sinf(a) * cosf(b), cosf(a), sinf(a) * sinf(b));
      }
    glEnd();
  }
  glEndList();
  static const F flat[][3] = {{-2, -0.6f, -1}, {2, -0.6f, -1}, {2, -0.6f, 1}, {-2, -0.6f, 1}};
  /* A list that is drawn from buffers has what was in them then. */
  static const F tile[][3] = {{9, 9, 9}, {-1.8f, 0.4f, 0.2f}, {-0.9f, 0.4f, 0}, {-1.8f, 1.2f, 0}, {-0.9f, 1.1f, 0.2f}};
  static const unsigned short corners[] = {1, 2, 3, 2, 3, 4};
  U held[2];
  glGenBuffers(2, held), glBindBuffer(0x8892, held[0]), glBindBuffer(0x8893, held[1]);
  glBufferData(0x8892, sizeof tile, tile, 0x88E4), glBufferData(0x8893, sizeof corners, corners, 0x88E4);
  glEnableClientState(0x8074), glVertexPointer(3, 0x1406, 0, NULL);
  glNewList(tiles, 0x1300);
  glNormal3f(0, 0, 1), glColor3f(0.2f, 0.9f, 0.3f), glDrawElements(4, 6, 0x1403, NULL);
  glTranslatef(0.2f, -0.5f, 0.3f), glColor3f(0.9f, 0.9f, 0.1f), glDrawArrays(4, 1, 3);
  glEndList();
  glBufferSubData(0x8892, 0, sizeof flat, flat), glBufferSubData(0x8893, 0, 4, tile);
  glBindBuffer(0x8892, 0), glBindBuffer(0x8893, 0);
  glVertexPointer(3, 0x1406, 0, flat);
  glNewList(group, 0x1300);
  glPushMatrix(), glTranslatef(1.2f, 0, 0), glColor3f(0.9f, 0.3f, 0.2f), glCallList(ball), glPopMatrix();
  glNormal3f(0, 1, 0), glColor3f(0.3f, 0.4f, 0.9f), glDrawArrays(7, 0, 4);
  glEndList();
  glPushAttrib(0x000FFFFF);
  glDisable(0x0B60), glShadeModel(0x1D00), glClearColor(0.1f, 0.2f, 0.1f, 1);
  glPushMatrix(), glRotatef(10, 1, 0, 0);
}

static void fixed_picture(int n) {
  glClear(0x4100);
  glPushMatrix();
  glRotatef((F)n * 20, 0, 1, 0);
  glCallList(group), glCallList(tiles);
  glPopMatrix();
  if (n == 2) glPopMatrix(), glPopAttrib(); /* what was pushed before the renderer went */
}

/* ---- shaders */

static U moving, flat_one, target, drawn, shape, order, unpacked;
static I turn, tints, size_at;

static void shaders(void) {
  static const F corners[] = {-0.8f, -0.8f, 0.8f, -0.8f, -0.8f, 0.8f, 0.8f, 0.8f};
  static const unsigned short indices[] = {0, 1, 2, 1, 2, 3};
  const F colours[6] = {0.9f, 0.4f, 0.1f, 0.1f, 0.5f, 0.9f};
  moving = program("attribute vec2 place; uniform mat2 turn; varying vec2 at; uniform float size;\n"
                   "void main() { at = place; gl_Position = vec4(turn * place * size, 0.1, 1.0); }\n",
                   "varying vec2 at; uniform vec3 tints[2]; uniform sampler2D one, two;\n"
                   "void main() { gl_FragColor = vec4(mix(tints[0], tints[1], at.x * 0.5 + 0.5), 0.8) * 0.6\n"
                   " + 0.4 * texture2D(one, at) * texture2D(two, at.yx); }\n");
  flat_one = program("attribute vec2 place; varying vec2 at; void main() { at = place; gl_Position = vec4(place, 0.2, 1.0); }\n",
                     "varying vec2 at; uniform sampler2D under; void main() { gl_FragColor = texture2D(under, at * 0.4 + 0.5).bgra; }\n");
  turn = glGetUniformLocation(moving, "turn"), tints = glGetUniformLocation(moving, "tints");
  size_at = glGetUniformLocation(moving, "size");
  glUseProgram(moving);
  glUniform3fv(tints, 2, colours), glUniform1f(size_at, 0.9f);
  glUniform1i(glGetUniformLocation(moving, "one"), 0), glUniform1i(glGetUniformLocation(moving, "two"), 2);
  glUseProgram(flat_one);
  glUniform1i(glGetUniformLocation(flat_one, "under"), 1);
  glGenBuffers(1, &shape), glBindBuffer(0x8892, shape);
  glBufferData(0x8892, sizeof corners, NULL, 0x88E4);
  memcpy(glMapBuffer(0x8892, 0x88B9), corners, sizeof corners), glUnmapBuffer(0x8892);
  glGenBuffers(1, &order), glBindBuffer(0x8893, order);
  glBufferData(0x8893, sizeof indices, indices, 0x88E4);
  glVertexAttribPointer(3, 2, 0x1406, 0, 0, NULL), glEnableVertexAttribArray(3);
  texture(32, 5);
  unsigned char pixels[16 * 16 * 4];
  pattern(pixels, 16, 16, 4, 9);
  glActiveTexture(0x84C2), texture(32, 0);
  glGenBuffers(1, &unpacked), glBindBuffer(0x88EC, unpacked);
  glBufferData(0x88EC, sizeof pixels, pixels, 0x88E4);
  glTexImage2D(0x0DE1, 0, 0x8058, 16, 16, 0, 0x1908, 0x1401, NULL); /* out of the buffer */
  glTexParameteri(0x0DE1, 0x2801, 0x2703), glGenerateMipmap(0x0DE1);
  glBindBuffer(0x88EC, 0);
  glActiveTexture(0x84C1);
  glGenTextures(1, &drawn), glBindTexture(0x0DE1, drawn);
  glTexImage2D(0x0DE1, 0, 0x8058, 128, 128, 0, 0x1908, 0x1401, NULL);
  glTexParameteri(0x0DE1, 0x2801, 0x2601), glTexParameteri(0x0DE1, 0x2800, 0x2601);
  U depth;
  glGenRenderbuffers(1, &depth), glBindRenderbuffer(0x8D41, depth), glRenderbufferStorage(0x8D41, 0x88F0, 128, 128);
  glGenFramebuffers(1, &target), glBindFramebuffer(0x8D40, target);
  glFramebufferTexture2D(0x8D40, 0x8CE0, 0x0DE1, drawn, 0), glFramebufferRenderbuffer(0x8D40, 0x821A, 0x8D41, depth);
  if (glCheckFramebufferStatus(0x8D40) != 0x8CD5) exit(4);
  glBindFramebuffer(0x8D40, 0);
  glEnable(0x0BE2), glBlendFunc(0x0302, 0x0303);
  glClearColor(0.3f, 0.1f, 0.2f, 1);
  glStencilFunc(0x0205, 0, 0xFF), glStencilOp(0x1E00, 0x1E00, 0x1E02);
  /* A second context, with the first's objects and a state of its own. */
  second = glXCreateNewContext(display, config, 0x8014, context, 1);
  glXMakeCurrent(display, window, second);
  glScissor(10, 10, 40, 30), glEnable(0x0C11), glClearColor(0, 0.5f, 0.4f, 1);
  glXMakeCurrent(display, window, context);
}

static void shaders_picture(int n) {
  F a = (F)n * 0.3f, matrix[4] = {cosf(a), sinf(a), -sinf(a), cosf(a)};
  glBindFramebuffer(0x8D40, target);
  glViewport(0, 0, 128, 128);
  glClear(0x4500);
  glUseProgram(moving), glUniformMatrix2fv(turn, 1, 0, matrix);
  glDrawElements(4, 6, 0x1403, NULL);
  glBindFramebuffer(0x8D40, 0);
  glViewport(0, 0, W, H);
  glClear(0x4500);
  glUseProgram(flat_one);
  glDrawElements(4, 6, 0x1403, NULL);
  glXMakeCurrent(display, window, second);
  glClear(0x4000);
  glXMakeCurrent(display, window, context);
}

/* ---- core */

static U blocks, shape_object, other_object, cores;

static void core(void) {
  static const F corners[] = {-0.3f, -0.3f, 0.3f, -0.3f, 0, 0.4f}, shifts[] = {-0.6f, 0, 0, 0.3f, 0.6f, -0.2f};
  const F block[8] = {0.9f, 0.6f, 0.2f, 1, 1, 0, 0, 0};
  U buffers[3], sampler;
  cores = program("#version 330 core\nin vec2 place; layout(location = 5) in vec2 shift; out vec2 at;\n"
                  "layout(std140) uniform Look { vec4 tint; vec4 scale; };\n"
                  "void main() { at = place * 3.0; gl_Position = vec4(place * scale.x + shift, 0, 1); }\n",
                  "#version 330 core\nin vec2 at; out vec4 colour; uniform sampler2D grain;\n"
                  "layout(std140) uniform Look { vec4 tint; vec4 scale; };\n"
                  "void main() { colour = tint * 0.5 + 0.5 * texture(grain, at); }\n");
  glUniformBlockBinding(cores, glGetUniformBlockIndex(cores, "Look"), 4);
  glGenBuffers(3, buffers);
  glBindBuffer(0x8A11, buffers[0]), glBufferData(0x8A11, sizeof block, block, 0x88E8), glBindBufferBase(0x8A11, 4, buffers[0]);
  blocks = buffers[0];
  glGenVertexArrays(1, &other_object), glGenVertexArrays(1, &shape_object);
  glBindVertexArray(shape_object);
  glBindBuffer(0x8892, buffers[1]), glBufferData(0x8892, sizeof corners, corners, 0x88E4);
  glVertexAttribPointer(3, 2, 0x1406, 0, 0, NULL), glEnableVertexAttribArray(3);
  glBindBuffer(0x8892, buffers[2]), glBufferData(0x8892, sizeof shifts, shifts, 0x88E4);
  glVertexAttribPointer(5, 2, 0x1406, 0, 0, NULL), glEnableVertexAttribArray(5), glVertexAttribDivisor(5, 1);
  glBindVertexArray(other_object);
  glActiveTexture(0x84C3), texture(16, 3);
  glGenSamplers(1, &sampler), glBindSampler(3, sampler);
  glSamplerParameteri(sampler, 0x2801, 0x2600), glSamplerParameteri(sampler, 0x2800, 0x2600);
  glSamplerParameteri(sampler, 0x2802, 0x8370);
  glUseProgram(cores), glUniform1i(glGetUniformLocation(cores, "grain"), 3);
  glClearColor(0.1f, 0.1f, 0.3f, 1);
}

static void core_picture(int n) {
  const F scale = 0.6f + 0.2f * (F)n;
  glClear(0x4000);
  glBufferSubData(0x8A11, 16, sizeof scale, &scale);
  glBindVertexArray(shape_object);
  glDrawArraysInstanced(4, 0, 3, 3);
  glBindVertexArray(other_object);
}

/* ---- kept */

static U striped;

static void kept(void) {
  U stripes;
  shaders();
  shaders_picture(1);
  glGenRenderbuffers(1, &stripes), glBindRenderbuffer(0x8D41, stripes), glRenderbufferStorage(0x8D41, 0x8058, 60, 40);
  glGenFramebuffers(1, &striped), glBindFramebuffer(0x8D40, striped);
  glFramebufferRenderbuffer(0x8D40, 0x8CE0, 0x8D41, stripes);
  glEnable(0x0C11);
  for (int i = 0; i < 6; i++) glScissor(i * 10, i * 3, 7, 30), glClearColor((F)i / 6, 1, 0.3f, 1), glClear(0x4000);
  glDisable(0x0C11), glBindFramebuffer(0x8D40, 0);
  glUseProgram(flat_one);
}

static void kept_picture(int n) {
  glClearColor(0, 0, (F)n * 0.1f, 1), glClear(0x4100);
  glDrawElements(4, 6, 0x1403, NULL);
  glBindFramebuffer(0x8CA8, striped), glBlitFramebuffer(0, 0, 60, 40, 200, 10, 260, 50, 0x4000, 0x2600);
  glBindFramebuffer(0x8CA8, 0);
}

/* ---- again */

static unsigned noise[2][1024 * 1024];
static U given;

static void again(void) {
  unsigned long state = 88172645463325252ul;
  for (int i = 0; i < 2 * 1024 * 1024; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    noise[i / (1024 * 1024)][i % (1024 * 1024)] = (unsigned)(state >> 16);
  }
  glGenTextures(1, &given), glBindTexture(0x0DE1, given), glEnable(0x0DE1);
  glTexParameteri(0x0DE1, 0x2801, 0x2600), glTexParameteri(0x0DE1, 0x2800, 0x2600);
}

static void again_picture(int n) {
  glClear(0x4100);
  for (int i = 0; i < 2; i++) {
    const F left = (F)i - 0.9f, at[4][2] = {{left, -0.8f}, {left + 0.8f, -0.8f}, {left + 0.8f, 0.8f}, {left, 0.8f}};
    glTexImage2D(0x0DE1, 0, 0x8058, 1024, 1024, 0, 0x1908, 0x1401, noise[(i + n) % 2]);
    glEnableClientState(0x8074), glEnableClientState(0x8078);
    glVertexPointer(2, 0x1406, 0, at), glTexCoordPointer(2, 0x1406, 0, at);
    glDrawArrays(7, 0, 4);
  }
}

/* ---- endless */

static U never;

static void endless(void) {
  shaders();
  never = program("attribute vec2 place; void main() { gl_Position = vec4(place, 0.0, 1.0); }\n",
                  "uniform float zero; void main() { float n = 0.0;\n"
                  "  while (n >= zero) { n = n + 1.0 - zero; while (n >= zero) { n = n * 0.5 + 1.0; while (n >= zero) n = n * 0.25 + 2.0; } }\n"
                  "  gl_FragColor = vec4(n); }\n");
}

static void endless_picture(int n) {
  shaders_picture(n);
  /* Mesa's software breaks such a loop off after 65535 turns: it takes many to take minutes. */
  if (n == 2) glUseProgram(never);
  for (int i = 0; n == 2 && i < 1000; i++) glDrawElements(4, 6, 0x1403, NULL);
}

/* ---- compatible */

static U compatible_one, compatible_list;
static I dim;

static void compatible(void) {
  if (strcmp(glGetString(0x1F02), "3.3") < 0) exit(6);
  compatible_one = program("#version 330 compatibility\nout vec4 tint;\n"
                           "void main() { tint = gl_Color; gl_Position = gl_ModelViewProjectionMatrix * gl_Vertex; }\n",
                           "#version 330 compatibility\nin vec4 tint; out vec4 colour; uniform float dim;\n"
                           "void main() { colour = vec4(tint.rgb * dim, 1.0); }\n");
  dim = glGetUniformLocation(compatible_one, "dim");
  compatible_list = glGenLists(1);
  glNewList(compatible_list, 0x1300);
  glBegin(4), glColor3f(0.9f, 0.2f, 0.1f), glVertex3f(-0.9f, -0.8f, 0), glColor3f(0.1f, 0.8f, 0.2f), glVertex3f(-0.1f, -0.8f, 0);
  glColor3f(0.2f, 0.3f, 0.9f), glVertex3f(-0.5f, 0.8f, 0), glEnd();
  glEndList();
  static const F corners[] = {-0.5f, -0.5f, 0.5f, -0.5f, 0, 0.5f};
  U buffer;
  glGenVertexArrays(1, &shape_object), glBindVertexArray(shape_object);
  glGenBuffers(1, &buffer), glBindBuffer(0x8892, buffer), glBufferData(0x8892, sizeof corners, corners, 0x88E4);
  glVertexPointer(2, 0x1406, 0, NULL), glEnableClientState(0x8074);
  glMatrixMode(0x1700), glTranslatef(0.1f, 0, 0);
}

static void compatible_picture(int n) {
  glClearColor(0, 0, 0.1f * (F)n, 1), glClear(0x4000);
  glUseProgram(0), glCallList(compatible_list);
  glUseProgram(compatible_one), glUniform1f(dim, 0.3f * (F)n);
  glPushMatrix(), glTranslatef(0.4f, 0, 0), glColor3f(0.9f, 0.9f, 0.1f);
  glDrawArrays(4, 0, 3);
  glPopMatrix();
}

/* ---- apart */

static U names[2][3];

static void apart_one(int which) {
  static const F corners[2][8] = {{-1, -1, 0, -1, 0, 1, -1, 1}, {0, -0.8f, 0.9f, -0.7f, 1, 0.8f, 0.1f, 0.9f}};
  names[which][0] = texture(16, 4 + which);
  glGenBuffers(1, &names[which][1]), glBindBuffer(0x8892, names[which][1]);
  glBufferData(0x8892, sizeof corners[0], corners[which], 0x88E4);
  names[which][2] = glGenLists(1);
  glNewList(names[which][2], 0x1300), glRotatef(which ? 7 : -5, 0, 0, 1), glEndList();
  glVertexPointer(2, 0x1406, 0, NULL), glEnableClientState(0x8074);
  glBindTexture(0x0DE1, 0);
}

static void apart_draw(int which, int n) {
  glBindTexture(0x0DE1, names[which][0]), glEnable(0x0DE1);
  glPushMatrix(), glCallList(names[which][2]);
  glBegin(7);
  for (int i = 0; i < 4; i++)
    glTexCoord2f((F)(i == 1 || i == 2), (F)(i / 2)), glVertex3f((F)(which - 1) + 0.8f * (F)(i == 1 || i == 2), (F)(i / 2) - 0.1f * (F)n, 0);
  glEnd();
  glDisable(0x0DE1), glDrawArrays(2, 0, 4);
  glPopMatrix();
}

static void apart(void) {
  second = glXCreateNewContext(display, config, 0x8014, NULL, 1);
  apart_one(0);
  glXMakeCurrent(display, window, second);
  apart_one(1);
  glXMakeCurrent(display, window, context);
  if (memcmp(names[0], names[1], sizeof names[0])) exit(7); /* they are called the same, or this shows nothing */
}

static void apart_picture(int n) {
  glClearColor(0.2f, 0.1f * (F)n, 0, 1), glClear(0x4000);
  apart_draw(0, n);
  glXMakeCurrent(display, window, second);
  apart_draw(1, n);
  glXMakeCurrent(display, window, context);
}

/* ---- resized */

static void resized_picture(int n) {
  const int width = n == 1 ? W : W + 12 - n, height = n == 1 ? H : H + 15 + n;
  XResizeWindow(display, window, (U)width, (U)height), XSync(display, 0);
  glViewport(0, 0, width, height);
  glClearColor(0.1f * (F)n, 0.3f, 0.2f, 1), glClear(0x4000);
  glBegin(4), glColor3f(0.9f, 0.2f, 0.1f), glVertex3f(-1, -1, 0), glVertex3f(0, -1, 0), glColor3f(0, 0.8f, 0.9f), glVertex3f(1, 1, 0), glEnd();
}

/* ---- absent */

static void absent_picture(int n) {
  union { void (*function)(void); void (*dispatch)(U, U, U); } compute = {glXGetProcAddress((const unsigned char *)"glDispatchCompute")};
  glClearColor(0, 0.2f * (F)n, 0, 1), glClear(0x4000);
  compute.dispatch(1, 1, 1);
  if (glGetError() != 0x0502) exit(8);
}

int main(int count, char **words) {
  const int wanted[] = {5, 1, 8, 8, 9, 8, 10, 8, 12, 24, 13, 8, 0};
  const int of_core[] = {0x2091, 3, 0x2092, 3, 0x9126, 1, 0}, of_both[] = {0x2091, 3, 0x2092, 3, 0x9126, 2, 0};
  int n;
  if (count < 2) return 1;
  const char *how = words[1];
  const int *version = !strcmp(how, "core") ? of_core : !strcmp(how, "compatible") ? of_both : NULL;
  const Opened opened = open_by_config(wanted, version, (Place){10, 20, W, H});
  display = opened.display, window = opened.window, config = opened.config, context = opened.context;
  if (!strcmp(how, "fixed")) fixed();
  if (!strcmp(how, "shaders")) shaders();
  if (!strcmp(how, "core")) core();
  if (!strcmp(how, "kept")) kept();
  if (!strcmp(how, "again")) again();
  if (!strcmp(how, "endless")) endless();
  if (!strcmp(how, "compatible")) compatible();
  if (!strcmp(how, "apart")) apart();
  while (scanf("%d", &n) == 1) {
    if (!strcmp(how, "fixed")) fixed_picture(n);
    if (!strcmp(how, "shaders")) shaders_picture(n);
    if (!strcmp(how, "core")) core_picture(n);
    if (!strcmp(how, "kept")) kept_picture(n);
    if (!strcmp(how, "again")) again_picture(n);
    if (!strcmp(how, "endless")) endless_picture(n);
    if (!strcmp(how, "compatible")) compatible_picture(n);
    if (!strcmp(how, "apart")) apart_picture(n);
    if (!strcmp(how, "resized")) resized_picture(n);
    if (!strcmp(how, "absent")) absent_picture(n);
    U error = glGetError();
    if (error) return printf("error %x\n", error), 5;
    glXSwapBuffers(display, window);
    glFinish();
    printf("drawn %d\n", n);
    fflush(stdout);
  }
  return 0;
}
