// Preloaded into a stage: fsync and fdatasync of files whose path has DISK_SHIM_PATH in it do what the file DISK_SHIM_ORDER says, a number:
// they take so many microseconds more, or below zero they fail with that errno.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int concerns(int fd) {
  const char *part = getenv("DISK_SHIM_PATH");
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (part == NULL || length < 0) return 0;
  path[length] = 0;
  return strstr(path, part) != NULL;
}

static long order(void) {
  const char *path = getenv("DISK_SHIM_ORDER");
  FILE *file = path == NULL ? NULL : fopen(path, "r");
  long number = 0;
  if (file == NULL) return 0;
  if (fscanf(file, "%ld", &number) != 1) number = 0;
  fclose(file);
  return number;
}

static int spoiled(int fd, const char *name) {
  int (*real)(int) = dlsym(RTLD_NEXT, name);
  long number = concerns(fd) ? order() : 0;
  if (number < 0) {
    errno = (int)-number;
    return -1;
  }
  if (number > 0) usleep(number);
  return real(fd);
}

int fsync(int fd) { return spoiled(fd, "fsync"); }
int fdatasync(int fd) { return spoiled(fd, "fdatasync"); }
