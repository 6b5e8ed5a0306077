// A program of an image, run in the image because a rule says so, that would like to have more than that: secrets of
// whoever started it, keys, namespaces, other kinds of sockets, all memory, all processes, a life after its end.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createIdentityEngine, type IdentityEngine, ruleSet } from '../../src/identity/mod.ts';
import { patience } from '../rig/patience.ts';
import {
  checkImage,
  digestOfFile,
  LEAD,
  makeImage,
  SPARE,
  systemFiles,
  withMount,
  writeTree,
} from '../support/system-image.ts';

const PROGRAM = `
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static FILE *report;
static void could(const char *what, long worked) { fprintf(report, "%s %s\\n", what, worked ? "yes" : "no"); }

/* Whether any process that is seen has the word in its environment, or anything at all beside PWD. */
static int environments(void) {
  int found = 0;
  DIR *all = opendir("/proc");
  for (struct dirent *one = readdir(all); one != NULL; one = readdir(all)) {
    char path[300], text[65536];
    snprintf(path, sizeof path, "/proc/%s/environ", one->d_name);
    if (one->d_name[0] < '0' || one->d_name[0] > '9' || atoi(one->d_name) == getpid()) continue;
    int file = open(path, O_RDONLY);
    long count = file < 0 ? 0 : read(file, text, sizeof text);
    if (count > 0) { found = 1; fprintf(report, "environment of %s: %.200s\\n", one->d_name, text); }
    if (file >= 0) close(file);
  }
  return found;
}

static int threads(void *unused) { (void)unused; return 0; }

static void lookAround(void) {
  static char stack[65536];
  could("environments", environments());
  could("keyring", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0) >= 0);
  could("add_key", syscall(SYS_add_key, "user", "a", "b", 1, KEY_SPEC_PROCESS_KEYRING) >= 0);
  could("request_key", syscall(SYS_request_key, "user", "a", NULL, 0) >= 0 || errno != EPERM);
  could("unshare users", unshare(CLONE_NEWUSER) == 0);
  could("unshare mounts", unshare(CLONE_NEWNS) == 0);
  could("clone users", clone(threads, stack + sizeof stack, CLONE_NEWUSER | SIGCHLD, NULL) >= 0);
  could("clone3", syscall(435, NULL, 0) >= 0 || errno != ENOSYS);
  could("mount", mount("none", "/mnt", "tmpfs", 0, NULL) == 0);
  could("open_tree", syscall(428, -100, "/", 1) >= 0);
  could("vsock", socket(40, SOCK_STREAM, 0) >= 0);
  could("alg", socket(38, SOCK_SEQPACKET, 0) >= 0);
  could("packet", socket(17, SOCK_RAW, 0) >= 0);
  could("io_uring", syscall(425, 8, NULL) >= 0 || errno != ENOSYS);
  could("ptrace", ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0);
  could("bpf", syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != EPERM);
  could("userfaultfd", syscall(SYS_userfaultfd, 1) >= 0);
  could("perf", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) >= 0 || errno != EPERM);
  could("by handle", syscall(SYS_open_by_handle_at, 0, NULL, 0) >= 0 || errno != EPERM);
  could("sysctl", open("/proc/sys/kernel/core_pattern", O_WRONLY) >= 0);
  could("users of its namespace", open("/proc/sys/user/max_user_namespaces", O_WRONLY) >= 0);
  could("terminal", ioctl(0, TIOCSTI, "x") == 0);
  could("keys of others", access("/proc/keys", R_OK) == 0 && system("test -s /proc/keys") == 0);
}

static int forkWithoutEnd(void) {
  int made = 0;
  for (; made < 100000; made++) {
    int child = fork();
    if (child < 0) break;
    if (child == 0) for (;;) pause();
  }
  return made;
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : "";
  if (strcmp(mode, "output") == 0) for (;;) puts("all work and no play");
  if (strcmp(mode, "errors") == 0) for (;;) fputs("all work and no play\\n", stderr);
  report = fopen("/report", "w");
  if (strcmp(mode, "look") == 0) lookAround();
  if (strcmp(mode, "fork") == 0) fprintf(report, "forks bounded %s\\n", forkWithoutEnd() < 1000 ? "yes" : "no");
  if (strcmp(mode, "memory") == 0) {
    long long got = 0;
    for (char *piece = malloc(1 << 24); piece != NULL; piece = malloc(1 << 24), got += 1 << 24) memset(piece, 1, 1 << 24);
    fprintf(report, "memory bounded %s\\n", got <= 2LL << 30 ? "yes" : "no");
  }
  if (strcmp(mode, "stay") == 0 && fork() == 0) {
    setsid();
    if (fork() == 0) { for (int file = 0; file < 16; file++) close(file); for (;;) sleep(1); }
    _exit(0);
  }
  if (strcmp(mode, "hold") == 0 && fork() == 0) { setsid(); for (;;) sleep(1); }
  if (strcmp(mode, "kill") == 0) { kill(getppid(), SIGKILL); kill(1, SIGKILL); kill(-1, SIGKILL); }
  fclose(report);
  FILE *id = fopen("/etc/shop/id", "w");
  fputs("id=new\\n", id);
  return fclose(id) != 0;
}
`;

const { signal } = new AbortController();
const request = { lead: LEAD, understudy: SPARE };
const SECRET = 'a-word-of-the-caller';
let built: string;
let folder: string;

beforeAll(() => {
  built = mkdtempSync(join(tmpdir(), 'understudy-program-'));
  writeFileSync(join(built, 'shop.c'), PROGRAM);
  execFileSync('gcc', ['-static', '-O1', '-w', '-o', join(built, 'shop'), join(built, 'shop.c')]);
});
afterAll(() => rmSync(built, { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'understudy-program-'));
  process.env.UNDERSTUDY_TEST_SECRET = SECRET;
});
afterEach(() => {
  delete process.env.UNDERSTUDY_TEST_SECRET;
  rmSync(folder, { recursive: true, force: true });
});

function shop(mode: string): { image: ReturnType<typeof makeImage>; engine: IdentityEngine } {
  const files = {
    ...systemFiles(),
    '/etc/shop/id': 'id=web1-secret\n',
    '/usr/sbin/shop': { text: readFileSync(join(built, 'shop')), mode: 0o755 },
    ...Object.fromEntries(['proc', 'dev', 'run', 'tmp', 'mnt'].map((name) => [`/${name}/.keep`, ''])),
  };
  const image = makeImage(join(folder, 'image'), writeTree(join(folder, 'tree'), files));
  const rule = { name: 'shop', why: 'Two shops are one.', path: ['/etc/shop/id'], secret: false, units: [] } as const;
  const list = [{ ...rule, action: 'run', run: ['/usr/sbin/shop', mode] } as const];
  const rules = ruleSet('shop.yaml', list, { canRun: true });
  return { image, engine: createIdentityEngine({ stateFolder: join(folder, 'state'), kernelMount: true, rules }) };
}

async function applied(mode: string): Promise<ReturnType<typeof makeImage>> {
  const { image, engine } = shop(mode);
  const plan = await engine.plan(image.path, request, signal);
  await engine.apply(image.path, plan, signal);
  expect(checkImage(image)).toBe('');
  expect(withMount(image, 'cat $M/etc/shop/id')).toBe('id=new\n');
  return image;
}

/** Processes of this machine that run the program, by the file that they run. */
function leftOver(): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').startsWith('/usr/sbin/shop\0');
    } catch {
      // It has ended.
      return false;
    }
  });
}

test('program - reads no environment, no key and no other process, and is refused what it has no business with', async () => {
  const image = await applied('look');
  const seen = withMount(image, 'cat $M/report').trim().split('\n');
  expect(seen.filter((line) => !line.endsWith(' no'))).toEqual([]);
  expect(seen).toHaveLength(23);
});

test.each([
  ['fork', 'forks bounded yes\n'],
  ['memory', 'memory bounded yes\n'],
])(
  'program - that wants no end of it, %s: has some of it, and the machine goes on',
  async (mode, report) => {
    const image = await applied(mode);
    expect(withMount(image, 'cat $M/report')).toBe(report);
    expect(leftOver()).toEqual([]);
  },
  patience(120_000),
);

test.each(['stay', 'hold'])('program - that stays behind, %s: ends with it', async (mode) => {
  await applied(mode);
  expect(leftOver()).toEqual([]);
});

test.each([
  ['output', 'wrote more than 1048576 bytes of output'],
  ['errors', 'wrote more than 1048576 bytes of output'],
])('program - that writes without end, %s: fails, and the image is as it was', async (mode, message) => {
  const { image, engine } = shop(mode);
  const plan = await engine.plan(image.path, request, signal);
  const before = digestOfFile(image.path);
  await expect(engine.apply(image.path, plan, signal)).rejects.toMatchObject({
    code: 'IDENTITY_FAILED',
    message: expect.stringContaining(message) as string,
  });
  expect(digestOfFile(image.path)).toBe(before);
  expect(leftOver()).toEqual([]);
});

test('program - that kills what it can: is at the end of its own, and the next question is answered', async () => {
  const { image, engine } = shop('kill');
  const plan = await engine.plan(image.path, request, signal);
  // It ends itself with all others that it sees, or goes on; in both cases there is an answer.
  const outcome = await engine.apply(image.path, plan, signal).then(
    () => 'done',
    (error: { code?: string }) => error.code,
  );
  expect(['done', 'IDENTITY_FAILED']).toContain(outcome);
  expect((await engine.inspect(image.path, LEAD, signal)).findings.length).toBeGreaterThan(0);
});
