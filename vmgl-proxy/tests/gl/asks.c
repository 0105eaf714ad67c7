/* Sets "lights" and materials in all the ways that there are, or makes "levels" of textures, or such "chosen" by whoever draws, and says what
 * OpenGL answers when it is asked for them, a line an answer; says "asked" last, and stays. Built by the tests with cc, without headers of OpenGL or X, which need not be installed. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "window.h"

void glEnable(unsigned), glDisable(unsigned), glMatrixMode(unsigned), glLoadIdentity(void), glFinish(void);
void glTranslatef(float, float, float), glRotatef(float, float, float, float), glScalef(float, float, float);
void glPushAttrib(unsigned), glPopAttrib(void), glNewList(unsigned, unsigned), glEndList(void), glCallList(unsigned);
void glColor4f(float, float, float, float), glColorMaterial(unsigned, unsigned);
void glLightf(unsigned, unsigned, float), glLighti(unsigned, unsigned, int), glLightfv(unsigned, unsigned, const float *);
void glLightiv(unsigned, unsigned, const int *), glMaterialf(unsigned, unsigned, float);
void glMaterialfv(unsigned, unsigned, const float *), glMaterialiv(unsigned, unsigned, const int *);
void glGetLightfv(unsigned, unsigned, float *), glGetMaterialfv(unsigned, unsigned, float *);
void glGetLightiv(unsigned, unsigned, int *), glGetMaterialiv(unsigned, unsigned, int *);
void glBindTexture(unsigned, unsigned), glTexParameteri(unsigned, unsigned, int), glGetTexImage(unsigned, int, unsigned, unsigned, void *);
void glTexImage1D(unsigned, int, int, int, int, unsigned, unsigned, const void *);
void glTexImage2D(unsigned, int, int, int, int, int, unsigned, unsigned, const void *);
void glTexImage3D(unsigned, int, int, int, int, int, int, unsigned, unsigned, const void *);
void glCopyTexImage2D(unsigned, int, unsigned, int, int, int, int, int);
void glCompressedTexImage2D(unsigned, int, unsigned, int, int, int, int, const void *), glGenerateMipmap(unsigned);
void glTexStorage2D(unsigned, int, unsigned, int, int);
void glGetTexLevelParameteriv(unsigned, int, unsigned, int *), glGetTexLevelParameterfv(unsigned, int, unsigned, float *);
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

static void integers(const char *when) {
  const unsigned of_materials[] = {0x1200, 0x1201, 0x1202, 0x1600, 0x1601, 0x1603};
  puts(when);
  for (unsigned light = 0x4000; light < 0x4003; light++)
    for (unsigned name = 0x1200; name < 0x120A; name++) {
      int is[4] = {-7, -7, -7, -7};
      glGetLightiv(light, name, is);
      printf("%x %x: %d %d %d %d\n", light, name, is[0], is[1], is[2], is[3]);
    }
  for (unsigned face = 0x0404; face < 0x0406; face++)
    for (unsigned i = 0; i < sizeof of_materials / sizeof *of_materials; i++) {
      int is[4] = {-7, -7, -7, -7};
      glGetMaterialiv(face, of_materials[i], is);
      printf("%x %x: %d %d %d %d\n", face, of_materials[i], is[0], is[1], is[2], is[3]);
    }
}

static void lights(void) {
  const float place[4] = {3, -4, 5, 1}, whither[4] = {0, 1, 2, 0}, red[4] = {0.9f, 0.2f, 0.1f, 1}, blue[4] = {0, 0.1f, 1.5f, 0.5f};
  const int full[4] = {2147483647, 0, -2147483647, 2147483647}, there[4] = {1, 2, 3, 0}, indexes[4] = {1, 2, 3, 0};
  all("at first");
  integers("and as integers");
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
  glLightfv(0x4000, 0x1203, place), glLightfv(0x4001, 0x1203, place), glLightfv(0x4002, 0x1203, place), glLightfv(0x4001, 0x1204, whither);
  glLightfv(0x4000, 0x1201, red), glLightf(0x4002, 0x1208, 3), glMaterialfv(0x0408, 0x1602, red);
  glMaterialfv(0x0408, 0x1202, red), glMaterialfv(0x0408, 0x1600, red);
  integers("whole numbers as integers");
}

static void level(unsigned target, int number, const unsigned *names) {
  for (; *names; names++) {
    int is = -7;
    float number_is = -7;
    glGetTexLevelParameteriv(target, number, *names, &is), glGetTexLevelParameterfv(target, number, *names, &number_is);
    printf("%x %d %x: %d %g\n", target, number, *names, is, number_is);
  }
}

/* Formats that name their bits, each with a format and a type of pixels for it. */
static const unsigned formats[][3] = {
  {0x8229, 0x1903, 0x1401}, {0x822B, 0x8227, 0x1401}, {0x8051, 0x1907, 0x1401}, {0x8058, 0x80E1, 0x8367}, {0x8C41, 0x1907, 0x8363},
  {0x8C43, 0x1908, 0x1401}, {0x8059, 0x1908, 0x8368}, {0x822D, 0x1903, 0x140B}, {0x822E, 0x1903, 0x1406}, {0x822F, 0x8227, 0x1406},
  {0x8230, 0x8227, 0x1406}, {0x881B, 0x1907, 0x1406}, {0x8815, 0x1907, 0x1406}, {0x881A, 0x1908, 0x1406}, {0x8814, 0x1908, 0x1406},
  {0x8C3A, 0x1907, 0x1406}, {0x8231, 0x8D94, 0x1400}, {0x8234, 0x8D94, 0x1403}, {0x8235, 0x8D94, 0x1404}, {0x8238, 0x8228, 0x1401},
  {0x8239, 0x8228, 0x1402}, {0x823C, 0x8228, 0x1405}, {0x8D82, 0x8D99, 0x1404}, {0x8D88, 0x8D99, 0x1402}, {0x8D8E, 0x8D99, 0x1400},
  {0x8D70, 0x8D99, 0x1405}, {0x8D76, 0x8D99, 0x1403}, {0x8D7C, 0x8D9B, 0x1401}, {0x8CAC, 0x1902, 0x1406}, {0x8CAD, 0x84F9, 0x8DAD},
};

/* Formats that name a size that drivers need not give them, and those that name none. */
static const unsigned loose[][3] = {
  {0x8050, 0x1907, 0x8363}, {0x8056, 0x1908, 0x8033}, {0x8057, 0x1908, 0x8034}, {0x805B, 0x1908, 0x1403}, {0x822A, 0x1903, 0x1403},
  {0x8F97, 0x1908, 0x1400}, {0x8C3D, 0x1907, 0x1406}, {0x8040, 0x1909, 0x1401}, {0x8045, 0x190A, 0x1401}, {0x803C, 0x1906, 0x1401},
  {0x804B, 0x1909, 0x1401}, {0x81A5, 0x1902, 0x1403}, {0x81A6, 0x1902, 0x1405}, {0x88F0, 0x84F9, 0x84FA}, {0x906F, 0x8D99, 0x1405},
  {0x8D7D, 0x8D98, 0x1401}, {0x8D89, 0x8D98, 0x1402}, {4, 0x1908, 0x1401}, {0x1907, 0x1907, 0x1401}, {0x1908, 0x1908, 0x1401}, {0x1909, 0x1909, 0x1401},
  {0x1906, 0x1906, 0x1401}, {0x8049, 0x1909, 0x1401}, {0x1902, 0x1902, 0x1405}, {0x84F9, 0x84F9, 0x84FA}, {0x8C40, 0x1907, 0x1401},
};

static const unsigned sizes[] = {0x1000, 0x1001, 0x8071, 0x1005, 0x86A1, 0x9106, 0x9107, 0};
static const unsigned internal[] = {0x1003, 0};
static const unsigned bits[] = {0x805C, 0x805D, 0x805E, 0x805F, 0x8060, 0x8061, 0x884A, 0x88F1, 0x8C3F,
                                0x8C10, 0x8C11, 0x8C12, 0x8C13, 0x8C14, 0x8C15, 0x8C16, 0};
static const unsigned packed[] = {0x86A0, 0};
/* Such as a level has that nobody has made. */
static const unsigned none[] = {0x1000, 0x1001, 0x8071, 0x1005, 0x86A1, 0x805C, 0x805F, 0x884A, 0x88F1, 0x8C10, 0};

static void levels(void) {
  static const unsigned char pixels[32];
  unsigned char back[4 * 4 * 4];
  for (unsigned i = 0; i < sizeof formats / sizeof *formats; i++) {
    const unsigned *it = formats[i];
    printf("format %x\n", it[0]);
    glTexImage2D(0x0DE1, 0, it[0], 20, 12, 0, it[1], it[2], NULL);
    level(0x0DE1, 0, sizes), level(0x0DE1, 0, internal), level(0x0DE1, 0, bits);
  }
  for (unsigned i = 0; i < sizeof loose / sizeof *loose; i++) {
    const unsigned *it = loose[i];
    printf("format %x\n", it[0]);
    glTexImage2D(0x0DE1, 0, it[0], 20, 12, 0, it[1], it[2], NULL);
    level(0x0DE1, 0, sizes);
    if (i < 17) level(0x0DE1, 0, internal);
  }
  puts("targets");
  level(0x0DE0, 3, none);
  glTexImage1D(0x0DE0, 3, 0x8058, 9, 0, 0x1908, 0x1401, NULL);
  level(0x0DE0, 3, sizes), level(0x0DE0, 3, bits);
  glTexImage3D(0x806F, 1, 0x8058, 9, 5, 3, 0, 0x1908, 0x1401, NULL), level(0x806F, 1, sizes);
  glTexImage3D(0x8C1A, 0, 0x881A, 9, 5, 7, 0, 0x1908, 0x1406, NULL), level(0x8C1A, 0, sizes), level(0x8C1A, 0, bits);
  glTexImage2D(0x8C18, 2, 0x8058, 9, 6, 0, 0x1908, 0x1401, NULL), level(0x8C18, 2, sizes);
  glTexImage2D(0x84F5, 0, 0x8058, 9, 6, 0, 0x1908, 0x1401, NULL), level(0x84F5, 0, sizes);
  glTexImage2D(0x8517, 2, 0x8058, 6, 6, 0, 0x1908, 0x1401, NULL), level(0x8517, 2, sizes), level(0x8516, 2, none);
  puts("all levels at once");
  glBindTexture(0x0DE1, 11), glTexStorage2D(0x0DE1, 4, 0x8058, 13, 9);
  for (int number = 0; number < 4; number++) level(0x0DE1, number, sizes), level(0x0DE1, number, bits), level(0x0DE1, number, internal);
  level(0x0DE1, 4, none);
  puts("copied, packed");
  glBindTexture(0x0DE1, 12), glCopyTexImage2D(0x0DE1, 0, 0x8058, 0, 0, 16, 8, 0), level(0x0DE1, 0, sizes), level(0x0DE1, 0, bits);
  glBindTexture(0x0DE1, 13), glCompressedTexImage2D(0x0DE1, 0, 0x8DBD, 6, 4, 0, 32, pixels);
  level(0x0DE1, 0, sizes), level(0x0DE1, 0, internal), level(0x0DE1, 0, packed);
  puts("what is read needs no size first");
  glBindTexture(0x0DE1, 14), glTexImage2D(0x0DE1, 0, 0x8058, 4, 4, 0, 0x1908, 0x1401, NULL), glGetTexImage(0x0DE1, 0, 0x1908, 0x1401, back);
}

static void chosen(void) {
  for (unsigned i = 0; i < sizeof loose / sizeof *loose; i++) {
    const unsigned *it = loose[i];
    printf("format %x\n", it[0]);
    glTexImage2D(0x0DE1, 0, it[0], 20, 12, 0, it[1], it[2], NULL);
    level(0x0DE1, 0, internal), level(0x0DE1, 0, bits);
  }
  puts("made of the lowest");
  glBindTexture(0x0DE1, 11), glTexImage2D(0x0DE1, 0, 0x8058, 20, 12, 0, 0x1908, 0x1401, NULL), glGenerateMipmap(0x0DE1);
  for (int number = 0; number < 6; number++) level(0x0DE1, number, sizes);
  glBindTexture(0x0DE1, 12), glTexParameteri(0x0DE1, 0x8191, 1), glTexImage2D(0x0DE1, 0, 0x8058, 8, 4, 0, 0x1908, 0x1401, NULL);
  level(0x0DE1, 1, sizes);
  puts("a proxy, one with room and one without");
  glTexImage2D(0x8064, 0, 0x8058, 64, 64, 0, 0x1908, 0x1401, NULL), level(0x8064, 0, none);
  glTexImage2D(0x8064, 0, 0x8058, 1 << 20, 64, 0, 0x1908, 0x1401, NULL), level(0x8064, 0, none);
  puts("one that is refused leaves what was there");
  glBindTexture(0x0DE1, 13), glTexImage2D(0x0DE1, 0, 0x8058, 8, 4, 0, 0x1908, 0x1401, NULL);
  glTexImage2D(0x0DE1, 0, 0x8058, 1 << 20, 4, 0, 0x1908, 0x1401, NULL), level(0x0DE1, 0, sizes);
  if (glGetError() != 0x0501) puts("which is not refused");
}

int main(int count, char **words) {
  const char *what = count > 1 ? words[1] : "";
  const Opened opened = open_by_visual((Place){0, 0, 64, 48});
  if (!strcmp(what, "lights")) lights();
  if (!strcmp(what, "levels")) levels();
  if (!strcmp(what, "chosen")) chosen();
  if (glGetError()) return 5;
  glXSwapBuffers(opened.display, opened.window);
  glFinish();
  puts("asked");
  fflush(stdout);
  for (;;) pause();
}
