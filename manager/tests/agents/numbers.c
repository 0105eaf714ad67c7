/* Draws number after number with OpenGL, each as 32 stripes that are light where its bits are set, a picture a number, until the file
 * that it was told is there; then it says on the port that it was told how many it has drawn, and what its connections over TCP have
 * sent, and stays. Built with cc by the tests and by `cargo xtask bench gl`, without headers of OpenGL or X. */

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../vmgl-proxy/tests/gl/window.h"

void glClear(unsigned), glClearColor(float, float, float, float), glEnable(unsigned), glFinish(void);
void glScissor(int, int, int, int);
unsigned glGetError(void);

/* Bytes of this process's connections, each of which may be open more than once, and how many of them went more than once. */
static void sent(unsigned long long *all, unsigned long long *again) {
  static char counted[1 << 16];
  *all = *again = 0;
  for (int file = 3; file < 1024; file++) {
    struct tcp_info told;
    struct sockaddr_in own;
    socklen_t length = sizeof told, own_length = sizeof own;
    memset(&told, 0, sizeof told);
    if (getsockopt(file, IPPROTO_TCP, TCP_INFO, &told, &length)) continue;
    if (getsockname(file, (struct sockaddr *)&own, &own_length) || counted[own.sin_port]++) continue;
    *all += told.tcpi_bytes_sent;
    *again += told.tcpi_bytes_retrans;
  }
}

int main(int count, char **words) {
  const int wanted[] = {5, 1, 8, 8, 9, 8, 10, 8, 0};
  if (count < 3) return 1;
  const Opened opened = open_by_config(wanted, NULL, (Place){0, 0, 128, 32});
  unsigned number = 0, errors = 0;
  glEnable(0x0C11);
  while (access(words[1], F_OK)) {
    number++;
    for (int bit = 0; bit < 32; bit++) {
      float light = number >> bit & 1;
      glScissor(bit * 4, 0, 4, 32);
      glClearColor(light, light, 0.5f, 1);
      glClear(0x4000);
    }
    errors += glGetError() != 0;
    glXSwapBuffers(opened.display, opened.window);
  }
  glFinish();
  unsigned long long all, again;
  sent(&all, &again);
  char line[128];
  int length = snprintf(line, sizeof line, "\nsent %llu, again %llu\ndrew %u, errors %u\n", all, again, number, errors);
  int port = open(words[2], O_WRONLY);
  if (port < 0 || write(port, line, length) != length) return 4;
  for (;;) pause();
}
