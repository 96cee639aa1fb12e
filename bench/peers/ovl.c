/* Floor for rootfs provisioning: raw mount syscalls, no store, no fsync unless asked for.
 *
 *   ovl bulk LOWERS N C API OPTS DIR     overlay rootfs, provision N then destroy N
 *   ovl erofs IMAGE N DIR                file-backed EROFS mount and umount
 *   ovl erofs-loop IMAGE N DIR           the same through a loop device
 *
 * LOWERS: top-first, colon-separated.  API: old (mount(2)), new (fsopen), plus
 * "+lazy" for MNT_DETACH and "+fsync" for one durable file per provision before its mount (write aside,
 * fsync, rename, fsync the directory: what a checkpoint costs at least).  OPTS: extra overlay options, comma-separated, or "-".
 * Build: gcc -O2 -pthread -o ovl ovl.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *lowers, *opts, *dir;
static int n, workers, use_new, umount_flags, durable;
static double *t_dirs, *t_mount, *t_umount, *t_rm;
static atomic_int next_job;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void set(int fs, const char *k, const char *v) {
  if (syscall(SYS_fsconfig, fs, v ? 1 : 0, k, v, 0)) die(k);
}

static void mount_overlay(const char *u, const char *w, const char *m) {
  if (!use_new) {
    char data[16384];
    snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s,workdir=%s%s%s", lowers, u, w,
             *opts ? "," : "", opts);
    if (mount("overlay", m, "overlay", 0, data)) die("mount");
    return;
  }
  int fs = syscall(SYS_fsopen, "overlay", 1);
  if (fs < 0) die("fsopen");
  char *copy = strdup(lowers), *save, *s;
  for (s = strtok_r(copy, ":", &save); s; s = strtok_r(NULL, ":", &save)) set(fs, "lowerdir+", s);
  free(copy);
  set(fs, "upperdir", u);
  set(fs, "workdir", w);
  copy = strdup(opts);
  for (s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
    char *eq = strchr(s, '=');
    if (eq) *eq = 0;
    set(fs, s, eq ? eq + 1 : NULL);
  }
  free(copy);
  if (syscall(SYS_fsconfig, fs, 6, NULL, NULL, 0)) die("create");
  int mnt = syscall(SYS_fsmount, fs, 1, 0);
  if (mnt < 0) die("fsmount");
  if (syscall(SYS_move_mount, mnt, "", AT_FDCWD, m, 4)) die("move_mount");
  close(mnt);
  close(fs);
}

static void paths(int i, char *d, char *u, char *w, char *m) {
  sprintf(d, "%s/%d", dir, i);
  sprintf(u, "%s/u", d);
  sprintf(w, "%s/w", d);
  sprintf(m, "%s/m", d);
}

/* One kilobyte that is complete or absent after a crash, in the directory d. */
static void write_durably(const char *d) {
  char tmp[560], path[560], data[1024];
  memset(data, 'x', sizeof data);
  snprintf(tmp, sizeof tmp, "%s/.layers.tmp", d);
  snprintf(path, sizeof path, "%s/layers", d);
  int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) die("open");
  if (write(fd, data, sizeof data) != sizeof data || fsync(fd)) die("write");
  close(fd);
  if (rename(tmp, path)) die("rename");
  fd = open(d, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd)) die("fsync");
  close(fd);
}

static void *provision(void *arg) {
  char d[512], u[520], w[520], m[520];
  for (int i; (i = next_job++) < n;) {
    double t = now();
    paths(i, d, u, w, m);
    if (mkdir(d, 0755) || mkdir(u, 0755) || mkdir(w, 0755) || mkdir(m, 0755)) die("mkdir");
    if (durable) write_durably(d);
    t_dirs[i] = now() - t;
    t = now();
    mount_overlay(u, w, m);
    t_mount[i] = now() - t;
  }
  return arg;
}

static void *destroy(void *arg) {
  char d[512], u[520], w[520], m[520], ww[560];
  for (int i; (i = next_job++) < n;) {
    double t = now();
    paths(i, d, u, w, m);
    if (umount2(m, umount_flags)) die("umount");
    t_umount[i] = now() - t;
    t = now();
    if (strstr(opts, "volatile")) {
      sprintf(ww, "%s/%s", w, "work/incompat/volatile/dirty");
      if (unlink(ww)) die("unlink");
      for (int k = 0; k < 2; k++) {
        *strrchr(ww, '/') = 0;
        if (rmdir(ww)) die("rmdir incompat");
      }
    }
    if (durable) {
      sprintf(ww, "%s/layers", d);
      if (unlink(ww)) die("unlink layers");
    }
    sprintf(ww, "%s/work", w);
    if (rmdir(ww)) die("rmdir work");
    if (rmdir(w) || rmdir(u) || rmdir(m) || rmdir(d)) die("rmdir");
    t_rm[i] = now() - t;
  }
  return arg;
}

static double phase(void *(*f)(void *)) {
  pthread_t th[256];
  next_job = 0;
  double t = now();
  for (int i = 0; i < workers; i++) pthread_create(&th[i], NULL, f, NULL);
  for (int i = 0; i < workers; i++) pthread_join(th[i], NULL);
  return (now() - t) / 1e6;
}

static void emit(const char *name, double *a, double *b, const char *end) {
  printf("\"%s\":[", name);
  for (int i = 0; i < n; i++) printf("%s%.1f", i ? "," : "", a[i] + (b ? b[i] : 0));
  printf("]%s", end);
}

static double *alloc(void) { return calloc(n, sizeof(double)); }

static int bulk(char **v) {
  lowers = v[0], n = atoi(v[1]), workers = atoi(v[2]);
  use_new = !strncmp(v[3], "new", 3);
  umount_flags = strstr(v[3], "+lazy") ? MNT_DETACH : 0;
  durable = strstr(v[3], "+fsync") != NULL;
  opts = strcmp(v[4], "-") ? v[4] : "", dir = v[5];
  t_dirs = alloc(), t_mount = alloc(), t_umount = alloc(), t_rm = alloc();
  double p = phase(provision), d = phase(destroy);
  printf("{\"wall_s\":{\"provision\":%f,\"destroy\":%f},\"us\":{", p, d);
  emit("mkdir", t_dirs, NULL, ",");
  emit("mount", t_mount, NULL, ",");
  emit("provision", t_dirs, t_mount, ",");
  emit("umount", t_umount, NULL, ",");
  emit("rmdir", t_rm, NULL, ",");
  emit("destroy", t_umount, t_rm, "}}\n");
  return 0;
}

static int erofs(char **v, int loop) {
  n = atoi(v[1]);
  t_mount = alloc(), t_umount = alloc();
  for (int i = 0; i < n; i++) {
    char src[64];
    int lfd = -1;
    double t = now();
    if (loop) {
      int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = open(v[0], O_RDONLY);
      if (ctl < 0 || fd < 0) die("open");
      for (int tries = 0;; tries++) {
        sprintf(src, "/dev/loop%d", ioctl(ctl, LOOP_CTL_GET_FREE));
        struct loop_config c = {.fd = fd};
        c.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
        lfd = open(src, O_RDONLY);
        if (lfd < 0) die(src);
        if (!ioctl(lfd, LOOP_CONFIGURE, &c)) break;
        if (errno != EBUSY || tries > 100) die("LOOP_CONFIGURE");
        close(lfd);
      }
      close(fd), close(ctl);
    }
    if (mount(loop ? src : v[0], v[2], "erofs", MS_RDONLY, NULL)) die("mount");
    if (lfd >= 0) close(lfd);
    t_mount[i] = now() - t;
    t = now();
    if (umount2(v[2], 0)) die("umount");
    t_umount[i] = now() - t;
  }
  printf("{\"us\":{");
  emit("mount", t_mount, NULL, ",");
  emit("umount", t_umount, NULL, "}}\n");
  return 0;
}

int main(int c, char **v) {
  if (c == 8 && !strcmp(v[1], "bulk")) return bulk(v + 2);
  if (c == 5 && !strcmp(v[1], "erofs")) return erofs(v + 2, 0);
  if (c == 5 && !strcmp(v[1], "erofs-loop")) return erofs(v + 2, 1);
  fprintf(stderr, "usage: see source\n");
  return 2;
}
