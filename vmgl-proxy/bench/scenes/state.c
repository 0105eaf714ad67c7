/* Has so many MiB of textures, of buffers and of display lists, whose bytes do not repeat, and draws a picture again and again
 * that shows a little of each; with each picture it gives textures of so many MiB anew, always the same ones. Built with cc by whoever measures with it, without headers of OpenGL or X. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tests/gl/window.h"

void glGenTextures(int, unsigned *), glBindTexture(unsigned, unsigned), glTexParameteri(unsigned, unsigned, int);
void glTexImage2D(unsigned, int, int, int, int, int, unsigned, unsigned, const void *);
void glGenBuffers(int, unsigned *), glBindBuffer(unsigned, unsigned), glBufferData(unsigned, long, const void *, unsigned);
unsigned glGenLists(int);
void glNewList(unsigned, unsigned), glEndList(void), glCallList(unsigned), glBegin(unsigned), glEnd(void);
void glVertex3f(float, float, float), glClear(unsigned), glClearColor(float, float, float, float), glEnable(unsigned);
void glTexCoord2f(float, float), glVertex2f(float, float), glFinish(void);
unsigned glGetError(void);

enum { SIDE = 512, PIECE = SIDE * SIDE * 4, MIB = 1 << 20, VERTICES = MIB / 16 };
static unsigned words[PIECE / 4];
static unsigned long state = 88172645463325252ul;

static void fill(void) {
  for (int i = 0; i < PIECE / 4; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    words[i] = (unsigned)(state >> 16);
  }
}

int main(int count, char **given) {
  if (count != 5) return 1;
  const int textures = atoi(given[1]) * MIB / PIECE, buffers = atoi(given[2]) * MIB / PIECE, lists = atoi(given[3]);
  const int anew = atoi(given[4]) * MIB / PIECE;
  const Opened opened = open_by_visual((Place){0, 0, 200, 150});
  unsigned name, first = lists ? glGenLists(lists) : 0;
  for (int i = 0; i < buffers; i++)
    fill(), glGenBuffers(1, &name), glBindBuffer(0x8892, name), glBufferData(0x8892, PIECE, words, 0x88E4);
  glBindBuffer(0x8892, 0);
  for (int i = 0; i < lists; i++) {
    glNewList(first + (unsigned)i, 0x1300);
    glBegin(0x0000); /* GL_POINTS */
    for (int j = 0; j < VERTICES; j++) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      glVertex3f((float)(state >> 40) / 8388608 - 1, (float)(state >> 16 & 0xFFFFFF) / 8388608 - 1, (float)(state & 0xFFFF) / 65536);
    }
    glEnd();
    glEndList();
  }
  for (int i = 0; i < textures; i++) {
    fill(), glGenTextures(1, &name), glBindTexture(0x0DE1, name);
    glTexImage2D(0x0DE1, 0, 0x8058, SIDE, SIDE, 0, 0x1908, 0x1401, words);
    glTexParameteri(0x0DE1, 0x2801, 0x2600), glTexParameteri(0x0DE1, 0x2800, 0x2600);
  }
  unsigned *again = malloc((size_t)(anew + 1) * PIECE), named = 0;
  if (!again) return 5;
  for (int i = 0; i < anew; i++) fill(), memcpy(again + (size_t)i * PIECE / 4, words, PIECE);
  if (anew) glGenTextures(1, &named), glBindTexture(0x0DE1, named), glTexParameteri(0x0DE1, 0x2801, 0x2600);
  if (textures || anew) glEnable(0x0DE1);
  for (int n = 0;; n++) {
    for (int i = 0; i < anew; i++)
      glTexImage2D(0x0DE1, 0, 0x8058, SIDE, SIDE, 0, 0x1908, 0x1401, again + (size_t)i * PIECE / 4);
    glClearColor(0, (float)(n % 2), 0.5f, 1), glClear(0x4100);
    glBegin(4), glTexCoord2f(0, 0), glVertex2f(-1, -1), glTexCoord2f(1, 0), glVertex2f(1, -1), glTexCoord2f(0, 1), glVertex2f(0, 1), glEnd();
    if (lists) glCallList(first);
    if (glGetError()) return 4;
    glXSwapBuffers(opened.display, opened.window);
    glFinish();
    usleep(20000);
  }
}
